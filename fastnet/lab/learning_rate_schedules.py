"""The parts of the experiment on learning rates that let the rate change: the range test, and schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lab.measure import data, train
from fastnet.network import Network
from fastnet.optimizers import SGD
from fastnet.reports.text import listed, number, percent, table_number
from fastnet.schedules import Cosine, Exponential, OneCycle, Schedule, Step, Warmup
from fastnet.training import find_learning_rate

if TYPE_CHECKING:
    from fastnet.optimizers import Optimizer
    from fastnet.reports.page import Page
    from fastnet.types import Rate

__all__ = ["range_test", "schedule_runs", "show_range_test", "show_schedules"]

RATE, MOMENTUM, BATCH = 0.1, 0.9, 32


@dataclass(frozen=True)
class Row:
    """A schedule: `make` gets the first or greatest rate and the number of steps."""

    name: str
    text: str
    make: Callable[[float, int], Rate]


SCHEDULES = (
    Row("constant", "the same rate all the time", lambda rate, steps: rate),
    Row("step", "a third of the rate after each third of the training", lambda rate, steps: Step(rate, -(-steps // 3), 1 / 3)),
    Row("exponential", "the same factor in every step, to a hundredth at the end",
        lambda rate, steps: Exponential(rate, 0.01, decay_steps=steps)),
    Row("cosine", "along half a cosine to 0", lambda rate, steps: Cosine(rate, steps=steps)),
    Row("warmup + cosine", "up from 0 in a tenth of the steps, then along half a cosine to 0",
        lambda rate, steps: Warmup(Cosine(rate, steps=steps - steps // 10), steps=steps // 10)),
    Row("one cycle", "up to the rate in the first third, then down to almost nothing", lambda rate, steps: OneCycle(rate, steps)),
)  # fmt: skip


def range_test(
    make_network: Callable[[], Network], optimizers: Mapping[str, Callable[[float], Optimizer]]
) -> dict[str, Any]:
    """For each optimizer the losses of a short training with a rising rate, and what that suggests."""
    (x, y), _ = data()
    found = {}
    for name, make in optimizers.items():
        search = find_learning_rate(
            make_network(), x, y, loss="softmax_cross_entropy", optimizer=make(0.1), batch_size=BATCH
        )
        found[name] = {"rates": search.rates, "smoothed": search.smoothed, "suggestion": search.suggestion}
    return found


def schedule_runs(make_network: Callable[[], Network], epochs: int) -> dict[str, Any]:
    """Training curves with each schedule, and the rate at each step."""
    (x, _), _ = data()
    steps = epochs * -(-len(x) // BATCH)
    runs = {}
    for row in SCHEDULES:
        schedule = row.make(RATE, steps)
        curves = train(make_network(), epochs=epochs, optimizer=SGD(schedule, momentum=MOMENTUM), batch_size=BATCH)
        counts = np.arange(steps)
        rates = schedule.at(counts) if isinstance(schedule, Schedule) else np.full(steps, schedule)
        runs[row.name] = {"curves": curves, "rates": rates}
    return runs


def show_range_test(page: Page, numbers: dict[str, Any], best: Mapping[str, float]) -> None:
    """The section on the range test; `best` has the rate of each optimizer whose training ended best."""
    from fastnet.reports import figures

    found = numbers["range_test"]
    page.section("The range test")
    page.prose(
        "One short training can replace many: start with a tiny rate, raise it by the same factor at each step, and "
        "watch the loss (Smith 2017). It hardly changes at first, then falls, then climbs when the rate is too "
        "great. `fn.find_learning_rate` does that, and suggests the rate at which the loss falls most steeply."
    )
    page.figure(
        (
            figures.curves(
                {name: (row["rates"], row["smoothed"]) for name, row in found.items()},
                title="Smoothed loss while the rate rises",
                x="learning rate",
                log_x=True,
                limits=(0, 4),
                size=(6.2, 3.3),
            ),
            "For each optimizer the loss over the rising learning rate: level, then falling, then climbing.",
        ),
        "100 steps for each optimizer. Compare with the valleys above.",
    )
    rows = []
    within = []
    for name, row in found.items():
        rows.append([name, table_number(row["suggestion"], 2), f"{best[name]:g}"])
        if row["suggestion"] and 1 / 10 <= row["suggestion"] / best[name] <= 10:
            within.append(name)
    page.table("Suggested rates", ["optimizer", "by the range test", "best of the runs above"], rows)
    others = [name for name in found if name not in within]
    text = f"The suggestion is within a factor of ten of the best rate for: {listed(within)}. "
    if others:
        text += f"It is not for: {listed(others)}. "
    page.prose(text + "It is a place to begin, not the last word.")


def show_schedules(page: Page, numbers: dict[str, Any]) -> None:
    """The section on schedules."""
    from fastnet.reports import figures

    runs = numbers["schedules"]
    page.section("Rates that change")
    page.prose(
        "A high rate makes fast progress at first, and keeps the weights from settling later; a low one is the "
        "opposite. A *schedule* has both: it lowers the rate in the course of the training. Some raise it first, "
        "because the first steps of a fresh network are the wildest (*warmup*)."
    )
    page.definitions((row.name, f"{row.text[0].upper()}{row.text[1:]}.") for row in SCHEDULES)
    page.figure(
        [
            (
                figures.curves({name: run["rates"] for name, run in runs.items()}, title="Learning rate", x="step"),
                "The learning rate over the steps, a line for each schedule.",
            ),
            (
                figures.curves(
                    {name: run["curves"].get("loss", []) for name, run in runs.items()},
                    title="Training loss",
                    x="epoch",
                    log=True,
                ),
                "Training loss over the epochs, a line for each schedule.",
            ),
        ],
        f"SGD with momentum {MOMENTUM:g} and a first or greatest rate of {RATE:g}, batches of {BATCH}, {numbers['epochs']} epochs.",
    )
    ends = {name: (run["curves"].get("loss") or [None])[-1] for name, run in runs.items()}
    page.table(
        f"After {numbers['epochs']} epochs",
        ["schedule", "training loss", "test accuracy", "last rate"],
        [
            [
                name,
                table_number(ends[name]),
                percent((run["curves"].get("val_accuracy") or [None])[-1]),
                number(run["rates"][-1], 2),
            ]
            for name, run in runs.items()
        ],
    )
    finite = {name: np.inf if loss is None else loss for name, loss in ends.items()}
    better = [name for name in runs if name != "constant" and finite[name] < finite["constant"]]
    text = f"A lower training loss than the constant rate of {RATE:g} reach: {listed(better)}. "
    if not better:
        text += "Against the textbook no schedule was better than the constant rate in this run. "
    page.prose(text)
