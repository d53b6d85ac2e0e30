"""What layers on images share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnet.layers.base import Layer
    from fastnet.recording import Context, Tensor
    from fastnet.types import Shape

__all__ = ["image_sizes", "record"]


def image_sizes(layer: Layer, shape: Shape, count: int) -> tuple[int, ...]:
    """The sizes of the `count` axes of an image (or a sequence) before the channels, from one sample's shape."""
    if len(shape) != count + 1:
        axes = "(height, width, channels)" if count == 2 else "(length, channels)"
        raise ValueError(f"{type(layer).__name__} needs inputs of shape {axes} besides the batch; got shape {shape}")
    return shape[:-1]


def record(ctx: Context, kernel: str, source: Tensor, shape: Shape, numbers: Mapping[str, float],
           fields: tuple[str, str] = ("x", "y")) -> Tensor:  # fmt: skip
    """A kernel from one image to another of `shape`."""
    target = ctx.tensor(shape)
    ctx.call(
        kernel, reads={fields[0]: source}, writes={fields[1]: target}, work=4 * (source.size + target.size), **numbers
    )
    return target
