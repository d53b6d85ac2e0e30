"""The callback that looks at a network's health while it is trained."""

from __future__ import annotations

import math

from fastnet import checks
from fastnet.health.probe import AgreementProbe, StatisticsProbe
from fastnet.health.table import HealthTable, Look
from fastnet.training.callbacks import Callback

__all__ = ["HealthMonitor"]

#: The share of the training time that looks may take, and what they take, in microseconds: each look in Python and for its two
#: programs, and the multiply-adds (or elements times four) that a core does in one. They are estimates that depend on shapes alone,
#: so that the same steps are looked at on every machine.
SHARE = 0.02
LOOK_TIME, STEP_TIME = 250.0, 3.0
STEP_SPEED, LOOK_SPEED = 60_000.0, 3_000.0


class HealthMonitor(Callback):
    """Looks at weights, gradients, updates and activations every some steps, in compiled kernels.

    Parameters
    ----------
    every : int, optional
        Batches from one look to the next. The first ones come sooner: after 1, 2, 4, 8, ... batches. By default so many that
        looks take about a fiftieth of the training time, by an estimate that depends on the network and the batch size
        alone.
    samples : int, optional
        So many samples of a batch are looked at; by default those whose outputs have 65,536 values, and at most 32.

    Attributes
    ----------
    table : HealthTable
        All looks: see there.

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

    def __init__(self, every=None, *, samples=None):
        self.every = None if every is None else checks.whole_number("every", every, least=1)
        self.samples = None if samples is None else checks.whole_number("samples", samples, least=1)
        self.table = HealthTable()

    # Called by the Trainer

    def on_train_begin(self, trainer, logs):
        state = trainer.state(self)
        parameters = trainer.net.graph.trainable_parameters()
        if state.get("parameters") != parameters:
            statistics = StatisticsProbe(trainer.net.graph, self.samples)
            state.update(parameters=parameters, statistics=statistics, agreement=AgreementProbe(statistics))
            state.update(gap=1, due=self._seen(trainer) + 1, again=False)
        self._due(trainer)

    @staticmethod
    def _seen(trainer) -> int:
        """Batches that the network has been trained with in its life."""
        return trainer.net.executor.control.forward

    def _due(self, trainer) -> None:
        """After another training of the network, the next look is not in the past."""
        state = trainer.state(self)
        state["due"] = max(state["due"], self._seen(trainer) + 1)

    def batches_until_look(self, trainer):
        state = trainer.state(self)
        return max(0, state["due"] - self._seen(trainer) - 1)

    def probe_for(self, trainer):
        state = trainer.state(self)
        if state["again"]:
            return state["agreement"]
        state["statistics"].begin()
        state["step"] = trainer.step
        return state["statistics"]

    def on_look(self, trainer):
        state = trainer.state(self)
        if state["again"]:
            state["again"] = False
            self.table.add_agreement(state["agreement"].results)
            state["due"] += state["gap"]
            state["gap"] = min(2 * state["gap"], self._interval(state["statistics"]))
            return
        updated = trainer.step > state["step"]
        self.table.add(Look(trainer.step, trainer.history.epochs, trainer.control.loss), state["statistics"], updated)
        state["again"] = True
        state["due"] += 1

    def _interval(self, probe: StatisticsProbe) -> int:
        if self.every is not None:
            return self.every
        look = LOOK_TIME + probe.own_work / LOOK_SPEED
        return math.ceil(look / (SHARE * (STEP_TIME + probe.step_work / STEP_SPEED)))
