"""Rules for operators that treat elements one by one, or channels alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import activations, layers
from fastnet.io.onnx.importing.call import UNBOUNDED, Call, operator
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.values import Value

if TYPE_CHECKING:
    from fastnet.types import ActivationLike, Array

__all__: list[str] = []

PLAIN = {
    "HardSwish": "hard_swish",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Tanh": "tanh",
}


@operator(*PLAIN)
def plain(call: Call) -> Value:
    return call.activate(call.value(), PLAIN[call.operation.operator])


@operator("LeakyRelu")
def leaky_relu(call: Call) -> Value:
    slope = call.attribute("alpha", 0.01)
    if slope < 0:
        raise UnsupportedError(f"alpha={slope} is not supported: slopes are at least 0")
    return call.activate(call.value(), activations.LeakyReLU(_tidy(slope)))


@operator("Elu")
def elu(call: Call) -> Value:
    return call.activate(call.value(), _elu(call.attribute("alpha", 1.0)))


@operator("Celu")
def celu(call: Call) -> Value:
    call.require("alpha", 1.0)  # where it is Elu
    return call.activate(call.value(), "elu")


def _elu(alpha: float) -> ActivationLike:
    if alpha <= 0:
        raise UnsupportedError(f"alpha={alpha} is not supported: it must be above 0")
    return activations.get("elu") if alpha == 1 else activations.ELU(_tidy(alpha))


def _tidy(number: float) -> float:
    """The shortest number that the file's float32 stands for."""
    return float(str(np.float32(number)))


@operator("Selu")
def selu(call: Call) -> Value:
    alpha, gamma = call.attribute("alpha", 1.6732632), call.attribute("gamma", 1.050701)
    if abs(alpha - 1.6732632) > 1e-6 or abs(gamma - 1.050701) > 1e-6:
        raise UnsupportedError(f"alpha={alpha:g}, gamma={gamma:g} are not supported: they must be the defaults")
    return call.activate(call.value(), "selu")


@operator("Swish")
def swish(call: Call) -> Value:
    call.require("alpha", 1.0)
    return call.activate(call.value(), "silu")


@operator("Gelu")
def gelu(call: Call) -> Value:
    call.require("approximate", "none", "tanh")
    return call.activate(call.value(), "gelu" if call.attribute("approximate", "none") == "none" else "gelu_tanh")


@operator("Clip")
def clip(call: Call) -> Value:
    value = call.value()
    if call.opset < 11:
        low, high = call.attribute("min", -UNBOUNDED), call.attribute("max", UNBOUNDED)
    else:
        low = call.number(1) if call.has(1) else -UNBOUNDED
        high = call.number(2) if call.has(2) else UNBOUNDED
    if low <= -UNBOUNDED and high >= UNBOUNDED:
        return value
    if low != 0 or (high != 6 and high < UNBOUNDED):
        raise UnsupportedError(f"bounds {low:g} and {high:g} are not supported; 0 and 6 (relu6) or 0 alone (relu) are")
    return call.activate(value, "relu6" if high == 6 else "relu")


@operator("PRelu")
def prelu(call: Call) -> Value:
    value = call.value()
    slope = call.constant(1)
    if call.opset < 7 and slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape(-1, *[1] * (value.rank - 2))  # it was one for each channel, wherever they were
    slope = call.per_channel(value, slope)
    return call.behind(layers.PReLU(shared=slope.ndim == 0), value, {"weight": slope.reshape(-1)})


@operator("Softmax", "LogSoftmax")
def softmax(call: Call) -> Value:
    value = call.value()
    axis = call.axis(call.attribute("axis", 1 if call.opset < 13 else -1), value.rank)
    if call.opset < 13 and axis != value.rank - 1:
        raise UnsupportedError(f"over all axes from {axis} on it is not supported; over the last alone it is")
    if axis != value.channel_axis:
        raise UnsupportedError(
            f"over axis {axis} it is not supported; over the channels, axis {value.channel_axis}, it is"
        )
    name = "softmax" if call.operation.operator == "Softmax" else "log_softmax"
    return call.activate(value, name)


@operator("Identity")
def identity(call: Call) -> Value:
    return call.value()


@operator("Cast", "CastLike")
def cast(call: Call) -> Value:
    if call.operation.operator == "Cast" and call.attribute("to", 0) not in (1, 10, 11, 16):
        raise UnsupportedError("a network computes with floats alone")
    return call.value()


@operator("Dropout")
def dropout(call: Call) -> Value:
    if call.opset < 12:
        rate = call.attribute("ratio", 0.5)
    else:
        if call.has(2) and call.number(2):
            raise UnsupportedError(
                "training_mode must be false; an imported network is told by `fit` when it is trained"
            )
        # What is not known before a run makes no difference to predictions.
        known = call.has(1) and call.operation.input(1) not in call.graph.assumed
        rate = call.number(1) if known else 0.5
    if not 0 <= rate < 1:
        raise UnsupportedError(f"a ratio of {rate:g} is not supported: it must be in [0, 1)")
    return call.behind(layers.Dropout(_tidy(rate)), call.value())


# Sums and products


def _same(a: Value, b: Value) -> bool:
    return a.shape == b.shape and a.order == b.order and a.parts == b.parts


@operator("Add", "Sum")
def add(call: Call) -> Value:
    values = [call.value(i) for i in range(call.count) if not call.is_constant(i)]
    constants = [_broadcast(call, i) for i in range(call.count) if call.is_constant(i)]
    if not values:
        raise UnsupportedError("its inputs are constants that can't be added before the model is run")
    if not all(_same(values[0], other) for other in values):
        raise UnsupportedError(f"sums of tensors of shapes {_shapes(values)} are not supported: they must be alike")
    value = values[0] if len(values) == 1 else values[0].of(call.add(layers.Add(), values).name)
    for array in constants:
        value = _add_constant(call, value, call.per_channel(value, array))
    return value


def _broadcast(call: Call, i: int) -> Array:
    """A constant as NumPy broadcasts it; before opset 7 an attribute said at which axis it is to lie."""
    array = call.constant(i)
    if call.opset >= 7 or not array.ndim or "axis" not in call.operation.attributes:
        return array
    value = call.value(1 - i)
    behind = value.rank - call.axis(call.attribute("axis", 0), value.rank) - array.ndim
    return array.reshape(*array.shape, *[1] * max(behind, 0))


def _shapes(values: Sequence[Value]) -> str:
    return " and ".join(str(("batch", *value.sizes[1:])) for value in values)


@operator("Mul")
def multiply(call: Call) -> Value:
    constant = [i for i in range(2) if call.is_constant(i)]
    if constant:
        value = call.value(1 - constant[0])
        return _multiply_constant(call, value, call.per_channel(value, _broadcast(call, constant[0])))
    a, b = call.value(0), call.value(1)
    if _same(a, b):
        return a.of(call.add(layers.Product(), [a, b]).name)
    whole, row = (a, b) if np.prod(a.shape) >= np.prod(b.shape) else (b, a)
    axis = whole.channel_axis
    is_row = whole.rank == row.rank and row.channel_axis == axis and whole.parts is None is row.parts and all(
        row.sizes[i] == (whole.sizes[i] if i in (0, axis) else 1) for i in range(row.rank)
    )  # fmt: skip
    if not is_row or whole.order[0] != 0 or row.order[0] != 0:
        raise UnsupportedError(
            f"products of tensors of shapes {_shapes([a, b])} are not supported: one may be a row of channels"
        )
    made = call.builder.made.get(row.node)
    if made is not None and isinstance(made.layer, layers.Reshape) and made.shapes == (whole.channels,):
        row = Value(made.inputs[0], made.shapes, (0, 1))  # Product takes it as it is
        call.builder.read_again(row.node)
    return whole.of(call.add(layers.Product(), [whole, row]).name)


@operator("Sub")
def subtract(call: Call) -> Value:
    if call.is_constant(1):
        value = call.value(0)
        return _normalize(call, value, call.per_channel(value, _broadcast(call, 1)), np.float64(1))
    if not call.is_constant(0):
        raise UnsupportedError("differences of two tensors are not supported; of a tensor and a constant they are")
    value = call.value(1)
    shift = call.per_channel(value, _broadcast(call, 0))
    return _add_constant(call, _multiply_constant(call, value, np.float64(-1)), shift)


@operator("Div")
def divide(call: Call) -> Value:
    if not call.is_constant(1):
        raise UnsupportedError("quotients by a tensor are not supported; by a constant they are")
    value = call.value(0)
    divisor = call.per_channel(value, _broadcast(call, 1)).astype(np.float64)
    if np.any(divisor == 0):
        raise UnsupportedError("it divides by zero")
    if np.all(divisor > 0):
        return _normalize(call, value, np.float64(0), divisor)
    return _multiply_constant(call, value, 1 / divisor)


@operator("ai.onnx.ml.Scaler")
def scaler(call: Call) -> Value:
    """What scikit-learn's StandardScaler becomes: (x - offset) scale."""
    value = call.value()
    offset, scale = (np.asarray(call.attribute(name, []), np.float64) for name in ("offset", "scale"))
    if np.any(scale <= 0) or not offset.size or not scale.size:
        raise UnsupportedError("it must have offsets and scales above 0")
    mean, std = (call.per_channel(value, array) for array in (offset, 1 / scale))
    return _normalize(call, value, mean, std)


@operator("Neg")
def negate(call: Call) -> Value:
    return _multiply_constant(call, call.value(), np.float64(-1))


def _add_constant(call: Call, value: Value, shift: Array) -> Value:
    made = call.sole(value)
    if made is not None and (shift.ndim or value.channels == 1):
        layer: Any = made.layer
        vector = np.broadcast_to(shift, (value.channels,))
        if getattr(layer, "use_bias", True) is False and layer.activation.name == "linear":
            made.change({"bias": vector}, use_bias=True)
            return value
        if _is_plain_norm(layer) and not layer.center:
            made.change({"bias": vector}, center=True)
            return value
    if shift.ndim:
        return _scaled(call, value, np.ones(value.channels), shift)
    return _normalize(call, value, -shift.astype(np.float64), np.float64(1))


def _multiply_constant(call: Call, value: Value, scale: Array | np.float64) -> Value:
    made = call.sole(value)
    if made is not None and (scale.ndim or value.channels == 1):
        layer: Any = made.layer
        vector = np.broadcast_to(scale, (value.channels,))
        if (
            (_is_plain_norm(layer) or isinstance(layer, layers.RMSNorm))
            and not layer.scale
            and not getattr(layer, "center", False)
        ):
            if getattr(layer, "axes", 1) == 1:
                made.change({"weight": vector}, scale=True)
                return value
    if scale.ndim:
        return _scaled(call, value, scale, None)
    call.check_size(value.channels)
    if scale > 0:
        return _normalize(call, value, np.float64(0), 1 / scale.astype(np.float64))
    return _scaled(call, value, np.full(value.channels, scale), None, trainable=False)


def _is_plain_norm(layer: layers.Layer) -> bool:
    """Whether scale and shift of the norm are one for each channel."""
    return isinstance(layer, layers.GroupNorm) or (isinstance(layer, layers.LayerNorm) and layer.axes == 1)


def _normalize(call: Call, value: Value, mean: Array | np.float64, std: Array | np.float64) -> Value:
    """(x - mean) / std with fixed figures, in one layer with such a layer before."""
    made = call.sole(value)
    if made is not None and isinstance(made.layer, layers.Normalize):
        before_mean, before_std = (np.asarray(figures, np.float64) for figures in (made.layer.mean, made.layer.std))
        made.change(mean=before_mean + mean * before_std, std=before_std * std)
        return value
    call.check_size(value.channels)
    return call.behind(layers.Normalize(mean, std), value)


def _scaled(call: Call, value: Value, scale: Array | np.float64, shift: Array | None, trainable: bool = True) -> Value:
    """A factor and a summand for each channel, which can be learned: a depthwise convolution of single pixels."""
    weights = {"weight": scale.reshape(1, 1, 1, -1)} | ({} if shift is None else {"bias": shift})
    shape = (1,) * (3 - len(value.shape)) + value.shape
    if len(shape) > 3:
        raise UnsupportedError(f"scales for each channel of a tensor with {value.rank} axes are not supported")
    image = value
    if shape != value.shape:
        image = Value(call.add(layers.Reshape(shape), value).name, shape, (0, 1, 2, 3))
    layer = layers.DepthwiseConv2D(1, use_bias=shift is not None)
    image = image.of(call.add(layer, image, weights, trainable=trainable).name)
    if shape == value.shape:
        return value.of(image.node)
    return value.of(call.add(layers.Reshape(value.shape), image).name)
