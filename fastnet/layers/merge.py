"""Layers with several inputs: where branches of a graph meet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet import activations
from fastnet.files import register
from fastnet.layers.base import Layer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike, Shape

__all__ = ["Add", "Concatenate", "Product"]


@register
class Add(Layer):
    """y = activation(the sum of the inputs), which must have one shape."""

    many_inputs = True

    def __init__(self, *, activation: ActivationLike | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activation = activations.get(activation)

    def build(self, shape: list[Shape]) -> Shape:
        if len(set(shape)) != 1:
            raise ValueError(f"the inputs of Add must have one shape; got {', '.join(map(str, shape))}")
        return shape[0]

    def record_forward(self, ctx: Context, x: list[Tensor], training: bool) -> Tensor:
        z = x[0]
        for other in x[1:]:
            z = ctx.add(z, other)
        y = self.activation.record_forward(ctx, z)
        return ctx.keep(y, z=z, count=len(x))

    def record_backward(self, ctx: Context, dy: Tensor) -> list[Tensor]:
        dz = self.activation.record_backward(ctx, dy, ctx.z, ctx.y)
        return [dz] * ctx.count

    def config(self) -> dict[str, Any]:
        return {"activation": self.activation, **super().config()}


@register
class Concatenate(Layer):
    """The inputs side by side along the last axis (the channels of images)."""

    many_inputs = True

    def build(self, shape: list[Shape]) -> Shape:
        if len({s[:-1] for s in shape}) != 1 or any(not s for s in shape):
            raise ValueError(
                f"the inputs of Concatenate must agree in all axes but the last; got {', '.join(map(str, shape))}"
            )
        return (*shape[0][:-1], sum(s[-1] for s in shape))

    def record_forward(self, ctx: Context, x: list[Tensor], training: bool) -> Tensor:
        y = ctx.tensor((*x[0].shape[:-1], sum(part.columns for part in x)))
        start = 0
        for part in x:
            ctx.copy_columns(part, y, target=start, columns=part.columns)
            start += part.columns
        return ctx.keep(y, shapes=[part.shape for part in x])

    def record_backward(self, ctx: Context, dy: Tensor) -> list[Tensor]:
        parts, start = [], 0
        for shape in ctx.shapes:
            part = ctx.tensor(shape)
            ctx.copy_columns(dy, part, source=start, columns=shape[-1])
            parts.append(part)
            start += shape[-1]
        return parts


@register
class Product(Layer):
    """The inputs multiplied, element by element.

    They have one shape, but that some may be a row for each sample, (channels,) or (1, 1, channels), which
    multiplies all pixels: the gates of squeeze-and-excitation (Hu, Shen & Sun 2018).
    """

    many_inputs = True

    def build(self, shape: list[Shape]) -> Shape:
        whole = max(shape, key=lambda s: (math.prod(s), len(s)))
        for other in shape:
            if other != whole and not (other and other[-1] == whole[-1] == math.prod(other)):
                raise ValueError(
                    f"the inputs of Product must have one shape, or be a row {whole[-1:]}; got {', '.join(map(str, shape))}"
                )
        return whole

    def record_forward(self, ctx: Context, x: list[Tensor], training: bool) -> Tensor:
        pairs, y = [], x[0]
        for other in x[1:]:
            pairs.append((y, other))
            y = _multiply(ctx, y, other)
        return ctx.keep(y, pairs=pairs)

    def record_backward(self, ctx: Context, dy: Tensor) -> list[Tensor]:
        parts = []
        for a, b in reversed(ctx.pairs):
            dy, part = _multiply_backward(ctx, a, b, dy)
            parts.append(part)
        return [dy, *reversed(parts)]


def _sample_size(x: Tensor) -> int:
    return math.prod(x.shape[1:])


def _sizes(x: Tensor) -> dict[str, int]:
    return {"batch": x.shape[0], "rows": _sample_size(x) // x.columns, "channels": x.columns}


def _multiply(ctx: Context, a: Tensor, b: Tensor) -> Tensor:
    y = ctx.tensor(max(a.shape, b.shape, key=lambda s: (math.prod(s[1:]), len(s))))
    if _sample_size(a) == _sample_size(b):
        ctx.call("multiply", reads={"a": a, "b": b}, writes={"y": y}, in_place=("a", "y"), work=4 * y.size, n=y.size)
    else:
        x, w = (a, b) if _sample_size(a) > _sample_size(b) else (b, a)
        ctx.call("multiply_rows", reads={"x": x, "w": w}, writes={"y": y}, in_place=("x", "y"), work=8 * y.size,
                 **_sizes(y))  # fmt: skip
    return y


def _multiply_backward(ctx: Context, a: Tensor, b: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients at a and b."""
    da, db = ctx.tensor(a.shape), ctx.tensor(b.shape)
    if _sample_size(a) == _sample_size(b):
        for factor, target in ((b, da), (a, db)):
            ctx.call("multiply", reads={"a": dy, "b": factor}, writes={"y": target}, in_place=("a", "y"),
                     work=4 * dy.size, n=dy.size)  # fmt: skip
    else:
        (x, dx), (w, dw) = ((a, da), (b, db)) if _sample_size(a) > _sample_size(b) else ((b, db), (a, da))
        ctx.call("multiply_rows_backward", reads={"x": x, "w": w, "dy": dy}, writes={"dx": dx, "dw": dw},
                 optional=("dx", "dw"), in_place=("dy", "dx"), work=12 * dy.size, **_sizes(dy))  # fmt: skip
    return da, db
