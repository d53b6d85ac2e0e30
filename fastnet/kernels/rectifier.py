"""The rectifier with a learned slope, forward and backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.norm import as_like, as_matrix

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, DType

__all__ = ["prelu", "prelu_backward"]


def _slope(value: Any, dtype: DType, channels: int) -> np.ndarray:
    slope = call.real_array("slope", value, dtype)
    if slope.shape not in ((channels,), (1,)):
        raise ValueError(f"slope must have shape ({channels},), or (1,) for all channels; got {slope.shape}")
    return slope


def prelu(x: ArrayLike, slope: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """``y = x`` where x > 0, else ``slope x``, with a slope for each channel or one for all.

    Parameters
    ----------
    x : array of real numbers, shape (..., channels)
        Taken as float32, unless it is float64.
    slope : array of shape (channels,) or (1,)
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray
        `out`, or a new array. NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit; an `out` of another form, or one that overlaps x in part.

    References
    ----------
    He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import prelu
    >>> prelu(np.float32([[-2, -2], [3, 3]]), [0.25, -1])
    array([[-0.5,  2. ],
           [ 3. ,  3. ]], dtype=float32)
    """
    x, rows, channels = as_matrix("x", x)
    slope = _slope(slope, x.dtype, channels)
    y = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", y, x=x)
    numbers = {"rows": rows, "channels": channels, "single": int(slope.size == 1)}
    call.run("prelu", x.dtype.name, {"x": x, "slope": slope}, {"y": y}, numbers, 8 * x.size)
    return y


def prelu_backward(x: ArrayLike, dy: ArrayLike, slope: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of :func:`prelu`.

    ``dx = dy`` where x > 0, else ``slope dy``; ``dslope`` is the sum of ``x dy`` where x is not above 0.

    Parameters
    ----------
    x, dy : arrays of shape (..., channels)
        The input, and the gradient of the output.
    slope : array of shape (channels,) or (1,)

    Returns
    -------
    dx, dslope : ndarrays of the shapes of x and slope

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    Examples
    --------
    >>> from fastnet.kernels import prelu_backward
    >>> prelu_backward([[-2, 3]], [[1, 1]], [0.25])
    (array([[0.25, 1.  ]], dtype=float32), array([-2.], dtype=float32))
    """
    x, rows, channels = as_matrix("x", x)
    dy = as_like("dy", dy, x)
    slope = _slope(slope, x.dtype, channels)
    writes: dict[str, Any] = {"dx": np.empty_like(x), "dslope": np.empty_like(slope)}
    numbers = {"rows": rows, "channels": channels, "single": int(slope.size == 1), "accumulate": 0}
    call.run("prelu_backward", x.dtype.name, {"x": x, "slope": slope, "dy": dy}, writes, numbers, 12 * x.size)
    return tuple(writes.values())
