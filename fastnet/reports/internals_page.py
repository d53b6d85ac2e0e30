"""Sections on what goes on inside of a network: weights, gradients, updates, activations over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnet.reports.internals import is_weight
from fastnet.reports.markup import prose
from fastnet.reports.text import number, percent

if TYPE_CHECKING:
    from fastnet.reports.page import Page

    Lines: TypeAlias = dict[str, tuple[list[Any], list[Any]]]

__all__ = ["add_internals"]

MOST_LINES = 6
LETTERS = 20
USUAL_RATIO = 1e-3


def add_internals(page: Page, numbers: dict[str, Any]) -> None:
    """Curves and distributions from a health monitor's table, or how to get them."""
    health = numbers["health"]
    page.section("Inside of the network")
    if health is None or not health["looks"]:
        how = "net.fit(..., health=True)" if numbers["source"] == "history" else "fastnet train --health"
        page.paragraph(
            prose(
                "How weights, gradients, updates and activations develop is measured by a health monitor, and this training "
                f"had none: `{how}` adds it."
            )
        )
        return
    page.prose(
        f"The health monitor looked {health['looks']} times, at more and more distant steps. The horizontal axes are "
        "logarithmic in the steps: the beginning of a training decides most."
    )
    _gradients(page, health)
    _activations(page, health)
    _distributions(page, health)


def _chosen(names: Sequence[str]) -> list[str]:
    """Evenly spread over the depth of the network, with the first and the last."""
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(MOST_LINES, len(names))).astype(int))]


def _label(name: str) -> str:
    name = name.removesuffix(".weight")
    return name if len(name) <= LETTERS else "…" + name[1 - LETTERS :]


def _lines(figures: dict[str, Any], column: str, only_weights: bool) -> tuple[Lines, int]:
    """Curves of one column, and how many arrays have it."""
    names = [name for name, found in figures.items() if column in found and (is_weight(name) or not only_weights)]
    lines = {_label(name): (figures[name]["step"], figures[name][column]) for name in _chosen(names)}
    return lines, len(names)


def _of(shown: int, all_of: int) -> str:
    return "" if shown == all_of else f" {shown} of {all_of} layers are shown; the numbers beside this page have all."


def _gradients(page: Page, health: dict[str, Any]) -> None:
    from fastnet.reports import figures
    from fastnet.reports.axes import DASHES
    from fastnet.reports.colours import INK
    from fastnet.reports.images import plot_context

    kinds = health["figures"]
    panels, counts = [], (0, 0)
    lines, count = _lines(kinds["gradient"], "norm", True)
    if lines:
        counts = len(lines), count
        figure = figures.curves(lines, title="Norm of the gradient", x="step", log=True, log_x=True)
        panels.append((figure, f"The norm of the gradient over the steps: {_ends(lines)}."))
    lines, count = _lines(kinds["update"], "update_ratio", True)
    if lines:
        counts = len(lines), count
        figure = figures.curves(lines, title="Update over weights", x="step", log=True, log_x=True)
        with plot_context():
            figure.axes[0].axhline(USUAL_RATIO, color=INK, linewidth=1, linestyle=DASHES[1])
        panels.append((figure, f"The norm of an update over that of the weights: {_ends(lines)}."))
    if not panels:
        return
    page.subsection("Gradients and updates")
    page.figure(
        panels,
        "Norm of the gradient: where those of the first layers are far smaller than those of the last they vanish on the way "
        "back; where they grow without end they explode. Update over weights: how much a step changes the weights, relative to "
        f"them; around one thousandth (dashed) is common, far more is restless, far less learns slowly.{_of(*counts)}",
    )


def _ends(lines: Lines) -> str:
    texts = []
    for name, (_, values) in lines.items():
        known = [value for value in values if value is not None]
        if known:
            texts.append(f"{name} from {number(known[0])} to {number(known[-1])}")
    return ", ".join(texts)


def _activations(page: Page, health: dict[str, Any]) -> None:
    from fastnet.reports import figures

    found = health["figures"]["activation"]
    inner = {name: values for name, values in found.items() if name != "input"}
    panels = []
    spread, count = _lines(inner, "std", False)
    if spread:
        figure = figures.curves(spread, title="Spread of outputs", x="step", log=True, log_x=True)
        panels.append((figure, f"The standard deviation of layers' outputs: {_ends(spread)}."))
    off: Lines = {}
    for column in ("dead", "saturated"):
        lines, _ = _lines(inner, column, False)
        off |= {f"{name} {column}": values for name, values in lines.items()}
    off = dict(list(off.items())[: MOST_LINES + 2])
    if off:
        figure = figures.curves(off, title="Dead and saturated", x="step", log_x=True, limits=(-0.03, 1.03))
        panels.append((figure, f"Shares of units that are dead or outputs that are saturated: {_ends(off)}."))
    if not panels:
        return
    page.subsection("Activations")
    text = "The standard deviation of the layers' outputs: it should neither die out nor grow from layer to layer."
    if off:
        text += (
            " Dead is the share of a relu layer's units that no sample of the look turns on, saturated that of outputs where "
            "the slope is almost zero: both learn nothing."
        )
    page.figure(panels, text + _of(len(spread), count))
    rows = []
    for name, values in found.items():
        last = {column: _last(values.get(column)) for column in ("mean", "std", "dead", "saturated")}
        rows.append(
            [name, _number(last["mean"]), _number(last["std"]), percent(last["dead"]), percent(last["saturated"])]
        )
    page.table("Outputs at the last look", ["layer", "mean", "standard deviation", "dead", "saturated"], rows)


def _last(values: list[float | None] | None) -> float | None:
    return None if values is None else next((value for value in reversed(values) if value is not None), None)


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)


def _distributions(page: Page, health: dict[str, Any]) -> None:
    from fastnet.reports import pictures

    histograms = health["histograms"]
    page.subsection("Weights and their gradients over time")
    if not histograms.get("weight"):
        page.paragraph("There are no histograms: they take two looks at least, and a run's directory that has them.")
        return
    names = list(histograms["weight"])
    for name in _chosen(names):
        panels = []
        for kind, title in (("weight", "weights"), ("gradient", "gradients")):
            found = histograms.get(kind, {}).get(name)
            if found is None:
                continue
            figure = pictures.over_time(
                found["shares"],
                low=found["low"],
                high=found["high"],
                times=found["steps"],
                title=f"{_label(name)}: {title}",
                x="step",
                size=(4.3, 2.2),
            )
            panels.append(
                (figure, f"Distribution of the {title} of {name} from step {found['steps'][0]} to {found['steps'][-1]}, "
                 f"between {number(found['low'])} and {number(found['high'])}.")
            )  # fmt: skip
        page.figure(panels, f"{name}: a column for each look, bright where many values are.")
    if len(names) > MOST_LINES:
        page.paragraph(f"{MOST_LINES} of {len(names)} layers are shown; the numbers beside this page have all.")
