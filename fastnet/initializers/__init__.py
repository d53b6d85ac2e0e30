"""How the first values of a parameter are drawn.

An initializer is configuration: it holds no state and draws the same numbers for the same key, on
every machine. Layers take ``init=`` as a name, an initializer, or an array of values::

    fn.Dense(64, activation="relu", init="he_uniform")
    fn.Dense(64, init=fn.initializers.Orthogonal(gain=2**0.5))
    fn.Dense(64, init=np.load("weights.npy"))

Left out, it follows from the activation (:func:`default_for`). In all formulas fan_in and fan_out are the
inputs of one output and the outputs of one input (:func:`fans`).
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.initializers.base import Initializer, fans
from fastnet.initializers.constant import Constant, FromArray, Identity, Ones, Zeros
from fastnet.initializers.distribution import Normal, Orthogonal, TruncatedNormal, Uniform
from fastnet.initializers.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)

if TYPE_CHECKING:
    from fastnet.types import Init

__all__ = [
    "Constant",
    "FromArray",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Ones",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Zeros",
    "default_for",
    "fans",
    "get",
]


NAMES = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "uniform": Uniform,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "xavier_uniform": GlorotUniform,
    "xavier_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "kaiming_uniform": HeUniform,
    "kaiming_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "identity": Identity,
}

_DEFAULTS: dict[str | None, str] = dict.fromkeys(
    ["relu", "relu6", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "hard_swish"], "he_normal"
)
_DEFAULTS["selu"] = "lecun_normal"


def get(init: Init, argument: str = "init") -> Initializer:
    """The initializer that a layer's argument means.

    Parameters
    ----------
    init : str, Initializer or array
        A name stands for the initializer with its defaults; an array for its values.
    argument : str
        How errors call it.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        Not a name of an initializer; an array with NaN or Inf.
    TypeError
        Something else, such as a number: ``Constant(0.5)`` says what is meant.

    Examples
    --------
    >>> from fastnet import initializers
    >>> initializers.get("he_normal")
    HeNormal(negative_slope=0.0, mode='fan_in')
    >>> initializers.get("he_normall")
    Traceback (most recent call last):
        ...
    ValueError: init 'he_normall' is not one of zeros, ones, constant, normal, truncated_normal, uniform, \
glorot_uniform, glorot_normal, xavier_uniform, xavier_normal, he_uniform, he_normal, kaiming_uniform, kaiming_normal, \
lecun_uniform, lecun_normal, orthogonal, identity; did you mean 'he_normal'?
    """
    if isinstance(init, Initializer):
        return init
    if isinstance(init, str) and init == "from_array":
        return FromArray(None)
    if isinstance(init, str):
        return NAMES[checks.choice(argument, init, NAMES)]()
    if isinstance(init, numbers.Number) or (isinstance(init, np.ndarray) and init.ndim == 0):
        raise TypeError(
            f"{argument} must be a name, an initializer or an array; for one value everywhere: Constant({init})"
        )
    if isinstance(init, (np.ndarray, list, tuple)):
        try:
            return FromArray(init)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{argument}: {error}") from None
    raise TypeError(f"{argument} must be a name, an initializer or an array; got {checks.describe(init)}")


def default_for(activation: str | None) -> str:
    """Name of the initializer for weights before this activation.

    relu, relu6, leaky_relu, elu, gelu, gelu_tanh, silu, hard_swish: ``he_normal``; selu: ``lecun_normal``; others and
    None: ``glorot_uniform``.

    Parameters
    ----------
    activation : str or None

    Returns
    -------
    str

    Examples
    --------
    >>> from fastnet.initializers import default_for
    >>> default_for("relu"), default_for(None)
    ('he_normal', 'glorot_uniform')
    """
    return _DEFAULTS.get(activation, "glorot_uniform")
