"""How ONNX tensors lie in fastnet's arrays.

A Transpose is never computed: it changes what is known about a tensor. Its axes are those of an array of fastnet in some
order; where images were flattened with their channels first, a row's features are in some order, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastnet.types import Shape

__all__ = ["BATCH", "Part", "Value", "channels_first", "identity", "row", "same_memory"]

#: Stands for the size of the batch in shapes that a graph computes: a prime, so that products with it can be told from others.
BATCH = 1_000_000_007


def identity(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def channels_first(rank: int) -> tuple[int, ...]:
    """The order of a tensor (batch, channels, pixels) of an array (batch, pixels, channels)."""
    return (0, rank - 1, *range(1, rank - 1))


@dataclass(frozen=True)
class Part:
    """Neighbouring features of a row: an array of this shape (without the batch), flattened in this order of its axes."""

    shape: tuple[int, ...]
    order: tuple[int, ...]  # as `Value.order`, the batch included

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape that the ONNX tensor had when it was flattened, without the batch."""
        return tuple(self.shape[axis - 1] for axis in self.order[1:])

    def places(self) -> np.ndarray:
        return (
            np.arange(math.prod(self.shape))
            .reshape(self.shape)
            .transpose([axis - 1 for axis in self.order[1:]])
            .reshape(-1)
        )


@dataclass(frozen=True)
class Value:
    """An ONNX tensor.

    It is the result of the network's node ``node``, whose shape (one sample's) is ``shape``. Axis i of the tensor, the batch
    included, is axis ``order[i]`` of the array. Of a row of features ``parts`` says where each one lies, if not in order.
    """

    node: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    parts: tuple[Part, ...] | None = None

    @property
    def rank(self) -> int:
        return len(self.order)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The tensor's shape, with BATCH for the batch."""
        return tuple((BATCH, *self.shape)[axis] for axis in self.order)

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def channel_axis(self) -> int:
        """The tensor's axis that has fastnet's channels."""
        return self.order.index(self.rank - 1)

    def arranged(self, array: np.ndarray, axis: int = 0) -> np.ndarray:
        """Weights of the tensor's features as weights of the array's."""
        if self.parts is None:
            return array
        result = np.empty_like(array)
        result[(slice(None),) * axis + (self.places(),)] = array
        return result

    def places(self) -> np.ndarray:
        """For each feature of the tensor its place in the array."""
        parts = self.part()
        starts = np.cumsum([0, *(math.prod(part.shape) for part in parts)])
        return np.concatenate([part.places() + start for part, start in zip(parts, starts, strict=False)])

    def part(self) -> tuple[Part, ...]:
        """The parts of a row, one where they are in order."""
        return self.parts or (Part(self.shape, (0, 1)),)

    def of(self, node: str, shape: Shape | None = None) -> Value:
        """The same tensor behind another node, which treats all elements, or all channels, alike."""
        return Value(node, self.shape if shape is None else tuple(shape), self.order, self.parts)


def row(node: str, parts: Sequence[Part]) -> Value:
    """A row of features made of parts."""
    shape = (sum(math.prod(part.shape) for part in parts),)
    plain = all(_moves(part.shape, part.order) == sorted(_moves(part.shape, part.order)) for part in parts)
    return Value(node, shape, (0, 1), None if plain else tuple(parts))


def _moves(shape: Shape, order: tuple[int, ...]) -> list[int]:
    """The order of the axes that have more than one element."""
    return [axis for axis in order[1:] if shape[axis - 1] != 1]


def same_memory(value: Value, sizes: Shape, order: tuple[int, ...]) -> bool:
    """Whether a tensor of other sizes, the batch not among them, that differ in axes of size 1 alone, lies in an array in `order`.

    That is: whether the array's elements come in the order in which those of the value's array do.
    """

    def memory(tensor_sizes: Shape, tensor_order: tuple[int, ...]) -> list[int]:
        """The tensor's axes of more than one element, in the order in which they lie in memory."""
        axes = sorted(range(1, len(tensor_order)), key=lambda i: tensor_order[i])
        long = [i for i in range(1, len(tensor_order)) if tensor_sizes[i - 1] != 1]
        return [long.index(i) for i in axes if i in long]

    return memory(value.sizes[1:], value.order) == memory(sizes, order)
