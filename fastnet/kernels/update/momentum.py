"""Updates along the gradient or its running mean: SGD and Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet import checks
from fastnet.kernels.update import arrays

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["lion_update", "sgd_update"]


def sgd_update(w: Array, g: ArrayLike, b: Array | None = None, *, step: int, learning_rate: float = 1e-3,
               momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> None:  # fmt: skip
    """One step of stochastic gradient descent: changes `w`, and `b` with momentum.

    ``g = g + weight_decay w``; without momentum ``w -= learning_rate g``; with it ``b = momentum b + g`` (``b = g``
    in the first step) and ``w -= learning_rate b``, or with `nesterov` ``w -= learning_rate (g + momentum b)``.
    Keras keeps ``-learning_rate b`` instead of ``b``, which differs when the learning rate changes.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    b : ndarray, optional
        Momentum buffer like `w`; needed with momentum.
    step : int
        The count of this update, from 1.
    learning_rate, momentum, weight_decay : float
        `momentum` in [0, 1).
    nesterov : bool
        Needs momentum.

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton (2013), On the importance of initialization and momentum in deep learning.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import sgd_update
    >>> w, b = np.array([1.0, 2.0]), np.zeros(2)
    >>> sgd_update(w, np.array([1.0, -1.0]), b, step=1, learning_rate=0.5, momentum=0.9)
    >>> w
    array([0.5, 2.5])
    """
    options = ("sgd_update", momentum, nesterov)
    if arrays.repeat(options, w, g, (b,), step, learning_rate, weight_decay):
        return
    momentum = checks.real_number("momentum", momentum, least=0, below=1)
    nesterov = checks.flag("nesterov", nesterov)
    if momentum and b is None:
        raise ValueError("momentum needs the buffer b; got None")
    if nesterov and not momentum:
        raise ValueError("nesterov needs momentum above 0")
    numbers = {"nesterov": int(nesterov), "momentum": momentum}
    arrays.run(options, w, g, {"b": b}, step, learning_rate, weight_decay, numbers)


def lion_update(w: Array, g: ArrayLike, m: Array, *, step: int, learning_rate: float = 1e-4, beta_1: float = 0.9,
                beta_2: float = 0.99, weight_decay: float = 0.0) -> None:  # fmt: skip
    """One step of Lion: changes `w` and `m`.

    ``w *= 1 - learning_rate weight_decay;  w -= learning_rate sign(beta_1 m + (1 - beta_1) g);``
    ``m = beta_2 m + (1 - beta_2) g``. The sign of 0 is 0. As in the paper and in Keras, whose default learning rate is
    1e-3.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    m : ndarray
        Running mean of gradients, like `w`; zeros before the first step.
    step : int
        The count of this update, from 1; it changes nothing here.
    learning_rate, beta_1, beta_2, weight_decay : float
        `beta_1` and `beta_2` in [0, 1).

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Chen et al. (2023), Symbolic discovery of optimization algorithms.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import lion_update
    >>> w, m = np.array([1.0, 1.0]), np.zeros(2)
    >>> lion_update(w, np.array([3.0, -0.1]), m, step=1, learning_rate=0.01)
    >>> w
    array([0.99, 1.01])
    """
    options = ("lion_update", beta_1, beta_2)
    if arrays.repeat(options, w, g, (m,), step, learning_rate, weight_decay, True):
        return
    numbers = {
        "beta_1": checks.real_number("beta_1", beta_1, least=0, below=1),
        "beta_2": checks.real_number("beta_2", beta_2, least=0, below=1),
    }
    arrays.run(options, w, g, {"m": m}, step, learning_rate, weight_decay, numbers, decoupled=True)
