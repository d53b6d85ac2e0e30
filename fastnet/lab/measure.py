"""What experiments look at: data, training curves, and arrays on their way through a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnet import datasets, kernels
from fastnet.kernels.activation import ACTIVATIONS
from fastnet.layers import Layer
from fastnet.training import Callback

if TYPE_CHECKING:
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.optimizers import Optimizer
    from fastnet.training import Trainer
    from fastnet.types import Array, ArrayLike, Figures, LossLike, MetricLike

    #: Training and test samples.
    Parts: TypeAlias = tuple[tuple[Array, Array], tuple[Array, Array]]

__all__ = ["BATCH", "Probe", "Snapshots", "backpropagate", "data", "moments", "shares", "slopes", "train"]

BATCH = 32


def data(*, train: int | None = None, classes: Sequence[int] | None = None) -> Parts:
    """The shipped digits.

    Parameters
    ----------
    train : int, optional
        Only so many training samples, the first of the fixed order.
    classes : list of int, optional
        Only these digits.

    Returns
    -------
    (x, y), (x_test, y_test)
    """
    parts = []
    for x, y in datasets.digits():
        if classes is not None:
            rows = np.isin(y, classes)
            x, y = x[rows], y[rows]
        parts.append((x, y))
    (x, y), test = parts
    return (x[:train], y[:train]), test


def train(net: Network, *, epochs: int, optimizer: Optimizer, parts: Parts | None = None, batch_size: int = BATCH,
          callbacks: Iterable[Callback] = (), loss: LossLike = "softmax_cross_entropy",
          metrics: Sequence[MetricLike] = ("accuracy",), **options: Any) -> dict[str, Any]:  # fmt: skip
    """Train on the digits; the curves as lists, one value for each epoch.

    Where a loss or gradient is not finite training stops, and "stopped" says so.
    """
    (x, y), test = parts or data()
    history = net.fit(
        x,
        y,
        epochs=epochs,
        batch_size=batch_size,
        loss=loss,
        optimizer=optimizer,
        metrics=list(metrics),
        validation=test,
        callbacks=list(callbacks),
        on_nonfinite="stop",
        verbose=0,
        **options,
    )
    return {**{name: list(values) for name, values in history.items()}, "stopped": history.stopped}


class Probe(Layer):
    """Passes arrays through, and keeps the last ones in `seen`: (key, "values" or "gradients") -> array."""

    def __init__(self, key: str, seen: dict[tuple[str, str], Array]) -> None:
        super().__init__(name=f"probe_{key}")
        self.key, self.seen = key, seen

    def forward(self, x: Array, training: bool = False) -> Array:
        self.seen[self.key, "values"] = x.copy()
        return x

    def backward(self, dy: Array) -> Array:
        self.seen[self.key, "gradients"] = dy.copy()
        return dy


def backpropagate(net: Network, loss: Loss, x: Array, y: Array) -> float:
    """One training pass over a batch, without an update; returns the loss."""
    value, dy = loss.gradient(net.forward(x, training=True), y)
    net.backward(dy)
    return value


def moments(array: ArrayLike) -> dict[str, Any]:
    """Mean, standard deviation, root of the mean square, and largest absolute value; in float64."""
    a = np.asarray(array, np.float64)
    if not np.isfinite(a).all():
        return {"mean": None, "std": None, "rms": None, "max": None}
    return {
        "mean": float(a.mean()),
        "std": float(a.std()),
        "rms": float(np.sqrt((a * a).mean())),
        "max": float(np.abs(a).max()),
    }


def shares(array: ArrayLike, low: float, high: float, bins: int = 40) -> list[float]:
    """The share of an array's values in each of the bins that divide [low, high]; those beyond are in the outermost."""
    a = np.clip(np.asarray(array, np.float64).ravel(), low, high)
    return (np.histogram(a, bins, (low, high))[0] / max(1, a.size)).tolist()


def slopes(activation: str, z: ArrayLike) -> Array:
    """The slope of an activation function at each weighted sum."""
    z = np.ascontiguousarray(z)
    saved = kernels.activate(z, activation) if ACTIVATIONS[activation].saves == "output" else z
    return kernels.activate_backward(saved, np.ones_like(z), activation)


class Snapshots(Callback):
    """Calls a function before the first epoch and after each; its results are in `taken`."""

    def __init__(self, take: Callable[[Network], Any]) -> None:
        self.take = take
        self.taken: list[Any] = []

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        self.taken.append(self.take(trainer.net))

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        self.taken.append(self.take(trainer.net))
