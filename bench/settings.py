"""How a run measures: the same for all of its cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bench.rows import Row


@dataclass(frozen=True)
class Setup:
    """
    Parameters
    ----------
    threads : int
    peers : frozenset of str
        Those that are there, of those that were asked for.
    seconds : float
        For each case; of at least `least` rounds, in which each contender has a slice.
    quick : bool
        Fewer cases.
    isa : str
        What both sides are held to, or "".
    first : bool
        Whether the cases run to which threads make no difference.
    """

    threads: int = 1
    peers: frozenset[str] = frozenset()
    seconds: float = 2.0
    slice_seconds: float = 0.02
    least: int = 9
    quick: bool = False
    isa: str = ""
    first: bool = True

    def has(self, name: str) -> bool:
        """Whether a contender's peer, the first word of its name, takes part."""
        return name.split()[0] in self.peers

    def make(self, contenders: dict[str, Callable]) -> dict:
        """What those make whose peer takes part."""
        return {name: make() for name, make in contenders.items() if self.has(name)}

    def some(self, cases: list, quick: int | tuple[int, ...]) -> list:
        """All cases; or with --quick the first ones, or those of these places."""
        if not self.quick:
            return cases
        return [cases[i] for i in (range(quick) if isinstance(quick, int) else quick)]


class Case(NamedTuple):
    """A case has a name before it runs, so that --filter can leave it out."""

    name: str
    run: Callable[[], Row | list[Row]]
