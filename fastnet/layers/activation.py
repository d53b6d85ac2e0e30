"""Activations as layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastnet import activations, checks, initializers
from fastnet.files import register
from fastnet.layers.base import Layer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike, Init, Shape

__all__ = ["Activation", "PReLU"]


@register
class Activation(Layer):
    """y = activation(x), element by element; softmax and log_softmax over the last axis.

    Parameters
    ----------
    activation : str or activation
        "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus",
        "relu6", "hard_swish", "softmax", "log_softmax", or a configured one such as ``fn.LeakyReLU(0.2)``.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.Activation("relu").forward(np.array([[-1.0, 2.0]], dtype="float32"))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: ActivationLike, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activation = activations.get(activation)

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        return ctx.keep(self.activation.record_forward(ctx, x), x=x)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        return self.activation.record_backward(ctx, dy, ctx.x, ctx.y)

    def config(self) -> dict[str, Any]:
        return {"activation": self.activation, **super().config()}


@register
class PReLU(Layer):
    """y = x where x > 0, else a x, with learned slopes a (He, Zhang, Ren & Sun 2015).

    Parameters
    ----------
    init : float, str, Initializer or array, default 0.25
        First slopes; 0.25 is the paper's and PyTorch's (Keras has 0).
    shared : bool, default False
        One slope for all channels instead of one for each: PyTorch's default, ``num_parameters=1``. (Keras by default
        has one for each pixel and channel.)

    Shapes
    ------
    x, y (batch, ..., channels); a "weight" (channels,), or (1,) if shared.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.PReLU().forward(np.array([[-4.0, 2.0]], dtype="float32"))
    array([[-1.,  2.]], dtype=float32)
    """

    def __init__(self, *, init: Init | float = 0.25, shared: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        if isinstance(init, (int, float)) and not isinstance(init, bool):
            init = initializers.Constant(checks.real_number("init", init))
        self.init = initializers.get(cast("Init", init), "init")
        self.shared = checks.flag("shared", shared)

    def build(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError(f"PReLU needs inputs with at least one axis besides the batch; got shape {shape}")
        self.weight = self.add_parameter("weight", (1,) if self.shared else shape[-1:], init=self.init)
        return shape

    def _sizes(self, x: Tensor) -> dict[str, int]:
        return {"rows": x.rows, "channels": x.columns, "single": int(self.shared)}

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        y = ctx.tensor(x.shape)
        ctx.call("prelu", reads={"x": x, "slope": ctx.value(self.weight)}, writes={"y": y}, in_place=("x", "y"),
                 work=8 * x.size, **self._sizes(x))  # fmt: skip
        return ctx.keep(y, x=x)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx, dslope = ctx.tensor(dy.shape), ctx.grad(self.weight)
        ctx.call("prelu_backward", reads={"x": ctx.x, "slope": ctx.value(self.weight), "dy": dy},
                 writes={"dx": dx, "dslope": dslope}, optional=("dx", "dslope"), in_place=("dy", "dx"),
                 work=12 * dy.size, accumulate=ctx.adds(dslope), **self._sizes(dy))  # fmt: skip
        return dx

    def config(self) -> dict[str, Any]:
        return {"init": self.init, "shared": self.shared, **super().config()}
