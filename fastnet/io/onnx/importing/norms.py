"""Rules for norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet import layers
from fastnet.io.onnx.importing.call import Call, operator
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.values import BATCH, Value

if TYPE_CHECKING:
    from fastnet.types import Array

__all__: list[str] = []


def _epsilon(call: Call, default: float = 1e-5) -> float:
    value = call.attribute("epsilon", default)
    if not value > 0:
        raise UnsupportedError(f"epsilon={value} is not supported: it must be above 0")
    return float(str(np.float32(value)))


@operator("BatchNormalization")
def batch_norm(call: Call) -> Value:
    value = call.row_or_image(ranks=(2, 3, 4))
    if call.flag("training_mode"):
        raise UnsupportedError("training_mode must be 0; an imported network is told by `fit` when it is trained")
    call.require("spatial", 1)
    names = ("weight", "bias", "running_mean", "running_variance")
    weights = {name: _vector(call, value, i) for i, name in enumerate(names, 1)}
    momentum = 1 - call.attribute("momentum", 0.9)
    layer = layers.BatchNorm(
        momentum=float(str(np.float32(momentum))) if 0 < momentum <= 1 else 0.1, epsilon=_epsilon(call)
    )
    return call.behind(layer, value, weights)


def _vector(call: Call, value: Value, i: int) -> np.ndarray:
    array = call.constant(i)
    if array.shape != (value.channels,):
        raise UnsupportedError(
            f"input {i} has the shape {array.shape}; it must have one number for each of {value.channels} channels"
        )
    return value.arranged(array)


def _normalized(call: Call, value: Value) -> tuple[int, tuple[int, ...], list[int]]:
    """How many of fastnet's last axes are normalized, the tensor's sizes there, and the order of its axes."""
    first = call.axis(call.attribute("axis", -1), value.rank)
    stated = call.integers("axes")  # of a pattern, which may leave out the last
    if stated and [call.axis(axis, value.rank) for axis in stated] != list(range(first, value.rank)):
        raise UnsupportedError(f"it normalizes axes {stated}, which are not fastnet's last ones")
    axes = list(value.order[first:])
    count = value.rank - first
    if sorted(axes) != list(range(value.rank - count, value.rank)) or first == 0:
        raise UnsupportedError(f"it normalizes the axes from {first} on, which are not fastnet's last ones")
    return count, value.sizes[first:], [axes.index(axis) for axis in sorted(axes)]


def _shaped(call: Call, value: Value, i: int) -> np.ndarray:
    """A norm's weights, which have the shape of what is normalized."""
    count, sizes, order = _normalized(call, value)
    array = call.constant(i)
    trimmed = array.reshape(array.shape[max(0, array.ndim - count) :]) if array.size <= np.prod(sizes) else array
    try:
        whole = np.broadcast_to(trimmed, sizes)
    except ValueError:
        raise UnsupportedError(
            f"input {i} has the shape {array.shape}; it must have that of what is normalized, {sizes}"
        ) from None
    call.check_size(whole.size)
    return value.arranged(whole) if value.parts else whole.transpose(order)


def _norm_of_sample(call: Call) -> tuple[Value, int, dict[str, Array]]:
    """What is normalized, over how many axes, and the weights that are there."""
    value = call.value()
    call.require("stash_type", 1)
    count = _normalized(call, value)[0]
    return value, count, {name: _shaped(call, value, i) for i, name in ((1, "weight"), (2, "bias")) if call.has(i)}


@operator("LayerNormalization")
def layer_norm(call: Call) -> Value:
    value, count, weights = _norm_of_sample(call)
    layer = layers.LayerNorm(axes=count, epsilon=_epsilon(call), scale="weight" in weights, center="bias" in weights)
    return call.behind(layer, value, weights)


@operator("RMSNormalization")
def rms_norm(call: Call) -> Value:
    value, count, weights = _norm_of_sample(call)
    return call.behind(layers.RMSNorm(axes=count, epsilon=_epsilon(call), scale=bool(weights)), value, weights)


@operator("InstanceNormalization")
def instance_norm(call: Call) -> Value:
    value = call.row_or_image()
    weights = {"weight": _vector(call, value, 1), "bias": _vector(call, value, 2)}
    return call.behind(layers.GroupNorm(value.channels, epsilon=_epsilon(call)), value, weights)


@operator("GroupNormalization")
def group_norm(call: Call) -> Value:
    value = call.row_or_image(ranks=(2, 3, 4))
    call.require("stash_type", 1)
    if value.parts:
        raise UnsupportedError("groups of the features of flattened images are not supported")
    groups = call.attribute("num_groups", 0)
    if groups < 1 or value.channels % groups:
        raise UnsupportedError(f"num_groups={groups} does not divide {value.channels} channels")
    weights = {"weight": call.constant(1), "bias": call.constant(2)}
    if call.opset < 21:
        weights = {
            name: np.repeat(array, value.channels // groups) for name, array in weights.items() if array.size == groups
        }
    return call.behind(layers.GroupNorm(groups, epsilon=_epsilon(call)), value, weights)


@operator("GroupsNormalized")
def groups_normalized(call: Call) -> Value:
    """A pattern: groups in one axis each, instance normalization with ones and zeros, and the old shape."""
    value = call.row_or_image(ranks=(2, 3, 4))
    if value.parts:
        raise UnsupportedError("groups of the features of flattened images are not supported")
    before, after = call.numbers(1), call.numbers(2)
    groups = before[1] if len(before) == 3 and before[0] in (0, BATCH, call.graph.shape[0]) else 0
    rest = np.prod(value.shape) // groups if groups > 0 else 0
    restored = [n for n, size in zip(after, value.sizes, strict=False) if n not in (-1, 0, size)]
    if groups < 1 or value.channels % groups or before[2] not in (-1, rest) or len(after) != value.rank or (
        restored not in ([], [call.graph.shape[0]])
    ):  # fmt: skip
        raise UnsupportedError(
            "a Reshape, InstanceNormalization and Reshape that are no group normalization are not supported"
        )
    return call.behind(layers.GroupNorm(groups, epsilon=_epsilon(call), scale=False, center=False), value)
