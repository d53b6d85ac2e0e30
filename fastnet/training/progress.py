"""The progress bar of a training run, and how many steps fit between two updates of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.files import register
from fastnet.training.callbacks import Callback

if TYPE_CHECKING:
    from fastnet.training.steps import Sums

__all__ = ["Pace", "Progress", "ProgressBar", "bar_of"]

RUN_SECONDS = 0.05  # after which replay returns to Python: progress, callbacks, Ctrl-C


@register
class ProgressBar(Callback):
    """Shows how far training is, with the figures so far: tqdm's bar, in a notebook its widget (where ipywidgets is installed).

    ``fit(verbose=1)``, the default, is one of these; put one among the callbacks to choose how it looks. There is always one
    bar: a ProgressBar among the callbacks takes the place of verbose's, and is shown with ``verbose=0``, too. It moves about
    20 times a second, and training does not return to Python more often for it.

    Parameters
    ----------
    by_epoch : bool, default False
        A bar for each epoch, one below the other, with its last figures; otherwise one for all epochs.
    leave : bool, default True
        Bars stay when they are full.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> bar = fn.ProgressBar(by_epoch=True)
    >>> history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", epochs=2, callbacks=[bar])
    """

    on_one_rank = True
    may_differ = ("by_epoch", "leave")

    def __init__(self, *, by_epoch: bool = False, leave: bool = True) -> None:
        self.by_epoch = checks.flag("by_epoch", by_epoch)
        self.leave = checks.flag("leave", leave)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"by_epoch": self.by_epoch, "leave": self.leave}


def bar_of(callbacks: Iterable[Callback], verbose: int) -> ProgressBar | None:
    """The one bar of a training: that among the callbacks, else verbose's."""
    found = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
    if len(found) > 1:
        raise ValueError("callbacks has several progress bars; one is shown")
    if found:
        return found[0]
    return ProgressBar() if verbose else None


class Pace:
    """How many steps take about as long as a run should."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # of a step, by batch size

    def steps_of(self, batch: int) -> int:
        """Steps of one run; 1 until one has been timed."""
        step = self._seconds.get(batch)
        return 1 if step is None else max(1, int(RUN_SECONDS / step))

    def timed(self, batch: int, steps: int, seconds: float) -> None:
        if steps:
            self._seconds[batch] = max(seconds / steps, 1e-7)


class Progress:
    """Counts epochs and samples, and shows them.

    Parameters
    ----------
    epochs : int
    samples : int or None
        Of one epoch; where nobody knows, None until the first has ended.
    bar : ProgressBar or None
        How they are shown; None shows nothing.
    epoch, done : int
        Epochs that are finished already, and samples of the one behind them.
    """

    def __init__(
        self, epochs: int, samples: int | None, bar: ProgressBar | None, epoch: int = 0, done: int = 0
    ) -> None:
        self.epochs = epochs
        self.samples = samples
        self.bar = bar
        self.epoch = epoch
        self._advanced = done  # samples, in this epoch
        self._shown: Any = None

    def __enter__(self) -> Progress:
        self._show(self._advanced)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown is not None:
            self._shown.close()

    def _show(self, done: int = 0) -> None:
        """A bar, of this epoch or of all, with as many samples of this epoch behind it."""
        if self.bar is None:
            return
        from tqdm.auto import tqdm

        total, initial = self._total(), done
        if not self.bar.by_epoch and self.samples is not None:
            initial += self.epoch * self.samples
        self._shown = tqdm(
            total=total, initial=initial, unit=" samples", unit_scale=True, dynamic_ncols=True, leave=self.bar.leave
        )  # fmt: skip
        self._describe()

    def _total(self) -> int | None:
        by_epoch = self.bar is not None and self.bar.by_epoch
        return self.samples if by_epoch or self.samples is None else self.epochs * self.samples

    def _describe(self) -> None:
        self._shown.set_description(f"epoch {min(self.epoch + 1, self.epochs)}/{self.epochs}", refresh=False)

    def advance(self, steps: int, batch: int, sums: Sums) -> None:
        self._advanced += steps * batch
        if self._shown is not None:
            self._shown.set_postfix_str(_text(sums.result()), refresh=False)
            self._shown.update(steps * batch)

    def end_epoch(self, figures: dict[str, float]) -> None:
        self.epoch += 1
        self.samples, self._advanced = self.samples or self._advanced, 0
        if self._shown is None or self.bar is None:
            return
        self._shown.total = self._total()
        if not self.bar.by_epoch:
            self._describe()
        self._shown.set_postfix_str(_text(figures))
        if self.bar.by_epoch and self.epoch < self.epochs:
            self._shown.close()
            self._show()


def _text(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
