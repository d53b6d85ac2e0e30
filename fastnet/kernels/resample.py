"""Images made larger or smaller: upsampling, padding, cropping, forward and backward.

Images are ``(batch, height, width, channels)``; with three axes, ``(batch, length, channels)``, they are images of height 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from fastnet import checks
from fastnet.kernels import call, pool, windows

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, Borders, Sizes

__all__ = ["crop", "crop_backward", "pad", "pad_backward", "upsample", "upsample_backward"]

INTERPOLATIONS = ("nearest", "bilinear")
PAD_MODES = ("zero", "reflect")


# --- geometry, which layers share -------------------------------------------------------------------------------


def repetition(sizes: Sequence[int], factor: tuple[int, ...]) -> tuple[windows.Axis, ...]:
    """Upsampling by repetition as the gradient of a pool that adds: its windows on the larger image."""
    return tuple(windows.Axis(n * f, f, f, 1, 0, 0, n) for n, f in zip(sizes, factor, strict=True))


def linear_numbers(batch: int, sizes: Sequence[int], channels: int, factor: tuple[int, ...]) -> dict[str, int]:
    """The integers of linear upsampling, in the order of the kernel's row."""
    if len(sizes) == 1:
        sizes, factor = (1, *sizes), (1, *factor)
    return {"N": batch, "H": sizes[0], "W": sizes[1], "C": channels, "fh": factor[0], "fw": factor[1]}


def border_numbers(batch: int, sizes: Sequence[int], channels: int,
                   borders: tuple[tuple[int, ...], ...]) -> dict[str, int]:  # fmt: skip
    """The integers of padding and cropping; `sizes` are those of the smaller image."""
    if len(sizes) == 1:
        sizes, borders = (1, *sizes), ((0, 0), *borders)
    (top, bottom), (left, right) = borders
    numbers = {"N": batch, "H": sizes[0], "W": sizes[1], "C": channels}
    return numbers | {"top": top, "bottom": bottom, "left": left, "right": right}


def padded_sizes(sizes: Sequence[int], borders: tuple[tuple[int, ...], ...], mode: str) -> tuple[int, ...]:
    """The sizes with the padding, which must be narrower than an image that it reflects."""
    if mode == "reflect" and any(max(part) >= size for part, size in zip(borders, sizes, strict=True)):
        raise ValueError(
            f"padding {borders} must be smaller than the image that it reflects, {tuple(sizes)}, on every side; "
            f"at most {tuple(size - 1 for size in sizes)}"
        )
    return tuple(before + size + after for size, (before, after) in zip(sizes, borders, strict=True))


def cropped_sizes(sizes: Sequence[int], borders: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """The sizes without what is cropped; something must be left."""
    left = tuple(size - before - after for size, (before, after) in zip(sizes, borders, strict=True))
    if min(left) < 1:
        raise ValueError(f"cropping {borders} leaves nothing of an image of size {tuple(sizes)}")
    return left


# --- upsampling -----------------------------------------------------------------------------------------------------


def upsample(x: ArrayLike, factor: Sizes = 2, *, interpolation: Literal["nearest", "bilinear"] = "nearest",
             out: Array | None = None) -> Array:  # fmt: skip
    """Images enlarged by whole factors.

    Parameters
    ----------
    x : array of real numbers, shape (batch, height, width, channels) or (batch, length, channels)
        Taken as float32, unless it is float64.
    factor : int or one for each axis, default 2
    interpolation : "nearest" or "bilinear"
        "nearest" repeats pixels. "bilinear" takes pixels as squares: the centres of output pixels lie at
        ``(o + 1/2) / factor - 1/2`` and border pixels go on outside, as in Keras, and in PyTorch with
        ``align_corners=False``.
    out : ndarray, optional
        C-contiguous array of the output's shape and dtype, apart from x.

    Returns
    -------
    ndarray, shape (batch, height factor, width factor, channels) or (batch, length factor, channels)

    Raises
    ------
    TypeError, ValueError
        Not images of real numbers; an unknown interpolation; a factor below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import resample
    >>> x = np.float32([[[0], [4]]])
    >>> resample.upsample(x).ravel(), resample.upsample(x, interpolation="bilinear").ravel()
    (array([0., 0., 4., 4.], dtype=float32), array([0., 1., 3., 4.], dtype=float32))
    """
    x = pool.image("x", x)
    sizes, channels = x.shape[1:-1], x.shape[-1]
    factor = windows.pair("factor", factor, count=len(sizes))
    checks.choice("interpolation", interpolation, INTERPOLATIONS)
    shape = (len(x), *(n * f for n, f in zip(sizes, factor, strict=True)), channels)
    y = call.separate_output(out, shape, x.dtype, x=x)
    work = 4 * (x.size + y.size)
    if interpolation == "nearest":
        integers = pool.average_numbers(len(x), channels, repetition(sizes, factor), pool.DIVISOR_ONE)
        call.run("average_pool_backward", x.dtype.name, {"dy": x}, {"dx": y}, integers, work)
    else:
        integers = linear_numbers(len(x), sizes, channels, factor)
        call.run("upsample_linear", x.dtype.name, {"x": x}, {"y": y}, integers, work)
    return y


def upsample_backward(dy: ArrayLike, factor: Sizes = 2, *, interpolation: Literal["nearest", "bilinear"] = "nearest",
                      out: Array | None = None) -> Array:  # fmt: skip
    """The gradient at the input of :func:`upsample`: each pixel collects from those that it went to.

    Parameters
    ----------
    dy : array of real numbers
        The gradient at the output. Taken as float32, unless it is float64.
    factor, interpolation
        As in the forward pass.
    out : ndarray, optional
        C-contiguous array of the input's shape and dy's dtype, apart from dy.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in the forward pass; sizes of dy that are no multiples of the factor.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import resample
    >>> resample.upsample_backward(np.float32([[[1], [2], [3], [4]]])).ravel()
    array([3., 7.], dtype=float32)
    """
    dy = pool.image("dy", dy)
    large, channels = dy.shape[1:-1], dy.shape[-1]
    factor = windows.pair("factor", factor, count=len(large))
    checks.choice("interpolation", interpolation, INTERPOLATIONS)
    if any(n % f for n, f in zip(large, factor, strict=True)):
        raise ValueError(f"dy must have sizes that are multiples of factor {factor}; got shape {dy.shape}")
    sizes = tuple(n // f for n, f in zip(large, factor, strict=True))
    dx = call.separate_output(out, (len(dy), *sizes, channels), dy.dtype, dy=dy)
    work = 4 * (dx.size + dy.size)
    if interpolation == "nearest":
        integers = pool.average_numbers(len(dy), channels, repetition(sizes, factor), pool.DIVISOR_ONE)
        call.run("average_pool", dy.dtype.name, {"x": dy}, {"y": dx}, integers, work)
    else:
        integers = linear_numbers(len(dy), sizes, channels, factor)
        call.run("upsample_linear_backward", dy.dtype.name, {"dy": dy}, {"dx": dx}, integers, work)
    return dx


# --- padding and cropping -------------------------------------------------------------------------------------------


def _enlarge(kernel: str, x: Array, borders: tuple[tuple[int, ...], ...], mode: str,
             out: Array | None) -> Array:  # fmt: skip
    sizes = padded_sizes(x.shape[1:-1], borders, mode)
    y = call.separate_output(out, (len(x), *sizes, x.shape[-1]), x.dtype, x=x)
    integers = border_numbers(len(x), x.shape[1:-1], x.shape[-1], borders)
    call.run(kernel, x.dtype.name, {"x": x}, {"y": y}, integers, 4 * (x.size + y.size))
    return y


def _cut(kernel: str, fields: tuple[str, str], argument: str, x: Array,
         borders: tuple[tuple[int, ...], ...], out: Array | None) -> Array:  # fmt: skip
    sizes = cropped_sizes(x.shape[1:-1], borders)
    y = call.separate_output(out, (len(x), *sizes, x.shape[-1]), x.dtype, **{argument: x})
    integers = border_numbers(len(x), sizes, x.shape[-1], borders)
    call.run(kernel, x.dtype.name, {fields[0]: x}, {fields[1]: y}, integers, 4 * (x.size + y.size))
    return y


def pad(x: ArrayLike, padding: Borders, *, mode: Literal["zero", "reflect"] = "zero",
        out: Array | None = None) -> Array:  # fmt: skip
    """Pixels added around images.

    Parameters
    ----------
    x : array of real numbers, shape (batch, height, width, channels) or (batch, length, channels)
        Taken as float32, unless it is float64.
    padding : int, one for each axis, or (before, after) for each axis
    mode : "zero" or "reflect"
        "reflect" mirrors the image at its border pixels, which are not repeated; the padding must be smaller than the
        image.
    out : ndarray, optional
        C-contiguous array of the output's shape and dtype, apart from x.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        Not images of real numbers; an unknown mode; a negative padding, or one too wide to reflect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import resample
    >>> x = np.float32([[[1], [2], [3]]])
    >>> resample.pad(x, 1).ravel(), resample.pad(x, 2, mode="reflect").ravel()
    (array([0., 1., 2., 3., 0.], dtype=float32), array([3., 2., 1., 2., 3., 2., 1.], dtype=float32))
    """
    x = pool.image("x", x)
    borders = windows.borders("padding", padding, x.ndim - 2)
    checks.choice("mode", mode, PAD_MODES)
    return _enlarge(f"{mode}_pad", x, borders, mode, out)


def pad_backward(dy: ArrayLike, padding: Borders, *, mode: Literal["zero", "reflect"] = "zero",
                 out: Array | None = None) -> Array:  # fmt: skip
    """The gradient at the input of :func:`pad`.

    Parameters
    ----------
    dy : array of real numbers
        The gradient at the output. Taken as float32, unless it is float64.
    padding, mode
        As in the forward pass.
    out : ndarray, optional
        C-contiguous array of the input's shape and dy's dtype, apart from dy.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in the forward pass; a padding that leaves nothing of dy.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import resample
    >>> resample.pad_backward(np.float32([[[1], [2], [4], [8]]]), 1, mode="reflect").ravel()
    array([10.,  5.], dtype=float32)
    """
    dy = pool.image("dy", dy)
    borders = windows.borders("padding", padding, dy.ndim - 2)
    checks.choice("mode", mode, PAD_MODES)
    total = tuple(before + after for before, after in borders)
    if any(n <= t for n, t in zip(dy.shape[1:-1], total, strict=True)):
        raise ValueError(f"dy of shape {dy.shape} is not larger than padding {borders} alone")
    if mode == "zero":
        return _cut("crop", ("x", "y"), "dy", dy, borders, out)
    padded_sizes(tuple(n - t for n, t in zip(dy.shape[1:-1], total, strict=True)), borders, mode)
    return _cut("reflect_pad_backward", ("dy", "dx"), "dy", dy, borders, out)


def crop(x: ArrayLike, cropping: Borders, *, out: Array | None = None) -> Array:
    """Pixels cut off from the sides of images.

    Parameters
    ----------
    x : array of real numbers, shape (batch, height, width, channels) or (batch, length, channels)
        Taken as float32, unless it is float64.
    cropping : int, one for each axis, or (before, after) for each axis
    out : ndarray, optional
        C-contiguous array of the output's shape and dtype, apart from x.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        Not images of real numbers; a negative cropping, or one that leaves nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import resample
    >>> resample.crop(np.float32([[[1], [2], [3], [4]]]), (1, 0)).ravel()
    array([2., 3., 4.], dtype=float32)
    """
    x = pool.image("x", x)
    return _cut("crop", ("x", "y"), "x", x, windows.borders("cropping", cropping, x.ndim - 2), out)


def crop_backward(dy: ArrayLike, cropping: Borders, *, out: Array | None = None) -> Array:
    """The gradient at the input of :func:`crop`: dy, and zeros where pixels were cut off.

    Parameters
    ----------
    dy : array of real numbers
        The gradient at the output. Taken as float32, unless it is float64.
    cropping
        As in the forward pass.
    out : ndarray, optional
        C-contiguous array of the input's shape and dy's dtype, apart from dy.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        Not images of real numbers; a negative cropping.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import resample
    >>> resample.crop_backward(np.float32([[[2], [3]]]), (1, 0)).ravel()
    array([0., 2., 3.], dtype=float32)
    """
    dy = pool.image("dy", dy)
    return _enlarge("zero_pad", dy, windows.borders("cropping", cropping, dy.ndim - 2), "zero", out)
