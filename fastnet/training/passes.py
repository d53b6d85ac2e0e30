"""How a pass over data is divided into runs of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from fastnet.training.steps import Feed

    class Pass(Protocol):
        """What `ArrayPass` and those like it have."""

        def upcoming(self) -> int: ...
        def piece(self, most: int) -> Piece: ...
        def advance(self, steps: int) -> None: ...
        def fault(self, piece: Piece, status: int, good: int) -> str | None: ...
        def close(self) -> None: ...


__all__ = ["ArrayPass", "Piece"]


class Piece(NamedTuple):
    """Batches that can be run in one go.

    Attributes
    ----------
    feed : Feed
        Their arrays.
    batch, steps : int
        Samples of a batch, and batches.
    cursor : int
        Where the first batch begins in the feed's arrays, or order.
    end : int
        Where the whole pass would end, counted alike.
    order : ndarray or None
    """

    feed: Feed
    batch: int
    steps: int
    cursor: int
    end: int
    order: np.ndarray | None = None


class ArrayPass:
    """A pass over arrays in memory: batches of one size, and the rest.

    `upcoming` says how large the next batch is, 0 at the end; `piece` gives the next batches, as many as are ready and
    wanted; `advance` goes on behind those that have run. `close` ends the pass, wherever it is. It may begin behind
    samples that are `done` already.
    """

    def __init__(self, feed: Feed, batch_size: int, order: np.ndarray | None, end: int, done: int = 0) -> None:
        self.feed = feed
        self.batch_size = batch_size
        self.order = order
        self.end = end
        self.done = done
        if feed.images is not None and order is not None:
            feed.images.prefer(order)

    def upcoming(self) -> int:
        return min(self.batch_size, self.end - self.done)

    def piece(self, most: int) -> Piece:
        batch = self.upcoming()
        steps = min(most, (self.end - self.done) // batch)
        images, order = self.feed.images, self.order
        if images is not None and order is None:
            images.wait(np.arange(self.done, self.done + steps * batch))
        elif images is not None and order is not None:
            steps = images.ready(order[self.done : self.done + steps * batch], batch) // batch
        return Piece(self.feed, batch, steps, self.done, self.end, order)

    def advance(self, steps: int) -> None:
        self.done += steps * self.upcoming()

    def fault(self, piece: Piece, status: int, good: int) -> str | None:
        """What is wrong with the data of the batch behind `good` ones, if more can be said than the status does."""

    def close(self) -> None:
        """Data in memory needs nothing."""
