"""Two-dimensional convolution on NumPy arrays: forward, and both gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call, windows
from fastnet.kernels.activation import ACTIVATIONS
from fastnet.kernels.convolution import Convolution, Pass

if TYPE_CHECKING:
    from fastnet.types import ActivationName, Array, ArrayLike, Padding, Shape, Sizes

__all__ = ["conv2d", "conv2d_backward_data", "conv2d_backward_weights"]


def conv2d(x: ArrayLike, w: ArrayLike, *, bias: ArrayLike | None = None, stride: Sizes = 1, padding: Padding = 0,
           dilation: Sizes = 1, groups: int = 1, activation: ActivationName | str | None = None, precise: bool = False,
           out: Array | None = None) -> np.ndarray:  # fmt: skip
    """activation(x * w + bias), the cross-correlation of images with a kernel.

    ``y[n, p, q, k] = sum_rsc x[n, p stride - top + r dilation, q stride - left + s dilation, c] w[r, s, c, k]``

    Parameters
    ----------
    x : array (batch, height, width, channels)
        float32, unless it is float64 (other real numbers are cast to float32).
    w : array (kernel height, kernel width, channels / groups, filters)
        PyTorch has (filters, channels / groups, kernel height, kernel width).
    bias : array (filters,), optional
    stride, dilation : int or (int, int)
        Of windows, of a window's taps; height first.
    padding : "same", "valid", int, (int, int) or ((top, bottom), (left, right))
        Zeros around the image. "same" gives ceil(size / stride) outputs, the odd element of padding at the end (Keras, ONNX);
        "valid" is 0.
    groups : int
        Filter k sees the channels of group ``k // (filters / groups)`` alone.
    activation : str, optional
        An elementwise activation with its default parameter: "relu", ...
    precise : bool
        Exclude Winograd's 4x4 tiles.
    out : ndarray, optional
        C-contiguous, of the result's shape and dtype, not overlapping the inputs.

    Returns
    -------
    ndarray (batch, output height, output width, filters)

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that don't fit; a kernel larger than the padded image; filters or channels that are not a
        multiple of `groups`.

    Notes
    -----
    3x3 and 5x5 kernels of stride 1, with 16 channels or more, are computed by Winograd's method. Its rounding errors (rms,
    relative to the result's, 64 channels, float32), where the direct sum has 4e-7: F(4x4, 3x3) 9e-7, F(4x4, 5x5) 3e-6; with
    `precise` F(2x2, 3x3) 3e-7, F(2x2, 5x5) 9e-7. A NaN or Inf in x reaches all results of the tiles of 4x4 (2x2)
    whose windows see it, not only those that see it themselves.

    The algorithm depends on the shapes, but for the batch: a sample's bits depend neither on the others nor on the
    number of threads.

    References
    ----------
    Lavin & Gray 2016, "Fast algorithms for convolutional neural networks".

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> fn.kernels.conv2d(x, np.ones((2, 2, 1, 1))).reshape(2, 2)
    array([[ 8., 12.],
           [20., 24.]])
    """
    x, w = _images("x", x), _weights(w)
    x, w = _of_one_dtype(x, w)
    kernel = w.shape[:2]
    convolution = geometry(x.shape, kernel, w.shape[3], stride, padding, dilation, groups, precise)
    if w.shape != convolution.w_shape:
        raise ValueError(
            f"w must have shape (height, width, channels / groups, filters) with channels / groups = "
            f"{convolution.w_shape[2]} for x of shape {x.shape} and groups={groups}; got {w.shape}"
        )
    if bias is not None:
        bias = call.real_array("bias", bias, x.dtype)
        if bias.shape != (w.shape[3],):
            raise ValueError(f"bias must have shape ({w.shape[3]},); got {bias.shape}")
    kind, alpha = 0, 0.0
    if activation is not None:
        row = ACTIVATIONS[checks.choice("activation", activation, ACTIVATIONS)]
        kind, alpha = row.kind, row.alpha
    y = call.separate_output(out, convolution.y_shape, x.dtype, x=x, w=w, bias=bias)
    numbers = {"activation": kind, "alpha": alpha}
    return _run(convolution.forward(), numbers, {"x": x, "w": w, "bias": bias}, {"y": y}, y)


def conv2d_backward_data(dy: ArrayLike, w: ArrayLike, x_shape: Shape, *, stride: Sizes = 1, padding: Padding = 0,
                         dilation: Sizes = 1, groups: int = 1, precise: bool = False,
                         out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Gradient of :func:`conv2d` (without activation) at its input.

    Parameters
    ----------
    dy : array (batch, output height, output width, filters)
        The gradient at the output.
    w : array (kernel height, kernel width, channels / groups, filters)
    x_shape : tuple of int
        (batch, height, width, channels)
    stride, padding, dilation, groups, precise, out
        As in the forward pass.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As :func:`conv2d`; `dy` is not of the shape that it has for these arguments.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.kernels.conv2d_backward_data(np.ones((1, 1, 2, 1)), np.ones((1, 2, 1, 1)), (1, 1, 3, 1)).ravel()
    array([1., 2., 1.])
    """
    dy, w = _of_one_dtype(_images("dy", dy), _weights(w))
    x_shape = _image_shape("x_shape", x_shape)
    convolution = geometry(x_shape, w.shape[:2], w.shape[3], stride, padding, dilation, groups, precise)
    if w.shape != convolution.w_shape:
        raise ValueError(f"w must have shape {convolution.w_shape} for x_shape {x_shape}; got {w.shape}")
    if dy.shape != convolution.y_shape:
        raise ValueError(f"dy must have shape {convolution.y_shape} for x_shape {x_shape}; got {dy.shape}")
    dx = call.separate_output(out, x_shape, dy.dtype, dy=dy, w=w)
    return _run(convolution.backward_data(), {}, {"dy": dy, "w": w}, {"dx": dx}, dx)


def conv2d_backward_weights(x: ArrayLike, dy: ArrayLike, kernel_size: Sizes, *, stride: Sizes = 1, padding: Padding = 0,
                            dilation: Sizes = 1, groups: int = 1, precise: bool = False,
                            out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Gradient of :func:`conv2d` (without activation) at its weights.

    Parameters
    ----------
    x : array (batch, height, width, channels)
    dy : array (batch, output height, output width, filters)
        The gradient at the output.
    kernel_size : int or (int, int)
    stride, padding, dilation, groups, precise, out
        As in the forward pass.

    Returns
    -------
    ndarray (kernel height, kernel width, channels / groups, filters)

    Raises
    ------
    TypeError, ValueError
        As :func:`conv2d`; `dy` is not of the shape that it has for these arguments.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.array([1.0, 2, 3]).reshape(1, 1, 3, 1)
    >>> fn.kernels.conv2d_backward_weights(x, np.ones((1, 1, 2, 1)), (1, 2)).ravel()
    array([3., 5.])
    """
    x, dy = _of_one_dtype(_images("x", x), _images("dy", dy))
    kernel = windows.pair("kernel_size", kernel_size)
    convolution = geometry(x.shape, kernel, dy.shape[3], stride, padding, dilation, groups, precise)
    if dy.shape != convolution.y_shape:
        raise ValueError(f"dy must have shape {convolution.y_shape} for x of shape {x.shape}; got {dy.shape}")
    dw = call.separate_output(out, convolution.w_shape, x.dtype, x=x, dy=dy)
    return _run(convolution.backward_weights(), {}, {"x": x, "dy": dy}, {"dw": dw}, dw)


def geometry(x_shape: Shape, kernel: tuple[int, ...], filters: int, stride: Sizes, padding: Padding, dilation: Sizes,
             groups: int, precise: bool) -> Convolution:  # fmt: skip
    """The convolution of images of this shape, its arguments checked."""
    batch, height, width, channels = x_shape
    groups = checks.whole_number("groups", groups, least=1)
    for name, count in (("channels", channels), ("filters", filters)):
        if count % groups:
            close = [n for n in range(1, count + 1) if count % n == 0]
            best = min(close, key=lambda n: (abs(n - groups), n))
            raise ValueError(f"groups must divide the {name}, {count}; got {groups}; the nearest that does is {best}")
    down, across = windows.axes(
        (height, width),
        kernel,
        windows.pair("stride", stride),
        windows.padding(padding),
        windows.pair("dilation", dilation),
    )
    return Convolution(batch, down, across, channels, filters, groups, checks.flag("precise", precise))


def _images(argument: str, value: Any) -> np.ndarray:
    array = call.real_array(argument, value)
    _image_shape(f"{argument}'s shape", array.shape)
    return array


def _image_shape(argument: str, shape: Shape) -> tuple[int, ...]:
    shape = tuple(shape)
    if len(shape) != 4 or min(shape[1:], default=0) < 1:
        raise ValueError(f"{argument} must be (batch, height, width, channels), none but the batch 0; got {shape}")
    return shape


def _weights(value: Any) -> np.ndarray:
    array = call.real_array("w", value)
    if array.ndim != 4 or min(array.shape) < 1:
        raise ValueError(
            f"w must have shape (kernel height, kernel width, channels / groups, filters); got {array.shape}"
        )
    return array


def _of_one_dtype(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    dtype = np.result_type(a, b)
    return np.ascontiguousarray(a, dtype), np.ascontiguousarray(b, dtype)


def _run(chosen: Pass, numbers: dict[str, Any], reads: dict[str, Any], writes: dict[str, Any],
         result: Array) -> np.ndarray:  # fmt: skip
    if 0 in result.shape:
        return result
    if any(array is not None and array.size == 0 for array in reads.values()):
        result[...] = 0  # the gradient of the weights of no images
        return result
    fields = chosen.fields
    call.run(
        chosen.kernel,
        result.dtype.name,
        {fields[name]: array for name, array in reads.items()},
        {fields[name]: array for name, array in writes.items()},
        chosen.numbers | numbers,
        chosen.work,
    )
    return result
