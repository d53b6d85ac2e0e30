"""What an optimizer and an average keep, by the names of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.optimizers import Optimizer
    from fastnet.parameters import Segment
    from fastnet.recording import Memory
    from fastnet.training.averaging import AverageState
    from fastnet.training.update import Update
    from fastnet.types import Array

__all__ = ["average_state", "optimizer_state", "set_average_state", "set_optimizer_state"]


def _flat(memory: Memory, segment: Segment) -> Array:
    return memory.array(segment.dtype, segment.trainable_size)


def _slices(graph: Graph, segment: Segment) -> dict[str, slice]:
    """Where the trainable parameters of a segment lie, by name."""
    found = {}
    for name, parameter in graph.parameters.items():
        if parameter.trainable and parameter.segment is segment:
            start = parameter.offset // segment.dtype.itemsize
            found[name] = slice(start, start + parameter.size)
    return found


def _by_name(memory: Memory, segment: Segment, graph: Graph) -> dict[str, Array]:
    flat = _flat(memory, segment)
    return {name: flat[where].reshape(graph.parameters[name].shape) for name, where in _slices(graph, segment).items()}


def _set_by_name(memory: Memory, segment: Segment, graph: Graph, arrays: dict[str, Array]) -> None:
    flat = _flat(memory, segment)
    for name, where in _slices(graph, segment).items():
        shape, found = graph.parameters[name].shape, arrays[name]
        if found.shape != shape or found.dtype != segment.dtype:
            raise ValueError(
                f"a state of {name!r} is of shape {found.shape} and {found.dtype}, not {shape} {segment.dtype}"
            )
        flat[where] = found.reshape(-1)


def _segments(graph: Graph) -> list[Segment]:
    return list(dict.fromkeys(parameter.segment for parameter in graph.parameters.values()))


def _rules(update: Update) -> list[Optimizer | None]:
    """The rules in a fixed order; None has the gradients that wait for those of other batches."""
    parameters = [p for p in update.graph.parameters.values() if p.trainable]
    return [None, *(rule for rule, _ in update.optimizer.parts(parameters))]


def optimizer_state(update: Update) -> list[dict[str, Any]]:
    """What each rule keeps for each segment.

    Returns
    -------
    list of dict
        "rule" (its number, 0 for the sum of gradients), "segment" (its number), "name", and "arrays" (by parameter) or "number".
    """
    rules, segments = _rules(update), _segments(update.graph)
    found = []
    for (segment, rule, name), memory in update.states.items():
        place = {"rule": rules.index(rule), "segment": segments.index(segment), "name": name}
        if rule is not None and name in rule.scalars:
            found.append({**place, "number": float(memory.array("float64")[0])})
        else:
            found.append({**place, "arrays": _by_name(memory, segment, update.graph)})
    return found


def set_optimizer_state(update: Update, states: list[dict[str, Any]]) -> None:
    """Take up what `optimizer_state` gave for the same network and optimizer."""
    rules, segments = _rules(update), _segments(update.graph)
    for state in states:
        rule, segment, name = rules[state["rule"]], segments[state["segment"]], state["name"]
        if "number" in state:
            update.scalar(segment, rule, name).array("float64")[:] = state["number"]
        else:
            _set_by_name(update.array(segment, rule, name), segment, update.graph, state["arrays"])


def average_state(average: AverageState, graph: Graph) -> dict[str, Any]:
    """The averaged weights (or, while the network has these, its own), with how many are in them, and their statistics."""
    names = {parameter: name for name, parameter in graph.parameters.items()}
    arrays: dict[str, Array] = {}
    for segment, array in zip(average.segments, average.arrays, strict=True):
        arrays |= _by_name(array, segment, graph)
    return {
        "arrays": arrays,
        "counts": [int(count.array("int64")[0]) for count in average.counts],
        "statistics": {names[buffer]: value for buffer, value in average.statistics.items()},
        "shown": average.shown,
        "renewed_at": average.renewed_at,
    }


def set_average_state(average: AverageState, graph: Graph, state: dict[str, Any]) -> None:
    """Take up what `average_state` gave for the same network."""
    for segment, array in zip(average.segments, average.arrays, strict=True):
        _set_by_name(array, segment, graph, state["arrays"])
    for memory, count in zip(average.counts, state["counts"], strict=True):
        memory.array("int64")[:] = count
    average.statistics = {graph.parameters[name]: value for name, value in state["statistics"].items()}
    average.shown, average.renewed_at = state["shown"], state["renewed_at"]
