"""Gradients that are added over ranks in parts, each as soon as the backward pass has computed it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastnet.parameters import ALIGNMENT

if TYPE_CHECKING:
    from fastnet.distributed import Ranks
    from fastnet.graph import Graph, Node
    from fastnet.parameters import Parameter, Segment
    from fastnet.recording import Recording

__all__ = ["Buckets", "ranges_of"]


def ranges_of(segment: Segment, parameters: Iterable[Parameter]) -> list[slice]:
    """Where these parameters, in the order of their places, lie in a segment, in elements; what only padding separates is one
    range."""
    per_line = ALIGNMENT // segment.dtype.itemsize
    found: list[slice] = []
    for parameter in parameters:
        if parameter.segment is segment:
            start = parameter.offset // segment.dtype.itemsize
            end = start + parameter.size
            if found and -(-found[-1].stop // per_line) * per_line == start:
                found[-1] = slice(found[-1].start, end)
            else:
                found.append(slice(start, end))
    return found


class Buckets:
    """Records where in a backward pass the adding of gradients begins, and where it has to have ended.

    A bucket has neighbours in one segment. It begins behind the last layer, in the order of the backward pass, that adds to one of
    its gradients; the calls of all ranks are in the same order, as that of the graph is.

    Parameters
    ----------
    recording : Recording
    ranks : Ranks
    graph : Graph
    parameters : list of Parameter
        Whose gradients are added, in the order of their places.
    least : int
        Bytes of a bucket; the last one of a segment may have fewer.
    """

    def __init__(
        self, recording: Recording, ranks: Ranks, graph: Graph, parameters: list[Parameter], least: int
    ) -> None:
        self.recording, self.ranks = recording, ranks
        chosen = set(parameters)
        self._writers = Counter(p for node in graph.nodes for p in node.layer.parameters() if p in chosen)
        self._buckets: list[list[Parameter]] = []
        size = least
        for parameter in reversed(parameters):
            if size >= least or parameter.segment is not self._buckets[-1][0].segment:
                self._buckets.append([])
                size = 0
            self._buckets[-1].append(parameter)
            size += parameter.size * parameter.dtype.itemsize
        self._waits: list[Callable[[], None]] = []

    def behind(self, node: Node) -> None:
        """Behind a layer's backward pass: begin the buckets to which nothing will be added any more."""
        for parameter in node.layer.parameters():
            if parameter in self._writers:
                self._writers[parameter] -= 1
        ready = [bucket for bucket in self._buckets if not any(self._writers[parameter] for parameter in bucket)]
        for bucket in ready:
            self._begin(bucket)

    def begin_rest(self) -> None:
        """Behind the backward pass: begin those that are left."""
        for bucket in list(self._buckets):
            self._begin(bucket)

    def _begin(self, bucket: list[Parameter]) -> None:
        self._buckets.remove(bucket)
        segment: Any = bucket[0].segment
        whole = self.recording.outside(segment.gradients, (segment.trainable_size,))
        ranges = ranges_of(segment, reversed(bucket))

        def begin(inputs: list[Any], outputs: list[Any]) -> None:
            self._waits += [self.ranks.begin_adding(outputs[0][where]) for where in ranges]

        self.recording.python(begin, [], [whole], collective=True)

    def wait(self) -> None:
        """In the step: until all of them are added."""
        for wait in self._waits:
            wait()
        self._waits.clear()
