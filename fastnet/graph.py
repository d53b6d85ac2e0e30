"""Graphs of layers: nodes with named inputs, their shapes, and the order in which they are recorded."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from fastnet import checks, files, initializers
from fastnet.graph_pass import INPUT, GraphPass
from fastnet.kernels import random
from fastnet.layers.base import Layer, type_name
from fastnet.parameters import Parameter, Segment
from fastnet.recording import Context, Recording, Tensor

if TYPE_CHECKING:
    from fastnet.initializers.base import Initializer

__all__ = ["INPUT", "Graph", "Node"]


@dataclass
class Node:
    """A layer at one place of a graph.

    Parameters
    ----------
    name : str
        Unique; dots separate containers: "residual_1.conv2d_2".
    layer : Layer
    inputs : list of str
        Names of nodes, or "input".
    stream : str
        What random draws at this place are keyed by. By default the name; in a network
        made from a list, the path as it is without names that the user gave.
    """

    name: str
    layer: Layer
    inputs: list[str]
    stream: str = ""
    shape: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        self.stream = self.stream or self.name


class Builder:
    """Turns lists and blocks of layers into nodes, and names them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._containers: list[tuple[str, str, Counter[str]]] = [("", "", Counter())]

    def chain(self, layers: Iterable[Layer], x: str) -> str:
        """Add layers one after the other behind node `x`; return the name of the last."""
        for layer in layers:
            x = self.add(layer, [x])
        return x

    def add(self, layer: Layer, inputs: list[str]) -> str:
        """Add a layer (or expand a block) behind the named inputs; return the name of its output."""
        prefix, stream_prefix, counts = self._containers[-1]
        kind = type_name(type(layer))
        counts[kind] += 1
        counted = f"{kind}_{counts[kind]}"
        name, stream = prefix + (layer.given_name or counted), stream_prefix + counted
        if hasattr(layer, "expand"):
            self._containers.append((f"{name}.", f"{stream}.", Counter()))
            output = layer.expand(self, *inputs)
            self._containers.pop()
            return output
        if name == INPUT or any(node.name == name for node in self.nodes):
            raise ValueError(f"name {name!r} is used twice in the network; give one of the layers another name=")
        self.nodes.append(Node(name, layer, list(inputs), stream))
        return name


class Graph:
    """Nodes in an order in which each comes after its inputs; the last named `output` is the result."""

    def __init__(self, nodes: list[Node], output: str | None, input_shape: tuple[int, ...]) -> None:
        self.nodes = _in_order(nodes)
        self.output = output or (self.nodes[-1].name if self.nodes else INPUT)
        self.input_shape = input_shape
        self.by_name = {node.name: node for node in self.nodes}
        if self.output != INPUT and self.output not in self.by_name:
            raise ValueError(f"output {self.output!r} is not a node{checks.nearest(self.output, self.by_name)}")
        self._readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                self._readers.setdefault(name, []).append(node)
        self.parameters: dict[str, Parameter] = {}
        self._set_activations_behind()
        self._build_layers()

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.shape_of(self.output)

    def shape_of(self, name: str) -> tuple[int, ...]:
        return self.input_shape if name == INPUT else self.by_name[name].shape

    def readers(self, name: str) -> list[Node]:
        return self._readers.get(name, [])

    def output_activation(self) -> tuple[Node | None, Any]:
        """The node whose activation makes the network's output, and the activation; (None, None) where it is linear."""
        node = self.by_name.get(self.output)
        while node is not None:
            activation = getattr(node.layer, "activation", None)
            if activation is not None and activation.name != "linear":
                return node, activation
            moves_only = type(node.layer).__name__ in ("Flatten", "Reshape", "Dropout")
            node = self.by_name.get(node.inputs[0]) if moves_only else None
        return None, None

    def _set_activations_behind(self) -> None:
        """Tell each layer the activation behind it, seen through norms, for its default initialization."""
        behind: dict[str, str | None] = {}
        for node in reversed(self.nodes):  # so that what is behind a reader is known already
            readers = self.readers(node.name)
            behind[node.name] = _activation_seen(readers[0], behind) if len(readers) == 1 else None
        for node in self.nodes:
            own = getattr(node.layer, "activation", None)
            if not node.layer.is_built and (own is None or own.name == "linear"):
                node.layer.activation_behind = behind[node.name]

    def _build_layers(self) -> None:
        seen = set()
        for node in self.nodes:
            shapes = [self.shape_of(name) for name in node.inputs]
            layer = node.layer
            if not layer.many_inputs and len(shapes) != 1:
                raise ValueError(f"node {node.name!r} ({type(layer).__name__}) takes one input; it has {len(shapes)}")
            try:
                node.shape = tuple(layer.build_once(shapes if layer.many_inputs else shapes[0]))
            except (ValueError, TypeError) as error:
                raise type(error)(f"layer {node.name!r}: {error}") from error
            if id(layer) not in seen:
                seen.add(id(layer))
                layer.tell_name(node.name)
                for parameter in layer.parameters():
                    name = f"{node.name}.{parameter.local_name}"
                    parameter.name = name
                    self.parameters[name] = parameter

    def check_layout(self, layout: Sequence[Any], size: int) -> None:
        """Refuse a layout of a file that would take more memory than the file's arrays, of so many bytes, bear out."""
        elements = sum(math.prod(checks.shape("layout", shape)) for rows in layout for _, shape, _ in rows)
        hint = "they are other networks' parameters, which a copy, net.copy(), is saved without"
        files.check_claim("its layout", 8 * elements, size, hint)

    def allocate(self, dtype: str, seed: int, initialize: bool = True, layout: Sequence[Any] = ()) -> Segment | None:
        """Give the parameters that have no memory yet a segment, and draw their first values.

        With a `layout`, what `layout` gave for another network of these layers, they lie as they do there.
        """
        for rows in layout:
            parts = [(None if name is None else self.parameters[name], shape, learned) for name, shape, learned in rows]
            Segment([p or Parameter("of another network", shape, None, learned) for p, shape, learned in parts], dtype)
        fresh = [p for p in self.parameters.values() if p.segment is None]
        for parameter in self.parameters.values():
            if parameter.segment is not None and parameter.segment.dtype != dtype:
                raise ValueError(
                    f"dtype {dtype!r}: parameter {parameter.name!r} belongs to a network of dtype "
                    f"{parameter.segment.dtype.name!r}; both must have one dtype"
                )
        if not fresh:
            return None
        segment = Segment(fresh, dtype)
        if initialize:
            self.initialize(fresh, seed)
        return segment

    def layout(self) -> list[Any]:
        """Which parameters lie in one segment: name (None of another network's), shape, and whether it is trainable.

        Sums over all gradients are made range by range, so that their last bit depends on it.
        """
        names = {parameter: name for name, parameter in self.parameters.items()}
        segments = dict.fromkeys(parameter.segment for parameter in self.parameters.values())
        return [[[names.get(p), list(p.shape), p.trainable] for p in segment.parameters] for segment in segments]

    def initialize(self, parameters: Iterable[Parameter], seed: int) -> None:
        """Draw first values, of some of the graph's parameters."""
        streams = {p: f"{node.stream}.{p.local_name}" for node in reversed(self.nodes) for p in node.layer.parameters()}
        for parameter in parameters:
            draw(parameter, random.key(seed, streams[parameter]))

    # Recording

    def record_forward(self, recording: Recording, x: Tensor, training: bool, seed: int) -> Tensor:
        """Record all layers that the output needs; the contexts wait for `record_backward`."""
        self._last = GraphPass(self, recording, training, seed)
        for _ in self._last.forward(x):
            pass
        self.values = self._last.values
        return self.values[self.output]

    def record_backward(self, recording: Recording, dy: Tensor) -> Tensor | None:
        """Record the backward pass of the forward pass recorded last; returns the gradient at the input."""
        for _ in self._last.backward(dy):
            pass
        self.record_penalties(recording)
        return self._last.input_gradient

    def record_penalties(self, recording: Recording, gradients: bool = True) -> None:
        """Add the regularizers' penalties to the loss, and to the gradients of what is trained."""
        context = Context(recording, "", True)
        for parameter, rule in self.rules("regularizer"):
            if not (rule.l1 or rule.l2):
                continue
            with recording.at(parameter.name):
                gradient = recording.gradients.get(parameter) if gradients else None
                recording.call(
                    "penalty", reads={"w": context.value(parameter)},
                    updates={"g": gradient, "control": recording.control_field()}, work=8 * parameter.size,
                    n=parameter.size, per_sample=int(rule.per_sample), l1=rule.l1, l2=rule.l2,
                )  # fmt: skip

    def rules(self, argument: str) -> list[tuple[Parameter, Any]]:
        """The parameters that have a "regularizer" or "constraint", with it."""
        found = {p: node.layer.rule_of(argument, p) for node in self.nodes for p in node.layer.parameters()}
        return [(parameter, rule) for parameter, rule in found.items() if rule is not None]

    def trainable_parameters(self) -> list[Parameter]:
        """Those that an update changes now: trainable ones of layers that are not frozen."""
        frozen = {id(p) for node in self.nodes if not node.layer.trainable for p in node.layer.parameters()}
        return [p for p in self.parameters.values() if p.trainable and id(p) not in frozen]


def _activation_seen(reader: Node, behind: dict[str, str | None]) -> str | None:
    """The activation that a node is, or that is behind it where it is a norm."""
    layer = reader.layer
    kind = type_name(type(layer))
    if kind == "prelu":
        return "leaky_relu"
    activation = getattr(layer, "activation", None)
    if activation is not None and not layer.parameters() and kind in ("activation", "add"):
        if activation.name != "linear":
            return activation.name
        return behind[reader.name] if kind == "activation" else None
    return behind[reader.name] if layer.is_norm else None


def draw(parameter: Parameter, key: tuple[int, int], init: Initializer | None = None) -> None:
    """Fill a parameter with the values of its own initializer, or of another."""
    fan_in, fan_out = parameter.fans or initializers.fans(parameter.shape)
    init = cast("Initializer", parameter.init) if init is None else init
    try:
        parameter.assign(init.draw(parameter.shape, parameter.dtype.name, key, fan_in, fan_out))
    except ValueError as error:
        raise ValueError(f"parameter {parameter.name!r}: {error}") from error


def _in_order(nodes: list[Node]) -> list[Node]:
    """Sort the nodes so that each comes after its inputs, else in the order given."""
    for name, count in Counter(node.name for node in nodes).items():
        if count > 1 or name == INPUT:
            raise ValueError(f"node name {name!r} is {'reserved' if name == INPUT else 'used twice'}")
    names = {node.name for node in nodes}
    waiting: list[int] = []  # how many inputs of a node are not there yet
    readers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        if not node.inputs:
            raise ValueError(f"node {node.name!r} has no inputs")
        for name in node.inputs:
            if name != INPUT and name not in names:
                raise ValueError(f"node {node.name!r}: input {name!r} is not a node{checks.nearest(name, names)}")
        before = set(node.inputs) - {INPUT}
        waiting.append(len(before))
        for name in before:
            readers.setdefault(name, []).append(i)
    ready, order = [i for i, count in enumerate(waiting) if not count], []
    while ready:
        i = heapq.heappop(ready)
        order.append(nodes[i])
        for reader in readers.get(nodes[i].name, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        left = [repr(node.name) for node, count in zip(nodes, waiting, strict=True) if count]
        raise ValueError(f"the nodes {', '.join(left)} form a cycle")
    return order
