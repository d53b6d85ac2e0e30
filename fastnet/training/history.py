"""The figures of a training run, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fastnet import files

if TYPE_CHECKING:
    from fastnet.health.findings import Finding
    from fastnet.health.monitor import HealthMonitor
    from fastnet.types import Path

__all__ = ["History"]


class History(Mapping[str, list[float]]):
    """A mapping from figure ("loss", "val_loss", "accuracy", ...) to the list of its values, one for each epoch.

    Attributes
    ----------
    epochs : int
        Epochs finished. One that was interrupted adds no values.
    stopped : str or None
        Why training ended before its last epoch: "early stopping", "interrupted", "not finite".
    learning_rates : list of float
        The rate of each epoch's first step.
    seconds : list of float
        What each epoch took, with its validation.
    settings : dict
        How it was trained, as texts and numbers: layers, loss, optimizer, seed and so on.
    health : HealthMonitor or None
        What has looked at the training, with ``fit(health=True)`` or a monitor among the callbacks.
    findings : list of Finding
        What it has found, the most severe first; empty without one.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", optimizer="sgd", epochs=3, verbose=0)
    >>> list(history), len(history["loss"])
    (['loss'], 3)
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self.epochs = 0
        self.stopped: str | None = None
        self.learning_rates: list[float] = []
        self.seconds: list[float] = []
        self.settings: dict[str, Any] = {}
        self.health: HealthMonitor | Any = None  # Any: who asks for it has made one

    @property
    def findings(self) -> list[Finding]:
        return [] if self.health is None else self.health.findings

    def append(self, figures: dict[str, float], *, learning_rate: float = float("nan"),
               seconds: float = float("nan")) -> None:  # fmt: skip
        """Add an epoch's figures, its learning rate and its time."""
        self.learning_rates.append(float(learning_rate))
        self.seconds.append(float(seconds))
        for name, value in figures.items():
            if name not in self._values:
                self._values[name] = [float("nan")] * self.epochs
            self._values[name].append(float(value))
        self.epochs += 1
        for values in self._values.values():
            if len(values) < self.epochs:
                values.append(float("nan"))

    def state(self) -> dict[str, Any]:
        """All but the monitor, as numbers and texts."""
        return {
            "values": self._values,
            "epochs": self.epochs,
            "stopped": self.stopped,
            "learning_rates": self.learning_rates,
            "seconds": self.seconds,
            "settings": self.settings,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self._values, self.epochs, self.stopped = state["values"], state["epochs"], state["stopped"]
        self.learning_rates, self.seconds, self.settings = state["learning_rates"], state["seconds"], state["settings"]

    def __getitem__(self, name: str) -> list[float]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def to_csv(self) -> str:
        """A table as text: a line of names ("epoch" first), then a line for each epoch."""
        rows = ([i + 1, *(repr(values[i]) for values in self._values.values())] for i in range(self.epochs))
        return files.csv_text(["epoch", *self._values], rows)

    def save(self, path: Path) -> None:
        """Write the table to a CSV file, whole or not at all."""
        files.write_bytes(path, self.to_csv().encode())

    def _repr_html_(self) -> str:
        """Curves and findings, for notebooks."""
        from fastnet import notebook

        seconds = [value for value in self.seconds if math.isfinite(value)]
        facts = [f"{self.epochs:,} epoch{'s' * (self.epochs != 1)}"]
        facts += [f"{sum(seconds):.3g} s"] * bool(seconds) + [f"ended: {self.stopped}"] * bool(self.stopped)
        charts = [notebook.chart(name, series, may_be_log=name == "loss") for name, series in self._together().items()]
        if len(set(self.learning_rates)) > 1:
            charts.append(notebook.chart("learning rate", {"learning rate": self.learning_rates}, may_be_log=True))
        notes = [notebook.note(finding) for finding in self.findings]
        return notebook.block(notebook.lines("History", ", ".join(facts)), *charts, *notes)

    def _together(self) -> dict[str, dict[str, list[float]]]:
        """The figures that belong into one chart: of the training, and of the validation."""
        found: dict[str, dict[str, Any]] = {}
        for name, values in self._values.items():
            found.setdefault(name.removeprefix("val_"), {})[name] = values
        return found

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self._values.items() if values)
        return f"<history of {self.epochs} epochs{': ' + last if last else ''}>"
