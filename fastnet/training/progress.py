"""The progress bar of a training run, and how many steps fit between two updates of it."""

from __future__ import annotations

__all__ = ["RUN_SECONDS", "Pace", "Progress"]

RUN_SECONDS = 0.05  # after which replay returns to Python: progress, callbacks, Ctrl-C


class Pace:
    """How many steps take about as long as a run should."""

    def __init__(self):
        self._seconds: dict[int, float] = {}  # of a step, by batch size

    def steps_of(self, batch: int) -> int:
        """Steps of one run; 1 until one has been timed."""
        step = self._seconds.get(batch)
        return 1 if step is None else max(1, int(RUN_SECONDS / step))

    def timed(self, batch: int, steps: int, seconds: float) -> None:
        if steps:
            self._seconds[batch] = max(seconds / steps, 1e-7)


class Progress:
    """Counts epochs and samples; shows them with tqdm where `verbose` is above 0.

    Parameters
    ----------
    epochs, samples : int
        Samples are those of one epoch.
    verbose : int
        0 shows nothing, 1 a bar.
    epoch, done : int
        Epochs that are finished already, and samples of the one behind them.
    """

    def __init__(self, epochs: int, samples: int, verbose: int, epoch: int = 0, done: int = 0):
        self.epochs = epochs
        self.samples = samples
        self.verbose = verbose
        self.epoch = epoch
        self.done = done
        self._bar = None

    def __enter__(self):
        if self.verbose:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.epochs * self.samples, initial=self.epoch * self.samples + self.done,
                             unit=" samples", unit_scale=True, dynamic_ncols=True)  # fmt: skip
            self._describe()
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def _describe(self) -> None:
        self._bar.set_description(f"epoch {min(self.epoch + 1, self.epochs)}/{self.epochs}", refresh=False)

    def advance(self, steps: int, batch: int, sums) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(_text(sums.result()), refresh=False)
            self._bar.update(steps * batch)

    def end_epoch(self, figures: dict[str, float]) -> None:
        self.epoch += 1
        if self._bar is not None:
            self._describe()
            self._bar.set_postfix_str(_text(figures))


def _text(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
