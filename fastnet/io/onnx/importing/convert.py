"""Graphs as networks: each operation is computed, or becomes layers by its rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.graph import INPUT
from fastnet.io.onnx.importing import elementwise, folding, norms, patterns, products, shapes, windows  # noqa: F401
from fastnet.io.onnx.importing.builder import Builder, Made
from fastnet.io.onnx.importing.call import OPERATORS, Call
from fastnet.io.onnx.importing.graph import Graph, Operation, UnsupportedError
from fastnet.io.onnx.importing.shapes import CHANNELS_FIRST, TRANSPARENT
from fastnet.io.onnx.importing.values import Value, channels_first, identity

if TYPE_CHECKING:
    from fastnet.types import Shape

__all__ = ["Converted", "convert", "likely_orders", "prepare"]


@dataclass
class Converted:
    """A network that was made, and how the graph's input and output lie in its arrays."""

    builder: Builder
    input: Value
    output: Value


def prepare(graph: Graph) -> None:
    """Compute what is constant, and find what several operations say together."""
    folding.fold_constants(graph)
    patterns.replace(graph)


def convert(
    graph: Graph, orders: Iterable[tuple[int, ...]] | None = None, input_shape: Shape | None = None
) -> Converted:
    """Convert a prepared graph, with the first order of the input's axes for which it can be done.

    Parameters
    ----------
    graph : Graph
    orders : list of tuple, optional
        By default the likely ones.
    input_shape : tuple of int, optional
        The network's, where the graph does not fix it.

    Raises
    ------
    UnsupportedError
        It can't; what is said is about the first order.
    """
    errors = []
    if len(graph.shape) < 2:
        raise UnsupportedError(f"input {graph.input!r} has the shape {graph.shape}; a batch of samples is needed")
    for order in likely_orders(graph) if orders is None else orders:
        try:
            return _convert(graph, order, _input_shape(graph, order, input_shape))
        except UnsupportedError as error:
            errors.append(error)
    raise errors[0]


def likely_orders(graph: Graph) -> list[tuple[int, ...]]:
    """How the input's axes may lie in fastnet's array, the likeliest first."""
    rank = len(graph.shape)
    plain, first = identity(rank), channels_first(rank) if rank > 2 else identity(rank)
    if rank < 3:
        return [plain]
    probe = Call(graph, Builder(), {}, Operation("", "", [], []))
    moved = any(
        reader.operator == "Transpose" and tuple(reader.attributes.get("perm", ())) == first
        for reader in _first_readers(graph)
    )
    if moved:
        return [plain, first]
    if rank > 3 or probe.leads_to(graph.input, CHANNELS_FIRST, TRANSPARENT):
        return [first, plain]
    return [plain, first]


def _first_readers(graph: Graph) -> list[Operation]:
    """The first operations behind the input that are not elementwise."""
    found, seen, waiting = [], set(), [graph.input]
    while waiting:
        for reader in graph.readers.get(waiting.pop(), []):
            if id(reader) in seen:
                continue
            seen.add(id(reader))
            if reader.operator in TRANSPARENT:
                waiting.extend(reader.outputs)
            else:
                found.append(reader)
    return found


def _input_shape(graph: Graph, order: tuple[int, ...], given: Shape | None) -> Shape:
    """The shape of one sample in the network."""
    sizes = graph.shape
    stated = tuple(sizes[order.index(axis)] for axis in range(1, len(order)))
    if given is None:
        fixed = tuple(size for size in stated if size)
        if len(fixed) < len(stated):
            shown = tuple("?" if size is None else size for size in stated)
            raise UnsupportedError(f"the input's shape is not fixed, {shown} for one sample: give input_shape=")
        return fixed
    if len(given) != len(stated) or any(size not in (None, mine) for size, mine in zip(stated, given, strict=True)):
        shown = tuple("?" if size is None else size for size in stated)
        raise UnsupportedError(f"input_shape {tuple(given)} does not fit the graph's, {shown}")
    return tuple(given)


def _convert(graph: Graph, order: tuple[int, ...], shape: Shape) -> Converted:
    constants, computed = dict(graph.constants), graph.computed
    try:
        builder = Builder()
        source = Value(INPUT, shape, order)
        values = {graph.input: source}
        shared = _shared(graph)
        for operation in graph.operations:
            if operation.operator == "Shape" and operation.inputs[0] in values:
                sizes = values[operation.inputs[0]].sizes
                part = slice(operation.attributes.get("start", 0), operation.attributes.get("end"))
                graph.constants[operation.outputs[0]] = np.asarray(sizes[part], np.int64)
            elif not folding.fold(graph, operation):
                _add(graph, builder, values, operation, shared.get(_key(graph, operation)))
        if graph.output not in values:
            raise UnsupportedError(f"the output {graph.output!r} does not depend on the input")
        return Converted(builder, source, values[graph.output])
    finally:
        graph.constants, graph.computed = constants, computed


def _add(graph: Graph, builder: Builder, values: dict[str, Value], operation: Operation,
         shared: dict[Hashable, Made] | None) -> None:  # fmt: skip
    rule = OPERATORS.get(operation.operator)
    if rule is None:
        known = sorted(name for name in OPERATORS if name not in patterns.PSEUDO)
        raise UnsupportedError(
            f"{operation.title()}: the operator {operation.operator} is not supported"
            f"{checks.nearest(operation.operator, known)}; supported are {', '.join(known)}"
        )
    used = [name for name in operation.outputs[1:] if graph.uses[name]]
    if used:
        raise UnsupportedError(f"{operation.title()}: only its first output is supported, and {used[0]!r} is used")
    call = Call(graph, builder, values, operation, shared)
    try:
        result = rule(call)
    except UnsupportedError as error:
        raise UnsupportedError(f"{operation.title()}: {error}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise UnsupportedError(f"{operation.title()}: {error}") from error
    name = operation.outputs[0]
    if result.node in builder.made:
        builder.made[result.node].uses += graph.uses[name] - 1
    values[name] = result


def _key(graph: Graph, operation: Operation) -> Hashable:
    """What two operations have in common that are one layer at two places."""
    weights = tuple(name if name in graph.constants else None for name in operation.inputs)
    return operation.operator, weights, repr(sorted(operation.attributes.items()))


def _shared(graph: Graph) -> dict[Hashable, dict[Hashable, Made]]:
    """For what several operations have in common a place for the layer that they share."""
    counts = Counter(_key(graph, op) for op in graph.operations if any(name in graph.constants for name in op.inputs))
    return {key: {} for key, count in counts.items() if count > 1}
