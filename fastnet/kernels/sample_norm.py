"""Normalization of samples by themselves, forward and backward: in groups of channels, and by the root mean square."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.norm import as_epsilon, as_like, as_matrix, as_vectors

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["checked_groups", "group_norm", "group_norm_backward", "rms_norm", "rms_norm_backward"]


def checked_groups(groups: Any, channels: int) -> int:
    """`groups` as a whole number that divides the channels.

    Examples
    --------
    >>> from fastnet.kernels.sample_norm import checked_groups
    >>> checked_groups(32, 48)
    Traceback (most recent call last):
        ...
    ValueError: groups=32 must divide the 48 channels; the nearest that do are 24 and 48
    """
    groups = checks.whole_number("groups", groups, least=1)
    if channels % groups:
        divisors = [n for n in range(1, channels + 1) if channels % n == 0]
        below = max(n for n in divisors if n < groups)
        above = min((n for n in divisors if n > groups), default=None)
        nearest = f"nearest that does is {below}" if above is None else f"nearest that do are {below} and {above}"
        raise ValueError(f"groups={groups} must divide the {channels} channels; the {nearest}")
    return groups


def _sizes(x: Array, groups: Any) -> dict[str, Any]:
    batch, channels = x.shape[0], x.shape[-1]
    return {
        "batch": batch,
        "rows": math.prod(x.shape[1:-1]),
        "channels": channels,
        "groups": checked_groups(groups, channels),
    }


def group_norm(x: ArrayLike, groups: int, gamma: ArrayLike | None = None, beta: ArrayLike | None = None, *,
               epsilon: float = 1e-5, out: Array | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Normalize each group of neighbouring channels of a sample.

    ``y = (x - mean) / sqrt(variance + epsilon) gamma + beta``, with mean and biased variance over the sample's pixels
    and the group's channels. One group is layer normalization of the whole sample, a group for each channel instance
    normalization.

    Parameters
    ----------
    x : array of real numbers, shape (batch, ..., channels)
        Taken as float32, unless it is float64.
    groups : int
        It must divide the channels.
    gamma, beta : arrays of shape (channels,), optional
        Ones and zeros by default.
    epsilon : float
        Keras has 1e-3.
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    y : ndarray of x's shape
    mean, inverse_std : ndarrays of shape (batch, groups)
        For :func:`group_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit; groups that don't divide the channels.

    References
    ----------
    Wu & He 2018, "Group normalization".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import group_norm
    >>> y, mean, inverse_std = group_norm(np.float32([[1, 3, 10, 30]]), 2)
    >>> y.round(3), mean
    (array([[-1.,  1., -1.,  1.]], dtype=float32), array([[ 2., 20.]], dtype=float32))
    """
    x, _, channels = as_matrix("x", x)
    numbers = _sizes(x, groups) | {"epsilon": as_epsilon(epsilon)}
    parameters = as_vectors(x.dtype, channels, ("gamma", "beta"), gamma=gamma, beta=beta)
    y = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", y, x=x)
    statistics = (numbers["batch"], numbers["groups"])
    writes: dict[str, Any] = {
        "y": y,
        "mean": np.empty(statistics, x.dtype),
        "inverse_std": np.empty(statistics, x.dtype),
    }
    call.run("group_norm_forward", x.dtype.name, {"x": x} | parameters, writes, numbers, 12 * x.size)
    return tuple(writes.values())


def group_norm_backward(x: ArrayLike, dy: ArrayLike, mean: ArrayLike, inverse_std: ArrayLike,
                        gamma: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of :func:`group_norm`.

    With ``x^ = (x - mean) inverse_std`` and ``g = dy gamma``: ``dx = inverse_std (g - mean(g) - x^ mean(g x^))``, means
    over a group; ``dgamma``, ``dbeta`` are the sums of ``dy x^`` and ``dy`` over samples and pixels.

    Parameters
    ----------
    x, dy : arrays of shape (batch, ..., channels)
        The input, and the gradient of the output.
    mean, inverse_std : arrays of shape (batch, groups)
        From the forward pass.
    gamma : array of shape (channels,), optional

    Returns
    -------
    dx, dgamma, dbeta : ndarrays

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import group_norm, group_norm_backward
    >>> x = np.float64([[1, 3]])
    >>> y, mean, inverse_std = group_norm(x, 1)
    >>> dx, dgamma, dbeta = group_norm_backward(x, [[1, 0]], mean, inverse_std)
    >>> dgamma.round(3), dbeta
    (array([-1.,  0.]), array([1., 0.]))
    """
    x, _, channels = as_matrix("x", x)
    dy = as_like("dy", dy, x)
    reads = {"x": x, "dy": dy} | as_vectors(x.dtype, channels, ("gamma",), gamma=gamma)
    for name, value in (("mean", mean), ("inverse_std", inverse_std)):
        reads[name] = call.real_array(name, value, x.dtype)
        if reads[name].ndim != 2 or reads[name].shape[0] != x.shape[0]:
            raise ValueError(f"{name} must have shape ({x.shape[0]}, groups); got {reads[name].shape}")
    if reads["mean"].shape != reads["inverse_std"].shape:
        raise ValueError(
            f"inverse_std must have the shape of mean, {reads['mean'].shape}; got {reads['inverse_std'].shape}"
        )
    numbers = _sizes(x, reads["mean"].shape[1]) | {"accumulate_gamma": 0, "accumulate_beta": 0}
    writes: dict[str, Any] = {
        "dx": np.empty_like(x),
        "dgamma": np.empty(channels, x.dtype),
        "dbeta": np.empty(channels, x.dtype),
    }
    call.run("group_norm_backward", x.dtype.name, reads, writes, numbers, 20 * x.size)
    return tuple(writes.values())


def rms_norm(x: ArrayLike, gamma: ArrayLike | None = None, *, epsilon: float | None = None,
             out: Array | None = None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Divide each row by the root of its mean square.

    ``y = x / sqrt(mean(x^2) + epsilon) gamma``, along the last axis.

    Parameters
    ----------
    x : array of real numbers, shape (..., channels)
        Taken as float32, unless it is float64.
    gamma : array of shape (channels,), optional
        Ones by default.
    epsilon : float, optional
        By default the dtype's machine epsilon, as in PyTorch (Keras: 1e-6).
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    y : ndarray of x's shape
    inverse_rms : ndarray of x's shape without the last axis
        For :func:`rms_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    References
    ----------
    Zhang & Sennrich 2019, "Root mean square layer normalization".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import rms_norm
    >>> y, inverse_rms = rms_norm(np.float32([[1, 7], [0, 0]]))
    >>> y.round(3)
    array([[0.2, 1.4],
           [0. , 0. ]], dtype=float32)
    """
    x, rows, channels = as_matrix("x", x)
    parameters = as_vectors(x.dtype, channels, ("gamma",), gamma=gamma)
    epsilon = float(np.finfo(x.dtype).eps) if epsilon is None else as_epsilon(epsilon)
    y = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", y, x=x)
    writes: dict[str, Any] = {"y": y, "inverse_rms": np.empty(x.shape[:-1], x.dtype)}
    numbers = {"rows": rows, "cols": channels, "epsilon": epsilon}
    call.run("rms_norm_forward", x.dtype.name, {"x": x} | parameters, writes, numbers, 8 * x.size)
    return tuple(writes.values())


def rms_norm_backward(x: ArrayLike, dy: ArrayLike, inverse_rms: ArrayLike,
                      gamma: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of :func:`rms_norm`.

    With ``g = dy gamma``: ``dx = inverse_rms (g - x inverse_rms^2 mean(g x))``, and ``dgamma`` the sum of
    ``dy x inverse_rms`` over all rows.

    Parameters
    ----------
    x, dy : arrays of shape (..., channels)
        The input, and the gradient of the output.
    inverse_rms : array of x's shape without the last axis
        From the forward pass.
    gamma : array of shape (channels,), optional

    Returns
    -------
    dx, dgamma : ndarrays

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import rms_norm, rms_norm_backward
    >>> x = np.float64([[1, 7]])
    >>> y, inverse_rms = rms_norm(x)
    >>> dx, dgamma = rms_norm_backward(x, [[1, 0]], inverse_rms)
    >>> dx.round(3), dgamma.round(3)
    (array([[ 0.196, -0.028]]), array([0.2, 0. ]))
    """
    x, rows, channels = as_matrix("x", x)
    reads = {"x": x, "dy": as_like("dy", dy, x)} | as_vectors(x.dtype, channels, ("gamma",), gamma=gamma)
    reads["inverse_rms"] = call.real_array("inverse_rms", inverse_rms, x.dtype)
    if reads["inverse_rms"].shape != x.shape[:-1]:
        raise ValueError(f"inverse_rms must have shape {x.shape[:-1]}; got {reads['inverse_rms'].shape}")
    writes: dict[str, Any] = {"dx": np.empty_like(x), "dgamma": np.empty(channels, x.dtype)}
    numbers = {"rows": rows, "cols": channels, "accumulate_gamma": 0}
    call.run("rms_norm_backward", x.dtype.name, reads, writes, numbers, 16 * x.size)
    return tuple(writes.values())
