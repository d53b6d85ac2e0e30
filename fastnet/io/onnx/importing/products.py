"""Rules for products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import layers
from fastnet.io.onnx.importing.call import Call, operator
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.values import Value, channels_first

if TYPE_CHECKING:
    from fastnet.types import Padding, Shape

__all__ = ["padding"]


@operator("Gemm")
def gemm(call: Call) -> Value:
    value = call.value(0)
    if call.flag("transA") or value.order != (0, 1):
        raise UnsupportedError("its first input must be a row for each sample")
    weight = call.constant(1)
    if weight.ndim != 2:
        raise UnsupportedError(f"its second input has the shape {weight.shape}; it must have two axes")
    weight = weight.T if call.flag("transB") else weight
    weight = weight * weight.dtype.type(call.attribute("alpha", 1.0))
    weights = {"weight": _rows(value, weight)}
    units = weight.shape[1]
    if call.has(2):
        bias = call.constant(2)
        if bias.ndim > 2 or (bias.ndim == 2 and bias.shape[0] != 1) or bias.size not in (1, units):
            raise UnsupportedError(f"its third input has the shape {bias.shape}; it must be a bias of {units} numbers")
        beta = bias.dtype.type(call.attribute("beta", 1.0))
        weights["bias"] = np.broadcast_to(bias.reshape(-1) * beta, (units,))
    made = call.add(layers.Dense(units, use_bias="bias" in weights), value, weights)
    return Value(made.name, made.shape, (0, 1))


@operator("MatMul")
def matmul(call: Call) -> Value:
    value, weight = call.value(0), call.constant(1)
    if weight.ndim != 2 or value.order[-1] != value.rank - 1 or value.rank < 2:
        raise UnsupportedError("it must multiply the channels, as the last axis, by a constant matrix")
    made = call.add(layers.Dense(weight.shape[1], use_bias=False), value, {"weight": _rows(value, weight)})
    return Value(made.name, made.shape, value.order)


def _rows(value: Value, weight: np.ndarray) -> np.ndarray:
    """A matrix whose rows are in the order of the network's features."""
    if weight.shape[0] != value.channels:
        raise UnsupportedError(f"its weights have {weight.shape[0]} rows for {value.channels} features")
    return value.arranged(weight)


def padding(
    call: Call, sizes: Shape, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Padding:
    """What fastnet calls the padding of a window."""
    count = len(sizes)
    call.require("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    kind = call.attribute("auto_pad", "NOTSET")
    if kind == "VALID":
        return "valid"
    if kind == "SAME_UPPER":
        return "same"
    if kind == "SAME_LOWER":
        pairs = []
        for size, taps, step, spread in zip(sizes, kernel, strides, dilations, strict=True):
            total = max((-(-size // step) - 1) * step + (taps - 1) * spread + 1 - size, 0)
            pairs.append((total - total // 2, total // 2))
        return tuple(pairs)
    pads = _list(call, "pads", 2 * count, 0)
    if min(pads) < 0:
        raise UnsupportedError(f"pads {pads} are negative")
    return tuple(zip(pads[:count], pads[count:], strict=True)) if any(pads) else "valid"


def _list(call: Call, name: str, count: int, default: int) -> list[int]:
    found = call.integers(name) or [default] * count
    if len(found) != count or (default and min(found) < default):
        raise UnsupportedError(f"{name} are {found}; {count} numbers of at least {default} are needed")
    return found


def _kernel(call: Call, weight: np.ndarray, count: int) -> list[int]:
    kernel = list(weight.shape[2:])
    stated = call.integers("kernel_shape")
    if len(kernel) != count or (stated and stated != kernel):
        raise UnsupportedError(
            f"its weights have the shape {weight.shape}, which does not fit its input or kernel_shape"
        )
    return kernel


def _channels_last(weight: np.ndarray) -> np.ndarray:
    """(filters, channels / groups, window) as (window, channels / groups, filters)."""
    return weight.transpose(*range(2, weight.ndim), 1, 0)


@operator("Conv")
def conv(call: Call) -> Value:
    value = call.row_or_image()
    weight = call.constant(1)
    count = value.rank - 2
    kernel = _kernel(call, weight, count)
    strides, dilations = _list(call, "strides", count, 1), _list(call, "dilations", count, 1)
    groups = call.attribute("group", 1)
    pads = padding(call, value.shape[:-1], kernel, strides, dilations)
    weights = {"weight": _channels_last(weight)}
    if call.has(2):
        weights["bias"] = call.constant(2)
    shared: dict[str, Any] = {
        "stride": tuple(strides),
        "padding": pads,
        "dilation": tuple(dilations),
        "use_bias": call.has(2),
    }
    filters = weight.shape[0]
    if count == 2 and groups == value.channels > 1 and filters % groups == 0 and weight.shape[1] == 1:
        layer: layers.Conv2D = layers.DepthwiseConv2D(tuple(kernel), multiplier=filters // groups, **shared)
    else:
        layer = (layers.Conv1D, layers.Conv2D)[count - 1](filters, tuple(kernel), groups=groups, **shared)
    made = call.add(layer, value, weights)
    return Value(made.name, made.shape, channels_first(value.rank))


@operator("ConvTranspose")
def conv_transpose(call: Call) -> Value:
    value = call.row_or_image(ranks=(4,))
    weight = call.constant(1)
    kernel = _kernel(call, weight, 2)
    strides, dilations = _list(call, "strides", 2, 1), _list(call, "dilations", 2, 1)
    extra = _list(call, "output_padding", 2, 0)
    pads = _list(call, "pads", 4, 0)
    pairs = [(pads[i], pads[i + 2]) for i in range(2)]
    kind = call.attribute("auto_pad", "NOTSET")
    wanted = call.integers("output_shape")
    if kind.startswith("SAME") and wanted is None:
        wanted = [size * step for size, step in zip(value.shape[:-1], strides, strict=True)]
    if kind == "VALID":
        pairs = [(0, 0), (0, 0)]
    if wanted is not None:
        wanted = wanted[-2:]
        for i in range(2):
            total = (value.shape[i] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - wanted[i]
            if total < 0:  # rows and columns are missing at the end
                extra[i] -= total
                total = 0
            half = total // 2
            pairs[i] = (half, total - half) if kind == "SAME_UPPER" else (total - half, half)
    if min(map(min, pairs)) < 0:
        raise UnsupportedError(f"pads {pads} are negative")
    groups = call.attribute("group", 1)
    weights = {"weight": _channels_last(weight)}
    if call.has(2):
        weights["bias"] = call.constant(2)
    layer = layers.Conv2DTranspose(
        weight.shape[1] * groups, tuple(kernel), stride=tuple(strides), padding=tuple(pairs), output_padding=tuple(extra),
        dilation=tuple(dilations), groups=groups, use_bias=call.has(2),
    )  # fmt: skip
    made = call.add(layer, value, weights)
    return Value(made.name, made.shape, channels_first(4))
