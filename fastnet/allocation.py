"""Memory that may not be there: sizes in words, and the one error about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastnet.native.arena import Block

__all__ = ["allocate", "in_bytes", "largest", "shortage"]

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def in_bytes(n: float) -> str:
    """A number of bytes in the unit that suits it."""
    if n < 1024:
        return f"{n:,} B"
    for unit in UNITS:
        n /= 1024
        if n < 1024 or unit == UNITS[-1]:
            break
    return f"{n:,.1f} {unit}"


def allocate(size: int, purpose: str, remark: Callable[[], str] | None = None) -> Block:
    """A block of `size` bytes, or a MemoryError that says what it was to be for; it may end with a remark."""
    try:
        return Block(size)
    except MemoryError:
        raise shortage(size, purpose, "" if remark is None else remark()) from None


def shortage(size: int, purpose: str, remark: str = "") -> MemoryError:
    """The error that `size` bytes are not there."""
    return MemoryError(f"cannot allocate {in_bytes(size)} for {purpose}{': ' if remark else ''}{remark}")


def largest(shares: Mapping[str, int], what: str) -> str:
    """Who has the largest part of some bytes, in words; `what` is what the names are of ("layer")."""
    if not shares:
        return ""
    name = max(shares, key=lambda key: shares[key])
    return f"{in_bytes(shares[name])} of it for {what} {name!r}"
