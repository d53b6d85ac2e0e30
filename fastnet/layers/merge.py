"""Layers with several inputs: where branches of a graph meet."""

from __future__ import annotations

from fastnet import activations
from fastnet.files import register
from fastnet.layers.base import Layer

__all__ = ["Add", "Concatenate"]


@register
class Add(Layer):
    """y = activation(the sum of the inputs), which must have one shape."""

    many_inputs = True

    def __init__(self, *, activation=None, name=None):
        super().__init__(name=name)
        self.activation = activations.get(activation)

    def build(self, shape):
        if len(set(shape)) != 1:
            raise ValueError(f"the inputs of Add must have one shape; got {', '.join(map(str, shape))}")
        return shape[0]

    def record_forward(self, ctx, x, training):
        z = x[0]
        for other in x[1:]:
            z = ctx.add(z, other)
        y = self.activation.record_forward(ctx, z)
        return ctx.keep(y, z=z, count=len(x))

    def record_backward(self, ctx, dy):
        dz = self.activation.record_backward(ctx, dy, ctx.z, ctx.y)
        return [dz] * ctx.count

    def config(self):
        return {"activation": self.activation, **super().config()}


@register
class Concatenate(Layer):
    """The inputs side by side along the last axis (the channels of images)."""

    many_inputs = True

    def build(self, shape):
        if len({s[:-1] for s in shape}) != 1 or any(not s for s in shape):
            raise ValueError(
                f"the inputs of Concatenate must agree in all axes but the last; got {', '.join(map(str, shape))}"
            )
        return (*shape[0][:-1], sum(s[-1] for s in shape))

    def record_forward(self, ctx, x, training):
        y = ctx.tensor((*x[0].shape[:-1], sum(part.columns for part in x)))
        start = 0
        for part in x:
            ctx.copy_columns(part, y, target=start, columns=part.columns)
            start += part.columns
        return ctx.keep(y, shapes=[part.shape for part in x])

    def record_backward(self, ctx, dy):
        parts, start = [], 0
        for shape in ctx.shapes:
            part = ctx.tensor(shape)
            ctx.copy_columns(dy, part, source=start, columns=shape[-1])
            parts.append(part)
            start += shape[-1]
        return parts
