"""Updates by running means of the gradient and of its size: Adam, NAdam, RAdam, Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.kernels.update import arrays

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["adam_update", "adamax_update", "momentum_base", "nadam_update", "radam_update"]


def adam_update(w: Array, g: ArrayLike, m: Array, v: Array, *, step: int, learning_rate: float = 1e-3,
                beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0,
                decoupled: bool = False, v_max: Array | None = None, epsilon_hat: bool = False) -> None:  # fmt: skip
    """One step of Adam, AMSGrad (with `v_max`) or AdamW (with `decoupled`): changes `w`, `m`, `v`, `v_max`.

    ``m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;``
    ``w -= learning_rate / (1 - beta_1^step) m / (sqrt(v / (1 - beta_2^step)) + epsilon)``.
    Weight decay is added to the gradient, or with `decoupled` ``w *= 1 - learning_rate weight_decay`` first.
    AMSGrad takes ``v_max = max(v_max, v)`` for ``v`` in the last formula.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    m, v : ndarray
        Running means of the gradient and of its square, like `w`; zeros before the first step.
    step : int
        The count of this update, from 1.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float
        `beta_1` and `beta_2` in [0, 1).
    decoupled : bool
        AdamW's weight decay.
    v_max : ndarray, optional
        Greatest `v` so far, like `w`; zeros before the first step. Makes it AMSGrad.
    epsilon_hat : bool
        Add epsilon to ``sqrt(v)`` before `v` is corrected, as Keras and scikit-learn do.

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Kingma, Ba (2015), Adam; Reddi, Kale, Kumar (2018), On the convergence of Adam and beyond;
    Loshchilov, Hutter (2019), Decoupled weight decay regularization.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import adam_update
    >>> w, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    >>> adam_update(w, np.array([3.0, -0.1]), m, v, step=1, learning_rate=0.01)
    >>> w.round(6)
    array([0.99, 1.01])
    """
    decoupled = checks.flag("decoupled", decoupled)
    options = ("adam_update", beta_1, beta_2, epsilon, checks.flag("epsilon_hat", epsilon_hat))
    if arrays.repeat(options, w, g, (m, v, v_max), step, learning_rate, weight_decay, decoupled):
        return
    numbers = {**_checked(beta_1, beta_2, epsilon), "epsilon_hat": int(epsilon_hat)}
    arrays.run(options, w, g, {"m": m, "v": v, "v_max": v_max}, step, learning_rate, weight_decay, numbers, decoupled)


def nadam_update(w: Array, g: ArrayLike, m: Array, v: Array, c: Array, *, step: int, learning_rate: float = 2e-3,
                 beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, momentum_decay: float = 4e-3,
                 weight_decay: float = 0.0, decoupled: bool = False) -> None:  # fmt: skip
    """One step of NAdam: changes `w`, `m`, `v` and `c`.

    ``mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)`` for step t, ``c_t = 1 - mu_1 ... mu_t``, means as in Adam, and
    ``w -= learning_rate (mu_(t+1) / c_(t+1) m + (1 - mu_t) / c_t g) / (sqrt(v / (1 - beta_2^t)) + epsilon)``.
    Weight decay is added to the gradient, or with `decoupled` ``w *= 1 - learning_rate weight_decay`` first.
    Keras has momentum_decay 1 (fixed), epsilon 1e-7 and a learning rate of 1e-3.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    m, v : ndarray
        Running means of the gradient and of its square, like `w`; zeros before the first step.
    c : ndarray
        One float64, shape (1,): what the momenta so far add up to; zero before the first step.
    step : int
        The count of this update, from 1.
    learning_rate, beta_1, beta_2, epsilon, momentum_decay, weight_decay : float
        `beta_1` and `beta_2` in [0, 1).
    decoupled : bool
        AdamW's weight decay.

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Dozat (2016), Incorporating Nesterov momentum into Adam.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import nadam_update
    >>> w, m, v, c = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2), np.zeros(1)
    >>> nadam_update(w, np.array([3.0, -0.1]), m, v, c, step=1, learning_rate=0.01)
    >>> w.round(6), c.round(6)
    (array([0.989435, 1.010565]), array([0.549927]))
    """
    decoupled = checks.flag("decoupled", decoupled)
    options = ("nadam_update", beta_1, beta_2, epsilon, momentum_decay)
    if arrays.repeat(options, w, g, (m, v, c), step, learning_rate, weight_decay, decoupled):
        return
    numbers = {
        **_checked(beta_1, beta_2, epsilon),
        "momentum_base": momentum_base(checks.real_number("momentum_decay", momentum_decay, least=0)),
    }
    state = {"m": m, "v": v, "c": c}
    arrays.run(options, w, g, state, step, learning_rate, weight_decay, numbers, decoupled, scalars=("c",))


def momentum_base(momentum_decay: float) -> float:
    """What the kernel of NAdam raises to the power of the step."""
    return 0.96**momentum_decay


def radam_update(w: Array, g: ArrayLike, m: Array, v: Array, *, step: int, learning_rate: float = 1e-3,
                 beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0,
                 decoupled: bool = False) -> None:  # fmt: skip
    """One step of RAdam: changes `w`, `m`, `v`.

    Means as in Adam; ``rho_inf = 2 / (1 - beta_2) - 1`` and ``rho = rho_inf - 2 step beta_2^step / (1 - beta_2^step)``.
    While rho is at most 5, ``w -= learning_rate m / (1 - beta_1^step)``; then
    ``w -= learning_rate r / (1 - beta_1^step) m sqrt(1 - beta_2^step) / (sqrt(v) + epsilon)`` with
    ``r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))``.
    Weight decay is added to the gradient, or with `decoupled` ``w *= 1 - learning_rate weight_decay`` first.
    The paper rectifies from rho > 4 on, and has no epsilon. Keras has no RAdam.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    m, v : ndarray
        Running means of the gradient and of its square, like `w`; zeros before the first step.
    step : int
        The count of this update, from 1.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float
        `beta_1` and `beta_2` in [0, 1).
    decoupled : bool
        AdamW's weight decay.

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Liu et al. (2020), On the variance of the adaptive learning rate and beyond.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import radam_update
    >>> w, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    >>> radam_update(w, np.array([3.0, -0.1]), m, v, step=1, learning_rate=0.01)
    >>> w.round(6)
    array([0.97 , 1.001])
    """
    decoupled = checks.flag("decoupled", decoupled)
    options = ("radam_update", beta_1, beta_2, epsilon)
    if arrays.repeat(options, w, g, (m, v), step, learning_rate, weight_decay, decoupled):
        return
    numbers = _checked(beta_1, beta_2, epsilon)
    arrays.run(options, w, g, {"m": m, "v": v}, step, learning_rate, weight_decay, numbers, decoupled)


def adamax_update(w: Array, g: ArrayLike, m: Array, u: Array, *, step: int, learning_rate: float = 2e-3,
                  beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                  weight_decay: float = 0.0) -> None:  # fmt: skip
    """One step of Adamax: changes `w`, `m`, `u`.

    ``g = g + weight_decay w;  m = beta_1 m + (1 - beta_1) g;  u = max(beta_2 u, |g| + epsilon);``
    ``w -= learning_rate / (1 - beta_1^step) m / u``. Keras leaves epsilon out of `u` and divides by
    ``u + epsilon``; its default learning rate is 1e-3.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, of any shape; C-contiguous.
    g : array_like
        Gradients, of the shape and dtype of `w`.
    m, u : ndarray
        Running mean of the gradient, and its greatest size of late, like `w`; zeros before the first step.
    step : int
        The count of this update, from 1.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float
        `beta_1` and `beta_2` in [0, 1).

    Raises
    ------
    TypeError, ValueError
        Arrays that differ in shape or dtype, overlap, or cannot be written; a number out of its range.

    References
    ----------
    Kingma, Ba (2015), Adam, section 7.1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import adamax_update
    >>> w, m, u = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    >>> adamax_update(w, np.array([3.0, -0.1]), m, u, step=1, learning_rate=0.01)
    >>> w.round(6), u.round(6)
    (array([0.99, 1.01]), array([3. , 0.1]))
    """
    options = ("adamax_update", beta_1, beta_2, epsilon)
    if arrays.repeat(options, w, g, (m, u), step, learning_rate, weight_decay):
        return
    numbers = _checked(beta_1, beta_2, epsilon)
    arrays.run(options, w, g, {"m": m, "u": u}, step, learning_rate, weight_decay, numbers)


def _checked(beta_1: float, beta_2: float, epsilon: float) -> dict[str, Any]:
    return {
        "beta_1": checks.real_number("beta_1", beta_1, least=0, below=1),
        "beta_2": checks.real_number("beta_2", beta_2, least=0, below=1),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
    }
