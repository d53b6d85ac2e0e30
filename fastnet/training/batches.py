"""Data that comes in batches: from iterators, lists of batches, data loaders, and functions that return iterators."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, containers, labels
from fastnet.training.ahead import Ahead
from fastnet.training.passes import Piece
from fastnet.training.steps import Feed

if TYPE_CHECKING:
    from fastnet.augment import Augmentation
    from fastnet.training.evaluation import Evaluator
    from fastnet.types import Array

__all__ = ["BatchFeed", "are_batches", "batch_items", "gives_batches", "inputs_of"]

DEPTH = 2  # batches that a thread fetches ahead


def gives_batches(value: Any) -> bool:
    """Whether this can only be a source of batches: no array, list or table, but an iterable or a function."""
    if isinstance(value, (np.ndarray, list, tuple, str, bytes, dict)) or containers.is_array_like(value):
        return False
    return isinstance(value, Iterable) or callable(value) or _is_sequence(value)


def _is_sequence(value: Any) -> bool:
    """Numbered batches, as Keras' Sequence has them."""
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


def are_batches(value: Any) -> bool:
    """Whether this is a source of batches where (x, y) could be meant, too: a list of tuples of arrays is one."""
    if isinstance(value, list):
        return bool(value) and all(_is_batch(item) for item in value)
    return gives_batches(value)


def _is_batch(item: Any) -> bool:
    return isinstance(item, tuple) or (
        isinstance(item, list) and len(item) in (2, 3) and all(containers.is_array_like(part) for part in item)
    )


def inputs_of(item: Any) -> Any:
    """The x of a batch for a prediction, which may have targets as a batch for training has."""
    return item[0] if _is_batch(item) and len(item) else item


def batch_items(name: str, source: Any) -> Iterator[Any]:
    """The items of a source of batches from its beginning, or where an iterator stands."""
    if not isinstance(source, Iterable) and callable(source):
        source = source()
    if not isinstance(source, Iterable) and _is_sequence(source):
        return (source[i] for i in range(len(source)))
    try:
        return iter(source)
    except TypeError:
        raise TypeError(
            f"{name} must give batches: an iterable, or a function that returns one; got {checks.describe(source)}"
        ) from None


class BatchFeed:
    """Batches that a source gives, in its order.

    Parameters
    ----------
    evaluator : Evaluator
        Which checks them.
    source : iterable, or function that returns one
    name : str
        What it is called in errors.
    steps : int, optional
        Batches of a pass; the next one goes on behind them, and begins the source anew where it ends. By default a pass is
        what the source gives.
    passes : int
        That will be made.
    prefetch : bool
        Whether a thread fetches batches while others are used.
    class_weight : dict or array, optional

    Attributes
    ----------
    samples : int or None
        Of the last pass.
    tells_last : bool
        Whether the last batch of a pass has to be known as such.
    """

    x = images = None
    augmentation: Augmentation | None = None
    tells_last = False
    scale = 1.0

    def __init__(self, evaluator: Evaluator, source: Any, name: str = "x", *, steps: int | None = None, passes: int = 1,
                 prefetch: bool = True, class_weight: Any = None) -> None:  # fmt: skip
        self.evaluator = evaluator
        self.source = source
        self.name = name
        self.steps = steps
        # Items of a list are in memory: to hand them from thread to thread would take longer than to take them.
        self.is_list = isinstance(source, (list, tuple))
        self.prefetch = prefetch and not self.is_list
        self.class_weight = class_weight
        self.samples: int | None = None
        self.passes = 0
        self._iterator: Iterator[Any] | Any = None  # Any: None only between passes
        if self.is_list and not len(source):
            raise ValueError(f"{name} is empty: a list of no batches")
        if isinstance(source, types.GeneratorType) and steps is None and passes > 1:
            raise ValueError(
                f"{name} is a generator, which can be gone through once, for {passes} epochs: pass a function that returns "
                "a new one (the generator function itself, without calling it), or say steps_per_epoch"
            )
        if isinstance(class_weight, str):
            raise ValueError("class_weight='balanced' needs all targets beforehand; with batches give a dict or array")

    def begin(self, batch_size: int | None = None, order: Array | None = None, end: int | None = None,
              done: int = 0) -> BatchPass:  # fmt: skip
        self.passes += 1
        data = BatchPass(self, self.prefetch)
        while data.samples < done and data.upcoming():
            data.advance(1)
        return data

    def skip(self, passes: int) -> None:
        """Go on as after so many passes: where they follow one another, their batches are taken and left."""
        for _ in range(passes if self.steps is not None else 0):
            for _ in self.batches():
                pass
        self.passes = passes

    def batches(self, batch_size: int | None = None) -> Iterator[Array]:
        # Without a thread: the network is locked meanwhile, and the source may use it.
        self.passes += 1
        data = BatchPass(self, prefetch=False)
        try:
            first = 0
            while batch := data.upcoming():
                first = first or batch
                if batch >= first or not data.is_last():  # as of arrays, without a smaller rest
                    yield data.piece(1).feed.x
                data.advance(1)
        finally:
            data.close()

    def restarts(self) -> bool:
        """Whether the source can be begun anew."""
        return not isinstance(self.source, Iterator)

    def items(self) -> Iterator[Feed]:
        """The feeds of one pass; their number is the pass's if that is fixed."""
        number = 0
        while self.steps is None or number < self.steps:
            try:
                item = next(self._iterator)
            except StopIteration:
                if self.steps is None:
                    break
                self._iterator = batch_items(self.name, self.source) if self.restarts() else iter(())
                item = next(self._iterator, None)
                if item is None:
                    raise ValueError(
                        f"{self.name} ran out in epoch {self.passes} after {number} of {self.steps} batches "
                        "(steps_per_epoch); a function that returns a new iterator is called again"
                    ) from None
            number += 1
            yield self._feed(item, number)
        if not number:
            again = "; an iterator can be gone through once: pass a function that returns a new one"
            raise ValueError(f"{self.name} gave no batch in epoch {self.passes}{again if self.passes > 1 else ''}")

    def _feed(self, item: Any, number: int) -> Feed:
        name = self.batch_name(number)
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            raise TypeError(f"{name} must be (x, y) or (x, y, sample_weight); got {_describe(item)}")
        x = item[0]
        if np.shape(item[1]) == () and np.shape(x) == tuple(self.evaluator.executor.graph.input_shape):
            raise ValueError(
                f"{name} is a single sample: x has shape {np.shape(x)}. Batches are wanted; a Dataset of PyTorch goes into a "
                "DataLoader(dataset, batch_size=...)"
            )
        weights = item[2] if len(item) == 3 else None
        feed = self.evaluator.form(x, item[1], weights, self.class_weight, x_name=f"x of {name}", y_name=f"y of {name}",
                                   weight_name=f"sample_weight of {name}")  # fmt: skip
        targets = feed.targets
        feed.x, y = self._kept(feed.x), self._kept(targets.array)
        feed.targets = labels.Targets(y, targets.classes, targets.shape)
        feed.augmentation = self.augmentation
        feed.checked = True
        return feed

    def _kept(self, array: np.ndarray) -> np.ndarray:
        """An array that stays as it is, with rows as kernels take them: a source may use its own again for the next batch."""
        array = labels.rows_contiguous(array)
        return array if self.is_list else np.array(array, order="C")

    def batch_name(self, number: int) -> str:
        return f"batch {number}" if self.name == "x" else f"{self.name} batch {number}"

    def start(self, prefetch: bool) -> Iterator[Feed]:
        """The feeds of the next pass, fetched by a thread if wanted."""
        if self._iterator is None:
            self._iterator = batch_items(self.name, self.source)
        return Ahead(self.items(), DEPTH, "batches") if prefetch else self.items()


def _describe(item: Any) -> str:
    if isinstance(item, (tuple, list)):
        return f"a {type(item).__name__} of {len(item)}"
    if containers.is_array_like(item) and hasattr(item, "shape"):
        return f"{type(item).__name__} of shape {tuple(item.shape)}, without y"
    return checks.describe(item)


class BatchPass:
    """A pass over a `BatchFeed`; see `ArrayPass`. Each piece is one batch."""

    def __init__(self, feed: BatchFeed, prefetch: bool) -> None:
        self.feed = feed
        self.number = 0  # of the batch that comes next, from 1 on
        self.samples = 0
        self._items = feed.start(prefetch)
        self._next: Feed | Any = None  # Any: None where `upcoming` has to look
        self._after: Feed | None = None

    def upcoming(self) -> int:
        if self._next is None:
            self._next = self._after if self._after is not None else next(self._items, None)
            self._after = None
            if self._next is None:
                self.feed.samples = self.samples
                return 0
            self.number += 1
        return len(self._next.x)

    def is_last(self) -> bool:
        """Whether the next batch is the last: the one behind it has to be there for that."""
        if self.feed.steps is not None:
            return self.number == self.feed.steps
        self._after = self._after if self._after is not None else next(self._items, None)
        return self._after is None

    def piece(self, most: int) -> Piece:
        batch = self.upcoming()
        end = batch if self.feed.tells_last and self.is_last() else sys.maxsize
        return Piece(self._next, batch, 1, 0, end)

    def advance(self, steps: int) -> None:
        self.samples += len(self._next.x)
        self._next = None

    def fault(self, piece: Piece, status: int, good: int) -> str | None:
        found = piece.feed.find_fault(slice(None), range(piece.batch))
        return None if found is None else f"{self.feed.batch_name(self.number)}: {found}"

    def close(self) -> None:
        if isinstance(self._items, Ahead):
            self._items.close()
        if self.feed.steps is None:
            self.feed._iterator = None
