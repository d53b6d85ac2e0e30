"""Rules for operators that move elements: shapes, orders of axes, joining, and means over pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastnet import layers
from fastnet.io.onnx.importing.call import Call, operator
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.values import BATCH, Part, Value, channels_first, identity, row, same_memory
from fastnet.io.onnx.importing.windows import whole_image

if TYPE_CHECKING:
    from fastnet.types import Shape

__all__ = ["CHANNELS_FIRST", "TRANSPARENT"]

#: Operators whose input has the channels at axis 1.
CHANNELS_FIRST = frozenset({
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization",
    "GroupsNormalized", "InstanceNormalization", "MaxPool",
})  # fmt: skip
#: Operators that say nothing about where the channels are.
TRANSPARENT = frozenset({
    "Add", "Cast", "Celu", "Clip", "Concat", "Div", "Dropout", "Elu", "Gelu", "HardSwish", "Identity", "LeakyRelu",
    "Mul", "Neg", "PRelu", "Pad", "Relu", "Resize", "Selu", "Sigmoid", "Silu", "Slice", "Softplus", "Sub", "Sum",
    "Swish", "Tanh", "Upsample",
})  # fmt: skip


@operator("Transpose")
def transpose(call: Call) -> Value:
    value = call.value()
    perm = call.integers("perm") or list(range(value.rank))[::-1]
    if sorted(perm) != list(range(value.rank)):
        raise UnsupportedError(f"perm {perm} does not fit a tensor with {value.rank} axes")
    if value.parts and perm != [0, 1]:
        raise UnsupportedError("features of flattened images can't be moved to another axis")
    return Value(value.node, value.shape, tuple(value.order[axis] for axis in perm), value.parts)


@operator("Flatten")
def flatten(call: Call) -> Value:
    value = call.value()
    axis = call.attribute("axis", 1)
    axis = axis + value.rank if axis < 0 else axis
    leading = value.sizes[1:axis]
    if axis < 1 or math.prod(leading) != 1:
        raise UnsupportedError(f"axis={axis} is not supported: samples must stay apart (axis=1)")
    return reshaped(call, value, (math.prod(value.shape),))


@operator("Reshape")
def reshape(call: Call) -> Value:
    value = call.value()
    if call.opset < 5:
        raise UnsupportedError("its shape must be an input")
    return reshaped(call, value, _target(call, value))


def _target(call: Call, value: Value) -> tuple[int, ...]:
    """The sizes that a Reshape wants of a sample."""
    name, result = call.operation.input(1), call.operation.outputs[0]
    if name in call.graph.assumed:
        if result not in call.graph.shapes:
            raise UnsupportedError("its shape is not known before the model is run")
        wanted = list(call.graph.shapes[result])
    else:
        wanted = [int(n) for n in call.numbers(1)]
    if not call.flag("allowzero"):
        if any(n == 0 and i >= value.rank for i, n in enumerate(wanted)):
            raise UnsupportedError(f"shape {wanted} keeps the size of an axis that its input has not")
        wanted = [value.sizes[i] if n == 0 else n for i, n in enumerate(wanted)]
    total = math.prod(value.shape)
    fixed = call.graph.shape[0]
    batch = wanted[:1] in ([BATCH], [fixed]) if fixed is not None else wanted[:1] == [BATCH]
    sample = list(wanted[1:])
    if wanted[:1] == [-1] and math.prod(sample) == total:
        batch = True
    if sample.count(-1) == 1:
        known = math.prod(n for n in sample if n != -1)
        sample[sample.index(-1)] = total // known if known > 0 else 0
    if not batch or math.prod(sample) != total or any(n < 1 for n in sample) or value.order[0] != 0:
        shown = ["batch" if n == BATCH else n for n in wanted]
        raise UnsupportedError(f"shape {shown} does not keep samples of shape {value.sizes[1:]} apart")
    return tuple(sample)


@operator("Squeeze")
def squeeze(call: Call) -> Value:
    value = call.value()
    if _assumed_axes(call):
        return reshaped(call, value, call.graph.shapes[call.operation.outputs[0]][1:])
    axes = call.axes(value.rank, 13)
    if not axes:
        if call.graph.shape[0] == 1:
            raise UnsupportedError("without axes it takes a batch of 1 away")
        axes = [i for i, n in enumerate(value.sizes) if n == 1]
    if any(value.sizes[axis] != 1 for axis in axes):
        raise UnsupportedError(f"axes {axes} of a tensor of shape {('batch', *value.sizes[1:])} are not of size 1")
    return reshaped(call, value, tuple(n for i, n in enumerate(value.sizes) if i and i not in axes))


@operator("Unsqueeze")
def unsqueeze(call: Call) -> Value:
    value = call.value()
    if _assumed_axes(call):
        return reshaped(call, value, call.graph.shapes[call.operation.outputs[0]][1:])
    given = call.integers("axes") if call.opset < 13 else call.numbers(1)
    rank = value.rank + len(given or [])
    axes = {call.axis(axis, rank) for axis in given or []}
    if len(axes) != len(given or []):
        raise UnsupportedError(f"axes {given} name an axis twice")
    if 0 in axes or value.order[0] != 0:
        raise UnsupportedError("the batch must stay the first axis")
    sizes = iter(value.sizes)
    return reshaped(call, value, tuple(1 if i in axes else next(sizes) for i in range(rank))[1:])


def _assumed_axes(call: Call) -> bool:
    """Whether the axes are an input that is not known, but the shapes on both sides are."""
    if call.has(1) and call.operation.input(1) in call.graph.assumed:
        before, after = call.graph.shape, call.graph.shapes.get(call.operation.outputs[0], ())
        return before[:1] == after[:1] and call.operation.input(0) == call.graph.input
    return False


def reshaped(call: Call, value: Value, sizes: tuple[int, ...]) -> Value:
    """The tensor with other sizes, the batch not among them."""
    if value.order[0] != 0:
        raise UnsupportedError("the batch must stay the first axis")
    if sizes == value.sizes[1:]:
        return value
    if len(sizes) == 1:
        return _flattened(call, value)
    rank = len(sizes) + 1
    for order in dict.fromkeys(_orders(call, sizes)):
        if value.parts is None and (same_memory(value, sizes, order) or (value.order == identity(value.rank) == order)):
            return _moved(call, value, sizes, order)
    if value.rank == 2:
        return _unflattened(call, value, sizes)
    if value.order == channels_first(value.rank) and sizes[0] == value.channels and len(sizes) == 2:
        return _moved(call, value, sizes, channels_first(3))
    if value.order == identity(value.rank):
        return _moved(call, value, sizes, identity(rank))
    raise UnsupportedError(
        f"a tensor of shape {('batch', *value.sizes[1:])} can't become {('batch', *sizes)} without moving pixels"
    )


def _orders(call: Call, sizes: Shape) -> Iterator[tuple[int, ...]]:
    """Orders that the axes of a tensor of new sizes may have, the likeliest first."""
    rank = len(sizes) + 1
    if call.leads_to(call.operation.outputs[0], CHANNELS_FIRST, TRANSPARENT):
        yield channels_first(rank)
    long = [i for i, size in enumerate(sizes, 1) if size != 1]
    if len(long) == 1:  # a row of channels
        others = iter(range(1, rank - 1))
        yield (0, *(rank - 1 if i == long[0] else next(others) for i in range(1, rank)))
    yield identity(rank)
    yield channels_first(rank)


def _moved(call: Call, value: Value, sizes: Shape, order: tuple[int, ...]) -> Value:
    """A Reshape to the array that has a tensor of these sizes in this order."""
    shape = tuple(sizes[order.index(axis) - 1] for axis in range(1, len(order)))
    if shape == value.shape:
        return Value(value.node, shape, order)
    return Value(call.add(layers.Reshape(shape), value).name, shape, order)


def _flattened(call: Call, value: Value) -> Value:
    if value.rank == 2:
        return value
    made = call.sole(value)
    if made is not None and getattr(made.layer, "keep_dims", False):
        made.change(keep_dims=False)
        return Value(value.node, made.shape, (0, 1))
    made = call.add(layers.Flatten(), value)
    return row(made.name, [Part(value.shape, value.order)])


def _unflattened(call: Call, value: Value, sizes: Shape) -> Value:
    """Features as images with the channels first: those that were flattened so, or a layer's, whose weights are put in order."""
    parts = value.part()
    if len(parts) == 1 and parts[0].sizes == sizes:
        made = call.builder.made.get(value.node)
        if made is not None and isinstance(made.layer, layers.Flatten):
            call.builder.read_again(made.inputs[0])
            return Value(made.inputs[0], parts[0].shape, parts[0].order)
        made = call.add(layers.Reshape(parts[0].shape), value)
        return Value(made.name, made.shape, parts[0].order)
    order = channels_first(len(sizes) + 1)
    shape = tuple(sizes[order.index(axis) - 1] for axis in range(1, len(order)))
    wants = call.leads_to(call.operation.outputs[0], CHANNELS_FIRST, TRANSPARENT)
    if value.parts is None and not wants:
        return _moved(call, value, sizes, identity(len(sizes) + 1))
    if value.parts is not None:
        raise UnsupportedError(f"features of flattened images can't become {('batch', *sizes)}")
    call.builder.permute_features(value.node, Part(shape, order))
    made = call.add(layers.Reshape(shape), value)
    return Value(made.name, shape, order)


@operator("Concat")
def concat(call: Call) -> Value:
    values = [call.value(i) for i in range(call.count)]
    first = values[0]
    axis = call.axis(call.attribute("axis", 1), first.rank)
    if any(value.rank != first.rank or value.order != first.order for value in values) or axis != first.channel_axis:
        raise UnsupportedError(
            f"joining along axis {axis} is not supported; along the channels, axis {first.channel_axis}, it is"
        )
    if len(values) == 1:
        return first
    call.graph.spend(sum(len(value.part()) for value in values))  # which may double with each operator
    made = call.add(layers.Concatenate(), values)
    if first.rank == 2:
        return row(made.name, [part for value in values for part in value.part()])
    return Value(made.name, made.shape, first.order)


@operator("ReduceMean", "ReduceMax")
def reduce(call: Call) -> Value:
    value = call.value()
    greatest = call.operation.operator == "ReduceMax"
    axes = call.axes(value.rank, 18)
    pixels = set(range(1, value.rank - 1))
    if value.rank not in (3, 4) or axes is None or {value.order[axis] for axis in axes} != pixels:
        raise UnsupportedError("over axes other than those of an image's pixels it is not supported")
    pooled = whole_image(call, value, greatest)
    if call.flag("keepdims", 1):
        return pooled
    return reshaped(call, pooled, (value.channels,))
