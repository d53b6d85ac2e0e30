"""Convolutions of images and of sequences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet import activations, checks, initializers
from fastnet.files import register
from fastnet.kernels import windows
from fastnet.kernels.convolution import Convolution
from fastnet.layers.base import Layer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike, ConstraintRule, Init, Padding, RegularizerRule, Shape, Sizes

__all__ = ["Conv1D", "Conv2D"]


class ConvLayer(Layer):
    """What convolutions share: arguments, parameters, and the geometry for a batch."""

    dimensions = 2
    convolution: Any  # a method of each: its geometry for the shape of a batch

    def __init__(self, filters: int, kernel_size: Sizes, *, stride: Sizes = 1, padding: Padding = "valid",
                 dilation: Sizes = 1, groups: int = 1, activation: ActivationLike | None = None, use_bias: bool = True,
                 init: Init | None = None, bias_init: Init = "zeros", precise: bool = False,
                 regularizer: RegularizerRule | None = None, constraint: ConstraintRule | None = None,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name, regularizer=regularizer, constraint=constraint)
        count = self.dimensions
        self.filters = checks.whole_number("filters", filters, least=1)
        self.kernel_size = windows.pair("kernel_size", kernel_size, count=count)
        self.stride = windows.pair("stride", stride, count=count)
        self.padding = windows.padding(padding, count)
        self.dilation = windows.pair("dilation", dilation, count=count)
        self.groups = checks.whole_number("groups", groups, least=1)
        self.activation = activations.get(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.init = None if init is None else initializers.get(init, "init")
        self.bias_init = initializers.get(bias_init, "bias_init")
        self.precise = checks.flag("precise", precise)

    def _check_input(self, shape: Shape) -> None:
        if len(shape) != self.dimensions + 1:
            axes = "(height, width, channels)" if self.dimensions == 2 else "(length, channels)"
            raise ValueError(f"{type(self).__name__} takes inputs of shape {axes}; got {tuple(shape)}")

    def _fans(self, channels: int) -> tuple[int, int]:
        """fan_in and fan_out of a kernel that sees the channels of one group; the groups must divide both sides."""
        if channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"groups={self.groups} must divide the channels, {channels}, and the filters, {self.filters}; "
                f"the greatest that does is {math.gcd(channels, self.filters)}"
            )
        taps = math.prod(self.kernel_size)
        return taps * channels // self.groups, taps * self.filters // self.groups

    def _add_parameters(self, shape: Shape, fans: tuple[int, int]) -> None:
        init = self.init or initializers.default_for(self.activation_behind or self.activation.name)
        self.weight = self.add_parameter("weight", shape, init=init, fans=fans)
        self.bias = self.add_parameter("bias", (self.filters,), init=self.bias_init) if self.use_bias else None

    def _windows(self, sizes: Shape) -> Any:
        """The axes of the convolution, and one of height 1 for sequences."""
        axes = windows.axes(sizes, self.kernel_size, self.stride, self.padding, self.dilation)
        return axes if len(axes) == 2 else (windows.Axis(1, 1, 1, 1, 0, 0, 1), *axes)

    def multiply_adds(self, shape: Shape, output_shape: Shape) -> int:
        return self.convolution((1, *shape)).multiply_adds

    def config(self) -> dict[str, Any]:
        single = self.dimensions == 1
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size[0] if single else self.kernel_size,
            "stride": self.stride[0] if single else self.stride,
            "padding": self.padding if isinstance(self.padding, str) or not single else self.padding[0],
            "dilation": self.dilation[0] if single else self.dilation,
            "groups": self.groups,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "init": self.init,
            "bias_init": self.bias_init,
            "precise": self.precise,
            **super().config(),
        }


@register
class Conv2D(ConvLayer):
    """y = activation(x * W + b), the cross-correlation of images with a kernel (LeCun et al. 1989).

    ``z[n, p, q, k] = b[k] + sum_rsc x[n, p stride - top + r dilation, q stride - left + s dilation, c] W[r, s, c, k]``

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int or (int, int)
        Height and width of the window.
    stride, dilation : int or (int, int), default 1
        By which windows move; elements from tap to tap.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right)), default "valid"
        Zeros around the image. "valid" is none. "same" gives ceil(size / stride) outputs; where its padding is odd, the
        extra element is at the end: Keras' and ONNX' rule, the only one that is defined for strides. PyTorch has "same" for
        stride 1 alone, where both agree; its usual ``padding=1`` under stride 2 is ``padding=1`` here, too.
    groups : int, default 1
        Filter k sees the channels of group k // (filters / groups) alone.
    activation : str or activation, optional
        None is linear.
    use_bias : bool, default True
    init : str, Initializer or array, optional
        Of W. By default what suits the activation, as for `Dense`; fan_in is kernel height * kernel width * channels / groups.
    bias_init : str, Initializer or array, default "zeros"
    precise : bool, default False
        Exclude Winograd's 4x4 tiles, whose rounding error is two to seven times that of a direct sum
        (`fastnet.kernels.conv2d` has the figures).
    regularizer, constraint, name
        See `Layer`.

    Shapes
    ------
    x (batch, height, width, channels), y (batch, height', width', filters); W "weight" (kernel height, kernel width,
    channels / groups, filters), b "bias" (filters,). With padding (top, bottom): height' = floor((height + top + bottom -
    dilation (kernel height - 1) - 1) / stride) + 1.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range; a window that is larger than the padded image; `groups` that don't divide
        channels and filters.

    Examples
    --------
    >>> import fastnet as fn
    >>> net = fn.Network([fn.Conv2D(8, 3, padding="same", activation="relu")], input_shape=(28, 28, 1), seed=0)
    >>> net.output_shape, net.layers[0].weight.shape
    ((28, 28, 8), (3, 3, 1, 8))
    """

    def build(self, shape: Shape) -> Shape:
        self._check_input(shape)
        channels = shape[-1]
        fans = self._fans(channels)
        axes = self._windows(shape[:-1])
        self._add_parameters((*self.kernel_size, channels // self.groups, self.filters), fans)
        return (*(axis.output for axis in axes[2 - self.dimensions :]), self.filters)

    def convolution(self, shape: Shape) -> Convolution:
        """The geometry for a batch of inputs of this shape, the batch included."""
        height, width = self._windows(shape[1:-1])
        return Convolution(shape[0], height, width, shape[-1], self.filters, self.groups, self.precise)

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        convolution = self.convolution(x.shape)
        z = ctx.conv(convolution, x, self.weight, self.bias)
        z = z.reshape((*convolution.y_shape[:1], *convolution.y_shape[3 - self.dimensions :]))
        y = self.activation.record_forward(ctx, z)
        return ctx.keep(y, x=x, z=z, convolution=convolution)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dz = self.activation.record_backward(ctx, dy, ctx.z, ctx.y)
        ctx.conv_weights(ctx.convolution, ctx.x, dz, ctx.grad(self.weight), ctx.grad(self.bias))
        return ctx.conv_data(ctx.convolution, dz, self.weight).reshape(ctx.x.shape)


@register
class Conv1D(Conv2D):
    """y = activation(x * W + b), the cross-correlation of sequences with a kernel.

    The parameters are those of `Conv2D`, for one axis: whole numbers, and `padding` "valid", "same", int or (before, after).

    Shapes
    ------
    x (batch, length, channels), y (batch, length', filters); W "weight" (kernel length, channels / groups, filters), b
    "bias" (filters,).

    Examples
    --------
    >>> import fastnet as fn
    >>> net = fn.Network([fn.Conv1D(4, 3, padding="same", stride=2)], input_shape=(9, 2), seed=0)
    >>> net.output_shape
    (5, 4)
    """

    dimensions = 1
