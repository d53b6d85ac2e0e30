"""Steps on single batches, as `Trainer.train_on_batch` makes them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import containers, labels
from fastnet.native.calls import KeptPlans
from fastnet.recording.clock import Clock
from fastnet.training.steps import Feed

if TYPE_CHECKING:
    from fastnet.training.trainer import Trainer
    from fastnet.types import ArrayLike

__all__ = ["SingleBatches"]


class SingleBatches:
    """Trains on batches as they are given; the plans of steps are kept by the form of their arrays.

    The trainer, which has this, is told to each call: a network that nobody keeps frees its memory at once.
    """

    def __init__(self) -> None:
        self._kept = KeptPlans()
        self._kept_for: Any = None  # what they depend on: the configuration, and the block they work in

    def train(self, trainer: Trainer, x: Any, y: Any, sample_weight: ArrayLike | None) -> dict[str, float]:
        """One update; the figures of the batch."""
        control = trainer.control
        if trainer.in_pieces:
            return self._train_in_pieces(trainer, x, y, sample_weight)
        if not isinstance(x, np.ndarray):
            containers.check_order("x", x, "y", y)
        with trainer.net.lock:
            control.cursor, control.samples = 0, sys.maxsize
            if trainer.metrics:
                trainer.sums.clear()
            if sample_weight is not None or not self._repeat(trainer, x, y):
                program = self._program(trainer, x, y, sample_weight)
                trainer.run(program, 1)
            if control.status:
                trainer.refuse(self._program(trainer, x, y, sample_weight))
            return trainer.sums.result() if trainer.metrics else {"loss": control.loss}

    def _repeat(self, trainer: Trainer, x: Any, y: Any) -> bool:
        """Run the step that is kept for arrays of this form, if there is one; its gather checks their values."""
        network = trainer.net.executor.control
        trainer.fill_rates(1)
        trainer.control.begin(network.forward)
        try:
            found = self._kept.run((Clock.time, trainer.workspace.block), (x, y), 2)
        except (BufferError, TypeError, ValueError):
            return False  # not arrays that a gather takes as they are: the checks say what is wrong
        network.forward = trainer.control.forward
        return found

    def _feed(self, trainer: Trainer, x: Any, y: Any, sample_weight: ArrayLike | None) -> Feed:
        net = trainer.net
        checked_x = labels.check_inputs("x", x, net.graph.input_shape)
        targets = labels.form_of(trainer.loss, y, net.graph.output_shape)
        labels.check_length("y", targets.array, "x", len(checked_x))
        for metric in trainer.metrics:
            metric.check(targets, net.graph.output_shape)
        weights = None if sample_weight is None else labels.weights(sample_weight, len(checked_x), net.dtype)
        return Feed(checked_x, targets, weights, ordered=False, checked=True)

    def _program(self, trainer: Trainer, x: Any, y: Any, sample_weight: ArrayLike | None) -> Any:
        feed = self._feed(trainer, x, y, sample_weight)
        checked_x, targets = feed.x, feed.targets
        program: Any = trainer.program(feed, len(checked_x))
        feed.bind(program)
        if feed.weights is None and checked_x is x and (targets.array is y or targets.array.base is y):
            plan = program.replayable([program.feed.memories[name] for name in "xy"])
            if plan is not None:
                state = Clock.time, trainer.workspace.block
                if state != self._kept_for:
                    self._kept.clear()
                    self._kept_for = state
                self._kept.keep(state, (x, y), 2, *plan)
        return program

    def _train_in_pieces(self, trainer: Trainer, x: Any, y: Any, sample_weight: ArrayLike | None) -> dict[str, float]:
        """The same of a batch of which x is this rank's share."""
        control, ranks = trainer.control, trainer.distributed
        with trainer.net.lock, ranks.together():
            with ranks.agreeing():
                feed = self._feed(trainer, x, y, sample_weight)
            shares = tuple(ranks.gather(np.array([feed.samples], np.float64))[:, 0].astype(int).tolist())
            control.cursor, control.samples = 0, sys.maxsize
            trainer.sums.clear()
            program = trainer.program(feed, feed.samples, shares=shares)
            feed.bind(program)
            trainer.run(program, 1)
            trainer.sums.array[2:] = ranks.gather(trainer.sums.array[2:]).sum(axis=0)
            if control.status:
                trainer.refuse(program)
            return trainer.sums.result()
