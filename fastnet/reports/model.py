"""A saved network: figures of its weights, and a page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.health.weights import findings_of_weights, weight_figures
from fastnet.reports.internals import first_filters
from fastnet.reports.page import Page
from fastnet.reports.text import percent, table_number
from fastnet.reports.training_page import add_filters, add_findings

if TYPE_CHECKING:
    from fastnet.network import Network

__all__ = ["model_numbers", "model_page"]

MOST_HISTOGRAMS = 60
PANEL = (4.3, 2.2)  # inches


def model_numbers(net: Network, title: str) -> dict[str, Any]:
    """What can be said of a network without data.

    Parameters
    ----------
    net : Network
    title : str
        What it is called on the page.

    Returns
    -------
    dict
        "title", "network" (the table of its layers), "training" (what it was trained with), "parameters" (name ->
        `weight_figures`), "findings".
    """
    training = {
        "seed": net.seed,
        "epochs": net.epochs,
        "loss": None if net.loss is None else repr(net.loss),
        "metrics": ", ".join(metric.name for metric in net.metrics) or None,
        **_extra(net.extra),
    }
    return {
        "title": title,
        "network": net.summary(),
        "input_shape": list(net.input_shape),
        "output_shape": list(net.output_shape),
        "training": {name: value for name, value in training.items() if value is not None},
        "parameters": {name: weight_figures(p.value) for name, p in net.graph.parameters.items()},
        "findings": [finding.to_dict() for finding in findings_of_weights(net.graph)],
    }


def _extra(extra: Any) -> dict[str, Any]:
    """What was saved with it; of an encoder in few words."""
    if not isinstance(extra, dict):
        return {"extra": _cut(repr(extra))}
    found = {}
    for name, value in extra.items():
        if name == "encoder" and isinstance(value, dict):
            target, inputs = value.get("target", {}), value.get("inputs", {})
            found["inputs"] = inputs.get("kind")
            found["task"] = target.get("task")
            found["target"] = target.get("name")
            if target.get("classes"):
                found["classes"] = _cut(", ".join(map(str, target["classes"])))
        else:
            found[f"extra {name}"] = _cut(repr(value))
    return found


def _cut(text: str, most: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def model_page(net: Network, numbers: dict[str, Any]) -> Page:
    """The page of a network, with the numbers that `model_numbers` found (as JSON has them).

    Raises
    ------
    ModuleNotFoundError
        matplotlib is missing; the message says what to install.
    """
    parameters = numbers["parameters"]
    size = sum(figures["size"] for figures in parameters.values())
    page = Page(numbers["title"], f"A network with {size:,} weights and other parameters, without any data.")
    shapes = [" × ".join(map(str, numbers[name])) for name in ("input_shape", "output_shape")]
    bad = sum(figures["bad"] for figures in parameters.values())
    page.tiles(
        [
            ("parameters", f"{size:,}"),
            ("input", shapes[0]),
            ("output", shapes[1]),
            ("values not finite", f"{bad:,}"),
        ]
    )
    page.section("Findings")
    if numbers["findings"]:
        add_findings(page, numbers["findings"])
    else:
        page.paragraph("Nothing wrong can be seen from the weights alone.")
    page.section("Layers")
    page.code(numbers["network"])
    page.table(
        "What it was trained with",
        ["setting", "value"],
        [[k.replace("_", " "), str(v)] for k, v in numbers["training"].items()],
    )
    _parameters(page, parameters)
    found = first_filters(net)
    if found is not None:
        page.section("What the first layer looks for")
        add_filters(page, *found)
    _histograms(page, net, parameters)
    return page


def _parameters(page: Page, parameters: dict[str, Any]) -> None:
    page.section("Parameters")
    page.prose(
        "The *effective rank* of a matrix with singular values $s_i$ is $exp(−∑ p_i ln p_i)$, $p_i = s_i / ∑ s_j$ (Roy & "
        "Vetterli 2007): how many directions it really uses, at most as many as it has rows or columns. Of a convolution all "
        "axes but the last are joined."
    )
    rows = [
        [
            name,
            " × ".join(map(str, figures["shape"])),
            *(table_number(figures[column]) for column in ("mean", "std", "least", "greatest")),
            percent(figures["zeros"]),
            table_number(figures["norm"]),
            "–" if figures["rank"] is None else f"{figures['rank']:.1f} of {_most_rank(figures['shape'])}",
            f"{figures['bad']:,}",
        ]
        for name, figures in parameters.items()
    ]
    header = [
        "",
        "shape",
        "mean",
        "standard deviation",
        "least",
        "greatest",
        "zeros",
        "norm",
        "effective rank",
        "not finite",
    ]
    page.table("Each parameter's values", header, rows)


def _most_rank(shape: Sequence[int]) -> int:
    return min(int(np.prod(shape[:-1])), shape[-1])


def _histograms(page: Page, net: Network, parameters: dict[str, Any]) -> None:
    from fastnet.reports.axes import axes
    from fastnet.reports.colours import SERIES
    from fastnet.reports.images import plot_context

    page.section("Histograms")
    weights = [name for name, p in net.graph.parameters.items() if len(p.shape) > 1]
    names = [name for name in weights or parameters if sum(parameters[name]["counts"])]
    if not names:
        page.paragraph("There are no values to show.")
        return
    panels = []
    for name in names[:MOST_HISTOGRAMS]:
        found = parameters[name]
        counts = np.array(found["counts"])
        least, greatest = found["least"], found["greatest"]
        pad = 0.5 if least == greatest else 0.0  # as numpy.histogram does
        edges = np.linspace(least - pad, greatest + pad, len(counts) + 1)
        label = name.removesuffix(".weight")
        figure, ax = axes(title=label, y="values", size=PANEL)
        with plot_context():
            ax.stairs(counts, edges, fill=True, color=SERIES[0])
        text = f"Histogram of {name}: from {table_number(least)} to {table_number(greatest)}."
        panels.append((figure, text))
    more = len(names) - len(panels)
    page.figure(panels, "The values of each layer's weights" + (f"; {more} more are not shown." if more else "."))
