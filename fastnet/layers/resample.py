"""Layers that enlarge, pad and crop images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastnet import checks
from fastnet.files import register
from fastnet.kernels import pool, resample, windows
from fastnet.layers.base import Layer
from fastnet.layers.images import image_sizes, record

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import Borders, Shape, Sizes

__all__ = ["Crop2D", "ReflectPad2D", "UpSample2D", "ZeroPad2D"]


@register
class UpSample2D(Layer):
    """Images enlarged by whole factors.

    Parameters
    ----------
    factor : int or (int, int), default 2
        Of height and width.
    interpolation : "nearest" or "bilinear", default "nearest"
        "nearest" repeats pixels; "bilinear" interpolates between their centres, which lie at halves, as
        Keras does and PyTorch with ``align_corners=False``.
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, factor height, factor width, channels).

    Raises
    ------
    ValueError, TypeError
        A factor that is not a positive whole number; an unknown interpolation.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.float32([[0, 4]]).reshape(1, 1, 2, 1)
    >>> fn.UpSample2D((1, 2), interpolation="bilinear").forward(x).ravel()
    array([0., 1., 3., 4.], dtype=float32)
    """

    def __init__(self, factor: Sizes = 2, *, interpolation: Literal["nearest", "bilinear"] = "nearest",
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.factor = windows.pair("factor", factor)
        self.interpolation = checks.choice("interpolation", interpolation, resample.INTERPOLATIONS)

    def build(self, shape: Shape) -> Shape:
        sizes = image_sizes(self, shape, 2)
        return (*(n * f for n, f in zip(sizes, self.factor, strict=True)), shape[-1])

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        shape = (x.shape[0], *self.build(x.shape[1:]))
        sizes = x.shape[1:-1]
        if self.interpolation == "nearest":
            axes = resample.repetition(sizes, self.factor)
            numbers = pool.average_numbers(x.shape[0], x.columns, axes, pool.DIVISOR_ONE)
            y = record(ctx, "average_pool_backward", x, shape, numbers, ("dy", "dx"))
        else:
            numbers = resample.linear_numbers(x.shape[0], sizes, x.columns, self.factor)
            y = record(ctx, "upsample_linear", x, shape, numbers)
        return ctx.keep(y, numbers=numbers, x_shape=x.shape)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        if self.interpolation == "nearest":
            return record(ctx, "average_pool", dy, ctx.x_shape, ctx.numbers)
        return record(ctx, "upsample_linear_backward", dy, ctx.x_shape, ctx.numbers, ("dy", "dx"))

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor, "interpolation": self.interpolation, **super().config()}


class _Pad(Layer):
    mode: str

    def __init__(self, padding: Borders, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.padding = windows.borders("padding", padding)

    def build(self, shape: Shape) -> Shape:
        return (*resample.padded_sizes(image_sizes(self, shape, 2), self.padding, self.mode), shape[-1])

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        numbers = resample.border_numbers(x.shape[0], x.shape[1:-1], x.columns, self.padding)
        y = record(ctx, f"{self.mode}_pad", x, (x.shape[0], *self.build(x.shape[1:])), numbers)
        return ctx.keep(y, numbers=numbers, x_shape=x.shape)

    def config(self) -> dict[str, Any]:
        return {"padding": self.padding, **super().config()}


@register
class ZeroPad2D(_Pad):
    """Zeros added around images.

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, top + height + bottom, left + width + right, channels).

    Raises
    ------
    ValueError, TypeError
        A padding that is negative or not whole numbers.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.ZeroPad2D(((0, 0), (1, 2))).forward(np.ones((1, 1, 2, 1), "float32")).ravel()
    array([0., 1., 1., 0., 0.], dtype=float32)
    """

    mode = "zero"

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return record(ctx, "crop", dy, ctx.x_shape, ctx.numbers)


@register
class ReflectPad2D(_Pad):
    """Images mirrored at their border pixels, which are not repeated.

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))
        Smaller than the image.
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, top + height + bottom, left + width + right, channels).

    Raises
    ------
    ValueError, TypeError
        A padding that is negative, not whole numbers, or too wide for the image.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.float32([1, 2, 3]).reshape(1, 1, 3, 1)
    >>> fn.ReflectPad2D((0, 2)).forward(x).ravel()
    array([3., 2., 1., 2., 3., 2., 1.], dtype=float32)
    """

    mode = "reflect"

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return record(ctx, "reflect_pad_backward", dy, ctx.x_shape, ctx.numbers, ("dy", "dx"))


@register
class Crop2D(Layer):
    """Pixels cut off from the sides of images.

    Parameters
    ----------
    cropping : int, (rows, columns) or ((top, bottom), (left, right))
    name : str, optional

    Shapes
    ------
    x (batch, height, width, channels), y (batch, height - top - bottom, width - left - right, channels).

    Raises
    ------
    ValueError, TypeError
        A cropping that is negative, not whole numbers, or leaves nothing of the image.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.Crop2D(((0, 0), (1, 0))).forward(np.arange(3, dtype="float32").reshape(1, 1, 3, 1)).ravel()
    array([1., 2.], dtype=float32)
    """

    def __init__(self, cropping: Borders, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.cropping = windows.borders("cropping", cropping)

    def build(self, shape: Shape) -> Shape:
        return (*resample.cropped_sizes(image_sizes(self, shape, 2), self.cropping), shape[-1])

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        shape = (x.shape[0], *self.build(x.shape[1:]))
        numbers = resample.border_numbers(x.shape[0], shape[1:-1], x.columns, self.cropping)
        return ctx.keep(record(ctx, "crop", x, shape, numbers), numbers=numbers, x_shape=x.shape)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return record(ctx, "zero_pad", dy, ctx.x_shape, ctx.numbers)

    def config(self) -> dict[str, Any]:
        return {"cropping": self.cropping, **super().config()}
