"""An activation as a layer of its own."""

from __future__ import annotations

from fastnet import activations
from fastnet.files import register
from fastnet.layers.base import Layer

__all__ = ["Activation"]


@register
class Activation(Layer):
    """y = activation(x), element by element; softmax and log_softmax over the last axis.

    Parameters
    ----------
    activation : str or activation
        "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus",
        "relu6", "hard_swish", "softmax", "log_softmax", or a configured one such as ``fn.LeakyReLU(0.2)``.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.Activation("relu").forward(np.array([[-1.0, 2.0]], dtype="float32"))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation, *, name=None):
        super().__init__(name=name)
        self.activation = activations.get(activation)

    def record_forward(self, ctx, x, training):
        return ctx.keep(self.activation.record_forward(ctx, x), x=x)

    def record_backward(self, ctx, dy):
        return self.activation.record_backward(ctx, dy, ctx.x, ctx.y)

    def config(self):
        return {"activation": self.activation, **super().config()}
