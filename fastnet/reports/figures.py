"""Figures for pages, in one style: curves with their names beside them, histograms, bars, points.

Each function returns a `matplotlib.figure.Figure` of the width of a panel (`Page.figure` puts several side by side),
made without pyplot. Values that are not finite leave gaps.
"""

from __future__ import annotations

import numpy as np

from fastnet.reports.colours import FAINT, GRID, INK, PAPER, SERIES
from fastnet.reports.images import plot_context, require_matplotlib

__all__ = [
    "CHARACTER",
    "DASHES",
    "PANEL",
    "axes",
    "bars",
    "curves",
    "dress",
    "histograms",
    "literal",
    "name_lines",
    "whole_ticks",
    "scatter",
]

PANEL = (4.3, 2.9)  # inches
DASHES = [
    "-",
    (0, (5, 1.6)),
    (0, (1.4, 1.3)),
    (0, (6, 1.5, 1.3, 1.5)),
    (0, (3, 1.2)),
    (0, (8, 2)),
    (0, (2.4, 1, 1, 1)),
    "-",
]
FEW_TICKS = 8
NARROW = 100  # the greatest ratio of a logarithmic axis' ends at which its ticks are plain numbers
LABEL_GAP = 0.082  # of the axes' height, between the names of two lines
CHARACTER = 0.074  # inches, of a name's letters


def literal(text: str) -> str:
    """A text in which dollar signs are just that, not the ends of a formula."""
    return text.replace("$", r"\$")


def axes(*, title="", x="", y="", size=PANEL, right=0.15):
    """A figure and its axes: `right` is what is left free for names beside the lines, in inches."""
    require_matplotlib()
    from matplotlib.figure import Figure

    with plot_context():
        figure = Figure(size)
        width, height = size
        left, bottom, top = 0.62 if y else 0.5, 0.5 if x else 0.35, 0.34 if title else 0.12
        ax = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
        dress(ax, title=title, x=x, y=y)
    return figure, ax


def dress(ax, *, title="", x="", y="") -> None:
    """The common style of axes."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FAINT)
    ax.tick_params(colors=FAINT, which="both", labelsize=8, length=3)
    ax.grid(True, color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_title(literal(title), color=INK, fontsize=10, loc="left", pad=7)
    ax.set_xlabel(literal(x), color=INK, fontsize=9)
    ax.set_ylabel(literal(y), color=INK, fontsize=9)
    ax.patch.set_visible(False)


def curves(
    series,
    *,
    title="",
    x="",
    y="",
    log=False,
    log_x=False,
    limits=None,
    x_limits=None,
    markers=False,
    size=PANEL,
    colours=None,
):
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
            _log_axis(ax, places)
        elif (places == np.round(places)).all():
            whole_ticks(ax)
        if limits is not None:
            ax.set_ylim(*limits)
        if log:
            _plain_ticks(ax)
        if x_limits is not None:
            ax.set_xlim(*x_limits)
        elif not log_x:
            ax.margins(x=0.02)
        name_lines(ax, drawn)
    return figure


def _plain_ticks(ax) -> None:
    """Plain numbers on a logarithmic y axis that has few powers of ten."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    low, high = ax.get_ylim()
    if low > 0 and high / low < NARROW:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def whole_ticks(ax) -> None:
    """Ticks of the x axis at whole numbers only: of epochs, steps, layers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def _log_axis(ax, xs) -> None:
    """A logarithmic x axis; where only few values occur, they are its ticks."""
    ax.set_xscale("log")
    if len(xs) <= FEW_TICKS:
        ax.set_xticks(xs, [f"{x:g}" for x in xs])
        ax.set_xticks([], minor=True)


def _points(values):
    if isinstance(values, tuple):
        xs, ys = values
    else:
        xs, ys = np.arange(1, len(values) + 1), values
    return np.asarray(xs, float), np.array([np.nan if v is None else v for v in ys], float)


def name_lines(ax, drawn) -> None:
    """Write each line's name at its end, in its colour, moved where names would cover each other."""
    ax.get_xlim(), ax.get_ylim()  # matplotlib adjusts them to the data only when they are asked for
    ends = []
    for name, line in drawn:
        xs, ys = line.get_xdata(), np.asarray(line.get_ydata(), float)
        finite = np.flatnonzero(np.isfinite(ys))
        if len(finite) == 0:
            ends.append([0.0, name + " –", line, None])
            continue
        end = xs[finite[-1]], ys[finite[-1]]
        height = ax.transAxes.inverted().transform(ax.transData.transform(end))[1]
        ends.append([float(np.clip(height, 0, 1)), name, line, end])
    ends.sort(key=lambda end: end[0])
    places = spread([end[0] for end in ends], LABEL_GAP)
    for place, (height, name, line, _) in zip(places, ends, strict=True):
        ax.annotate(
            literal(name),
            (1.0, height),
            (1.035, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=line.get_color(),
            fontsize=8.5,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def spread(heights, gap) -> list[float]:
    """Ascending places at least `gap` apart, as near to `heights` (ascending) as a few rounds bring them."""
    places = list(heights)
    for _ in range(200):
        moved = False
        for i in range(len(places) - 1):
            lack = gap - (places[i + 1] - places[i])
            if lack > 1e-6:
                places[i] -= lack / 2
                places[i + 1] += lack / 2
                moved = True
        low, high = min(places, default=0), max(places, default=0)
        shift = max(0.0, -0.02 - low) - max(0.0, high - 1.02)
        places = [place + shift / 2 for place in places]
        if not moved:
            break
    return places


def histograms(groups, *, title="", x="", y="share of values", bins=41, limits=None, log=False, size=PANEL):
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


def bars(values, *, title="", x="", reference=None, form="{:.3g}", limits=None, groups=None, size=None, log=False):
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


def scatter(groups, *, title="", x="", y="", size=PANEL, limits=None):
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
