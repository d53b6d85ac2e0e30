"""Random first values whose variance follows from the fans, so that signals keep their size from layer to layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fastnet import checks
from fastnet.files import register
from fastnet.initializers.base import Initializer, fans, set_fields
from fastnet.kernels import random

if TYPE_CHECKING:
    from fastnet.types import Array, DType, Shape

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "VarianceScaling",
]

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("normal", "truncated_normal", "uniform")
# Standard deviation of a normal number between -2 and 2.
_TRUNCATED_STD = 0.87962566103423978


class _Scaled(Initializer):
    """An initializer whose variance is scale / fan; `rule` gives (scale, mode, distribution)."""

    def rule(self) -> tuple[float, str, str]:
        raise NotImplementedError

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        shape = checks.shape("shape", shape)
        of_shape = fans(shape)
        fan_in = of_shape[0] if fan_in is None else checks.whole_number("fan_in", fan_in, least=1)
        fan_out = of_shape[1] if fan_out is None else checks.whole_number("fan_out", fan_out, least=1)
        scale, mode, distribution = self.rule()
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        std = math.sqrt(scale / fan)
        if distribution == "uniform":
            bound = math.sqrt(3.0 * scale / fan)
            return random.uniform(shape, key=key, low=-bound, high=bound, dtype=dtype)
        if distribution == "truncated_normal":
            return random.truncated_normal(shape, key=key, std=std / _TRUNCATED_STD, dtype=dtype)
        return random.normal(shape, key=key, std=std, dtype=dtype)


@register
@dataclass(frozen=True, repr=False)
class VarianceScaling(_Scaled):
    """Zero mean and variance ``scale / fan``, which keeps the size of activations or gradients from layer to layer.

    Keras' initializers are special cases: its ``he_normal`` is ``VarianceScaling(2.0, "fan_in",
    "truncated_normal")``, its ``glorot_normal`` ``VarianceScaling(1.0, "fan_avg", "truncated_normal")``.

    Parameters
    ----------
    scale : float
        Positive.
    mode : {"fan_in", "fan_out", "fan_avg"}
        The fan: inputs, outputs, or their mean.
    distribution : {"normal", "truncated_normal", "uniform"}
        "truncated_normal" cuts at two standard deviations and makes up for the variance that this takes, as in Keras.

    Examples
    --------
    >>> from fastnet.initializers import VarianceScaling
    >>> VarianceScaling(2.0).draw((200, 100), "float64", (0, 0)).std().round(2).item()
    0.1
    """

    scale: float = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["normal", "truncated_normal", "uniform"] = "normal"

    def __post_init__(self) -> None:
        set_fields(self, scale=checks.real_number("scale", self.scale, above=0))
        checks.choice("mode", self.mode, _MODES)
        checks.choice("distribution", self.distribution, _DISTRIBUTIONS)

    def rule(self) -> tuple[float, str, str]:
        return self.scale, self.mode, self.distribution


@dataclass(frozen=True, repr=False)
class _Glorot(_Scaled):
    gain: float = 1.0

    def __post_init__(self) -> None:
        set_fields(self, gain=checks.real_number("gain", self.gain, above=0))


@register
@dataclass(frozen=True, repr=False)
class GlorotUniform(_Glorot):
    """``U(-b, b)`` with ``b = gain sqrt(6 / (fan_in + fan_out))``; PyTorch's ``xavier_uniform_``.

    The default of layers with tanh, sigmoid, softmax or no activation. Keras' ``glorot_uniform`` is the same.

    Parameters
    ----------
    gain : float
        Positive.

    References
    ----------
    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".

    Examples
    --------
    >>> from fastnet.initializers import GlorotUniform
    >>> w = GlorotUniform().draw((100, 50), "float32", (0, 0))
    >>> bool(abs(w).max() <= 0.2)
    True
    """

    def rule(self) -> tuple[float, str, str]:
        return self.gain**2, "fan_avg", "uniform"


@register
@dataclass(frozen=True, repr=False)
class GlorotNormal(_Glorot):
    """``N(0, s^2)`` with ``s = gain sqrt(2 / (fan_in + fan_out))``; PyTorch's ``xavier_normal_``.

    Keras truncates at two standard deviations: ``VarianceScaling(1.0, "fan_avg", "truncated_normal")``.

    Parameters
    ----------
    gain : float
        Positive.

    References
    ----------
    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".

    Examples
    --------
    >>> from fastnet.initializers import GlorotNormal
    >>> GlorotNormal().draw((100, 100), "float64", (0, 0)).std().round(2).item()
    0.1
    """

    def rule(self) -> tuple[float, str, str]:
        return self.gain**2, "fan_avg", "normal"


@dataclass(frozen=True, repr=False)
class _He(_Scaled):
    negative_slope: float = 0.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"

    def __post_init__(self) -> None:
        set_fields(self, negative_slope=checks.real_number("negative_slope", self.negative_slope))
        checks.choice("mode", self.mode, _MODES[:2])


@register
@dataclass(frozen=True, repr=False)
class HeUniform(_He):
    """``U(-b, b)`` with ``b = sqrt(6 / ((1 + negative_slope^2) fan_in))``; PyTorch's ``kaiming_uniform_``.

    Keras' ``he_uniform`` is the same.

    Parameters
    ----------
    negative_slope : float
        Of the leaky relu that follows; 0 for relu.
    mode : {"fan_in", "fan_out"}
        Keep the size of activations, or of gradients.

    References
    ----------
    He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers".

    Examples
    --------
    >>> from fastnet.initializers import HeUniform
    >>> w = HeUniform().draw((600, 50), "float32", (0, 0))
    >>> bool(abs(w).max() <= 0.1)
    True
    """

    def rule(self) -> tuple[float, str, str]:
        return 2 / (1 + self.negative_slope**2), self.mode, "uniform"


@register
@dataclass(frozen=True, repr=False)
class HeNormal(_He):
    """``N(0, s^2)`` with ``s = sqrt(2 / ((1 + negative_slope^2) fan_in))``; PyTorch's ``kaiming_normal_``.

    The default of layers with relu, leaky_relu, elu, gelu or silu. Not truncated; Keras truncates at two standard
    deviations: ``VarianceScaling(2.0, "fan_in", "truncated_normal")``.

    Parameters
    ----------
    negative_slope : float
        Of the leaky relu that follows; 0 for relu.
    mode : {"fan_in", "fan_out"}
        Keep the size of activations, or of gradients.

    References
    ----------
    He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers".

    Examples
    --------
    >>> from fastnet.initializers import HeNormal
    >>> HeNormal().draw((200, 100), "float64", (0, 0)).std().round(2).item()
    0.1
    """

    def rule(self) -> tuple[float, str, str]:
        return 2 / (1 + self.negative_slope**2), self.mode, "normal"


@register
@dataclass(frozen=True, repr=False)
class LecunUniform(_Scaled):
    """``U(-b, b)`` with ``b = sqrt(3 / fan_in)``.

    Keras' ``lecun_uniform`` is the same.

    References
    ----------
    LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp".

    Examples
    --------
    >>> from fastnet.initializers import LecunUniform
    >>> w = LecunUniform().draw((300, 50), "float32", (0, 0))
    >>> bool(abs(w).max() <= 0.1)
    True
    """

    def rule(self) -> tuple[float, str, str]:
        return 1.0, "fan_in", "uniform"


@register
@dataclass(frozen=True, repr=False)
class LecunNormal(_Scaled):
    """``N(0, 1 / fan_in)``: the default of layers with selu (Klambauer et al. 2017).

    Keras truncates at two standard deviations: ``VarianceScaling(1.0, "fan_in", "truncated_normal")``.

    References
    ----------
    LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp".

    Examples
    --------
    >>> from fastnet.initializers import LecunNormal
    >>> LecunNormal().draw((100, 100), "float64", (0, 0)).std().round(2).item()
    0.1
    """

    def rule(self) -> tuple[float, str, str]:
        return 1.0, "fan_in", "normal"
