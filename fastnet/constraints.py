"""Constraints: sets that a parameter is put back into after each update."""

from __future__ import annotations

from typing import Any

from fastnet import checks
from fastnet.files import register

__all__ = ["Constraint", "MaxNorm", "NonNeg", "UnitNorm", "get"]


class Constraint:
    """The base class. A constraint acts on columns of a parameter, over all axes but the last: one unit's or filter's weights.

    (In a `Conv2DTranspose`: what one channel of its input sends out.) Given to a layer, it acts on the layer's parameters with
    more than one axis, its weights; given as a dict, on those that are named: ``{"weight": fn.MaxNorm(2), "bias":
    fn.NonNeg()}``. First weights are left as they are drawn; the first update applies it.
    """

    kind: int  # `Constraint` in native/kernels/constraint.pxi
    limit = 0.0

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash((type(self), self.limit))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


@register
class MaxNorm(Constraint):
    """w *= min(1, limit / |w|): the norm of a unit's incoming weights is at most `limit`.

    Keras divides by |w| + 1e-7. Biases are not part of the norm.

    Parameters
    ----------
    limit : float, default 2
        Above 0.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), Dropout, section 5.1.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Dense(64, activation="relu", constraint=fn.MaxNorm(3)).constraint
    MaxNorm(limit=3.0)
    """

    kind = 0

    def __init__(self, limit: float = 2.0) -> None:
        self.limit = checks.real_number("limit", limit, above=0)

    def config(self) -> dict[str, Any]:
        return {"limit": self.limit}


@register
class UnitNorm(Constraint):
    """w /= |w|: the norm of a unit's incoming weights is 1. Weights that are all zero stay.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Conv2D(8, 3, constraint=fn.UnitNorm()).constraint
    UnitNorm()
    """

    kind = 1


@register
class NonNeg(Constraint):
    """w = max(w, 0), element by element (Lee & Seung 1999).

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Dense(4, constraint={"weight": fn.NonNeg(), "bias": fn.NonNeg()}).constraint["bias"]
    NonNeg()
    """

    kind = 2


def get(argument: str, value: Any) -> Constraint | None:
    """A constraint, or None."""
    if value is None or isinstance(value, Constraint):
        return value
    if isinstance(value, type) and issubclass(value, Constraint):
        raise TypeError(f"{argument} is the class {value.__name__}; make a constraint of it: {value.__name__}()")
    raise TypeError(
        f"{argument} must be a constraint such as fn.MaxNorm(2), a dict of them by parameter, or None; "
        f"got {checks.describe(value)}"
    )
