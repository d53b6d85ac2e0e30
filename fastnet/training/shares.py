"""How the batches of an epoch are divided among ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastnet.distributed import Ranks
    from fastnet.types import Array

__all__ = ["Shares"]


class Shares:
    """The batches of an epoch, which all ranks know alike, and this rank's part of each.

    A rank's samples lie one behind the other in an order of its own, so that a pass over them is a pass over smaller batches. Where
    a last batch leaves none for it, its order has one sample for that batch, which is not used.

    Parameters
    ----------
    ranks : Ranks
    microbatch : int or None
    batch_size : int
        Of all ranks together.
    samples : int
        That this rank has been given: all of them, or its shards.
    drop_last : bool

    Attributes
    ----------
    last : int
        Samples of an epoch, of all ranks together.
    end : int
        The length of this rank's order.
    batch : int
        This rank's samples of a whole batch.

    Raises
    ------
    ValueError
        A batch has fewer samples than there are ranks, or isn't made of whole pieces.
    """

    def __init__(self, ranks: Ranks, microbatch: int | None, batch_size: int, samples: int, drop_last: bool) -> None:
        self.ranks, self.microbatch, self.batch_size = ranks, microbatch, batch_size
        self.check(ranks, microbatch, batch_size)
        self.batch = self.of(batch_size)[ranks.rank]
        if ranks.data == "shards":
            given = ranks.gather(np.array([samples], np.float64))[:, 0].astype(int).tolist()
            self.last = self._filled(given)
        else:
            self.last = samples
        rest = self.last % batch_size
        if drop_last:
            self.last, rest = self.last - rest, 0
        self.whole = self.last // batch_size
        self.end = self.whole * self.batch + (max(1, self.of(rest)[ranks.rank]) if rest else 0)
        if not self.last:
            what = "drop_last=True with " if drop_last else ""
            raise ValueError(
                f"{what}batch_size={batch_size} leaves nothing of {samples} samples on each of {ranks.size} ranks"
            )

    @staticmethod
    def check(ranks: Ranks, microbatch: int | None, batch_size: int) -> None:
        """Refuse a size of batches that cannot be divided."""
        if microbatch is not None and batch_size % microbatch:
            raise ValueError(f"batch_size={batch_size} must be a multiple of microbatch={microbatch}")
        if not all(ranks.shares(batch_size, microbatch)):
            pieces = "" if ranks.reduction == "mean" else f" in pieces of {microbatch}"
            raise ValueError(f"batch_size={batch_size}{pieces} has no sample for some of {ranks.size} ranks")

    def of(self, batch: int) -> tuple[int, ...]:
        """Each rank's samples of a batch."""
        return self.ranks.shares(batch, self.microbatch)

    def _filled(self, given: list[int]) -> int:
        """As many samples as all ranks' shards can fill, batch for batch."""
        whole = min(n // share for n, share in zip(given, self.of(self.batch_size), strict=True))
        left = [n - whole * share for n, share in zip(given, self.of(self.batch_size), strict=True)]
        rest = next(
            n for n in range(self.batch_size - 1, -1, -1) if all(map(int.__ge__, left, self.of(n)))
        )  # fmt: skip
        return whole * self.batch_size + rest

    def next_batch(self, done: int) -> int:
        """Samples of the batch behind so many."""
        return min(self.batch_size, self.last - done)

    def done(self, done: int) -> int:
        """Where this rank's order stands when all ranks together have done so many samples, whole batches."""
        return self.end if done >= self.last else done // self.batch_size * self.batch

    def order(self, order: Array) -> Array:
        """This rank's part of an epoch's order; of shards, that of its own samples."""
        if self.ranks.data == "shards":
            return order[: self.end] if self.end <= len(order) else np.append(order, order[:1])
        rank, sizes = self.ranks.rank, self.of(self.batch_size)
        start = sum(sizes[:rank])
        whole = order[: self.whole * self.batch_size].reshape(self.whole, self.batch_size)[
            :, start : start + self.batch
        ]
        rest = order[self.whole * self.batch_size : self.last]
        sizes = self.of(len(rest))
        mine = rest[sum(sizes[:rank]) :][: sizes[rank]]
        if len(rest) and not len(mine):
            mine = rest[:1]
        return np.concatenate([whole.reshape(-1), mine])
