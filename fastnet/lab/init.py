"""First weights: their scale through many layers, vanishing and exploding gradients, and what cures them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lab.init_measure import (
    ACTIVATIONS,
    BATCH,
    CLIP,
    CNN_DEPTH,
    CURES,
    DEPTH,
    FILTERS,
    LEARNING_RATE,
    MOMENTUM,
    SAMPLES,
    SCHEMES,
    STARTS,
    TRAINED_DEPTH,
    WIDTH,
    run,
)  # fmt: skip
from fastnet.reports.text import listed, number, percent, table_number

if TYPE_CHECKING:
    from fastnet.reports.page import Page

__all__ = ["QUESTION", "SNIPPET", "TITLE", "page", "run"]

TITLE = "First weights, vanishing and exploding gradients"
QUESTION = (
    "Why can't all weights start at zero, why does their scale decide whether a deep network learns, and what helps?"
)

COLOURS = {scheme.name: i for i, scheme in enumerate(SCHEMES)}

SNIPPET = """
import fastnet as fn
from fastnet.lab.measure import Probe, backpropagate, moments

(x, y), test = fn.datasets.digits()
seen, layers = {}, [fn.Flatten()]
for i in range(30):
    layers += [fn.Dense(64, activation="relu", init="he_normal"), Probe(str(i), seen)]
net = fn.Network([*layers, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
backpropagate(net, fn.SoftmaxCrossEntropy(), x[:512], y[:512])
for i in range(30):
    print(i, moments(seen[str(i), "values"])["rms"], moments(seen[str(i), "gradients"])["rms"])
"""


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    _schemes(page, numbers)
    _symmetry(page, numbers)
    _scale(page, numbers)
    _training(page, numbers)
    _cures(page, numbers)
    _convolutions(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _last(curves: Mapping[str, Any], key: str = "val_accuracy") -> float | None:
    """The last value of a curve; None where training stopped in its first epoch."""
    return curves[key][-1] if curves.get(key) else None


def _schemes(page: Page, numbers: dict[str, Any]) -> None:
    page.section("Ways to begin")
    page.prose(
        f"Every weight needs a first value. Here are {len(SCHEMES)} ways to choose it, tried on networks of {DEPTH} hidden "
        f"layers of {WIDTH} neurons that read the digits (seed {numbers['seed']}). *fan_in* is the number of inputs "
        "of a neuron, *fan_out* the number of neurons that read it. Biases start at 0."
    )
    page.definitions((scheme.name, scheme.text) for scheme in SCHEMES)
    page.prose(
        "The rule behind Xavier's and He's: a sum of fan_in products of independent inputs and weights has the "
        "variance fan_in · Var($w$) times the inputs' mean square. To hand on the same size from layer to layer, "
        "Var($w$) must be 1 / fan_in; for the gradients, which run backwards, 1 / fan_out. Xavier (Glorot & Bengio "
        "2010) takes the mean of both. A relu throws half of the signal away, so He (He, Zhang, Ren & Sun 2015) "
        "doubles the variance: 2 / fan_in."
    )


def _symmetry(page: Page, numbers: dict[str, Any]) -> None:
    page.section("Why not zero?")
    found = numbers["difference"]
    same = [
        s.name for s in SCHEMES if all(found[a][s.name] is not None and found[a][s.name] < 1e-6 for a in ACTIVATIONS)
    ]
    page.prose(
        "Neurons of a layer that start with the same weights compute the same, get the same gradients, and take the "
        "same steps. They stay twins: however many there are, the layer is one neuron. That is *symmetry*, and "
        "random numbers break it."
    )
    page.table(
        f"Largest difference between the weights of two neurons of the second layer, after {numbers['epochs']} "
        "epochs of training",
        ["first weights", *ACTIVATIONS],
        [[s.name, *(table_number(found[a][s.name], 2) for a in ACTIVATIONS)] for s in SCHEMES],
    )
    text = f"No difference arose with: {listed(same)}. "
    accuracies = [_last(numbers["training"]["relu"][name]) for name in same]
    if accuracies:
        text += (
            f"Their relu networks reach {listed(percent(a) for a in accuracies)} of the test images; guessing "
            "reaches about 10%."
        )
    page.prose(text)


def _scale(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    page.section("The signal on its way through the layers")
    page.prose(
        f"Before any training, {SAMPLES} images were sent through the network, and the error of the loss back. "
        "Forward, the figures show the size of the outputs behind each layer (root of the mean square; for the "
        "sigmoid, whose outputs are never small, how much they differ from image to image). Backward, they show the "
        "size of the error that arrives there. The scale is logarithmic: a straight line is a factor that repeats "
        "with every layer."
    )
    for activation in ACTIVATIONS:
        rows = numbers["spread"][activation]
        forward = "differs" if activation == "sigmoid" else "values"
        panels = []
        for key, title in ((forward, "values"), ("gradients", "gradients")):
            panels.append(
                (
                    figures.curves(
                        {name: row[key] for name, row in rows.items()},
                        title=f"{activation}: {title}",
                        x="layer",
                        log=True,
                        colours=COLOURS,
                        limits=_limits(rows, key),
                    ),
                    f"The size of the {title} behind each of {DEPTH} layers with {activation}, a line for each way "
                    "to begin.",
                )
            )
        page.figure(
            panels,
            f"{activation.capitalize()}: forward at the left, backward at the right (the loss is behind layer "
            f"{DEPTH}). A dash stands for a line of zeros.",
        )
    page.table(
        "Factor by which the error is multiplied in each layer, on its way from the last to the first (geometric mean)",
        ["first weights", *ACTIVATIONS],
        [
            [s.name, *(table_number(_factor(numbers["spread"][a][s.name]["gradients"])) for a in ACTIVATIONS)]
            for s in SCHEMES
        ],
    )
    he, small, large = (numbers["spread"]["relu"][name]["gradients"] for name in ("He", "too small", "too large"))
    text = f"With relu and He's weights the error changes by a factor of {table_number(_factor(he))} a layer. "
    shrinks, grows = _factor(small), _factor(large)
    if shrinks is not None and shrinks < 0.8:
        text += (
            f"With too small weights it is {number(shrinks)}, and after {DEPTH} layers "
            f"{number(small[0] / small[-1], 2)} of it is left: the gradient *vanishes*, and the first layers don't "
            "learn. "
        )
    if grows is not None and grows > 1.2:
        text += (
            f"With too large ones it is {number(grows)}, and the error has grown "
            f"{number(large[0] / large[-1], 2)} times: it *explodes*, and the first step throws the weights away. "
        )
    sigmoid = [_factor(numbers["spread"]["sigmoid"][name]["gradients"]) for name in ("Xavier", "He")]
    if all(factor is not None and factor < 0.8 for factor in sigmoid):
        text += (
            f"With the sigmoid the error shrinks whichever of the two rules is used ({number(sigmoid[0])} and "
            f"{number(sigmoid[1])} a layer), because of its small slope."
        )
    page.prose(text)


def _limits(rows: Mapping[str, Any], key: str) -> tuple[float, float]:
    """The axis of a logarithmic figure: all positive values, but not more than 24 powers of ten."""
    found = [v for row in rows.values() for v in row[key] if v is not None and v > 0]
    high = max(found, default=1.0)
    return max(min(found, default=0.1), high * 1e-24) / 2, high * 2


def _factor(gradients: Sequence[float | None]) -> float | None:
    """The mean factor from a layer to the one before it."""
    first, last = gradients[0], gradients[-1]
    if not first or not last:
        return None
    return float((first / last) ** (1 / (len(gradients) - 1)))


def _training(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    page.section("Does it learn?")
    page.prose(
        f"The same with {TRAINED_DEPTH} layers, trained for {numbers['epochs']} epochs (SGD, learning rate "
        f"{LEARNING_RATE:g}, momentum {MOMENTUM:g}, batches of {BATCH}). A dash means that the loss was not finite "
        "in the first epoch."
    )
    page.figure(
        [
            (
                figures.curves(
                    {name: curves.get("loss", []) for name, curves in numbers["training"][activation].items()},
                    title=f"{activation}: training loss",
                    x="epoch",
                    log=True,
                    colours=COLOURS,
                    limits=(1e-2, 20),
                ),
                f"Training loss over the epochs with {activation}, a line for each way to begin.",
            )
            for activation in ACTIVATIONS
        ],
        "Training loss. Guessing all digits alike has a loss of ln 10 = " + f"{np.log(10):.2f}.",
    )
    page.table(
        "Accuracy on the test images at the end",
        ["first weights", *ACTIVATIONS],
        [[s.name, *(percent(_last(numbers["training"][a][s.name])) for a in ACTIVATIONS)] for s in SCHEMES],
    )
    sentences = []
    for activation in ACTIVATIONS:
        ends = {s.name: _last(numbers["training"][activation][s.name]) or 0.0 for s in SCHEMES}
        best = max(ends, key=ends.__getitem__)
        sentences.append(
            f"with {activation} {best} ({percent(ends[best])})"
            if ends[best] > 0.2
            else f"with {activation} nothing learns"
        )
    text = f"Best in this run: {listed(sentences)}. "
    ends = numbers["training"]["relu"]
    if (_last(ends["He"]) or 0) > (_last(ends["Xavier"]) or 0):
        text += (
            "As the theory says, He's weights suit relu better than Xavier's, which lose a factor of √2 in every layer."
        )
    else:
        text += (
            "Against the theory He's weights are not ahead of Xavier's with relu here: at this depth, and in so few "
            "epochs, chance can do that."
        )
    page.prose(text)


def _cures(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    page.section("What cures a bad start")
    page.prose(
        f"A relu network of {TRAINED_DEPTH} layers starts with weights that are too small, or too large; one thing "
        f"is changed at a time. *Clipping* scales each step's gradient down to a norm of {CLIP:g}. *Batch norm* and "
        "*layer norm* give each layer's sums mean 0 and variance 1 again. A *residual* connection adds a layer's "
        "input to its output, so that values and errors have a way around it."
    )
    panels = []
    for start in STARTS:
        rows = numbers["cures"][start]
        panels.append(
            (
                figures.curves(
                    {cure: row["gradients"] for cure, row in rows.items() if cure != "clipping"},
                    title=f"{start}: gradients",
                    x="layer",
                    log=True,
                ),
                f"Size of the gradients behind each layer before training, for weights that are {start}, a line for "
                "each cure.",
            )
        )
        panels.append(
            (
                figures.curves(
                    {cure: row["curves"].get("loss", []) for cure, row in rows.items()},
                    title=f"{start}: training loss",
                    x="epoch",
                    log=True,
                    limits=(1e-2, 20),
                ),
                f"Training loss over the epochs, for weights that are {start}, a line for each cure.",
            )
        )
    page.figure(
        panels, "Left: the gradients before training (clipping does not change them). Right: the loss in training."
    )
    page.table(
        f"Accuracy on the test images after {numbers['epochs']} epochs",
        ["cure", *(f"weights {start}" for start in STARTS)],
        [[cure, *(percent(_last(numbers["cures"][start][cure]["curves"])) for start in STARTS)] for cure in CURES],
    )
    sentences = []
    for start in STARTS:
        ends = {cure: _last(row["curves"]) or 0.0 for cure, row in numbers["cures"][start].items()}
        helped = [cure for cure in CURES[1:] if ends[cure] > ends["nothing"] + 0.2]
        failed = [cure for cure in CURES[1:] if cure not in helped]
        text = f"With weights that are {start}, {listed(helped)} helped by more than 20 points"
        text += f"; {listed(failed)} did not." if failed else "."
        sentences.append(text)
    page.prose(" ".join(sentences))
    small = numbers["cures"]["too small"]
    if (_last(small["clipping"]["curves"]) or 0) <= (_last(small["nothing"]["curves"]) or 0) + 0.2:
        page.prose("Clipping is for gradients that explode; it can't make small ones larger.")


def _convolutions(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    rows = numbers["cnn"]
    page.section("The same for convolutions")
    page.prose(
        "A convolution is a weighted sum, too: of the 3 × 3 window in all channels, so that fan_in = 3 · 3 · "
        f"{FILTERS} = {9 * FILTERS} here. A network of {CNN_DEPTH} convolutions of {FILTERS} filters with relu, "
        "global average pooling and a dense layer behaves alike."
    )
    page.figure(
        [
            (
                figures.curves(
                    {name: row[key] for name, row in rows.items()},
                    title=f"Convolutions: {title}",
                    x="layer",
                    log=True,
                    colours=COLOURS,
                ),
                f"The size of the {title} behind each of {CNN_DEPTH} convolutions, a line for each way to begin.",
            )
            for key, title in (("values", "values"), ("gradients", "gradients"))
        ],
        f"{CNN_DEPTH} convolutions with relu, before training.",
    )
    page.table(
        f"After {numbers['epochs']} epochs",
        ["first weights", "factor of the error a layer", "training loss", "test accuracy"],
        [
            [
                name,
                table_number(_factor(row["gradients"])),
                table_number(_last(row["curves"], "loss")),
                percent(_last(row["curves"])),
            ]
            for name, row in rows.items()
        ],
    )
