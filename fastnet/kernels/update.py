"""Optimizer updates of NumPy arrays, in place. Formulas and defaults are PyTorch's."""

from __future__ import annotations

import itertools
import threading

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.native.calls import UpdateSettings
from fastnet.native.plan import ControlBlock

__all__ = ["RANGE", "adagrad_update", "adam_update", "gradient_norm", "rmsprop_update", "sgd_update"]

#: A row of the table that the update kernels walk (native/kernels/update.pxi): elements of the flat memory, and their settings.
RANGE = np.dtype([
    ("offset", np.intp), ("n", np.intp), ("group", np.intp), ("decoupled", np.intp), ("decay", np.float64),
    ("limit", np.float64), ("learning_rate", np.float64), ("scale", np.float64),
])  # fmt: skip

#: Elements of a block, the unit that threads share; `gradient_norm` wants one double for each block of each range.
BLOCK = 4096


def _updated(argument, value, like=None):
    """An array that an update writes: as it is, for a copy would be lost."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{argument} must be a NumPy array, as it is changed in place; got {checks.describe(value)}")
    if value.dtype not in call.REAL_NAMES:
        raise TypeError(f"{argument} must have dtype float32 or float64; got {value.dtype}")
    if like is not None and (value.shape != like.shape or value.dtype != like.dtype):
        raise ValueError(
            f"{argument} must have the shape and dtype of w, {like.shape} {like.dtype}; got {value.shape} {value.dtype}"
        )
    if not value.flags.c_contiguous or not value.flags.writeable:
        raise ValueError(f"{argument} must be C-contiguous and writeable, as it is changed in place")
    return value


def _gradient(value, w):
    g = np.asarray(value)
    if g.shape != w.shape or g.dtype != w.dtype:
        raise ValueError(f"g must have the shape and dtype of w, {w.shape} {w.dtype}; got {g.shape} {g.dtype}")
    return np.ascontiguousarray(g)


class _OfThread(threading.local):
    """The settings of an update, kept for the next one of the same Python thread."""

    def __init__(self):
        self.settings = UpdateSettings()


_of_thread = _OfThread()


def _repeat(options, w, g, state, step, learning_rate, weight_decay, decoupled=False) -> bool:
    """Run the update that is kept for arrays of this form, whose options have been checked; False if there is none."""
    settings = _of_thread.settings
    try:
        settings.set(w, step, learning_rate, weight_decay, decoupled)
        arrays = (g, settings.ranges, settings.control.block, w, *state)
        return call.of_thread.plans.run(options, arrays, 3, True)
    except (BufferError, TypeError, ValueError):
        return False  # what is wrong, if anything, `_run` says


def _run(options, w, g, state, step, learning_rate, weight_decay, numbers, decoupled=False) -> None:
    """Check what all updates share, run one, and keep its plan. `options` starts with the kernel's name."""
    arrays = {"w": _updated("w", w)}
    arrays.update((key, None if value is None else _updated(key, value, w)) for key, value in state.items())
    g = _gradient(g, w)
    given = [(key, value) for key, value in (*arrays.items(), ("g", g)) if value is not None]
    for (name_1, array_1), (name_2, array_2) in itertools.combinations(given, 2):
        if np.may_share_memory(array_1, array_2):
            raise ValueError(f"{name_1} and {name_2} must not share memory")
    settings = _of_thread.settings
    settings.set(
        w,
        checks.whole_number("step", step, least=1),
        checks.real_number("learning_rate", learning_rate, least=0),
        checks.real_number("weight_decay", weight_decay, least=0),
        decoupled,
    )
    fields = {"g": g, "ranges": settings.ranges, "control": settings.control.block, **arrays}
    numbers = {"n_ranges": 2, **numbers}
    dtype = call.REAL_NAMES[w.dtype]
    call.run_kept(call.of_thread.plans, options, options[0], dtype, fields, 3, numbers, 4 * w.size)


def sgd_update(w, g, b=None, *, step, learning_rate=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0) -> None:
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
    if _repeat(options, w, g, (b,), step, learning_rate, weight_decay):
        return
    momentum = checks.real_number("momentum", momentum, least=0, below=1)
    nesterov = checks.flag("nesterov", nesterov)
    if momentum and b is None:
        raise ValueError("momentum needs the buffer b; got None")
    if nesterov and not momentum:
        raise ValueError("nesterov needs momentum above 0")
    numbers = {"nesterov": int(nesterov), "momentum": momentum}
    _run(options, w, g, {"b": b}, step, learning_rate, weight_decay, numbers)


def rmsprop_update(
    w, g, v, *, step, learning_rate=1e-2, rho=0.99, epsilon=1e-8, momentum=0.0, weight_decay=0.0, b=None, a=None
) -> None:
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
    if _repeat(options, w, g, (v, b, a), step, learning_rate, weight_decay):
        return
    momentum = checks.real_number("momentum", momentum, least=0, below=1)
    if momentum and b is None:
        raise ValueError("momentum needs the buffer b; got None")
    numbers = {
        "rho": checks.real_number("rho", rho, least=0, below=1),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
        "momentum": momentum,
    }
    _run(options, w, g, {"v": v, "b": b, "a": a}, step, learning_rate, weight_decay, numbers)


def adam_update(
    w, g, m, v, *, step, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0,
    decoupled=False, v_max=None,
) -> None:  # fmt: skip
    """One step of Adam, AMSGrad (with `v_max`) or AdamW (with `decoupled`): changes `w`, `m`, `v`, `v_max`.

    ``m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;``
    ``w -= learning_rate / (1 - beta_1^step) m / (sqrt(v / (1 - beta_2^step)) + epsilon)``.
    Weight decay is added to the gradient, or with `decoupled` ``w *= 1 - learning_rate weight_decay`` first.
    AMSGrad takes ``v_max = max(v_max, v)`` for ``v`` in the last formula. Keras' epsilon stands at another place:
    its value times ``1 / sqrt(1 - beta_2^step)`` is ours.

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
    options = ("adam_update", beta_1, beta_2, epsilon)
    if _repeat(options, w, g, (m, v, v_max), step, learning_rate, weight_decay, decoupled):
        return
    numbers = {
        "beta_1": checks.real_number("beta_1", beta_1, least=0, below=1),
        "beta_2": checks.real_number("beta_2", beta_2, least=0, below=1),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
    }
    _run(options, w, g, {"m": m, "v": v, "v_max": v_max}, step, learning_rate, weight_decay, numbers, decoupled)


def adagrad_update(
    w, g, s, *, step, learning_rate=1e-2, learning_rate_decay=0.0, epsilon=1e-10, weight_decay=0.0
) -> None:
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
    if _repeat(options, w, g, (s,), step, learning_rate, weight_decay):
        return
    numbers = {
        "learning_rate_decay": checks.real_number("learning_rate_decay", learning_rate_decay, least=0),
        "epsilon": checks.real_number("epsilon", epsilon, least=0),
    }
    _run(options, w, g, {"s": s}, step, learning_rate, weight_decay, numbers)


def gradient_norm(g, *, clip_norm=None) -> tuple[float, float]:
    """The Euclidean norm of `g`, summed in double, and the factor that clips it.

    The factor is ``min(1, clip_norm / (norm + 1e-6))``, or 1 without `clip_norm` and where the norm is not finite.
    In float64 an element beyond 1.3e154 makes the norm infinite.

    Parameters
    ----------
    g : array_like
        Any shape; float32 or float64, other real numbers are taken as float32.
    clip_norm : float, optional
        Above 0.

    Returns
    -------
    norm, scale : float

    Raises
    ------
    TypeError, ValueError
        `g` is not an array of real numbers; `clip_norm` is not positive.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import gradient_norm
    >>> norm, scale = gradient_norm(np.array([3.0, 4.0]), clip_norm=1.0)
    >>> norm, round(scale, 6)
    (5.0, 0.2)
    """
    g = call.real_array("g", g)
    clip_norm = 0.0 if clip_norm is None else checks.real_number("clip_norm", clip_norm, above=0)
    control, partials = ControlBlock(), np.empty(-(-g.size // BLOCK))
    dtype = call.REAL_NAMES[g.dtype]
    ranges = np.array([(0, g.size, 0, 0, 0.0, np.inf, 0.0, 1.0)], RANGE)
    call.run("squares", dtype, {"g": g, "ranges": ranges}, {"partials": partials}, {"n_ranges": 1}, 2 * g.size)
    numbers = {"n_ranges": 1, "each": 0, "clip_norm": clip_norm}
    call.run("clip", dtype, {"partials": partials}, {"ranges": ranges, "control": control.block}, numbers, 0)
    return control.gradient_norm, float(ranges["scale"][0])
