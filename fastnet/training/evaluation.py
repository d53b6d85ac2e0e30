"""Loss and metrics of a network on data, without changing it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import containers, labels
from fastnet.datasets.images import Images
from fastnet.distributed.ranks import even_parts
from fastnet.execution import PREDICT_BATCH, Programs
from fastnet.native.plan import ControlBlock
from fastnet.recording import Program
from fastnet.training.batches import BatchFeed
from fastnet.training.faults import BAD_DATA
from fastnet.training.mapped import MappedFeed
from fastnet.training.progress import Pace
from fastnet.training.steps import Feed, Sums, evaluation_step

if TYPE_CHECKING:
    from fastnet.distributed import Ranks
    from fastnet.execution import Executor
    from fastnet.losses import Loss
    from fastnet.metrics import Metric
    from fastnet.training.passes import Pass
    from fastnet.types import Array, Figures

__all__ = ["Evaluator"]


class Evaluator:
    """Evaluates one network with one loss and list of metrics, again and again."""

    def __init__(self, executor: Executor, loss: Loss, metrics: Sequence[Metric]) -> None:
        self.executor = executor
        self.loss = loss
        self.metrics = metrics
        self.sums = Sums(metrics, executor.graph.output_shape)
        self.sums.control = ControlBlock()
        self._programs = Programs()
        self._pace = Pace()

    def form(self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, *, x_name: str = "x",
             y_name: str = "y", weight_name: str = "sample_weight", ordered: bool = False) -> Feed:  # fmt: skip
        """The feed of some data. Of x and y dtypes and shapes are looked at, and that they belong together."""
        graph = self.executor.graph
        images = x if isinstance(x, Images) else None
        containers.check_order(x_name, x, y_name, y)
        x = labels.check_inputs(x_name, x if images is None else images.array, graph.input_shape, keep_mapped=True)
        targets = labels.form_of(self.loss, y, graph.output_shape, y_name, keep_mapped=images is None)
        labels.check_length(y_name, targets.array, x_name, len(x))
        for metric in self.metrics:
            metric.check(targets, graph.output_shape)
        if class_weight is not None:
            labels.scan_targets(targets, y_name)
        weights = labels.combined_weights(sample_weight, class_weight, targets, self.executor.dtype, weight_name)
        if images is None and (_is_mapped(x) or _is_mapped(targets.array)):
            return MappedFeed(x, targets, weights, (x_name, y_name))
        return Feed(x, targets, weights, ordered=ordered, checked=False, images=images)

    def feed(self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, *, x_name: str = "x",
             y_name: str = "y", ordered: bool = False) -> Feed:  # fmt: skip
        """Check data before anything is computed: all that is in memory; memory maps are checked as they are read."""
        feed = self.form(x, y, sample_weight, class_weight, x_name=x_name, y_name=y_name, ordered=ordered)
        if feed.images is None and not _is_mapped(feed.x):
            labels.scan_inputs(x_name, feed.x, containers.names_of(x))
        if not _is_mapped(feed.targets.array):
            labels.scan_targets(feed.targets, y_name)
        return feed

    def run(self, feed: Feed | BatchFeed, batch_size: int | None = None, pause: Callable[[], object] | None = None,
            ranks: Ranks | None = None) -> Figures:  # fmt: skip
        """The figures of checked data, averaged by the samples' weights.

        Like training it returns to Python about every 50 ms, and calls `pause` then. With `ranks` each of them has its part of the
        batches, and the batches' sums are added in their order: the figures don't depend on the number of ranks.
        """
        # What gives batches may use the network itself, from a thread of its own.
        with nullcontext() if isinstance(feed, BatchFeed) else self.executor.lock:
            if ranks is None:
                self._run(feed.begin(batch_size or PREDICT_BATCH), pause)
                return self.sums.result()
            rows: list[Array] = []
            with ranks.agreeing():
                data = part_of(feed, ranks)
                if data is not None:
                    self._run(data, pause, rows)
            own = np.array(rows, np.float64).reshape(len(rows), len(self.sums.array))
            self.sums.clear()
            for row in ranks.gather_rows(own):
                self.sums.array += row
            return self.sums.result()

    def _run(self, data: Pass, pause: Callable[[], object] | None, rows: list[Array] | None = None) -> None:
        """Make the sums of a pass; or put those of each batch into `rows`."""
        control = self.sums.control
        self.sums.clear()
        with closing(data):
            while batch := data.upcoming():
                piece = data.piece(1 if rows is not None else self._pace.steps_of(batch))
                program = self._program(piece.feed, batch)
                with self.executor.lock:
                    piece.feed.bind(program)
                    control.cursor, control.status = piece.cursor, 0
                    begun = time.perf_counter()
                    program.run(n_steps=piece.steps)
                    self._pace.timed(batch, piece.steps, time.perf_counter() - begun)
                if control.status in BAD_DATA:
                    good = (control.cursor - piece.cursor) // batch
                    raise ValueError(data.fault(piece, control.status, good) or BAD_DATA[control.status])
                if rows is not None:
                    rows.append(self.sums.array.copy())
                    self.sums.clear()
                if control.status:
                    break  # a loss that is not finite
                data.advance(piece.steps)
                if pause is not None and data.upcoming():
                    pause()

    def _program(self, feed: Feed, batch: int) -> Program:
        def make() -> Program:
            with self.executor.lock.recording:
                return evaluation_step(self.executor, self.loss, self.sums, feed, batch)

        return self._programs.get((batch, feed.key()), make)


def part_of(feed: Feed | BatchFeed, ranks: Ranks) -> Pass | None:
    """A pass over this rank's batches; None where it has none. What gives batches, or is in shards, is the rank's already."""
    if isinstance(feed, BatchFeed) or ranks.data == "shards":
        return feed.begin(PREDICT_BATCH)
    n = feed.samples
    batches = even_parts(-(-n // PREDICT_BATCH), ranks.size)
    start = sum(batches[: ranks.rank]) * PREDICT_BATCH
    end = min(start + batches[ranks.rank] * PREDICT_BATCH, n)
    return feed.begin(PREDICT_BATCH, None, end, start) if end > start else None


def _is_mapped(array: Any) -> bool:
    return containers.mapping_of(array) is not None
