"""Figures of arrays: heat maps, small images side by side, distributions over time, paths on a surface.

As in `figures.py`, each function returns a `matplotlib.figure.Figure` in the pages' style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnet.reports.axes import CHARACTER, DASHES, FEW_TICKS, PANEL, axes, literal, whole_ticks
from fastnet.reports.colours import FAINT, INK, SERIES
from fastnet.reports.images import plot_context, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastnet.reports.axes import Numbers
    from fastnet.types import Array, ArrayLike

__all__ = ["captioned_images", "confusion_map", "heat_map", "image_grid", "over_time", "surface"]

MOST_PIXELS = 96  # of an image's side in a row of small ones
RIGHT, MISTAKE = 0, 6  # series whose colours a confusion matrix has
MOST_NAMES, MOST_WRITTEN = 60, 15  # classes of a confusion matrix that have their names, and counts, written


def over_time(shares: ArrayLike, *, low: float, high: float, title: str = "", x: str = "epoch", y: str = "",
              times: Sequence[int] | None = None, size: tuple[float, float] = PANEL) -> Figure:  # fmt: skip
    """How a distribution changes: a column for each time, darker where more of the values are.

    Parameters
    ----------
    shares : array (times, bins)
        Each row sums to 1; the bins divide [low, high] evenly.
    times : list of int, optional
        What the columns are called; by default 0, 1, 2, ...
    """
    shares = np.asarray(shares, float)
    figure, ax = axes(title=title, x=x, y=y, size=size)
    with plot_context():
        top = shares.max(axis=1, keepdims=True)
        image = np.sqrt(shares / np.where(top > 0, top, 1)).T
        ax.imshow(
            image,
            origin="lower",
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=1,
            interpolation="none",
            extent=(-0.5, len(shares) - 0.5, low, high),
        )
        ax.grid(False)
        if times is None:
            whole_ticks(ax)
        else:
            marked = np.unique(np.linspace(0, len(times) - 1, min(FEW_TICKS, len(times))).astype(int))
            ax.set_xticks(marked, [f"{times[i]:,}" for i in marked])
    return figure


def heat_map(values: ArrayLike, *, title: str = "", x: str = "", y: str = "", rows: Sequence[str] | None = None,
             columns: Sequence[str] | None = None, diverging: bool = False, form: str | None = None,
             size: tuple[float, float] = PANEL, limits: tuple[float, float] | None = None) -> Figure:  # fmt: skip
    """A matrix in colours, with a scale beside it; `form` ("{:.2f}") also writes the numbers."""
    values = np.array(values, float)
    figure, ax = axes(title=title, x=x, y=y, size=size, right=0.75)
    with plot_context():
        if limits is None:
            most = float(np.nanmax(np.abs(values))) or 1.0
            limits = (-most, most) if diverging else (float(np.nanmin(values)), float(np.nanmax(values)))
        shown = ax.imshow(
            values,
            cmap="RdBu_r" if diverging else "viridis",
            vmin=limits[0],
            vmax=limits[1],
            interpolation="none",
            aspect="auto",
        )
        ax.grid(False)
        for labels, axis in ((columns, ax.xaxis), (rows, ax.yaxis)):
            if labels is not None:
                axis.set_ticks(range(len(labels)), labels)
        box = ax.get_position()
        beside = figure.add_axes((box.x1 + 0.02, box.y0, 0.025, box.height))
        bar = figure.colorbar(shown, cax=beside)
        bar.outline.set_edgecolor(FAINT)
        beside.tick_params(colors=FAINT, labelsize=8, length=3)
        if form is not None:
            middle = (limits[0] + limits[1]) / 2
            half = (limits[1] - limits[0]) / 2 or 1
            for (row, column), value in np.ndenumerate(values):
                dark = abs(value - middle) > 0.6 * half if diverging else value < middle
                ax.annotate(
                    form.format(value),
                    (column, row),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="#ffffff" if dark else "#000000",
                )
    return figure


def image_grid(images: ArrayLike, *, columns: int, titles: Sequence[str] | None = None, diverging: bool = False,
               each: bool = True, gap: int = 1, size: tuple[float, float] | None = None,
               rows: Sequence[str] | None = None) -> Figure:  # fmt: skip
    """Small images side by side, in one picture.

    Parameters
    ----------
    images : array (n, height, width)
    columns : int
        Images in a row.
    titles : list of str, optional
        One over each image.
    rows : list of str, optional
        One beside each row.
    each : bool
        Scale each image by itself; otherwise all alike.
    """
    images = np.array(images, float)
    n, high, wide = images.shape
    lines = -(-n // columns)
    images = _scaled(images, diverging, each)
    mosaic = np.full((lines * (high + gap) - gap, columns * (wide + gap) - gap), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * (high + gap), i % columns * (wide + gap)
        mosaic[top : top + high, left : left + wide] = image
    margin = 0.1 + CHARACTER * max(map(len, rows), default=0) if rows else 0.04
    if size is None:
        width = PANEL[0]
        cell = (width - margin - 0.04) / columns
        size = (width, cell * high / wide * lines + (0.2 * lines if titles else 0) + 0.08)
    require_matplotlib()
    from matplotlib.figure import Figure

    with plot_context():
        figure = Figure(size)
        ax = figure.add_axes(
            (margin / size[0], 0.01, 1 - (margin + 0.04) / size[0], 0.98 - (0.2 / size[1] if titles else 0))
        )
        ax.imshow(mosaic, cmap="RdBu_r" if diverging else "gray", vmin=0, vmax=1, interpolation="none")
        ax.set_axis_off()
        for i, title in enumerate(titles or []):
            ax.annotate(
                title,
                (i % columns * (wide + gap) + wide / 2 - 0.5, i // columns * (high + gap) - 0.5),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=INK,
                annotation_clip=False,
            )
        for i, label in enumerate(rows or []):
            ax.annotate(
                label,
                (-0.5, i * (high + gap) + high / 2 - 0.5),
                (-5, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8.5,
                color=INK,
                annotation_clip=False,
            )
    return figure


def _scaled(images: Array, diverging: bool, each: bool) -> Array:
    """To [0, 1]; diverging images so that zero is in the middle."""
    axis = (1, 2) if each else None
    with np.errstate(invalid="ignore"):
        if diverging:
            most = np.nanmax(np.abs(images), axis=axis, keepdims=True)
            return 0.5 + images / np.where(most > 0, 2 * most, 1)
        low, high = (f(images, axis=axis, keepdims=True) for f in (np.nanmin, np.nanmax))
        return (images - low) / np.where(high > low, high - low, 1)


def captioned_images(images: ArrayLike, captions: Sequence[str], *, columns: int = 4, centred: bool = False) -> Figure:
    """Images side by side, with a line or two of text under each; of large ones every second, third, ... pixel.

    Parameters
    ----------
    images : array (n, height, width, channels)
        One channel is gray; of four the first three are shown.
    captions : list of str
    centred : bool
        Scale all alike, zero becoming gray; otherwise each from its least to its greatest value.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    images = np.asarray(images, float)[..., :3]
    thin = max(1, max(images.shape[1:3]) // MOST_PIXELS)
    images = images[:, ::thin, ::thin]
    n, high, wide = images.shape[:3]
    lines = -(-n // columns)
    gap, text = 0.08, 0.04 + 0.15 * max(caption.count("\n") + 1 for caption in captions)
    cell = (PANEL[0] - gap) / columns - gap
    tall = cell * high / wide
    size = PANEL[0], gap + lines * (tall + text + gap)
    with plot_context():
        figure = Figure(size)
        for i, (image, caption) in enumerate(zip(_scaled_colours(images, centred), captions, strict=True)):
            left, top = gap + i % columns * (cell + gap), gap + i // columns * (tall + text + gap)
            place = (left / size[0], 1 - (top + tall) / size[1], cell / size[0], tall / size[1])
            ax = figure.add_axes(place)
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none", aspect="auto")
            ax.set_axis_off()
            ax.annotate(
                literal(caption),
                (0.5, 0),
                (0, -2),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8,
                linespacing=1.15,
                color=INK,
                annotation_clip=False,
            )
    return figure


def _scaled_colours(images: Array, centred: bool) -> list[Array]:
    """To [0, 1], an image's channels alike; gray ones without the axis of channels."""
    if centred:
        return list(0.5 + images / (2 * max(float(np.abs(images).max()), 1e-30)))
    axis = (1, 2, 3)
    low, high = images.min(axis=axis, keepdims=True), images.max(axis=axis, keepdims=True)
    scaled = (images - low) / np.where(high > low, high - low, 1)
    return list(scaled[..., 0] if images.shape[3] == 1 else scaled)


def confusion_map(counts: ArrayLike, names: Sequence[str]) -> Figure:
    """A confusion matrix: counts, the stronger coloured the larger their share of the row; mistakes in red.

    Parameters
    ----------
    counts : array (classes, classes)
        A row for each true class.
    names : list of str
        Of the classes; up to 60 are written beside the axes, and up to 15 have their counts in the cells.
    """
    require_matplotlib()
    from matplotlib.colors import to_rgb

    counts = np.asarray(counts)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    strength = np.where(np.eye(classes, dtype=bool), shares, np.sqrt(shares))  # few mistakes are seen, too
    named = classes <= MOST_NAMES
    room = 0.3 + (CHARACTER * max(map(len, names)) if named else 0.2)
    side = float(np.clip(0.36 * classes, 2.4, 6.0))
    size = (room + side + 0.3, side + room + 0.2)
    figure, ax = axes(size=size)
    with plot_context():
        ax.set_position((room / size[0], room / size[1], side / size[0], side / size[1]))
        colours = np.empty((classes, classes, 4))
        colours[..., :3] = to_rgb(SERIES[MISTAKE])
        colours[np.eye(classes, dtype=bool), :3] = to_rgb(SERIES[RIGHT])
        colours[..., 3] = strength
        ax.imshow(colours, interpolation="none", aspect="auto")
        ax.grid(False)
        ax.tick_params(length=0)
        if named:
            small = 8 if classes <= 20 else 6
            long = max(map(len, names)) > 3
            shown = [literal(name) for name in names]
            ax.set_xticks(range(classes), shown, rotation=90 if long else 0, fontsize=small, color=INK)
            ax.set_yticks(range(classes), shown, fontsize=small, color=INK)
        ax.set_xlabel("predicted", color=INK, fontsize=9)
        ax.set_ylabel("true", color=INK, fontsize=9)
        if classes <= MOST_WRITTEN:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    ax.annotate(
                        f"{count:,}",
                        (column, row),
                        ha="center",
                        va="center",
                        fontsize=8,
                        color=INK if strength[row, column] < 0.5 else "#ffffff",
                    )
    return figure


def surface(xs: Array, ys: Array, values: ArrayLike, paths: Mapping[str, tuple[Numbers, Numbers]], *, title: str = "",
            x: str = "", y: str = "", size: tuple[float, float] = PANEL, target: tuple[float, float] | None = None,
            colours: Mapping[str, int] | None = None) -> Figure:  # fmt: skip
    """Level lines of a function of two variables, and paths over it.

    Parameters
    ----------
    xs, ys : array (columns,), array (rows,)
    values : array (rows, columns)
        Positive; the levels are evenly spaced in their logarithm.
    paths : dict
        Name -> (x, y) of its points; the first is where it begins.
    target : (float, float), optional
        The minimum, marked by a star.
    colours : dict, optional
        Name -> number of a series' colour, from 0; by default in order.
    """
    values = np.asarray(values, float)
    right = 0.2 + CHARACTER * max(map(len, paths), default=0)
    figure, ax = axes(title=title, x=x, y=y, size=size, right=right)
    with plot_context():
        least = max(float(values.min()), float(values.max()) * 1e-6)
        levels = np.geomspace(least, float(values.max()), 14)
        ax.contour(xs, ys, np.maximum(values, least), levels=levels, colors=FAINT, linewidths=0.6)
        ax.grid(False)
        drawn = []
        for i, (name, (path_x, path_y)) in enumerate(paths.items()):
            path_x, path_y = (np.array([np.nan if v is None else v for v in p], float) for p in (path_x, path_y))
            number = i if colours is None else colours[name]
            (line,) = ax.plot(
                path_x,
                path_y,
                color=SERIES[number % len(SERIES)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.5,
                marker="o",
                markersize=2,
            )
            drawn.append((name, line))
        if target is not None:
            ax.plot(*target, marker="*", color=INK, markersize=9, linestyle="none")
        ax.set_xlim(min(xs), max(xs))
        ax.set_ylim(min(ys), max(ys))
        for row, (name, line) in enumerate(drawn):
            ax.annotate(
                name,
                (1.03, 0.96 - 0.09 * row),
                xycoords="axes fraction",
                color=line.get_color(),
                fontsize=8.5,
                va="center",
                annotation_clip=False,
            )
    return figure
