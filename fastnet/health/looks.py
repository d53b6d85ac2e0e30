"""Looks in a row at the same arrays, and the figures of all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet.health.probe import BINS, HEAD

if TYPE_CHECKING:
    from fastnet.health.probe import Item, StatisticsProbe
    from fastnet.types import Array, Figures

__all__ = ["FIGURES", "Look", "Stretch"]

#: What is known of each array at each look.
FIGURES = (
    "size", "mean", "std", "norm", "least", "greatest", "zeros", "bad", "update_ratio", "signal_to_noise", "dead", "saturated",
    "effective_rank",
)  # fmt: skip


class Look(NamedTuple):
    """When a look was: the count of updates and of finished epochs, and the batch's loss."""

    step: int
    epoch: int
    loss: float


class Stretch:
    """Looks that were taken with one probe.

    Parameters
    ----------
    probe : StatisticsProbe
    first : int
        The number of its first look in the table.
    """

    def __init__(self, probe: StatisticsProbe, first: int) -> None:
        self.probe = probe
        self.first = first
        self.row_of = {(item.name, item.kind): item.row for item in probe.items}
        self.looks: list[Look] = []
        self._heads: list[np.ndarray] = []
        self._histograms: list[np.ndarray] = []
        self._active: list[np.ndarray] = []
        self._saturated: list[np.ndarray] = []
        self.updated: list[bool] = []
        self.agreements: dict[int, np.ndarray] = {}  # by the look's number in the stretch, as the ranks are
        self.ranks: dict[int, Figures] = {}
        self._figures: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.looks)

    def arrays(self) -> dict[str, list[Array]]:
        """The lists that have an array of one shape for each look."""
        return {
            "heads": self._heads,
            "histograms": self._histograms,
            "active": self._active,
            "saturated": self._saturated,
        }

    def add(self, look: Look, updated: bool) -> None:
        """Take over what the probe has found."""
        probe = self.probe
        self.looks.append(look)
        self._heads.append(probe.results[:, :-BINS].copy())
        self._histograms.append(probe.results[:, -BINS:].copy())
        self._active.append(probe.active.copy())
        self._saturated.append(probe.saturated.copy())
        self.updated.append(updated)
        self._figures = None

    def add_agreement(self, results: np.ndarray) -> None:
        self.agreements[len(self) - 1] = results.copy()
        self._figures = None

    def add_ranks(self, ranks: Figures) -> None:
        self.ranks[len(self) - 1] = ranks
        self._figures = None

    def newest(self) -> list[tuple[str, str, dict[str, Any], np.ndarray]]:
        """Of each array in the last look: name, kind, what `HEAD` names, and the counts of its histogram."""
        found = []
        for item in self.probe.items:
            head = dict(zip(HEAD, self._heads[-1][item.row].tolist(), strict=True))
            if np.isfinite(head["size"]):
                found.append((item.name, item.kind, head, self._histograms[-1][item.row]))
        return found

    @property
    def at(self) -> np.ndarray:
        """The numbers of its looks in the table."""
        return self.first + np.arange(len(self))

    def histograms(self, row: int) -> np.ndarray:
        return np.array([histograms[row] for histograms in self._histograms])

    @property
    def all_histograms(self) -> np.ndarray:
        """Of all arrays at all looks: (looks, items, 64)."""
        return np.array(self._histograms)

    def active(self, item: Item) -> Array:
        """The share of rows in which each unit of an item is on, (looks, units)."""
        return np.array([active[item.units] for active in self._active]) / self._rows(item)[:, None]

    def _rows(self, item: Item) -> Array:
        """Rows of an item's output that were looked at, (looks,); 1 where it was not seen."""
        assert item.units is not None
        sizes = np.array([head[item.row, HEAD.index("size")] for head in self._heads])
        return np.where(sizes > 0, sizes / (item.units.stop - item.units.start), 1)

    @property
    def figures(self) -> dict[str, np.ndarray]:
        """By name, of all arrays at all looks: (looks, items). Not a number where a figure is not defined, or was not seen."""
        if self._figures is None:
            with np.errstate(invalid="ignore", divide="ignore"):
                self._figures = self._compute()
        return self._figures

    def _compute(self) -> dict[str, np.ndarray]:
        heads = np.array(self._heads)
        head = {name: heads[:, :, i] for i, name in enumerate(HEAD)}
        seen = np.maximum(head["size"] - head["bad"], 1)
        mean = head["sum"] / seen
        figures = {name: np.full(mean.shape, np.nan) for name in FIGURES}
        figures |= {
            "size": head["size"],
            "mean": mean,
            "std": np.sqrt(np.maximum(head["squares"] / seen - mean * mean, 0)),
            "norm": np.sqrt(head["squares"]),
            "least": head["least"],
            "greatest": head["greatest"],
            "zeros": head["zeros"] / np.maximum(head["size"], 1),
            "bad": head["bad"],
        }
        # The rows of a parameter are its weights, gradient and update, in this order.
        updates = np.array([item.row for item in self.probe.of("update")], int)
        if len(updates):
            weights = figures["norm"][:, updates - 2]
            ratios = np.where(weights > 0, figures["norm"][:, updates] / weights, np.nan)
            figures["update_ratio"][:, updates] = np.where(np.array(self.updated)[:, None], ratios, np.nan)
            for look, agreement in self.agreements.items():
                product, g, h = agreement.T
                noise = (g + h) / 2 - product
                figures["signal_to_noise"][look, updates - 1] = np.where(
                    noise > 0, np.maximum(product, 0) / noise, np.nan
                )
        for look, ranks in self.ranks.items():
            for name, rank in ranks.items():
                figures["effective_rank"][look, self.row_of[name, "weight"]] = rank
        self._add_units(figures)
        return figures

    def _add_units(self, figures: dict[str, Array]) -> None:
        for item in self.probe.items:
            if item.units is None or item.ends is None:
                continue
            there = np.isfinite(figures["size"][:, item.row])
            if item.activation in ("relu", "relu6"):
                dead = (self.active(item) == 0).mean(axis=1)
                figures["dead"][:, item.row] = np.where(there, dead, np.nan)
            if item.ends.has_flat:
                saturated = np.array([counts[item.units] for counts in self._saturated]).mean(axis=1) / self._rows(item)
                figures["saturated"][:, item.row] = np.where(there, saturated, np.nan)
