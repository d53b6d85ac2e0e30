"""One pass over a graph, as it is recorded: what belongs to it, from the first layer to the last and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from fastnet.kernels import random
from fastnet.layers.base import Layer, is_numpy_layer
from fastnet.parameters import Parameter
from fastnet.recording import Context, Recording, Tensor

if TYPE_CHECKING:
    from fastnet.graph import Graph, Node
    from fastnet.types import Array

__all__ = ["INPUT", "GraphPass", "NumPyPlace"]

INPUT = "input"


class GraphPass:
    """Records the layers of a graph for one batch, or one piece of a batch.

    `forward` and `backward` are generators. They yield where a layer needs something of the other pieces of the batch (see
    `fastnet.layers.synchronized`), and go on when that is recorded; a pass over a whole batch yields nothing.

    Parameters
    ----------
    graph : Graph
    recording : Recording
    training : bool
    seed : int
    piece : int
        Number of the piece in its batch.
    synchronized : bool
        Whether batch norms take the statistics of all pieces.

    Attributes
    ----------
    values : dict of str to Tensor
        By the names of nodes.
    input_gradient : Tensor or None
    behind_layer : callable, optional
        Gets each node when its backward pass has been recorded.
    """

    behind_layer: Callable[[Node], None] | None = None

    def __init__(self, graph: Graph, recording: Recording, training: bool, seed: int, piece: int = 0,
                 synchronized: bool = False) -> None:  # fmt: skip
        self.graph = graph
        self.recording = recording
        self.training = training
        self.seed = seed
        self.piece = piece
        self.synchronized = synchronized
        self.values: dict[str, Tensor] = {}
        self.input_gradient: Tensor | None = None
        self._contexts: dict[str, Any] = {}

    def _is_synchronized(self, layer: Layer) -> bool:
        return self.synchronized and self.training and layer.trainable and hasattr(layer, "synchronize_forward")

    def forward(self, x: Tensor) -> Iterator[Any]:
        """Record all layers that the output needs."""
        values = self.values = {INPUT: x}
        for node in self.graph.nodes:
            inputs = [values[name] for name in node.inputs]
            layer = cast(Any, node.layer)  # which methods it has is asked
            ctx = self._contexts[node.name] = self._context(node)
            with self.recording.at(node.name):
                if isinstance(ctx, NumPyPlace):
                    values[node.name] = ctx.record_forward(inputs)
                elif not self._is_synchronized(layer):
                    x_or_list = inputs if layer.many_inputs else inputs[0]
                    values[node.name] = layer.record_forward(ctx, x_or_list, self.training)
                else:
                    statistics = layer.synchronize_forward(ctx, inputs[0])
            if self._is_synchronized(layer):
                yield statistics
                with self.recording.at(node.name):
                    values[node.name] = layer.record_synchronized(ctx, inputs[0], statistics)

    def _context(self, node: Node) -> Any:
        layer = node.layer
        if is_numpy_layer(layer):
            return NumPyPlace(layer, node, self.recording, self.training)
        ctx = Context(self.recording, node.name, self.training, frozen=not layer.trainable)
        ctx.stream_key = random.key(self.seed, node.stream, self.piece)
        return ctx

    def backward(self, dy: Tensor) -> Iterator[Any]:
        """Record the gradients, but for those of regularizers; `input_gradient` is there then.

        Where a value has several readers their gradients are added, in the order of the nodes.
        """
        gradients: dict[str, Tensor] = {self.graph.output: dy}
        sums = Context(self.recording, "", True)
        for node in reversed(self.graph.nodes):
            at_output = gradients.pop(node.name, None)
            if at_output is None:
                continue
            ctx, layer = self._contexts[node.name], cast(Any, node.layer)
            synchronized = self._is_synchronized(layer)
            with self.recording.at(node.name):
                if synchronized:
                    parts = layer.synchronize_backward(ctx, at_output)
                elif isinstance(ctx, NumPyPlace):
                    dx = ctx.record_backward(at_output)
                else:
                    dx = layer.record_backward(ctx, at_output)
            if synchronized:
                yield parts
            with self.recording.at(node.name):
                if synchronized:
                    dx = layer.record_synchronized_backward(ctx, at_output, parts)
                for name, part in zip(node.inputs, dx if layer.many_inputs else [dx], strict=True):
                    gradients[name] = sums.add(gradients[name], part) if name in gradients else part
            if self.behind_layer is not None:
                self.behind_layer(node)
        self._clear_unwritten()
        self.input_gradient = gradients.get(INPUT)

    def _clear_unwritten(self) -> None:
        """Gradients of trainable parameters that nothing wrote are zero."""
        recording, context = self.recording, Context(self.recording, "", True)
        for node in self.graph.nodes:
            if not node.layer.trainable or is_numpy_layer(node.layer):
                continue
            for parameter in node.layer.parameters():
                if parameter.trainable:
                    gradient = context.grad(parameter)
                    if recording.first_write(gradient):
                        recording.call("fill", writes={"y": gradient}, n=gradient.size, value=0.0)


class NumPyPlace:
    """A user's layer at one place: opaque calls into Python, on a shallow copy of the object."""

    def __init__(self, layer: Layer, node: Node, recording: Recording, training: bool) -> None:
        self.layer = copy.copy(layer)
        self.node = node
        self.recording = recording
        self.training = training
        self.moved: list[tuple[Parameter, Tensor]] = []

    def record_forward(self, inputs: list[Tensor]) -> Tensor:
        self.inputs = inputs
        y = self.recording.tensor((inputs[0].shape[0], *self.node.shape))
        self.recording.python(self._forward, inputs, [y], effects=self.training)
        return y

    def _forward(self, inputs: list[Array], outputs: list[Array]) -> None:
        x = inputs if self.layer.many_inputs else inputs[0]
        y = self.layer.forward(x, training=self.training)
        self._copy("forward", y, outputs[0])

    def record_backward(self, dy: Tensor) -> Any:
        dx = [self.recording.tensor(x.shape) for x in self.inputs]
        if self.layer.trainable:
            context = Context(self.recording, self.node.name, True)
            gradients = [(p, context.grad(p)) for p in self.layer.parameters() if p.trainable]
            self.starts = [p for p, gradient in gradients if self.recording.first_write(gradient)]
            # The layer's objects write where parameters have their gradients; in a step of several pieces it is copied from there.
            self.moved = [(p, g) for p, g in gradients if g.storage.memory is not p.segment.gradients]
        # The saved inputs stay live until here, so that what `forward` kept of them is still there.
        self.recording.python(self._backward, [dy, *self.inputs], [*dx, *(gradient for _, gradient in self.moved)])
        return dx if self.layer.many_inputs else dx[0]

    def _backward(self, inputs: list[Array], outputs: list[Array]) -> None:
        for parameter in getattr(self, "starts", ()):
            parameter.begin_gradient()
        dx = self.layer.backward(inputs[0])
        for parameter in getattr(self, "starts", ()):
            parameter.finish_gradient()
        n = len(self.inputs)
        for part, target in zip(dx if self.layer.many_inputs else [dx], outputs[:n], strict=True):
            self._copy("backward", part, target)
        for (parameter, _), target in zip(self.moved, outputs[n:], strict=True):
            target[...] = parameter.grad

    def _copy(self, method: str, array: Any, target: Array) -> None:
        shape = getattr(array, "shape", None)
        if shape != target.shape:
            came = "None" if array is None else f"shape {shape}"
            raise ValueError(
                f"layer {self.node.name!r}: {type(self.layer).__name__}.{method} must return an array of shape "
                f"{target.shape}; it returned {came}"
            )
        target[...] = array
