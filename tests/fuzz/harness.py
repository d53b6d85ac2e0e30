"""What every loader promises for every file, and the check of one input.

A loader either gives its result or raises one of `DOCUMENTED` errors, within `SECONDS`, and with no more memory than
`fastnet.files.limits` allows a file of that size.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator

from fastnet.files import limits

#: What a loader may raise for a file: all else is a fault of the loader. (UnsupportedError is a ValueError.)
DOCUMENTED = (ValueError, OSError)
SECONDS = 10.0  # for inputs of at most `LARGEST` bytes, on a busy machine
LARGEST = 1 << 16
#: Files of tests are in memory where there is such a place, so that a disk has no part in it.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Broken(Exception):  # noqa: N818
    """A loader has not kept a promise; the message says which."""


def folder() -> str:
    """A new directory for the files of one process, in memory where that can be; removed when the process ends."""
    made = tempfile.TemporaryDirectory(prefix="fastnet-fuzz-", dir=MEMORY)
    _folders.append(made)
    return made.name


_folders: list[tempfile.TemporaryDirectory] = []


def write(path: str, data: bytes) -> str:
    """Write a file; returns its path."""
    with open(path, "wb") as file:
        file.write(data)
    return path


def load(loader: Callable[..., object], size: int, *arguments, **settings) -> object | None:
    """What a loader makes of a file of `size` bytes; None where it refuses it as it may.

    Raises
    ------
    Broken
        The loader took too long or too much memory, or raised what it has not documented.
    """
    with _bounded(size), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return loader(*arguments, **settings)
        except DOCUMENTED as error:
            if not str(error):
                raise Broken(f"{type(error).__name__} without a message") from error
            return None
        except Exception as error:
            raise Broken(f"{type(error).__name__} is no documented error: {error}") from error


@contextlib.contextmanager
def _bounded(size: int) -> Iterator[None]:
    before = _reset_peak()
    began = time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    if seconds > SECONDS:
        raise Broken(f"it took {seconds:.1f} s")
    taken = _peak() - before
    if taken > limits.allowed(size):
        raise Broken(f"it took {taken:,} bytes of memory for a file of {size:,}")


# Linux counts the most memory that a process had since a number was written to a file; elsewhere nothing is measured.


def _reset_peak() -> int:
    """Begin to count the most memory anew; returns what is in use."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return 0
    return _peak()


def _peak() -> int:
    try:
        with open("/proc/self/status", "rb") as file:
            status = file.read()
    except OSError:
        return 0
    place = status.find(b"VmHWM:")
    return int(status[place + 6 : status.index(b"kB", place)]) * 1024 if place >= 0 else 0
