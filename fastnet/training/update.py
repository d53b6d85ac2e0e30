"""What a step does between its gradients and its new weights: clipping, the optimizer's rules, constraints, averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels.update import BLOCK, RANGE
from fastnet.native.arena import Block
from fastnet.recording import Context, Memory, Recording
from fastnet.training.averaging import AverageState

if TYPE_CHECKING:
    from fastnet.averages import WeightAverage
    from fastnet.graph import Graph
    from fastnet.optimizers import Optimizer
    from fastnet.parameters import Parameter, Segment
    from fastnet.recording import Tensor

__all__ = ["Clipping", "Update"]

GREAT_MATRIX = 16 * BLOCK  # elements of a parameter that is a range of its own in the update


@dataclass(frozen=True)
class Clipping:
    """How gradients are kept small: by their norm over all parameters, or each parameter's, or element by element."""

    norm: float | None = None
    parameter_norm: float | None = None
    value: float | None = None

    @classmethod
    def of(cls, norm: float | None, parameter_norm: float | None, value: float | None) -> Clipping:
        """From the arguments clip_norm, clip_parameter_norm and clip_value, of which one may be given."""
        given = {
            name: checks.real_number(name, limit, above=0)
            for name, limit in (("clip_norm", norm), ("clip_parameter_norm", parameter_norm), ("clip_value", value))
            if limit is not None
        }
        if len(given) > 1:
            raise ValueError(f"give one of {' and '.join(given)}: each clips the same gradients")
        return cls(*(given.get(name) for name in ("clip_norm", "clip_parameter_norm", "clip_value")))


class Update:
    """Records the update phase of a step, and owns what the optimizer keeps from step to step.

    Parameters
    ----------
    optimizer : Optimizer
    graph : Graph
    clipping : Clipping
    accumulate : int
        Batches of one update.
    average : WeightAverage or None
    """

    def __init__(self, optimizer: Optimizer, graph: Graph, clipping: Clipping = Clipping(), accumulate: int = 1,
                 average: WeightAverage | None = None) -> None:  # fmt: skip
        self.optimizer = optimizer
        self.graph = graph
        self.clipping = clipping
        self.accumulate = accumulate
        self.average = None if average is None else AverageState(average, graph)
        optimizer.check_groups([p for p in graph.parameters.values() if p.trainable])
        self.sources = optimizer.rate_sources()
        self.states: dict[tuple[Segment, Optimizer | None, str], Memory] = {}  # by segment, rule and name

    def array(self, segment: Segment, rule: Optimizer | None, name: str) -> Memory:
        """One of a rule's arrays, as long as the segment's parameters; zero at first."""
        return self._state(segment, rule, name, lambda: segment.allocate(f"the optimizer's {name}"))

    def scalar(self, segment: Segment, rule: Optimizer | None, name: str) -> Memory:
        """One of a rule's numbers, float64; zero at first."""
        return self._state(segment, rule, name, lambda: Block(8))

    def _state(self, segment: Segment, rule: Optimizer | None, name: str, allocate: Callable[[], Block]) -> Memory:
        key = segment, rule, name
        if key not in self.states:
            self.states[key] = Memory(f"optimizer's {name}", allocate())
        return self.states[key]

    def parts(self, recording: Recording) -> list[Part]:
        """Which elements of which memory are updated by which rule now; frozen layers are left out.

        All rows are in one table, as the step's learning rates and the clipping are for all of them.
        """
        updated = set(self.graph.trainable_parameters())
        found: list[Part] = []
        rows: list[list[Any]] = []
        for rule, chosen in self.optimizer.parts([p for p in self.graph.parameters.values() if p.trainable]):
            of_segment: dict[Segment, list[Parameter]] = {}
            for parameter in chosen:
                if parameter in updated:
                    of_segment.setdefault(parameter.segment, []).append(parameter)
            for segment, parameters in of_segment.items():
                ranges = [self._row(rule, p) for p in parameters]
                if self.clipping.parameter_norm is None and rule.elementwise:
                    ranges = _joined(ranges, segment)
                found.append(Part(self, recording, segment, rule, parameters, len(rows), ranges))
                rows += ranges
        memory = Memory("ranges", Block(len(rows) * RANGE.itemsize))
        memory.array(RANGE)[:] = [tuple(row) for row in rows]
        for part in found:
            part.memory = memory
        return found

    def _row(self, rule: Optimizer, parameter: Parameter) -> list[Any]:
        """A row of `RANGE` for one parameter."""
        group = rule.group_of(parameter)
        source = rule if group is None or group.learning_rate is None else group
        limit = math.inf if self.clipping.value is None else self.clipping.value
        return [
            parameter.offset // parameter.dtype.itemsize, parameter.size, self.sources.index(source),
            int(rule.decoupled_weight_decay), rule.decay_of(parameter, group), limit, 0.0, 1.0,
        ]  # fmt: skip

    def record_begin(self, recording: Recording, learning_rates: Memory) -> list[Part]:
        """Record the first call of a step, which counts it and takes its learning rates."""
        parts = self.parts(recording)
        rates = recording.outside(learning_rates, (len(self.sources),), np.float64)
        rows = sum(part.n_ranges for part in parts)
        recording.call(
            "step_begin", reads={"learning_rates": rates},
            updates={"ranges": parts[0].table(rows) if parts else None, "control": recording.control_field()},
            n_ranges=rows, n_groups=len(self.sources),
        )  # fmt: skip
        return parts

    def record(self, recording: Recording, parts: list[Part], batch: int = 0) -> None:
        """Record the update phase: it changes nothing if the step's status is bad.

        With a batch, its gradients may have to wait for those of others.
        """
        recording.mark("update")
        control = {"control": recording.control_field()}
        waits = batch and self.accumulate > 1
        if waits:
            self._record_waiting(recording, parts, batch)
        if self.clipping.norm is not None or self.clipping.parameter_norm is not None:
            self._record_clipping(recording, parts)
        ctx = Context(recording, "", True)
        for part in parts:
            with recording.at("update"):
                part.rule.record_update(ctx, part)
        self._record_constraints(ctx, parts)
        if self.average is not None and not self.average.rule.by_epoch:
            self.average.record(recording)
        if waits:
            recording.call("resume", updates=control, every=self.accumulate, batch=batch)

    def _record_waiting(self, recording: Recording, parts: list[Part], batch: int) -> None:
        """Add the gradients to those of the batches before; unless this is the last of them, pass over the update."""
        control = recording.control_field()
        for part in parts:
            total = recording.outside(
                self.array(part.segment, None, "sum of gradients"), (part.segment.trainable_size,)
            )
            recording.call(
                "join_batches", reads={"ranges": part.ranges, "control": control},
                updates={"g": part.gradients, "sum": total}, work=4 * part.elements,
                n_ranges=part.n_ranges, every=self.accumulate, batch=batch,
            )  # fmt: skip
        recording.call("wait", updates={"control": control}, every=self.accumulate, batch=batch)

    def _record_clipping(self, recording: Recording, parts: list[Part]) -> None:
        """Find the factors that gradients are scaled by in the update."""
        partials = recording.tensor((sum(part.blocks for part in parts) + 1,), np.float64)
        start = 0
        for part in parts:
            recording.call(
                "squares", reads={"g": part.gradients, "ranges": part.ranges},
                updates={"partials": partials.shifted(start)}, work=4 * part.elements, n_ranges=part.n_ranges,
            )  # fmt: skip
            start += part.blocks
        rows = sum(part.n_ranges for part in parts)
        each = self.clipping.parameter_norm is not None
        recording.call(
            "clip", reads={"partials": partials},
            updates={"ranges": parts[0].table(rows) if parts else None, "control": recording.control_field()},
            n_ranges=rows, each=int(each), clip_norm=self.clipping.parameter_norm if each else self.clipping.norm,
        )  # fmt: skip

    def _record_constraints(self, ctx: Context, parts: list[Part]) -> None:
        updated = {parameter for part in parts for parameter in part.parameters}
        for parameter, rule in self.graph.rules("constraint"):
            if parameter in updated:
                columns = parameter.shape[-1] if parameter.shape else 1
                ctx.call(
                    "constrain", reads={"control": ctx.recording.control_field()}, updates={"w": ctx.value(parameter)},
                    work=8 * parameter.size, rows=parameter.size // columns, columns=columns, kind=rule.kind,
                    limit=rule.limit,
                )  # fmt: skip


class Part:
    """Elements of one segment that one rule updates: what `Optimizer.record_update` gets.

    Attributes
    ----------
    parameters : list of Parameter
    ranges, gradients, values : Tensor
    """

    memory: Memory  # of the table of ranges

    def __init__(self, update: Update, recording: Recording, segment: Segment, rule: Optimizer,
                 parameters: Sequence[Parameter], first_row: int, rows: list[list[Any]]) -> None:  # fmt: skip
        self.update = update
        self.recording = recording
        self.segment = segment
        self.rule = rule
        self.parameters = parameters
        self.first_row = first_row
        self.n_ranges = len(rows)
        self.blocks = sum(-(-row[1] // BLOCK) for row in rows)
        self.elements = sum(row[1] for row in rows)

    def _flat(self, memory: Memory) -> Tensor:
        return self.recording.outside(memory, (self.segment.trainable_size,))

    @property
    def gradients(self) -> Tensor:
        return self._flat(self.segment.gradients)

    @property
    def values(self) -> Tensor:
        return self._flat(self.segment.values)

    def state(self, name: str) -> Tensor:
        """One of the rule's arrays."""
        return self._flat(self.update.array(self.segment, self.rule, name))

    def scalar(self, name: str) -> Tensor:
        """One of the rule's numbers."""
        return self.recording.outside(self.update.scalar(self.segment, self.rule, name), (1,), np.float64)

    @property
    def ranges(self) -> Tensor:
        return self.table(self.n_ranges)

    def range_of(self, index: int) -> Tensor:
        """The range of one of the parameters, where the rule is not elementwise."""
        return self.table(1, index)

    def table(self, rows: int, start: int = 0) -> Tensor:
        """Rows of the table of ranges, counted from this part's first one, as whole words: it is no array of results."""
        words = RANGE.itemsize // 8
        offset = (self.first_row + start) * RANGE.itemsize
        return self.recording.outside(self.memory, (rows * words,), np.int64, offset)

    def arguments(self) -> dict[str, Any]:
        """The fields that all update kernels share, and one for each array and number of the rule's state."""
        state = {name: self.state(name) for name in self.rule.state}
        scalars = {name: self.scalar(name) for name in self.rule.scalars}
        return {
            "reads": {"g": self.gradients, "ranges": self.ranges, "control": self.recording.control_field()},
            "updates": {"w": self.values, **state, **scalars},
            "work": 8 * self.elements,
            "n_ranges": self.n_ranges,
        }


def _joined(rows: list[list[Any]], segment: Segment) -> list[list[Any]]:
    """Ranges in ascending order; small ones with the same settings that only padding separates become one.

    Threads divide each range: a great matrix stays one of its own, so that a thread updates the rows whose
    gradients it has computed.
    """
    per_line = 64 // segment.dtype.itemsize
    joined: list[list[Any]] = []
    for row in sorted(rows):
        if joined:
            before = joined[-1]
            end = -(-(before[0] + before[1]) // per_line) * per_line
            if end == row[0] and before[2:] == row[2:] and max(before[1], row[1]) < GREAT_MATRIX:
                before[1] = row[0] + row[1] - before[0]
                continue
        joined.append(row)
    return joined
