"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

__all__ = ["Adamax"]


@register
class Adamax(Optimizer):
    """m = b1 m + (1 - b1) g;  u = max(b2 u, |g| + epsilon);  w -= lr / (1 - b1^t) m / u (Kingma & Ba 2015, section 7.1)

    As in PyTorch. Keras leaves epsilon out of u and divides by u + epsilon; its default learning rate is 1e-3.

    Parameters
    ----------
    learning_rate : float or Schedule, default 2e-3
    beta_1, beta_2 : float, default 0.9, 0.999
    epsilon : float, default 1e-8
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Adamax().learning_rate
    0.002
    """

    state = ("m", "u")

    def __init__(self, learning_rate: Rate = 2e-3, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.beta_1 = checks.real_number("beta_1", beta_1, least=0, below=1)
        self.beta_2 = checks.real_number("beta_2", beta_2, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("adamax_update", **part.arguments(), beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
