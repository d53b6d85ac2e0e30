"""RAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

__all__ = ["RAdam"]


@register
class RAdam(Optimizer):
    """m, v as in Adam;  w -= lr m^ while rho <= 5, then lr r m^ sqrt(1 - b2^t) / (sqrt(v) + epsilon) (Liu et al. 2020)

    with m^ = m / (1 - b1^t), rho = rho_inf - 2 t b2^t / (1 - b2^t), rho_inf = 2 / (1 - b2) - 1, and
    r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)): the first steps, whose v is known from few
    gradients, don't divide by it. As in PyTorch; the paper begins to divide where rho > 4, and has no epsilon. Keras
    has no RAdam.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
    beta_1, beta_2 : float, default 0.9, 0.999
    epsilon : float, default 1e-8
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.RAdam(weight_decay=0.01, decoupled_weight_decay=True).beta_2
    0.999
    """

    state = ("m", "v")

    def __init__(self, learning_rate: Rate = 1e-3, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.beta_1 = checks.real_number("beta_1", beta_1, least=0, below=1)
        self.beta_2 = checks.real_number("beta_2", beta_2, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("radam_update", **part.arguments(), beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
