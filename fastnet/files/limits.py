"""What a file may ask for: memory in proportion to its size, and nothing outside of its directory.

All readers of files ask here, so that a file that comes from a stranger is bounded in one way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnet.types import Path

__all__ = ["allowed", "check_claim", "check_inside", "taken_up"]

# What the content of a file may take in memory: this many bytes, which are as many colours as Pillow takes for no
# bomb (89 million pixels), or this many times the file's size. Real data packs 2 to 50 times.
FLOOR = 256 << 20
RATIO = 200


def allowed(size: int) -> int:
    """The bytes of memory that the content of a file of `size` bytes may take."""
    return max(FLOOR, RATIO * size)


def check_claim(
    path: Path, claimed: int, size: int, hint: str = "if it is right, store it without compression"
) -> None:
    """Refuse a file that claims to hold more than its size bears out, before memory is taken for it.

    Raises
    ------
    ValueError
        The claim is above `allowed`.
    """
    if claimed > allowed(size):
        raise ValueError(
            f"{os.fspath(path)} claims to hold {claimed:,} bytes packed into {size:,}, which no real data does; {hint}"
        )


def check_inside(directory: Path, path: Path, what: str) -> str:
    """The real path of what a file or a folder names, which must lie in a directory once links are followed.

    Raises
    ------
    ValueError
        It lies elsewhere: the message is `what`, the path and the directory.
    """
    directory = os.path.realpath(directory)
    real = os.path.realpath(os.path.join(directory, path))
    try:
        inside = os.path.commonpath([directory, real]) == directory
    except ValueError:  # two drives
        inside = False
    if not inside:
        raise ValueError(f"{what} {os.fspath(path)!r}, which is not in the directory {directory}")
    return real


@contextlib.contextmanager
def taken_up(what: str) -> Iterator[None]:
    """Where objects are made of what a file says: whatever they find wrong with it becomes one error that names the file.

    Parameters
    ----------
    what : str
        The file, and what is wrong then: "a.safetensors cannot be read as a checkpoint".

    Raises
    ------
    ValueError
        In the place of errors about missing keys, types, numbers out of range.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{what}: {reason}") from error
