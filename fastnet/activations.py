"""Activations as layers use them: by name, or configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.files import register
from fastnet.kernels.activation import ACTIVATIONS

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ActivationLike

__all__ = ["ELU", "LeakyReLU", "get"]


class Activation:
    """An elementwise function; `alpha` is its parameter, where it has one."""

    def __init__(self, name: str, alpha: float | None = None) -> None:
        row = ACTIVATIONS[name]
        self.name = name
        self.kind = row.kind
        self.saves = row.saves
        self.has_slope = row.has_slope
        self.alpha = row.alpha if alpha is None else alpha

    def record_forward(self, ctx: Context, x: Tensor) -> Tensor:
        return ctx.activation(self, x)

    def record_backward(self, ctx: Context, dy: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """dy times the slope at x, where y = activation(x) was recorded with this context."""
        return ctx.activation_backward(self, dy, x, y)

    def config(self) -> Any:
        return self.name

    def __repr__(self) -> str:
        return repr(self.name)


class Rowwise:
    """softmax or log_softmax over the last axis."""

    def __init__(self, name: str) -> None:
        self.name = name

    def record_forward(self, ctx: Context, x: Tensor) -> Tensor:
        y = ctx.tensor(x.shape)
        ctx.call(self.name, reads={"x": x}, writes={"y": y}, in_place=("x", "y"), work=32 * x.size,
                 rows=x.rows, cols=x.columns)  # fmt: skip
        return y

    def record_backward(self, ctx: Context, dy: Tensor, x: Tensor, y: Tensor) -> Tensor:
        dx = ctx.tensor(dy.shape)
        ctx.call(f"{self.name}_backward", reads={"y": y, "dy": dy}, writes={"dx": dx}, in_place=("dy", "dx"),
                 work=16 * dy.size, rows=dy.rows, cols=dy.columns)  # fmt: skip
        return dx

    def config(self) -> Any:
        return self.name

    def __repr__(self) -> str:
        return repr(self.name)


@register
class LeakyReLU(Activation):
    """x for x > 0, else slope * x (Maas, Hannun & Ng 2013).

    Parameters
    ----------
    slope : float, default 0.01
        At least 0. Keras' layer has 0.3.
    """

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__("leaky_relu", checks.real_number("slope", slope, least=0))

    def config(self) -> Any:
        return {"slope": self.alpha}

    def __repr__(self) -> str:
        return f"LeakyReLU(slope={self.alpha:g})"


@register
class ELU(Activation):
    """x for x > 0, else alpha * (exp(x) - 1) (Clevert, Unterthiner & Hochreiter 2016).

    Parameters
    ----------
    alpha : float, default 1
        Above 0.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__("elu", checks.real_number("alpha", alpha, above=0))

    def config(self) -> Any:
        return {"alpha": self.alpha}

    def __repr__(self) -> str:
        return f"ELU(alpha={self.alpha:g})"


ROWWISE = ("softmax", "log_softmax")


def get(activation: ActivationLike | None, argument: str = "activation") -> Activation | Rowwise:
    """An activation from its name, None (linear) or a configured one."""
    if activation is None:
        return Activation("linear")
    if isinstance(activation, (Activation, Rowwise)):
        return activation
    checks.choice(argument, activation, [*ACTIVATIONS, *ROWWISE])
    return Rowwise(activation) if activation in ROWWISE else Activation(activation)


def is_softmax(activation: object) -> bool:
    return isinstance(activation, Rowwise)
