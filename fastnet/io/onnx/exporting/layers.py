"""How each layer is written; `RULES` is the table, by class.

A rule is a function of the writer, the node and its input (a list of them where the layer takes many) that returns
the node's value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastnet import layers
from fastnet.io.onnx.exporting import norms
from fastnet.io.onnx.exporting.activations import activate
from fastnet.io.onnx.exporting.writer import FIRST, LAST, Value, Writer, axes_of, flattened_order

if TYPE_CHECKING:
    from fastnet.graph import Node
    from fastnet.kernels.convolution import Convolution
    from fastnet.kernels.windows import Axis
    from fastnet.layers import Layer
    from fastnet.parameters import Parameter
    from fastnet.types import Array, Shape

__all__ = ["RULES", "rule_for"]


def _activated(w: Writer, node: Node, value: Value) -> Value:
    layer: Any = node.layer
    return activate(w, layer.activation, value, f"{node.name}.{layer.activation.name}")


# Products and convolutions


def dense(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    shape = node.shape
    if len(x.shape) > 1:
        y = w.node("MatMul", [w.last(x), w.parameter(node, layer.weight)], name=node.name)
        if layer.bias is not None:
            y = w.node("Add", [y, w.parameter(node, layer.bias)], name=f"{node.name}.biased")
        return _activated(w, node, Value(shape, {LAST: y}))
    if x.image is None or LAST in x.tensors:
        tensor, weight = w.last(x), w.parameter(node, layer.weight)
    else:
        order = flattened_order(x.image)
        tensor, weight = x.tensor, w.parameter(node, layer.weight, lambda a: a[order], f"rows of {x.image}")
    biases = [] if layer.bias is None else [w.parameter(node, layer.bias)]
    return _activated(w, node, w.row(shape, w.node("Gemm", [tensor, weight, *biases], name=node.name)))


def _channels_first(array: Array) -> Array:
    """Weights (window, channels / groups, filters) as ONNX has them, (filters, channels / groups, window)."""
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))


def _window_attributes(axes: Sequence[Axis]) -> dict[str, Any]:
    return {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "dilations": [axis.dilation for axis in axes],
        "pads": [axis.before for axis in axes] + [axis.after for axis in axes],
    }


def _convolve(w: Writer, node: Node, tensor: str, parameter: Parameter, bias: Parameter | None, axes: Sequence[Axis],
              groups: int, name: str) -> str:  # fmt: skip
    inputs = [tensor, w.parameter(node, parameter, _channels_first, "filters first")]
    if bias is not None:
        inputs.append(w.parameter(node, bias))
    return w.node("Conv", inputs, name=name, group=groups, **_window_attributes(axes))


def _axes(layer: Any, convolution: Convolution) -> list[Axis]:
    return [convolution.height, convolution.width][2 - layer.dimensions :]


def conv(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    axes = _axes(layer, layer.convolution((1, *x.shape)))
    y = _convolve(w, node, w.first(x), layer.weight, layer.bias, axes, layer.groups, node.name)
    return _activated(w, node, Value(node.shape, {FIRST: y}))


def separable_conv(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    depthwise, pointwise = (_axes(layer, part) for part in layer.convolutions((1, *x.shape)))
    inner = _convolve(
        w, node, w.first(x), layer.depthwise_weight, None, depthwise, x.shape[-1], f"{node.name}.depthwise"
    )
    y = _convolve(w, node, inner, layer.weight, layer.bias, pointwise, 1, node.name)
    return _activated(w, node, Value(node.shape, {FIRST: y}))


def conv_transpose(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    axes = _axes(layer, layer.convolution((1, *x.shape)))  # of the convolution from y to x
    spread = [(axis.output - 1) * axis.stride + axis.extent - axis.before - axis.after for axis in axes]
    attributes = _window_attributes(axes)
    attributes["output_padding"] = [axis.size - size for axis, size in zip(axes, spread, strict=True)]
    inputs = [w.first(x), w.parameter(node, layer.weight, _channels_first, "filters first")]
    if layer.bias is not None:
        inputs.append(w.parameter(node, layer.bias))
    y = w.node("ConvTranspose", inputs, name=node.name, group=layer.groups, **attributes)
    return _activated(w, node, Value(node.shape, {FIRST: y}))


# Pools


def _reach(axis: Axis) -> int:
    """Elements that the last window has beyond the padding (where sizes are rounded up)."""
    return max(0, (axis.output - 1) * axis.stride + axis.extent - axis.size - axis.before - axis.after)


def _pool_attributes(axes: Sequence[Axis]) -> dict[str, Any]:
    attributes = _window_attributes(axes)
    del attributes["dilations"]
    return attributes


def max_pool(w: Writer, node: Node, x: Value) -> Value:
    # What a last window has beyond the padding is -inf like the padding: padding says it, and rounding up is left to nobody.
    layer: Any = node.layer
    axes = layer.axes(x.shape)
    attributes = _pool_attributes(axes)
    attributes["pads"][len(axes) :] = [axis.after + _reach(axis) for axis in axes]
    return Value(node.shape, {FIRST: w.node("MaxPool", [w.first(x)], name=node.name, **attributes)})


def average_pool(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    axes, tensor = layer.axes(x.shape), w.first(x)
    attributes = _pool_attributes(axes)
    if layer.count_include_pad and any(attributes["pads"]):
        if any(_reach(axis) or axis.before != axis.after for axis in axes):
            # Runtimes disagree on the divisor there: zeros are pixels of a larger image instead.
            pads = w.integers([0, 0, *(axis.before for axis in axes), 0, 0, *(axis.after for axis in axes)])
            tensor = w.node("Pad", [tensor, pads], name=f"{node.name}.padded")
            attributes["pads"] = [0] * (2 * len(axes))
        else:
            attributes["count_include_pad"] = 1
    padding = attributes["pads"]
    padding[len(axes) :] = [after + _reach(axis) for after, axis in zip(padding[len(axes) :], axes, strict=True)]
    return Value(node.shape, {FIRST: w.node("AveragePool", [tensor], name=node.name, **attributes)})


def _global_pool(operator: str) -> Callable[[Writer, Node, Value], Value]:
    def write(w: Writer, node: Node, x: Value) -> Value:
        layer: Any = node.layer
        y = w.node(operator, [w.first(x)], name=node.name)
        if layer.keep_dims:
            return Value(node.shape, {FIRST: y})
        return w.row(node.shape, w.node("Flatten", [y], name=f"{node.name}.flattened"))

    return write


# Resampling, padding, cropping


def upsample(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    layout = x.layout
    scales = [1.0] * 4
    for axis, factor in zip(axes_of(x, layout), layer.factor, strict=True):
        scales[axis] = float(factor)
    if layer.interpolation == "nearest":
        mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    y = w.node("Resize", [x.tensor, "", w.single(f"{node.name}.scales", scales)], name=node.name, **mode)
    return Value(node.shape, {layout: y})


def pad(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    layout = x.layout
    before, after = [0] * 4, [0] * 4
    for axis, (head, tail) in zip(axes_of(x, layout), layer.padding, strict=True):
        before[axis], after[axis] = head, tail
    mode = "constant" if layer.mode == "zero" else layer.mode
    y = w.node("Pad", [x.tensor, w.integers([*before, *after])], name=node.name, mode=mode)
    return Value(node.shape, {layout: y})


def crop(w: Writer, node: Node, x: Value) -> Value:
    layout = x.layout
    layer: Any = node.layer
    starts = [head for head, _ in layer.cropping]
    ends = [size - tail for size, (_, tail) in zip(x.shape[:-1], layer.cropping, strict=True)]
    inputs = [x.tensor, w.integers(starts), w.integers(ends), w.integers(axes_of(x, layout))]
    return Value(node.shape, {layout: w.node("Slice", inputs, name=node.name)})


# Shapes


def flatten(w: Writer, node: Node, x: Value) -> Value:
    if len(x.shape) == 1:
        return x
    y = w.node("Flatten", [x.tensor], name=node.name)
    one_order = x.layout == LAST or x.shape[-1] == 1 or math.prod(x.shape[:-1]) == 1
    return w.row(node.shape, y) if one_order else Value(node.shape, {FIRST: y}, image=x.shape)


def reshape(w: Writer, node: Node, x: Value) -> Value:
    y = w.node("Reshape", [w.last(x), w.integers((0, *node.shape))], name=node.name)
    return w.row(node.shape, y) if len(node.shape) == 1 else Value(node.shape, {LAST: y})


def nothing(w: Writer, node: Node, x: Value) -> Value:
    return x


# Activations and branches


def activation(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    return activate(w, layer.activation, x, node.name)


def prelu(w: Writer, node: Node, x: Value) -> Value:
    layer: Any = node.layer
    if layer.shared:
        slope = w.parameter(node, layer.weight)
    elif x.image is not None and x.layout == FIRST:
        order = flattened_order(x.image)
        slope = w.parameter(node, layer.weight, lambda a: a[order], f"rows of {x.image}")
    elif x.layout == FIRST and len(x.shape) > 1:
        ones = (1,) * (len(x.shape) - 1)
        slope = w.parameter(node, layer.weight, lambda a: a.reshape(-1, *ones), f"{len(ones)} axes")
    else:
        slope = w.parameter(node, layer.weight)
    return x.like(w.node("PRelu", [x.tensor, slope], name=node.name))


def _common_layout(values: Sequence[Value]) -> str:
    """The layout that most of the values have."""
    return FIRST if sum(FIRST in v.tensors for v in values) * 2 >= len(values) else LAST


def add(w: Writer, node: Node, inputs: list[Value]) -> Value:
    value = _merged(w, node, inputs, "Add")
    return _activated(w, node, value)


def product(w: Writer, node: Node, inputs: list[Value]) -> Value:
    return _merged(w, node, inputs, "Mul")


def _merged(w: Writer, node: Node, inputs: list[Value], operator: str) -> Value:
    whole = node.shape
    images = {value.image for value in inputs}
    if len(whole) == 1 and len(images) == 1 and None not in images:
        layout, image = FIRST, inputs[0].image
    else:
        layout, image = _common_layout([v for v in inputs if v.image is None] or inputs), None
        if any(value.image for value in inputs):
            layout = LAST
    tensors = [_row_for(w, node, value, whole, layout) for value in inputs]
    y = tensors[0]
    for i, other in enumerate(tensors[1:], 1):
        y = w.node(operator, [y, other], name=node.name if i == len(tensors) - 1 else f"{node.name}.{i}")
    if len(whole) == 1 and image is None:
        return w.row(whole, y)
    return Value(whole, {layout: y}, image)


def _row_for(w: Writer, node: Node, value: Value, whole: Shape, layout: str) -> str:
    """The tensor of a value, shaped to multiply all pixels if it is one row."""
    if value.shape == whole:
        return w.layout(value, layout)
    ones = (1,) * (len(whole) - 1)
    sizes = (0, whole[-1], *ones) if layout == FIRST else (0, *ones, whole[-1])
    return w.node("Reshape", [w.last(value), w.integers(sizes)], name=f"{node.name}.row")


def concatenate(w: Writer, node: Node, inputs: list[Value]) -> Value:
    layout = LAST if len(node.shape) == 1 else _common_layout(inputs)
    axis = 1 if layout == FIRST or len(node.shape) == 1 else len(node.shape)
    y = w.node("Concat", [w.layout(value, layout) for value in inputs], name=node.name, axis=axis)
    return w.row(node.shape, y) if len(node.shape) == 1 else Value(node.shape, {layout: y})


RULES: dict[type[Layer], Callable[[Writer, Node, Any], Value]] = {
    layers.Activation: activation,
    layers.Add: add,
    layers.AvgPool1D: average_pool,
    layers.AvgPool2D: average_pool,
    layers.BatchNorm: norms.batch_norm,
    layers.Concatenate: concatenate,
    layers.Conv1D: conv,
    layers.Conv2D: conv,
    layers.Conv2DTranspose: conv_transpose,
    layers.Crop2D: crop,
    layers.Dense: dense,
    layers.DepthwiseConv2D: conv,
    layers.Dropout: nothing,
    layers.Flatten: flatten,
    layers.GlobalAvgPool2D: _global_pool("GlobalAveragePool"),
    layers.GlobalMaxPool2D: _global_pool("GlobalMaxPool"),
    layers.GroupNorm: norms.group_norm,
    layers.LayerNorm: norms.layer_norm,
    layers.MaxPool1D: max_pool,
    layers.MaxPool2D: max_pool,
    layers.Normalize: norms.normalize,
    layers.PReLU: prelu,
    layers.Product: product,
    layers.RMSNorm: norms.rms_norm,
    layers.ReflectPad2D: pad,
    layers.Reshape: reshape,
    layers.SeparableConv2D: separable_conv,
    layers.SpatialDropout2D: nothing,
    layers.UpSample2D: upsample,
    layers.ZeroPad2D: pad,
}


def rule_for(layer: Layer) -> Callable[[Writer, Node, Any], Value] | None:
    """The rule for a layer, or None. A subclass has its parent's, unless it computes something else."""
    for cls in type(layer).__mro__:
        if cls in RULES:
            return RULES[cls]
        if {"record_forward", "forward", "build"} & vars(cls).keys():
            return None
    return None
