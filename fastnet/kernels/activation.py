"""Elementwise activations by name, softmax, and their backward passes.

`ACTIVATIONS` is the table that layers read: what each one is called, which code computes it, and what its backward
pass needs. Formulas and defaults are PyTorch's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnet import checks
from fastnet.kernels import call

if TYPE_CHECKING:
    from fastnet.types import ActivationName, Array, ArrayLike

__all__ = [
    "ACTIVATIONS", "ActivationRow", "activate", "activate_backward", "elu", "gelu", "hard_swish", "leaky_relu", "log_softmax",
    "log_softmax_backward", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softmax_backward", "softplus", "tanh",
]  # fmt: skip


@dataclass(frozen=True)
class ActivationRow:
    """One elementwise activation.

    `kind` is its number in `activation.pxi`; `saves` says what its backward pass reads, its "output" or its "input";
    `has_slope` tells of those that can give the slope beside the output at little cost, which training keeps instead of
    the input; `alpha` is the default of its parameter, `alpha_rule` what `checks.real_number` asks of one (None: there is none);
    `work` is the cost of an element, in elementary operations.
    """

    name: str
    kind: int
    saves: str = "output"
    has_slope: bool = False
    alpha: float = 0.0
    alpha_rule: dict[str, Any] | None = field(default=None, hash=False)
    work: int = 32

    def checked_alpha(self, alpha: float | None, argument: str = "alpha") -> float:
        """`alpha`, or the default for None."""
        if alpha is None:
            return self.alpha
        if self.alpha_rule is None:
            raise ValueError(f"{self.name} takes no {argument}; got {checks.describe(alpha)}")
        return checks.real_number(argument, alpha, **self.alpha_rule)


ACTIVATIONS: dict[str, ActivationRow] = {
    row.name: row
    for row in (
        ActivationRow("linear", 0, work=8),
        ActivationRow("relu", 1, work=8),
        ActivationRow("leaky_relu", 2, alpha=0.01, alpha_rule={"least": 0}, work=8),
        ActivationRow("elu", 3, alpha=1.0, alpha_rule={"above": 0}),
        ActivationRow("selu", 4),
        ActivationRow("gelu", 5, saves="input", has_slope=True),
        ActivationRow("gelu_tanh", 6, saves="input", has_slope=True),
        ActivationRow("silu", 7, saves="input", has_slope=True),
        ActivationRow("sigmoid", 8),
        ActivationRow("tanh", 9),
        ActivationRow("softplus", 10, saves="input", has_slope=True),
        ActivationRow("relu6", 11, work=8),
        ActivationRow("hard_swish", 12, saves="input", work=8),
    )
}

#: The kind of a backward pass that reads slopes.
SLOPE = 13


def _pair(first: str, first_value: Any, dy: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """What the forward pass saved, and dy in its dtype and shape."""
    saved = call.real_array(first, first_value)
    dy = call.real_array("dy", dy, saved.dtype)
    if dy.shape != saved.shape:
        raise ValueError(f"dy must have the shape of {first}, {saved.shape}; got {dy.shape}")
    return saved, dy


@overload
def activate(x: ArrayLike, kind: ActivationName | str, *, alpha: float | None = None,
             return_slope: Literal[False] = False, out: Array | None = None) -> Array: ...  # fmt: skip
@overload
def activate(x: ArrayLike, kind: ActivationName | str, *, alpha: float | None = None, return_slope: Literal[True],
             out: Array | None = None) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def activate(x: ArrayLike, kind: ActivationName | str, *, alpha: float | None = None, return_slope: bool,
             out: Array | None = None) -> Array | tuple[Array, Array]: ...  # fmt: skip
def activate(x: ArrayLike, kind: ActivationName | str, *, alpha: float | None = None, return_slope: bool = False,
             out: Array | None = None) -> Any:  # fmt: skip
    """y = f(x), element by element.

    Parameters
    ----------
    x : array of real numbers, of any shape
        float32 and float64 stay what they are; other dtypes become float32.
    kind : str
        A name in `ACTIVATIONS`: "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu",
        "sigmoid", "tanh", "softplus", "relu6" or "hard_swish".
    alpha : float, optional
        The slope of leaky_relu below 0 (at least 0; default 0.01), or where elu ends, -alpha (above 0; default 1).
    return_slope : bool, default False
        Return f'(x), too. For gelu, gelu_tanh, silu and softplus, whose slope costs little beside y and much alone: the gradient
        with respect to x is then ``dy * slope``, which is what training does, with the bits of `activate_backward`.
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray, or two of them with `return_slope`
        `out`, or a new array. A few units in the last place off, for small results too; NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        An unknown `kind`; an `alpha` out of its bounds, or for an activation that has none; `return_slope` for one that
        keeps something else; x is not real; an `out` of another form, or one that overlaps x in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import activate
    >>> activate(np.float32([-2, 0, 2]), "leaky_relu", alpha=0.5)
    array([-1.,  0.,  2.], dtype=float32)
    """
    row = ACTIVATIONS[checks.choice("kind", kind, ACTIVATIONS)]
    if not checks.flag("return_slope", return_slope):
        return _forward(row, row.checked_alpha(alpha), x, out)
    if not row.has_slope:
        having = ", ".join(repr(name) for name, other in ACTIVATIONS.items() if other.has_slope)
        raise ValueError(f"return_slope is for {having}, whose slope has most of its work in y; got kind {kind!r}")
    x = call.real_array("x", x)
    slope = np.empty_like(x)
    return _forward(row, row.checked_alpha(alpha), x, out, slope), slope


def _forward(row: ActivationRow, alpha: float, x: ArrayLike, out: Array | None,
             slope: Array | None = None) -> np.ndarray:  # fmt: skip
    x = call.real_array("x", x)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    numbers = {"n": x.size, "kind": row.kind, "alpha": alpha}
    call.run("activation", x.dtype.name, {"x": x}, {"y": out, "slope": slope}, numbers, row.work * x.size)
    return out


def activate_backward(saved: ArrayLike, dy: ArrayLike, kind: ActivationName | str, *, alpha: float | None = None,
                      out: Array | None = None) -> np.ndarray:  # fmt: skip
    """dx = dy f'(x), element by element.

    Parameters
    ----------
    saved : array of real numbers
        What ``ACTIVATIONS[kind].saves`` says: the output y of linear, relu, leaky_relu, elu, selu, sigmoid, tanh and
        relu6, the input x of gelu, gelu_tanh, silu, softplus and hard_swish.
    dy : array of saved's shape
        The gradient with respect to y; cast to saved's dtype.
    kind, alpha
        As of `activate`.
    out : ndarray, optional
        C-contiguous array of that shape and dtype; it may be dy or `saved`.

    Returns
    -------
    ndarray
        `out`, or a new array. relu: 0 where y <= 0, else dy.

    Raises
    ------
    TypeError, ValueError
        As of `activate`; or dy has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import activate_backward
    >>> activate_backward(np.float32([0, 3]), np.float32([5, 5]), "relu")
    array([0., 5.], dtype=float32)
    """
    row = ACTIVATIONS[checks.choice("kind", kind, ACTIVATIONS)]
    alpha = row.checked_alpha(alpha)
    saved, dy = _pair("saved", saved, dy)
    out = call.output("out", out, saved.shape, saved.dtype)
    checks.same_or_apart("out", out, saved=saved, dy=dy)
    numbers = {"n": dy.size, "kind": row.kind, "alpha": alpha}
    call.run("activation_backward", dy.dtype.name, {"saved": saved, "dy": dy}, {"dx": out}, numbers, row.work * dy.size)
    return out


# By name. Parameters that are not described, results and errors are those of `activate`.


def relu(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """max(x, 0); NaN stays NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import relu
    >>> relu(np.float32([-1, 2]))
    array([0., 2.], dtype=float32)
    """
    return activate(x, "relu", out=out)


def leaky_relu(x: ArrayLike, *, slope: float = 0.01, out: Array | None = None) -> np.ndarray:
    """x for x > 0, else slope x; `slope` is at least 0 (Maas, Hannun & Ng 2013). Keras' layer has 0.3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import leaky_relu
    >>> leaky_relu(np.float32([-4, 2]), slope=0.25)
    array([-1.,  2.], dtype=float32)
    """
    row = ACTIVATIONS["leaky_relu"]
    return _forward(row, row.checked_alpha(slope, "slope"), x, out)


def elu(x: ArrayLike, *, alpha: float = 1.0, out: Array | None = None) -> np.ndarray:
    """x for x > 0, else alpha (e^x - 1); `alpha` is above 0 (Clevert, Unterthiner & Hochreiter 2016).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import elu
    >>> elu(np.float32([-np.inf, 2]), alpha=3.0)
    array([-3.,  2.], dtype=float32)
    """
    return activate(x, "elu", alpha=alpha, out=out)


def selu(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """s x for x > 0, else s a (e^x - 1), with s = 1.0507... and a = 1.6732... (Klambauer et al. 2017).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import selu
    >>> selu(np.float32([0, 1]))
    array([0.      , 1.050701], dtype=float32)
    """
    return activate(x, "selu", out=out)


def gelu(x: ArrayLike, *, approximate: bool = False, out: Array | None = None) -> np.ndarray:
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016).

    With `approximate` it is x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    The exact one has a relative error of a few units in the last place for all x, those far below 0 too, until it is
    too small for a normal number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import gelu
    >>> gelu(np.array([-1.0, 0.0, 12.0])).round(6)
    array([-0.158655,  0.      , 12.      ])
    """
    return activate(x, "gelu_tanh" if checks.flag("approximate", approximate) else "gelu", out=out)


def silu(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """x sigmoid(x), also called swish (Hendrycks & Gimpel 2016).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import silu
    >>> silu(np.float32([0, 50]))
    array([ 0., 50.], dtype=float32)
    """
    return activate(x, "silu", out=out)


def sigmoid(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """1 / (1 + e^-x)

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import sigmoid
    >>> sigmoid(np.float32([-np.inf, 0, np.inf]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    return activate(x, "sigmoid", out=out)


def tanh(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """(e^x - e^-x) / (e^x + e^-x)

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import tanh
    >>> tanh(np.float32([-20, 0, 20]))
    array([-1.,  0.,  1.], dtype=float32)
    """
    return activate(x, "tanh", out=out)


def softplus(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """log(1 + e^x), and x itself above 20 (Dugas et al. 2001).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import softplus
    >>> softplus(np.array([0.0, 21.0]))
    array([ 0.69314718, 21.        ])
    """
    return activate(x, "softplus", out=out)


def relu6(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """min(max(x, 0), 6); NaN stays NaN (Krizhevsky 2010).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import relu6
    >>> relu6(np.float32([-1, 2, 7]))
    array([0., 2., 6.], dtype=float32)
    """
    return activate(x, "relu6", out=out)


def hard_swish(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """x relu6(x + 3) / 6, in pieces what silu is smoothly (Howard et al. 2019).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import hard_swish
    >>> hard_swish(np.float32([-4, -1.5, 0, 3, 9]))
    array([-0.   , -0.375,  0.   ,  3.   ,  9.   ], dtype=float32)
    """
    return activate(x, "hard_swish", out=out)


# Over the last axis.


def softmax(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """y = e^x / sum e^x, over the last axis.

    Parameters
    ----------
    x : array of real numbers (..., classes)
        float32 and float64 stay what they are; other dtypes become float32.
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray
        `out`, or a new array. Large x do no harm: the greatest of a row is subtracted. An entry of -inf
        becomes 0; a row that has a NaN or +inf, or nothing but -inf, becomes NaN.

    Raises
    ------
    TypeError, ValueError
        x is not real or has no axis; an `out` of another form, or one that overlaps x in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import softmax
    >>> softmax(np.float32([[1000, 1000], [0, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]], dtype=float32)
    """
    return _rowwise("softmax", x, out)


def log_softmax(x: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """y = x - log sum e^x, over the last axis.

    Parameters, results for -inf, NaN and +inf (but that -inf stays -inf), and errors are those of `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import log_softmax
    >>> log_softmax(np.float32([[0, -1000]]))
    array([[    0., -1000.]], dtype=float32)
    """
    return _rowwise("log_softmax", x, out)


def softmax_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """dx = y (dy - sum dy y), sums over the last axis.

    Parameters
    ----------
    y : array of real numbers (..., classes)
        What `softmax` returned.
    dy : array of y's shape
        The gradient with respect to y; cast to y's dtype.
    out : ndarray, optional
        C-contiguous array of that shape and dtype; it may be dy or y.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        Shapes differ; y is not real or has no axis; an `out` of another form, or one that overlaps y or dy in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import softmax_backward
    >>> softmax_backward(np.float32([[0.5, 0.5]]), np.float32([[1, 0]]))
    array([[ 0.25, -0.25]], dtype=float32)
    """
    return _rowwise_backward("softmax_backward", y, dy, out)


def log_softmax_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """dx = dy - e^y sum dy, the sum over the last axis; `y` is what `log_softmax` returned.

    Parameters and errors are those of `softmax_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.activation import log_softmax_backward
    >>> log_softmax_backward(np.float32([[0, -np.inf]]), np.float32([[0, 2]]))
    array([[-2.,  2.]], dtype=float32)
    """
    return _rowwise_backward("log_softmax_backward", y, dy, out)


def _rows(argument: str, value: Any) -> dict[str, int]:
    shape = np.shape(value)
    if not shape:
        raise ValueError(f"{argument} must have an axis to sum over; got a single number")
    return {"rows": math.prod(shape[:-1]), "cols": shape[-1]}


def _rowwise(name: str, x: ArrayLike, out: Array | None) -> np.ndarray:
    numbers = _rows("x", x)
    x = call.real_array("x", x)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    call.run(name, x.dtype.name, {"x": x}, {"y": out}, numbers, 32 * x.size)
    return out


def _rowwise_backward(name: str, y: ArrayLike, dy: ArrayLike, out: Array | None) -> np.ndarray:
    numbers = _rows("y", y)
    y, dy = _pair("y", y, dy)
    out = call.output("out", out, y.shape, y.dtype)
    checks.same_or_apart("out", out, y=y, dy=dy)
    call.run(name, y.dtype.name, {"y": y, "dy": dy}, {"dx": out}, numbers, 16 * y.size)
    return out
