"""Convolutions of each channel by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet import checks, initializers
from fastnet.files import register
from fastnet.kernels.convolution import Convolution
from fastnet.kernels.windows import Axis
from fastnet.layers.conv import Conv2D

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike, ConstraintRule, Init, Padding, RegularizerRule, Shape, Sizes

__all__ = ["DepthwiseConv2D", "SeparableConv2D"]


@register
class DepthwiseConv2D(Conv2D):
    """y = activation(x * W + b), where each filter sees one channel (Sifre 2014; Howard et al. 2017).

    ``z[n, p, q, k] = b[k] + sum_rs x[n, p stride - top + r dilation, q stride - left + s dilation, k // multiplier] W[r, s, 0, k]``

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the window.
    stride, padding, dilation
        As for `Conv2D`.
    multiplier : int, default 1
        Filters for each channel.
    activation : str or activation, optional
        None is linear.
    use_bias : bool, default True
    init : str, Initializer or array, optional
        Of W. By default what suits the activation, as for `Dense`; fan_in is kernel height * kernel width.
    bias_init : str, Initializer or array, default "zeros"
    regularizer, constraint, name
        See `Layer`.

    Shapes
    ------
    x (batch, height, width, channels), y (batch, height', width', channels * multiplier); W "weight" (kernel height, kernel
    width, 1, channels * multiplier), b "bias" (channels * multiplier,). Sizes of y as for `Conv2D`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range; a window that is larger than the padded image.

    Examples
    --------
    >>> import fastnet as fn
    >>> net = fn.Network([fn.DepthwiseConv2D(3, padding="same")], input_shape=(28, 28, 8), seed=0)
    >>> net.output_shape, net.layers[0].weight.shape
    ((28, 28, 8), (3, 3, 1, 8))
    """

    def __init__(self, kernel_size: Sizes, *, stride: Sizes = 1, padding: Padding = "valid", dilation: Sizes = 1,
                 multiplier: int = 1, activation: ActivationLike | None = None, use_bias: bool = True,
                 init: Init | None = None, bias_init: Init = "zeros", regularizer: RegularizerRule | None = None,
                 constraint: ConstraintRule | None = None, name: str | None = None) -> None:  # fmt: skip
        # How many filters and groups there are is known with the channels.
        super().__init__(
            1, kernel_size, stride=stride, padding=padding, dilation=dilation, activation=activation, use_bias=use_bias,
            init=init, bias_init=bias_init, regularizer=regularizer,
            constraint=constraint, name=name,
        )  # fmt: skip
        self.multiplier = checks.whole_number("multiplier", multiplier, least=1)

    def build(self, shape: Shape) -> Shape:
        self._check_input(shape)
        self.groups = shape[-1]
        self.filters = shape[-1] * self.multiplier
        return super().build(shape)

    def config(self) -> dict[str, Any]:
        shared = {
            name: value for name, value in super().config().items() if name not in ("filters", "groups", "precise")
        }
        return {**shared, "multiplier": self.multiplier}


@register
class SeparableConv2D(Conv2D):
    """A depthwise convolution, then one of single pixels: y = activation((x * D) * W + b) (Chollet 2017).

    There is neither a bias nor an activation between the two (Keras' convention).

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int or (int, int)
        Height and width of the depthwise window.
    stride, padding, dilation
        Of the depthwise convolution, as for `Conv2D`.
    multiplier : int, default 1
        Depthwise filters for each channel.
    activation : str or activation, optional
        None is linear.
    use_bias : bool, default True
    init : str, Initializer or array, optional
        Of D and W. By default what suits no activation for D, and the activation for W, as for `Dense`.
    bias_init : str, Initializer or array, default "zeros"
    regularizer, constraint, name
        See `Layer`.

    Shapes
    ------
    x (batch, height, width, channels), y (batch, height', width', filters); D "depthwise_weight" (kernel height, kernel
    width, 1, channels * multiplier), W "weight" (1, 1, channels * multiplier, filters), b "bias" (filters,). Sizes of y as
    for `Conv2D`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range; a window that is larger than the padded image.

    Examples
    --------
    >>> import fastnet as fn
    >>> net = fn.Network([fn.SeparableConv2D(16, 3, padding="same")], input_shape=(28, 28, 8), seed=0)
    >>> net.output_shape, sum(p.size for p in net.parameters())
    ((28, 28, 16), 216)
    """

    def __init__(self, filters: int, kernel_size: Sizes, *, stride: Sizes = 1, padding: Padding = "valid",
                 dilation: Sizes = 1, multiplier: int = 1, activation: ActivationLike | None = None,
                 use_bias: bool = True, init: Init | None = None, bias_init: Init = "zeros",
                 regularizer: RegularizerRule | None = None, constraint: ConstraintRule | None = None,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, stride=stride, padding=padding, dilation=dilation, activation=activation,
            use_bias=use_bias, init=init, bias_init=bias_init, regularizer=regularizer,
            constraint=constraint, name=name,
        )  # fmt: skip
        self.multiplier = checks.whole_number("multiplier", multiplier, least=1)

    def build(self, shape: Shape) -> Shape:
        self._check_input(shape)
        axes = self._windows(shape[:-1])
        inner = shape[-1] * self.multiplier
        taps = self.kernel_size[0] * self.kernel_size[1]
        self.depthwise_weight = self.add_parameter(
            "depthwise_weight", (*self.kernel_size, 1, inner), init=self.init or initializers.default_for(None),
            fans=(taps, taps * self.multiplier),
        )  # fmt: skip
        self._add_parameters((1, 1, inner, self.filters), (inner, self.filters))
        return (*(axis.output for axis in axes), self.filters)

    def convolutions(self, shape: Shape) -> tuple[Convolution, Convolution]:
        """The geometries for a batch of inputs of this shape: depthwise, and of pixels."""
        height, width = self._windows(shape[1:-1])
        inner = shape[-1] * self.multiplier
        rows, columns = (Axis(axis.output, 1, 1, 1, 0, 0, axis.output) for axis in (height, width))
        return (
            Convolution(shape[0], height, width, shape[-1], inner, shape[-1]),
            Convolution(shape[0], rows, columns, inner, self.filters),
        )

    def multiply_adds(self, shape: Shape, output_shape: Shape) -> int:
        return sum(convolution.multiply_adds for convolution in self.convolutions((1, *shape)))

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        depthwise, pointwise = self.convolutions(x.shape)
        inner = ctx.conv(depthwise, x, self.depthwise_weight)
        z = ctx.conv(pointwise, inner, self.weight, self.bias)
        y = self.activation.record_forward(ctx, z)
        return ctx.keep(y, x=x, inner=inner, z=z, convolutions=(depthwise, pointwise))

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        depthwise, pointwise = ctx.convolutions
        dz = self.activation.record_backward(ctx, dy, ctx.z, ctx.y)
        ctx.conv_weights(pointwise, ctx.inner, dz, ctx.grad(self.weight), ctx.grad(self.bias))
        d_inner = ctx.conv_data(pointwise, dz, self.weight)
        ctx.conv_weights(depthwise, ctx.x, d_inner, ctx.grad(self.depthwise_weight))
        return ctx.conv_data(depthwise, d_inner, self.depthwise_weight)

    def config(self) -> dict[str, Any]:
        shared = {name: value for name, value in super().config().items() if name not in ("groups", "precise")}
        return {**shared, "multiplier": self.multiplier}
