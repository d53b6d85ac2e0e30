"""Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import GroupSettings, Rate

__all__ = ["Lion"]


@register
class Lion(Optimizer):
    """w -= lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g (Chen et al. 2023)

    Every element moves by the learning rate, which should be 3 to 10 times smaller than Adam's, and the weight decay as many
    times greater. It is decoupled, w *= 1 - lr weight_decay before the step, as in Keras. Keras' default learning rate is
    1e-3; PyTorch has no Lion.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-4
    beta_1, beta_2 : float, default 0.9, 0.99
    weight_decay : float, default 0
    decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Lion(weight_decay=0.1).learning_rate
    0.0001
    """

    state = ("m",)

    def __init__(self, learning_rate: Rate = 1e-4, *, beta_1: float = 0.9, beta_2: float = 0.99,
                 weight_decay: float = 0.0, **common: Unpack[GroupSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, decoupled_weight_decay=True, **common)
        self.beta_1 = checks.real_number("beta_1", beta_1, least=0, below=1)
        self.beta_2 = checks.real_number("beta_2", beta_2, least=0, below=1)

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("lion_update", **part.arguments(), beta_1=self.beta_1, beta_2=self.beta_2)

    def config(self) -> dict[str, Any]:
        common = {name: value for name, value in super().config().items() if name != "decoupled_weight_decay"}
        return {**common, "beta_1": self.beta_1, "beta_2": self.beta_2}
