"""Underfitting and overfitting, and what helps: weight decay, dropout, early stopping, augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import augment
from fastnet.lab.measure import data, shares, train
from fastnet.layers import Dense, Dropout, Flatten
from fastnet.losses import SoftmaxCrossEntropy
from fastnet.network import Network
from fastnet.optimizers import Adam, AdamW, Optimizer
from fastnet.regularizers import L1, L2
from fastnet.reports.text import listed, number, percent, table_number
from fastnet.training import EarlyStopping

if TYPE_CHECKING:
    from fastnet.lab.measure import Parts
    from fastnet.layers import Layer
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "Underfitting, overfitting, regularization"
QUESTION = (
    "Why is a network good at what it has seen and bad at what it hasn't, and what do weight decay, dropout and the "
    "others do about it?"
)

RATE = 1e-3


@dataclass(frozen=True)
class Method:
    """A row of the comparison: what is changed in the network and its training."""

    name: str
    text: str
    optimizer: Callable[[], Optimizer] = lambda: Adam(RATE)
    dropout: float = 0.0
    patience: int | None = None
    network: dict[str, Any] = field(default_factory=dict)  # further arguments of `Network`
    fit: dict[str, Any] = field(default_factory=dict)  # and of its `fit`


METHODS = (
    Method("nothing", "the plain network"),
    Method(
        "weight decay",
        "each step makes all weights a little smaller (AdamW, weight decay 1)",
        lambda: AdamW(RATE, weight_decay=1.0),
    ),
    Method("L2", "0.001 Σ w^2 is added to the loss", network={"regularizer": L2(1e-3)}),
    Method("L1", "0.0002 Σ |w| is added to the loss", network={"regularizer": L1(2e-4)}),
    Method(
        "dropout", "in training each hidden neuron is left out with probability 0.5, anew in every step", dropout=0.5
    ),
    Method(
        "early stopping",
        "stop when the test loss has not improved for 10 epochs, and take the best weights",
        patience=10,
    ),
    Method(
        "augmentation",
        "in every epoch each image is shifted by up to a pixel, anew",
        fit={"augment": (augment.RandomCrop(1),)},
    ),
    Method(
        "all but stopping",
        "weight decay 0.1, dropout 0.3 and augmentation",
        lambda: AdamW(RATE, weight_decay=0.1),
        dropout=0.3,
        fit={"augment": (augment.RandomCrop(1),)},
    ),
)
COLOURS = {method.name: i for i, method in enumerate(METHODS)}

SAMPLES, UNITS, BATCH, EPOCHS = 300, 256, 25, 80
WRONG = 0.2  # of the training labels
SHARED = (100, SAMPLES, 1000)
SIZES = (1, 2, 4, 8, 16, 64, 256)
SIZE_EPOCHS = 80

SNIPPET = """
import fastnet as fn
from fastnet.lab.regularization import noisy

(x, y), test = noisy(300, seed=0)  # digits, a fifth of them with wrong labels
layers = [fn.Flatten()]
for _ in range(2):
    layers += [fn.Dense(256, activation="relu"), fn.Dropout(0.5)]
net = fn.Network([*layers, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
history = net.fit(
    x, y, epochs=80, batch_size=25, loss="softmax_cross_entropy",
    optimizer=fn.Adam(1e-3), metrics=["accuracy"], validation=test, verbose=0,
)
print(history["val_accuracy"][-1])
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Training and test curves with each method, and with networks of each size."""
    epochs, size_epochs = (15, 15) if quick else (EPOCHS, SIZE_EPOCHS)
    parts = noisy(SAMPLES, seed)
    return {
        "epochs": epochs,
        "size_epochs": size_epochs,
        "sizes": {str(units): _train(METHODS[0], units, seed, size_epochs, parts)["ends"] for units in SIZES},
        "methods": {method.name: _train(method, UNITS, seed, epochs, parts) for method in METHODS},
        "shared": {str(n): _train(METHODS[0], UNITS, seed, epochs, noisy(n, seed))["ends"] for n in SHARED},
    }


def noisy(samples: int, seed: int) -> Parts:
    """The first training images, a share of them with wrong labels; and the test images, whose labels are right."""
    (x, y), test = data(train=samples)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(samples)[: round(WRONG * samples)]
    y = y.copy()
    y[rows] = (y[rows] + rng.integers(1, 10, len(rows))) % 10
    return (x, y), test


def _train(method: Method, units: int, seed: int, epochs: int, parts: Parts) -> dict[str, Any]:
    layers: list[Layer] = [Flatten()]
    for _ in range(2):
        layers += [Dense(units, activation="relu"), *([Dropout(method.dropout)] if method.dropout else [])]
    net = Network([*layers, Dense(10)], input_shape=(8, 8, 1), seed=seed, **method.network)
    callbacks = [] if method.patience is None else [EarlyStopping(patience=method.patience)]
    curves = train(
        net,
        epochs=epochs,
        optimizer=method.optimizer(),
        parts=parts,
        batch_size=BATCH,
        callbacks=callbacks,
        **method.fit,
    )
    weights = np.concatenate([p.value.ravel() for p in net.parameters() if p.value.ndim > 1]).astype(float)
    (x, y), test = parts
    return {
        "curves": curves,
        "ends": {**_judge(net, x, y), **{f"test_{name}": value for name, value in _judge(net, *test).items()}},
        "epochs": len(curves["loss"]),
        "best_epoch": int(np.argmin(curves["val_loss"])) + 1,
        "best_test_loss": float(np.min(curves["val_loss"])),
        "weights": shares(weights, -0.4, 0.4),
        "weights_rms": float(np.sqrt((weights**2).mean())),
    }


def _judge(net: Network, x: Array, y: Array) -> dict[str, Any]:
    """The loss alone, without what a method may add to it, and the accuracy."""
    return {
        "loss": SoftmaxCrossEntropy().value(net.predict(x), y),
        "accuracy": float((net.predict_class(x) == y).mean()),
    }


# The page


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    _sizes(page, numbers)
    _overfitting(page, numbers)
    _methods(page, numbers)
    _weights(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _sizes(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    rows = numbers["sizes"]
    page.section("Too small, large enough")
    page.prose(
        f"To make the problem hard, only {SAMPLES} digits were used for training, and {percent(WRONG, 0)} of them "
        f"got a wrong label, as happens in real data; the {numbers['samples']['test']} test images have their right "
        "ones. A network that learns the training data by heart learns the mistakes, too. Networks with two hidden "
        f"layers of 1 to {SIZES[-1]} relu neurons each were trained for {numbers['size_epochs']} epochs (Adam, "
        f"learning rate {RATE:g}, batches of {BATCH}, seed {numbers['seed']})."
    )
    sizes = [int(units) for units in rows]
    page.figure(
        (
            figures.curves(
                {
                    "training": (sizes, [row["accuracy"] for row in rows.values()]),
                    "test": (sizes, [row["test_accuracy"] for row in rows.values()]),
                },
                title="Accuracy by size",
                x="neurons in each hidden layer",
                log_x=True,
                markers=True,
                limits=(0, 1.03),
                size=(5.6, 3.1),
            ),
            "Training and test accuracy over the number of hidden neurons; training rises to the top, test stays "
            "below.",
        ),
        "A gap between the two curves is what the network has learned by heart.",
    )
    under = [units for units, row in rows.items() if row["accuracy"] < 0.75 * (1 - WRONG)]
    full = [units for units, row in rows.items() if row["accuracy"] >= 0.97]
    text = ""
    if under:
        smallest = rows[under[0]]
        text += (
            f"With {listed(under, 'or')} neurons the network does not even learn its training images: with "
            f"{under[0]} it knows {percent(smallest['accuracy'])} of them. That is *underfitting*; no regularization "
            "helps, only more neurons or longer training. "
        )
    if full:
        last = rows[full[-1]]
        text += (
            f"{full[-1]} neurons know {percent(last['accuracy'])} of the training images, with all their wrong "
            f"labels, and {percent(last['test_accuracy'])} of the test images. The gap of "
            f"{100 * (last['accuracy'] - last['test_accuracy']):.1f} points is *overfitting*. "
        )
    best = max(rows, key=lambda units: rows[units]["test_accuracy"])
    text += f"Best on the test images: {best} neurons, {percent(rows[best]['test_accuracy'])}."
    page.prose(text if under or full else "In so few epochs no size learned its training images.")


def _overfitting(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    row = numbers["methods"]["nothing"]
    curves = row["curves"]
    page.section("Overfitting in time")
    page.figure(
        (
            figures.curves(
                {"training": curves["loss"], "test": curves["val_loss"]},
                title="Loss, nothing done about it",
                x="epoch",
                log=True,
                size=(5.6, 3.1),
            ),
            "Training loss falls and falls; the test loss falls, then stays or rises.",
        ),
        f"{UNITS} neurons a layer, {SAMPLES} training images, {percent(WRONG, 0)} of them with a wrong label.",
    )
    rise = curves["val_loss"][-1] / row["best_test_loss"]
    text = (
        f"The test loss is lowest after {row['best_epoch']} epochs, {number(row['best_test_loss'])}; at the end it "
        f"is {number(curves['val_loss'][-1])}. "
    )
    if rise > 1.02:
        text += (
            "The training loss goes on to fall: the network becomes surer of what it has learned, of its mistakes "
            "on the test images, too. "
        )
    else:
        text += "In this run it hardly rises again: against the textbook, training longer did no harm here. "
    shared = numbers["shared"]
    text += "More data is the best cure: " + listed(
        f"with {n} training images the test accuracy is {percent(found['test_accuracy'])}"
        for n, found in shared.items()
    )
    page.prose(text + ".")


def _methods(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    rows = numbers["methods"]
    page.section("What helps")
    page.definitions((method.name, f"{method.text[0].upper()}{method.text[1:]}.") for method in METHODS)
    page.figure(
        [
            (
                figures.curves(
                    {name: row["curves"][key] for name, row in rows.items()},
                    title=title,
                    x="epoch",
                    log=True,
                    colours=COLOURS,
                    size=(4.6, 3.1),
                ),
                f"{title} over the epochs, a line for each method.",
            )
            for key, title in (("loss", "Loss in training"), ("val_loss", "Loss on the test images"))
        ],
        "The training loss is measured as the network trains, with neurons dropped and images shifted: that makes "
        "it higher than without.",
    )
    page.table(
        f"At the end ({numbers['epochs']} epochs, or fewer with early stopping)",
        ["method", "epochs", "training accuracy", "test accuracy", "test loss", "RMS of the weights"],
        [
            [
                name,
                str(row["epochs"]),
                percent(row["ends"]["accuracy"]),
                percent(row["ends"]["test_accuracy"]),
                table_number(row["ends"]["test_loss"]),
                table_number(row["weights_rms"]),
            ]
            for name, row in rows.items()
        ],
    )
    base = rows["nothing"]["ends"]
    others = {name: row["ends"] for name, row in rows.items() if name != "nothing"}
    lower = [name for name, row in others.items() if row["test_loss"] < base["test_loss"]]
    better = [name for name, row in others.items() if row["test_accuracy"] > base["test_accuracy"]]
    worse = [name for name, row in others.items() if row["test_accuracy"] < base["test_accuracy"]]
    best = max(rows, key=lambda name: rows[name]["ends"]["test_accuracy"])
    text = (
        f"Compared with nothing, the test loss is lower with: {listed(lower)}. The test accuracy is higher with: "
        f"{listed(better)}; lower with: {listed(worse)}. The best is {best} with "
        f"{percent(rows[best]['ends']['test_accuracy'])}, against {percent(base['test_accuracy'])}. One test image "
        f"is {100 / numbers['samples']['test']:.1f} points, so small differences mean nothing."
    )
    if best == "nothing":
        text += " Against the textbook nothing helped in this run."
    page.prose(text)
    page.prose(
        "Early stopping here looks at the test images, which makes its figure a little too good: in earnest, hold "
        "out other images for it (`validation=0.2`)."
    )


def _weights(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    rows = numbers["methods"]
    page.section("What happens to the weights")
    edges = np.linspace(-0.4, 0.4, len(rows["nothing"]["weights"]) + 1)
    chosen = [name for name in ("nothing", "weight decay", "dropout") if name in rows]
    page.figure(
        (
            figures.histograms(
                {name: (edges, rows[name]["weights"]) for name in chosen},
                title="All weights after training",
                x="weight",
                size=(5.6, 3.1),
            ),
            f"Distributions of the weights after training with {listed(chosen)}.",
        ),
        "Weights beyond the scale are counted at its ends.",
    )
    decay, base = rows["weight decay"]["weights_rms"], rows["nothing"]["weights_rms"]
    page.prose(
        f"Weight decay leaves weights with an RMS of {number(decay)}; without it they have {number(base)}. "
        + (
            "Small weights make a smooth function: a small change of the input can't change the answer much. Only "
            "what many images agree on holds out against the decay."
            if decay < base
            else "Against the textbook they are not smaller in this run."
        )
    )
