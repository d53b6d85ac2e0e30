"""Elementary functions of arrays, as the other kernels compute them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.kernels import call

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["elementary"]

# tanh and sigmoid are activations; the numbers of the others are those of `elementary.pxi`.
_FUNCTIONS = {"exp": 0, "expm1": 1, "log": 2, "log1p": 3, "erf": 4, "sqrt": 5}
_ACTIVATIONS = {"sigmoid": 8, "tanh": 9}


def elementary(x: ArrayLike, function: str, *, out: Array | None = None) -> np.ndarray:
    """y = f(x), element by element, at most 2 units in the last place off (sigmoid 2.5).

    Parameters
    ----------
    x : array of real numbers, of any shape
        float32 and float64 stay what they are; other dtypes become float32.
    function : {"exp", "expm1", "log", "log1p", "erf", "sqrt", "sigmoid", "tanh"}
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray
        `out`, or a new array. The bits differ between instruction sets, but on one they don't depend on
        an element's place, nor on the number of threads. Denormal arguments count as 0, and a result that would
        be denormal may be 0. Inf, NaN and arguments outside of the domain give what C's functions give.

    Raises
    ------
    TypeError, ValueError
        An unknown `function`; x is not real; an `out` of another form, or one that overlaps x in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.math import elementary
    >>> elementary(np.array([0.0, 1.0]), "exp")
    array([1.        , 2.71828183])
    """
    checks.choice("function", function, [*_FUNCTIONS, *_ACTIVATIONS])
    x = call.real_array("x", x)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    if function in _FUNCTIONS:
        name, numbers = "elementary", {"n": x.size, "function": _FUNCTIONS[function]}
    else:
        name, numbers = "activation", {"n": x.size, "kind": _ACTIVATIONS[function], "alpha": 0}
    call.run(name, x.dtype.name, {"x": x}, {"y": out}, numbers, 32 * x.size)
    return out
