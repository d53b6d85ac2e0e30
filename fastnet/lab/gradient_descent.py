"""One step of gradient descent by numbers, and what many steps do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.layers import Activation, Dense
from fastnet.losses import MeanSquaredError
from fastnet.network import Network
from fastnet.optimizers import SGD
from fastnet.reports.text import listed, number, signed, table_number
from fastnet.training import Trainer

if TYPE_CHECKING:
    from fastnet.losses import Loss
    from fastnet.parameters import Parameter
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "Gradient descent, by numbers"
QUESTION = "How does a network find out in which direction each weight should move, and what does one step change?"

# The example: two inputs, two hidden neurons with the sigmoid, one linear output.
INPUTS, TARGET, LEARNING_RATE = [1.0, 0.5], 1.0, 0.1
HIDDEN_WEIGHTS, HIDDEN_BIASES = [[0.5, -1.0], [1.0, 0.8]], [0.1, -0.2]
OUTPUT_WEIGHTS, OUTPUT_BIAS = [[0.7], [-0.4]], 0.2
NUDGE = 1e-5
STEPS = 40

# The line: y = slope x + intercept through points, with two parameters, whose loss can be drawn.
LINE, LINE_STEPS = (1.5, -0.5), 30
SHARES = {"too low": 0.03, "good": 0.4, "too high": 1.05}  # of the learning rate at which descent begins to diverge

SNIPPET = """
import numpy as np, fastnet as fn

layers = [fn.Dense(2, activation="sigmoid", name="hidden"), fn.Dense(1, name="output")]
net = fn.Network(layers, input_shape=(2,), dtype="float64", seed=0)
net["hidden"].weight.assign([[0.5, -1.0], [1.0, 0.8]])
net["hidden"].bias.assign([0.1, -0.2])
net["output"].weight.assign([[0.7], [-0.4]])
net["output"].bias.assign([0.2])

trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1))
x, target = np.array([[1.0, 0.5]]), np.array([[1.0]])
loss, dy = trainer.loss.gradient(net.forward(x, training=True), target)
net.backward(dy)
for p in net.parameters():
    print(p.name, p.grad.ravel())
trainer.apply_gradients()
print(loss, "->", trainer.loss.value(net.predict(x), target))
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Every number of one step through two layers, the losses of many, and paths of descent on a line's loss."""
    return {"step": _step(), "losses": _many_steps(), "line": _line(seed)}


def example_network() -> Network:
    """The 2-2-1 network of the page, with the hidden sums as a layer's output."""
    net = Network(
        [Dense(2, name="hidden"), Activation("sigmoid", name="squash"), Dense(1, name="output")],
        input_shape=(2,),
        dtype="float64",
        seed=0,
    )
    net["hidden"].weight.assign(HIDDEN_WEIGHTS)
    net["hidden"].bias.assign(HIDDEN_BIASES)
    net["output"].weight.assign(OUTPUT_WEIGHTS)
    net["output"].bias.assign([OUTPUT_BIAS])
    return net


def _step() -> dict[str, Any]:
    net, loss = example_network(), MeanSquaredError()
    trainer = Trainer(net, loss=loss, optimizer=SGD(LEARNING_RATE))
    x, y = np.array([INPUTS]), np.array([[TARGET]])
    values = net.activations(x)
    before, dy = loss.gradient(net.forward(x, training=True), y)
    net.backward(dy)
    rows: list[dict[str, Any]] = []
    for symbol, name, place in _places():
        parameter = net.graph.parameters[name]
        rows.append(
            {
                "symbol": symbol,
                "name": f"{name}{list(place)}",
                "value": float(parameter.value[place]),
                "gradient": float(parameter.grad[place]),
                "nudged": _nudged(net, loss, parameter, place, x, y),
            }
        )
    trainer.apply_gradients()
    for row, (_, name, place) in zip(rows, _places(), strict=True):
        row["new"] = float(net.graph.parameters[name].value[place])
    return {
        "inputs": INPUTS,
        "target": TARGET,
        "learning_rate": LEARNING_RATE,
        "sums": values["hidden"][0],
        "hidden": values["squash"][0],
        "prediction": float(values["output"][0, 0]),
        "output_error": float(dy[0, 0]),
        "loss": before,
        "parameters": rows,
        "new_prediction": net.predict(x).item(),
        "new_loss": loss.value(net.predict(x), y),
        "expected_drop": LEARNING_RATE * sum(row["gradient"] ** 2 for row in rows),
    }


def _places() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Symbol, parameter and place of all nine numbers that the network learns."""
    for i in range(2):
        for j in range(2):
            yield f"w_{{{i + 1}{j + 1}}}", "hidden.weight", (i, j)
    for j in range(2):
        yield f"b_{j + 1}", "hidden.bias", (j,)
    for j in range(2):
        yield f"v_{j + 1}", "output.weight", (j, 0)
    yield "c", "output.bias", (0,)


def _nudged(net: Network, loss: Loss, parameter: Parameter, place: tuple[int, ...], x: Array, y: Array) -> float:
    """The slope of the loss along one parameter, from two nudged values: (L(w + h) - L(w - h)) / 2h."""
    found = []
    for change in (NUDGE, -NUDGE):
        with parameter.edit() as values:
            before = values[place]
            values[place] = before + change
        found.append(loss.value(net.predict(x), y))
        with parameter.edit() as values:
            values[place] = before
    return (found[0] - found[1]) / (2 * NUDGE)


def _many_steps() -> list[float]:
    net = example_network()
    trainer = Trainer(net, loss="mse", optimizer=SGD(LEARNING_RATE))
    x, y = np.array([INPUTS]), np.array([[TARGET]])
    return [trainer.train_on_batch(x, y)["loss"] for _ in range(STEPS + 1)]


def _line(seed: int) -> dict[str, Any]:
    """Least squares with two parameters: points, the loss over both, and paths with three learning rates."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 2, 16)[:, None]
    y = LINE[0] * x + LINE[1] + rng.normal(0, 0.2, x.shape)
    ones = np.hstack([x, np.ones_like(x)])
    curvature = 2 * ones.T @ ones / len(x)  # the matrix of second derivatives of the mean squared error
    limit = 2 / float(np.linalg.eigvalsh(curvature)[-1])
    best = np.linalg.lstsq(ones, y, rcond=None)[0][:, 0]
    loss = MeanSquaredError()
    slopes, intercepts = np.linspace(-2.5, 4.5, 57), np.linspace(-3.5, 2.5, 49)
    return {
        "x": x[:, 0],
        "y": y[:, 0],
        "limit": limit,
        "best": best,
        "best_loss": loss.value(ones @ best[:, None], y),
        "slopes": slopes,
        "intercepts": intercepts,
        "surface": [[loss.value(a * x + b, y) for a in slopes] for b in intercepts],
        "paths": {name: _path(x, y, share * limit) for name, share in SHARES.items()},
    }


def _path(x: Array, y: Array, learning_rate: float) -> dict[str, Any]:
    net = Network([Dense(1, name="line", init=[[-1.5]], bias_init=[1.5])], input_shape=(1,), dtype="float64", seed=0)
    trainer = Trainer(net, loss="mse", optimizer=SGD(learning_rate))
    slopes, intercepts, losses = [], [], []
    for _ in range(LINE_STEPS + 1):
        slopes.append(net["line"].weight.value.item())
        intercepts.append(net["line"].bias.value.item())
        losses.append(trainer.train_on_batch(x, y)["loss"])
    return {"learning_rate": learning_rate, "slopes": slopes, "intercepts": intercepts, "losses": losses}


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    step = numbers["step"]
    _forward(page, step)
    _backward(page, step)
    _update(page, step, numbers["losses"])
    _surface(page, numbers["line"], numbers["seed"])
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _forward(page: Page, step: dict[str, Any]) -> None:
    page.section("Forward: from the inputs to the loss")
    page.prose(
        "A network of two inputs, two hidden neurons with the sigmoid $σ$, and one output. It gets one sample, $x$ "
        f"= ({signed(step['inputs'][0], 1)}, {signed(step['inputs'][1], 1)}), and should answer $t$ = "
        f"{signed(step['target'], 1)}. It has nine numbers to learn: $w_{{ij}}$, the weight from input $i$ to hidden "
        "neuron $j$, the hidden biases $b_j$, the output's weights $v_j$, and its bias $c$."
    )
    page.formula("z_j = w_{1j} x_1 + w_{2j} x_2 + b_j")
    page.formula("h_j = σ(z_j)")
    page.formula("y = v_1 h_1 + v_2 h_2 + c")
    page.formula("L = (y − t)^2")
    sums, hidden = step["sums"], step["hidden"]
    page.table(
        "What comes out at each place",
        ["place", "value"],
        [[f"z{i}, hidden sum {i}", signed(sums[i - 1], 5)] for i in (1, 2)]
        + [[f"h{i}, hidden output {i}", signed(hidden[i - 1], 5)] for i in (1, 2)]
        + [["y, the answer", signed(step["prediction"], 5)], ["L, the loss", signed(step["loss"], 5)]],
    )


def _backward(page: Page, step: dict[str, Any]) -> None:
    from fastnet.reports.markup import Markup, formula

    values = {row["symbol"]: row for row in step["parameters"]}
    page.section("Backward: what each weight did to the loss")
    page.prose(
        "The *gradient* of a weight, $∂L/∂w$, says how fast the loss grows when that weight grows. Backpropagation "
        "finds all of them in one pass from the end to the beginning, by the chain rule:"
    )
    page.items(
        [
            Markup(
                f'At the output: <span class="formula">{formula("∂L/∂y = 2 (y − t)")}</span> = {signed(step["output_error"], 5)}.'
            ),
            Markup(
                "A weight’s gradient is the error behind it times the value before it: "
                f'<span class="formula">{formula("∂L/∂v_j = ∂L/∂y · h_j")}</span>; a bias has a 1 before it.'
            ),
            Markup(
                "An error goes back through the weight, and is multiplied by the slope of the activation there: "
                f'<span class="formula">{formula("∂L/∂z_j = ∂L/∂y · v_j · h_j (1 − h_j)")}</span>.'
            ),
            Markup(f'Then again the same: <span class="formula">{formula("∂L/∂w_{ij} = ∂L/∂z_j · x_i")}</span>.'),
        ]
    )
    v1, b1, w11 = values["v_1"], values["b_1"], values["w_{11}"]
    page.prose(
        f"By numbers: $∂L/∂v_1$ = {signed(step['output_error'], 5)} · {signed(step['hidden'][0], 5)} = "
        f"{signed(v1['gradient'], 5)}; $∂L/∂z_1$ = {signed(step['output_error'], 5)} · {signed(v1['value'], 5)} · "
        f"{signed(step['hidden'][0], 5)} · {signed(1 - step['hidden'][0], 5)} = {signed(b1['gradient'], 5)}; "
        f"$∂L/∂w_{{11}}$ = {signed(b1['gradient'], 5)} · {signed(step['inputs'][0], 1)} = "
        f"{signed(w11['gradient'], 5)}."
    )
    worst = max(abs(row["gradient"] - row["nudged"]) for row in step["parameters"])
    page.table(
        "All nine gradients, and the step that they lead to",
        ["", "value", "gradient", "by nudging", f"new value = value − {step['learning_rate']:g} · gradient"],
        [
            [
                Markup(f'<span class="formula">{formula(row["symbol"])}</span>'),
                *(signed(row[key], 5) for key in ("value", "gradient", "nudged", "new")),
            ]
            for row in step["parameters"]
        ],
    )
    page.prose(
        f"The column *by nudging* is a check: it changes a weight by ±{number(NUDGE)}, computes the loss both times, "
        f"and divides the difference by the distance. It agrees with backpropagation to {number(worst, 2)}; but it "
        "needs two forward passes for each weight, where backpropagation needs one pass back for all of them."
    )


def _update(page: Page, step: dict[str, Any], losses: list[float]) -> None:
    from fastnet.reports import figures

    page.section("The step, and many of them")
    drop = step["loss"] - step["new_loss"]
    page.prose(
        "Each weight takes a step against its gradient, as long as the *learning rate* $η$ says: $w ← w − η ∂L/∂w$. "
        f"With $η$ = {step['learning_rate']:g} the loss goes from {signed(step['loss'], 5)} to "
        f"{signed(step['new_loss'], 5)}. The gradient alone predicts that it falls by $η$ times the sum of the "
        f"squared gradients, {signed(step['expected_drop'], 5)}; it "
        + (f"fell by {signed(drop, 5)}" if drop > 0 else f"rose by {signed(-drop, 5)}")
        + ". The two differ because the gradients change on the way; the shorter the step, the closer they are."
    )
    figure = figures.curves(
        {"loss": (list(range(len(losses))), losses)}, title="The loss, step by step", x="steps", y="loss", log=True
    )
    page.figure(
        (figure, f"The loss over {len(losses) - 1} steps, from {number(losses[0])} to {number(losses[-1])}."),
        f"The same step {len(losses) - 1} times: the loss ends at {number(losses[-1])}.",
    )
    if losses[-1] < losses[0]:
        page.prose(
            f"In {len(losses) - 1} steps the loss fell from {number(losses[0])} to {number(losses[-1])}. That is all "
            "of training: data, a loss, gradients, steps."
        )


def _surface(page: Page, line: dict[str, Any], seed: int) -> None:
    from fastnet.reports import figures, pictures
    from fastnet.reports.colours import SERIES

    page.section("Descent, seen from above")
    page.prose(
        "With two weights the loss can be drawn. A line $y = a x + b$ is to pass through 16 points (made with seed "
        f"{seed}); the loss is the mean squared error, a bowl over $a$ and $b$. Each path starts at the same place, "
        f"far from the minimum (the star), and takes {LINE_STEPS} steps."
    )
    xs = np.array(line["x"])
    points = figures.scatter(
        {"points": (line["x"], line["y"])}, title="The points, and what descent finds", x="x", y="y"
    )
    good = line["paths"]["good"]
    points.axes[0].plot(xs, good["slopes"][-1] * xs + good["intercepts"][-1], color=SERIES[1])
    paths = {
        f"{name}, {number(path['learning_rate'], 2)}": (path["slopes"], path["intercepts"])
        for name, path in line["paths"].items()
    }
    surface = pictures.surface(
        line["slopes"],
        line["intercepts"],
        line["surface"],
        paths,
        title="Loss over both weights",
        x="slope a",
        y="intercept b",
        target=line["best"],
    )
    losses = figures.curves(
        {name: (list(range(len(path["losses"]))), path["losses"]) for name, path in line["paths"].items()},
        title="The losses",
        x="steps",
        y="loss",
        log=True,
    )
    page.figure(
        [
            (points, "Sixteen points around a rising line, and the line that descent found."),
            (
                surface,
                "Level lines of a bowl-shaped loss with three paths: one short, one that reaches the minimum, one "
                "that jumps ever farther.",
            ),
            (losses, "The three losses over the steps, on a logarithmic scale."),
        ],
        "Three learning rates on the same bowl. Lines of equal loss are ellipses; the gradient is at right angles "
        "to them.",
    )
    page.table(
        f"After {LINE_STEPS} steps",
        ["learning rate", "", "slope a", "intercept b", "loss"],
        [["the best line", "", signed(line["best"][0], 3), signed(line["best"][1], 3), number(line["best_loss"])]]
        + [
            [
                name,
                number(path["learning_rate"], 3),
                signed(path["slopes"][-1], 3),
                signed(path["intercepts"][-1], 3),
                table_number(path["losses"][-1]),
            ]
            for name, path in line["paths"].items()
        ],
    )
    grew = [
        name
        for name, path in line["paths"].items()
        if path["losses"][-1] is None or path["losses"][-1] > path["losses"][0]
    ]
    page.prose(
        "Where the bowl is steepest sets the limit: gradient descent diverges when the learning rate exceeds 2 "
        "divided by the largest curvature (the largest eigenvalue of the second derivatives), here "
        f"{number(line['limit'])}. In this run the loss grew with: {listed(grew)}. A learning rate far below the "
        "limit wastes steps. [Learning rates](learning-rate.html) on a real network have a page of their own."
    )
