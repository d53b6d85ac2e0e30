"""Updates divided by the root of a mean or sum of squares: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet import checks
from fastnet.kernels.update import arrays

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["adadelta_update", "adagrad_update", "rmsprop_update"]


def rmsprop_update(w: Array, g: ArrayLike, v: Array, *, step: int, learning_rate: float = 1e-2, rho: float = 0.99,
                   epsilon: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0, b: Array | None = None,
                   a: Array | None = None) -> None:  # fmt: skip
    """One step of RMSprop: changes `w`, `v`, and `b` and `a` where given.

    ``g = g + weight_decay w;  v = rho v + (1 - rho) g^2;  d = g / (sqrt(v) + epsilon);  w -= learning_rate d``.
    With momentum ``b = momentum b + d;  w -= learning_rate b``. Centered, that is with `a`:
    ``a = rho a + (1 - rho) g`` and ``sqrt(v - a^2)`` in place of ``sqrt(v)``; a difference that rounding makes
    negative is taken as zero. Keras has epsilon inside the root.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    v : ndarray
        Running mean of squares, like `w`; zeros before the first step.
    step : int
        The count of this update, from 1.
    learning_rate, rho, epsilon, momentum, weight_decay : float
        `rho` and `momentum` in [0, 1).
    b, a : ndarray, optional
        Momentum buffer (needed with momentum) and running mean of gradients (makes it centered), like `w`; zeros
        before the first step.

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Tieleman, Hinton (2012), Lecture 6.5; centered: Graves (2013), Generating sequences with recurrent neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import rmsprop_update
    >>> w, v = np.array([1.0]), np.zeros(1)
    >>> rmsprop_update(w, np.array([2.0]), v, step=1, learning_rate=0.01)
    >>> w.round(6), v.round(6)
    (array([0.9]), array([0.04]))
    """
    options = ("rmsprop_update", rho, epsilon, momentum)
    if arrays.repeat(options, w, g, (v, b, a), step, learning_rate, weight_decay):
        return
    momentum = checks.real_number("momentum", momentum, least=0, below=1)
    if momentum and b is None:
        raise ValueError("momentum needs the buffer b; got None")
    numbers = {
        "rho": checks.real_number("rho", rho, least=0, below=1),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
        "momentum": momentum,
    }
    arrays.run(options, w, g, {"v": v, "b": b, "a": a}, step, learning_rate, weight_decay, numbers)


def adagrad_update(w: Array, g: ArrayLike, s: Array, *, step: int, learning_rate: float = 1e-2,
                   learning_rate_decay: float = 0.0, epsilon: float = 1e-10, weight_decay: float = 0.0) -> None:  # fmt: skip
    """One step of Adagrad: changes `w` and `s`.

    ``g = g + weight_decay w;  s += g^2;``
    ``w -= learning_rate / (1 + (step - 1) learning_rate_decay) g / (sqrt(s) + epsilon)``.
    Keras starts `s` at 0.1 and has epsilon inside the root.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    s : ndarray
        Sum of squares, like `w`; PyTorch starts it at zero.
    step : int
        The count of this update, from 1.
    learning_rate, learning_rate_decay, epsilon, weight_decay : float
        None of them negative.

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Duchi, Hazan, Singer (2011), Adaptive subgradient methods for online learning and stochastic optimization.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import adagrad_update
    >>> w, s = np.array([1.0, 1.0]), np.zeros(2)
    >>> adagrad_update(w, np.array([3.0, -4.0]), s, step=1, learning_rate=0.1)
    >>> w.round(6), s
    (array([0.9, 1.1]), array([ 9., 16.]))
    """
    options = ("adagrad_update", learning_rate_decay, epsilon)
    if arrays.repeat(options, w, g, (s,), step, learning_rate, weight_decay):
        return
    numbers = {
        "learning_rate_decay": checks.real_number("learning_rate_decay", learning_rate_decay, least=0),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
    }
    arrays.run(options, w, g, {"s": s}, step, learning_rate, weight_decay, numbers)


def adadelta_update(w: Array, g: ArrayLike, v: Array, d: Array, *, step: int, learning_rate: float = 1.0,
                    rho: float = 0.9, epsilon: float = 1e-6, weight_decay: float = 0.0) -> None:  # fmt: skip
    """One step of Adadelta: changes `w`, `v` and `d`.

    ``g = g + weight_decay w;  v = rho v + (1 - rho) g^2;  x = sqrt(d + epsilon) / sqrt(v + epsilon) g;``
    ``d = rho d + (1 - rho) x^2;  w -= learning_rate x``. Keras has rho 0.95, epsilon 1e-7 and a learning rate of
    1e-3, with which hardly anything moves.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    v, d : ndarray
        Running means of the squares of gradients and of changes, like `w`; zeros before the first step.
    step : int
        The count of this update, from 1; it changes nothing here.
    learning_rate, rho, epsilon, weight_decay : float
        `rho` in [0, 1).

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Zeiler (2012), ADADELTA: an adaptive learning rate method.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import adadelta_update
    >>> w, v, d = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adadelta_update(w, np.array([2.0]), v, d, step=1)
    >>> w.round(6), v.round(6)
    (array([0.996838]), array([0.4]))
    """
    options = ("adadelta_update", rho, epsilon)
    if arrays.repeat(options, w, g, (v, d), step, learning_rate, weight_decay):
        return
    numbers = {
        "rho": checks.real_number("rho", rho, least=0, below=1),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
    }
    arrays.run(options, w, g, {"v": v, "d": d}, step, learning_rate, weight_decay, numbers)
