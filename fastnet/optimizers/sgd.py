"""Stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerSettings, Rate

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
    weight_decay, decoupled_weight_decay, decay_biases, groups
        See `Optimizer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.SGD(0.1, momentum=0.9, nesterov=True).momentum
    0.9
    """

    def __init__(self, learning_rate: Rate = 1e-3, *, momentum: float = 0.0, nesterov: bool = False,
                 **common: Unpack[OptimizerSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, **common)
        self.momentum = checks.real_number("momentum", momentum, least=0, below=1)
        self.nesterov = checks.flag("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs a momentum above 0; got momentum=0")
        self.state = ("b",) if self.momentum else ()

    def record_update(self, ctx: Context, part: Part) -> None:
        ctx.call("sgd_update", **part.arguments(), nesterov=int(self.nesterov), momentum=self.momentum)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "momentum": self.momentum, "nesterov": self.nesterov}
