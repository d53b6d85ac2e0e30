"""Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

__all__ = ["Adadelta"]


@register
class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2;  x = sqrt(d + epsilon) / sqrt(v + epsilon) g;  d = rho d + (1 - rho) x^2;  w -= lr x
    (Zeiler 2012)

    As in PyTorch. Keras has rho 0.95, epsilon 1e-7, and a learning rate of 1e-3, with which hardly anything moves.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1
    rho : float, default 0.9
    epsilon : float, default 1e-6
        Besides keeping the roots above 0, it sets the size of the first steps.
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Adadelta().rho
    0.9
    """

    state = ("v", "d")

    def __init__(self, learning_rate: Rate = 1.0, *, rho: float = 0.9, epsilon: float = 1e-6,
                 **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.rho = checks.real_number("rho", rho, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("adadelta_update", **part.arguments(), rho=self.rho, epsilon=self.epsilon)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "rho": self.rho, "epsilon": self.epsilon}
