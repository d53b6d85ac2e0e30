"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

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
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.RMSprop().rho
    0.99
    """

    def __init__(self, learning_rate: Rate = 1e-2, *, rho: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0,
                 centered: bool = False, **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.rho = checks.real_number("rho", rho, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)
        self.momentum = checks.real_number("momentum", momentum, least=0, below=1)
        self.centered = checks.flag("centered", centered)
        self.state = ("v", *(["b"] if self.momentum else []), *(["a"] if self.centered else []))

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("rmsprop_update", **part.arguments(), rho=self.rho, epsilon=self.epsilon,
                 momentum=self.momentum)  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {
            **super().config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "centered": self.centered,
        }
