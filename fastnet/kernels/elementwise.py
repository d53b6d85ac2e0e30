"""Arithmetic element by element, on arrays of one shape, or of a row for each sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.activation import ACTIVATIONS

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["accumulate", "add", "copy_2d", "multiply", "multiply_rows", "multiply_rows_backward", "scale"]


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two operands of one shape and dtype: float64 if either is, else float32."""
    a, b = np.asarray(a), np.asarray(b)
    dtype = "float64" if np.dtype("float64") in (a.dtype, b.dtype) else "float32"
    a, b = call.real_array("a", a, dtype), call.real_array("b", b, dtype)
    if a.shape != b.shape:
        raise ValueError(f"b must have the shape of a, {a.shape}; got {b.shape}")
    return a, b


def add(a: ArrayLike, b: ArrayLike, *, activation: str | None = None, out: Array | None = None) -> np.ndarray:
    """``y = activation(a + b)``.

    Parameters
    ----------
    a, b : arrays of real numbers, of one shape
        Taken as float64 if either is, else as float32. Nothing is broadcast.
    activation : str, optional
        An elementwise activation with its default parameter: "relu", "gelu", ...
    out : ndarray, optional
        C-contiguous array of that shape and dtype; it may be a or b.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        Shapes differ; not real numbers; an unknown `activation`; an `out` of another form, or one that overlaps a
        or b in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import elementwise
    >>> elementwise.add(np.float32([1, 2]), np.float32([10, -20]), activation="relu")
    array([11.,  0.], dtype=float32)
    """
    row = ACTIVATIONS["linear" if activation is None else checks.choice("activation", activation, ACTIVATIONS)]
    a, b = _pair(a, b)
    out = call.output("out", out, a.shape, a.dtype)
    checks.same_or_apart("out", out, a=a, b=b)
    numbers = {"n": a.size, "activation": row.kind, "gate_activation": 0, "alpha": row.alpha, "gate_alpha": 0.0}
    call.run("add", a.dtype.name, {"a": a, "b": b, "gate": None}, {"y": out}, numbers, (4 + row.work) * a.size)
    return out


def multiply(a: ArrayLike, b: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """``y = a b``, element by element.

    Parameters
    ----------
    a, b : arrays of real numbers, of one shape
        Taken as float64 if either is, else as float32. Nothing is broadcast.
    out : ndarray, optional
        C-contiguous array of that shape and dtype; it may be a or b.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        Shapes differ; not real numbers; an `out` of another form, or one that overlaps a or b in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import elementwise
    >>> elementwise.multiply(np.float32([1, 2]), np.float32([10, 20]))
    array([10., 40.], dtype=float32)
    """
    a, b = _pair(a, b)
    out = call.output("out", out, a.shape, a.dtype)
    checks.same_or_apart("out", out, a=a, b=b)
    call.run("multiply", a.dtype.name, {"a": a, "b": b}, {"y": out}, {"n": a.size}, 12 * a.size)
    return out


def _samples(x: ArrayLike, w: ArrayLike) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    x = call.real_array("x", x)
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise ValueError(f"x must have shape (batch, ..., channels) with at least one element a sample; got {x.shape}")
    w = call.real_array("w", w, x.dtype)
    if w.shape != (x.shape[0], x.shape[-1]):
        raise ValueError(f"w must have shape (batch, channels), {(x.shape[0], x.shape[-1])}; got {w.shape}")
    return x, w, {"batch": x.shape[0], "rows": math.prod(x.shape[1:-1]), "channels": x.shape[-1]}


def multiply_rows(x: ArrayLike, w: ArrayLike, *, out: Array | None = None) -> np.ndarray:
    """``y = x w`` with one row of factors for all pixels of a sample.

    Parameters
    ----------
    x : array of real numbers, shape (batch, ..., channels)
        Taken as float32, unless it is float64.
    w : array of shape (batch, channels)
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit; an `out` of another form, or one that overlaps x in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import elementwise
    >>> elementwise.multiply_rows(np.float32([[[1, 2], [3, 4]]]), [[10, 100]])
    array([[[ 10., 200.],
            [ 30., 400.]]], dtype=float32)
    """
    x, w, numbers = _samples(x, w)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    if np.may_share_memory(out, w):
        raise ValueError("out must not overlap w")
    call.run("multiply_rows", x.dtype.name, {"x": x, "w": w}, {"y": out}, numbers, 8 * x.size)
    return out


def multiply_rows_backward(x: ArrayLike, w: ArrayLike, dy: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of :func:`multiply_rows`: ``dx = dy w``, and ``dw`` the sums of ``dy x`` over a sample's pixels.

    Parameters
    ----------
    x, dy : arrays of shape (batch, ..., channels)
        The input, and the gradient of the output.
    w : array of shape (batch, channels)

    Returns
    -------
    dx, dw : ndarrays of the shapes of x and w

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit.

    Examples
    --------
    >>> from fastnet.kernels import elementwise
    >>> dx, dw = elementwise.multiply_rows_backward([[[1, 2], [3, 4]]], [[10, 100]], [[[1, 1], [1, 0]]])
    >>> dw
    array([[4., 2.]], dtype=float32)
    """
    x, w, numbers = _samples(x, w)
    dy = call.real_array("dy", dy, x.dtype)
    if dy.shape != x.shape:
        raise ValueError(f"dy must have the shape of x, {x.shape}; got {dy.shape}")
    writes: dict[str, Any] = {"dx": np.empty_like(x), "dw": np.empty_like(w)}
    call.run("multiply_rows_backward", x.dtype.name, {"x": x, "w": w, "dy": dy}, writes, numbers, 12 * x.size)
    return tuple(writes.values())


def accumulate(x: ArrayLike, y: Array) -> np.ndarray:
    """``y += x``, in place.

    Parameters
    ----------
    x : array of real numbers
        Cast to the dtype of y.
    y : ndarray of float32 or float64
        C-contiguous and writeable, of x's shape.

    Returns
    -------
    ndarray
        y.

    Raises
    ------
    TypeError, ValueError
        Shapes differ; x is not real; y is not such an array, or overlaps x in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import elementwise
    >>> elementwise.accumulate([1, 2], np.float32([10, 20]))
    array([11., 22.], dtype=float32)
    """
    if not isinstance(y, np.ndarray):
        raise TypeError(f"y must be a NumPy array; got {type(y).__name__}")
    x = call.real_array("x", x, checks.dtype_name("dtype of y", y.dtype))
    y = call.output("y", y, x.shape, x.dtype)
    checks.same_or_apart("y", y, x=x)
    call.run("accumulate", x.dtype.name, {"x": x}, {"y": y}, {"n": x.size}, 12 * x.size)
    return y


def scale(x: ArrayLike, factor: float, *, out: Array | None = None) -> np.ndarray:
    """``y = factor x``.

    Parameters
    ----------
    x : array of real numbers
        Taken as float32, unless it is float64.
    factor : float
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; a factor that is not finite; an `out` of another form, or one that overlaps x in part.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import elementwise
    >>> elementwise.scale(np.float32([1, 2]), 0.5)
    array([0.5, 1. ], dtype=float32)
    """
    # Zeros of either sign would share a kept plan.
    factor = checks.real_number("factor", factor) + 0.0
    x = call.real_array("x", x)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    call.run("scale", x.dtype.name, {"x": x}, {"y": out}, {"n": x.size, "factor": factor}, 8 * x.size)
    return out


def _row_stride(argument: str, array: np.ndarray) -> int:
    """Elements from row to row of a matrix whose rows are contiguous."""
    rows, columns = array.shape
    if array.size == 0:
        return columns
    step, element = array.strides
    stride, rest = divmod(step, array.itemsize) if rows > 1 else (columns, 0)
    if (columns > 1 and element != array.itemsize) or rest or stride < columns:
        raise ValueError(f"{argument} must have contiguous rows, one after the other; got strides {array.strides}")
    return stride


def copy_2d(x: Array, out: Array) -> np.ndarray:
    """Copy a matrix into another, either of which may be some columns of a wider one.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (rows, columns)
        Each row contiguous.
    out : ndarray of x's shape and dtype
        Each row contiguous; writeable; it must not overlap x.

    Returns
    -------
    ndarray
        `out`.

    Raises
    ------
    TypeError, ValueError
        Not such arrays; shapes or dtypes differ; they overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import elementwise
    >>> y = np.zeros((2, 3), "float32")
    >>> _ = elementwise.copy_2d(np.ones((2, 2), "float32"), y[:, 1:])
    >>> y
    array([[0., 1., 1.],
           [0., 1., 1.]], dtype=float32)
    """
    for argument, array in (("x", x), ("out", out)):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{argument} must be a NumPy array; got {type(array).__name__}")
        if array.ndim != 2:
            raise ValueError(f"{argument} must have two axes; got shape {array.shape}")
        checks.dtype_name(f"dtype of {argument}", array.dtype)
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out must have x's shape {x.shape} and dtype {x.dtype}; got {out.shape} and {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable")
    numbers = {"rows": x.shape[0], "cols": x.shape[1], "ldx": _row_stride("x", x), "ldy": _row_stride("out", out)}
    if np.shares_memory(x, out):
        raise ValueError("out must not overlap x")
    call.run("copy_2d", x.dtype.name, {"x": x}, {"y": out}, numbers, 8 * x.size)
    return out
