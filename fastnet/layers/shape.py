"""Layers that only see the same elements under another shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.files import register
from fastnet.layers.base import Layer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import Shape, Sizes

__all__ = ["Flatten", "Reshape"]


@register
class Flatten(Layer):
    """All axes but the batch into one, the last axis fastest (images: height, width, channels)."""

    def build(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        return ctx.keep(x.reshape((x.shape[0], math.prod(x.shape[1:]))), shape=x.shape)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return dy.reshape(ctx.shape)


@register
class Reshape(Layer):
    """The same elements under another shape.

    Parameters
    ----------
    shape : tuple of int
        One sample's, without the batch.
    """

    def __init__(self, shape: Sizes, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.shape = checks.shape("shape", shape)

    def build(self, shape: Shape) -> Shape:
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(
                f"Reshape(shape={self.shape}) needs {math.prod(self.shape)} elements a sample; "
                f"inputs of shape {shape} have {math.prod(shape)}"
            )
        return self.shape

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        return ctx.keep(x.reshape((x.shape[0], *self.shape)), shape=x.shape)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return dy.reshape(ctx.shape)

    def config(self) -> dict[str, Any]:
        return {"shape": self.shape, **super().config()}
