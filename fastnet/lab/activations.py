"""Six activation functions on one network: how it learns, and what its neurons do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lab.measure import BATCH, Snapshots, backpropagate, data, moments, shares, slopes, train
from fastnet.layers import Activation, Dense, Flatten, Layer
from fastnet.losses import SoftmaxCrossEntropy
from fastnet.network import Network
from fastnet.optimizers import SGD
from fastnet.reports.text import listed, number, percent

if TYPE_CHECKING:
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "Activation functions in a network"
QUESTION = (
    "What does the choice of sigmoid, tanh, relu and their relatives change, and what are saturated and dead neurons?"
)

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu")
LAYERS, UNITS = 5, 64
LEARNING_RATE, MOMENTUM = 0.02, 0.9
HIGH_RATE = 0.3
FLAT = 0.05  # of the activation's largest slope: what lies below is called flat
DEAD = 1e-3  # a neuron whose slopes on all images are below this
SAMPLES = 500  # training images, whose way through the network is looked at after each epoch
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
OPEN_RANGE = (-1.0, 4.0)

SNIPPET = """
import fastnet as fn

(x, y), test = fn.datasets.digits()
hidden = [fn.Dense(64, activation="relu") for _ in range(5)]
net = fn.Network([fn.Flatten(), *hidden, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
history = net.fit(
    x, y, epochs=20, loss="softmax_cross_entropy", optimizer=fn.SGD(0.02, momentum=0.9),
    metrics=["accuracy"], validation=test, verbose=0,
)
print(history["val_accuracy"][-1])
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Curves, distributions, flat and dead neurons of each activation; and what a high learning rate does to them."""
    epochs = 5 if quick else 20
    return {
        "epochs": epochs,
        "networks": {name: _learn(name, LEARNING_RATE, seed, epochs) for name in ACTIVATIONS},
        "high": {name: _learn(name, HIGH_RATE, seed, epochs, momentum=0.0) for name in ("relu", "leaky_relu")},
        "high_rate": HIGH_RATE,
    }


def _network(activation: str, seed: int) -> Network:
    layers: list[Layer] = [Flatten()]
    for i in range(1, LAYERS + 1):
        layers += [Dense(UNITS, name=f"sum_{i}"), Activation(activation, name=f"output_{i}")]
    return Network([*layers, Dense(10, name="head")], input_shape=(8, 8, 1), seed=seed)


def _learn(activation: str, learning_rate: float, seed: int, epochs: int, momentum: float = MOMENTUM) -> dict[str, Any]:
    net = _network(activation, seed)
    (x, y), _ = data()
    first = _gradients(net, x, y)
    low, high = RANGES.get(activation, OPEN_RANGE)
    before = _weights(net)
    snapshots = Snapshots(lambda net: _look(net, activation, x[:SAMPLES], low, high))
    curves = train(net, epochs=epochs, optimizer=SGD(learning_rate, momentum=momentum), callbacks=[snapshots])
    taken = snapshots.taken
    return {
        "curves": curves,
        "range": [low, high],
        "first": taken[0],
        "last": taken[-1],
        "dead_over_time": [float(np.mean(look["dead"])) for look in taken],
        "last_layer_over_time": [look["values"][-1] for look in taken],
        "gradients_at_first": first,
        "weights_change": moments(_weights(net) - before)["rms"] / moments(before)["rms"],
        "weights_before": shares(before, -0.6, 0.6),
        "weights_after": shares(_weights(net), -0.6, 0.6),
    }


def _weights(net: Network) -> Array:
    return np.concatenate(
        [p.value.ravel() for p in net.parameters() if p.name.startswith("sum") and "weight" in p.name]
    )


def _gradients(net: Network, x: Array, y: Array) -> list[float]:
    backpropagate(net, SoftmaxCrossEntropy(), x, y)
    return [moments(net[f"sum_{i}"].weight.grad)["rms"] for i in range(1, LAYERS + 1)]


def _look(net: Network, activation: str, x: Array, low: float, high: float) -> dict[str, Any]:
    """For each hidden layer: its outputs' distribution, the flat share, and the share of dead neurons."""
    names = [f"{kind}_{i}" for i in range(1, LAYERS + 1) for kind in ("sum", "output")]
    found = net.activations(x, names)
    largest = np.abs(slopes(activation, np.linspace(-6, 6, 1001))).max()
    layers: dict[str, list[Any]] = {"values": [], "flat": [], "dead": [], "mean": [], "differs": []}
    for i in range(1, LAYERS + 1):
        slope = np.abs(slopes(activation, found[f"sum_{i}"]))
        layers["values"].append(shares(found[f"output_{i}"], low, high))
        layers["flat"].append(float((slope < FLAT * largest).mean()))
        layers["dead"].append(float((slope < DEAD).all(axis=0).mean()))
        layers["mean"].append(moments(found[f"output_{i}"])["mean"])
        layers["differs"].append(float(found[f"output_{i}"].std(axis=0).mean()))
    return layers


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    _curves(page, numbers)
    _signals(page, numbers)
    _distributions(page, numbers)
    _flat_and_dead(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _curves(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    nets = numbers["networks"]
    page.section("How fast it learns")
    page.prose(
        f"One network, {LAYERS} hidden layers of {UNITS} neurons, was trained {len(nets)} times on the "
        f"{numbers['samples']['training']:,} training digits, each time with another activation function: SGD with a "
        f"learning rate of {LEARNING_RATE:g} and momentum {MOMENTUM:g}, batches of {BATCH}, {numbers['epochs']} "
        f"epochs, seed {numbers['seed']}. First weights are fastnet's defaults: He's for relu, leaky relu, gelu and "
        "silu, Xavier's (Glorot's) for sigmoid and tanh."
    )
    page.figure(
        [
            (
                figures.curves(
                    {name: net["curves"][key] for name, net in nets.items()}, title=title, x="epoch", log=log
                ),
                f"{title} over the epochs, a line for each activation.",
            )
            for key, title, log in (
                ("loss", "Training loss", True),
                ("val_accuracy", "Accuracy on the test images", False),
            )
        ],
        "The same network with six activation functions.",
    )
    ends = {name: net["curves"]["val_accuracy"][-1] for name, net in nets.items()}
    best = max(ends, key=ends.__getitem__)
    worst = min(ends, key=ends.__getitem__)
    text = (
        f"At the end {best} is best with {percent(ends[best])} of the test images, {worst} last with "
        f"{percent(ends[worst])}. "
    )
    if ends["sigmoid"] < 0.5 <= ends["relu"]:
        text += (
            "The network of sigmoids has hardly learned anything: the next section shows why. It is not that it "
            "could not represent the digits; the error does not reach its first layers."
        )
    elif ends["sigmoid"] < ends["relu"]:
        text += "The sigmoid is behind relu; the next section shows why."
    else:
        text += "Against the textbooks the sigmoid is not behind relu in this run."
    page.prose(text)


def _signals(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    nets = numbers["networks"]
    page.section("How much of the error arrives")
    page.prose(
        "Before the first step the gradient of each layer's weights was measured over all training images, as the "
        "root of the mean square (RMS). On its way back from the last layer the error is multiplied by each layer's "
        "weights and by the slopes of its activations."
    )
    page.figure(
        (
            figures.curves(
                {name: net["gradients_at_first"] for name, net in nets.items()},
                title="Gradient of the weights, before training",
                x="hidden layer",
                y="RMS",
                log=True,
                markers=True,
            ),
            "The size of the gradients in each hidden layer, on a logarithmic scale, a line for each activation.",
        ),
        "Layer 1 is the one at the input, farthest from the loss.",
    )
    ratio = {name: net["gradients_at_first"][0] / net["gradients_at_first"][-1] for name, net in nets.items()}
    text = (
        f"With the sigmoid the first layer's gradient is {number(ratio['sigmoid'])} times the last one's, with tanh "
        f"{number(ratio['tanh'])}, with relu {number(ratio['relu'])}. "
    )
    if ratio["sigmoid"] < 0.1:
        text += (
            "The sigmoid's slope is 0.25 at most, so each layer passes on a fraction: the gradient *vanishes*. Its "
            "outputs also are all positive (their mean in the last layer is "
            f"{number(nets['sigmoid']['first']['mean'][-1])}, tanh's {number(nets['tanh']['first']['mean'][-1])}) "
            "and hardly differ between images: a neuron's outputs in the last layer have a standard deviation of "
            f"{number(nets['sigmoid']['first']['differs'][-1])}, with tanh "
            f"{number(nets['tanh']['first']['differs'][-1])}."
        )
    page.prose(text + " [First weights](init.html) shows what the right scale of the weights can do about it.")


def _distributions(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures, pictures

    nets = numbers["networks"]
    page.section("What the neurons put out")
    panels = []
    for name in ("sigmoid", "tanh", "relu", "gelu"):
        net = nets[name]
        low, high = net["range"]
        panels.append(
            (
                pictures.over_time(
                    net["last_layer_over_time"],
                    low=low,
                    high=high,
                    title=f"{name}: outputs of layer {LAYERS}",
                    y="output",
                ),
                f"How the distribution of {name} outputs in the last hidden layer changes from epoch to epoch.",
            )
        )
    page.figure(
        panels,
        f"Outputs of the last hidden layer for {SAMPLES} training images. Each column is a time, from before "
        "training (0) to the last epoch; the brighter, the more of the values are there. What lies beyond the scale "
        "is counted at its end.",
    )
    last = nets["relu"]["last"]["values"][-1]
    low, high = nets["relu"]["range"]
    at_zero = last[int((0 - low) / (high - low) * len(last))]
    page.prose(
        f"After training {percent(at_zero, 0)} of relu's outputs in the last layer are at 0 or just above: a "
        "*sparse* code, in which each image switches on some of the neurons. "
        + (
            "The tanh has moved to its two ends. "
            if nets["tanh"]["last"]["flat"][-1] > 0.3
            else "The tanh has spread out between its two ends. "
        )
    )
    edges = np.linspace(-0.6, 0.6, len(nets["relu"]["weights_before"]) + 1)
    page.figure(
        [
            (
                figures.histograms(
                    {
                        "before": (edges, nets[name]["weights_before"]),
                        "after": (edges, nets[name]["weights_after"]),
                    },
                    title=f"{name}: hidden weights",
                    x="weight",
                ),
                f"Distributions of the hidden layers' weights of the {name} network before and after training.",
            )
            for name in ("sigmoid", "relu")
        ],
        "All weights of the hidden layers, before and after training.",
    )

    changes = {name: net["weights_change"] for name, net in nets.items()}
    most = max(changes.values())
    page.prose(
        "The change of the weights, as the RMS of all changes over the RMS of the first weights: "
        + listed(f"{name} {percent(change, 0)}" for name, change in changes.items())
        + "."
        + (" Training moves weights by less than their own size: where they start matters." if most < 1 else "")
    )


def _flat_and_dead(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    nets, high = numbers["networks"], numbers["high"]
    page.section("Saturated and dead neurons")
    page.prose(
        f"A neuron is called *flat* here on an image if its slope is below {percent(FLAT, 0)} of the activation's "
        "largest: for sigmoid and tanh that is saturation, for relu it means that the neuron is off. That is no "
        f"harm as long as other images reach it. A neuron that is flat for *every* one of {SAMPLES} images gets no "
        "gradient: it is dead."
    )
    page.table(
        f"After {numbers['epochs']} epochs, over all hidden layers",
        ["activation", "flat before", "flat after", "dead neurons", "test accuracy"],
        [
            [
                name,
                percent(np.mean(net["first"]["flat"])),
                percent(np.mean(net["last"]["flat"])),
                percent(np.mean(net["last"]["dead"])),
                percent(net["curves"]["val_accuracy"][-1]),
            ]
            for name, net in nets.items()
        ],
    )
    dead = {name: net["dead_over_time"][-1] for name, net in high.items()}
    page.prose(
        "Large steps kill relu neurons: one that is thrown so far that its sum is negative for all images gets no "
        "gradient, and comes back only if the layers before it change what it sees. With plain SGD and a learning "
        f"rate of {numbers['high_rate']:g} instead of {LEARNING_RATE:g}, {percent(dead['relu'])} of the relu neurons "
        f"are dead at the end, {percent(dead['leaky_relu'])} of the leaky ones, whose slope of 0.01 below 0 always "
        "lets some error through."
    )
    page.figure(
        [
            (
                figures.curves(
                    {
                        name: (list(range(len(net["dead_over_time"]))), net["dead_over_time"])
                        for name, net in high.items()
                    },
                    title=f"Dead neurons, learning rate {numbers['high_rate']:g}",
                    x="epoch",
                    y="share",
                ),
                "The share of dead neurons over the epochs with a high learning rate, for relu and leaky relu.",
            ),
            (
                figures.curves(
                    {name: net["curves"]["val_accuracy"] for name, net in high.items()},
                    title="Accuracy on the test images",
                    x="epoch",
                ),
                "Accuracy over the epochs with a high learning rate, for relu and leaky relu.",
            ),
        ],
        "A high learning rate and dead neurons.",
    )
    page.prose(
        f"The accuracy at the end is {percent(high['relu']['curves']['val_accuracy'][-1])} with relu and "
        f"{percent(high['leaky_relu']['curves']['val_accuracy'][-1])} with leaky relu. "
        + (
            "Smaller steps, first weights of the right scale, and norm layers keep neurons alive."
            if dead["relu"] > dead["leaky_relu"]
            else "In this run leaky relu did not have fewer dead neurons than relu."
        )
    )
