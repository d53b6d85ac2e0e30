"""Max and average pooling of images, forward and backward.

Images are ``(batch, height, width, channels)``; with three axes, ``(batch, length, channels)``, they are images of height 1.
Conventions are PyTorch's, and "same" padding is Keras' (see `fastnet.kernels.windows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnet import checks
from fastnet.kernels import call, windows

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, Padding, Shape, Sizes

__all__ = ["argmax_dtype", "avg_pool", "avg_pool_backward", "geometry", "max_pool", "max_pool_backward", "numbers"]

# Of average pooling: what a sum is divided by (`Divisor` in native/kernels/pool.pxi).
DIVISOR_IMAGE, DIVISOR_PADDED, DIVISOR_ONE = range(3)


def geometry(sizes: Sequence[int], pool_size: Sizes, stride: Sizes | None = None, padding: Padding = "valid",
             ceil_mode: bool = False) -> tuple[windows.Axis, ...]:  # fmt: skip
    """The windows on each axis of an image of these sizes, after checks of the arguments."""
    count = len(sizes)
    pool_size = windows.pair("pool_size", pool_size, count=count)
    stride = pool_size if stride is None else windows.pair("stride", stride, count=count)
    padded = windows.padding(padding, count)
    if not isinstance(padded, str) and any(max(part) >= size for part, size in zip(padded, pool_size, strict=True)):
        raise ValueError(
            f"padding must be smaller than pool_size {pool_size} on every axis, or windows would see nothing; "
            f"got {padding!r}"
        )
    ceil = checks.flag("ceil_mode", ceil_mode)
    return windows.axes(sizes, pool_size, stride, padded, (1,) * count, ceil=ceil, argument="pool_size")


def numbers(batch: int, channels: int, axes: tuple[windows.Axis, ...]) -> dict[str, int]:
    """The integers that all pooling kernels share, in the order of their rows."""
    if len(axes) == 1:
        axes = (windows.Axis(1, 1, 1, 1, 0, 0, 1), *axes)
    h, w = axes
    return {
        "N": batch, "H": h.size, "W": w.size, "C": channels, "P": h.output, "Q": w.output, "R": h.kernel, "S": w.kernel,
        "sh": h.stride, "sw": w.stride, "ph": h.before, "pw": w.before,
    }  # fmt: skip


def average_numbers(batch: int, channels: int, axes: tuple[windows.Axis, ...], divisor: int) -> dict[str, int]:
    """The integers of the kernels of average pooling."""
    w = axes[-1]
    height = axes[0].before + axes[0].size + axes[0].after if len(axes) == 2 else 1
    padded = {"HP": height, "WP": w.before + w.size + w.after}
    return numbers(batch, channels, axes) | padded | {"divisor": divisor}


def argmax_dtype(axes: tuple[windows.Axis, ...]) -> str:
    """What holds a window's tap numbers."""
    return "uint8" if np.prod([axis.kernel for axis in axes]) <= 256 else "int32"


def _image_shape(argument: str, shape: Shape) -> tuple[int, ...]:
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise ValueError(
            f"{argument} must have shape (batch, height, width, channels) or (batch, length, channels), none but the batch "
            f"empty; got {tuple(shape)}"
        )
    return tuple(shape)


def image(argument: str, value: Any) -> np.ndarray:
    """`value` as an array of images, or of series."""
    array = call.real_array(argument, value)
    _image_shape(argument, array.shape)
    return array


def _output_shape(shape: Shape, axes: tuple[windows.Axis, ...]) -> tuple[int, ...]:
    return (shape[0], *(axis.output for axis in axes), shape[-1])


def _gradient(dy: ArrayLike, x_shape: Sizes, pool_size: Sizes, stride: Sizes | None, padding: Padding,
              ceil_mode: bool) -> tuple[Array, Shape, tuple[windows.Axis, ...]]:  # fmt: skip
    """dy, x_shape and the windows, checked against each other."""
    x_shape = _image_shape("x_shape", checks.shape("x_shape", x_shape, least=0))
    axes = geometry(x_shape[1:-1], pool_size, stride, padding, ceil_mode)
    dy = call.real_array("dy", dy)
    expected = _output_shape(x_shape, axes)
    if dy.shape != expected:
        raise ValueError(f"dy must have the shape of the output for x_shape {x_shape}, {expected}; got {dy.shape}")
    return dy, x_shape, axes


@overload
def max_pool(x: ArrayLike, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
             ceil_mode: bool = False, return_argmax: Literal[False] = False, out: Array | None = None) -> Array: ...  # fmt: skip
@overload
def max_pool(x: ArrayLike, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
             ceil_mode: bool = False, return_argmax: Literal[True],
             out: Array | None = None) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def max_pool(x: ArrayLike, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
             ceil_mode: bool = False, return_argmax: bool,
             out: Array | None = None) -> Array | tuple[Array, Array]: ...  # fmt: skip
def max_pool(x: ArrayLike, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
             ceil_mode: bool = False, return_argmax: bool = False, out: Array | None = None) -> Any:  # fmt: skip
    """The greatest element of each window, channel by channel.

    Outside of the image is -inf. A NaN in a window is its maximum.

    Parameters
    ----------
    x : array of real numbers, shape (batch, height, width, channels) or (batch, length, channels)
        Taken as float32, unless it is float64.
    pool_size : int or one for each axis
    stride : int or one for each axis, optional
        `pool_size` by default.
    padding : "valid", "same", int, one for each axis, or (before, after) for each axis
        Smaller than `pool_size`.
    ceil_mode : bool, default False
        Round the size of the output up instead of down: a last window may reach beyond the padding.
    return_argmax : bool, default False
        Also return where the maxima were, for :func:`max_pool_backward`.
    out : ndarray, optional
        C-contiguous array of the output's shape and dtype, apart from x.

    Returns
    -------
    y : ndarray, shape (batch, rows, columns, channels) or (batch, length, channels)
    argmax : ndarray of y's shape, only with `return_argmax`
        Number of the maximum's place in the window, row by row; the first of equal ones. uint8 for windows of at
        most 256 elements, else int32.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; a window larger than the padded image; padding not smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import pool
    >>> x = np.float32([[1, 5, 2, 0], [3, 4, 9, 1]]).reshape(1, 2, 4, 1)
    >>> y, argmax = pool.max_pool(x, 2, return_argmax=True)
    >>> y.ravel(), argmax.ravel()
    (array([5., 9.], dtype=float32), array([1, 2], dtype=uint8))
    """
    x = image("x", x)
    axes = geometry(x.shape[1:-1], pool_size, stride, padding, ceil_mode)
    dtype = argmax_dtype(axes)
    y = call.separate_output(out, _output_shape(x.shape, axes), x.dtype, x=x)
    argmax = np.empty(y.shape, dtype) if checks.flag("return_argmax", return_argmax) else None
    integers = numbers(len(x), x.shape[-1], axes) | {"wide": int(dtype == "int32")}
    call.run("max_pool", x.dtype.name, {"x": x}, {"y": y, "argmax": argmax}, integers, 4 * (x.size + y.size))
    return y if argmax is None else (y, argmax)


def max_pool_backward(dy: ArrayLike, argmax: ArrayLike, x_shape: Shape, pool_size: Sizes, *,
                      stride: Sizes | None = None, padding: Padding = "valid", ceil_mode: bool = False,
                      out: Array | None = None) -> np.ndarray:  # fmt: skip
    """The gradient at the input of :func:`max_pool`: each element of dy goes to its window's maximum.

    Parameters
    ----------
    dy : array of real numbers
        The gradient at the output. Taken as float32, unless it is float64.
    argmax : ndarray of dy's shape
        From :func:`max_pool`.
    x_shape : tuple of int
    pool_size, stride, padding, ceil_mode
        As in the forward pass.
    out : ndarray, optional
        C-contiguous array of shape `x_shape` and dy's dtype, apart from dy.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As in the forward pass; shapes that don't fit; an argmax of another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import pool
    >>> dy, argmax = np.float32([[[[7]]]]), np.uint8([[[[2]]]])
    >>> pool.max_pool_backward(dy, argmax, (1, 2, 2, 1), 2).reshape(2, 2)
    array([[0., 0.],
           [7., 0.]], dtype=float32)
    """
    dy, x_shape, axes = _gradient(dy, x_shape, pool_size, stride, padding, ceil_mode)
    dtype = argmax_dtype(axes)
    argmax = np.asarray(argmax)
    if argmax.shape != dy.shape or argmax.dtype != dtype:
        raise ValueError(
            f"argmax must have dy's shape {dy.shape} and dtype {dtype}, as max_pool returned it; "
            f"got shape {argmax.shape} and dtype {argmax.dtype}"
        )
    argmax = np.ascontiguousarray(argmax)
    dx = call.separate_output(out, x_shape, dy.dtype, dy=dy, argmax=argmax)
    integers = numbers(x_shape[0], x_shape[-1], axes) | {"wide": int(dtype == "int32")}
    reads = {"dy": dy, "argmax": argmax}
    call.run("max_pool_backward", dy.dtype.name, reads, {"dx": dx}, integers, 4 * (dx.size + dy.size))
    return dx


def _divisor(count_include_pad: bool) -> int:
    return DIVISOR_PADDED if checks.flag("count_include_pad", count_include_pad) else DIVISOR_IMAGE


def avg_pool(x: ArrayLike, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
             ceil_mode: bool = False, count_include_pad: bool = True, out: Array | None = None) -> np.ndarray:  # fmt: skip
    """The mean of each window, channel by channel.

    Parameters
    ----------
    x : array of real numbers, shape (batch, height, width, channels) or (batch, length, channels)
        Taken as float32, unless it is float64.
    pool_size, stride, padding, ceil_mode
        As in :func:`max_pool`.
    count_include_pad : bool, default True
        Count the padding, whose elements are zero, in the divisor. What a window has beyond it, in `ceil_mode`, never
        counts. (Keras and ONNX leave the padding out by default.)
    out : ndarray, optional
        C-contiguous array of the output's shape and dtype, apart from x.

    Returns
    -------
    ndarray, shape (batch, rows, columns, channels) or (batch, length, channels)

    Raises
    ------
    TypeError, ValueError
        As :func:`max_pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import pool
    >>> pool.avg_pool(np.float32([[[1], [3], [5]]]), 2, stride=1).ravel()
    array([2., 4.], dtype=float32)
    """
    x = image("x", x)
    axes = geometry(x.shape[1:-1], pool_size, stride, padding, ceil_mode)
    y = call.separate_output(out, _output_shape(x.shape, axes), x.dtype, x=x)
    integers = average_numbers(len(x), x.shape[-1], axes, _divisor(count_include_pad))
    call.run("average_pool", x.dtype.name, {"x": x}, {"y": y}, integers, 4 * (x.size + y.size))
    return y


def avg_pool_backward(dy: ArrayLike, x_shape: Shape, pool_size: Sizes, *, stride: Sizes | None = None,
                      padding: Padding = "valid", ceil_mode: bool = False, count_include_pad: bool = True,
                      out: Array | None = None) -> np.ndarray:  # fmt: skip
    """The gradient at the input of :func:`avg_pool`: each element of dy goes to its window in equal parts.

    Parameters
    ----------
    dy : array of real numbers
        The gradient at the output. Taken as float32, unless it is float64.
    x_shape : tuple of int
    pool_size, stride, padding, ceil_mode, count_include_pad
        As in the forward pass.
    out : ndarray, optional
        C-contiguous array of shape `x_shape` and dy's dtype, apart from dy.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As in the forward pass; shapes that don't fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import pool
    >>> pool.avg_pool_backward(np.float32([[[2], [4]]]), (1, 3, 1), 2, stride=1).ravel()
    array([1., 3., 2.], dtype=float32)
    """
    dy, x_shape, axes = _gradient(dy, x_shape, pool_size, stride, padding, ceil_mode)
    dx = call.separate_output(out, x_shape, dy.dtype, dy=dy)
    integers = average_numbers(x_shape[0], x_shape[-1], axes, _divisor(count_include_pad))
    call.run("average_pool_backward", dy.dtype.name, {"dy": dy}, {"dx": dx}, integers, 4 * (dx.size + dy.size))
    return dx
