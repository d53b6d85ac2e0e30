"""Rules for pools, resampling, padding and cropping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnet import layers
from fastnet.io.onnx.importing.call import Call, operator
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.products import padding
from fastnet.io.onnx.importing.values import Value

if TYPE_CHECKING:
    from fastnet.types import Shape

__all__: list[str] = []


@operator("MaxPool", "AveragePool")
def pool(call: Call) -> Value:
    value = call.row_or_image()
    count = value.rank - 2
    kernel = call.integers("kernel_shape") or []
    strides = call.integers("strides") or [1] * count
    if len(kernel) != count or len(strides) != count or min(*kernel, *strides) < 1:
        raise UnsupportedError(f"kernel_shape {kernel} and strides {strides} don't fit an input of {value.rank} axes")
    if set(call.integers("dilations") or [1]) != {1}:
        raise UnsupportedError("dilations of pools are not supported")
    kind: Any
    arguments: dict[str, Any] = {
        "stride": tuple(strides),
        "padding": padding(call, value.shape[:-1], kernel, strides, [1] * count),
        "ceil_mode": call.flag("ceil_mode"),
    }
    if arguments["padding"] == "same":
        arguments["ceil_mode"] = False
    if call.operation.operator == "MaxPool":
        kind = (layers.MaxPool1D, layers.MaxPool2D)[count - 1]
    else:
        kind = (layers.AvgPool1D, layers.AvgPool2D)[count - 1]
        arguments["count_include_pad"] = call.flag("count_include_pad") or arguments["padding"] == "valid"
    made = call.add(kind(tuple(kernel), **arguments), value)
    return Value(made.name, made.shape, value.order)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(call: Call) -> Value:
    return whole_image(call, call.row_or_image(), "Max" in call.operation.operator)


def whole_image(call: Call, value: Value, greatest: bool) -> Value:
    """Each channel's mean, or greatest element, with the axes of the image kept."""
    if value.rank == 3:
        made = call.add((layers.MaxPool1D if greatest else layers.AvgPool1D)(value.shape[0]), value)
    else:
        made = call.add((layers.GlobalMaxPool2D if greatest else layers.GlobalAvgPool2D)(keep_dims=True), value)
    return Value(made.name, made.shape, value.order)


def as_image(call: Call, value: Value, layer: layers.Layer, sizes: Shape) -> Value:
    """A layer for images on a value: on a sequence as an image of height 1."""
    if value.rank == 4:
        made = call.add(layer, value)
        return Value(made.name, made.shape, value.order)
    image = call.add(layers.Reshape((1, *value.shape)), value)
    made = call.add(layer, Value(image.name, image.shape, (0, 1, 2, 3)))
    made = call.add(layers.Reshape(sizes), Value(made.name, made.shape, (0, 1, 2, 3)))
    return Value(made.name, made.shape, value.order)


def _pixel_pairs(value: Value, by_axis: dict[int, tuple[int, int]], what: str) -> tuple[tuple[int, int], ...]:
    """Pairs for height and width of fastnet's array, from those of the tensor's axes."""
    pairs = {value.order[axis]: pair for axis, pair in by_axis.items() if any(pair)}
    if value.rank not in (3, 4) or not set(pairs) <= set(range(1, value.rank - 1)):
        raise UnsupportedError(f"{what} of axes other than those of an image's pixels is not supported")
    found = tuple(pairs.get(axis, (0, 0)) for axis in range(1, value.rank - 1))
    return found if value.rank == 4 else ((0, 0), *found)


@operator("Pad")
def pad(call: Call) -> Value:
    value = call.value()
    call.require("mode", "constant", "reflect")
    mode = call.attribute("mode", "constant")
    if call.opset < 11:
        pads, fill = call.integers("pads") or [], call.attribute("value", 0.0)
    else:
        pads, fill = call.numbers(1), call.number(2) if call.has(2) else 0.0
    axes = call.axes(value.rank, 18, 3) if call.opset >= 18 and call.has(3) else None
    if axes is None:
        axes = list(range(value.rank))
    if len(pads) != 2 * len(axes):
        raise UnsupportedError(f"{len(pads)} pads for {len(axes)} axes")
    by_axis = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
    pairs = _pixel_pairs(value, by_axis, "padding")
    if not any(map(any, pairs)):
        return value
    if mode == "constant" and fill != 0:
        raise UnsupportedError(f"padding with {fill:g} is not supported; with zeros it is")
    if max(map(max, pairs)) <= 0:
        return _cropped(call, value, tuple((-a, -b) for a, b in pairs))
    if min(map(min, pairs)) < 0:
        raise UnsupportedError(f"pads {pads} are partly negative")
    sizes = tuple(size + sum(pair) for size, pair in zip(value.shape[:-1], pairs[4 - value.rank :], strict=True))
    layer = layers.ZeroPad2D(pairs) if mode == "constant" else layers.ReflectPad2D(pairs)
    return as_image(call, value, layer, (*sizes, value.channels))


def _cropped(call: Call, value: Value, pairs: tuple[tuple[int, int], ...]) -> Value:
    sizes = tuple(size - sum(pair) for size, pair in zip(value.shape[:-1], pairs[4 - value.rank :], strict=True))
    return as_image(call, value, layers.Crop2D(pairs), (*sizes, value.channels))


@operator("Slice")
def crop(call: Call) -> Value:
    value = call.value()
    if call.opset < 10:
        starts, ends = call.integers("starts") or [], call.integers("ends") or []
        axes, steps = call.integers("axes"), None
    else:
        starts, ends = call.numbers(1), call.numbers(2)
        axes = call.numbers(3) if call.has(3) else None
        steps = call.numbers(4) if call.has(4) else None
    axes = [call.axis(axis, value.rank) for axis in (range(len(starts)) if axes is None else axes)]
    if any(step != 1 for step in steps or []):
        raise UnsupportedError(f"steps {steps} are not supported; 1 is")
    if not len(starts) == len(ends) == len(axes):
        raise UnsupportedError(f"{len(starts)} starts, {len(ends)} ends and {len(axes)} axes")
    by_axis = {}
    for axis, start, end in zip(axes, starts, ends, strict=True):
        size = value.sizes[axis]
        low, high, _ = slice(int(start), int(end)).indices(size)
        by_axis[axis] = (low, size - max(low, high))
    pairs = _pixel_pairs(value, by_axis, "slices")
    return _cropped(call, value, pairs) if any(map(any, pairs)) else value


@operator("Resize", "Upsample")
def resize(call: Call) -> Value:
    value = call.value()
    old = call.operation.operator == "Upsample" or call.opset < 11
    factors = _factors(call, value, old)
    pairs = {value.order[axis]: factor for axis, factor in enumerate(factors) if factor != 1}
    if value.rank != 4 or not set(pairs) <= {1, 2}:
        raise UnsupportedError("resizing of axes other than height and width of images is not supported")
    call.require("mode", "nearest", "linear", "bilinear")
    call.require("antialias", 0)
    nearest = call.attribute("mode", "nearest") == "nearest"
    placing = call.attribute("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    rounding = call.attribute("nearest_mode", "floor" if old else "round_prefer_floor")
    factor = tuple(pairs.get(axis, 1) for axis in (1, 2))
    if not nearest and placing != "half_pixel" and not (placing == "pytorch_half_pixel" and min(value.shape[:2]) > 1):
        raise UnsupportedError(f"linear resizing with coordinates {placing!r} is not supported; 'half_pixel' is")
    if nearest and not all(_repeats(n, size, placing, rounding) for n, size in zip(factor, value.shape, strict=False)):
        raise UnsupportedError(
            f"nearest resizing with coordinates {placing!r} and {rounding!r} does not repeat each pixel alike"
        )
    made = call.add(layers.UpSample2D(factor, interpolation="nearest" if nearest else "bilinear"), value)
    return Value(made.name, made.shape, value.order)


def _factors(call: Call, value: Value, old: bool) -> list[int]:
    """By how much each axis of the tensor grows."""
    if call.operation.operator == "Upsample" and call.opset < 9:
        plain = [1.0, 1.0, call.attribute("height_scale", 1.0), call.attribute("width_scale", 1.0)]
        scales = call.attribute("scales", plain)
    elif old:
        scales = call.numbers(1)
    elif call.has(3):
        sizes = call.numbers(3)
        axes = call.integers("axes") or list(range(value.rank))
        call.require("keep_aspect_ratio_policy", "stretch")
        scales = [1.0] * value.rank
        for axis, size in zip(axes, sizes, strict=False):
            axis = call.axis(axis, value.rank)
            scales[axis] = 1.0 if axis == 0 else size / value.sizes[axis]
    else:
        scales = [1.0] * value.rank
        given = call.numbers(2)
        axes = call.integers("axes") or list(range(len(given)))
        for axis, scale in zip(axes, given, strict=False):
            scales[call.axis(axis, value.rank)] = scale
    if len(scales) != value.rank or any(not math.isfinite(s) or s != int(s) or s < 1 for s in scales):
        raise UnsupportedError(f"scales {scales} are not supported; whole factors are")
    return [int(scale) for scale in scales]


ROUNDINGS: dict[str, Callable[[float], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: math.floor(x + 0.5),
}
PLACINGS: dict[str, Callable[[float, int], float]] = {
    "asymmetric": lambda x, factor: x / factor,
    "half_pixel": lambda x, factor: (x + 0.5) / factor - 0.5,
    "half_pixel_symmetric": lambda x, factor: (x + 0.5) / factor - 0.5,
    "pytorch_half_pixel": lambda x, factor: (x + 0.5) / factor - 0.5,
}


def _repeats(factor: int, size: int, placing: str, rounding: str) -> bool:
    """Whether nearest resizing by a whole factor repeats each pixel that often: all do alike, but at the borders."""
    if factor == 1:
        return True
    if placing not in PLACINGS or rounding not in ROUNDINGS or factor > 1000:
        return False
    pixels = min(size, 4)
    places = (PLACINGS[placing](x, factor) for x in range(pixels * factor))
    if size == 1 and placing == "pytorch_half_pixel":
        return True
    found = [min(max(ROUNDINGS[rounding](place), 0), size - 1) for place in places]
    return found == [x // factor for x in range(pixels * factor)]
