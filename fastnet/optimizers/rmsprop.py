"""RMSprop."""

from __future__ import annotations

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

__all__ = ["RMSprop"]


@register
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2;  d = g / (sqrt(v) + epsilon);  w -= lr d (Tieleman & Hinton 2012)

    `centered` subtracts the square of the mean gradient a from v (Graves 2013); with a momentum mu,
    b = mu b + d and w -= lr b. As in PyTorch. Keras has rho 0.9, and epsilon inside of the root.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-2
    rho : float, default 0.99
    epsilon : float, default 1e-8
    momentum : float, default 0
    centered : bool, default False
    weight_decay : float, default 0
    decay_biases : bool, default True

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.RMSprop().rho
    0.99
    """

    def __init__(self, learning_rate=1e-2, *, rho=0.99, epsilon=1e-8, momentum=0.0, centered=False,
                 weight_decay=0.0, decay_biases=True):  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, decay_biases=decay_biases)
        self.rho = checks.real_number("rho", rho, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)
        self.momentum = checks.real_number("momentum", momentum, least=0, below=1)
        self.centered = checks.flag("centered", centered)
        self.state = ("v", *(["b"] if self.momentum else []), *(["a"] if self.centered else []))

    def record_update(self, ctx, segment):
        ctx.call("rmsprop_update", **segment.arguments(self), rho=self.rho, epsilon=self.epsilon,
                 momentum=self.momentum)  # fmt: skip

    def config(self):
        return {
            **super().config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "centered": self.centered,
        }
