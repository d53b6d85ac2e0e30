"""Batch and layer normalization, forward and backward.

The last axis holds the channels; batch normalization takes its statistics over all
the others, layer normalization over the last one. Formulas are PyTorch's: biased variances
divide, the unbiased one goes into the running variance, epsilon stands inside of the square root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet import checks
from fastnet.kernels import call

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, DType

__all__ = [
    "BatchStatistics",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_commit",
    "batch_norm_inference",
    "batch_norm_inference_backward",
    "layer_norm",
    "layer_norm_backward",
]

_OPTIONAL = ("gamma", "beta")


class BatchStatistics(NamedTuple):
    """What batch normalization learned about each channel of a batch; three arrays of shape (channels,)."""

    mean: np.ndarray
    inverse_std: np.ndarray
    unbiased_variance: np.ndarray


def as_matrix(argument: str, value: Any, dtype: DType | None = None) -> tuple[np.ndarray, int, int]:
    """The array, with its number of rows (all axes but the last) and of channels."""
    array = call.real_array(argument, value, dtype)
    if array.ndim < 2 or array.shape[-1] == 0:
        raise ValueError(f"{argument} must have shape (..., channels) with at least two axes; got {array.shape}")
    channels = array.shape[-1]
    return array, array.size // channels, channels


def as_vectors(dtype: DType, n: int, optional: Sequence[str] = (), **values: Any) -> dict[str, Any]:
    """Arrays of shape (n,) by name; None is allowed for those named in `optional`."""
    arrays = {}
    for name, value in values.items():
        if value is None and name not in optional:
            raise TypeError(f"{name} must be an array; got None")
        array = None if value is None else call.real_array(name, value, dtype)
        if array is not None and array.shape != (n,):
            raise ValueError(f"{name} must have shape ({n},); got {array.shape}")
        arrays[name] = array
    return arrays


def as_like(argument: str, value: Any, x: Array) -> np.ndarray:
    array = call.real_array(argument, value, x.dtype)
    if array.shape != x.shape:
        raise ValueError(f"{argument} must have the shape of x, {x.shape}; got {array.shape}")
    return array


def as_epsilon(value: Any) -> float:
    return checks.real_number("epsilon", value, above=0)


def batch_norm(x: ArrayLike, gamma: ArrayLike | None = None, beta: ArrayLike | None = None, *, epsilon: float = 1e-5,
               out: Array | None = None) -> tuple[np.ndarray, BatchStatistics]:  # fmt: skip
    """Normalize each channel by its mean and variance in this batch.

    ``y = (x - mean) / sqrt(variance + epsilon) gamma + beta``, with the biased variance.

    Parameters
    ----------
    x : array of real numbers, shape (..., channels)
        At least two rows (or none). Taken as float32, unless it is float64.
    gamma, beta : arrays of shape (channels,), optional
        Ones and zeros by default.
    epsilon : float
        Keras has 1e-3.
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    y : ndarray of x's shape
    statistics : BatchStatistics
        ``mean``, ``inverse_std`` (for :func:`batch_norm_backward`) and ``unbiased_variance`` (for
        :func:`batch_norm_commit`).

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit; a single row.

    References
    ----------
    Ioffe & Szegedy 2015, "Batch normalization".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import norm
    >>> y, statistics = norm.batch_norm(np.float32([[1, 10], [3, 30]]))
    >>> statistics.mean, y.round(3)
    (array([ 2., 20.], dtype=float32), array([[-1., -1.],
           [ 1.,  1.]], dtype=float32))
    """
    x, rows, channels = as_matrix("x", x)
    if rows == 1:
        raise ValueError(f"x must have more than one row in training, or its variance is zero; got shape {x.shape}")
    parameters = as_vectors(x.dtype, channels, _OPTIONAL, gamma=gamma, beta=beta)
    epsilon = as_epsilon(epsilon)
    y = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", y, x=x)
    statistics = BatchStatistics(*(np.empty(channels, x.dtype) for _ in range(3)))
    numbers = {"rows": rows, "channels": channels, "parts": 0, "activation": 0, "epsilon": epsilon, "alpha": 0.0}
    writes = {"y": y} | statistics._asdict()
    call.run("batch_norm_forward", x.dtype.name, {"x": x} | parameters, writes, numbers, 12 * x.size)
    return y, statistics


def batch_norm_inference(x: ArrayLike, running_mean: ArrayLike, running_var: ArrayLike, gamma: ArrayLike | None = None,
                         beta: ArrayLike | None = None, *, epsilon: float = 1e-5,
                         out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Normalize each channel by running statistics.

    ``y = (x - running_mean) / sqrt(running_var + epsilon) gamma + beta``.

    Parameters
    ----------
    x : array of real numbers, shape (..., channels)
        Taken as float32, unless it is float64.
    running_mean, running_var : arrays of shape (channels,)
    gamma, beta : arrays of shape (channels,), optional
        Ones and zeros by default.
    epsilon : float
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import norm
    >>> norm.batch_norm_inference(np.float32([[4, 8]]), [2, 2], [1, 4]).round(3)
    array([[2., 3.]], dtype=float32)
    """
    x, rows, channels = as_matrix("x", x)
    vectors = as_vectors(
        x.dtype, channels, _OPTIONAL, gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var
    )
    numbers = {"rows": rows, "channels": channels, "activation": 0, "epsilon": as_epsilon(epsilon), "alpha": 0.0}
    y = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", y, x=x)
    call.run("batch_norm_inference", x.dtype.name, {"x": x} | vectors, {"y": y}, numbers, 8 * x.size)
    return y


def batch_norm_backward(x: ArrayLike, dy: ArrayLike, mean: ArrayLike, inverse_std: ArrayLike,
                        gamma: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of :func:`batch_norm`.

    With ``x^ = (x - mean) inverse_std``: ``dgamma = sum dy x^``, ``dbeta = sum dy``,
    ``dx = gamma inverse_std (dy - mean(dy) - x^ mean(dy x^))``.

    Parameters
    ----------
    x, dy : arrays of shape (..., channels)
        The input, and the gradient of the output.
    mean, inverse_std : arrays of shape (channels,)
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
    >>> from fastnet.kernels import norm
    >>> x = np.float64([[1], [3]])
    >>> y, statistics = norm.batch_norm(x)
    >>> dx, dgamma, dbeta = norm.batch_norm_backward(x, [[1], [0]], statistics.mean, statistics.inverse_std)
    >>> dgamma.round(3), dbeta
    (array([-1.]), array([1.]))
    """
    x, rows, channels = as_matrix("x", x)
    dy = as_like("dy", dy, x)
    vectors = as_vectors(x.dtype, channels, _OPTIONAL, gamma=gamma, mean=mean, inverse_std=inverse_std)
    writes: dict[str, Any] = {
        "dx": np.empty_like(x),
        "dgamma": np.empty(channels, x.dtype),
        "dbeta": np.empty(channels, x.dtype),
    }
    numbers = {"rows": rows, "channels": channels, "parts": 0, "accumulate_gamma": 0, "accumulate_beta": 0}
    call.run("batch_norm_backward", x.dtype.name, {"x": x, "dy": dy} | vectors, writes, numbers, 20 * x.size)
    return tuple(writes.values())


def batch_norm_inference_backward(x: ArrayLike, dy: ArrayLike, running_mean: ArrayLike, running_var: ArrayLike,
                                  gamma: ArrayLike | None = None, *,
                                  epsilon: float = 1e-5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of :func:`batch_norm_inference`, whose statistics are constants.

    ``dx = gamma dy / sqrt(running_var + epsilon)``; dgamma and dbeta as in :func:`batch_norm_backward`.

    Parameters
    ----------
    x, dy : arrays of shape (..., channels)
        The input, and the gradient of the output.
    running_mean, running_var : arrays of shape (channels,)
    gamma : array of shape (channels,), optional
    epsilon : float

    Returns
    -------
    dx, dgamma, dbeta : ndarrays

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    Examples
    --------
    >>> from fastnet.kernels import norm
    >>> dx, dgamma, dbeta = norm.batch_norm_inference_backward([[4, 8]], [[1, 1]], [2, 2], [1, 4])
    >>> dx.round(3), dgamma.round(3)
    (array([[1. , 0.5]], dtype=float32), array([2., 3.], dtype=float32))
    """
    x, rows, channels = as_matrix("x", x)
    dy = as_like("dy", dy, x)
    vectors = as_vectors(x.dtype, channels, _OPTIONAL, gamma=gamma, running_mean=running_mean, running_var=running_var)
    writes: dict[str, Any] = {
        "dx": np.empty_like(x), "dgamma": np.empty(channels, x.dtype), "dbeta": np.empty(channels, x.dtype),
    }  # fmt: skip
    numbers = {
        "rows": rows, "channels": channels, "accumulate_gamma": 0, "accumulate_beta": 0, "epsilon": as_epsilon(epsilon),
    }  # fmt: skip
    call.run("batch_norm_inference_backward", x.dtype.name, {"x": x, "dy": dy} | vectors, writes, numbers, 16 * x.size)
    return tuple(writes.values())


def batch_norm_commit(running_mean: ArrayLike, running_var: ArrayLike, statistics: BatchStatistics, *,
                      momentum: float = 0.1) -> None:  # fmt: skip
    """Blend a batch's statistics into the running ones, in place.

    ``running = (1 - momentum) running + momentum new``, for the mean and the unbiased variance.

    Parameters
    ----------
    running_mean, running_var : ndarrays of shape (channels,)
        Contiguous and writeable, of the dtype of the statistics.
    statistics : BatchStatistics
        From :func:`batch_norm`.
    momentum : float
        Weight of the new value, 0 to 1, as in PyTorch. In Keras `momentum` is that of the old one, 0.99 by default:
        ``momentum=0.01`` here.

    Raises
    ------
    TypeError, ValueError
        Arrays of another form; a momentum out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import norm
    >>> running_mean, running_var = np.zeros(1, "float32"), np.ones(1, "float32")
    >>> y, statistics = norm.batch_norm(np.float32([[1], [3]]))
    >>> norm.batch_norm_commit(running_mean, running_var, statistics)
    >>> running_mean, running_var
    (array([0.2], dtype=float32), array([1.1], dtype=float32))
    """
    momentum = checks.real_number("momentum", momentum, least=0, most=1)
    if not isinstance(statistics, BatchStatistics):
        raise TypeError(f"statistics must be what batch_norm returned; got {checks.describe(statistics)}")
    mean, variance = np.asarray(statistics.mean), np.asarray(statistics.unbiased_variance)
    writes = {"running_mean": running_mean, "running_var": running_var}
    for name, array in writes.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} must be a NumPy array; got {checks.describe(array)}")
        call.output(name, array, mean.shape, mean.dtype)
    reads = {"mean": mean, "unbiased_variance": variance, "control": None}
    numbers = {"channels": mean.size, "momentum": momentum}
    call.run("batch_norm_commit", mean.dtype.name, reads, writes, numbers, 24 * mean.size)


def layer_norm(x: ArrayLike, gamma: ArrayLike | None = None, beta: ArrayLike | None = None, *, epsilon: float = 1e-5,
               out: Array | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Normalize along the last axis.

    ``y = (x - mean) / sqrt(variance + epsilon) gamma + beta``, with each row's own mean and biased variance.

    Parameters
    ----------
    x : array of real numbers, shape (..., channels)
        Taken as float32, unless it is float64.
    gamma, beta : arrays of shape (channels,), optional
        Ones and zeros by default.
    epsilon : float
        Keras has 1e-3.
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    y : ndarray of x's shape
    mean, inverse_std : ndarrays of x's shape without the last axis
        For :func:`layer_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    References
    ----------
    Ba, Kiros, Hinton 2016, "Layer normalization".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import norm
    >>> y, mean, inverse_std = norm.layer_norm(np.float32([[1, 3], [10, 30]]))
    >>> y.round(3), mean
    (array([[-1.,  1.],
           [-1.,  1.]], dtype=float32), array([ 2., 20.], dtype=float32))
    """
    x, rows, channels = as_matrix("x", x)
    parameters = as_vectors(x.dtype, channels, _OPTIONAL, gamma=gamma, beta=beta)
    numbers = {"rows": rows, "cols": channels, "epsilon": as_epsilon(epsilon)}
    y = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", y, x=x)
    mean, inverse_std = np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    writes = {"y": y, "mean": mean, "inverse_std": inverse_std}
    call.run("layer_norm_forward", x.dtype.name, {"x": x} | parameters, writes, numbers, 12 * x.size)
    return y, mean, inverse_std


def layer_norm_backward(x: ArrayLike, dy: ArrayLike, mean: ArrayLike, inverse_std: ArrayLike,
                        gamma: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of :func:`layer_norm`.

    With ``x^ = (x - mean) inverse_std`` and ``g = dy gamma``: ``dx = inverse_std (g - mean(g) - x^ mean(g x^))``, and
    ``dgamma``, ``dbeta`` the sums of ``dy x^`` and ``dy`` over all rows.

    Parameters
    ----------
    x, dy : arrays of shape (..., channels)
        The input, and the gradient of the output.
    mean, inverse_std : arrays of x's shape without the last axis
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
    >>> from fastnet.kernels import norm
    >>> x = np.float64([[1, 3]])
    >>> y, mean, inverse_std = norm.layer_norm(x)
    >>> dx, dgamma, dbeta = norm.layer_norm_backward(x, [[1, 0]], mean, inverse_std)
    >>> dgamma.round(3), dbeta
    (array([-1.,  0.]), array([1., 0.]))
    """
    x, rows, channels = as_matrix("x", x)
    dy = as_like("dy", dy, x)
    reads = {"x": x, "dy": dy} | as_vectors(x.dtype, channels, _OPTIONAL, gamma=gamma)
    for name, value in (("mean", mean), ("inverse_std", inverse_std)):
        reads[name] = call.real_array(name, value, x.dtype)
        if reads[name].shape != x.shape[:-1]:
            raise ValueError(f"{name} must have shape {x.shape[:-1]}; got {reads[name].shape}")
    writes: dict[str, Any] = {
        "dx": np.empty_like(x),
        "dgamma": np.empty(channels, x.dtype),
        "dbeta": np.empty(channels, x.dtype),
    }
    numbers = {"rows": rows, "cols": channels, "accumulate_gamma": 0, "accumulate_beta": 0}
    call.run("layer_norm_backward", x.dtype.name, reads, writes, numbers, 24 * x.size)
    return tuple(writes.values())
