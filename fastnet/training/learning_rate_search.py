"""The search for a learning rate: a short training run with a rising one."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, files, losses, optimizers
from fastnet.schedules import Exponential
from fastnet.training.callbacks import Callback
from fastnet.training.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastnet.distributed import Ranks
    from fastnet.network import Network
    from fastnet.types import Array, ArrayLike, Augment, ClassWeight, Figures, LossLike, OptimizerLike

__all__ = ["LearningRateSearch", "find_learning_rate"]

SMOOTHING = 0.9  # the weight of the old average
DIVERGED = 4.0  # times the best smoothed loss
FEWEST = 20  # steps of which a slope can be told


@dataclass(frozen=True, eq=False, repr=False)
class LearningRateSearch:
    """What `find_learning_rate` found.

    Attributes
    ----------
    rates : ndarray (n,)
        The learning rates of the steps that were made.
    losses : ndarray (n,)
        The losses of their batches, before the update.
    smoothed : ndarray (n,)
        Their exponential average, with correction of its start.
    suggestion : float or None
        The rate at which `smoothed` falls most steeply over the logarithm of the rate.
    reason : str or None
        Why there is no suggestion.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    reason: str | None = None

    def plot(self, target: str | Path | Axes | None = None) -> Figure:
        """Draw the losses over the rates, with Matplotlib.

        Parameters
        ----------
        target : str, Path or matplotlib Axes, optional
            A file, whose suffix says the format, or axes to draw into. By default a new figure.

        Returns
        -------
        matplotlib Figure
            The one that was drawn into; a notebook shows it.

        Raises
        ------
        ModuleNotFoundError
            Matplotlib is missing: ``pip install "fastnet-cpu[plot]"``.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            message = 'plot needs Matplotlib: pip install "fastnet-cpu[plot]"'
            raise ModuleNotFoundError(message, name=error.name) from None
        path = target if isinstance(target, (str, os.PathLike)) else None
        if target is not None and path is None and not hasattr(target, "semilogx"):
            raise TypeError(f"target must be a path or axes of Matplotlib; got {checks.describe(target)}")
        axes: Any = target if target is not None and path is None else Figure(layout="constrained").add_subplot()
        axes.semilogx(self.rates, self.losses, ".", color="0.7", label="batches")
        axes.semilogx(self.rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color="C1", linestyle="--", label=f"suggestion {self.suggestion:.2g}")
        axes.set(xlabel="learning rate", ylabel="loss")
        # The losses of a run that diverges would press all others into a line.
        usual = self.losses[: max(1, int(np.argmin(self.smoothed)) + 1)]
        low, high = min(usual.min(), self.smoothed.min()), max(usual.max(), self.smoothed[0])
        margin = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-12)
        axes.set_ylim(low - margin, high + 4 * margin)
        axes.legend()
        if path is not None:
            image = io.BytesIO()
            axes.figure.savefig(image, format=Path(path).suffix[1:] or None)
            files.write_bytes(path, image.getvalue())
        return axes.figure

    def __repr__(self) -> str:
        found = f"suggestion {self.suggestion:.3g}" if self.suggestion is not None else f"no suggestion: {self.reason}"
        return f"<learning rate search of {len(self.rates)} steps, {found}>"


def find_learning_rate(net: Network, x: ArrayLike, y: ArrayLike, *, loss: LossLike | None = None,
                       optimizer: OptimizerLike = "adam", lowest: float = 1e-6, highest: float = 10.0, steps: int = 100,
                       batch_size: int = 32, sample_weight: ArrayLike | None = None,
                       class_weight: ClassWeight | None = None, augment: Augment = (),
                       clip_norm: float | None = None, distributed: Ranks | None = None) -> LearningRateSearch:  # fmt: skip
    """Find a learning rate by a range test (Smith 2017): train with a rate that rises from step to step.

    The rates are lowest (highest / lowest)^(t / (steps - 1)). The smoothed loss hardly changes at first, then falls,
    and climbs when the rate is too great: the test ends when it is above 4 times its least value, or the loss or a gradient is not
    finite. What is suggested is the rate of the steepest fall over the logarithm of the rate, as in fastai, of lines through some
    neighbouring steps: a great rate with which training still goes well. With few samples or noisy batches look at the plot.

    A copy of the network is trained. The network, its random streams and the optimizer are as before.

    Parameters
    ----------
    net : Network
    x, y : arrays
        As for `Network.fit`. Batches are drawn from them as in epochs, the data shuffled anew where they end.
    loss : str or Loss
        By default that of the last `fit`.
    optimizer : str or Optimizer, default "adam"
        The one to train with later; its learning rate does not matter.
    lowest, highest : float, default 1e-6, 10
    steps : int, default 100
        At least 20.
    batch_size : int, default 32
        The one to train with later.
    sample_weight, class_weight, augment, clip_norm
        As for `Network.fit`.
    distributed : fastnet.distributed.MPI, optional
        As for the `Trainer`: all ranks search together.

    Returns
    -------
    LearningRateSearch
        With `rates`, `losses`, `smoothed`, `suggestion`, and the `reason` where `suggestion` is None. Its `plot` draws them.

    Raises
    ------
    ValueError, TypeError
        Something does not fit.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.digits()
    >>> net = fn.models.mlp(input_shape=(8, 8, 1), classes=10, seed=0)
    >>> found = fn.find_learning_rate(net, x, y, loss="softmax_cross_entropy", optimizer=fn.SGD(momentum=0.9))
    >>> 0.001 < found.suggestion < 1
    True
    """
    loss = losses.get(loss) if loss is not None else net.loss
    if loss is None:
        raise ValueError(f"loss is missing; one of {', '.join(losses.LOSSES)}")
    lowest = checks.real_number("lowest", lowest, above=0)
    highest = checks.real_number("highest", highest, above=lowest)
    steps = checks.whole_number("steps", steps, least=FEWEST)
    batch_size = checks.whole_number("batch_size", batch_size, least=1)
    schedule = Exponential(lowest, highest / lowest, decay_steps=steps - 1)
    optimizer = optimizers.get(optimizer).named(net.parameters())
    optimizer.learning_rate = schedule
    trainer = Trainer(net.copy(), loss=loss, optimizer=optimizer, clip_norm=clip_norm, distributed=distributed)
    watch = _Watch(steps)
    # A last batch of a few samples would stand out; what has no length is refused by `fit`.
    drop_last = isinstance(x, Sized) and len(x) >= batch_size
    with contextlib.suppress(_Enough):
        trainer.fit(
            x, y, epochs=steps, batch_size=batch_size, sample_weight=sample_weight, class_weight=class_weight,
            callbacks=[watch], drop_last=drop_last, augment=augment, on_nonfinite="stop", verbose=0,
        )  # fmt: skip
    rates = schedule.rates(0, steps, 0)[: len(watch.losses)]
    found, smoothed = np.array(watch.losses), np.array(watch.smoothed)
    return LearningRateSearch(rates, found, smoothed, *_suggest(rates, found, smoothed))


class _Enough(Exception):  # noqa: N818
    """Ends a search within an epoch."""


class _Watch(Callback):
    """Keeps the losses of all steps, and ends the training when the smoothed loss has risen, or after `steps`."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._average = 0.0

    def on_batch_end(self, trainer: Trainer, logs: Figures) -> None:
        self.losses.append(logs["loss"])
        n = len(self.losses)
        self._average = SMOOTHING * self._average + (1 - SMOOTHING) * logs["loss"]
        self.smoothed.append(self._average / (1 - SMOOTHING**n))
        best = min(self.smoothed)
        if n == self.steps or self.smoothed[-1] > best + (DIVERGED - 1) * abs(best):
            raise _Enough


def _suggest(rates: Array, found: Array, smoothed: Array) -> Any:
    """The suggestion, or None and the reason."""
    n = len(rates)
    if n < FEWEST:
        return None, f"the loss grew, or was not finite, within {n} steps: take a smaller `lowest`"
    first = n // 10
    calm = found[: max(first, 5)]
    if smoothed.min() > calm.mean() - 1.5 * calm.std():
        return None, "the loss did not fall by more than it differs from batch to batch"
    half = max(2, len(found) // 16)
    offsets = np.arange(-half, half + 1)
    # Least squares over neighbours, which are equally far apart on the axis of the logarithm: one batch decides nothing.
    slopes = np.correlate(smoothed, offsets, "valid")  # times a constant
    centers = np.arange(half, n - half)
    inside = (centers >= first) & (centers <= int(np.argmin(smoothed)))
    if not inside.any():
        return None, "the loss was least at the first rates: take a smaller `lowest`"
    return float(rates[centers[inside][np.argmin(slopes[inside])]]), None
