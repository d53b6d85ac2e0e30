"""What goes on inside of a network while it is trained, as numbers for a page; and its first layer as images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnet.network import Network
    from fastnet.types import Array

__all__ = ["first_filters", "internals_of", "is_weight"]

LEAST_BINS, BINS = 12, 48
MOST_TIMES = 48  # columns of a distribution over time
MOST_FILTERS = 64
TAIL = 0.002  # share of values at each end that a distribution's range leaves out

#: Figures of the health table that a page shows, by kind.
SHOWN = {
    "weight": ("mean", "std", "norm"),
    "gradient": ("mean", "std", "norm", "signal_to_noise"),
    "update": ("update_ratio",),
    "activation": ("mean", "std", "dead", "saturated"),
}


def is_weight(name: str) -> bool:
    """Whether a parameter is a weight, not a bias or a scale of a norm."""
    layer, _, last = name.rpartition(".")
    return last == "weight" and "norm" not in layer


def internals_of(columns: Mapping[str, Array], histograms: Array | None = None) -> dict[str, Any]:
    """A health table's figures by kind and array, and distributions.

    Parameters
    ----------
    columns : dict of str to ndarray
        `HealthTable.columns()`, or read from its file.
    histograms : ndarray (rows, bins), optional
        `HealthTable.histograms()`, or read from its file.

    Returns
    -------
    dict
        "looks"; "figures": kind -> name -> {"step": [...], "norm": [...], ...}, without those that are never
        defined; "histograms": kind -> name -> {"steps", "low", "high", "shares"}, of weights and their gradients.
    """
    figures: dict[str, dict[str, Any]] = {kind: {} for kind in SHOWN}
    if not columns or not len(columns["step"]):
        return {"looks": 0, "figures": figures, "histograms": {}}
    for kind, shown in SHOWN.items():
        for name, rows in _rows_by_name(columns, kind).items():
            values = {column: columns[column][rows] for column in shown}
            values = {column: v.tolist() for column, v in values.items() if np.isfinite(v).any()}
            figures[kind][name] = {"step": columns["step"][rows].astype(int).tolist(), **values}
    distributions: dict[str, dict[str, Any]] = {}
    if histograms is not None:
        for kind in ("weight", "gradient"):
            distributions[kind] = {}
            for name, rows in _rows_by_name(columns, kind).items():
                if not is_weight(name):
                    continue
                found = _distribution({column: values[rows] for column, values in columns.items()}, histograms[rows])
                if found is not None:
                    distributions[kind][name] = found
    return {"looks": len(np.unique(columns["step"])), "figures": figures, "histograms": distributions}


def _rows_by_name(columns: Mapping[str, Array], kind: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in np.flatnonzero(columns["kind"] == kind).tolist():
        found.setdefault(str(columns["name"][row]), []).append(row)
    return found


def _distribution(columns: Mapping[str, Array], histograms: Array) -> dict[str, Any] | None:
    """Histograms with ranges of their own as shares of one range's bins."""
    least, greatest = columns["least"], columns["greatest"]
    good = np.flatnonzero(np.isfinite(least) & np.isfinite(greatest) & (histograms.sum(axis=1) > 0))
    if len(good) < 2:
        return None
    good = good[np.unique(np.linspace(0, len(good) - 1, min(MOST_TIMES, len(good))).astype(int))]
    edges = [np.linspace(least[i], greatest[i], histograms.shape[1] + 1) for i in good]
    below = [np.concatenate([[0], np.cumsum(histograms[i])]) / histograms[i].sum() for i in good]
    low = min(np.interp(TAIL, b, e) for b, e in zip(below, edges, strict=True))
    high = max(np.interp(1 - TAIL, b, e) for b, e in zip(below, edges, strict=True))
    if not high > low:
        return None
    # Few values in many bins would look like noise.
    bins = int(np.clip(2 * np.sqrt(columns["size"][good[0]]), LEAST_BINS, BINS))
    places = np.linspace(low, high, bins + 1)
    shares = np.array([_shares(places, b, e) for b, e in zip(below, edges, strict=True)])
    return {
        "steps": columns["step"][good].astype(int).tolist(),
        "low": float(low),
        "high": float(high),
        "shares": np.round(shares, 5).tolist(),
    }


def _shares(places: Array, below: Array, edges: Array) -> Array:
    """The share of values in each bin; where all values are equal their bin has them all."""
    if edges[0] == edges[-1]:
        return np.histogram(edges[:1], places)[0].astype(float)
    return np.diff(np.interp(places, edges, below))


def first_filters(net: Network) -> tuple[dict[str, Any], Array] | None:
    """The weights of the first layer as images, if the network's inputs are images.

    A convolution's filters with one or three channels; of a dense layer that reads the pixels, a picture of each unit's
    weights.

    Returns
    -------
    numbers : dict
        "layer", "kind", "shown" and "all".
    images : ndarray (filters, height, width, channels)
    """
    if len(net.input_shape) != 3 or net.input_shape[2] not in (1, 3):
        return None
    for node in net.graph.nodes:
        weight = next((p for p in node.layer.parameters() if p.local_name == "weight" and len(p.shape) > 1), None)
        if weight is None:
            if node.layer.parameters():
                return None
            continue
        w = np.asarray(weight.value, np.float64)
        if w.ndim == 4 and w.shape[2] in (1, 3) and min(w.shape[:2]) > 1:
            images, kind = w.transpose(3, 0, 1, 2), "filter"
        elif w.ndim == 2 and w.shape[0] == np.prod(net.input_shape):
            images, kind = w.T.reshape(-1, *net.input_shape), "unit"
        else:
            return None
        if not np.isfinite(images).all():
            return None
        shown = images[:MOST_FILTERS]
        return {"layer": node.name, "kind": kind, "shown": len(shown), "all": len(images)}, shown
    return None
