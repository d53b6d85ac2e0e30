"""What every loader promises for every file, and the check of one input.

A loader either gives its result or raises one of `DOCUMENTED` errors that names the file, within `SECONDS`, and with no more
memory than `fastnet.files.limits` allows a file of that size.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from fastnet.files import limits

try:
    import resource
except ModuleNotFoundError:  # on Windows
    resource = None

#: What a loader may raise for a file: all else is a fault of the loader. (UnsupportedError is a ValueError.)
DOCUMENTED = (ValueError, OSError)
SECONDS = 10.0  # for inputs of some KB, on a busy machine
SMALL = 128 << 20  # bytes: while a process never had more memory, an input has not taken more
#: Files of tests are in memory where there is such a place, so that a disk has no part in it.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


REFUSED = object()


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


def load(loader: Callable[..., Any], size: int, *arguments, named: bool = True, **settings) -> Any:
    """What a loader makes of a file of `size` bytes; `REFUSED` where it raises what it may.

    Errors have to contain one of the paths among the arguments, unless `named` is False.

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
            given = [
                part for argument in arguments for part in (argument if isinstance(argument, list) else [argument])
            ]
            paths = [part for part in given if isinstance(part, str)]
            if named and paths and not any(path in str(error) for path in paths):
                raise Broken(f"an error that does not name the file: {error}") from error
            return REFUSED
        except Exception as error:
            raise Broken(f"{type(error).__name__} is no documented error: {error}") from error


@contextlib.contextmanager
def _bounded(size: int) -> Iterator[None]:
    if _peak() > SMALL:
        _reset_peak()
    before = _peak()
    began = time.process_time()  # the machine may have other work; who waits for ever is ended by libFuzzer
    yield
    seconds = time.process_time() - began
    if seconds > SECONDS:
        raise Broken(f"it took {seconds:.1f} s")
    taken = _peak() - before
    if taken > limits.allowed(size):
        raise Broken(f"it took {taken:,} bytes of memory for a file of {size:,}")


def _peak() -> int:
    """The most bytes of memory that the process has had, since `_reset_peak` where that can be; 0 where it is not known."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reset_peak() -> bool:
    """Begin to count the most memory anew, which takes Linux a while; whether it can be."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True
