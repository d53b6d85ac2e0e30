"""Axes in the style of the pages: their ticks, and names at the ends of lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnet.reports.colours import FAINT, GRID, INK
from fastnet.reports.images import plot_context, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from fastnet.types import Array

    #: Numbers, None for what is not finite; a curve's alone are those of y.
    Numbers: TypeAlias = Array | list[Any]
    Curve: TypeAlias = Numbers | tuple[Numbers, Numbers]

__all__ = [
    "CHARACTER", "DASHES", "FEW_TICKS", "LABEL_GAP", "PANEL", "axes", "literal", "log_axis", "name_lines", "plain_ticks",
    "whole_ticks",
]  # fmt: skip

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


def axes(*, title: str = "", x: str = "", y: str = "", size: tuple[float, float] = PANEL,
         right: float = 0.15) -> tuple[Figure, Axes]:  # fmt: skip
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


def dress(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
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


def plain_ticks(ax: Axes) -> None:
    """Plain numbers on a logarithmic y axis that has few powers of ten."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    low, high = ax.get_ylim()
    if low > 0 and high / low < NARROW:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def whole_ticks(ax: Axes) -> None:
    """Ticks of the x axis at whole numbers only: of epochs, steps, layers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def log_axis(ax: Axes, xs: Array) -> None:
    """A logarithmic x axis; where only few values occur, they are its ticks."""
    ax.set_xscale("log")
    if len(xs) <= FEW_TICKS:
        ax.set_xticks(xs, [f"{x:g}" for x in xs])
        ax.set_xticks([], minor=True)


def name_lines(ax: Axes, drawn: Iterable[tuple[str, Line2D]]) -> None:
    """Write each line's name at its end, in its colour, moved where names would cover each other."""
    ax.get_xlim(), ax.get_ylim()  # matplotlib adjusts them to the data only when they are asked for
    ends: list[tuple[float, str, Line2D]] = []
    for name, line in drawn:
        xs, ys = (np.asarray(values, float) for values in (line.get_xdata(), line.get_ydata()))
        finite = np.flatnonzero(np.isfinite(ys))
        if len(finite) == 0:
            ends.append((0.0, name + " –", line))
            continue
        end = xs[finite[-1]], ys[finite[-1]]
        height = ax.transAxes.inverted().transform(ax.transData.transform(end))[1]
        ends.append((float(np.clip(height, 0, 1)), name, line))
    ends.sort(key=lambda end: end[0])
    places = spread([end[0] for end in ends], LABEL_GAP)
    for place, (height, name, line) in zip(places, ends, strict=True):
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


def spread(heights: Sequence[float], gap: float) -> list[float]:
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
