"""Stochastic gradient descent."""

from __future__ import annotations

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

__all__ = ["SGD"]


@register
class SGD(Optimizer):
    """w -= lr d, where d = g, or with momentum (Polyak 1964, as in PyTorch):

    b = mu b + g (b = g at the first step), d = b, or d = g + mu b with `nesterov` (Nesterov 1983).
    Keras keeps lr inside of b: the same as long as lr does not change.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
    momentum : float, default 0
        mu, in [0, 1).
    nesterov : bool, default False
        Needs a momentum.
    weight_decay : float, default 0
        Adds weight_decay * w to g.
    decay_biases : bool, default True

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.SGD(0.1, momentum=0.9, nesterov=True).momentum
    0.9
    """

    def __init__(self, learning_rate=1e-3, *, momentum=0.0, nesterov=False, weight_decay=0.0, decay_biases=True):
        super().__init__(learning_rate, weight_decay=weight_decay, decay_biases=decay_biases)
        self.momentum = checks.real_number("momentum", momentum, least=0, below=1)
        self.nesterov = checks.flag("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs a momentum above 0; got momentum=0")
        self.state = ("b",) if self.momentum else ()

    def record_update(self, ctx, segment):
        ctx.call("sgd_update", **segment.arguments(self), nesterov=int(self.nesterov), momentum=self.momentum)

    def config(self):
        return {**super().config(), "momentum": self.momentum, "nesterov": self.nesterov}
