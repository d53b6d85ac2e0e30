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

    Parameters
    ----------
    trainer : Trainer
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._kept = KeptPlans()
        self._kept_for: Any = None  # what they depend on: the configuration, and the block they work in

    def train(self, x: Any, y: Any, sample_weight: ArrayLike | None) -> dict[str, float]:
        """One update; the figures of the batch."""
        trainer, control = self.trainer, self.trainer.control
        if trainer.in_pieces:
            return self._train_in_pieces(x, y, sample_weight)
        if not isinstance(x, np.ndarray):
            containers.check_order("x", x, "y", y)
        with trainer.net.lock:
            control.cursor, control.samples = 0, sys.maxsize
            if trainer.metrics:
                trainer.sums.clear()
            if sample_weight is not None or not self._repeat(x, y):
                program = self._program(x, y, sample_weight)
                trainer.run(program, 1)
            if control.status:
                trainer.refuse(self._program(x, y, sample_weight))
            return trainer.sums.result() if trainer.metrics else {"loss": control.loss}

    def _repeat(self, x: Any, y: Any) -> bool:
        """Run the step that is kept for arrays of this form, if there is one; its gather checks their values."""
        trainer, network = self.trainer, self.trainer.net.executor.control
        trainer.fill_rates(1)
        trainer.control.begin(network.forward)
        try:
            found = self._kept.run((Clock.time, trainer.workspace.block), (x, y), 2)
        except (BufferError, TypeError, ValueError):
            return False  # not arrays that a gather takes as they are: the checks say what is wrong
        network.forward = trainer.control.forward
        return found

    def _feed(self, x: Any, y: Any, sample_weight: ArrayLike | None) -> Feed:
        trainer, net = self.trainer, self.trainer.net
        checked_x = labels.check_inputs("x", x, net.graph.input_shape)
        targets = labels.form_of(trainer.loss, y, net.graph.output_shape)
        labels.check_length("y", targets.array, "x", len(checked_x))
        for metric in trainer.metrics:
            metric.check(targets, net.graph.output_shape)
        weights = None if sample_weight is None else labels.weights(sample_weight, len(checked_x), net.dtype)
        return Feed(checked_x, targets, weights, ordered=False, checked=True)

    def _program(self, x: Any, y: Any, sample_weight: ArrayLike | None) -> Any:
        feed = self._feed(x, y, sample_weight)
        checked_x, targets = feed.x, feed.targets
        program: Any = self.trainer.program(feed, len(checked_x))
        feed.bind(program)
        if feed.weights is None and checked_x is x and (targets.array is y or targets.array.base is y):
            plan = program.replayable([program.feed.memories[name] for name in "xy"])
            if plan is not None:
                state = Clock.time, self.trainer.workspace.block
                if state != self._kept_for:
                    self._kept.clear()
                    self._kept_for = state
                self._kept.keep(state, (x, y), 2, *plan)
        return program

    def _train_in_pieces(self, x: Any, y: Any, sample_weight: ArrayLike | None) -> dict[str, float]:
        """The same of a batch of which x is this rank's share."""
        trainer, control, ranks = self.trainer, self.trainer.control, self.trainer.distributed
        with trainer.net.lock, ranks.together():
            with ranks.agreeing():
                feed = self._feed(x, y, sample_weight)
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
