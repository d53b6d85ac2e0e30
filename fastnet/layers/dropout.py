"""Dropout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.files import register
from fastnet.layers.base import Layer
from fastnet.recording.clock import Clock

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import Shape

__all__ = ["Dropout", "SpatialDropout2D"]


@register
class Dropout(Layer):
    """In training, zero each element with probability `rate` and multiply the others by 1 / (1 - rate).

    The mask follows from the network's seed, the layer's path, and the count of training forwards, so
    that it is the same for any number of threads, and the backward pass draws it again instead of
    keeping it (Srivastava et al. 2014, who scale when predicting instead).

    Parameters
    ----------
    rate : float
        In [0, 1). ``layer.rate = ...`` acts at any time.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dropout(0.5)], input_shape=(8,), seed=0)
    >>> sorted(set(net.forward(np.ones((4, 8)), training=True).ravel().tolist()))
    [0.0, 2.0]
    """

    def __init__(self, rate: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.rate = rate

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate = checks.real_number("rate", value, least=0, below=1)
        if self.is_built:
            Clock.tick()

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        if not training or self.rate == 0:
            return ctx.keep(x, dropped=False)
        return ctx.keep(self._drop(ctx, x), dropped=True)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return self._drop(ctx, dy) if ctx.dropped else dy

    def _drop(self, ctx: Context, x: Tensor) -> Tensor:
        return ctx.dropout(x, self.rate, ctx.stream_key)

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate, **super().config()}


@register
class SpatialDropout2D(Dropout):
    """In training, zero each channel of a sample with probability `rate` and multiply the others by 1 / (1 - rate).

    Neighbouring pixels say the same thing, so that dropping single ones would leave the rest to tell it (Tompson et
    al. 2015). The mask follows from the seed, path and count as in :class:`Dropout`. PyTorch's Dropout2d.

    Parameters
    ----------
    rate : float
        In [0, 1). ``layer.rate = ...`` acts at any time.

    Shapes
    ------
    x, y (batch, height, width, channels).

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.SpatialDropout2D(0.5)], input_shape=(3, 3, 8), seed=0)
    >>> y = net.forward(np.ones((4, 3, 3, 8)), training=True)
    >>> bool((y == y[:, :1, :1]).all())
    True
    """

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"SpatialDropout2D needs inputs of shape (height, width, channels); got {shape}")
        return shape

    def _drop(self, ctx: Context, x: Tensor) -> Tensor:
        y = ctx.tensor(x.shape)
        ctx.call("spatial_dropout", reads={"x": x, "control": ctx.recording.control_field()}, writes={"y": y},
                 in_place=("x", "y"), work=8 * x.size, batch=x.shape[0], rows=math.prod(x.shape[1:-1]),
                 channels=x.columns, key_0=ctx.stream_key[0], key_1=ctx.stream_key[1], rate=self.rate)  # fmt: skip
        return y
