"""Memory that may not be there: sizes in words, and the one error about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from fastnet.control_groups import PROCESS, groups
from fastnet.native.arena import Block

__all__ = ["allocate", "available_memory", "in_bytes", "largest", "shortage"]

LARGE = 256 << 20  # bytes of a block for which it is asked how much there is
V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
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
    """A block of `size` bytes, or a MemoryError that says what it was to be for; it may end with a remark.

    Linux gives memory that it does not have, and ends a process that uses it: a large block has to be available.
    """
    available = available_memory() if size >= LARGE else math.inf
    try:
        if size > available:
            raise MemoryError
        return Block(size)
    except MemoryError:
        found = "" if remark is None else remark()
        if size > available:
            found += f"{'; ' if found else ''}{in_bytes(available)} are available"
        raise shortage(size, purpose, found) from None


def available_memory(process: Path = PROCESS, meminfo: Path = Path("/proc/meminfo")) -> float:
    """Bytes that the system and the control groups have left for this process, with swap; infinity where nothing says so."""
    try:
        rows = [line.split() for line in meminfo.read_text().splitlines()]
        system = {row[0].rstrip(":"): 1024 * int(row[1]) for row in rows}
        available, swap = system["MemAvailable"], system.get("SwapFree", 0)
    except (OSError, ValueError, IndexError, KeyError):
        return math.inf
    return min([available, *(_left(version, folder) for version, folder in groups("memory", process))]) + swap


def _left(version: int, folder: Path) -> float:
    """Bytes that a control group has left; what it has of files' pages can be given back."""
    limit, usage, prefix = ("memory.max", "memory.current", "") if version == 2 else V1
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return math.inf
        rows = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        files = sum(int(value) for name, value in rows if name in (f"{prefix}inactive_file", f"{prefix}active_file"))
        return max(int(most) - int((folder / usage).read_text()) + files, 0)
    except (OSError, ValueError):
        return math.inf


def shortage(size: int, purpose: str, remark: str = "") -> MemoryError:
    """The error that `size` bytes are not there."""
    return MemoryError(f"cannot allocate {in_bytes(size)} for {purpose}{': ' if remark else ''}{remark}")


def largest(shares: Mapping[str, int], what: str) -> str:
    """Who has the largest part of some bytes, in words; `what` is what the names are of ("layer")."""
    if not shares:
        return ""
    name = max(shares, key=lambda key: shares[key])
    return f"{in_bytes(shares[name])} of it for {what} {name!r}"
