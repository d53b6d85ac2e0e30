"""The ONNX graph that is being written, and the layouts of its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

    from fastnet.graph import Node
    from fastnet.parameters import Parameter
    from fastnet.types import Array, ArrayLike, Shape

__all__ = ["FIRST", "LAST", "Value", "Writer", "axes_of", "flattened_order"]

LAST, FIRST = (
    "last",
    "first",
)  # where the channels are: behind the pixels, as fastnet has them, or before, as ONNX' operators do


@dataclass
class Value:
    """A layer's result.

    ``tensors`` has the names of the ONNX tensors that hold it, by layout. A row of features has one tensor for both layouts, unless
    it is an image that was flattened with its channels first: then ``image`` is that image's shape (height, width, channels).
    """

    shape: tuple[int, ...]
    tensors: dict[str, str]
    image: tuple[int, ...] | None = None

    @property
    def layout(self) -> str:
        """The layout in which it is at hand, channels first if in both."""
        return FIRST if FIRST in self.tensors else LAST

    @property
    def tensor(self) -> str:
        return self.tensors[self.layout]

    def like(self, tensor: str) -> Value:
        """A value of the same shape and layout."""
        return Value(self.shape, dict.fromkeys(self._layouts(), tensor), self.image)

    def _layouts(self) -> tuple[str, ...]:
        return (LAST, FIRST) if len(self.shape) == 1 and self.image is None else (self.layout,)


class Writer:
    """Nodes and weights in their order."""

    def __init__(self, opset: int, dtype: str) -> None:
        self.opset = opset
        self.dtype = np.dtype(dtype)
        self.nodes: list[NodeProto] = []
        self._weights: dict[str, Array] = {}
        self._of_parameters: dict[tuple[int, str], str] = {}
        self._taken: set[str] = set()

    # Names

    def unique(self, name: str) -> str:
        """`name`, with a number where it is taken."""
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}:{count}"
        self._taken.add(found)
        return found

    # What the graph consists of

    def node(self, operator: str, inputs: Sequence[str], *, name: str, **attributes: Any) -> str:
        """Add a node; returns the name of its result, which is also the node's."""
        name = self.unique(name)
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def parameter(self, node: Node, parameter: Parameter, change: Callable[[Array], Array] | None = None,
                  kind: str = "") -> str:  # fmt: skip
        """The weights of a layer at a node, changed by a function; one of each `kind` of change of a parameter is kept."""
        key = id(parameter), kind
        if key not in self._of_parameters:
            array = parameter.value if change is None else change(parameter.value)
            self._of_parameters[key] = self.weight(f"{node.name}.{parameter.local_name}", array)
        return self._of_parameters[key]

    def weight(self, name: str, array: ArrayLike) -> str:
        """A constant of the model's dtype."""
        return self._constant(name, np.asarray(array, self.dtype))

    def single(self, name: str, numbers: ArrayLike) -> str:
        """A constant of float32, where an operator wants that of any model."""
        return self._constant(name, np.asarray(numbers, np.float32))

    def integers(self, numbers: ArrayLike) -> str:
        """A constant list of integers, such as a shape; equal ones are one."""
        array = np.asarray(numbers, np.int64)
        name = "integers_" + "_".join(map(str, array.tolist()))
        return name if name in self._weights else self._constant(name, array)

    def number(self, value: float) -> str:
        """A constant scalar; equal ones are one."""
        name = f"number_{value!r}"
        return name if name in self._weights else self.weight(name, value)

    def _constant(self, name: str, array: Array) -> str:
        name = self.unique(name)
        self._weights[name] = np.array(array, array.dtype.newbyteorder("="), order="C")
        return name

    def initializers(self) -> list[TensorProto]:
        return [numpy_helper.from_array(array, name) for name, array in self._weights.items()]

    # Layouts

    def last(self, value: Value) -> str:
        """The tensor with the channels behind the pixels, transposed if need be."""
        if LAST not in value.tensors:
            value.tensors[LAST] = (
                self._unflattened(value, value.image) if value.image else self._transposed(value, FIRST)
            )
        return value.tensors[LAST]

    def first(self, value: Value) -> str:
        """The tensor with the channels before the pixels, transposed if need be."""
        if FIRST not in value.tensors:
            value.tensors[FIRST] = self._transposed(value, LAST)
        return value.tensors[FIRST]

    def layout(self, value: Value, layout: str) -> str:
        return self.first(value) if layout == FIRST else self.last(value)

    def _transposed(self, value: Value, source: str) -> str:
        tensor, rank = value.tensors[source], len(value.shape) + 1
        order = (0, rank - 1, *range(1, rank - 1)) if source == LAST else (0, *range(2, rank), 1)
        return self.node("Transpose", [tensor], name=f"{tensor}.transposed", perm=order)

    def _unflattened(self, value: Value, shape: Shape) -> str:
        tensor = value.tensors[FIRST]
        sizes = (0, shape[-1], *shape[:-1])
        image = self.node("Reshape", [tensor, self.integers(sizes)], name=f"{tensor}.image")
        image = self._transposed(Value(shape, {FIRST: image}), FIRST)
        return self.node("Reshape", [image, self.integers((0, *value.shape))], name=f"{tensor}.flattened")

    def row(self, shape: Shape, tensor: str) -> Value:
        """A value of features, which has no layout."""
        return Value(tuple(shape), {LAST: tensor, FIRST: tensor})


def flattened_order(image: Shape) -> Array:
    """The places, in an image that is flattened as fastnet has it, of the elements that are flattened with the channels first."""
    axes = (len(image) - 1, *range(len(image) - 1))
    return np.arange(math.prod(image)).reshape(image).transpose(axes).reshape(-1)


def axes_of(value: Value, layout: str) -> list[int]:
    """The axes of the pixels in an ONNX tensor."""
    count = len(value.shape) - 1
    return list(range(2, 2 + count)) if layout == FIRST else list(range(1, 1 + count))
