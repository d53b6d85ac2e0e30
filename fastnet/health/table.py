"""What a monitor has seen, as a table: a row for each look and array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet import checks, files
from fastnet.health.looks import FIGURES, Look, Stretch
from fastnet.health.probe import BINS

if TYPE_CHECKING:
    from fastnet.health.probe import StatisticsProbe
    from fastnet.types import Path

__all__ = ["COLUMNS", "HealthTable", "Series", "effective_rank", "read_histograms"]

#: Columns of the table, in order.
COLUMNS = (*Look._fields, "name", "kind", *FIGURES)


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

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self._series: dict[tuple[str, str], Any] = {}

    def __len__(self) -> int:
        """Looks so far."""
        return sum(map(len, self.stretches))

    @property
    def looks(self) -> list[Look]:
        return [look for stretch in self.stretches for look in stretch.looks]

    def add(self, look: Look, probe: StatisticsProbe, updated: bool) -> None:
        """Take over what a `StatisticsProbe` has found; `updated`: the step was not a bad one, nor waits for others."""
        if not self.stretches or self.stretches[-1].probe is not probe:
            self.stretches.append(Stretch(probe, len(self)))
        self.stretches[-1].add(look, updated)
        self._series.clear()

    def add_agreement(self, results: Any) -> None:
        """Take over what an `AgreementProbe` has found for the last look."""
        self.stretches[-1].add_agreement(results)
        self._series.clear()

    def add_ranks(self, ranks: dict[str, float]) -> None:
        """Take over the effective ranks of weights, by parameter, for the last look."""
        if self.stretches:
            known = self.stretches[-1].row_of
            self.stretches[-1].add_ranks({name: rank for name, rank in ranks.items() if (name, "weight") in known})
            self._series.clear()

    # Reading

    def by_depth(self, column: str, kind: str) -> tuple[list[str], np.ndarray]:
        """A figure of all arrays of a kind, in the order of the network: names, and an array (looks, names).

        ``by_depth("norm", "gradient")`` shows whether gradients fade or grow from layer to layer.
        """
        checks.choice("column", column, FIGURES)
        names = self.names(kind)
        figures = np.full((len(self), len(names)), np.nan)
        for i, name in enumerate(names):
            series = self.series(name, kind)
            figures[series.at, i] = series.values[column]
        return names, figures

    def names(self, kind: str) -> list[str]:
        """What has rows of a kind, in the order of the network."""
        checks.choice("kind", kind, ("weight", "gradient", "update", "activation"))
        found: dict[str, None] = {}
        for stretch in self.stretches:
            seen = np.isfinite(stretch.figures["size"]).any(axis=0)
            found |= {item.name: None for item in stretch.probe.of(kind) if seen[item.row]}
        return list(found)

    def series(self, name: str, kind: str) -> Series:
        """One array's figures over the looks in which it was seen."""
        key = name, kind
        if key not in self._series:
            parts = [stretch for stretch in self.stretches if key in stretch.row_of]
            if not parts:
                known = {item.name for stretch in self.stretches for item in stretch.probe.of(kind)}
                raise ValueError(f"the table has no {kind} {name!r}{checks.nearest(name, known)}")
            self._series[key] = _series(parts, key)
        return self._series[key]

    def last(self, column: str, name: str, kind: str | None = None) -> float:
        """The newest figure of a column; `kind` where the name has several with it."""
        checks.choice("column", column, FIGURES)
        if kind is None:
            kind = {"update_ratio": "update", "signal_to_noise": "gradient"}.get(column)
            kind = kind or ("activation" if name in self.names("activation") else "weight")
        return self.series(name, kind).values[column][-1]

    def newest(self) -> list[tuple[str, str, dict[str, Any], np.ndarray]]:
        """The last look, without going through those before it: name, kind, figures and histogram of each array.

        The figures are "size", "bad", "zeros", "sum" and "squares" (of the finite elements), "least" and "greatest".
        """
        return self.stretches[-1].newest() if self.stretches else []

    def columns(self) -> dict[str, np.ndarray]:
        """The whole table: an array for each of `COLUMNS`, looks in order, and in a look arrays in order."""
        table: dict[str, list[Any]] = {column: [] for column in COLUMNS}
        for stretch in self.stretches:
            there = np.isfinite(stretch.figures["size"])
            items = [[(item.name, item.kind) for item in stretch.probe.items]] * len(stretch)
            names, kinds = np.array(items, object).transpose(2, 0, 1)
            looks = np.array(stretch.looks, float)
            for i, column in enumerate(Look._fields):
                table[column].append(np.broadcast_to(looks[:, i, None], there.shape)[there])
            table["name"].append(names[there])
            table["kind"].append(kinds[there])
            for column in FIGURES:
                table[column].append(stretch.figures[column][there])
        whole = {column: np.concatenate(parts) if parts else np.empty(0) for column, parts in table.items()}
        return whole | {column: whole[column].astype(np.int64) for column in ("step", "epoch")}

    def histograms(self) -> np.ndarray:
        """Those of the whole table: a row for each of `columns`, with counts in 64 equal steps from "least" to "greatest"."""
        parts = [stretch.all_histograms[np.isfinite(stretch.figures["size"])] for stretch in self.stretches]
        return np.concatenate([np.empty((0, BINS)), *parts]).astype(np.int64)

    def to_csv(self) -> str:
        """The table as text: a line of names, then a line for each row."""
        table = self.columns()
        rows = zip(*(table[column].tolist() for column in COLUMNS), strict=True)
        return files.csv_text(list(COLUMNS), ([_text(value) for value in row] for row in rows))

    def to_frame(self) -> Any:
        """The table as a pandas DataFrame (ModuleNotFoundError without pandas)."""
        import pandas

        return pandas.DataFrame(self.columns())

    def save(self, path: Path) -> None:
        """Write the table to a CSV file, whole or not at all."""
        files.write_bytes(path, self.to_csv().encode())

    def save_histograms(self, path: Path) -> None:
        """Write `histograms` to a safetensors file, whole or not at all; `read_histograms` reads it."""
        files.write_safetensors(path, {"histograms": self.histograms()}, {})


def read_histograms(path: Path, rows: int) -> np.ndarray:
    """The histograms of a table with so many rows, from the file that `HealthTable.save_histograms` wrote.

    Raises
    ------
    ValueError
        The file is damaged, or of another table.
    OSError
        There is no such file, or it can't be read.
    """
    found = files.read_safetensors(path)[0].get("histograms", np.empty(0))
    if found.shape != (rows, BINS):
        raise ValueError(f"{path} is damaged: it does not hold the histograms of a table of {rows} rows")
    return found


def _text(value: Any) -> str:
    return (
        ""
        if isinstance(value, float) and np.isnan(value)
        else (repr(value) if isinstance(value, float) else str(value))
    )


def _series(stretches: Any, key: Any) -> Series:
    rows = [stretch.row_of[key] for stretch in stretches]
    pairs = list(zip(stretches, rows, strict=True))
    item = stretches[0].probe.items[rows[0]]
    return Series(
        np.concatenate([stretch.at for stretch in stretches]),
        np.array([look.step for stretch in stretches for look in stretch.looks]),
        {name: np.concatenate([stretch.figures[name][:, row] for stretch, row in pairs]) for name in FIGURES},
        np.concatenate([stretch.histograms(row) for stretch, row in pairs]),
        np.concatenate([stretch.active(stretch.probe.items[row]) for stretch, row in pairs])
        if item.activation in ("relu", "relu6")
        else None,
    )


def effective_rank(w: np.ndarray) -> float:
    """exp of the entropy of the singular values, scaled to sum 1; 0 for a matrix of zeros (Roy & Vetterli 2007).

    A weight of more axes is the matrix (all but the last, last). The singular values come from the smaller Gram matrix, whose
    rounding hides those below a ten-millionth of the greatest. Not a number where an element isn't finite.
    """
    matrix = w.reshape(-1, w.shape[-1]).astype(np.float64)
    greatest = np.abs(matrix).max()
    if not greatest > 0 or not np.isfinite(greatest):
        return 0.0 if greatest == 0 else float("nan")
    matrix /= greatest
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    squares = np.linalg.eigvalsh(gram)
    values = np.sqrt(squares[squares > 1e-14 * squares[-1]])
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
