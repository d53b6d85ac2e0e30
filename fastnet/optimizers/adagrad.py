"""Adagrad."""

from __future__ import annotations

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

__all__ = ["Adagrad"]


@register
class Adagrad(Optimizer):
    """s = s + g^2;  w -= lr / (1 + (t - 1) learning_rate_decay) g / (sqrt(s) + epsilon) (Duchi, Hazan & Singer 2011)

    As in PyTorch, where s starts at 0; in Keras at 0.1.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-2
    learning_rate_decay : float, default 0
    epsilon : float, default 1e-10
    weight_decay : float, default 0
    decay_biases : bool, default True

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Adagrad().learning_rate
    0.01
    """

    state = ("s",)

    def __init__(self, learning_rate=1e-2, *, learning_rate_decay=0.0, epsilon=1e-10, weight_decay=0.0,
                 decay_biases=True):  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, decay_biases=decay_biases)
        self.learning_rate_decay = checks.real_number("learning_rate_decay", learning_rate_decay, least=0)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)

    def record_update(self, ctx, segment):
        ctx.call("adagrad_update", **segment.arguments(self), learning_rate_decay=self.learning_rate_decay,
                 epsilon=self.epsilon)  # fmt: skip

    def config(self):
        return {**super().config(), "learning_rate_decay": self.learning_rate_decay, "epsilon": self.epsilon}
