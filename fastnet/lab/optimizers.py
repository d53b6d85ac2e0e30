"""Update rules compared: on one network, with several learning rates, and as paths over a valley."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.kernels import adagrad_update, adam_update, lion_update, rmsprop_update, sgd_update
from fastnet.lab.measure import train
from fastnet.layers import Dense, Flatten
from fastnet.network import Network
from fastnet.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop
from fastnet.reports.text import listed, number, percent, signed, table_number

if TYPE_CHECKING:
    from fastnet.reports.page import Page
    from fastnet.types import Array

TITLE = "Optimizers"
QUESTION = "What do momentum, RMSprop, Adam and AdamW add to plain gradient descent?"


DECAY = 0.1  # AdamW's weight decay


@dataclass(frozen=True)
class Rule:
    """A row of the comparison: an optimizer, and the kernel of the same rule for paths in the plane."""

    name: str
    formula: str
    text: str
    make: Callable[[float], Optimizer]
    rate: float  # of the training runs
    update: Callable[..., object]  # kernel: (w, g, *state, step=, learning_rate=, **settings)
    state: int  # arrays that it keeps
    path_rate: float  # in the plane
    settings: dict[str, Any] = field(default_factory=dict)


RULES = (
    Rule(
        "SGD",
        "w ← w − η g",
        "the step is the gradient times the learning rate",
        lambda rate: SGD(rate),
        0.1,
        sgd_update,
        0,
        0.018,
    ),
    Rule(
        "momentum",
        "b ← μ b + g,  w ← w − η b",
        "the steps of the past roll on; those that disagree cancel",
        lambda rate: SGD(rate, momentum=0.9),
        0.03,
        sgd_update,
        1,
        0.005,
        {"momentum": 0.9},
    ),
    Rule(
        "Nesterov",
        "b ← μ b + g,  w ← w − η (g + μ b)",
        "momentum that looks one step ahead",
        lambda rate: SGD(rate, momentum=0.9, nesterov=True),
        0.03,
        sgd_update,
        1,
        0.005,
        {"momentum": 0.9, "nesterov": True},
    ),
    Rule(
        "RMSprop",
        "v ← ρ v + (1 − ρ) g^2,  w ← w − η g / √v",
        "each weight's step is divided by its gradients' usual size",
        lambda rate: RMSprop(rate, rho=0.9),
        1e-3,
        rmsprop_update,
        1,
        0.08,
        {"rho": 0.9},
    ),
    Rule(
        "Adam",
        "m ← β_1 m + (1 − β_1) g,  v ← β_2 v + (1 − β_2) g^2,  w ← w − η m / √v",
        "momentum and RMSprop together, with corrected first steps",
        lambda rate: Adam(rate),
        1e-3,
        adam_update,
        2,
        0.15,
    ),
    Rule(
        "AdamW",
        "as Adam, and w ← w − η λ w",
        "Adam with a weight decay of its own",
        lambda rate: AdamW(rate, weight_decay=DECAY),
        1e-3,
        adam_update,
        2,
        0.15,
        {"decoupled": True, "weight_decay": DECAY},
    ),
    Rule(
        "Adagrad",
        "s ← s + g^2,  w ← w − η g / √s",
        "each weight's step is divided by all that its gradients have been",
        lambda rate: Adagrad(rate),
        3e-2,
        adagrad_update,
        1,
        1.0,
    ),
    Rule(
        "Lion",
        "w ← w − η sign(β_1 m + (1 − β_1) g),  m ← β_2 m + (1 − β_2) g",
        "every weight moves by the same amount, only the direction is learned",
        lambda rate: Lion(rate),
        1e-4,
        lion_update,
        1,
        0.05,
    ),
)

EPOCHS, UNITS, BATCH = 20, 64, 32
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of each rule's learning rate

# The valley: f(x, y) = (x^2 + STEEP y^2) / 2, with its minimum at MINIMUM
STEEP, START, MINIMUM, PATH_STEPS = 100.0, (-4.0, 1.0), (1.0, 0.0), 100
NEAR = 0.05  # of the first value: how low a path should come

SNIPPET = """
import numpy as np, fastnet as fn
from fastnet.kernels import adam_update, sgd_update

def gradient(w):  # of ((x - 1)^2 + 100 y^2) / 2
    return np.array([w[0] - 1, 100 * w[1]])

w, v = np.array([-4.0, 1.0]), np.array([-4.0, 1.0])
m1, m2 = np.zeros(2), np.zeros(2)
for step in range(1, 101):
    sgd_update(w, gradient(w), step=step, learning_rate=0.018)
    adam_update(v, gradient(v), m1, m2, step=step, learning_rate=0.15)
print("SGD", w, "Adam", v)
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Training curves at each rule's learning rate, losses at others, and paths over the valley."""
    epochs = 4 if quick else EPOCHS
    factors = FACTORS[1:4] if quick else FACTORS
    training = {rule.name: _train(rule, rule.rate, seed, epochs) for rule in RULES}
    return {
        "epochs": epochs,
        "factors": factors,
        "training": training,
        "sweep": {
            rule.name: [
                training[rule.name]["curves"]["loss"][-1]
                if factor == 1
                else _loss(_train(rule, factor * rule.rate, seed, epochs))
                for factor in factors
            ]
            for rule in RULES
        },
        "paths": {rule.name: path(rule) for rule in RULES},
    }


def _train(rule: Rule, rate: float, seed: int, epochs: int) -> dict[str, Any]:
    hidden = [Dense(UNITS, activation="relu") for _ in range(2)]
    net = Network([Flatten(), *hidden, Dense(10)], input_shape=(8, 8, 1), seed=seed)
    curves = train(net, epochs=epochs, optimizer=rule.make(rate), batch_size=BATCH)
    weights = np.concatenate([p.value.ravel() for p in net.parameters() if p.value.ndim > 1]).astype(float)
    return {"curves": curves, "rate": rate, "weights_rms": float(np.sqrt((weights**2).mean()))}


def _loss(found: dict[str, Any]) -> float:
    curves = found["curves"]
    return np.inf if curves["stopped"] is not None else curves["loss"][-1]


def valley(x: float | Array, y: float | Array) -> Any:
    """The function that the paths go down."""
    return ((x - MINIMUM[0]) ** 2 + STEEP * (y - MINIMUM[1]) ** 2) / 2


def path(rule: Rule) -> dict[str, Any]:
    """The points that a rule's kernel visits, and the function's values there."""
    w = np.array(START)
    state = [np.zeros(2) for _ in range(rule.state)]
    points = [w.copy()]
    for step in range(1, PATH_STEPS + 1):
        g = np.array([w[0] - MINIMUM[0], STEEP * (w[1] - MINIMUM[1])])
        rule.update(w, g, *state, step=step, learning_rate=rule.path_rate, **rule.settings)
        points.append(w.copy())
    x, y = np.array(points).T
    return {"x": x, "y": y, "values": valley(x, y)}


# The page


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page, prose

    page = Page(TITLE, QUESTION)
    page.section("The rules")
    page.prose(
        "All start from the gradient $g$ of the loss, and differ in the step that they make of it. $η$ is the "
        "learning rate; $b$, $m$ and $v$ are remembered from step to step, an extra number for each weight."
    )
    page.definitions((rule.name, prose(f"${rule.formula}$ — {rule.text}.")) for rule in RULES)
    _paths(page, numbers)
    _network(page, numbers)
    _rates(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _paths(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures, pictures

    page.section("Paths down a valley")
    page.prose(
        f"A long valley, $f(x, y) = ((x − 1)^2 + {STEEP:g} y^2) / 2$: across it is {STEEP:g} times as curved as "
        "along it. The gradient points mostly across, while the way is along. The compiled kernels that train "
        f"networks walked it for {PATH_STEPS} steps."
    )
    xs, ys = np.linspace(-4.6, 3, 60), np.linspace(-1.2, 1.2, 50)
    surface = [[max(valley(x, y), 3e-2) for x in xs] for y in ys]
    found = numbers["paths"]
    groups = (("SGD", "momentum", "Nesterov"), [r.name for r in RULES[3:]])
    page.figure(
        [
            (
                pictures.surface(
                    xs,
                    ys,
                    surface,
                    {name: (found[name]["x"], found[name]["y"]) for name in names},
                    target=MINIMUM,
                    title=listed(names),
                    x="x",
                    y="y",
                    colours={rule.name: i for i, rule in enumerate(RULES)},
                ),
                f"Level lines of a long valley, with the paths of {listed(names)} from the left to its minimum.",
            )
            for names in groups
        ]
        + [
            (
                figures.curves(
                    {name: (list(range(PATH_STEPS + 1)), row["values"]) for name, row in found.items()},
                    title="Height over the steps",
                    x="steps",
                    y="f",
                    log=True,
                ),
                "The function's value along each path, on a logarithmic scale.",
            )
        ],
        "Each dot is a step, the star is the minimum.",
    )
    rows = []
    for rule in RULES:
        values = found[rule.name]["values"]
        near = next((i for i, value in enumerate(values) if value < NEAR * values[0]), None)
        crossings = int(np.sum(np.diff(np.sign(found[rule.name]["y"])) != 0))
        rows.append(
            [
                rule.name,
                f"{rule.path_rate:g}",
                "–" if near is None else str(near),
                str(crossings),
                table_number(values[-1], 2),
            ]
        )
    page.table(
        "The paths in numbers",
        [
            "rule",
            "learning rate",
            f"steps to {percent(NEAR, 0)} of the height",
            "crossings of the valley",
            f"height after {PATH_STEPS} steps",
        ],
        rows,
    )
    sgd, momentum, adam = found["SGD"], found["momentum"], found["Adam"]
    page.prose(
        f"SGD's rate is close to the limit of 2 / {STEEP:g} = {2 / STEEP:g}, above which it would climb out of the "
        f"valley. Its first step across went from y = {signed(sgd['y'][0], 2)} to {signed(sgd['y'][1], 2)}, while x "
        f"moved by {signed(sgd['x'][1] - sgd['x'][0], 2)}. Adam's first step moved x by "
        f"{signed(adam['x'][1] - adam['x'][0], 3)} and y by {signed(adam['y'][1] - adam['y'][0], 3)}: by the "
        "learning rate in both, whatever the slope. "
        + (
            f"After {PATH_STEPS} steps momentum is lower ({number(momentum['values'][-1], 2)}) than SGD "
            f"({number(sgd['values'][-1], 2)})."
            if momentum["values"][-1] < sgd["values"][-1]
            else (
                f"After {PATH_STEPS} steps momentum is not lower than SGD on this valley: what it has gathered "
                "carries it past the minimum and back."
            )
        )
    )
    decay = found["AdamW"]
    page.prose(
        f"AdamW ends at x = {signed(decay['x'][-1], 3)}, Adam at {signed(adam['x'][-1], 3)}. "
        + (
            "Weight decay pulls all weights towards 0, so that it rests a little short of the minimum."
            if abs(decay["x"][-1]) < abs(adam["x"][-1])
            else "Weight decay pulls all weights towards 0; in this run that did not bring it nearer to 0."
        )
    )


def _network(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    found = numbers["training"]
    page.section("On a network")
    page.prose(
        f"A network of two hidden layers of {UNITS} relu neurons learned the digits with each rule: batches of "
        f"{BATCH}, {numbers['epochs']} epochs, seed {numbers['seed']}, each rule with the learning rate in the table."
    )
    page.figure(
        [
            (
                figures.curves(
                    {name: row["curves"][key] for name, row in found.items()}, title=title, x="epoch", log=log
                ),
                f"{title} over the epochs, a line for each rule.",
            )
            for key, title, log in (("loss", "Training loss", True), ("val_loss", "Loss on the test images", True))
        ],
        "The same network, the same first weights, the same order of the images.",
    )
    page.table(
        f"After {numbers['epochs']} epochs",
        ["rule", "learning rate", "loss after 1 epoch", "training loss", "test accuracy", "RMS of the weights"],
        [
            [
                name,
                f"{row['rate']:g}",
                table_number(row["curves"]["loss"][0]),
                table_number(row["curves"]["loss"][-1]),
                percent(row["curves"]["val_accuracy"][-1]),
                table_number(row["weights_rms"]),
            ]
            for name, row in found.items()
        ],
    )
    ends = {name: row["curves"]["val_accuracy"][-1] for name, row in found.items()}
    low, high = min(ends.values()), max(ends.values())
    text = f"The test accuracies lie between {percent(low)} and {percent(high)}"
    if high - low < 0.02:
        text += (
            ": on a small problem, each with a rate that suits it, the rules hardly differ in where they end. They "
            "differ in how fast they get there, and how much care the rate needs."
        )
    else:
        text += "."
    smaller = found["AdamW"]["weights_rms"] < found["Adam"]["weights_rms"]
    text += (
        f" AdamW's weights are {'smaller' if smaller else 'not smaller'} than Adam's: "
        f"{number(found['AdamW']['weights_rms'])} against {number(found['Adam']['weights_rms'])}, the work of its "
        f"weight decay of {DECAY:g}."
        if smaller
        else " AdamW's weights are not smaller than Adam's in this run."
    )
    page.prose(text)


def _rates(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    page.section("How much care does the learning rate need?")
    page.figure(
        (
            figures.curves(
                {name: (numbers["factors"], losses) for name, losses in numbers["sweep"].items()},
                title=f"Training loss after {numbers['epochs']} epochs",
                x="learning rate, as a multiple of the table's",
                log=True,
                log_x=True,
                markers=True,
                size=(6.2, 3.3),
            ),
            "Final loss over multiples of each rule's learning rate.",
        ),
        "Runs whose loss was not finite have no point.",
    )
    spread = {}
    for name, losses in numbers["sweep"].items():
        known = [loss for loss in losses if loss is not None]
        spread[name] = max(known) / min(known) if len(known) == len(losses) else None
    failed = [name for name, value in spread.items() if value is None]
    text = (
        "Between a rate ten times too small and one ten times too large"
        if len(numbers["factors"]) == len(FACTORS)
        else "Over these rates"
    )
    finite = {name: value for name, value in spread.items() if value is not None}
    if finite:
        calm = min(finite, key=finite.__getitem__)
        text += f" the final loss changes least with {calm} (by a factor of {number(finite[calm])})."
    if failed:
        text += f" At one of the rates the loss was not finite with: {listed(failed)}."
    page.prose(text if finite or failed else text + " every rule failed.")
