"""What one neuron computes: weights, weighted sum, bias, activation; and what it learns on the digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.kernels import activate
from fastnet.lab.measure import data, shares, slopes, train
from fastnet.layers import Dense, Flatten
from fastnet.network import Network
from fastnet.optimizers import Adam
from fastnet.reports.text import listed, number, percent, signed, table_number

if TYPE_CHECKING:
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "What a neuron computes"
QUESTION = "What are weights and biases, what does the weighted sum do, and what is an activation function for?"

INPUTS, WEIGHTS, BIAS = [0.5, -1.0, 2.0], [1.5, 0.5, -0.5], 0.5
ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu")
GRID = np.linspace(-6, 6, 241)
STEEP, BIASES = 2.0, (-4.0, -2.0, 0.0, 2.0, 4.0)
STEEPNESS = (0.5, 1.0, 2.0, 5.0)
RATE = 1e-2  # of the neuron that learns
FLAT = 0.01  # a slope below which a neuron hardly learns
SHIFTS = (-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0)

SNIPPET = """
import numpy as np, fastnet as fn

layers = [fn.Dense(1, activation="sigmoid", name="neuron")]
neuron = fn.Network(layers, input_shape=(3,), dtype="float64", seed=0)
neuron["neuron"].weight.assign([[1.5], [0.5], [-0.5]])
neuron["neuron"].bias.assign([0.5])
print(neuron.predict(np.array([[0.5, -1.0, 2.0]])))  # the sigmoid of -0.25
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """The page's example, curves of neurons with one input, activation functions, and a neuron that knows zeros."""
    return {
        "example": _example(),
        "grid": GRID,
        "bias_curves": {f"{bias:g}": _sigmoid_neuron(STEEP, bias) for bias in BIASES},
        "bias_middle": {f"{bias:g}": _middle(_sigmoid_neuron(STEEP, bias)) for bias in BIASES},
        "weight_curves": {f"{weight:g}": _sigmoid_neuron(weight, 0.0) for weight in STEEPNESS},
        "activations": {name: _activation(name) for name in ACTIVATIONS},
        "zeros": _zeros(seed, 20 if quick else 60),
    }


def _neuron(weights: Sequence[float], bias: float, activation: str | None = None) -> Network:
    net = Network(
        [Dense(1, activation=activation, name="neuron")], input_shape=(len(weights),), dtype="float64", seed=0
    )
    net["neuron"].weight.assign(np.reshape(weights, (-1, 1)))
    net["neuron"].bias.assign([bias])
    return net


def _example() -> dict[str, Any]:
    x = np.array([INPUTS])
    return {
        "inputs": INPUTS,
        "weights": WEIGHTS,
        "bias": BIAS,
        "products": [a * b for a, b in zip(INPUTS, WEIGHTS, strict=True)],
        "sum": _neuron(WEIGHTS, BIAS).predict(x).item(),
        "outputs": {name: _neuron(WEIGHTS, BIAS, name).predict(x).item() for name in ACTIVATIONS},
    }


def _sigmoid_neuron(weight: float, bias: float) -> Array:
    return _neuron([weight], bias, "sigmoid").predict(GRID[:, None])[:, 0]


def _middle(y: Array) -> float | None:
    """The input at which the output is one half, between the points of the grid."""
    return float(np.interp(0.5, y, GRID)) if y[0] < 0.5 < y[-1] else None


def _activation(name: str) -> dict[str, Any]:
    y = activate(GRID, name)
    slope = slopes(name, GRID)
    return {
        "values": y,
        "slopes": slope,
        "least": y.min(),
        "most": y.max(),
        "largest_slope": slope.max(),
        "slope_at_zero": slope[len(GRID) // 2],
        "flat_share": float((np.abs(slope) < FLAT).mean()),
    }


def _zeros(seed: int, epochs: int) -> dict[str, Any]:
    """One neuron that is to say 1 for the digit 0 and 0 for all others."""
    (x, y), (x_test, y_test) = data()
    parts = (x, (y == 0).astype(float)), (x_test, (y_test == 0).astype(float))
    net = Network([Flatten(), Dense(1, name="neuron")], input_shape=(8, 8, 1), seed=seed)
    curves = train(net, epochs=epochs, optimizer=Adam(RATE), parts=parts, loss="sigmoid_cross_entropy")
    sums = net.predict(x_test)[:, 0].astype(float)
    zero = y_test == 0
    low, high = float(sums.min()), float(sums.max())
    return {
        "epochs": epochs,
        "weights": net["neuron"].weight.value.reshape(8, 8),
        "bias": float(net["neuron"].bias.value[0]),
        "accuracy": curves["val_accuracy"][-1],
        "always_no": float(1 - zero.mean()),
        "mean_zero": x[y == 0].mean(axis=0)[:, :, 0],
        "mean_other": x[y != 0].mean(axis=0)[:, :, 0],
        "edges": np.linspace(low, high, 41),
        "sums_of_zeros": shares(sums[zero], low, high),
        "sums_of_others": shares(sums[~zero], low, high),
        "shifts": [
            {
                "shift": shift,
                "found": float((sums[zero] + shift > 0).mean()),
                "false_alarms": float((sums[~zero] + shift > 0).mean()),
            }
            for shift in SHIFTS
        ],
    }


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    _weighted_sum(page, numbers["example"])
    _bias(page, numbers)
    _activations(page, numbers)
    _on_digits(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    page.prose('All numbers of this page are in `fn.lab.run("neuron", seed=' + str(numbers["seed"]) + ")`.")
    return page


def _weighted_sum(page: Page, example: dict[str, Any]) -> None:
    page.section("The weighted sum")
    page.prose(
        "A neuron has a *weight* for each of its inputs, and one *bias*. It multiplies each input by its weight, "
        "adds the products, and adds the bias:"
    )
    page.formula("z = w_1 x_1 + w_2 x_2 + … + w_n x_n + b")
    page.prose(
        "A weight says how much an input counts, and its sign in which direction: a large positive weight lets its "
        "input raise the sum, a negative one lets it lower the sum, and a weight of 0 ignores the input."
    )
    rows = zip(example["inputs"], example["weights"], example["products"], strict=True)
    page.table(
        "One neuron with three inputs, by numbers",
        ["", "input x", "weight w", "product w x"],
        [[f"input {i}", signed(x, 2), signed(w, 2), signed(p, 3)] for i, (x, w, p) in enumerate(rows, 1)]
        + [["bias b", "", "", signed(example["bias"], 3)], ["sum z", "", "", signed(example["sum"], 3)]],
    )
    outputs = [f"{name}: {signed(value, 4)}" for name, value in example["outputs"].items()]
    page.prose(
        f"The sum is $z$ = {signed(example['sum'], 3)}. An *activation function* $f$ then makes the output of it, $y "
        f"= f(z)$. Here it would be {listed(outputs)}. Which one is used is the network's design; weights and bias "
        "are what it learns."
    )


def _bias(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    page.section("Weight and bias: how steep, and where")
    page.prose(
        "Take one input $x$ and the sigmoid, $f(z) = 1 / (1 + e^{−z})$. It is one half where the sum is 0, that "
        "is at $x = −b / w$. So the *bias shifts* the curve along the input, and the *weight* sets how steep it is. "
        "Without a bias every such neuron would switch at 0, whatever its data looks like."
    )
    left = figures.curves(
        {f"b = {name}".replace("-", "−"): (numbers["grid"], y) for name, y in numbers["bias_curves"].items()},
        title=f"Bias (weight {STEEP:g})",
        x="input x",
        y="output y",
    )
    right = figures.curves(
        {f"w = {name}": (numbers["grid"], y) for name, y in numbers["weight_curves"].items()},
        title="Weight (bias 0)",
        x="input x",
        y="output y",
    )
    page.figure(
        [
            (left, "Five S-shaped curves of the same shape, each shifted along the input by its bias."),
            (right, "Four S-shaped curves through one point, steeper with larger weights."),
        ],
        "Left: the bias moves the curve. Right: the weight makes it steeper.",
    )
    page.table(
        f"Where the output is one half (weight {STEEP:g})",
        ["bias b", "by the formula, −b / w", "measured on the curve"],
        [
            [signed(float(bias), 0), signed(-float(bias) / STEEP + 0.0, 2), signed(x, 2)]
            for bias, x in numbers["bias_middle"].items()
        ],
    )


def _activations(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    found = numbers["activations"]
    page.section("Activation functions and their slopes")
    page.prose(
        "Without an activation function, layers on top of each other would be one weighted sum again: it is the "
        "bend in $f$ that lets a network draw anything but straight lines. Its *slope* matters as much as its "
        "value. Learning sends the error back through the network, and at each neuron multiplies it by the slope at "
        "that neuron's sum. Where the slope is nearly 0 the neuron is *saturated*: whatever the error says, its "
        "weights hardly change."
    )
    for names in (("sigmoid", "tanh"), ("relu", "leaky_relu"), ("gelu", "silu")):
        page.figure(
            [
                (
                    figures.curves(
                        {
                            "f(z)": (numbers["grid"], found[name]["values"]),
                            "slope": (numbers["grid"], found[name]["slopes"]),
                        },
                        title=name,
                        x="sum z",
                        size=(4.3, 2.4),
                    ),
                    f"The function {name} and its slope for sums from -6 to 6. The slope is at most "
                    f"{number(found[name]['largest_slope'])}.",
                )
                for name in names
            ],
            listed(names).capitalize() + ": the function, and its slope with dashes.",
        )
    page.table(
        "Measured between z = −6 and 6",
        ["activation", "values", "slope at 0", "largest slope", f"share with a slope below {FLAT:g}"],
        [
            [
                name,
                f"{signed(row['least'], 2)} to {signed(row['most'], 2)}",
                signed(row["slope_at_zero"], 3),
                signed(row["largest_slope"], 3),
                percent(row["flat_share"], 0),
            ]
            for name, row in found.items()
        ],
    )
    largest = found["sigmoid"]["largest_slope"]
    text = f"The sigmoid's slope is {number(largest)} at most. "
    if largest < 1:
        text += (
            f"Through ten layers the slopes alone shrink an error to at most {number(largest)}^{{10}} = "
            f"{number(largest**10)} of its size: one reason why deep networks of sigmoids are hard to train. "
        ).replace(f"{number(largest)}^{{10}}", f"${number(largest)}^{{10}}$")
    whole = [name for name, row in found.items() if row["largest_slope"] >= 1]
    text += f"Functions whose slope reaches 1, so that an error can pass undiminished: {listed(whole)}. "
    dead = found["relu"]["flat_share"]
    text += (
        f"The relu is flat over {percent(dead, 0)} of this range, all negative sums: a neuron whose sum is negative "
        "for every sample learns nothing more, it is *dead*."
    )
    if found["leaky_relu"]["flat_share"] < dead:
        text += " The leaky relu keeps a small slope there to avoid that."
    page.prose(text)


def _on_digits(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures, pictures

    zeros = numbers["zeros"]
    page.section("One neuron that has learned")
    page.prose(
        "One neuron with 64 weights, one for each pixel, was trained to say whether an image is a 0 "
        f"({numbers['samples']['training']:,} training images, Adam with a learning rate of {RATE:g}, "
        f"{zeros['epochs']} epochs, seed {numbers['seed']}). On the test images it is right in "
        f"{percent(zeros['accuracy'])}; saying *no* every time would be right in {percent(zeros['always_no'])}."
    )
    page.figure(
        [
            (
                pictures.image_grid(
                    [zeros["mean_zero"], zeros["mean_other"]], columns=2, titles=["mean 0", "mean of the others"]
                ),
                "Two gray images: the mean of all zeros, a ring, and the mean of all other digits, a blur.",
            ),
            (
                pictures.heat_map(zeros["weights"], title="The 64 weights", diverging=True, size=(4.3, 3.2)),
                "The 64 weights as an image of 8 by 8 pixels, positive ones red, negative ones blue.",
            ),
        ],
        "Where a weight is positive (red), ink speaks for a 0; where it is negative (blue), against it.",
    )
    centre = float(np.mean(np.array(zeros["weights"])[3:5, 3:5]))
    page.prose(
        f"The four weights in the middle are {signed(centre, 2)} on average"
        + (": ink in the middle speaks against a 0, which is empty there." if centre < 0 else ".")
        + f" The bias is {signed(zeros['bias'], 2)}."
    )
    sums = figures.histograms(
        {
            "zeros": (zeros["edges"], zeros["sums_of_zeros"]),
            "others": (zeros["edges"], zeros["sums_of_others"]),
        },
        title="Weighted sums of the test images",
        x="sum z",
    )
    page.figure(
        (sums, "Two distributions of weighted sums: those of zeros lie to the right of those of other digits."),
        "The neuron says “a 0” where the sum is above 0. Adding to the bias shifts all sums to the right.",
    )
    page.table(
        "What a change of the bias does to the decisions on the test images",
        ["added to the bias", "zeros found", "others taken for a 0"],
        [[table_number(row["shift"]), percent(row["found"]), percent(row["false_alarms"])] for row in zeros["shifts"]],
    )
    page.prose(
        "So the bias is the neuron's threshold: with a larger one it fires more readily, and errs more on the other "
        "side."
    )
