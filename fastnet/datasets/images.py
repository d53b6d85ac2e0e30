"""Images in files as an array, decoded by threads in the background while it is used."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, config
from fastnet.datasets import image_files

if TYPE_CHECKING:
    from fastnet.types import Array, Path

__all__ = ["Images"]

SCALE = np.float32(1 / 255)
TOGETHER = 8  # images that a thread decodes between two looks at what is wanted
WAITING, TAKEN, DONE, BROKEN = range(4)


class Images:
    """Images of one size, float32 in [0, 1], kept as bytes: a quarter of the memory.

    `fit` and `evaluate` take it in the place of an array: the first epoch decodes the images in its order, beside the
    training; later ones find them decoded. ``np.asarray(images)`` and ``images[rows]`` decode what they give.

    Parameters
    ----------
    files : list of str
    shape : (height, width, channels)
        1 channel for grey, 3 for colours, 4 with transparency. Images of another size are resized (bilinear, smoothed,
        without regard to their proportions).
    cache : path, optional
        A folder: decoded images are kept in a temporary file there instead of in memory.

    Attributes
    ----------
    files, shape, dtype
    array : ndarray of uint8
        The pixels of the images that are decoded already; `wait` for them first.
    scale : float
        1 / 255, what they are multiplied by.
    """

    dtype = np.dtype(np.float32)
    scale = float(SCALE)

    def __init__(self, files: Iterable[Path], shape: Sequence[int], cache: Path | None = None) -> None:
        image_files.pillow()
        self.files = [os.fspath(path) for path in files]
        self.cache = cache
        self.shape = (len(self.files), *checks.shape("shape", shape))
        if len(self.shape) != 4 or self.shape[3] not in image_files.MODES:
            raise ValueError(f"shape must be (height, width, channels) with 1, 3 or 4 channels; got {tuple(shape)}")
        self.array = _allocate(self.shape, cache)
        self._decoder = Decoder(self.files, self.array)
        weakref.finalize(self, self._decoder.close)

    ndim = 4

    def __len__(self) -> int:
        return len(self.files)

    def prefer(self, order: np.ndarray) -> None:
        """Decode in this order from now on, in the background."""
        self._decoder.prefer(order)

    def wait(self, rows: Any = None) -> None:
        """Return when these images (by default all) are decoded.

        Raises
        ------
        ValueError
            One of them cannot be read; its file is named.
        """
        self._decoder.wait(np.arange(len(self)) if rows is None else rows)

    def ready(self, rows: np.ndarray, least: int) -> int:
        """Wait for the first `least` of these rows; how many from the first on are decoded then."""
        self._decoder.wait(rows[:least])
        return self._decoder.count_done(rows)

    def broken(self, report: Callable[[int], object] | None = None) -> dict[int, ValueError]:
        """Decode all; the numbers of those that cannot be read, and why. `report` is called with how many are done."""
        return self._decoder.finish(report)

    def take(self, rows: Any) -> Images:
        """The images of these rows."""
        rows = np.asarray(rows)
        part = Images([self.files[i] for i in rows], self.shape[1:], self.cache)
        part._decoder.copy_from(self._decoder, rows)
        return part

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        rows = np.arange(len(self))[first]
        self.wait(np.atleast_1d(rows).ravel())
        return np.multiply(self.array[(rows, *rest)], SCALE, dtype=np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("images are kept as bytes: an array of them is a copy")
        self.wait()
        array = np.multiply(self.array, SCALE, dtype=np.float32)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __repr__(self) -> str:
        n, height, width, channels = self.shape
        return f"<{n:,} images of {height} x {width} x {channels}, {self._decoder.count():,} decoded>"


class Decoder:
    """The threads that fill an array, and what they have done. It does not keep the `Images` alive."""

    def __init__(self, files: list[str], array: np.ndarray) -> None:
        self.files = files
        self.array = array
        self.state = np.full(len(files), WAITING, np.uint8)
        self.errors: dict[int, ValueError] = {}
        self.order = np.arange(len(files))
        self.position = 0
        self.urgent: list[int] = []
        self.closed = False
        self._begin()

    def _begin(self) -> None:
        self.process = os.getpid()
        self.changed = threading.Condition()
        self.threads: list[threading.Thread] = []

    def _start(self, order: Array | None = None) -> None:
        """Threads, if there is work and there are none; a forked child has lost its parent's."""
        if self.process != os.getpid():
            self._begin()
            self.state[self.state == TAKEN] = WAITING
        with self.changed:
            if order is not None:
                self.order = np.concatenate([order, np.setdiff1d(np.arange(len(self.files)), order)])
                self.position = 0
            self.threads = [thread for thread in self.threads if thread.is_alive()]
        if not self.threads and (self.state == WAITING).any():
            self.position = 0
            self.threads = [
                threading.Thread(target=self._work, name="fastnet images", daemon=True)
                for _ in range(config.get_num_threads())
            ]
            for thread in self.threads:
                thread.start()

    def _work(self) -> None:
        while rows := self._next():
            failed: dict[int, Any] = {}
            for row in rows:
                try:
                    image_files.decode(self.files[row], self.array[row])
                except Exception as error:
                    failed[row] = error
            with self.changed:
                self.state[rows] = DONE
                for row, found in failed.items():
                    self.state[row] = BROKEN
                    self.errors[row] = found
                self.changed.notify_all()

    def _next(self) -> list[int]:
        """Rows for one thread, marked as taken; nothing when all are."""
        with self.changed:
            rows: list[int] = []
            while len(rows) < TOGETHER and not self.closed:
                if self.urgent:
                    row = self.urgent.pop()
                elif self.position < len(self.order):
                    row = int(self.order[self.position])
                    self.position += 1
                else:
                    break
                if self.state[row] == WAITING:
                    self.state[row] = TAKEN
                    rows.append(row)
            return rows

    def prefer(self, order: Array) -> None:
        if not (self.state == DONE).all():
            self._start(order)

    def wait(self, rows: Any) -> None:
        rows = np.asarray(rows)
        if (self.state[rows] == DONE).all():
            return
        self._start()
        with self.changed:
            self.urgent = [int(row) for row in rows[::-1] if self.state[row] == WAITING]
            while not (self.state[rows] >= DONE).all():
                self.changed.wait()
            broken = rows[self.state[rows] == BROKEN]
        if len(broken):
            raise self.errors[int(broken[0])]

    def finish(self, report: Callable[[int], object] | None = None) -> dict[int, ValueError]:
        self._start()
        with self.changed:
            while not (self.state >= DONE).all():
                self.changed.wait()
                if report is not None:
                    report(int((self.state >= DONE).sum()))
        return dict(sorted(self.errors.items()))

    def count_done(self, rows: Array) -> int:
        """How many of the rows, from the first on, are decoded."""
        waiting = self.state[rows] != DONE
        return int(waiting.argmax()) if waiting.any() else len(rows)

    def count(self) -> int:
        return int((self.state == DONE).sum())

    def copy_from(self, other: Decoder, rows: Array) -> None:
        done = other.state[rows] == DONE
        self.array[done] = other.array[rows[done]]
        self.state[done] = DONE

    def close(self) -> None:
        self.closed = True


def _allocate(shape: tuple[int, ...], cache: Path | None) -> np.ndarray:
    """Memory that takes up room as it is filled, or a temporary file's that has its room already."""
    size = int(np.prod(shape, dtype=np.int64))
    if cache is not None:
        with tempfile.TemporaryFile(dir=cache, prefix="fastnet-images-") as file:
            file.truncate(size)
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error now, not a fault later
            return np.memmap(file, np.uint8, "r+", shape=shape) if size else np.empty(shape, np.uint8)
    memory = _memory_of_the_machine()
    if memory is not None and size > memory:
        raise ValueError(
            f"{shape[0]:,} images of {' x '.join(map(str, shape[1:]))} take {size / 2**30:.1f} GiB, more than the "
            f"memory of this machine ({memory / 2**30:.1f} GiB); give a smaller size, or cache=, a folder for a temporary file"
        )
    return np.empty(shape, np.uint8)


def _memory_of_the_machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
