"""Normalization by fixed figures: the first layer of a network on images or other raw numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.layers.base import Layer

if TYPE_CHECKING:
    from fastnet.recording import Context, Tensor
    from fastnet.types import ArrayLike, Shape

__all__ = ["Normalize"]

STD_RANGE = 1e-15, 1e15  # its square is a normal number of float32


@register
class Normalize(Layer):
    """y = (x - mean) / std for each channel (the last axis), the same in training and prediction.

    Mean and deviation are fixed, not learned, and saved with the network, so that it takes raw values wherever
    it is used: ``Normalize(0, 255)`` makes [0, 1] of bytes. (BatchNorm takes its figures from the batches.)

    Parameters
    ----------
    mean, std : float or array (channels,)
        One for all channels, or one for each; std > 0.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Normalize(mean=[100, 0], std=50)], input_shape=(2,), seed=0)
    >>> net.predict(np.array([[150, 150]], np.uint8)).tolist()
    [[1.0, 3.0]]

    The figures of the training data:

    >>> x = np.random.default_rng(0).normal(5, 2, (1000, 8, 8, 3))
    >>> y = fn.Normalize.of(x).forward(x)
    >>> bool(abs(y.mean()) < 1e-5 and abs(y.std() - 1) < 1e-5)
    True
    """

    def __init__(self, mean: ArrayLike, std: ArrayLike, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.mean = _figures("mean", mean)
        self.std = _figures("std", std)
        least, most = STD_RANGE
        for value in self.std if isinstance(self.std, list) else [self.std]:
            if not least <= value <= most:
                raise ValueError(f"std must be above 0, from {least:g} to {most:g}; got {value:g}")
        lengths = [len(figures) for figures in (self.mean, self.std) if isinstance(figures, list)]
        if len(set(lengths)) > 1:
            raise ValueError(f"mean and std must have the same length; got {lengths[0]} and {lengths[1]}")

    @classmethod
    def of(cls, x: ArrayLike, *, name: str | None = None) -> Normalize:
        """The layer that brings the channels of `x` to mean 0 and deviation 1; a constant channel keeps its scale."""
        x = np.asarray(x)
        if x.ndim < 2 or not x.size or x.dtype.kind not in "fiub":
            raise ValueError(f"x must be a batch of numbers (n, ..., channels), not empty; got {checks.describe(x)}")
        axes = tuple(range(x.ndim - 1))
        mean, std = x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
        return cls(mean, np.where(std > 0, std, 1), name=name)

    def build(self, shape: Shape) -> Shape:
        channels = shape[-1]
        for argument, figures in (("mean", self.mean), ("std", self.std)):
            if isinstance(figures, list) and len(figures) != channels:
                raise ValueError(
                    f"Normalize: {argument} has {len(figures)} values, but inputs of shape {tuple(shape)} have "
                    f"{channels} channels"
                )
        mean, std = (np.broadcast_to(np.asarray(figures, np.float64), (channels,)) for figures in (self.mean, self.std))
        self.shift = self.add_parameter("mean", (channels,), init=mean, trainable=False)
        self.variance = self.add_parameter("variance", (channels,), init=std**2, trainable=False)
        return shape

    def record_forward(self, ctx: Context, x: Tensor, training: bool) -> Tensor:
        y = ctx.tensor(x.shape)
        ctx.call(
            "batch_norm_inference",
            reads={"x": x, "running_mean": ctx.value(self.shift), "running_var": ctx.value(self.variance)},
            writes={"y": y}, in_place=("x", "y"), work=8 * x.size,
            rows=x.rows, channels=x.columns, activation=0, epsilon=0.0, alpha=0.0,
        )  # fmt: skip
        return ctx.keep(y)

    def record_backward(self, ctx: Context, dy: Tensor) -> Tensor:
        dx = ctx.tensor(dy.shape)
        ctx.call(
            "batch_norm_inference_backward",
            reads={"dy": dy, "running_mean": ctx.value(self.shift), "running_var": ctx.value(self.variance)},
            writes={"dx": dx}, optional=("dx",), work=8 * dy.size,
            rows=dy.rows, channels=dy.columns, accumulate_gamma=0, accumulate_beta=0, epsilon=0.0,
        )  # fmt: skip
        return dx

    def config(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std, **super().config()}


def _figures(argument: str, value: Any) -> float | list[float]:
    """One finite number, or a list of them."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim > 1 or not array.size:
        raise TypeError(f"{argument} must be a number, or one for each channel; got {checks.describe(value)}")
    if array.ndim == 0:
        return checks.real_number(argument, array.item())
    return [checks.real_number(f"{argument}[{i}]", item) for i, item in enumerate(array.tolist())]
