"""Figures for pages, in one style: curves with their names beside them, histograms, bars, points.

Each function returns a `matplotlib.figure.Figure` of the width of a panel (`Page.figure` puts several side by side),
made without pyplot. Values that are not finite leave gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fastnet.reports.axes import CHARACTER, DASHES, PANEL, axes, literal, log_axis, name_lines, plain_ticks, whole_ticks
from fastnet.reports.colours import FAINT, INK, PAPER, SERIES
from fastnet.reports.images import plot_context

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastnet.reports.axes import Curve, Numbers
    from fastnet.types import Array

__all__ = ["bars", "curves", "histograms", "scatter"]


def curves(series: Mapping[str, Curve], *, title: str = "", x: str = "", y: str = "", log: bool = False,
           log_x: bool = False, limits: tuple[float, float] | None = None, x_limits: tuple[float, float] | None = None,
           markers: bool = False, size: tuple[float, float] = PANEL,
           colours: Mapping[str, int] | None = None) -> Figure:  # fmt: skip
    """Lines with their names at their ends.

    Parameters
    ----------
    series : dict
        Name -> values, or (x, values).
    log, log_x : bool
        Logarithmic axes; values that are not positive leave gaps.
    limits, x_limits : (float, float), optional
    markers : bool
        Show each point.
    colours : dict, optional
        Name -> number of a series' colour, from 0; by default in order.
    """
    lines = {name: _points(values) for name, values in series.items()}
    longest = max((len(name) for name in lines), default=0)
    figure, ax = axes(title=title, x=x, y=y, size=size, right=0.2 + CHARACTER * longest)
    with plot_context():
        drawn = []
        for i, (name, (xs, ys)) in enumerate(lines.items()):
            number = i if colours is None else colours[name]
            if log:
                ys = np.where(ys > 0, ys, np.nan)
            (line,) = ax.plot(
                xs,
                ys,
                color=SERIES[number % len(SERIES)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.7,
                marker="o" if markers else None,
                markersize=3,
            )
            drawn.append((name, line))
        if log:
            ax.set_yscale("log")
        places = np.unique(np.concatenate([xs for xs, _ in lines.values()])) if lines else np.zeros(0)
        if log_x:
            log_axis(ax, places)
        elif (places == np.round(places)).all():
            whole_ticks(ax)
        if limits is not None:
            ax.set_ylim(*limits)
        if log:
            plain_ticks(ax)
        if x_limits is not None:
            ax.set_xlim(*x_limits)
        elif not log_x:
            ax.margins(x=0.02)
        name_lines(ax, drawn)
    return figure


def _points(values: Curve) -> tuple[Array, Array]:
    if isinstance(values, tuple):
        xs, ys = values
    else:
        xs, ys = np.arange(1, len(values) + 1), values
    return np.asarray(xs, float), np.array([np.nan if v is None else v for v in ys], float)


def histograms(groups: Mapping[str, Curve], *, title: str = "", x: str = "", y: str = "share of values", bins: int = 41,
               limits: tuple[float, float] | None = None, log: bool = False,
               size: tuple[float, float] = PANEL) -> Figure:  # fmt: skip
    """Outlines of the distributions of several arrays, over the same bins.

    Parameters
    ----------
    groups : dict
        Name -> values, or (edges, shares).
    """
    with plot_context():
        counted = {}
        if limits is None:
            arrays = [np.asarray(v, float).ravel() for v in groups.values() if not isinstance(v, tuple)]
            finite = np.concatenate([a[np.isfinite(a)] for a in arrays]) if arrays else np.zeros(1)
            limits = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        for name, values in groups.items():
            if isinstance(values, tuple):
                counted[name] = tuple(np.asarray(v, float) for v in values)
            else:
                counts, edges = np.histogram(np.asarray(values, float).ravel(), bins, limits)
                counted[name] = edges, counts / max(1, np.size(values))
    series = {name: (np.repeat(edges, 2)[1:-1], np.repeat(shares, 2)) for name, (edges, shares) in counted.items()}
    return curves(series, title=title, x=x, y=y, log=log, size=size)


def bars(values: Mapping[str, float | None], *, title: str = "", x: str = "", reference: tuple[float, str] | None = None,
         form: str = "{:.3g}", limits: tuple[float, float] | None = None, groups: Mapping[str, int] | None = None,
         size: tuple[float, float] | None = None, log: bool = False) -> Figure:  # fmt: skip
    """Horizontal bars with their names at the left and values at their ends.

    Parameters
    ----------
    values : dict
        Name -> number; None and what is not finite is shown as a dash.
    reference : (float, str), optional
        A value to compare with, and its name.
    groups : dict, optional
        Name -> number of a colour.
    """
    names = list(values)
    numbers = [np.nan if v is None else float(v) for v in values.values()]
    height = 0.72 + 0.245 * len(names)
    figure, ax = axes(title=title, x=x, size=size or (PANEL[0], height), right=0.55)
    with plot_context():
        width = figure.get_size_inches()[0]
        left = 0.18 + CHARACTER * max(map(len, names), default=0)
        box = ax.get_position()
        ax.set_position((left / width, box.y0, 1 - (left + 0.55) / width, box.height))
        rows = np.arange(len(names))[::-1]
        colours = [SERIES[(groups or {}).get(name, 0) % len(SERIES)] for name in names]
        ax.barh(rows, np.nan_to_num(numbers), color=colours, height=0.66)
        if log:
            ax.set_xscale("log")
        if limits is not None:
            ax.set_xlim(*limits)
        ax.set_yticks(rows, [literal(name) for name in names], color=INK, fontsize=8.5)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        ax.set_ylim(-0.7, len(names) - 0.3)
        for row, number in zip(rows, numbers, strict=True):
            text = form.format(number) if np.isfinite(number) else "–"
            ax.annotate(
                text,
                (number if np.isfinite(number) else 0, row),
                (3, 0),
                textcoords="offset points",
                color=INK,
                fontsize=8,
                va="center",
                annotation_clip=False,
            )
        if reference is not None:
            value, text = reference
            ax.axvline(value, color=INK, linewidth=1, linestyle=DASHES[1])
            ax.annotate(
                text,
                (value, 1),
                (3, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=FAINT,
                fontsize=8,
                ha="left",
                annotation_clip=False,
            )
    return figure


def scatter(groups: Mapping[str, tuple[Numbers, Numbers]], *, title: str = "", x: str = "", y: str = "",
            size: tuple[float, float] = PANEL, limits: tuple[float, float] | None = None) -> Figure:  # fmt: skip
    """Points of several named groups, the names in a row above them."""
    figure, ax = axes(title=title, x=x, y=y, size=size)
    with plot_context():
        for i, (name, (xs, ys)) in enumerate(groups.items()):
            ax.plot(
                xs,
                ys,
                "os^Dv"[i % 5],
                color=SERIES[i % len(SERIES)],
                markersize=4,
                markeredgecolor=PAPER,
                markeredgewidth=0.4,
                label=name,
            )
        if limits is not None:
            ax.set_ylim(*limits)
        ax.legend(fontsize=8, frameon=False, labelcolor=INK, loc="best")
    return figure
