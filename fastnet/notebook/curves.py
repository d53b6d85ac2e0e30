"""Curves as SVG within a page, drawn without Matplotlib, so that they are there in every notebook at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from fastnet.notebook.markup import COLOURS, escaped

__all__ = ["chart"]

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 24, 30  # what is free around the curves
DASHES = ("", "5 3", "2 2", "7 2 2 2")
MOST_POINTS = 400  # of a curve; of longer ones the least and greatest value of each part are drawn
WIDE = 20  # the ratio of the greatest to the least value from which an axis is logarithmic, as on the reports' pages


def chart(title: str, series: Mapping[str, Sequence[float]], *, may_be_log: bool = False) -> str:
    """Curves over the epochs, with their names and last values below.

    Parameters
    ----------
    title : str
    series : dict
        Name -> a value for each epoch. Values that are not finite leave gaps.
    may_be_log : bool
        The axis is logarithmic where all values are above zero and far apart.
    """
    values = [v for given in series.values() for v in given if math.isfinite(v)]
    epochs = max(map(len, series.values()), default=0)
    drawn = []
    if values:
        axis = _Axis(values, may_be_log)
        title += " (logarithmic)" * axis.log
        drawn += _grid(axis, epochs)
        for i, given in enumerate(series.values()):
            drawn += _curve(given, axis, epochs, i)
    else:
        drawn.append(_label(LEFT, HEIGHT / 2, "no finite value", "start"))
    drawn.append(_label(LEFT, 14, title, "start", "font-weight:bold"))
    names = "".join(_legend(name, given, i) for i, (name, given) in enumerate(series.items()))
    described = escaped(f"{title}, {epochs} epochs: {', '.join(_last(name, given) for name, given in series.items())}")
    return (
        f'<figure style="display:inline-block;vertical-align:top;margin:6px 16px 6px 0">'
        f'<svg role="img" aria-label="{described}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="max-width:100%;height:auto" font-size="11">{"".join(drawn)}</svg>'
        f'<figcaption style="font-size:smaller">{names}</figcaption></figure>'
    )


class _Axis:
    """The vertical axis: from a value to its place, and where its ticks are."""

    def __init__(self, values: Sequence[float], may_be_log: bool) -> None:
        least, greatest = min(values), max(values)
        self.log = may_be_log and least > 0 and greatest / least > WIDE
        if self.log:
            self.ticks = _decades(least, greatest)
        else:
            if least == greatest:
                space = abs(least) / 10 or 1.0
                least, greatest = least - space, greatest + space
            self.ticks = _round_numbers(least, greatest, 5)
        self._least, self._greatest = self._scaled(least), self._scaled(greatest)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def place(self, value: float) -> float:
        # Halves, as the difference of two doubles may be infinite.
        share = (self._scaled(value) / 2 - self._least / 2) / (self._greatest / 2 - self._least / 2)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _across(epoch: int, epochs: int) -> float:
    """The place of an epoch, counted from 1; of a single one in the middle."""
    share = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _round_numbers(least: float, greatest: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values."""
    # Neighbours among the floats may be equal after a division.
    step = max(greatest / about - least / about, 1e-15 * abs(greatest), 1e-15 * abs(least), 1e-300)
    power = 10.0 ** math.floor(math.log10(step))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= step * 0.999)
    return [n * step for n in range(math.ceil(least / step - 1e-9), math.floor(greatest / step + 1e-9) + 1)]


def _decades(least: float, greatest: float) -> list[float]:
    """Powers of ten between two values, and where they are few, two and five times these, too."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(greatest))
    every = max(1, math.ceil((high - low) / 6))
    factors = (1, 2, 5) if high - low <= 2 else (1,)
    ticks = [n * 10.0**power for power in range(low, high, every) for n in factors]
    return [tick for tick in (*ticks, 10.0**high) if least <= tick * (1 + 1e-9) and tick <= greatest * (1 + 1e-9)]


def _grid(axis: _Axis, epochs: int) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in axis.ticks:
        y = axis.place(tick)
        parts.append(_line(LEFT, y, right, y, 0.18))
        parts.append(_label(LEFT - 5, y + 4, f"{tick:.4g}", "end"))
    parts.append(_line(LEFT, bottom, right, bottom, 0.6))
    whole = [round(tick) for tick in _round_numbers(1, epochs, 6) if tick >= 1 and tick == round(tick)]
    for epoch in whole if epochs > 1 else [1]:
        x = _across(epoch, epochs)
        parts.append(_line(x, bottom, x, bottom + 3, 0.6))
        parts.append(_label(x, bottom + 14, str(epoch), "middle"))
    parts.append(_label(right, HEIGHT - 4, "epoch", "end"))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
        f'stroke-opacity="{opacity}"></line>'
    )


def _label(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor"{styled}>{escaped(text)}</text>'


def _curve(values: Sequence[float], axis: _Axis, epochs: int, number: int) -> list[str]:
    stroke = _stroke(number)
    parts = []
    for run in _runs(_thinned(values)):
        places = [(_across(epoch, epochs), axis.place(value)) for epoch, value in run]
        if len(places) == 1:
            x, y = places[0]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[number % len(COLOURS)]}"></circle>')
            continue
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" {stroke}></polyline>')
    return parts


def _stroke(number: int) -> str:
    """How a curve is drawn: lines differ in their dashes besides, for those who don't see the colours."""
    dash = DASHES[number % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.8"{dashes}'


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """Epochs and values; of many those that are seen: the least and greatest of each of equal parts, and all gaps."""
    points = list(enumerate(values, start=1))
    if len(points) <= MOST_POINTS:
        return points
    parts = MOST_POINTS // 2
    edges = [len(points) * i // parts for i in range(parts + 1)]
    kept = []
    for start, end in itertools.pairwise(edges):
        finite = [point for point in points[start:end] if math.isfinite(point[1])]
        seen = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])} if finite else set()
        gap = [point for point in points[start:end] if not math.isfinite(point[1])][:1]
        kept += sorted([*seen, *gap])
    return kept


def _runs(points: Iterable[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """The points in runs of finite values."""
    runs: list[list[tuple[int, float]]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _last(name: str, values: Sequence[float]) -> str:
    last = f" {values[-1]:.4g}" if len(values) else ""
    return name + last


def _legend(name: str, values: Sequence[float], number: int) -> str:
    sample = (
        f'<svg width="24" height="8" viewBox="0 0 24 8" aria-hidden="true"><line x1="0" y1="4" x2="24" y2="4" '
        f"{_stroke(number)}></line></svg>"
    )
    return f'<span style="white-space:nowrap;margin-right:12px">{sample} {escaped(_last(name, values))}</span> '
