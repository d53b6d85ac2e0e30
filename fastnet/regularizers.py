"""Regularizers: penalties on weights, which add to the loss and to its gradient."""

from __future__ import annotations

from typing import Any

from fastnet import checks
from fastnet.files import register

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get"]


@register
class Regularizer:
    """loss += l1 sum |w| + l2 sum w^2;  dw += l1 sign(w) + 2 l2 w

    Given to a layer, it acts on the layer's parameters with more than one axis, its weights; given as a dict, on those that
    are named: ``{"weight": fn.L2(1e-4), "bias": fn.L1(1e-3)}``. Given to a network, it acts on the weights of all layers
    without one of their own. The penalty is part of the reported loss, in training and in evaluation, and of
    `Parameter.grad`; an optimizer's `weight_decay` is part of neither. The convention is Keras'; PyTorch's
    ``weight_decay=d`` has the gradient of ``L2(d / 2)``, and scikit-learn's ``alpha`` is ``L2(alpha / 2, per_sample=True)``.

    Parameters
    ----------
    l1, l2 : float, default 0
        Finite, not negative.
    per_sample : bool, default False
        Divide the penalty by the number of the batch's samples, or by the sum of their weights: it stands beside the sum of
        the samples' losses, not beside their mean, and so weighs the less the more samples a batch has.

    References
    ----------
    L2: Hoerl, Kennard (1970), Ridge regression; Krogh, Hertz (1991), A simple weight decay can improve generalization.
    L1: Tibshirani (1996), Regression shrinkage and selection via the lasso.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.Dense(4, regularizer=fn.L1L2(l1=1e-4, l2=1e-3))
    >>> net = fn.Network([fn.Dense(8), fn.Dense(2)], input_shape=(3,), seed=0, regularizer=fn.L2(1e-3))
    >>> net.penalty() > 0
    True
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, *, per_sample: bool = False) -> None:
        self.l1 = checks.real_number("l1", l1, least=0)
        self.l2 = checks.real_number("l2", l2, least=0)
        self.per_sample = checks.flag("per_sample", per_sample)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l1": self.l1, "l2": self.l2} | ({"per_sample": True} if self.per_sample else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regularizer) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash((self.l1, self.l2, self.per_sample))

    def __repr__(self) -> str:
        return f"L1L2({', '.join(f'{name}={value!r}' for name, value in self.config().items())})"


def L1(l1: float = 1e-2, *, per_sample: bool = False) -> Regularizer:  # noqa: N802
    """``l1 sum |w|``: it drives weights to zero."""
    return Regularizer(l1=l1, per_sample=per_sample)


def L2(l2: float = 1e-2, *, per_sample: bool = False) -> Regularizer:  # noqa: N802
    """``l2 sum w^2``: it keeps weights small."""
    return Regularizer(l2=l2, per_sample=per_sample)


def L1L2(l1: float = 1e-2, l2: float = 1e-2, *, per_sample: bool = False) -> Regularizer:  # noqa: N802
    """``l1 sum |w| + l2 sum w^2`` (the elastic net, Zou & Hastie 2005)."""
    return Regularizer(l1, l2, per_sample=per_sample)


def get(argument: str, value: Any) -> Regularizer | None:
    """A regularizer, or None; a number is refused with what it may have meant."""
    if value is None or isinstance(value, Regularizer):
        return value
    raise TypeError(
        f"{argument} must be a regularizer such as fn.L2(1e-4), a dict of them by parameter, or None; "
        f"got {checks.describe(value)}"
    )
