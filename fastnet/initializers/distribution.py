"""Random first values that don't depend on the fans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastnet import checks
from fastnet.files import register
from fastnet.initializers.base import Initializer, set_fields
from fastnet.kernels import random

if TYPE_CHECKING:
    from fastnet.types import Array, DType, Shape

__all__ = ["Normal", "Orthogonal", "TruncatedNormal", "Uniform"]


@register
@dataclass(frozen=True, repr=False)
class Normal(Initializer):
    """Normal numbers, ``N(mean, std^2)``, whatever the fans.

    Parameters
    ----------
    mean : float
    std : float
        Not negative.

    Examples
    --------
    >>> from fastnet.initializers import Normal
    >>> Normal(std=0.01).draw((64, 64), "float64", (0, 0)).std().round(3).item()
    0.01
    """

    mean: float = 0.0
    std: float = 0.05

    def __post_init__(self) -> None:
        set_fields(self, mean=checks.real_number("mean", self.mean), std=checks.real_number("std", self.std, least=0))

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        return random.normal(checks.shape("shape", shape), key=key, mean=self.mean, std=self.std, dtype=dtype)


@register
@dataclass(frozen=True, repr=False)
class TruncatedNormal(Initializer):
    """Normal numbers, ``mean + std z``, with z between `low` and `high`.

    The bounds are in units of std, as in Keras; PyTorch's ``trunc_normal_`` has absolute ones. The standard
    deviation that is left (0.88 std for the default bounds) is not corrected, as in both.

    Parameters
    ----------
    mean : float
    std : float
        Not negative.
    low, high : float
        low < high, not further than 30 from zero.

    Examples
    --------
    >>> from fastnet.initializers import TruncatedNormal
    >>> bool(abs(TruncatedNormal(std=1.0).draw((64, 64), "float32", (0, 0))).max() <= 2)
    True
    """

    mean: float = 0.0
    std: float = 0.05
    low: float = -2.0
    high: float = 2.0

    def __post_init__(self) -> None:
        set_fields(self, mean=checks.real_number("mean", self.mean), std=checks.real_number("std", self.std, least=0))
        set_fields(self, low=checks.real_number("low", self.low, most=30))
        set_fields(self, high=checks.real_number("high", self.high, above=self.low, least=-30))

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        shape = checks.shape("shape", shape)
        return random.truncated_normal(shape, key=key, dtype=dtype, **self.config())


@register
@dataclass(frozen=True, repr=False)
class Uniform(Initializer):
    """Uniform numbers, ``low <= w < high``, whatever the fans.

    Parameters
    ----------
    low, high : float
        low <= high.

    Examples
    --------
    >>> from fastnet.initializers import Uniform
    >>> w = Uniform(0, 1).draw((64, 64), "float32", (0, 0))
    >>> bool((w >= 0).all() and (w < 1).all())
    True
    """

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        set_fields(self, low=checks.real_number("low", self.low))
        set_fields(self, high=checks.real_number("high", self.high, least=self.low))

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        return random.uniform(checks.shape("shape", shape), key=key, low=self.low, high=self.high, dtype=dtype)


@register
@dataclass(frozen=True, repr=False)
class Orthogonal(Initializer):
    """Orthogonal rows or columns, whichever are fewer, of norm `gain`.

    Q of the QR factorization of normal numbers, times the signs of R's diagonal, so that every orthogonal matrix is as
    likely as any other. A shape with more axes is flattened to (rest, out).

    Parameters
    ----------
    gain : float
        sqrt(2) keeps the scale of activations through relu.

    References
    ----------
    Saxe, McClelland, Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.initializers import Orthogonal
    >>> w = Orthogonal().draw((3, 3, 2, 8), "float64", (0, 0)).reshape(18, 8)
    >>> bool(np.allclose(w.T @ w, np.eye(8)))
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        set_fields(self, gain=checks.real_number("gain", self.gain))

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        return random.orthogonal(shape, key=key, gain=self.gain, dtype=dtype)
