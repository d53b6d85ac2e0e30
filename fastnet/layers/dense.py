"""Fully connected layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet import activations, checks, initializers
from fastnet.files import register
from fastnet.layers.base import Layer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike, ConstraintRule, Init, RegularizerRule, Shape

__all__ = ["Dense"]


@register
class Dense(Layer):
    """y = activation(x W + b), over the last axis of x.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
    activation : str or activation, optional
        None is linear.
    use_bias : bool, default True
    init : str, Initializer or array, optional
        Of W. By default what suits the activation, one behind a norm layer included: He normal for relu,
        relu6, leaky_relu, elu, gelu, silu and hard_swish, LeCun normal for selu, Glorot uniform for the others.
        (PyTorch draws W and b uniformly from +-1/sqrt(fan_in); Keras always takes Glorot uniform.)
    bias_init : str, Initializer or array, default "zeros"
    regularizer, constraint, name
        See `Layer`.

    Shapes
    ------
    x (batch, ..., fan_in), y (batch, ..., units); W "weight" (fan_in, units), b "bias" (units,).
    PyTorch's Linear stores W as (units, fan_in).

    Raises
    ------
    ValueError, TypeError
        `units` is not a positive whole number; `activation` or `init` is not known.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(3, activation="relu")], input_shape=(2,), seed=0)
    >>> net.predict(np.ones((5, 2))).shape
    (5, 3)
    """

    def __init__(self, units: int, *, activation: ActivationLike | None = None, use_bias: bool = True,
                 init: Init | None = None, bias_init: Init = "zeros", regularizer: RegularizerRule | None = None,
                 constraint: ConstraintRule | None = None, name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name, regularizer=regularizer, constraint=constraint)
        self.units = checks.whole_number("units", units, least=1)
        self.activation = activations.get(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.init = None if init is None else initializers.get(init, "init")
        self.bias_init = initializers.get(bias_init, "bias_init")

    def build(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError(f"Dense needs inputs with at least one axis besides the batch; got shape {shape}")
        init = self.init or initializers.default_for(self.activation_behind or self.activation.name)
        self.weight = self.add_parameter("weight", (shape[-1], self.units), init=init)
        self.bias = self.add_parameter("bias", (self.units,), init=self.bias_init) if self.use_bias else None
        return (*shape[:-1], self.units)

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        z = ctx.matmul(x, self.weight, bias=self.bias)
        y = self.activation.record_forward(ctx, z)
        return ctx.keep(y, x=x, z=z)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dz = self.activation.record_backward(ctx, dy, ctx.z, ctx.y)
        ctx.matmul(ctx.x, dz, trans_a=True, into=ctx.grad(self.weight), column_sums=ctx.grad(self.bias))
        return ctx.matmul(dz, self.weight, trans_b=True)

    def multiply_adds(self, shape: Shape, output_shape: Shape) -> int:
        return math.prod(shape) * self.units

    def config(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "init": self.init,
            "bias_init": self.bias_init,
            **super().config(),
        }
