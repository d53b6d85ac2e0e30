"""What the filters of a convolutional network learn, what they see, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import initializers
from fastnet.kernels.random import key
from fastnet.lab.measure import BATCH, Snapshots, data, train
from fastnet.layers import Conv2D, Dense, Flatten, MaxPool2D
from fastnet.network import Network
from fastnet.optimizers import Adam
from fastnet.reports.text import listed, number, percent

if TYPE_CHECKING:
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "What filters learn"
QUESTION = "What do the small windows of weights in a convolutional network look for, and which of them matter?"

FILTERS, DEEP_FILTERS, WINDOW, EPOCHS, RATE = 8, 16, 3, 15, 1e-3
SHOWN_EPOCHS = (0, 1, 2, 5, 10, 15)
PATCHES = 8  # that excite a filter most
IMAGE = 3  # of the test images, which is looked at closely
OCCLUDER = 3  # pixels
CHANGES = ("removed", "shuffled", "drawn anew")

SNIPPET = """
import fastnet as fn

(x, y), (x_test, y_test) = fn.datasets.digits()
layers = [
    fn.Conv2D(8, 3, padding="same", activation="relu", name="first"), fn.MaxPool2D(2),
    fn.Conv2D(16, 3, padding="same", activation="relu", name="second"), fn.MaxPool2D(2),
    fn.Flatten(), fn.Dense(10),
]
net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
net.fit(x, y, epochs=15, loss="softmax_cross_entropy", metrics=["accuracy"], verbose=0)
for i in range(8):
    other = net.copy()
    with other["first"].weight.edit() as w, other["first"].bias.edit() as b:
        w[..., i], b[i] = 0, 0  # remove a filter
    print(i, other.evaluate(x_test, y_test)["accuracy"])
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Kernels over time, feature maps, exciting patches, an occlusion map, and the accuracy without each filter."""
    epochs = 3 if quick else EPOCHS
    parts = data()
    (x, y), (x_test, y_test) = parts
    net = _network(seed)
    snapshots = Snapshots(lambda net: np.moveaxis(net["first"].weight.value[:, :, 0], 2, 0).copy())
    curves = train(net, epochs=epochs, optimizer=Adam(RATE), parts=parts, callbacks=[snapshots])
    shown = sorted({*(epoch for epoch in SHOWN_EPOCHS if epoch <= epochs), epochs})
    image = x_test[IMAGE : IMAGE + 1]
    maps = net.activations(image, ["first", "second"])
    return {
        "epochs": epochs,
        "curves": curves,
        "accuracy": curves["val_accuracy"][-1],
        "shown_epochs": shown,
        "kernels": [snapshots.taken[epoch] for epoch in shown],
        "change": _changes(snapshots.taken),
        "image": image[0, :, :, 0],
        "label": int(y_test[IMAGE]),
        "first_maps": np.moveaxis(maps["first"][0], 2, 0),
        "second_maps": np.moveaxis(maps["second"][0], 2, 0),
        "patches": {
            "first": _patches(net, "first", x, y, margin=1, stride=1),
            "second": _patches(net, "second", x, y, margin=3, stride=2),
        },
        "occlusion": _occlusion(net, image, int(y_test[IMAGE]), float(x.mean())),
        "worth": {
            layer: {change: _worth(net, layer, change, seed, x_test, y_test) for change in CHANGES}
            for layer in ("first", "second")
        },
    }


def _network(seed: int) -> Network:
    return Network(
        [
            Conv2D(FILTERS, WINDOW, padding="same", activation="relu", name="first"),
            MaxPool2D(2),
            Conv2D(DEEP_FILTERS, WINDOW, padding="same", activation="relu", name="second"),
            MaxPool2D(2),
            Flatten(),
            Dense(10, name="head"),
        ],
        input_shape=(8, 8, 1),
        seed=seed,
    )


def _changes(taken: Sequence[Array]) -> list[float]:
    """For each filter, how far it has come from where it started, over its first length."""
    first, last = taken[0].astype(float), taken[-1].astype(float)
    return np.sqrt(((last - first) ** 2).sum(axis=(1, 2)) / (first**2).sum(axis=(1, 2))).tolist()


def _patches(net: Network, layer: str, x: Array, y: Array, margin: int, stride: int) -> dict[str, Any]:
    """For each filter the windows of different training images that excite it most, and those images' digits.

    A value of the layer at (r, c) sees the pixels from stride r - margin to stride r + stride - 1 + margin, and zeros
    outside of the image.
    """
    maps = net.activations(x, [layer])[layer]
    size = stride + 2 * margin
    padded = np.pad(x[..., 0], ((0, 0), (margin, margin), (margin, margin)))
    windows, digits = [], []
    for i in range(maps.shape[-1]):
        flat = maps[..., i].reshape(len(x), -1)
        best = np.argsort(-flat.max(axis=1), kind="stable")[:PATCHES]
        rows, columns = np.unravel_index(flat[best].argmax(axis=1), maps.shape[1:3])
        windows.append(
            [
                padded[n, stride * r : stride * r + size, stride * c : stride * c + size]
                for n, r, c in zip(best, rows, columns, strict=True)
            ]
        )
        digits.append(y[best])
    return {"windows": np.array(windows), "digits": np.array(digits), "means": maps.mean(axis=(0, 1, 2))}


def _occlusion(net: Network, image: Array, label: int, gray: float) -> dict[str, Any]:
    """The probability of the right digit with a gray square over each place."""
    whole = net.predict_proba(image)[0]
    copies = []
    for row in range(8):
        for column in range(8):
            copy = image[0].copy()
            half = OCCLUDER // 2
            copy[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1] = gray
            copies.append(copy)
    found = net.predict_proba(np.array(copies))
    return {
        "probability": float(whole[label]),
        "map": found[:, label].reshape(8, 8),
        "lowest": float(found[:, label].min()),
        "instead": int(found[found[:, label].argmin()].argmax()),
    }


def _worth(net: Network, layer: str, change: str, seed: int, x: Array, y: Array) -> list[float]:
    """The test accuracy with one filter after the other changed."""
    accuracies = []
    rng = np.random.default_rng(seed)
    fresh = initializers.HeNormal().draw(net[layer].weight.shape, "float32", key(seed, f"lab.{layer}"))
    for i in range(net[layer].weight.shape[-1]):
        other = net.copy()
        with other[layer].weight.edit() as weight, other[layer].bias.edit() as bias:
            if change == "removed":
                weight[..., i], bias[i] = 0, 0
            elif change == "shuffled":
                weight[..., i] = rng.permutation(weight[..., i].ravel()).reshape(weight.shape[:-1])
            else:
                weight[..., i] = fresh[..., i]
        accuracies.append(other.evaluate(x, y)["accuracy"])
    return accuracies


# The page


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    page.section("The network")
    page.prose(
        f"A filter is a neuron with few inputs, a window of {WINDOW} × {WINDOW} pixels, that is moved over the whole "
        "image with the same weights; what it puts out at each place is an image again, its *feature map*. The "
        f"network here has {FILTERS} filters, relu, max pooling, {DEEP_FILTERS} filters over all {FILTERS} maps, "
        f"relu, max pooling, and a dense layer. It was trained for {numbers['epochs']} epochs (Adam, learning rate "
        f"{RATE:g}, batches of {BATCH}, seed {numbers['seed']}), and knows {percent(numbers['accuracy'])} of the "
        "test images."
    )
    _kernels(page, numbers)
    _maps(page, numbers)
    _exciting(page, numbers)
    _occluded(page, numbers)
    _worths(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _kernels(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import pictures

    page.section("The weights, from epoch to epoch")
    kernels = np.array(numbers["kernels"], float)
    page.figure(
        (
            pictures.image_grid(
                kernels.reshape(-1, WINDOW, WINDOW),
                columns=FILTERS,
                diverging=True,
                each=False,
                size=(6.4, 0.72 * len(kernels) + 0.3),
                rows=[f"epoch {epoch}" for epoch in numbers["shown_epochs"]],
                titles=[str(i + 1) for i in range(FILTERS)],
            ),
            f"A grid: the {FILTERS} filters of the first layer in columns, epochs in rows. Red weights are positive, "
            "blue ones negative.",
        ),
        "The filters of the first layer (columns) as they learn (rows). Red is positive, blue negative, white zero.",
    )
    change = numbers["change"]
    most, least = int(np.argmax(change)), int(np.argmin(change))
    page.prose(
        f"They start as noise. Filter {most + 1} changes most, by {number(change[most], 2)} times the length of its "
        f"first weights; filter {least + 1} least, by {number(change[least], 2)} times. "
        + (
            "So much of what the filters look like at the end is how they began: training needs the noise, and "
            "bends it just so far as it helps."
            if np.mean(change) < 1
            else "Most of what the filters look like at the end they have learned."
        )
    )


def _maps(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import pictures

    page.section("What they see in an image")
    page.figure(
        [
            (
                pictures.image_grid([numbers["image"]], columns=1, size=(2.2, 2.2)),
                f"A gray image of 8 by 8 pixels, a handwritten {numbers['label']}.",
            ),
            (
                pictures.image_grid(
                    numbers["first_maps"], columns=4, titles=[str(i + 1) for i in range(FILTERS)], each=False
                ),
                f"The {FILTERS} feature maps of the first layer: different strokes of the {numbers['label']} light "
                "up in each.",
            ),
            (
                pictures.image_grid(numbers["second_maps"], columns=8, each=False),
                f"The {DEEP_FILTERS} feature maps of the second layer, 4 by 4 values each.",
            ),
        ],
        f"A handwritten {numbers['label']} of the test images, its maps in the first layer, and in the second. "
        "Bright is a large output.",
    )
    active = float((np.array(numbers["second_maps"]).max(axis=(1, 2)) > 0).mean())
    page.prose(
        "A filter of the first layer lights up where the image looks like its weights: at an edge, a stroke in some "
        f"direction. The second layer combines these. On this image {percent(active, 0)} of its filters put out "
        "something above 0."
    )


def _exciting(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import pictures

    page.section("What excites a filter most")
    panels = []
    for layer, count in (("first", FILTERS), ("second", 8)):
        windows = np.array(numbers["patches"][layer]["windows"], float)[:count]
        panels.append(
            (
                pictures.image_grid(
                    windows.reshape(-1, *windows.shape[2:]),
                    columns=PATCHES,
                    rows=[f"filter {i + 1}" for i in range(count)],
                    each=False,
                ),
                f"For each of {count} filters of the {layer} layer a row of the {PATCHES} windows of training images "
                "that excite it most.",
            )
        )
    page.figure(
        panels,
        "A row for each filter: the windows, each of another training image, in which it puts out most. First layer "
        "at the left (3 × 3 pixels), second at the right (its first eight filters; they see 8 × 8 pixels).",
    )
    digits = np.array(numbers["patches"]["second"]["digits"])
    pure = [i + 1 for i, row in enumerate(digits) if np.bincount(row, minlength=10).max() >= PATCHES - 1]
    text = "The windows of one filter resemble each other: that is what it looks for. "
    if pure:
        text += (
            f"In the second layer {len(pure)} of {DEEP_FILTERS} filters have found their best windows in images of "
            "one digit (or all but one of them)."
        )
    else:
        text += (
            "No filter of the second layer belongs to a single digit: each looks for a part that several digits have."
        )
    page.prose(text)


def _occluded(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import pictures

    found = numbers["occlusion"]
    page.section("Which pixels the answer rests on")
    page.figure(
        [
            (
                pictures.image_grid([numbers["image"]], columns=1, size=(2.6, 2.6)),
                f"The image of the {numbers['label']}.",
            ),
            (
                pictures.heat_map(
                    found["map"], title=f"Probability of {numbers['label']}", limits=(0, 1), size=(3.6, 2.8)
                ),
                f"A map of 8 by 8 places: the probability that the network gives to {numbers['label']} when the "
                "place is covered.",
            ),
        ],
        f"A gray square of {OCCLUDER} × {OCCLUDER} pixels is put over each place in turn; dark places are those "
        "where covering harms.",
    )
    text = f"Uncovered, the network gives the {numbers['label']} a probability of {percent(found['probability'])}. "
    if found["lowest"] < 0.5:
        text += (
            f"With the square at the worst place that falls to {percent(found['lowest'])}, and it takes the image "
            f"for a {found['instead']}."
        )
    else:
        text += f"Even with the square at the worst place it is {percent(found['lowest'])}: no single place decides."
    page.prose(text)


def _worths(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    base = numbers["accuracy"]
    page.section("What each filter is worth")
    page.prose(
        "One filter at a time was removed (weights and bias set to 0), shuffled (its own weights in another order), "
        f"or drawn anew; nothing was trained afterwards. How much of the {percent(base)} is left?"
    )
    worth = numbers["worth"]
    page.figure(
        [
            (
                figures.bars(
                    {f"filter {i + 1}": value for i, value in enumerate(worth["first"][change])},
                    title=f"First layer, one {change}",
                    x="test accuracy",
                    reference=(base, "whole"),
                    form="{:.1%}",
                    limits=(0, 1),
                ),
                f"Test accuracy with each of the first layer's filters {change}, beside that of the whole network.",
            )
            for change in CHANGES
        ],
        "The dashed line is the accuracy of the whole network.",
    )
    rows = []
    for layer, kinds in worth.items():
        for change, values in kinds.items():
            drops = [100 * (base - value) for value in values]
            rows.append(
                [
                    f"{layer} layer, {change}",
                    f"{np.mean(drops):.1f}",
                    f"{max(drops):.1f} (filter {int(np.argmax(drops)) + 1})",
                    str(sum(drop <= 0 for drop in drops)),
                ]
            )
    page.table(
        "Points of accuracy lost, one filter changed at a time",
        ["", "mean loss", "largest loss", "filters without loss"],
        rows,
    )
    drop = {change: float(np.mean([base - v for v in worth["first"][change]])) for change in CHANGES}
    second = float(np.mean([base - v for v in worth["second"]["removed"]]))
    text = (
        f"Removing a filter of the first layer costs {100 * drop['removed']:.1f} points on average, one of the "
        f"second {100 * second:.1f}"
        + (": with more filters each one matters less. " if second < drop["removed"] else ". ")
    )
    if drop["shuffled"] > drop["removed"] and drop["drawn anew"] > drop["removed"]:
        text += (
            "A wrong filter harms more than a missing one: the layers behind it take what it says at its word. So "
            "it is not the size of the weights but their pattern that was learned."
        )
    else:
        worse = [change for change in CHANGES[1:] if drop[change] > drop["removed"]]
        text += f"Worse than a missing filter in this run: {listed(worse)}."
    page.prose(text)
