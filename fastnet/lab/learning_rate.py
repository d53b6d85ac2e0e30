"""Learning rates: too low, good, too high, which are good for which optimizer, and rates that change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lab.learning_rate_schedules import range_test, schedule_runs, show_range_test, show_schedules
from fastnet.lab.measure import BATCH, Snapshots, moments, train
from fastnet.layers import Dense, Flatten
from fastnet.network import Network
from fastnet.optimizers import SGD, Adam
from fastnet.reports.text import listed, number, percent, table_number

if TYPE_CHECKING:
    from fastnet.optimizers import Optimizer
    from fastnet.reports.page import Page

TITLE = "Learning rates"
QUESTION = "What happens when the learning rate is too low or too high, and how does one find a good one, and why let it change?"

RATES = (*(float(f"{m}e{e}") for e in range(-5, 1) for m in (1, 3)), 10.0)
OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "SGD": lambda rate: SGD(rate),
    "SGD with momentum 0.9": lambda rate: SGD(rate, momentum=0.9),
    "Adam": lambda rate: Adam(rate),
}
EPOCHS, UNITS = 15, 64
GUESSING = float(np.log(10))  # the loss of an answer that gives every digit the same probability
GOOD = 0.1  # of the lowest loss, above it, counts as good still

SNIPPET = """
import fastnet as fn

(x, y), test = fn.datasets.digits()
for rate in (1e-4, 1e-2, 1e-1, 1.0, 10.0):
    hidden = [fn.Dense(64, activation="relu") for _ in range(2)]
    net = fn.Network([fn.Flatten(), *hidden, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    history = net.fit(
        x, y, epochs=15, loss="softmax_cross_entropy", optimizer=fn.SGD(rate),
        on_nonfinite="stop", verbose=0,
    )
    print(rate, history)
"""


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """The same network with each optimizer and learning rate: curves, and how far the first epoch moves the weights."""
    epochs = 4 if quick else EPOCHS
    rates = RATES[::2] if quick else RATES
    found = {
        name: {f"{rate:g}": _train(make(rate), seed, epochs) for rate in rates} for name, make in OPTIMIZERS.items()
    }
    return {
        "epochs": epochs,
        "rates": rates,
        "runs": found,
        "range_test": range_test(lambda: _network(seed), OPTIMIZERS),
        "schedules": schedule_runs(lambda: _network(seed), epochs),
    }


def _network(seed: int) -> Network:
    hidden = [Dense(UNITS, activation="relu") for _ in range(2)]
    return Network([Flatten(), *hidden, Dense(10)], input_shape=(8, 8, 1), seed=seed)


def _train(optimizer: Optimizer, seed: int, epochs: int) -> dict[str, Any]:
    net = _network(seed)
    snapshots = Snapshots(lambda net: np.concatenate([p.value.ravel() for p in net.parameters()]).astype(float))
    curves = train(net, epochs=epochs, optimizer=optimizer, callbacks=[snapshots])
    moved = [snapshots.taken[1] - snapshots.taken[0]] if len(snapshots.taken) > 1 else [np.array([np.nan])]
    return {"curves": curves, "moved": _share(moments(moved[0])["rms"], moments(snapshots.taken[0])["rms"])}


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None else part / whole


# What the page reads from the numbers


def final_losses(runs: Mapping[str, Any]) -> dict[float, float]:
    """Learning rate -> training loss at the end; infinite where training stopped."""
    losses = {}
    for rate, row in runs.items():
        curve = row["curves"].get("loss") or [None]
        stopped = row["curves"].get("stopped") is not None or curve[-1] is None
        losses[float(rate)] = np.inf if stopped else curve[-1]
    return losses


def best_rate(runs: Mapping[str, Any]) -> float:
    """The learning rate whose training ended with the lowest loss."""
    losses = final_losses(runs)
    return min(losses, key=losses.__getitem__)


def three_rates(runs: Mapping[str, Any]) -> dict[str, float]:
    """Of one optimizer's runs: the rate with the lowest loss, one far below, and one above where it learns nothing."""
    losses = final_losses(runs)
    good = best_rate(runs)
    below = [rate for rate in losses if rate <= good / 90]
    above = [rate for rate in losses if rate > good and losses[rate] > 0.9 * GUESSING]
    chosen = {"too low": max(below, default=min(losses)), "good": good}
    return {**chosen, "too high": min(above)} if above else chosen


def page(numbers: dict[str, Any]) -> Page:
    """The page, from what `run` measured."""
    from fastnet.reports import Page

    page = Page(TITLE, QUESTION)
    _three(page, numbers)
    _sweep(page, numbers)
    show_range_test(page, numbers, {name: best_rate(runs) for name, runs in numbers["runs"].items()})
    show_schedules(page, numbers)
    page.section("Repeat it in Python")
    page.code(SNIPPET)
    return page


def _three(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    runs = numbers["runs"]["SGD"]
    chosen = three_rates(runs)
    page.section("Too low, good, too high")
    page.prose(
        "The learning rate says how far each step goes against the gradient: $w ← w − η g$. A network of two hidden "
        f"layers of {UNITS} relu neurons was trained on the digits with plain SGD, batches of {BATCH}, "
        f"{numbers['epochs']} epochs, seed {numbers['seed']}, and {len(numbers['rates'])} learning rates. Three of "
        "them:"
    )
    rows = {f"{name}: {rate:g}": runs[f"{rate:g}"]["curves"] for name, rate in chosen.items()}
    page.figure(
        [
            (
                figures.curves(
                    {name: curves.get(key) or [] for name, curves in rows.items()},
                    title=title,
                    x="epoch",
                    log=log,
                    limits=limits,
                ),
                f"{title} over the epochs for the learning rates {listed(f'{rate:g}' for rate in chosen.values())}.",
            )
            for key, title, log, limits in (
                ("loss", "Training loss", True, (1e-3, 20)),
                ("val_accuracy", "Accuracy on the test images", False, (0, 1.02)),
            )
        ],
        "Plain SGD with three learning rates. A dash: the loss was not finite before the first epoch ended.",
    )
    page.table(
        f"After {numbers['epochs']} epochs of plain SGD",
        ["learning rate", "training loss", "test accuracy", "moved in the first epoch"],
        [
            [
                f"{rate:g}",
                table_number((row["curves"].get("loss") or [None])[-1]),
                percent((row["curves"].get("val_accuracy") or [None])[-1]),
                table_number(row["moved"]),
            ]
            for rate, row in ((float(key), row) for key, row in runs.items())
        ],
    )
    low, good = runs[f"{chosen['too low']:g}"], runs[f"{chosen['good']:g}"]
    text = (
        "*Moved* is the RMS of what the first epoch changed in the weights, over the RMS of the weights. At "
        f"{chosen['good']:g} that is {number(good['moved'])}; at {chosen['too low']:g} it is {number(low['moved'])}: "
        f"training goes in the right direction, but too slowly; after {numbers['epochs']} epochs the loss is still "
        f"{number(low['curves']['loss'][-1])} (guessing has {number(GUESSING)}). "
    )
    if "too high" in chosen:
        high = runs[f"{chosen['too high']:g}"]["curves"]
        text += f"At {chosen['too high']:g} each step jumps beyond the other side of the valley: "
        if high.get("stopped"):
            text += "the weights grow until the loss is not finite, and training stops."
        else:
            text += f"the loss ends at {number(high['loss'][-1])}, no better than guessing."
    else:
        text += "None of the rates that were tried was too high in this run."
    page.prose(text)


def _sweep(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    page.section("Which rates are good?")
    losses = {name: final_losses(runs) for name, runs in numbers["runs"].items()}
    page.prose("The answer depends on the optimizer. Each point of these curves is a training run:")
    page.figure(
        (
            figures.curves(
                {name: (list(found), list(found.values())) for name, found in losses.items()},
                title=f"Training loss after {numbers['epochs']} epochs",
                x="learning rate",
                log=True,
                log_x=True,
                markers=True,
                size=(6.2, 3.4),
            ),
            "The final loss over the learning rate, both on logarithmic scales: a valley for each optimizer, Adam's "
            "at smaller rates than SGD's.",
        ),
        "Left of its valley an optimizer is too slow, right of it it diverges; runs whose loss was not finite have "
        "no point.",
    )
    rows, best = [], {}
    for name, found in losses.items():
        best[name] = best_rate(numbers["runs"][name])
        good = [rate for rate, loss in found.items() if loss <= found[best[name]] + GOOD]
        diverged = [rate for rate, loss in found.items() if loss > 0.9 * GUESSING and rate > best[name]]
        accuracy = numbers["runs"][name][f"{best[name]:g}"]["curves"]["val_accuracy"][-1]
        rows.append(
            [
                name,
                f"{best[name]:g}",
                f"{min(good):g} to {max(good):g}",
                f"from {min(diverged):g}" if diverged else "none tried",
                percent(accuracy),
            ]
        )
    page.table(
        "What the valleys say",
        [
            "optimizer",
            "best rate",
            f"loss within {GOOD:g} of the best",
            "no better than guessing",
            "test accuracy at the best",
        ],
        rows,
    )
    text = (
        "Adam divides each gradient by its usual size, so that a step changes every weight by about the learning "
        "rate, whatever the loss: its rates are in the unit of the weights. "
    )
    sgd, momentum, adam = (best[name] for name in OPTIMIZERS)
    if adam < sgd:
        text += f"Here its best, {adam:g}, is {sgd / adam:g} times smaller than plain SGD's. "
    if momentum < sgd:
        text += (
            "Momentum 0.9 sums up steps to 1 / (1 − 0.9) = 10 times their length, so its rates are smaller too: "
            f"{momentum:g} here. "
        )
    page.prose(text)
