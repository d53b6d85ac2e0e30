"""What layers on images share."""

from __future__ import annotations

__all__ = ["image_sizes", "record"]


def image_sizes(layer, shape, count: int) -> tuple[int, ...]:
    """The sizes of the `count` axes of an image (or a sequence) before the channels, from one sample's shape."""
    if len(shape) != count + 1:
        axes = "(height, width, channels)" if count == 2 else "(length, channels)"
        raise ValueError(f"{type(layer).__name__} needs inputs of shape {axes} besides the batch; got shape {shape}")
    return shape[:-1]


def record(ctx, kernel, source, shape, numbers, fields=("x", "y")):
    """A kernel from one image to another of `shape`."""
    target = ctx.tensor(shape)
    ctx.call(
        kernel, reads={fields[0]: source}, writes={fields[1]: target}, work=4 * (source.size + target.size), **numbers
    )
    return target
