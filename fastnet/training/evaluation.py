"""Loss and metrics of a network on data, without changing it."""

from __future__ import annotations

import time

import numpy as np

from fastnet import labels
from fastnet.datasets.images import Images
from fastnet.execution import PREDICT_BATCH, Programs
from fastnet.native.plan import ControlBlock
from fastnet.recording import Program
from fastnet.training.progress import Pace
from fastnet.training.steps import Feed, Sums, evaluation_step

__all__ = ["Evaluator"]


class Evaluator:
    """Evaluates one network with one loss and list of metrics, again and again."""

    def __init__(self, executor, loss, metrics):
        self.executor = executor
        self.loss = loss
        self.metrics = metrics
        self.sums = Sums(metrics, executor.graph.output_shape)
        self.sums.control = ControlBlock()
        self._programs = Programs()
        self._pace = Pace()

    def feed(self, x, y, sample_weight=None, *, x_name="x", y_name="y") -> Feed:
        """Check data, all of it, before anything is computed."""
        graph = self.executor.graph
        images = x if isinstance(x, Images) else None
        x = labels.check_inputs(x_name, x if images is None else images.array, graph.input_shape)
        targets = labels.form_of(self.loss, y, graph.output_shape, y_name)
        labels.check_length(y_name, targets.array, x_name, len(x))
        for metric in self.metrics:
            metric.check(targets, graph.output_shape)
        labels.scan_inputs(x_name, x)
        labels.scan_targets(targets, y_name)
        weights = labels.combined_weights(sample_weight, None, targets, self.executor.dtype)
        return Feed(x, targets, weights, ordered=False, checked=False, images=images)

    def run(self, feed: Feed, batch_size: int | None = None, pause=None) -> dict[str, float]:
        """The figures of checked data, averaged by the samples' weights.

        Like training it returns to Python about every 50 ms, and calls `pause` then.
        """
        batch_size = batch_size or PREDICT_BATCH
        n = len(feed.x)
        control = self.sums.control
        with self.executor.lock:
            self.sums.clear()
            control.cursor = control.status = 0
            for batch, steps in ((batch_size, n // batch_size), (n % batch_size, 1)):
                while batch and steps:
                    if pause is not None and control.cursor:
                        pause()
                    run = min(steps, self._pace.steps_of(batch))
                    if feed.images is not None:
                        feed.images.wait(np.arange(control.cursor, control.cursor + run * batch))
                    program = self._program(feed, batch)
                    feed.bind(program)
                    begun = time.perf_counter()
                    program.run(n_steps=run)
                    self._pace.timed(batch, run, time.perf_counter() - begun)
                    steps = 0 if control.status else steps - run
        return self.sums.result()

    def _program(self, feed: Feed, batch: int) -> Program:
        def make():
            with self.executor.lock.recording:
                return evaluation_step(self.executor, self.loss, self.sums, feed, batch)

        return self._programs.get((batch, feed.key()), make)
