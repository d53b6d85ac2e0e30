"""Adam and AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import AdamSettings, OptimizerSettings, Rate

__all__ = ["Adam", "AdamW"]


@register
class Adam(Optimizer):
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= lr m^ / (sqrt(v^) + epsilon)

    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t) (Kingma & Ba 2015, algorithm 1), as in PyTorch.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
    beta_1, beta_2 : float, default 0.9, 0.999
    epsilon : float, default 1e-8
    amsgrad : bool, default False
        Divide by the greatest v so far (Reddi, Kale & Kumar 2018).
    epsilon_hat : bool, default False
        Add epsilon to sqrt(v) before v is corrected (the end of the paper's section 2), as Keras and scikit-learn do: in the
        first steps it is greater beside v.
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Adam(3e-4).learning_rate
    0.0003
    """

    def __init__(self, learning_rate: Rate = 1e-3, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 amsgrad: bool = False, epsilon_hat: bool = False, **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.beta_1 = checks.real_number("beta_1", beta_1, least=0, below=1)
        self.beta_2 = checks.real_number("beta_2", beta_2, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)
        self.amsgrad = checks.flag("amsgrad", amsgrad)
        self.epsilon_hat = checks.flag("epsilon_hat", epsilon_hat)
        self.state = ("m", "v", "v_max") if self.amsgrad else ("m", "v")

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("adam_update", **part.arguments(), beta_1=self.beta_1,
                 beta_2=self.beta_2, epsilon=self.epsilon, epsilon_hat=int(self.epsilon_hat))  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {
            **super().config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
            "epsilon_hat": self.epsilon_hat,
        }


@register
class AdamW(Adam):
    """Adam with decoupled weight decay: w *= 1 - lr weight_decay before the step (Loshchilov & Hutter 2019).

    As in PyTorch, with its default of 1e-2; Keras' default is 4e-3.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.AdamW(1e-3, weight_decay=0.05, decay_biases=False).weight_decay
    0.05
    """

    def __init__(self, learning_rate: Rate = 1e-3, *, weight_decay: float = 1e-2,
                 **settings: Unpack[AdamSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, decoupled_weight_decay=True, **settings)

    def config(self) -> dict[str, Any]:
        return {name: value for name, value in super().config().items() if name != "decoupled_weight_decay"}
