"""Dropout."""

from __future__ import annotations

from fastnet import checks
from fastnet.files import register
from fastnet.layers.base import Layer
from fastnet.recording.clock import Clock

__all__ = ["Dropout"]


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

    def __init__(self, rate, *, name=None):
        super().__init__(name=name)
        self.rate = rate

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, value):
        self._rate = checks.real_number("rate", value, least=0, below=1)
        if self.is_built:
            Clock.tick()

    def record_forward(self, ctx, x, training):
        if not training or self.rate == 0:
            return ctx.keep(x, dropped=False)
        return ctx.keep(ctx.dropout(x, self.rate, ctx.stream_key), dropped=True)

    def record_backward(self, ctx, dy):
        return ctx.dropout(dy, self.rate, ctx.stream_key) if ctx.dropped else dy

    def config(self):
        return {"rate": self.rate, **super().config()}
