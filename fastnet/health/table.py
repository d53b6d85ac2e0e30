"""What a monitor has seen, as a table: a row for each look and array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnet import checks, files
from fastnet.health.probe import BINS, HEAD

__all__ = ["COLUMNS", "HealthTable", "Look", "Series", "effective_rank"]

#: Columns of the table, in order.
COLUMNS = (
    "step", "epoch", "loss", "name", "kind", "size", "mean", "std", "norm", "least", "greatest", "zeros", "bad",
    "update_ratio", "signal_to_noise", "dead", "saturated", "effective_rank",
)  # fmt: skip
NUMBERS = COLUMNS[5:]


class Look(NamedTuple):
    """When a look was: the count of updates and of finished epochs, and the batch's loss."""

    step: int
    epoch: int
    loss: float


class Series(NamedTuple):
    """One array's figures over the looks.

    Attributes
    ----------
    at : ndarray (looks,)
        Numbers of the table's looks.
    steps : ndarray (looks,)
    values : dict of str to ndarray (looks,)
        By column. Not a number where a figure is not defined, or was not seen.
    histograms : ndarray (looks, 64)
        Counts in equal steps from "least" to "greatest".
    active : ndarray (looks, units) or None
        The share of rows in which each unit is on, where an activation can be off.
    """

    at: np.ndarray
    steps: np.ndarray
    values: dict[str, np.ndarray]
    histograms: np.ndarray
    active: np.ndarray | None


class HealthTable:
    """Figures of weights, gradients, updates and activations, over the steps that were looked at.

    A row is an array at a look: ``name`` is a parameter's, with ``kind`` "weight" (after the update), "gradient" (before
    clipping) or "update" (the difference that it made), or a layer's or "input", with ``kind`` "activation". The figures, over
    the finite elements:

    - ``mean``, ``std``, ``norm`` (Euclidean), ``least``, ``greatest``; ``zeros``, the share of elements that are 0; ``bad``,
      how many are NaN or infinite
    - of an update, ``update_ratio``: its norm over that of the weights
    - of a gradient, ``signal_to_noise``: g . h / ((|g|^2 + |h|^2) / 2 - g . h) with the gradients g and h of two batches in a row:
      how much of a batch's gradient all samples agree on, over what is its own
    - of an activation, ``dead``: the share of units that are off for all samples of the look, after relu and relu6; and
      ``saturated``: the share of outputs where the slope is below a twentieth of its greatest, after sigmoid, tanh, relu6,
      elu and selu

    - of weights, now and then, ``effective_rank``: the exponential of the entropy of the matrix's singular values, scaled to sum 1
      (Roy & Vetterli 2007): how many directions it really uses

    Layers that are computed as part of the call before them (an activation behind a convolution) have no row of their own.
    """

    def __init__(self):
        self._looks: list[dict] = []
        self._series: dict = {}

    def __len__(self):
        """Looks so far."""
        return len(self._looks)

    @property
    def looks(self) -> list[Look]:
        return [entry["look"] for entry in self._looks]

    def add(self, look: Look, probe, updated: bool) -> None:
        """Take over what a `StatisticsProbe` has found; `updated`: the step was not a bad one, nor waits for others."""
        self._looks.append(
            {
                "look": look,
                "items": probe.items,
                "results": probe.results.copy(),
                "active": probe.active.copy(),
                "saturated": probe.saturated.copy(),
                "rows": dict(probe.rows),
                "updated": updated,
                "agreement": None,
                "ranks": {},
            }
        )
        self._series.clear()

    def add_agreement(self, results) -> None:
        """Take over what an `AgreementProbe` has found for the last look."""
        self._looks[-1]["agreement"] = results.copy()
        self._series.clear()

    def add_ranks(self, ranks: dict[str, float]) -> None:
        """Take over the effective ranks of weights, by parameter, for the last look."""
        if self._looks:
            self._looks[-1]["ranks"] = ranks
            self._series.clear()

    # Reading

    def by_depth(self, column: str, kind: str) -> tuple[list[str], np.ndarray]:
        """A figure of all arrays of a kind, in the order of the network: names, and an array (looks, names).

        ``by_depth("norm", "gradient")`` shows whether gradients fade or grow from layer to layer.
        """
        checks.choice("column", column, NUMBERS)
        names = self.names(kind)
        figures = np.full((len(self), len(names)), np.nan)
        for i, name in enumerate(names):
            series = self.series(name, kind)
            figures[series.at, i] = series.values[column]
        return names, figures

    def names(self, kind: str) -> list[str]:
        """What has rows of a kind, in the order of the network."""
        checks.choice("kind", kind, ("weight", "gradient", "update", "activation"))
        found = {item.name: None for entry in self._looks for item in entry["items"] if item.kind == kind}
        return [name for name in found if np.isfinite(self.series(name, kind).values["size"]).any()]

    def series(self, name: str, kind: str) -> Series:
        """One array's figures over the looks in which it was seen."""
        key = name, kind
        if key not in self._series:
            rows = [
                (at, entry, item)
                for at, entry in enumerate(self._looks)
                for item in entry["items"]
                if (item.name, item.kind) == key
            ]
            if not rows:
                known = {item.name for entry in self._looks for item in entry["items"] if item.kind == kind}
                raise ValueError(f"the table has no {kind} {name!r}{checks.nearest(name, known)}")
            self._series[key] = _series(rows)
        return self._series[key]

    def last(self, column: str, name: str, kind: str | None = None) -> float:
        """The newest figure of a column; `kind` where the name has several with it."""
        checks.choice("column", column, NUMBERS)
        if kind is None:
            kind = {"update_ratio": "update", "signal_to_noise": "gradient"}.get(column)
            kind = kind or ("activation" if name in self.names("activation") else "weight")
        return self.series(name, kind).values[column][-1]

    def columns(self) -> dict[str, np.ndarray]:
        """The whole table: an array for each of `COLUMNS`, looks in order, and in a look arrays in order."""
        table: dict[str, list] = {column: [] for column in COLUMNS}
        for at, entry in enumerate(self._looks):
            for item in entry["items"]:
                figures = _figures(entry, item)
                if np.isnan(figures["size"]):
                    continue
                for column, value in zip(COLUMNS, (*self._looks[at]["look"], item.name, item.kind), strict=False):
                    table[column].append(value)
                for column in NUMBERS:
                    table[column].append(figures[column])
        return {column: np.array(values) for column, values in table.items()}

    def to_csv(self) -> str:
        """The table as text: a line of names, then a line for each row."""
        table = self.columns()
        rows = zip(*(table[column].tolist() for column in COLUMNS), strict=True)
        return files.csv_text(list(COLUMNS), ([_text(value) for value in row] for row in rows))

    def to_frame(self):
        """The table as a pandas DataFrame (ModuleNotFoundError without pandas)."""
        import pandas

        return pandas.DataFrame(self.columns())

    def save(self, path) -> None:
        """Write the table to a CSV file, whole or not at all."""
        files.write_bytes(path, self.to_csv().encode())


def _text(value) -> str:
    return (
        ""
        if isinstance(value, float) and np.isnan(value)
        else (repr(value) if isinstance(value, float) else str(value))
    )


def _figures(entry: dict, item) -> dict[str, float]:
    """The figures of one row."""
    result = dict(zip(HEAD, entry["results"][item.row, :-BINS], strict=True))
    seen = max(result["size"] - result["bad"], 1)
    mean = result["sum"] / seen
    figures = dict.fromkeys(NUMBERS, float("nan"))
    figures |= {
        "size": result["size"],
        "mean": mean,
        "std": np.sqrt(max(result["squares"] / seen - mean * mean, 0.0)) if seen == seen else float("nan"),
        "norm": np.sqrt(result["squares"]),
        "least": result["least"],
        "greatest": result["greatest"],
        "zeros": result["zeros"] / max(result["size"], 1) if result["size"] == result["size"] else float("nan"),
        "bad": result["bad"],
    }
    if item.kind == "weight":
        figures["effective_rank"] = entry["ranks"].get(item.name, float("nan"))
    if item.kind == "update" and entry["updated"]:
        weights = np.sqrt(entry["results"][item.row - 2, HEAD.index("squares")])
        figures["update_ratio"] = figures["norm"] / weights if weights else float("nan")
    if item.kind == "gradient" and entry["agreement"] is not None:
        product, g, h = entry["agreement"][item.row // 3]
        noise = (g + h) / 2 - product
        figures["signal_to_noise"] = max(product, 0.0) / noise if noise > 0 else float("nan")
    if item.units is not None and figures["size"] == figures["size"]:
        rows = entry["rows"][item.name]
        if item.activation in ("relu", "relu6"):
            figures["dead"] = float(np.mean(entry["active"][item.units] == 0))
        if item.activation != "relu":
            figures["saturated"] = float(np.mean(entry["saturated"][item.units]) / rows)
    return figures


def _series(rows) -> Series:
    figures = [_figures(entry, item) for _, entry, item in rows]
    active = None
    if rows[0][2].activation in ("relu", "relu6"):
        active = np.array([entry["active"][item.units] / entry["rows"].get(item.name, 1) for _, entry, item in rows])
    return Series(
        np.array([at for at, _, _ in rows]),
        np.array([entry["look"].step for _, entry, _ in rows]),
        {column: np.array([row[column] for row in figures]) for column in NUMBERS},
        np.array([entry["results"][item.row, -BINS:] for _, entry, item in rows]),
        active,
    )


def effective_rank(w: np.ndarray) -> float:
    """exp of the entropy of the singular values, scaled to sum 1; 0 for a matrix of zeros (Roy & Vetterli 2007).

    A weight of more axes is the matrix (all but the last, last). The singular values come from the smaller Gram matrix, whose
    rounding hides those below a ten-millionth of the greatest.
    """
    matrix = w.reshape(-1, w.shape[-1]).astype(np.float64)
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    if not np.isfinite(gram).all():
        return float("nan")
    squares = np.linalg.eigvalsh(gram)
    values = np.sqrt(squares[squares > 1e-14 * max(squares[-1], 0.0)])
    if not len(values) or not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
