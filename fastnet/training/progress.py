"""The progress bar of a training run, and how many steps fit between two updates of it."""

from __future__ import annotations

__all__ = ["Progress"]


class Progress:
    """Counts epochs and samples; shows them with tqdm where `verbose` is above 0.

    Parameters
    ----------
    epochs, samples : int
        Samples are those of one epoch.
    verbose : int
        0 shows nothing, 1 a bar.
    """

    def __init__(self, epochs: int, samples: int, verbose: int):
        self.epochs = epochs
        self.samples = samples
        self.verbose = verbose
        self.epoch = 0
        self._seconds: dict[int, float] = {}  # of a step, by batch size
        self._bar = None

    def __enter__(self):
        if self.verbose:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.epochs * self.samples, unit=" samples", unit_scale=True, dynamic_ncols=True)
            self._describe()
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def _describe(self) -> None:
        self._bar.set_description(f"epoch {min(self.epoch + 1, self.epochs)}/{self.epochs}", refresh=False)

    def steps_of(self, batch: int, seconds: float) -> int:
        """Steps that take about this long; 1 until one has been timed."""
        step = self._seconds.get(batch)
        return 1 if step is None else max(1, int(seconds / step))

    def advance(self, steps: int, batch: int, seconds: float, sums) -> None:
        if steps:
            self._seconds[batch] = max(seconds / steps, 1e-7)
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
