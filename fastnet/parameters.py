"""Parameters, and the contiguous segments of memory that they live in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.allocation import allocate, largest
from fastnet.recording import Memory

if TYPE_CHECKING:
    from fastnet.initializers.base import Initializer
    from fastnet.native.arena import Block
    from fastnet.types import Array, ArrayLike, Sizes

__all__ = ["Parameter", "Segment"]

ALIGNMENT = 64


class Segment:
    """The parameters that one network built, for life: values, and gradients in the same order.

    Each parameter starts on a cache line; what lies between two is zero. Trainable parameters come
    first, so that `trainable_size` elements of values and gradients are what an optimizer walks over;
    the others (running statistics) have no gradients.
    """

    def __init__(self, parameters: list[Parameter], dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.parameters = sorted(parameters, key=lambda p: not p.trainable)  # stable
        offset = 0
        self.trainable_size = 0
        offsets = []
        for parameter in self.parameters:
            offsets.append(offset)
            offset += -(-parameter.size * self.dtype.itemsize // ALIGNMENT) * ALIGNMENT
            if parameter.trainable:
                self.trainable_size = offset // self.dtype.itemsize
        self.values = Memory("values", allocate(offset, "the parameters", self.largest_share))
        self.gradients = Memory("gradients", self.allocate("the gradients"))
        for parameter, offset in zip(self.parameters, offsets, strict=True):
            parameter.segment, parameter.offset = self, offset

    def allocate(self, purpose: str, times: int = 1) -> Block:
        """A block for something that is kept of each trainable parameter, or so many of them."""
        size = times * self.trainable_size * self.dtype.itemsize
        return allocate(size, purpose, self.largest_share)

    def largest_share(self) -> str:
        """Which parameter needs the most memory, for an error."""
        return largest({p.name: p.size * self.dtype.itemsize for p in self.parameters}, "parameter")


class Parameter:
    """One array that a layer has: weights, biases, or running statistics.

    Attributes
    ----------
    name : str
        Unique in its network: "conv2d_1.weight".
    shape : tuple of int
    trainable : bool
        False for what training keeps but does not learn, such as running statistics.
    value, grad : ndarray
        Live, read-only views. `grad` is the raw gradient of the last backward pass, before clipping
        and weight decay; None where the parameter is not trainable.
    """

    def __init__(self, local_name: str, shape: Sizes, init: Initializer | None, trainable: bool = True,
                 fans: tuple[int, int] | None = None) -> None:  # fmt: skip
        self.local_name = local_name
        self.name = local_name
        self.shape = checks.shape(f"shape of parameter {local_name!r}", shape)
        self.init = init
        self.trainable = trainable
        self.fans = fans
        self.segment: Segment | Any = None  # Any: None only before a network has been built with it
        self.offset = 0
        self._gradient_is_set = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype:
        return self._segment().dtype

    def _segment(self) -> Segment:
        if self.segment is None:
            raise RuntimeError(f"parameter {self.name!r} has no memory yet: build a Network with its layer first")
        return self.segment

    def _view(self, memory: Memory) -> Array:
        return memory.array(self.dtype, self.size, self.offset).reshape(self.shape)

    @property
    def value(self) -> Array:
        view = self._view(self._segment().values)
        view.flags.writeable = False
        return view

    @property
    def grad(self) -> Array | Any:  # Any: None only where nothing is trained
        segment = self._segment()
        if not self.trainable:
            return None
        view = self._view(segment.gradients)
        view.flags.writeable = False
        return view

    def assign(self, array: ArrayLike) -> None:
        """Copy `array`, of the parameter's shape and finite, into the value."""
        array = np.asarray(array)
        if array.shape != self.shape:
            raise ValueError(f"parameter {self.name!r} has shape {self.shape}; got an array of shape {array.shape}")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"parameter {self.name!r} takes real numbers; got dtype {array.dtype}")
        self._view(self._segment().values)[...] = array

    @contextmanager
    def edit(self) -> Iterator[Array]:
        """A writeable view for the time of the ``with`` block.

        Examples
        --------
        >>> import fastnet as fn
        >>> net = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)
        >>> with net.parameters()[1].edit() as bias:
        ...     bias[:] = 1.0
        """
        view = self._view(self._segment().values)
        try:
            yield view
        finally:
            view.flags.writeable = False

    def add_gradient(self, array: ArrayLike) -> None:
        """Set the gradient on the first call of a step, add to it afterwards (for layers in NumPy)."""
        array = np.asarray(array)
        if array.shape != self.shape:
            raise ValueError(f"the gradient of {self.name!r} must have shape {self.shape}; got {array.shape}")
        if not self.trainable:
            raise ValueError(f"parameter {self.name!r} is not trainable: it has no gradient")
        view = self._view(self._segment().gradients)
        if self._gradient_is_set:
            view += array
        else:
            view[...] = array
            self._gradient_is_set = True

    def begin_gradient(self) -> None:
        """The next `add_gradient` is the first of its step."""
        self._gradient_is_set = False

    def finish_gradient(self) -> None:
        """A gradient that nothing was added to is zero."""
        if not self._gradient_is_set:
            self._view(self._segment().gradients)[...] = 0

    def __repr__(self) -> str:
        kind = "" if self.trainable else ", not trainable"
        return f"<parameter {self.name} {self.shape}{kind}>"
