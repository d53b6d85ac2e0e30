"""What a fit of several ranks does together between its steps; of one process, what that does alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.training import fingerprint
from fastnet.training.passes import Piece
from fastnet.training.shares import Shares
from fastnet.training.together import Signals

if TYPE_CHECKING:
    from fastnet.training.batches import BatchFeed
    from fastnet.training.fit_settings import FitSettings
    from fastnet.training.passes import Pass
    from fastnet.training.steps import Feed, Sums
    from fastnet.training.trainer import Trainer
    from fastnet.types import Array

__all__ = ["Joint"]


class Joint:
    """How the ranks of one fit divide its batches, and what they agree on.

    Parameters
    ----------
    trainer : Trainer
    settings : FitSettings
    in_arrays : bool
        Whether all samples are known, so that batches can be divided; else each rank has batches of its own.

    Attributes
    ----------
    shares : Shares or None
        How the batches are divided, if they are.
    signals : Signals

    Raises
    ------
    ValueError
        A batch cannot be divided.
    """

    def __init__(self, trainer: Trainer, settings: FitSettings, in_arrays: bool) -> None:
        self.ranks = trainer.distributed
        self.microbatch = trainer.microbatch
        self.settings = settings
        self.shares: Shares | None = None
        self.signals = Signals(self.ranks)
        self._divides = in_arrays and trainer.in_pieces
        if self._divides:
            Shares.check(self.ranks, self.microbatch, settings.batch_size)

    def divide(self, samples: int, last: int | None) -> int | None:
        """Divide the samples; how many an epoch has, of all ranks, where that is known."""
        if not self._divides:
            return last
        settings = self.settings
        self.shares = Shares(self.ranks, self.microbatch, settings.batch_size, samples, settings.drop_last)
        return self.shares.last

    def fingerprints(self, feed: Feed | BatchFeed, validation: Feed | BatchFeed | None) -> dict[str, dict[str, Any]]:
        """Of the data; of shards, of those of all ranks."""
        found = fingerprint.of_feed(feed)
        if validation is not None:
            found |= fingerprint.of_feed(validation, "validation ")
        if self.ranks.data == "shards":
            told = enumerate(self.ranks.gather_objects(found))
            return {f"{name} of rank {rank}": value for rank, own in told for name, value in own.items()}
        return found

    def begin(self, feed: Feed | BatchFeed, order: Array | None, end: int | None, done: int) -> Pass:
        """A pass over what is left of the epoch behind so many samples, or of this rank's share of it."""
        shares = self.shares
        if shares is None or order is None:
            return feed.begin(self.settings.batch_size, order, end, done)
        return feed.begin(shares.batch, shares.order(order), shares.end, shares.done(done))

    def upcoming(self, data: Pass) -> int:
        """The size of this rank's next batch; 0 where one of the ranks has none."""
        batch = data.upcoming()
        if self.ranks.size > 1 and self.shares is None:
            return batch if self.ranks.gather(np.array([batch], np.float64)).all() else 0
        return batch

    def agree(self, piece: Piece, done: int) -> tuple[tuple[int, ...], Piece]:
        """The samples that each rank has of the next batches, and as many of these as all ranks have ready."""
        steps = piece.steps
        sizes: tuple[int, ...] = ()
        if self.shares is not None:
            batch = self.shares.next_batch(done)
            sizes, steps = self.shares.of(batch), min(steps, (self.shares.last - done) // batch)
        found = self.ranks.gather(np.array([piece.batch, steps, self.signals.waiting], np.float64)).astype(int)
        self.signals.take(found[:, 2].tolist())
        return sizes or tuple(found[:, 0].tolist()), piece._replace(steps=int(found[:, 1].min()))

    def take_signals(self) -> None:
        """Behind the last step: those that have come since."""
        if self.ranks.size > 1:
            self.signals.take(
                self.ranks.gather(np.array([self.signals.waiting], np.float64))[:, 0].astype(int).tolist()
            )

    def metrics_of_all(self, sums: Sums) -> AbstractContextManager[None]:
        """What the block adds to the sums of metrics is what all ranks' samples add; the loss is that of all already."""
        if self.ranks.size == 1 or not sums.metrics:
            return nullcontext()
        return self._gathering(sums.array[2:])

    @contextmanager
    def _gathering(self, mine: Array) -> Iterator[None]:
        before = mine.copy()
        mine[:] = 0
        yield
        mine[:] = before + self.ranks.gather(mine).sum(axis=0)

    def first_fault(self, found: str | None) -> str | None:
        """What is wrong with the data, on the first rank that has found something."""
        if found is not None and self.ranks.size > 1:
            found = f"rank {self.ranks.rank}: {found}"
        told: str | None = self.ranks.someone(found)
        return told
