"""Checks before training: can one small batch be learned by heart, and do its inputs matter?"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet import labels
from fastnet.health.findings import Finding
from fastnet.health.preflight_data import groups_of
from fastnet.health.preflight_loss import Levels
from fastnet.health.preflight_network import deterministic_copy
from fastnet.health.preflight_report import Check
from fastnet.optimizers import Adam
from fastnet.schedules import Schedule
from fastnet.training import Trainer

if TYPE_CHECKING:
    from fastnet.datasets.images import Images
    from fastnet.labels import Targets
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.optimizers import Optimizer
    from fastnet.types import Array, Figures

__all__ = ["check_batch"]

MOST_SAMPLES, LEAST_SAMPLES = 32, 4
LOOKED_AT, LOOKED_AT_VALUES = 4096, 1 << 20  # samples, and their inputs, that the batch is chosen from

STEPS = 100  # with the optimizer that was given
RESCUE_STEPS = 200  # with Adam, at each of
RESCUE_RATES = (3e-3, 3e-2, 3e-4)
OWN_TIME, TRIAL_TIME = 0.3, 0.7  # shares of the time: when the given optimizer ends, and when all trials do

# What is left of the loss that the best constant prediction has. A network with twice as many weights as numbers to
# say can bring it to 0; where half of it is left after 200 steps the way is hard, where nearly all is, barred.
LEARNED, HALF, NOTHING = 0.1, 0.5, 0.8
ENOUGH = 0.25  # left, for want of steps
IGNORES = 0.9  # of the loss that inputs of zero leave

DIVERGED = 2  # times the loss of first outputs or of the best constant, whichever is more
UNMOVED = 0.01  # of the avoidable loss: at this pace training needs more than 10,000 steps


@dataclass
class Trial:
    """Some steps on one batch."""

    optimizer: Optimizer
    losses: list[float]
    finite: bool = True
    stopped: bool = False  # for want of time

    @property
    def best(self) -> float:
        return min(self.losses, default=math.inf)

    @property
    def name(self) -> str:
        """The optimizer and its learning rate."""
        rate = self.optimizer.learning_rate
        return f"{type(self.optimizer).__name__}({rate if isinstance(rate, Schedule) else f'{rate:g}'})"


class Batch:
    """The batch that is tried, and a copy of the network to try it on."""

    def __init__(self, net: Network, loss: Loss, x: Array, targets: Targets) -> None:
        self.loss = loss
        self.x, self.targets = x, targets
        self.levels = Levels.of(loss, targets, net.output_shape)
        self.net = deterministic_copy(net)
        self.first = self.net.state_dict()

    def train(self, optimizer: Optimizer, steps: int, deadline: float, *, x: Array | None = None,
              until: float = -math.inf) -> Trial:  # fmt: skip
        """Train from the first weights on; stop early where less than `until` is left to learn."""
        self.net.load_state_dict(self.first)
        trainer = Trainer(self.net, loss=self.loss, optimizer=optimizer)
        trial = Trial(optimizer, [])
        x = self.x if x is None else x
        for _ in range(steps):
            try:
                value = trainer.train_on_batch(x, self.targets.array)["loss"]
            except FloatingPointError:
                trial.finite = False
                break
            trial.losses.append(value)
            if self.levels.left(value) < until:
                break
            if time.perf_counter() > deadline:
                trial.stopped = True
                break
        return trial

    def left(self, trial: Trial) -> float:
        return self.levels.left(trial.best)


def choose_batch(net: Network, loss: Loss, x: Images | Array, targets: Targets, order: Array, batch_size: int) -> Array:
    """Rows of a small batch of different samples, of all classes, that the network has weights enough to learn by heart.

    Half as many numbers must be said as there are weights; with less than four samples there is nothing to learn.
    """
    weights = sum(p.size for p in net.graph.trainable_parameters())
    most = min(MOST_SAMPLES, max(batch_size, 8), weights // (2 * max(1, math.prod(net.output_shape))))
    rows = order[: min(LOOKED_AT, max(2 * MOST_SAMPLES, LOOKED_AT_VALUES // math.prod(net.input_shape)))]
    _, firsts = np.unique(groups_of(x[rows]), return_index=True)
    rows = rows[np.sort(firsts)]
    array = targets.array[rows]
    if targets.is_labels or (targets.shape == (1,) and loss.head == "sigmoid"):
        # The first of each class, then the second of each, and so on.
        classes = (array.reshape(-1) if targets.is_labels else array.reshape(-1) > 0.5).astype(np.int64)
        turn = np.empty(len(rows), np.int64)
        for label in np.unique(classes):
            turn[classes == label] = np.arange((classes == label).sum())
        rows = rows[np.argsort(turn, kind="stable")]
    return rows[:most]


def check_batch(net: Network, loss: Loss, optimizer: Optimizer, x: Images | Array, targets: Targets, rows: Array,
                seconds: float) -> list[Check]:  # fmt: skip
    """Three checks: of the optimizer, of one batch, and of the inputs' part in it."""
    names = ("one batch", "optimizer", "use of the inputs")
    if len(rows) < LEAST_SAMPLES:
        return [Check.skipped(name, "The network or the data is too small for this test.") for name in names]
    targets = labels.Targets(targets.array[rows], targets.classes, targets.shape)
    batch = Batch(net, loss, np.ascontiguousarray(x[rows], net.dtype), targets)
    if not batch.levels.tells_apart:
        return [Check.skipped(name, "The targets of the batch are all the same.") for name in names]
    begun = time.perf_counter()
    own = batch.train(optimizer.named(net.parameters()), STEPS, begun + OWN_TIME * seconds, until=LEARNED)
    trials = [own]
    for learning_rate in RESCUE_RATES:
        if min(map(batch.left, trials)) < LEARNED or time.perf_counter() > begun + TRIAL_TIME * seconds:
            break
        trials.append(batch.train(Adam(learning_rate), RESCUE_STEPS, begun + TRIAL_TIME * seconds, until=LEARNED))
    best = min(trials, key=batch.left)
    in_time = not any(trial.stopped for trial in trials) and (
        batch.left(best) < LEARNED or len(trials) > len(RESCUE_RATES)
    )
    checks = [_learned(batch, best, in_time), _optimizer(batch, own, best)]
    if not best.losses:
        return [*checks, Check.skipped(names[2], "No step was finite.")]
    return [*checks, _use_of_inputs(batch, best, in_time, begun + seconds)]


def _learned(batch: Batch, best: Trial, in_time: bool) -> Check:
    name = "one batch"
    if not best.losses:
        finding = Finding(
            "non-finite", "problem", None, None, {"samples": len(batch.x)},
            "The first loss or gradient of a small batch is not finite.",
            "See that all weights are finite; scale the inputs to mean 0 and std 1.",
        )  # fmt: skip
        return Check.of(name, "", {}, [finding])
    n, left = len(batch.x), batch.left(best)
    numbers = {"samples": n, "steps": len(best.losses), "first loss": best.losses[0],
               "last loss": best.best, "constant": batch.levels.constant, "left": left}  # fmt: skip
    story = f"{n} samples, {len(best.losses)} steps of {best.name}"
    if left < ENOUGH:
        return Check.of(
            name, f"The network can learn a batch by heart: {story} leave {max(left, 0):.0%} of the loss.", numbers
        )
    if not in_time:
        return Check.skipped(name, f"Not decided in this time: {story} leave {left:.0%} of the loss.", numbers)
    severity = "info" if left < HALF else "warning" if left < NOTHING else "problem"
    finding = Finding(
        "underfitting", severity, None, None, numbers,
        f"The network can't learn even {n} samples by heart: the best of {1 + len(RESCUE_RATES)} trials ({story}) leaves "
        f"{min(left, 1):.0%} of the loss that one constant prediction has ({batch.levels.constant:.4g}).",
        "See the findings above; else look for layers that are too narrow, that are frozen, or that lose the inputs.",
    )  # fmt: skip
    return Check.of(name, "", numbers, [finding])


def _optimizer(batch: Batch, own: Trial, best: Trial) -> Check:
    """Whether the optimizer that was given diverges, or stands still, where another learns."""
    name = "optimizer"
    levels, losses = batch.levels, own.losses
    rescued = best is not own and batch.left(best) < HALF
    numbers: Figures = {"steps": len(losses)}
    if not losses:
        return Check.skipped(name, "The first step is not finite.", numbers)
    last = float(np.mean(losses[-10:]))
    numbers |= {"first loss": losses[0], "last loss": last}
    rate = own.optimizer.learning_rate
    if rescued and (not own.finite or last > DIVERGED * max(levels.constant, losses[0])):
        how = f"from {losses[0]:.4g} to {last:.4g}" if own.finite else "until it is not finite"
        finding = Finding(
            "learning-rate-high", "problem", None, None, numbers,
            f"On one batch {own.name} makes the loss larger, {how}, where {best.name} learns it.",
            "Let the schedule begin with a smaller rate." if isinstance(rate, Schedule)
            else f"Try learning_rate={rate / 10:g}.",
        )  # fmt: skip
        return Check.of(name, "", numbers, [finding])
    if own.stopped:
        return Check.skipped(name, f"{own.name} had no time for {STEPS} steps.", numbers)
    avoidable = losses[0] - levels.perfect
    gained = numbers["gained"] = (losses[0] - own.best) / avoidable if avoidable > 0 else 1.0
    # A schedule may begin with a rate of 0.
    if rescued and gained < UNMOVED and not isinstance(rate, Schedule):
        finding = Finding(
            "learning-rate-low", "warning", None, None, numbers,
            f"{len(losses)} steps of {own.name} on one batch make the loss {gained:.2%} smaller, where {best.name} learns it.",
            f"Try learning_rate={rate * 10:g}, or Adam; standardize targets that are large." if rate
            else "Set the learning rate above 0.",
        )  # fmt: skip
        return Check.of(name, "", numbers, [finding])
    return Check.of(
        name, f"{len(losses)} steps of {own.name} bring the loss from {losses[0]:.4g} to {own.best:.4g}.", numbers
    )


def _use_of_inputs(batch: Batch, best: Trial, in_time: bool, deadline: float) -> Check:
    """The same training with inputs of zero: it must be worse."""
    name = "use of the inputs"
    blind = batch.train(best.optimizer, len(best.losses), deadline, x=np.zeros_like(batch.x))
    floor = batch.levels.perfect
    # Where there was no time for all steps: with one input for all samples nothing is better than the best constant.
    other = min(blind.best, batch.levels.constant) if blind.stopped else blind.best
    ratio = (best.best - floor) / (other - floor) if other > floor else 1.0
    numbers = {"steps": len(best.losses), "with inputs": best.best, "with zeros": other, "ratio": ratio}
    sentence = f"After {len(best.losses)} steps the loss is {best.best:.4g}, and {other:.4g} with inputs of zero."
    if ratio <= IGNORES:
        return Check.of(name, sentence, numbers)
    if not in_time:
        return Check.skipped(name, f"Not decided in this time. {sentence}", numbers)
    finding = Finding(
        "underfitting", "problem", None, None, numbers,
        f"The network ignores its inputs: {sentence[0].lower()}{sentence[1:]}",
        "Look for a layer whose output is the same for all samples: weights of 0, dead or saturated units, a wrong axis.",
    )  # fmt: skip
    return Check.of(name, "", numbers, [finding])
