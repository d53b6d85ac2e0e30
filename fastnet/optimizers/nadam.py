"""NAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.kernels.update import momentum_base
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

__all__ = ["NAdam"]


@register
class NAdam(Optimizer):
    """m, v as in Adam;  w -= lr (mu' / c' m + (1 - mu) / c g) / (sqrt(v^) + epsilon) (Dozat 2016)

    with mu = b1 (1 - 0.96^(t momentum_decay) / 2) and c = 1 - (product of mu so far) at step t, mu' and c' those of step
    t + 1, and v^ = v / (1 - b2^t). As in PyTorch. Keras has momentum_decay 1 (fixed), epsilon 1e-7, and a learning
    rate of 1e-3.

    Parameters
    ----------
    learning_rate : float or Schedule, default 2e-3
    beta_1, beta_2 : float, default 0.9, 0.999
    epsilon : float, default 1e-8
    momentum_decay : float, default 4e-3
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    As in Keras:

    >>> import fastnet as fn
    >>> fn.NAdam(1e-3, momentum_decay=1.0, epsilon=1e-7).momentum_decay
    1.0
    """

    state = ("m", "v")
    scalars = ("c",)

    def __init__(self, learning_rate: Rate = 2e-3, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 momentum_decay: float = 4e-3, **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.beta_1 = checks.real_number("beta_1", beta_1, least=0, below=1)
        self.beta_2 = checks.real_number("beta_2", beta_2, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)
        self.momentum_decay = checks.real_number("momentum_decay", momentum_decay, least=0)

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("nadam_update", **part.arguments(), beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon,
                 momentum_base=momentum_base(self.momentum_decay))  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {
            **super().config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "momentum_decay": self.momentum_decay,
        }
