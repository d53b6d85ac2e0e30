"""Data in memory maps: a thread reads the rows of the next batches into memory, while the step runs on others."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet import containers, labels
from fastnet.allocation import shortage
from fastnet.training.ahead import Ahead
from fastnet.training.passes import Piece
from fastnet.training.steps import Feed

if TYPE_CHECKING:
    from fastnet.labels import Targets
    from fastnet.types import Array

__all__ = ["MappedFeed", "Rows"]

BLOCK_BYTES = 4 << 20  # that are read together
SLOTS = 3  # blocks in memory: one is used, one waits, one is read
RELEASE_BYTES = 64 << 20  # of a map that may count as this process's memory at a time
AROUND_BYTES = 64 << 10  # what the system maps around a page that is read


class Rows:
    """Rows of an array, which may lie in a memory map, to be read into arrays in memory.

    Parameters
    ----------
    array : ndarray
        With any strides and order of bytes: rows are copied in any case.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.asarray(array)
        self.map = containers.mapping_of(array)
        self.touched = RELEASE_BYTES  # whoever read before may have left as much

    def empty(self, n: int) -> np.ndarray:
        """Memory for `n` rows, in a dtype that kernels take."""
        dtype = self.array.dtype.newbyteorder("=")
        shape = (n, *self.array.shape[1:])
        try:
            return np.empty(shape, dtype)
        except MemoryError:
            raise shortage(math.prod(shape) * dtype.itemsize, f"{n:,} rows that are read ahead") from None

    def read(self, rows: slice | Array, out: np.ndarray) -> None:
        """Copy rows, a slice or an array of their numbers.

        Raises
        ------
        OSError
            The file has become shorter than its array.
        """
        if self.map is not None:
            self._check_file(self.map)
        if isinstance(rows, slice) or self.array.dtype != out.dtype or not self.array.flags.c_contiguous:
            out[...] = self.array[rows]
        else:
            self.array.take(rows, 0, out=out, mode="clip")  # into `out` itself, without the GIL
        if self.map is not None:
            touched = out.nbytes if isinstance(rows, slice) else len(out) * AROUND_BYTES + out.nbytes
            self._release(self.map, touched)

    @staticmethod
    def _check_file(mapped: np.memmap) -> None:
        """Reading a page that the file has lost would end the process."""
        file: Any = mapped.base
        size, needed = file.size(), mapped.offset + mapped.nbytes
        if size < needed:
            raise OSError(
                f"{mapped.filename} has {size:,} bytes; the array that is mapped from it needs {needed:,}: it was cut "
                "short while it was used"
            )

    def _release(self, mapped: np.memmap, touched: int) -> None:
        """Give pages back, which stay in the system's cache, so that a large file doesn't count as memory of this process."""
        self.touched += touched
        if mapped.nbytes <= RELEASE_BYTES or self.touched < RELEASE_BYTES:
            return
        self.touched = 0
        # Changes to a map of mode "c" are nowhere else.
        if hasattr(mmap, "MADV_DONTNEED") and mapped.mode in ("r", "r+", "w+"):
            file: Any = mapped.base
            file.madvise(mmap.MADV_DONTNEED)


class Block(NamedTuple):
    """Rows in memory: a feed of them, their numbers in the whole data, and the size of the batches that they make."""

    feed: Feed
    rows: slice | np.ndarray
    batch: int


class MappedFeed(Feed):
    """Samples, targets and weights, of which some are in memory maps.

    NaN, Inf and labels are looked for while a batch is gathered, as reading everything for it first would take as long as
    an epoch.

    Parameters
    ----------
    x, targets, weights
        As for `Feed`; rows need not be contiguous.
    names : (str, str)
        What x and y are called in errors.
    rows : ndarray of int, optional
        The samples that take part, by default all.
    """

    def __init__(self, x: Array, targets: Targets, weights: Array | None, names: tuple[str, str] = ("x", "y"),
                 rows: Array | None = None) -> None:  # fmt: skip
        super().__init__(x, targets, weights, ordered=False, checked=True)
        self.names = names
        self.rows = rows
        self._slots: list[list[Array]] | None = None

    @property
    def samples(self) -> int:
        return len(self.x) if self.rows is None else len(self.rows)

    def part(self, rows: np.ndarray) -> MappedFeed:
        """Some of the samples: nothing is copied."""
        return MappedFeed(self.x, self.targets, self.weights, self.names, rows)

    def begin(self, batch_size: int, order: Array | None = None, end: int | None = None, done: int = 0) -> MappedPass:
        return MappedPass(self, batch_size, order, self.samples if end is None else end, done)

    def batches(self, batch_size: int) -> Iterator[Array]:
        n = self.samples
        data = self.begin(batch_size, end=n - n % batch_size or n)
        try:
            while batch := data.upcoming():
                piece = data.piece(1)
                yield piece.feed.x[piece.cursor : piece.cursor + batch]
                data.advance(1)
        finally:
            data.close()

    def fill(self, blocks: Iterable[tuple[slice | Array, int]]) -> Iterator[Block]:
        """The blocks of these (rows, batch), each in memory that is used again after `SLOTS` others."""
        targets = self.targets
        sources = [Rows(self.x), Rows(targets.array), *([] if self.weights is None else [Rows(self.weights)])]
        for number, (rows, batch) in enumerate(blocks):
            n = len(range(*rows.indices(len(self.x)))) if isinstance(rows, slice) else len(rows)
            if self._slots is None:
                self._slots = [[source.empty(n) for source in sources] for _ in range(SLOTS)]
            slot = self._slots[number % SLOTS]
            if len(slot[0]) < n:
                slot[:] = [source.empty(n) for source in sources]
            arrays = [memory[:n] for memory in slot]
            for source, memory in zip(sources, arrays, strict=True):
                source.read(rows, memory)
            x, y, *weights = arrays
            feed = Feed(x, labels.Targets(y, targets.classes, targets.shape), weights[0] if weights else None,
                        ordered=False, checked=True, augmentation=self.augmentation)  # fmt: skip
            feed.names = self.names
            yield Block(feed, rows, batch)

    def forget(self) -> None:
        """Leave the memory of blocks to a thread that may still write into it."""
        self._slots = None


class MappedPass:
    """A pass over a `MappedFeed`; see `ArrayPass`."""

    def __init__(self, feed: MappedFeed, batch_size: int, order: Array | None, end: int, done: int = 0) -> None:
        self.feed = feed
        self.end = end
        self.at = 0  # the next sample in the block
        self.passed = done  # samples of the blocks before
        self._block: Block | Any = None  # Any: None where `upcoming` has to look
        self._ahead = Ahead(feed.fill(self._blocks(batch_size, order, done)), SLOTS - 1, "rows")

    def _blocks(self, batch_size: int, order: Array | None, done: int) -> Iterator[tuple[slice | Array, int]]:
        """Rows of some whole batches, and of the rest, behind those that are done."""
        bytes_of_batch = max(1, batch_size * self.feed.x.itemsize * int(np.prod(self.feed.x.shape[1:])))
        together = max(1, BLOCK_BYTES // bytes_of_batch) * batch_size
        whole = self.end - self.end % batch_size
        for start in range(done, whole, together):
            yield self._rows(start, min(start + together, whole), order), batch_size
        if max(whole, done) < self.end:
            yield self._rows(whole, self.end, order), self.end - whole

    def _rows(self, start: int, stop: int, order: Array | None) -> slice | Array:
        rows: slice | Array = slice(start, stop) if order is None else order[start:stop]
        if self.feed.rows is not None:
            rows = self.feed.rows[rows]
        if not isinstance(rows, slice) and (np.diff(rows) == 1).all():
            return slice(int(rows[0]), int(rows[-1]) + 1)
        return rows

    def upcoming(self) -> int:
        if self._block is not None and self.at == len(self._block.feed.x):
            self.passed += self.at
            self._block = None
        if self._block is None:
            self._block = next(self._ahead, None)
            self.at = 0
        return 0 if self._block is None else self._block.batch

    def piece(self, most: int) -> Piece:
        block = self._block
        steps = min(most, (len(block.feed.x) - self.at) // block.batch)
        return Piece(block.feed, block.batch, steps, self.at, self.end - self.passed)

    def advance(self, steps: int) -> None:
        self.at += steps * self._block.batch

    def fault(self, piece: Piece, status: int, good: int) -> str | None:
        first = piece.cursor + good * piece.batch
        rows = self._block.rows
        if isinstance(rows, slice):
            rows = range(rows.start, rows.stop)
        batch = slice(first, first + piece.batch)
        return piece.feed.find_fault(batch, rows[batch])

    def close(self) -> None:
        if not self._ahead.close():
            self.feed.forget()
