"""The callback that looks at a network's health while it is trained."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.health import saved
from fastnet.health.evidence import Beginning, Evidence, symmetric_layers
from fastnet.health.findings import SEVERITIES, Finding
from fastnet.health.looks import Look
from fastnet.health.probe import AgreementProbe, StatisticsProbe
from fastnet.health.rules import diagnose
from fastnet.health.table import HealthTable, effective_rank
from fastnet.training.callbacks import Callback

if TYPE_CHECKING:
    from fastnet.training.trainer import Trainer
    from fastnet.types import Array, Figures

__all__ = ["HealthError", "HealthMonitor", "HealthWarning"]

#: The share of the training time that looks may take, and what they take, in microseconds: each look in Python and for its two
#: programs, a diagnosis, and the multiply-adds (or elements times four) that a core does in one. They are estimates that depend on
#: shapes alone, so that the same steps are looked at on every machine.
SHARE = 0.01
LOOK_TIME, STEP_TIME, DIAGNOSIS_TIME = 200.0, 3.0, 20_000.0
STEP_SPEED, LOOK_SPEED = 60_000.0, 3_000.0
#: Looks are at least this part of the batches so far apart, and so are diagnoses, which go through all looks: long runs have few.
LOOKS_APART, DIAGNOSES_APART = 1 / 1000, 1 / 16

GREATEST_SIDE = 512  # of a matrix (the shorter one) whose effective rank is computed


class HealthWarning(UserWarning):
    """A finding of a monitor with on_problem="warn"."""


class HealthError(RuntimeError):
    """A problem, of a monitor with on_problem="raise"; `finding` has it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@register
class HealthMonitor(Callback):
    """Looks at weights, gradients, updates and activations every some steps, in compiled kernels.

    It is for one run at a time: with another Trainer (each `Network.fit` makes one) it begins a table of its own. A checkpoint
    holds all that it has seen, and `Trainer.resume` goes on with it.

    Parameters
    ----------
    every : int, optional
        Batches from one look to the next. The first ones come sooner: after 1, 2, 4, 8, ... batches. By default so many that
        looks take about a hundredth of the training time, by an estimate that depends on the network and the batch size
        alone; in long runs at least a thousandth of the batches so far.
    on_problem : {"warn", "raise", "stop"}
        What to do about a finding of severity "problem": warn (`HealthWarning`) once for each code, raise `HealthError`, or
        end training after the epoch. "warn" also tells of warnings. Looked for after the epochs 1, 2, 4, 8, ..., of a
        network whose epochs take long after each, and at the end.
    samples : int, optional
        So many samples of a batch are looked at; by default those whose outputs have 65,536 values, and at most 32.

    Attributes
    ----------
    table : HealthTable
        All looks: see there.
    generalization_gap : ndarray (epochs,)
        Validation loss less training loss.
    findings : list of Finding
        What is wrong so far, the most severe first; also while training runs.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.digits()
    >>> net = fn.Network([fn.Flatten(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    >>> monitor = fn.HealthMonitor()
    >>> history = net.fit(x, y, epochs=3, loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    >>> float(monitor.table.last("update_ratio", "dense_1.weight")) > 0
    True
    """

    on_one_rank = True

    def __init__(self, every: int | None = None, *, on_problem: Literal["warn", "raise", "stop"] = "warn",
                 samples: int | None = None) -> None:  # fmt: skip
        self.on_problem = checks.choice("on_problem", on_problem, ["warn", "raise", "stop"])
        self.every = None if every is None else checks.whole_number("every", every, least=1)
        self.samples = None if samples is None else checks.whole_number("samples", samples, least=1)
        self.table = HealthTable()
        self._trainer: Trainer | None = None
        self._told: set[str] = set()

    @property
    def findings(self) -> list[Finding]:
        if self._trainer is None:
            return []
        beginning = self._trainer.state(self)["beginning"]
        # A layer whose units have become equal since (all zero, by a penalty) was not initialized wrongly.
        symmetric = {
            name: difference
            for name, difference in symmetric_layers(self._trainer.net.graph).items()
            if name in beginning.symmetric
        }
        return diagnose(Evidence(self._trainer, self.table, beginning, symmetric))

    @property
    def generalization_gap(self) -> Array:
        """Validation loss less training loss, epoch by epoch; empty without validation."""
        history: Any = {} if self._trainer is None else self._trainer.history
        if "val_loss" not in history:
            return np.empty(0)
        return np.array(history["val_loss"]) - np.array(history["loss"])

    # Called by the Trainer

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        state, seen = trainer.state(self), self._seen(trainer)
        if self._trainer is not trainer:  # another run: its own table
            self._trainer, self.table, self._told = trainer, HealthTable(), set()
            state["beginning"] = Beginning.of(trainer)
        parameters = trainer.net.graph.trainable_parameters()
        if state.get("parameters") != parameters:
            statistics = StatisticsProbe(trainer.net.graph, self.samples)
            state.update(parameters=parameters, statistics=statistics, agreement=AgreementProbe(statistics))
            state.update(gap=1, due=seen + 1, again=False, diagnosed=seen)
        # The network may have been trained by others since: the next look is not in the past.
        state["due"] = max(state["due"], seen + 1)
        trainer.history.health = self

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"every": self.every, "on_problem": self.on_problem, "samples": self.samples}

    def state_to_save(self, trainer: Trainer) -> dict[str, Any]:
        state = trainer.state(self)
        if "beginning" not in state:
            return {}  # another callback saves before this one has begun
        numbers = {name: state[name] for name in ("gap", "due", "again", "diagnosed", "step") if name in state}
        return {
            "numbers": numbers,
            "beginning": saved.beginning_state(state["beginning"]),
            "probe": saved.probe_state(state["statistics"], state["again"]),
            "table": saved.table_state(self.table),
            "told": self._told,
        }

    def restore_state(self, trainer: Trainer, state: dict[str, Any]) -> None:
        if not state:
            return
        own = trainer.state(self)
        own.update(state["numbers"], beginning=saved.beginning_from(state["beginning"]))
        saved.set_probe_state(own["statistics"], state["probe"])
        self.table = saved.table_from(state["table"], own["statistics"], trainer.net.graph)
        self._told = set(state["told"])

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        epoch = trainer.history.epochs
        if epoch & (epoch - 1) == 0:  # after 1, 2, 4, 8, ... epochs
            self._measure_ranks(trainer)
        state, seen = trainer.state(self), self._seen(trainer)
        since = seen - state["diagnosed"]
        rare = since * self._step_time(state["statistics"]) > DIAGNOSIS_TIME / SHARE and since > DIAGNOSES_APART * seen
        if epoch & (epoch - 1) == 0 or rare:
            state["diagnosed"] = seen
            self._tell(trainer)

    def on_train_end(self, trainer: Trainer, logs: Figures) -> None:
        self._measure_ranks(trainer)
        self._tell(trainer, at_end=True)

    def _measure_ranks(self, trainer: Trainer) -> None:
        """The effective ranks of the weights that are small enough for it not to matter."""
        weights = [p for p in trainer.state(self)["parameters"] if len(p.shape) > 1]
        sides = ((p, min(p.size // p.shape[-1], p.shape[-1])) for p in weights)
        self.table.add_ranks({p.name: effective_rank(p.value) for p, side in sides if side <= GREATEST_SIDE})

    def _tell(self, trainer: Trainer, at_end: bool = False) -> None:
        """Say what has been found since, and do what `on_problem` says; nothing is raised over an error that ends training."""
        least = SEVERITIES.index("warning" if self.on_problem == "warn" else "problem")
        fresh = [f for f in self.findings if SEVERITIES.index(f.severity) >= least and f.code not in self._told]
        self._told.update(finding.code for finding in fresh)
        if self.on_problem == "warn":
            for finding in fresh:
                warnings.warn(str(finding), HealthWarning, stacklevel=2)
        elif fresh and self.on_problem == "stop":
            trainer.stop(f"health: {fresh[0].code}")
        elif fresh and not at_end:
            raise HealthError(fresh[0])

    @staticmethod
    def _seen(trainer: Trainer) -> int:
        """Batches that the network has been trained with in its life."""
        return trainer.net.executor.control.forward

    def batches_until_look(self, trainer: Trainer) -> int | None:
        state = trainer.state(self)
        return max(0, state["due"] - self._seen(trainer) - 1)

    def probe_for(self, trainer: Trainer) -> StatisticsProbe | None:
        state = trainer.state(self)
        if state["again"]:
            return state["agreement"]
        state["statistics"].begin()
        state["step"] = trainer.step
        return state["statistics"]

    def on_look(self, trainer: Trainer) -> None:
        state = trainer.state(self)
        if state["again"]:
            state["again"] = False
            self.table.add_agreement(state["agreement"].results)
            state["due"] += state["gap"]
            state["gap"] = min(2 * state["gap"], self._interval(trainer, state["statistics"]))
            return
        updated = trainer.step > state["step"]
        self.table.add(Look(trainer.step, trainer.history.epochs, trainer.control.loss), state["statistics"], updated)
        state["again"] = True
        state["due"] += 1

    def _interval(self, trainer: Trainer, probe: StatisticsProbe) -> int:
        if self.every is not None:
            return self.every
        look = LOOK_TIME + probe.own_work / LOOK_SPEED
        affordable = math.ceil(look / (SHARE * self._step_time(probe)))
        return max(affordable, int(LOOKS_APART * self._seen(trainer)))

    @staticmethod
    def _step_time(probe: StatisticsProbe) -> float:
        """What a step takes at least, in microseconds, by the estimate."""
        return STEP_TIME + probe.step_work / STEP_SPEED
