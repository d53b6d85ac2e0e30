"""The averaged weights of a training run, and their exchange with the network's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.native.arena import Block
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace

if TYPE_CHECKING:
    from fastnet.averages import WeightAverage
    from fastnet.graph import Graph
    from fastnet.network import Network
    from fastnet.parameters import Parameter, Segment
    from fastnet.training.batches import BatchFeed
    from fastnet.training.steps import Feed
    from fastnet.types import Array

__all__ = ["AverageState"]


class AverageState:
    """The average of a graph's trainable parameters: an array for each segment, and how many weights are in it."""

    def __init__(self, rule: WeightAverage, graph: Graph) -> None:
        self.rule = rule
        self.segments: list[Segment] = list({p.segment: None for p in graph.parameters.values() if p.trainable})
        self.arrays = [
            Memory("averaged weights", segment.allocate("the averaged weights")) for segment in self.segments
        ]
        self.counts = [Memory("count of averaged weights", Block(8)) for _ in self.segments]
        self.shown = False  # whether the network has the averaged weights, and `arrays` its own
        # Running statistics that the network hasn't at present: the averaged weights', or training's while these are shown.
        self.statistics: dict[Parameter, Array] = {}
        self.renewed_at = 0  # the count of weights whose average has these statistics

    @staticmethod
    def _bytes(segment: Segment) -> int:
        return segment.trainable_size * segment.dtype.itemsize

    @property
    def count(self) -> int:
        """Weights averaged so far."""
        return int(self.counts[0].array(np.int64)[0]) if self.counts else 0

    def record(self, recording: Recording) -> None:
        """Record that the present weights take part."""
        for segment, array, count in zip(self.segments, self.arrays, self.counts, strict=True):
            n = segment.trainable_size
            recording.call(
                "average",
                reads={"w": recording.outside(segment.values, (n,)), "control": recording.control_field()},
                updates={"a": recording.outside(array, (n,)), "count": recording.outside(count, (1,), np.int64)},
                work=4 * n, n=n, decay=self.rule.decay,
            )  # fmt: skip

    def take(self, dtype: str) -> None:
        """Let the present weights take part."""
        recording = Recording(dtype)
        self.record(recording)
        Program(recording, Workspace(), ControlBlock(), "an average").run()

    def exchange(self, shown: bool) -> None:
        """Give the network the averaged weights, if there are any, or its own."""
        if shown == self.shown or not self.count:
            return
        for segment, array in zip(self.segments, self.arrays, strict=True):
            own = segment.values.array(np.uint8, self._bytes(segment))
            other = array.array(np.uint8, self._bytes(segment))
            kept = own.copy()
            own[:] = other
            other[:] = kept
        for buffer, value in self.statistics.items():
            self.statistics[buffer] = buffer.value.copy()
            buffer.assign(value)
        self.shown = shown

    def renew_statistics(self, net: Network, feed: Feed | BatchFeed, batch_size: int) -> None:
        """Give batch normalization the statistics of the averaged weights, if these are shown and it has older ones."""
        if not (self.shown and self.rule.renews_statistics and self.renewed_at < self.count):
            return
        found = statistics_of(net, feed, batch_size)
        for buffer, value in found.items():
            self.statistics.setdefault(buffer, buffer.value.copy())
            buffer.assign(value)
        self.renewed_at = self.count


def statistics_of(net: Network, feed: Feed | BatchFeed, batch_size: int) -> dict[Parameter, Array]:
    """By buffer, the mean of the running statistics that the batches of the data have under the present weights."""
    norms: list[Any] = [layer for layer in net.layers if hasattr(layer, "running_mean") and layer.trainable]
    if not norms:
        return {}
    buffers: list[Parameter] = [buffer for layer in norms for buffer in (layer.running_mean, layer.running_variance)]
    before = [buffer.value.copy() for buffer in buffers]
    totals = [np.zeros(buffer.shape) for buffer in buffers]
    momenta = [layer.momentum for layer in norms]
    forwards = net.executor.control.forward
    batches = 0
    try:
        for layer in norms:
            layer.momentum = 1.0
        for x in feed.batches(batch_size):
            net.forward(x if feed.scale == 1 else x * np.asarray(feed.scale, net.dtype), training=True)
            batches += 1
            for total, buffer in zip(totals, buffers, strict=True):
                total += buffer.value
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for buffer, value in zip(buffers, before, strict=True):
            buffer.assign(value)
        net.executor.control.forward = forwards
    return {buffer: total / batches for buffer, total in zip(buffers, totals, strict=True)}
