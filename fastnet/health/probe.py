"""What is measured inside of a training step: statistics of weights, gradients, updates and activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet.graph import INPUT
from fastnet.health.flat_ends import Ends, ends_of
from fastnet.native.arena import Block
from fastnet.recording import Memory, Recording, Tensor
from fastnet.training.steps import Probe

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.parameters import Parameter, Segment
    from fastnet.recording.recording import Node
    from fastnet.types import Array

__all__ = ["BINS", "AgreementProbe", "Item", "StatisticsProbe"]

#: Bins of a histogram, and what stands before them in a result (native/kernels/statistics.pxi).
BINS = 64
HEAD = ("size", "bad", "zeros", "sum", "squares", "least", "greatest")
WIDTH = len(HEAD) + BINS

# Values of a layer's output that are enough for its statistics, and samples.
VALUES, MOST_SAMPLES = 65_536, 32


@dataclass(frozen=True)
class Item:
    """One array that is looked at.

    Attributes
    ----------
    name : str
        The parameter's ("dense_1.weight") or the layer's ("dense_1").
    layer : str
    kind : {"weight", "gradient", "update", "activation"}
    row : int
        Which result it is.
    activation : str or None
        The function that a layer's output has come through.
    units : slice or None
        Where its counts of units are, if it has some.
    ends : Ends or None
        Of the activation, where units are counted.
    """

    name: str
    layer: str
    kind: str
    row: int
    activation: str | None = None
    units: slice | None = None
    ends: Ends | None = None


class StatisticsProbe(Probe):
    """Statistics of a step's arrays.

    Parameters
    ----------
    graph : Graph
    samples : int or None
        Of a batch's outputs the first so many are looked at, by default those that have 65,536 values, and at most 32; weights,
        gradients and updates are looked at whole.
    parameters : list of Parameter, optional
        By default those that are trained now.

    Attributes
    ----------
    items : list of Item
    results : ndarray (items, WIDTH)
        Not a number where an output has no memory of its own, as its layer is part of another call.
    active, saturated : ndarray
        For the units of all items that have some: in how many rows they are on, and saturated.
    """

    def __init__(self, graph: Graph, samples: int | None = None, parameters: Sequence[Parameter] | None = None) -> None:
        self.samples = samples
        self.parameters = graph.trainable_parameters() if parameters is None else parameters
        self.items: list[Item] = []
        units = 0
        for parameter in self.parameters:
            for kind in ("weight", "gradient", "update"):
                self.items.append(Item(parameter.name, parameter.name.rpartition(".")[0], kind, len(self.items)))
        self.items.append(Item(INPUT, INPUT, "activation", len(self.items)))
        for node in graph.nodes:
            activation = getattr(node.layer, "activation", None)
            name, ends = getattr(activation, "name", None), ends_of(activation)
            if node.layer.parameters() or name not in (None, "linear"):
                counted = None
                if ends is not None:
                    counted = slice(units, units + node.shape[-1])
                    units += node.shape[-1]
                self.items.append(Item(node.name, node.name, "activation", len(self.items), name, counted, ends))
        self._results = Memory("health", Block(8 * WIDTH * len(self.items)))
        self._units = [Memory(name, Block(8 * units)) for name in ("active units", "saturated units")]
        self.results = self._results.array(np.float64).reshape(len(self.items), WIDTH)
        self.active, self.saturated = (memory.array(np.float64) for memory in self._units)
        segments = dict.fromkeys(parameter.segment for parameter in self.parameters)
        self._gradients = {segment: _like(segment, "a batch's gradients") for segment in segments}
        self.step_work = self.own_work = 0.0  # of the step of the largest batch, without and in looking
        self._work = 0.0  # of looking, in the recording that is made

    def begin(self) -> None:
        """Before a look: nothing has been found yet."""
        self.results[:] = np.nan

    def kept_gradients(self) -> dict[str, Array]:
        """Of the last look's batch, by parameter: what an `AgreementProbe` compares with. Views."""
        return {
            p.name: self._gradients[p.segment].array(p.dtype, p.size, p.offset).reshape(p.shape)
            for p in self.parameters
        }

    def of(self, kind: str) -> list[Item]:
        return [item for item in self.items if item.kind == kind]

    def _calls(self, recording: Recording, item: Item, x: Tensor, y: Tensor | None = None) -> list[Node]:
        """The call that computes an item's statistics, not yet recorded."""
        aside = Recording(recording.dtype.name)
        aside.place = "health"
        result = recording.outside(self._results, (WIDTH,), np.float64, 8 * WIDTH * item.row)
        reads = {"x": x} if y is None else {"x": x, "y": y}
        aside.call("statistics", reads=reads, writes={"result": result}, work=8 * x.size, n=x.size)
        if item.units is not None and item.ends is not None:
            floor, low, high = item.ends
            columns = x.columns
            counts = [recording.outside(m, (columns,), np.float64, 8 * item.units.start) for m in self._units]
            aside.call(
                "unit_activity", reads={"y": x}, writes={"active": counts[0], "saturated": counts[1]}, work=8 * x.size,
                rows=x.rows, columns=columns, floor=floor, low=low, high=high,
            )  # fmt: skip
        self._work += sum(node.work for node in aside.nodes)
        return aside.nodes

    def record_forward(self, recording: Recording, graph: Graph) -> None:
        self._work = 0.0
        for item in self.of("activation"):
            y = graph.values[item.name]
            samples = min(self.samples or min(MOST_SAMPLES, 1 + VALUES * y.shape[0] // y.size), y.shape[0])
            part = Tensor((samples, *y.shape[1:]), y.dtype, y.storage, y.start)
            recording.watch(y, self._calls(recording, item, part))

    def record_gradients(self, recording: Recording, graph: Graph) -> None:
        self._before: dict[Segment, Tensor] = {}
        for segment, kept in self._gradients.items():
            n = segment.trainable_size
            self._before[segment] = recording.tensor((n,))
            _copy(recording, recording.outside(segment.values, (n,)), self._before[segment])
            _copy(recording, recording.outside(segment.gradients, (n,)), recording.outside(kept, (n,)))
        self._look_at_parameters(recording, "gradient")

    def record_update(self, recording: Recording, graph: Graph) -> None:
        self._look_at_parameters(recording, "weight")
        self._look_at_parameters(recording, "update")
        self.step_work = max(self.step_work, sum(node.work for node in recording.nodes if node.place != "health"))
        self.own_work = max(self.own_work, self._work)

    def _look_at_parameters(self, recording: Recording, kind: str) -> None:
        for parameter, item in zip(self.parameters, self.of(kind), strict=True):
            segment, offset = parameter.segment, parameter.offset
            memory = segment.gradients if kind == "gradient" else segment.values
            x = recording.outside(memory, parameter.shape, offset=offset)
            before = self._before[segment]
            y = Tensor(parameter.shape, x.dtype, before.storage, offset) if kind == "update" else None
            recording.nodes += self._calls(recording, item, x, y)


class AgreementProbe(Probe):
    """How much the gradients of a batch agree with those of the batch before, which a `StatisticsProbe` has kept.

    Attributes
    ----------
    results : ndarray (parameters, 3)
        sum g h, sum g^2, sum h^2 of each parameter's gradients g and h.
    """

    def __init__(self, statistics: StatisticsProbe) -> None:
        self.parameters = statistics.parameters
        self._gradients = statistics._gradients
        self._results = Memory("agreement", Block(8 * 3 * len(self.parameters)))
        self.results = self._results.array(np.float64).reshape(len(self.parameters), 3)

    def record_gradients(self, recording: Recording, graph: Graph) -> None:
        for row, parameter in enumerate(self.parameters):
            segment, offset = parameter.segment, parameter.offset
            pair = (segment.gradients, self._gradients[segment])
            x, y = (recording.outside(memory, parameter.shape, offset=offset) for memory in pair)
            recording.call(
                "agreement", reads={"x": x, "y": y},
                writes={"result": recording.outside(self._results, (3,), np.float64, 24 * row)}, work=8 * x.size, n=x.size,
            )  # fmt: skip


def _like(segment: Segment, name: str) -> Memory:
    return Memory(name, segment.allocate(name))


def _copy(recording: Recording, x: Tensor, y: Tensor) -> None:
    with recording.at("health"):
        recording.call("copy_2d", reads={"x": x}, writes={"y": y}, work=4 * x.size, rows=1, cols=x.size, ldx=x.size,
                       ldy=x.size)  # fmt: skip
