"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

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
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Adagrad().learning_rate
    0.01
    """

    state = ("s",)

    def __init__(self, learning_rate: Rate = 1e-2, *, learning_rate_decay: float = 0.0, epsilon: float = 1e-10,
                 **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.learning_rate_decay = checks.real_number("learning_rate_decay", learning_rate_decay, least=0)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("adagrad_update", **part.arguments(), learning_rate_decay=self.learning_rate_decay,
                 epsilon=self.epsilon)  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {**super().config(), "learning_rate_decay": self.learning_rate_decay, "epsilon": self.epsilon}
