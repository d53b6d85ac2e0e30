"""Sections on a network's results for labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.reports.text import number, percent, table_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastnet.reports.page import Page
    from fastnet.types import Array

__all__ = ["add_results"]

MOST_PAIRS = 10
MOST_ROWS = 60  # classes with a row in the table
PICTURES = 12  # of a panel
LETTERS = 10  # of a name in a caption


def add_results(page: Page, numbers: dict[str, Any], pictures: Array | None) -> None:
    """Confusion, figures of each class and mistakes; or the errors of a regression."""
    results = numbers["results"]
    page.section("Results on labelled data")
    if results is None:
        page.paragraph(f"There are no predictions to look at. {numbers['no_data']}")
        return
    if results["task"] is None:
        page.paragraph(f"There are no predictions to look at: {results['reason']}.")
        return
    if results["task"] == "regression":
        _regression(page, results)
        return
    _classes(page, results)
    if results["task"] == "classification":
        _mistakes(page, results, pictures)


def _classes(page: Page, results: dict[str, Any]) -> None:
    from fastnet.reports import pictures

    names, samples = results["classes"], results["samples"]
    if results["task"] == "classification":
        confusion = np.array(results["confusion"])
        page.paragraph(
            f"Of {samples:,} samples {samples - results['wrong']:,} were put into the right class "
            f"({percent(results['accuracy'], 2)}), {results['wrong']:,} into a wrong one."
        )
        pairs = [(int(confusion[i, j]), names[i], names[j]) for i, j in np.argwhere(confusion) if i != j]
        pairs.sort(key=lambda pair: -pair[0])
        worst = f" Most often {pairs[0][1]} was taken for {pairs[0][2]}: {pairs[0][0]:,} times." if pairs else ""
        page.figure(
            (
                pictures.confusion_map(confusion, [_short(name, 16) for name in names]),
                f"Confusion matrix of {len(names)} classes; {percent(results['accuracy'], 1)} of the samples are on its "
                f"diagonal.{worst}",
            ),
            "Each row is a true class, each column a predicted one. On the diagonal, blue, is what is right; the stronger a "
            "colour, the larger the share of the row.",
        )
    else:
        page.paragraph(
            f"Each of {samples:,} samples may have several labels; {percent(results['accuracy'], 2)} of all are right."
        )
    figures = results["class_figures"]
    order = np.argsort([2 if f is None else f for f in figures["f1"]], kind="stable")[:MOST_ROWS]
    shown = "the lowest F1 first" if len(names) > MOST_ROWS else "in their order"
    rows = [
        [names[i], *(_share(figures[key][i]) for key in ("precision", "recall", "f1")), f"{figures['support'][i]:,}"]
        for i in (order if len(names) > MOST_ROWS else range(len(names)))
    ]
    means = [_mean(figures, key) for key in ("precision", "recall", "f1")]
    rows.append(["mean of the classes", *map(_share, means), f"{sum(figures['support']):,}"])
    page.prose(
        "*Precision* is the share of what the network puts into a class that belongs there, *recall* the share of the class "
        "that it finds, *F1* their harmonic mean, and *support* how many samples the class has."
    )
    page.table(
        f"Figures of each class, {shown}",
        ["class", "precision", "recall", "F1", "support"],
        rows,
    )
    if results["task"] == "classification" and len(pairs) > 1:
        page.table(
            "The most frequent confusions",
            ["true class", "taken for", "times"],
            [[true, predicted, f"{count:,}"] for count, true, predicted in pairs[:MOST_PAIRS]],
        )


def _mean(figures: dict[str, Any], key: str) -> float | None:
    """The mean over the classes that occur; one that is never predicted has a precision of 0 in it."""
    known = [value or 0.0 for value, f1 in zip(figures[key], figures["f1"], strict=True) if f1 is not None]
    return sum(known) / len(known) if known else None


def _share(value: float | None) -> str:
    return percent(value, 1)


def _mistakes(page: Page, results: dict[str, Any], images: Array | None) -> None:
    from fastnet.reports import pictures

    mistakes = results["mistakes"]
    if not mistakes:
        return
    page.subsection("The most confident mistakes")
    if images is not None:
        captions = [
            f"{_short(m['predicted'], LETTERS)} {percent(m['probability'], 0)}\nis {_short(m['true'], LETTERS)}"
            for m in mistakes
        ]
        panels = []
        for at in range(0, len(mistakes), PICTURES):
            some = mistakes[at : at + PICTURES]
            texts = [f"sample {m['sample']} is {m['true']}, taken for {m['predicted']}" for m in some]
            figure = pictures.captioned_images(images[at : at + PICTURES], captions[at : at + PICTURES])
            panels.append((figure, f"{len(some)} images: {'; '.join(texts)}."))
        page.figure(
            panels,
            "Under each image what the network takes it for, with the probability that it gives, and what it is.",
        )
        return
    _table_of_samples(
        page,
        results,
        "Samples that the network is surest about, and wrong",
        ["true class", "taken for", "probability"],
        [[m["true"], m["predicted"], percent(m["probability"], 1)] for m in mistakes],
    )


def _table_of_samples(page: Page, results: dict[str, Any], caption: str, header: Sequence[str],
                      cells: Sequence[Sequence[str]]) -> None:  # fmt: skip
    features = results.get("features", {})
    if features and results["all_features"] > len(features):
        caption += f"; the first {len(features)} of {results['all_features']} inputs"
    rows = [
        [str(m["sample"]), *cell, *(_value(values[i]) for values in features.values())]
        for i, (m, cell) in enumerate(zip(results["mistakes"], cells, strict=True))
    ]
    page.table(f"{caption}. Samples are counted from 0", ["sample", *header, *features], rows)


def _value(value: str | float | None) -> str:
    return value if isinstance(value, str) else table_number(value, 4)


def _short(text: str, most: int) -> str:
    """Without its middle, as names of classes often differ at their ends."""
    head = (most - 1) // 2
    return text if len(text) <= most else f"{text[:head]}…{text[head + 1 - most :]}"


# Regression


def _regression(page: Page, results: dict[str, Any]) -> None:
    from fastnet.reports import figures

    target = results["target"] or "target"
    for i, output in enumerate(results["outputs"]):
        name = target if results["all_outputs"] == 1 else f"output {i + 1}"
        true, predicted = np.array(output["true"]), np.array(output["predicted"])
        residuals = predicted - true
        panels = [
            (
                _against(true, predicted, name),
                f"Predicted {name} against the true one for {len(true)} samples; R² is {table_number(output['r2'])}.",
            ),
            (
                _residuals(true, residuals, name),
                f"Residuals over the true {name}: their mean is {number(output['bias'])}, the root of their mean square "
                f"{number(output['rmse'])}.",
            ),
            (
                figures.histograms({"residuals": residuals}, title="Distribution of residuals", x="predicted − true"),
                "Histogram of the residuals.",
            ),
        ]
        page.figure(
            panels,
            f"{name}: what was predicted, over what is true; on the line both agree. A residual is predicted − true: "
            "a good model's scatter around 0 without a pattern.",
        )
    header = ["", "R²", "root mean square error", "mean absolute error", "mean residual"]
    rows = [
        [
            target if results["all_outputs"] == 1 else f"output {i + 1}",
            *(table_number(output[key], 4) for key in ("r2", "rmse", "mae", "bias")),
        ]
        for i, output in enumerate(results["outputs"])
    ]
    more = results["all_outputs"] - len(rows)
    page.table(
        f"Errors on {results['samples']:,} samples" + (f"; {more} more outputs are not shown" if more else ""),
        header,
        rows,
    )
    page.subsection("The largest errors")
    single = results["all_outputs"] == 1
    cells = [
        [_value(m[key][0]) if single else ", ".join(map(_value, m[key])) for key in ("true", "predicted")]
        + [_value(max((p - t for t, p in zip(m["true"], m["predicted"], strict=True)), key=abs))]
        for m in results["mistakes"]
    ]
    _table_of_samples(
        page, results, f"Samples with the largest errors of {target}", ["true", "predicted", "residual"], cells
    )


def _against(true: Array, predicted: Array, name: str) -> Figure:
    from fastnet.reports.axes import DASHES, axes
    from fastnet.reports.colours import INK
    from fastnet.reports.images import plot_context

    figure, ax = axes(title="Predicted over true", x=f"true {_short(name, 30)}", y="predicted")
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    with plot_context():
        ax.plot(ends, ends, color=INK, linewidth=1, linestyle=DASHES[1])
        _points(ax, true, predicted)
    return figure


def _residuals(true: Array, residuals: Array, name: str) -> Figure:
    from fastnet.reports.axes import DASHES, axes
    from fastnet.reports.colours import INK
    from fastnet.reports.images import plot_context

    figure, ax = axes(title="Residuals", x=f"true {_short(name, 30)}", y="predicted − true")
    with plot_context():
        ax.axhline(0, color=INK, linewidth=1, linestyle=DASHES[1])
        _points(ax, true, residuals)
    return figure


def _points(ax: Axes, xs: Array, ys: Array) -> None:
    from fastnet.reports.colours import SERIES

    ax.plot(xs, ys, "o", color=SERIES[0], markersize=3, markeredgewidth=0, alpha=0.6)
