"""Normalization of batches, of samples, and of groups of channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.kernels.sample_norm import checked_groups
from fastnet.layers.base import Layer
from fastnet.layers.synchronized import Synchronizable
from fastnet.recording import Context

if TYPE_CHECKING:
    from fastnet.recording import Recording, Tensor
    from fastnet.types import Shape

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "RMSNorm"]


@register
class BatchNorm(Synchronizable, Layer):
    """Normalize each channel (the last axis) over the batch and all other axes (Ioffe & Szegedy 2015).

    y = gamma (x - mean) / sqrt(var + epsilon) + beta. In training mean and (biased) variance are the
    batch's, and running = (1 - momentum) running + momentum batch, with the unbiased variance; in prediction,
    and while ``layer.trainable`` is False, the running ones are used. As in PyTorch. Keras' `momentum` is the
    weight of the old value (0.99: 0.01 here), its epsilon 1e-3, its running variance biased.

    Parameters
    ----------
    momentum : float, default 0.1
        Weight of the new value, in (0, 1].
    epsilon : float, default 1e-5
    scale, center : bool, default True
        Whether there is a gamma ("weight"), a beta ("bias"), each of shape (channels,).

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.BatchNorm()], input_shape=(1,), seed=0)
    >>> net.forward(np.array([[1.0], [3.0]]), training=True).ravel().round(3).tolist()
    [-1.0, 1.0]
    """

    is_norm = True

    def __init__(self, *, momentum: float = 0.1, epsilon: float = 1e-5, scale: bool = True, center: bool = True,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.momentum = checks.real_number("momentum", momentum, above=0, most=1)
        self.epsilon = checks.real_number("epsilon", epsilon, above=0)
        self.scale = checks.flag("scale", scale)
        self.center = checks.flag("center", center)

    def build(self, shape: Shape) -> Shape:
        channels = shape[-1:]
        self.weight = self.add_parameter("weight", channels, init="ones") if self.scale else None
        self.bias = self.add_parameter("bias", channels, init="zeros") if self.center else None
        self.running_mean = self.add_parameter("running_mean", channels, init="zeros", trainable=False)
        self.running_variance = self.add_parameter("running_variance", channels, init="ones", trainable=False)
        return shape

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        y = ctx.tensor(x.shape)
        gamma, beta = ctx.value(self.weight), ctx.value(self.bias)
        running_mean, running_variance = ctx.value(self.running_mean), ctx.value(self.running_variance)
        sizes = {"rows": x.rows, "channels": x.columns, "activation": 0, "epsilon": self.epsilon, "alpha": 0.0}
        if not training or not self.trainable:
            ctx.call(
                "batch_norm_inference",
                reads={"x": x, "gamma": gamma, "beta": beta, "running_mean": running_mean,
                       "running_var": running_variance},
                writes={"y": y}, in_place=None if training else ("x", "y"), work=8 * x.size, **sizes,
            )  # fmt: skip
            return ctx.keep(y, x=x, batch=None)
        if x.rows < 2:
            raise ValueError(
                f"BatchNorm {ctx.place!r} needs at least 2 values in a channel to train; a batch of shape {x.shape} "
                "has 1: use a larger batch_size, or drop_last=True if it is the last one"
            )
        mean, inverse_std, unbiased = (ctx.tensor((x.columns,)) for _ in range(3))
        ctx.call(
            "batch_norm_forward",
            reads={"x": x, "gamma": gamma, "beta": beta},
            writes={"y": y, "mean": mean, "inverse_std": inverse_std, "unbiased_variance": unbiased},
            work=16 * x.size, parts=0, **sizes,
        )  # fmt: skip
        if ctx.recording.piece_statistics is None:
            self.record_commit(ctx.recording, mean, unbiased)
        else:
            ctx.recording.piece_statistics.append((self, mean, unbiased, x.rows))
        return ctx.keep(y, x=x, batch=(mean, inverse_std))

    def record_commit(self, recording: Recording, mean: Tensor, unbiased: Tensor) -> None:
        """Record that running statistics take up a batch's, at the end of the step."""
        ctx = Context(recording, "", True)
        recording.call(
            "batch_norm_commit",
            reads={"mean": mean, "unbiased_variance": unbiased, "control": recording.control_field()},
            updates={"running_mean": ctx.value(self.running_mean), "running_var": ctx.value(self.running_variance)},
            deferred=True, channels=mean.columns, momentum=self.momentum,
        )  # fmt: skip

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx = ctx.tensor(dy.shape)
        dgamma, dbeta = ctx.grad(self.weight), ctx.grad(self.bias)
        reads = {"x": ctx.x, "dy": dy, "gamma": ctx.value(self.weight)}
        writes = {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}
        numbers = {
            "rows": dy.rows,
            "channels": dy.columns,
            "accumulate_gamma": ctx.adds(dgamma),
            "accumulate_beta": ctx.adds(dbeta),
            "work": 16 * dy.size,
            "optional": ("dx", "dgamma", "dbeta"),
        }
        if ctx.batch is None:
            reads |= {
                "running_mean": ctx.value(self.running_mean),
                "running_var": ctx.value(self.running_variance),
            }
            ctx.call("batch_norm_inference_backward", reads=reads, writes=writes, epsilon=self.epsilon, **numbers)
        else:
            mean, inverse_std = ctx.batch
            reads |= {"mean": mean, "inverse_std": inverse_std}
            ctx.call("batch_norm_backward", reads=reads, writes=writes, parts=0, **numbers)
        return dx

    def config(self) -> dict[str, Any]:
        return {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "scale": self.scale,
            "center": self.center,
            **super().config(),
        }


@register
class LayerNorm(Layer):
    """Normalize each sample over its last axes (Ba, Kiros & Hinton 2016).

    y = gamma (x - mean) / sqrt(var + epsilon) + beta, with the biased variance, as in PyTorch (Keras: epsilon 1e-3).

    Parameters
    ----------
    axes : int, default 1
        How many of the last axes are normalized together; gamma and beta have their shape.
    epsilon : float, default 1e-5
    scale, center : bool, default True
        Whether there is a gamma ("weight"), a beta ("bias").
    """

    is_norm = True

    def __init__(self, *, axes: int = 1, epsilon: float = 1e-5, scale: bool = True, center: bool = True,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.axes = checks.whole_number("axes", axes, least=1)
        self.epsilon = checks.real_number("epsilon", epsilon, above=0)
        self.scale = checks.flag("scale", scale)
        self.center = checks.flag("center", center)

    def build(self, shape: Shape) -> Shape:
        if self.axes > len(shape):
            raise ValueError(f"axes={self.axes}: inputs of shape {shape} have {len(shape)} axes besides the batch")
        normalized = shape[-self.axes :]
        self.columns = math.prod(normalized)
        self.weight = self.add_parameter("weight", normalized, init="ones") if self.scale else None
        self.bias = self.add_parameter("bias", normalized, init="zeros") if self.center else None
        return shape

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        rows = x.size // self.columns
        y, mean, inverse_std = ctx.tensor(x.shape), ctx.tensor((rows,)), ctx.tensor((rows,))
        ctx.call(
            "layer_norm_forward",
            reads={"x": x, "gamma": ctx.value(self.weight), "beta": ctx.value(self.bias)},
            writes={"y": y, "mean": mean, "inverse_std": inverse_std},
            work=16 * x.size, rows=rows, cols=self.columns, epsilon=self.epsilon,
        )  # fmt: skip
        return ctx.keep(y, x=x, mean=mean, inverse_std=inverse_std)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx = ctx.tensor(dy.shape)
        dgamma, dbeta = ctx.grad(self.weight), ctx.grad(self.bias)
        ctx.call(
            "layer_norm_backward",
            reads={"x": ctx.x, "dy": dy, "gamma": ctx.value(self.weight), "mean": ctx.mean,
                   "inverse_std": ctx.inverse_std},
            writes={"dx": dx, "dgamma": dgamma, "dbeta": dbeta}, optional=("dx", "dgamma", "dbeta"),
            work=16 * dy.size, rows=dy.size // self.columns, cols=self.columns,
            accumulate_gamma=ctx.adds(dgamma), accumulate_beta=ctx.adds(dbeta),
        )  # fmt: skip
        return dx

    def config(self) -> dict[str, Any]:
        return {
            "axes": self.axes,
            "epsilon": self.epsilon,
            "scale": self.scale,
            "center": self.center,
            **super().config(),
        }


@register
class GroupNorm(Layer):
    """Normalize groups of neighbouring channels of each sample, over all its pixels (Wu & He 2018).

    y = gamma (x - mean) / sqrt(var + epsilon) + beta, with mean and biased variance of a sample's group, as in PyTorch
    (Keras: epsilon 1e-3). It does the same in training and prediction, whatever the batch.

    Parameters
    ----------
    groups : int, default 32
        It must divide the channels. 1 is layer normalization of a whole image, the number of channels instance
        normalization.
    epsilon : float, default 1e-5
    scale, center : bool, default True
        Whether there is a gamma ("weight"), a beta ("bias"), each of shape (channels,).

    Raises
    ------
    ValueError
        `groups` doesn't divide the channels; a group would have a single value.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.GroupNorm(2)], input_shape=(4,), seed=0)
    >>> net.predict(np.array([[1, 3, 10, 30]])).round(3)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    is_norm = True

    def __init__(self, groups: int = 32, *, epsilon: float = 1e-5, scale: bool = True, center: bool = True,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.groups = checks.whole_number("groups", groups, least=1)
        self.epsilon = checks.real_number("epsilon", epsilon, above=0)
        self.scale = checks.flag("scale", scale)
        self.center = checks.flag("center", center)

    def build(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError(f"GroupNorm needs inputs with at least one axis besides the batch; got shape {shape}")
        checked_groups(self.groups, shape[-1])
        if math.prod(shape) == self.groups:
            raise ValueError(
                f"groups={self.groups}: inputs of shape {shape} have one value in a group; use fewer groups"
            )
        channels = shape[-1:]
        self.weight = self.add_parameter("weight", channels, init="ones") if self.scale else None
        self.bias = self.add_parameter("bias", channels, init="zeros") if self.center else None
        return shape

    def _sizes(self, x: Tensor) -> dict[str, int]:
        return {"batch": x.shape[0], "rows": math.prod(x.shape[1:-1]), "channels": x.columns, "groups": self.groups}

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        statistics = (x.shape[0], self.groups)
        y, mean, inverse_std = ctx.tensor(x.shape), ctx.tensor(statistics), ctx.tensor(statistics)
        ctx.call(
            "group_norm_forward",
            reads={"x": x, "gamma": ctx.value(self.weight), "beta": ctx.value(self.bias)},
            writes={"y": y, "mean": mean, "inverse_std": inverse_std}, in_place=("x", "y"),
            work=16 * x.size, epsilon=self.epsilon, **self._sizes(x),
        )  # fmt: skip
        return ctx.keep(y, x=x, mean=mean, inverse_std=inverse_std)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx = ctx.tensor(dy.shape)
        dgamma, dbeta = ctx.grad(self.weight), ctx.grad(self.bias)
        ctx.call(
            "group_norm_backward",
            reads={"x": ctx.x, "dy": dy, "gamma": ctx.value(self.weight), "mean": ctx.mean,
                   "inverse_std": ctx.inverse_std},
            writes={"dx": dx, "dgamma": dgamma, "dbeta": dbeta}, optional=("dx", "dgamma", "dbeta"),
            in_place=("dy", "dx"), work=20 * dy.size,
            accumulate_gamma=ctx.adds(dgamma), accumulate_beta=ctx.adds(dbeta), **self._sizes(dy),
        )  # fmt: skip
        return dx

    def config(self) -> dict[str, Any]:
        return {
            "groups": self.groups,
            "epsilon": self.epsilon,
            "scale": self.scale,
            "center": self.center,
            **super().config(),
        }


@register
class RMSNorm(Layer):
    """Divide each sample's last axes by their root mean square (Zhang & Sennrich 2019).

    y = gamma x / sqrt(mean(x^2) + epsilon).

    Parameters
    ----------
    axes : int, default 1
        How many of the last axes are normalized together; gamma has their shape.
    epsilon : float, optional
        By default the machine epsilon of the network's dtype, as in PyTorch (Keras: 1e-6).
    scale : bool, default True
        Whether there is a gamma ("weight").

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.RMSNorm()], input_shape=(2,), seed=0)
    >>> net.predict(np.array([[1, 7]])).round(3)
    array([[0.2, 1.4]], dtype=float32)
    """

    is_norm = True

    def __init__(self, *, axes: int = 1, epsilon: float | None = None, scale: bool = True,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.axes = checks.whole_number("axes", axes, least=1)
        self.epsilon = None if epsilon is None else checks.real_number("epsilon", epsilon, above=0)
        self.scale = checks.flag("scale", scale)

    def build(self, shape: Shape) -> Shape:
        if self.axes > len(shape):
            raise ValueError(f"axes={self.axes}: inputs of shape {shape} have {len(shape)} axes besides the batch")
        normalized = shape[-self.axes :]
        self.columns = math.prod(normalized)
        self.weight = self.add_parameter("weight", normalized, init="ones") if self.scale else None
        return shape

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        rows = x.size // self.columns
        y, inverse_rms = ctx.tensor(x.shape), ctx.tensor((rows,))
        epsilon = float(np.finfo(x.dtype).eps) if self.epsilon is None else self.epsilon
        ctx.call(
            "rms_norm_forward",
            reads={"x": x, "gamma": ctx.value(self.weight)}, writes={"y": y, "inverse_rms": inverse_rms},
            in_place=("x", "y"), work=8 * x.size, rows=rows, cols=self.columns, epsilon=epsilon,
        )  # fmt: skip
        return ctx.keep(y, x=x, inverse_rms=inverse_rms)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx, dgamma = ctx.tensor(dy.shape), ctx.grad(self.weight)
        ctx.call(
            "rms_norm_backward",
            reads={"x": ctx.x, "dy": dy, "gamma": ctx.value(self.weight), "inverse_rms": ctx.inverse_rms},
            writes={"dx": dx, "dgamma": dgamma}, optional=("dx", "dgamma"), in_place=("dy", "dx"),
            work=16 * dy.size, rows=dy.size // self.columns, cols=self.columns, accumulate_gamma=ctx.adds(dgamma),
        )  # fmt: skip
        return dx

    def config(self) -> dict[str, Any]:
        return {"axes": self.axes, "epsilon": self.epsilon, "scale": self.scale, **super().config()}
