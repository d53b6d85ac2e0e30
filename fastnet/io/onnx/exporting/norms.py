"""How norms are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.io.onnx.exporting.writer import FIRST, LAST, Value, Writer, flattened_order

if TYPE_CHECKING:
    from fastnet.graph import Node
    from fastnet.parameters import Parameter
    from fastnet.types import Array, Shape

__all__ = ["batch_norm", "group_norm", "layer_norm", "normalize", "rms_norm"]


def _vector(
    w: Writer, node: Node, parameter: Parameter | None, name: str, length: int, fill: float,
    order: tuple[Array, Shape] | None = None,
) -> str:  # fmt: skip
    """A layer's vector in the order of the tensor's channels; `fill` where it has none."""
    if parameter is None:
        return w.weight(f"{node.name}.{name}", np.full(length, fill))
    if order is None:
        return w.parameter(node, parameter)
    places, image = order
    return w.parameter(node, parameter, lambda array: array[places], f"rows of {image}")


def batch_norm(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    channels = x.shape[-1]
    order = (flattened_order(x.image), x.image) if x.image is not None and x.layout == FIRST else None
    vectors = [
        _vector(w, node, parameter, name, channels, fill, order)
        for parameter, name, fill in (
            (layer.weight, "weight", 1.0),
            (layer.bias, "bias", 0.0),
            (layer.running_mean, "running_mean", 0.0),
            (layer.running_variance, "running_variance", 1.0),
        )
    ]
    tensor = x.tensor if order else w.first(x)
    y = w.node(
        "BatchNormalization", [tensor, *vectors], name=node.name, epsilon=layer.epsilon, momentum=1 - layer.momentum
    )
    return x.like(y) if len(x.shape) == 1 else Value(x.shape, {FIRST: y})


def normalize(w: Writer, node: Node, x: Value) -> Value:
    def shaped(array: Array) -> Array:
        if x.image is not None and x.layout == FIRST:
            return array[flattened_order(x.image)]
        return array.reshape(-1, *[1] * (len(x.shape) - 1)) if x.layout == FIRST else array

    layer: Any = node.layer
    kind = f"{x.layout}, {x.image or len(x.shape)}"
    mean = w.parameter(node, layer.shift, shaped, kind)
    std = w.parameter(node, layer.variance, lambda array: shaped(np.sqrt(array)), kind)
    centred = w.node("Sub", [x.tensor, mean], name=f"{node.name}.centred")
    return x.like(w.node("Div", [centred, std], name=node.name))


def _last_axis_first(array: Array) -> Array:
    return np.moveaxis(array, -1, 0)


def layer_norm(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    if layer.axes == len(x.shape) > 1 and x.layout == FIRST:
        # All axes of a sample: their order does not matter.
        layout, kind, shape, axis = FIRST, "channels first", (x.shape[-1], *x.shape[:-1]), 1
    else:
        layout, kind, shape, axis = LAST, "", x.shape[-layer.axes :], -layer.axes
    moved = _last_axis_first if layout == FIRST else None
    tensor = w.layout(x, layout)
    if layer.weight is None:
        scale = w.weight(f"{node.name}.weight", np.ones(shape))
    else:
        scale = w.parameter(node, layer.weight, moved, kind)
    bias = [] if layer.bias is None else [w.parameter(node, layer.bias, moved, kind)]
    y = w.node("LayerNormalization", [tensor, scale, *bias], name=node.name, axis=axis, epsilon=layer.epsilon)
    return w.row(x.shape, y) if len(x.shape) == 1 else Value(x.shape, {layout: y})


def group_norm(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    channels = x.shape[-1]
    row = len(x.shape) == 1
    tensor = w.last(x) if row else w.first(x)
    if w.opset >= 21 and not row:
        scale = _vector(w, node, layer.weight, "weight", channels, 1.0)
        bias = _vector(w, node, layer.bias, "bias", channels, 0.0)
        y = w.node(
            "GroupNormalization", [tensor, scale, bias], name=node.name, num_groups=layer.groups, epsilon=layer.epsilon
        )
        return Value(x.shape, {FIRST: y})
    ones, zeros = np.ones(layer.groups), np.zeros(layer.groups)
    grouped = w.node("Reshape", [tensor, w.integers((0, layer.groups, -1))], name=f"{node.name}.grouped")
    y = w.node(
        "InstanceNormalization",
        [grouped, w.weight(f"{node.name}.ones", ones), w.weight(f"{node.name}.zeros", zeros)],
        name=f"{node.name}.normalized", epsilon=layer.epsilon,
    )  # fmt: skip
    y = w.node("Reshape", [y, w.integers((0, channels, *x.shape[:-1]))], name=node.name)
    for operator, parameter in (("Mul", layer.weight), ("Add", layer.bias)):
        if parameter is not None:
            column = w.parameter(node, parameter, lambda array: array.reshape(-1, *[1] * (len(x.shape) - 1)), "column")
            y = w.node(operator, [y, column], name=f"{node.name}.{parameter.local_name}ed")
    return w.row(x.shape, y) if row else Value(x.shape, {FIRST: y})


def rms_norm(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    epsilon = float(np.finfo(w.dtype).eps) if layer.epsilon is None else layer.epsilon
    tensor, axes = w.last(x), list(range(-layer.axes, 0))
    if w.opset >= 23:
        scale = w.weight(f"{node.name}.weight", np.ones(x.shape[-layer.axes :])) if layer.weight is None else w.parameter(
            node, layer.weight
        )  # fmt: skip
        y = w.node("RMSNormalization", [tensor, scale], name=node.name, axis=-layer.axes, epsilon=epsilon)
    else:
        square = w.node("Mul", [tensor, tensor], name=f"{node.name}.square")
        mean = w.node("ReduceMean", [square, w.integers(axes)], name=f"{node.name}.mean", keepdims=1)
        shifted = w.node("Add", [mean, w.number(epsilon)], name=f"{node.name}.shifted")
        root = w.node("Sqrt", [shifted], name=f"{node.name}.root")
        y = w.node("Div", [tensor, root], name=node.name)
        if layer.weight is not None:
            y = w.node("Mul", [y, w.parameter(node, layer.weight)], name=f"{node.name}.scaled")
    return w.row(x.shape, y) if len(x.shape) == 1 else Value(x.shape, {LAST: y})
