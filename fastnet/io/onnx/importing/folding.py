"""What can be computed of constants alone, in NumPy: shapes that a graph computes, and weights that it prepares.

The result of a function may be no larger than a multiple of the file.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from onnx import helper

from fastnet.io.onnx.importing.graph import Graph, Operation, UnsupportedError

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["FOLDED", "fold", "fold_constants"]

#: Computes the result of a node's attributes and inputs, of which some may be missing.
Function: TypeAlias = "Callable[..., Array]"

#: Operators whose result has the elements of an input, in the same memory or none.
VIEWS = frozenset(("Flatten", "Identity", "Reshape", "Shape", "Slice", "Squeeze", "Transpose", "Unsqueeze"))
PRODUCTS = 256  # multiplications of a matrix product that count as work on one element


def fold_constants(graph: Graph) -> None:
    """Compute all operations that read constants alone, and forget them."""
    kept = []
    for operation in graph.operations:
        if not fold(graph, operation):
            kept.append(operation)
    graph.operations = kept
    graph.count_uses()


def fold(graph: Graph, operation: Operation) -> bool:
    """Compute an operation into the graph's constants, if its inputs are constant and it can be."""
    names = [name for name in operation.inputs if name]
    function = FOLDED.get(operation.operator)
    if function is None or any(name not in graph.constants or name in graph.assumed for name in names):
        return False
    arrays = [graph.constants[name] if name else None for name in operation.inputs]
    try:
        if operation.operator not in VIEWS:
            graph.spend(sum(array.size for array in arrays if array is not None))
        inputs = [None if array is None else _numbers(array) for array in arrays]
        result = _numbers(function(_Limited(graph, operation), *inputs))
        graph.spend(result.size)
    except (
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        AttributeError,
    ) as error:  # of None, where an input is missing
        raise ValueError(f"{operation.title()} can't be computed: {error}") from None
    graph.constants[operation.outputs[0]] = result
    return True


def _numbers(array: Any) -> Array:
    """An array of numbers: texts grow where they are added, and what is done with Python's objects has no bound."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise UnsupportedError(f"it works on an array of {array.dtype}")
    return array


class _Limited:
    """The attributes of an operation, and the limit on its result."""

    def __init__(self, graph: Graph, operation: Operation) -> None:
        self.graph, self.operation = graph, operation

    def get(self, name: str, default: Any = None) -> Any:
        return self.operation.attributes.get(name, default)

    def check(self, shape: Sequence[int]) -> None:
        if any(size < 0 for size in shape) or math.prod(shape) > self.graph.largest:
            raise UnsupportedError(f"it has the shape {tuple(shape)}, which is too large for a file of this size")

    def axes(self, given: Array | None) -> tuple[int, ...] | None:
        """From an input of today or an attribute of old."""
        axes = self.get("axes") if given is None else given
        return None if axes is None else tuple(int(axis) for axis in np.ravel(axes))


def _elementwise(function: Callable[..., Any]) -> Function:
    def compute(node: _Limited, *arrays: Array) -> Array:
        node.check(np.broadcast_shapes(*(array.shape for array in arrays)))
        with np.errstate(all="ignore"):
            result = function(*arrays)
        return result if result.dtype.kind == "b" else np.asarray(result, arrays[0].dtype)

    return compute


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        if not np.all(b):
            raise ValueError("division by zero")
        return np.trunc(a / b).astype(a.dtype)
    return a / b


def _mod(node: _Limited, a: Array, b: Array) -> Array:
    node.check(np.broadcast_shapes(a.shape, b.shape))
    if b.dtype.kind in "iu" and not np.all(b):
        raise ValueError("division by zero")
    return np.fmod(a, b) if node.get("fmod", 0) else np.mod(a, b)


def _constant(node: _Limited) -> Array:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = node.get(name)
        if value is not None:
            kind = {
                "value_float": np.float32,
                "value_floats": np.float32,
                "value_int": np.int64,
                "value_ints": np.int64,
            }
            return np.asarray(value, kind.get(name))
    raise ValueError("it has no value that is a tensor or numbers")


def _constant_of_shape(node: _Limited, shape: Array) -> Array:
    sizes = tuple(int(size) for size in np.ravel(shape))
    node.check(sizes)
    value = node.get("value", np.zeros(1, np.float32))
    return np.full(sizes, np.ravel(value)[0])


def _cast(node: _Limited, x: Array) -> Array:
    return x.astype(helper.tensor_dtype_to_np_dtype(node.get("to")))


def _concat(node: _Limited, *parts: Array) -> Array:
    node.check((sum(part.size for part in parts),))
    return np.concatenate(parts, axis=node.get("axis", 0))


def _gather(node: _Limited, x: Array, indices: Array) -> Array:
    axis = node.get("axis", 0)
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :] if axis >= 0 else indices.shape
    node.check(shape)
    return np.take(x, indices, axis=axis)


def _slice(
    node: _Limited, x: Array, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Array:
    starts = node.get("starts") if starts is None else starts
    ends = node.get("ends") if ends is None else ends
    axes = node.axes(axes) or range(len(starts))
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        end = None if step < 0 and end < -x.shape[axis] else int(end)
        index[axis] = slice(int(start), end, int(step))
    return x[tuple(index)]


def _reshape(node: _Limited, x: Array, shape: Array) -> Array:
    sizes = [int(size) for size in shape]
    if not node.get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _squeeze(node: _Limited, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, node.axes(axes))


def _unsqueeze(node: _Limited, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, cast("tuple[int, ...]", node.axes(axes)))


def _expand(node: _Limited, x: Array, shape: Array) -> Array:
    sizes = np.broadcast_shapes(x.shape, tuple(int(size) for size in shape))
    node.check(sizes)
    return np.broadcast_to(x, sizes).copy()


def _tile(node: _Limited, x: Array, repeats: Array) -> Array:
    node.check([size * int(n) for size, n in zip(x.shape, repeats, strict=True)])
    return np.tile(x, [int(n) for n in repeats])


def _range(node: _Limited, start: Array, limit: Array, delta: Array) -> Array:
    first, end, step = (array.reshape(()).item() for array in (start, limit, delta))  # which don't overflow
    node.check([max(0, math.ceil((end - first) / step))])
    return np.arange(first, end, step, dtype=start.dtype)


def _reduce(function: Callable[..., Any]) -> Function:
    def compute(node: _Limited, x: Array, axes: Any = None) -> Array:
        axes = node.axes(axes)
        if not axes and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, axis=axes or None, keepdims=bool(node.get("keepdims", 1))).astype(x.dtype)

    return compute


def _flatten(node: _Limited, x: Array) -> Array:
    axis = node.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _transpose(node: _Limited, x: Array) -> Array:
    return np.transpose(x, node.get("perm"))


def _where(node: _Limited, condition: Array, a: Array, b: Array) -> Array:
    node.check(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    return np.where(condition, a, b)


def _gemm(node: _Limited, a: Array, b: Array, c: Array | None = None) -> Array:
    y = _matmul(node, a.T if node.get("transA", 0) else a, b.T if node.get("transB", 0) else b) * node.get("alpha", 1.0)
    if c is None:
        return y.astype(a.dtype)
    node.check(np.broadcast_shapes(y.shape, c.shape))
    return (y + node.get("beta", 1.0) * c).astype(a.dtype)


def _matmul(node: _Limited, a: Array, b: Array) -> Array:
    if not a.ndim or not b.ndim:
        raise ValueError(f"it multiplies arrays of shapes {a.shape} and {b.shape}")
    columns = b.shape[-1:] if b.ndim > 1 else ()
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *a.shape[-2:-1], *columns)
    node.check(shape)
    node.graph.spend(math.prod(shape) * a.shape[-1] // PRODUCTS)
    return a @ b


FOLDED: dict[str, Function] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": _elementwise(np.greater),
    "Identity": lambda node, x: x,
    "Less": _elementwise(np.less),
    "Log": _elementwise(np.log),
    "MatMul": _matmul,
    "Max": _elementwise(lambda *arrays: functools.reduce(np.maximum, arrays)),
    "Min": _elementwise(lambda *arrays: functools.reduce(np.minimum, arrays)),
    "Mod": _mod,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Or": _elementwise(np.logical_or),
    "Pow": _elementwise(lambda a, b: np.power(a, b).astype(a.dtype)),
    "Range": _range,
    "Reciprocal": _elementwise(np.reciprocal),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Shape": lambda node, x: np.asarray(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64),
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
