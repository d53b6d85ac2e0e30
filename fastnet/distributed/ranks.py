"""The processes that train one network together, as training sees them; and the one process that trains alone."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from fastnet import checks

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["OneProcess", "Ranks", "even_parts", "sum_in_order"]


def even_parts(whole: int, parts: int) -> list[int]:
    """Sizes that add up to `whole`, of which no two differ by more than one; the first ones are the larger ones."""
    return [whole // parts + (part < whole % parts) for part in range(parts)]


def sum_in_order(pieces: Array, out: Array) -> None:
    """Overwrite `out` with the sum of the pieces (pieces, n), first to last."""
    out[:] = pieces[0] if len(pieces) else 0
    for piece in pieces[1:]:
        out += piece


class Ranks:
    """What the processes of a training do together. Of one process all of it is what the process has itself.

    Every rank must come to each of these calls, in the same order, and all that they return is the same on all ranks.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    batch_norm : {"local", "synchronized"}
    reduction : {"mean", "exact"}
    data : {"shared", "shards"}
    bucket : int or None
        Bytes of gradients from which they are added while the backward pass goes on; None where they are added behind it.
    """

    rank = 0
    size = 1
    bucket: int | None = None

    def __init__(self, batch_norm: str, reduction: str, data: str) -> None:
        self.batch_norm = checks.choice("batch_norm", batch_norm, ["local", "synchronized"])
        self.reduction = checks.choice("reduction", reduction, ["mean", "exact"])
        self.data = checks.choice("data", data, ["shared", "shards"])

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def settings(self) -> dict[str, str]:
        """What decides on the bits of a training."""
        return {"batch_norm": self.batch_norm, "reduction": self.reduction}

    # How a batch is divided

    def shares(self, batch: int, microbatch: int | None) -> tuple[int, ...]:
        """Each rank's samples of a batch, one rank's behind the other's; with exact sums whole pieces, but for the last one."""
        if self.reduction == "exact" and microbatch is not None:
            pieces = even_parts(-(-batch // microbatch), self.size)
            ends = [min(sum(pieces[: rank + 1]) * microbatch, batch) for rank in range(self.size)]
            return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))
        return tuple(even_parts(batch, self.size))

    # What is exchanged

    def gather(self, row: Array) -> Array:
        """Rows (float64) of one length, one of each rank, below each other."""
        return row[None]

    def gather_rows(self, rows: Array, counts: Sequence[int] | None = None) -> Array:
        """All ranks' rows (float64) below each other; `counts` says how many each has, if everyone knows."""
        return rows

    def gather_objects(self, value: Any) -> list[Any]:
        """Any values, one of each rank."""
        return [value]

    def from_first(self, value: Any) -> Any:
        """The value that rank 0 has."""
        return value

    def copy_from_first(self, array: Array) -> None:
        """Overwrite an array with the one of rank 0."""

    def add(self, array: Array) -> None:
        """Overwrite an array with the sum over all ranks: the same bits for the same number of ranks."""

    def begin_adding(self, array: Array) -> Callable[[], None]:
        """Begin `add`, and return what waits for its end; the array is not to be touched before."""
        self.add(array)
        return lambda: None

    def add_in_order(self, pieces: Array, counts: Sequence[int], out: Array) -> None:
        """Add all ranks' pieces, of shape (pieces, n) with `counts` on each rank: the same bits for any number of ranks."""
        sum_in_order(pieces, out)

    def who(self) -> str:
        """This rank, for messages."""
        return f"rank {self.rank}"

    # What all of them do or don't

    def agreeing(self) -> AbstractContextManager[None]:
        """An error inside of one rank's block is raised by all of them, behind the block."""
        return nullcontext() if self.size == 1 else self._telling_of_errors()

    @contextmanager
    def _telling_of_errors(self) -> Iterator[None]:
        error = None
        try:
            yield
        except Exception as found:
            error = found
        told = self.gather_objects(None if error is None else (type(error).__name__, str(error)))
        first = next(((rank, *text) for rank, text in enumerate(told) if text is not None), None)
        if error is None and first is not None:
            error = _same_error(*first)
        if error is not None:
            raise error

    @contextmanager
    def together(self) -> Iterator[None]:
        """All ranks leave the block, each as it does; where one leaves it alone, by an error, it ends all of them."""
        yield

    def someone(self, value: Any) -> Any:
        """The first value that isn't None, of the rank of the lowest number."""
        return next((found for found in self.gather_objects(value) if found is not None), None)

    def __repr__(self) -> str:
        told = "".join(f", {name}={value!r}" for name, value in self._told().items())
        return f"{type(self).__name__}({told[2:]})"

    def _told(self) -> dict[str, str]:
        return self.settings()


def _same_error(rank: int, name: str, text: str) -> Exception:
    """An error that another rank has met; of its kind, if that is one of Python's own."""
    kind = getattr(builtins, name, RuntimeError)
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, UnicodeError):
        kind = RuntimeError
    return kind(f"rank {rank}: {text}")


class OneProcess(Ranks):
    """Training by one process: for a `Trainer` with a `microbatch` whose batch norms are to see the whole batch.

    Its bits are those of `MPI` with ``reduction="exact"`` and the same `batch_norm` and `microbatch`.

    Parameters
    ----------
    batch_norm : {"local", "synchronized"}
        Whether batch normalization takes the statistics of a piece of `microbatch` samples, or of the whole batch.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(4), fn.BatchNorm(), fn.Dense(1)], input_shape=(2,), seed=0)
    >>> trainer = fn.Trainer(net, loss="mse", optimizer="sgd", microbatch=4,
    ...                      distributed=fn.distributed.OneProcess(batch_norm="synchronized"))
    >>> sorted(trainer.train_on_batch(np.ones((8, 2)), np.ones(8)))
    ['loss']
    """

    def __init__(self, *, batch_norm: str = "local") -> None:
        super().__init__(batch_norm, "exact", "shared")

    def _told(self) -> dict[str, str]:
        return {"batch_norm": self.batch_norm}
