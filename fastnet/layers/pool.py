"""Max and average pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.files import register
from fastnet.kernels import pool, windows
from fastnet.layers.base import Layer
from fastnet.layers.images import image_sizes, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnet.recording import Context, Tensor
    from fastnet.types import Padding, Shape, Sizes

__all__ = ["AvgPool1D", "AvgPool2D", "GlobalAvgPool2D", "GlobalMaxPool2D", "MaxPool1D", "MaxPool2D"]


class _Max(Layer):
    """The greatest element of each window; `axes` says where the windows are."""

    axes: Callable[[Shape], tuple[windows.Axis, ...]]

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        axes = self.axes(x.shape[1:])
        y = ctx.tensor((x.shape[0], *self.build(x.shape[1:])))
        dtype = pool.argmax_dtype(axes)
        argmax = ctx.tensor(y.shape, dtype) if training else None
        numbers = pool.numbers(x.shape[0], x.columns, axes) | {"wide": int(dtype == "int32")}
        ctx.call("max_pool", reads={"x": x}, writes={"y": y, "argmax": argmax}, optional=("argmax",),
                 work=4 * (x.size + y.size), **numbers)  # fmt: skip
        return ctx.keep(y, argmax=argmax, numbers=numbers, x_shape=x.shape)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx = ctx.tensor(ctx.x_shape)
        ctx.call("max_pool_backward", reads={"dy": dy, "argmax": ctx.argmax}, writes={"dx": dx},
                 work=4 * (dx.size + dy.size), **ctx.numbers)  # fmt: skip
        return dx


class _Average(Layer):
    """The mean of each window; `axes` says where the windows are, `divisor` what is counted."""

    axes: Callable[[Shape], tuple[windows.Axis, ...]]

    @property
    def divisor(self) -> int:
        return pool.DIVISOR_IMAGE

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        axes = self.axes(x.shape[1:])
        numbers = pool.average_numbers(x.shape[0], x.columns, axes, self.divisor)
        y = record(ctx, "average_pool", x, (x.shape[0], *self.build(x.shape[1:])), numbers)
        return ctx.keep(y, numbers=numbers, x_shape=x.shape)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return record(ctx, "average_pool_backward", dy, ctx.x_shape, ctx.numbers, ("dy", "dx"))


class _Pool(Layer):
    """What pools over windows share: their arguments and geometry."""

    n_axes = 2

    def __init__(self, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
                 ceil_mode: bool = False, name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.pool_size = windows.pair("pool_size", pool_size, count=self.n_axes)
        self.stride = self.pool_size if stride is None else windows.pair("stride", stride, count=self.n_axes)
        self.padding = windows.padding(padding, self.n_axes)
        self.ceil_mode = checks.flag("ceil_mode", ceil_mode)

    def axes(self, shape: Shape) -> tuple[windows.Axis, ...]:
        """The windows on images of one sample's shape."""
        sizes = image_sizes(self, shape, self.n_axes)
        return pool.geometry(sizes, self.pool_size, self.stride, self.padding, self.ceil_mode)

    def build(self, shape: Shape) -> Shape:
        return (*(axis.output for axis in self.axes(shape)), shape[-1])

    def config(self) -> dict[str, Any]:
        return {
            "pool_size": self.pool_size,
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
            **super().config(),
        }


class _AvgPool(_Average, _Pool):
    def __init__(self, pool_size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid",
                 ceil_mode: bool = False, count_include_pad: bool = True, name: str | None = None) -> None:  # fmt: skip
        super().__init__(pool_size, stride=stride, padding=padding, ceil_mode=ceil_mode, name=name)
        self.count_include_pad = checks.flag("count_include_pad", count_include_pad)

    @property
    def divisor(self) -> int:
        return pool.DIVISOR_PADDED if self.count_include_pad else pool.DIVISOR_IMAGE

    def config(self) -> dict[str, Any]:
        return {**super().config(), "count_include_pad": self.count_include_pad}


@register
class MaxPool2D(_Max, _Pool):
    """The greatest element of each window of an image, channel by channel.

    In training the gradient goes to the first of equal maxima. A NaN in a window is its maximum; outside of the image
    is -inf.

    Parameters
    ----------
    pool_size : int or (int, int)
    stride : int or (int, int), optional
        `pool_size` by default.
    padding : "valid", "same", int, (rows, columns) or ((top, bottom), (left, right)), default "valid"
        Smaller than `pool_size`. "same" gives ceil(size / stride) windows, as in Keras.
    ceil_mode : bool, default False
        Round the output's size up instead of down: a last window may reach beyond the padding.
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, rows, columns, channels).

    Raises
    ------
    ValueError, TypeError
        Arguments that are not whole numbers; a window larger than the padded image; padding not smaller than it.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    >>> fn.MaxPool2D(2).forward(x).reshape(2, 2)
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """


@register
class MaxPool1D(_Max, _Pool):
    """The greatest element of each window of a series, channel by channel; see `MaxPool2D`.

    Parameters
    ----------
    pool_size : int
    stride : int, optional
        `pool_size` by default.
    padding : "valid", "same", int or (before, after), default "valid"
    ceil_mode : bool, default False
    name : str, optional

    Shapes
    ------
    x (batch, length, channels), y (batch, windows, channels).

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.MaxPool1D(2).forward(np.float32([[[1], [4], [3], [2]]])).ravel()
    array([4., 3.], dtype=float32)
    """

    n_axes = 1


@register
class AvgPool2D(_AvgPool):
    """The mean of each window of an image, channel by channel.

    Parameters
    ----------
    pool_size : int or (int, int)
    stride : int or (int, int), optional
        `pool_size` by default.
    padding : "valid", "same", int, (rows, columns) or ((top, bottom), (left, right)), default "valid"
        Smaller than `pool_size`.
    ceil_mode : bool, default False
        Round the output's size up instead of down: a last window may reach beyond the padding.
    count_include_pad : bool, default True
        Count the padding, whose elements are zero, in the divisor, as PyTorch does; Keras leaves it out. What a
        window has beyond the padding never counts.
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, rows, columns, channels).

    Raises
    ------
    ValueError, TypeError
        Arguments that are not whole numbers; a window larger than the padded image; padding not smaller than it.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    >>> fn.AvgPool2D(2).forward(x).reshape(2, 2)
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """


@register
class AvgPool1D(_AvgPool):
    """The mean of each window of a series, channel by channel; see `AvgPool2D`.

    Parameters
    ----------
    pool_size : int
    stride : int, optional
        `pool_size` by default.
    padding : "valid", "same", int or (before, after), default "valid"
    ceil_mode : bool, default False
    count_include_pad : bool, default True
    name : str, optional

    Shapes
    ------
    x (batch, length, channels), y (batch, windows, channels).

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.AvgPool1D(2, stride=1).forward(np.float32([[[1], [3], [5]]])).ravel()
    array([2., 4.], dtype=float32)
    """

    n_axes = 1


class _GlobalPool(Layer):
    """One window, as large as the image."""

    def __init__(self, *, keep_dims: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        self.keep_dims = checks.flag("keep_dims", keep_dims)

    def axes(self, shape: Shape) -> tuple[windows.Axis, ...]:
        """The one window on each axis of images of one sample's shape."""
        sizes = image_sizes(self, shape, 2)
        return pool.geometry(sizes, sizes)

    def build(self, shape: Shape) -> Shape:
        image_sizes(self, shape, 2)
        return (1, 1, shape[-1]) if self.keep_dims else shape[-1:]

    def config(self) -> dict[str, Any]:
        return {"keep_dims": self.keep_dims, **super().config()}


@register
class GlobalAvgPool2D(_Average, _GlobalPool):
    """The mean of each channel over the whole image (Lin, Chen & Yan 2014).

    Parameters
    ----------
    keep_dims : bool, default False
        Keep the image's axes, with size 1.
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, channels), or (batch, 1, 1, channels) with `keep_dims`.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.GlobalAvgPool2D().forward(np.arange(8, dtype="float32").reshape(1, 2, 2, 2))
    array([[3., 4.]], dtype=float32)
    """


@register
class GlobalMaxPool2D(_Max, _GlobalPool):
    """The greatest element of each channel over the whole image.

    Parameters
    ----------
    keep_dims : bool, default False
        Keep the image's axes, with size 1.
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, channels), or (batch, 1, 1, channels) with `keep_dims`.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.GlobalMaxPool2D().forward(np.arange(8, dtype="float32").reshape(1, 2, 2, 2))
    array([[6., 7.]], dtype=float32)
    """
