"""What depth costs and brings: parameters, work, memory, gradients, accuracy, of plain and of residual networks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lab.measure import backpropagate, data, moments, train
from fastnet.layers import Activation, BatchNorm, Dense, Flatten, Layer, Residual
from fastnet.losses import SoftmaxCrossEntropy
from fastnet.network import Network
from fastnet.optimizers import SGD
from fastnet.reports.text import listed, number, percent, table_number

if TYPE_CHECKING:
    from fastnet.lab.measure import Parts
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "Depth"
QUESTION = "What does a deeper network cost, why is it harder to train, and what do residual connections change?"

WIDTH = 64
DEPTHS = (2, 4, 8, 16, 32, 64)
EPOCHS, BATCH, LEARNING_RATE, MOMENTUM = 8, 64, 0.01, 0.9
SAMPLES = 512


@dataclass(frozen=True)
class Kind:
    """A row of the comparison: what one more layer is made of."""

    name: str
    text: str
    block: Callable[[], list[Layer]]


KINDS = (
    Kind("plain", "dense, relu", lambda: [Dense(WIDTH, activation="relu")]),
    Kind(
        "batch norm",
        "dense, batch norm, relu",
        lambda: [Dense(WIDTH, use_bias=False, init="he_normal"), BatchNorm(), Activation("relu")],
    ),
    Kind(
        "residual",
        "x + dense(relu(batch norm(x)))",
        lambda: [Residual([BatchNorm(), Activation("relu"), Dense(WIDTH, init="he_normal")])],
    ),
)

SNIPPET = """
import fastnet as fn

(x, y), test = fn.datasets.digits()
layers = [fn.Flatten(), fn.Dense(64)]
for _ in range(32):
    block = [fn.BatchNorm(), fn.Activation("relu"), fn.Dense(64, init="he_normal")]
    layers.append(fn.Residual(block))
layers += [fn.BatchNorm(), fn.Activation("relu"), fn.Dense(10)]
net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
history = net.fit(
    x, y, epochs=8, batch_size=64, loss="softmax_cross_entropy",
    optimizer=fn.SGD(0.01, momentum=0.9), metrics=["accuracy"], validation=test, verbose=0,
)
print(history["val_accuracy"][-1])
print(net.summary())
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Costs, gradients before training, and what training reaches, for each kind of network at each depth."""
    epochs, depths = (2, DEPTHS[:4]) if quick else (EPOCHS, DEPTHS)
    parts = data()
    return {
        "epochs": epochs,
        "depths": depths,
        "kinds": {
            kind.name: {str(depth): _measure(kind, depth, seed, epochs, parts) for depth in depths} for kind in KINDS
        },
    }


def network(kind: Kind, depth: int, seed: int) -> Network:
    """A network with so many hidden layers of one kind."""
    layers: list[Layer] = [Flatten(), Dense(WIDTH, name="first")]
    for _ in range(depth):
        layers += kind.block()
    return Network([*layers, BatchNorm(), Activation("relu"), Dense(10, name="head")], input_shape=(8, 8, 1), seed=seed)


def costs(net: Network) -> dict[str, Any]:
    """Parameters, multiply-adds of one sample forward, and the bytes of parameters and of one sample's activations."""
    graph, size = net.graph, np.dtype(net.dtype).itemsize
    multiply_adds = activations = 0
    for node in graph.nodes:
        shapes = [graph.shape_of(name) for name in node.inputs]
        multiply_adds += node.layer.multiply_adds(shapes if node.layer.many_inputs else shapes[0], node.shape)
        activations += math.prod(node.shape) * size
    parameters = sum(p.size for p in net.parameters())
    return {
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "parameter_bytes": parameters * size,
        "activation_bytes": activations,
    }


def _measure(kind: Kind, depth: int, seed: int, epochs: int, parts: Parts) -> dict[str, Any]:
    (x, y), _ = parts
    net = network(kind, depth, seed)
    backpropagate(net, SoftmaxCrossEntropy(), x[:SAMPLES], y[:SAMPLES])
    weights = [p for p in net.parameters() if p.value.ndim == 2]
    gradients = [moments(p.grad)["rms"] for p in weights[:-1]]
    distinct = _distinct(net, x[:SAMPLES])
    net = network(kind, depth, seed)
    begun = time.perf_counter()
    curves = train(net, epochs=epochs, optimizer=SGD(LEARNING_RATE, momentum=MOMENTUM), parts=parts, batch_size=BATCH)
    return {
        **costs(net),
        "gradients": gradients,
        "distinct": distinct,
        "curves": curves,
        "seconds_per_epoch": (time.perf_counter() - begun) / max(1, len(curves.get("loss", [1]))),
    }


def _distinct(net: Network, x: Array) -> float:
    """How different the directions are in which two images' values point, behind the last of the further layers.

    One minus the mean cosine of the angle between them: 0 where all point in the same direction.
    """
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            layer.momentum = 1.0  # its statistics are those of these images
    net.forward(x, training=True)
    last = net.graph.nodes[-4].name  # before batch norm, relu and the head
    values = net.activations(x, [last])[last].astype(float)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-30)
    n = len(values)
    return float(1 - (np.sum(values.sum(axis=0) ** 2) - n) / (n * (n - 1)))


# The page


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    page.section("Three kinds of networks")
    page.prose(
        f"A dense layer of {WIDTH} neurons reads the digits; so many further layers follow; then batch norm, relu, "
        "and a dense layer with the ten answers. One further layer is:"
    )
    page.definitions((kind.name, kind.text) for kind in KINDS)
    page.prose(
        f"Each was trained for {numbers['epochs']} epochs with SGD (learning rate {LEARNING_RATE:g}, momentum "
        f"{MOMENTUM:g}, batches of {BATCH}, seed {numbers['seed']})."
    )
    _costs(page, numbers)
    _gradients(page, numbers)
    _training(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _costs(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import prose

    page.section("What a layer costs")
    residual, plain = numbers["kinds"]["residual"], numbers["kinds"]["plain"]
    page.table(
        prose(
            "Residual networks (what `net.summary()` adds up); the time is that of this machine, on one thread, "
            "with the evaluation on the test images"
        ),
        [
            "layers",
            "parameters",
            "multiply-adds of a sample",
            "memory of the parameters",
            "activations of a sample",
            "milliseconds an epoch",
        ],
        [
            [
                depth,
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
                _kilobytes(row["parameter_bytes"]),
                _kilobytes(row["activation_bytes"]),
                number(1000 * row["seconds_per_epoch"]),
            ]
            for depth, row in residual.items()
        ],
    )
    first, last = str(numbers["depths"][0]), str(numbers["depths"][-1])
    steps = int(last) - int(first)
    each = (residual[last]["parameters"] - residual[first]["parameters"]) / steps
    work = (residual[last]["multiply_adds"] - residual[first]["multiply_adds"]) / steps
    extra = residual[last]["parameters"] - plain[last]["parameters"]
    page.prose(
        f"Everything grows in proportion to the depth: each layer adds {each:,.0f} parameters and {work:,.0f} "
        "multiply-adds for each sample (three times as many in training, for the passes backward). The shortcut "
        f"itself has no parameters: the {last}-layer residual network has {extra:,} more than the plain one, all of "
        "them batch norm's. Training keeps the activations of a whole batch until the backward pass: "
        f"{BATCH * residual[last]['activation_bytes'] / 2**20:.1f} MiB at {last} layers and batches of {BATCH}."
    )


def _kilobytes(n: float) -> str:
    return f"{n / 1024:,.1f} KiB"


def _gradients(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    last = str(numbers["depths"][-1])
    page.section("How the gradient gets back")
    page.prose(
        f"Before training, the gradient of each layer's weights was measured over {SAMPLES} training images (root of "
        "the mean square)."
    )
    ratios = {kind: [_ratio(row["gradients"]) for row in rows.values()] for kind, rows in numbers["kinds"].items()}
    page.figure(
        [
            (
                figures.curves(
                    {kind: rows[last]["gradients"] for kind, rows in numbers["kinds"].items()},
                    title=f"Gradients by layer, {last} layers",
                    x="layer",
                    y="RMS",
                    log=True,
                ),
                f"The size of each layer's gradient in networks of {last} layers, a line for each kind.",
            ),
            (
                figures.curves(
                    {kind: (numbers["depths"], values) for kind, values in ratios.items()},
                    title="First layer over last layer",
                    x="layers",
                    log=True,
                    log_x=True,
                    markers=True,
                ),
                "The first layer's gradient over the last one's, for each depth, a line for each kind.",
            ),
        ],
        "A ratio near 1 means that all layers learn at a similar pace.",
    )
    at_end = {kind: values[-1] for kind, values in ratios.items()}
    text = f"At {last} layers the first layer's gradient is, of the last one's: " + listed(
        f"{kind} {table_number(value)} times" for kind, value in at_end.items()
    )
    text += ". "
    distance = {kind: abs(math.log(value)) if value else math.inf for kind, value in at_end.items()}
    best = min(distance, key=distance.__getitem__)
    text += f"Nearest to 1 is {best}. "
    if at_end["residual"] and distance["residual"] < distance["batch norm"]:
        text += (
            "Where there is a shortcut it hands the error on as it is: the derivative of $x + F(x)$ is $1 + F'(x)$, "
            "and the 1 does not shrink or grow, however many layers there are."
        )
    if at_end["batch norm"] and at_end["batch norm"] > 10:
        text += (
            " Batch norm alone lets the error *grow* on its way back: it fixes the values on the way forward, not "
            "the gradients on the way back."
        )
    page.prose(text)
    distinct = {kind: rows[last]["distinct"] for kind, rows in numbers["kinds"].items()}
    text = (
        f"The size of the gradient is not all. Behind the last of {last} layers the values of two images point in "
        "nearly the same direction if one minus the cosine of the angle between them is near 0. On average it is "
        + listed(f"{number(value, 2)} with {kind}" for kind, value in distinct.items())
        + ". "
    )
    if distinct["plain"] < distinct["residual"] / 5:
        text += (
            "He's first weights keep the size of values and errors in the plain network, but layer by layer its "
            "relus make all images more alike, until little is left to tell them apart by. The shortcuts keep what "
            "the first layer saw."
        )
    else:
        text += "In this run the shortcuts keep hardly more of what tells images apart than the plain layers do."
    page.prose(text)


def _ratio(gradients: Sequence[float | None]) -> float | None:
    """Of the first further layer to the last; the layer that reads the image is left out."""
    first, last = gradients[1], gradients[-1]
    return first / last if first and last else None


def _training(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    kinds, depths = numbers["kinds"], numbers["depths"]
    page.section("What training reaches")
    page.figure(
        [
            (
                figures.curves(
                    {
                        kind: (depths, [(row["curves"].get(key) or [None])[-1] for row in rows.values()])
                        for kind, rows in kinds.items()
                    },
                    title=title,
                    x="layers",
                    log=log,
                    log_x=True,
                    markers=True,
                    limits=limits,
                ),
                f"{title} after training, over the depth, a line for each kind.",
            )
            for key, title, log, limits in (
                ("loss", "Training loss", True, None),
                ("val_accuracy", "Test accuracy", False, (0, 1.03)),
            )
        ],
        f"After {numbers['epochs']} epochs.",
    )
    page.table(
        f"Test accuracy after {numbers['epochs']} epochs",
        ["layers", *kinds],
        [
            [
                str(depth),
                *(percent((rows[str(depth)]["curves"].get("val_accuracy") or [None])[-1]) for rows in kinds.values()),
            ]
            for depth in depths
        ],
    )
    ends = {
        kind: [(row["curves"].get("val_accuracy") or [None])[-1] or 0.0 for row in rows.values()]
        for kind, rows in kinds.items()
    }
    failed = {kind: [d for d, end in zip(depths, values, strict=True) if end < 0.5] for kind, values in ends.items()}
    text = ""
    for kind, found in failed.items():
        if found:
            text += (
                f"With {kind} layers the network fails to learn (below half of the test images) at "
                f"{listed(str(d) for d in found)} layers. "
            )
        else:
            text += f"With {kind} layers it learns at every depth that was tried. "
    best = max(((max(values), kind) for kind, values in ends.items()))
    at = depths[ends[best[1]].index(best[0])]
    text += f"Best is {best[1]} with {at} layers: {percent(best[0])}. "
    if at < depths[-1]:
        text += "Deeper is not better by itself: these images are small, and a few layers are enough for them."
    page.prose(text)
