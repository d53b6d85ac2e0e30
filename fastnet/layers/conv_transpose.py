"""Transposed convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet.files import register
from fastnet.kernels import windows
from fastnet.kernels.convolution import Convolution
from fastnet.layers.conv import ConvLayer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike, ConstraintRule, Init, Padding, RegularizerRule, Shape, Sizes

__all__ = ["Conv2DTranspose"]


@register
class Conv2DTranspose(ConvLayer):
    """The transpose of `Conv2D` as a linear map: each input pixel adds a kernel to the output (Zeiler et al. 2010).

    It enlarges images by its stride. Its forward pass is the input gradient of a convolution, and the other way round.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, stride, dilation : int or (int, int)
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right)), default "valid"
        What is cut off the output: PyTorch's `padding`. "same" gives size * stride outputs, as in Keras.
    output_padding : int or (int, int), default 0
        Rows and columns added at the end, less than the stride (PyTorch, ONNX); not with "same".
    groups, activation, use_bias, init, bias_init, precise, regularizer, constraint, name
        As in `Conv2D`.

    Shapes
    ------
    x (batch, height, width, channels), y (batch, height', width', filters), with
    height' = (height - 1) stride - top - bottom + dilation (kernel height - 1) + output_padding + 1.
    W "weight" (kernel height, kernel width, filters / groups, channels) as in Keras; PyTorch has (channels, filters / groups,
    kernel height, kernel width). b "bias" (filters,).

    Raises
    ------
    ValueError, TypeError
        An argument out of its range; an output without pixels; `groups` that don't divide channels and filters.

    Examples
    --------
    >>> import fastnet as fn
    >>> net = fn.Network([fn.Conv2DTranspose(8, 4, stride=2, padding="same")], input_shape=(7, 7, 16), seed=0)
    >>> net.output_shape
    (14, 14, 8)
    """

    def __init__(self, filters: int, kernel_size: Sizes, *, stride: Sizes = 1, padding: Padding = "valid",
                 output_padding: Sizes = 0, dilation: Sizes = 1, groups: int = 1,
                 activation: ActivationLike | None = None, use_bias: bool = True, init: Init | None = None,
                 bias_init: Init = "zeros", precise: bool = False, regularizer: RegularizerRule | None = None,
                 constraint: ConstraintRule | None = None, name: str | None = None) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups, activation=activation,
            use_bias=use_bias, init=init, bias_init=bias_init, precise=precise, regularizer=regularizer,
            constraint=constraint, name=name,
        )  # fmt: skip
        self.output_padding = windows.pair("output_padding", output_padding, least=0)
        for extra, step in zip(self.output_padding, self.stride, strict=True):
            if extra >= step:
                raise ValueError(
                    f"output_padding must be less than the stride {self.stride}; got {self.output_padding}"
                )
        if self.padding == "same" and any(self.output_padding):
            raise ValueError("output_padding must be 0 with padding='same', which gives size * stride outputs")

    def build(self, shape: Shape) -> Shape:
        self._check_input(shape)
        channels = shape[-1]
        fans = self._fans(channels)
        height, width = self._windows(shape[:2])
        self._add_parameters((*self.kernel_size, self.filters // self.groups, channels), fans)
        return (height.size, width.size, self.filters)

    def _windows(self, sizes: Shape) -> Any:
        """The axes of the convolution whose transpose this is: from the output here to the input."""
        return super()._windows(tuple(self._output_size(axis, size) for axis, size in enumerate(sizes)))

    def _output_size(self, axis: int, size: int) -> int:
        stride = self.stride[axis]
        if self.padding == "same":
            return size * stride
        extent = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
        cut = 0 if isinstance(self.padding, str) else sum(self.padding[axis])
        output = (size - 1) * stride + extent - cut + self.output_padding[axis]
        if output < 1:
            raise ValueError(
                f"padding {self.padding} leaves nothing of axis {axis}: (size - 1) stride + extent = "
                f"({size} - 1) {stride} + {extent}"
            )
        return output

    def convolution(self, shape: Shape) -> Convolution:
        """The geometry of the convolution from y to x, for a batch of inputs of this shape."""
        height, width = self._windows(shape[1:3])
        return Convolution(shape[0], height, width, self.filters, shape[-1], self.groups, self.precise)

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        convolution = self.convolution(x.shape)
        z = ctx.conv_data(convolution, x, self.weight, self.bias)
        y = self.activation.record_forward(ctx, z)
        return ctx.keep(y, x=x, z=z, convolution=convolution)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dz = self.activation.record_backward(ctx, dy, ctx.z, ctx.y)
        ctx.conv_weights(ctx.convolution, dz, ctx.x, ctx.grad(self.weight))
        if self.bias is not None:
            ctx.column_sums(dz, ctx.grad(self.bias))
        return ctx.conv(ctx.convolution, dz, self.weight)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "output_padding": self.output_padding}
