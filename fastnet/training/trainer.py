"""The training loop."""

from __future__ import annotations

import sys
import time
from contextlib import closing, contextmanager

import numpy as np

from fastnet import averages, checks, containers, labels, losses, optimizers, schedules
from fastnet.augment import Augmentation
from fastnet.execution import Programs
from fastnet.kernels import random
from fastnet.metrics import get_all as get_all_metrics
from fastnet.native.arena import Block
from fastnet.native.calls import KeptPlans
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace
from fastnet.recording.clock import Clock
from fastnet.training import callbacks as callback_module
from fastnet.training.data import check_mixing, check_second_pass, feeds
from fastnet.training.evaluation import Evaluator
from fastnet.training.faults import BAD_DATA, BAD_GRADIENT, Fault, find_fault
from fastnet.training.history import History
from fastnet.training.progress import Progress, bar_of
from fastnet.training.settings import describe
from fastnet.training.steps import Feed, Sums, training_step
from fastnet.training.update import Clipping, Update

__all__ = ["Trainer"]

RUN_SECONDS = 0.05  # after which replay returns to Python: progress, callbacks, Ctrl-C
MOST_STEPS = 4096  # of one run; as many learning rates are evaluated ahead


class Trainer:
    """Trains a network: the state of one optimizer, and the loop around steps that run without Python.

    Parameters
    ----------
    net : Network
    loss : str or Loss
        "softmax_cross_entropy", "sigmoid_cross_entropy", "mse", "mae", "huber", "poisson", or a configured one.
    optimizer : str or Optimizer
        "sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam", "lion", "muon" with their
        defaults, or a configured one.
    metrics : list of (str or Metric)
        "accuracy", "top_5_accuracy", "mse", "mae", "r2".
    clip_norm : float, optional
        Gradients are scaled so that their norm over all parameters is at most this (Pascanu, Mikolov & Bengio 2013). As
        PyTorch's `clip_grad_norm_`, and Keras' `global_clipnorm`.
    clip_parameter_norm : float, optional
        Instead each parameter's gradient by its own norm: Keras' `clipnorm`.
    clip_value : float, optional
        Instead each element to [-clip_value, clip_value].
    accumulate : int, default 1
        Batches whose gradients are joined for one update, which is that of one large batch: the mean over all their
        samples by weight. The last batch of an epoch updates in any case; `step` and schedules count updates.
        (Batch normalization sees the batches one by one; `apply_gradients` doesn't wait.)
    average : EMA or SWA, optional
        An average of the weights, which the network has when `fit` ends: see `WeightAverage`.

    Attributes
    ----------
    step : int
        Updates done.
    learning_rate : float
        The rate of the next update: of the optimizer's number or schedule, times `rate_factor`.
    rate_factor : float
        Multiplies all rates; 1 at first. `ReduceLROnPlateau` lowers it, and setting it acts at the next step.
    net, loss, optimizer, metrics, history
    fault : Fault or None
        The first step of the last `fit` whose loss or gradients were not finite.

    Examples
    --------
    A loop of one's own, which gives the bits of ``fit``:

    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(8, activation="relu"), fn.Dense(3)], input_shape=(4,), seed=0)
    >>> trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2))
    >>> x, y = np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2])
    >>> value, dy = trainer.loss.gradient(net.forward(x, training=True), y)
    >>> dx = net.backward(dy)
    >>> trainer.apply_gradients()
    >>> trainer.step
    1
    """

    def __init__(self, net, *, loss, optimizer, metrics=(), clip_norm=None, clip_parameter_norm=None, clip_value=None,
                 accumulate=1, average=None):  # fmt: skip
        self.net = net
        self.loss = losses.get(loss)
        self.loss.check_output(net.graph.output_shape)
        net.check_head(self.loss)
        self.optimizer = optimizers.get(optimizer)
        self.metrics = get_all_metrics(metrics)
        self.update = Update(
            self.optimizer, net.graph, Clipping.of(clip_norm, clip_parameter_norm, clip_value),
            checks.whole_number("accumulate", accumulate, least=1), averages.get(average),
        )  # fmt: skip
        self.history = History()
        self.control = ControlBlock()
        self.workspace = Workspace()
        sources = len(self.update.sources)
        self.learning_rates = Memory("learning rates", Block(8 * MOST_STEPS * sources))
        self._rates = np.frombuffer(self.learning_rates.block, np.float64).reshape(MOST_STEPS, sources)
        self.sums = Sums(self.metrics, net.graph.output_shape)
        self._programs = Programs()
        self._kept = KeptPlans()
        self._kept_for = None  # what they depend on: the configuration, and the block they work in
        self._states: dict[int, tuple] = {}
        self._rate_factor = 1.0
        self.fault: Fault | None = None
        self.feed: Feed | None = None  # what `fit` trains on
        self._stop: str | None = None

    @property
    def step(self) -> int:
        return self.control.step

    @property
    def learning_rate(self) -> float:
        rate = self.optimizer.learning_rate
        if isinstance(rate, schedules.Schedule):
            rate = float(rate.rates(self.step, 1, self.history.epochs)[0])
        return rate * self._rate_factor

    @property
    def rate_factor(self) -> float:
        return self._rate_factor

    @rate_factor.setter
    def rate_factor(self, value):
        self._rate_factor = checks.real_number("rate_factor", value, least=0)

    def state(self, callback) -> dict:
        """What a callback keeps from call to call."""
        return self._states.setdefault(id(callback), (callback, {}))[1]

    def stop(self, reason: str = "stopped") -> None:
        """End training after the running epoch."""
        self._stop = reason

    # One step at a time

    def train_on_batch(self, x, y, sample_weight=None) -> dict[str, float]:
        """One update on one batch, as it is given: checks, forward, loss, backward, clip, update.

        Returns
        -------
        dict
            "loss" and the metrics of this batch, before the update.

        Raises
        ------
        ValueError, TypeError
            The batch does not fit; nothing has changed.
        FloatingPointError
            The loss or a gradient is not finite; nothing has changed.
        """
        control = self.control
        if not isinstance(x, np.ndarray):
            containers.check_order("x", x, "y", y)
        with self.net.lock:
            control.cursor, control.samples = 0, sys.maxsize
            if self.metrics:
                self.sums.clear()
            if sample_weight is not None or not self._repeat(x, y):
                program = self._batch_program(x, y, sample_weight)
                self._run(program, 1)
            if control.status:
                self._refuse(self._batch_program(x, y, sample_weight))
            return self.sums.result() if self.metrics else {"loss": control.loss}

    def _repeat(self, x, y) -> bool:
        """Run the step that is kept for arrays of this form, if there is one; its gather checks their values."""
        control, network = self.control, self.net.executor.control
        self._fill_rates(1)
        control.begin(network.forward)
        try:
            found = self._kept.run((Clock.time, self.workspace.block), (x, y), 2)
        except (BufferError, TypeError, ValueError):
            return False  # not arrays that a gather takes as they are: the checks say what is wrong
        network.forward = control.forward
        return found

    def _batch_program(self, x, y, sample_weight) -> Program:
        net = self.net
        checked_x = labels.check_inputs("x", x, net.graph.input_shape)
        targets = labels.form_of(self.loss, y, net.graph.output_shape)
        labels.check_length("y", targets.array, "x", len(checked_x))
        for metric in self.metrics:
            metric.check(targets, net.graph.output_shape)
        weights = None if sample_weight is None else labels.weights(sample_weight, len(checked_x), net.dtype)
        feed = Feed(checked_x, targets, weights, ordered=False, checked=True)
        program = self._program(feed, len(checked_x))
        feed.bind(program)
        if weights is None and checked_x is x and (targets.array is y or targets.array.base is y):
            plan = program.replayable([program.feed.memories[name] for name in "xy"])
            if plan is not None:
                state = Clock.time, self.workspace.block
                if state != self._kept_for:
                    self._kept.clear()
                    self._kept_for = state
                self._kept.keep(state, (x, y), 2, *plan)
        return program

    def apply_gradients(self) -> None:
        """One update from the gradients that `net.backward` left in the parameters, with clipping.

        Raises
        ------
        FloatingPointError
            A gradient is not finite; nothing has changed.
        """
        with self.net.lock:
            program = self._programs.get("apply", self._record_apply)
            # The forward count is the network's: its own forward has counted already.
            self.net.executor.control.forward -= 1
            self._run(program, 1)
            if self.control.status:
                self.net.executor.control.forward += 1
                raise FloatingPointError("a gradient is not finite; no weight has changed")

    def _record_apply(self) -> Program:
        recording = Recording(self.net.dtype)
        control = {"control": recording.control_field()}
        parts = self.update.record_begin(recording, self.learning_rates)
        for segment in {part.segment: None for part in parts}:
            gradients = recording.outside(segment.gradients, (segment.trainable_size,))
            recording.call("check_finite", reads={"x": gradients}, updates=control, n=gradients.size,
                           code=BAD_GRADIENT, work=gradients.size)  # fmt: skip
        self.update.record(recording, parts)
        recording.call("step_end", updates=control, batch=0)
        return Program(recording, self.workspace, self.control, "an update")

    # Programs

    def _program(self, feed: Feed, batch: int, probes=()) -> Program:
        def make():
            with self.net.lock.recording:
                return training_step(self, feed, batch, probes)

        return self._programs.get((batch, feed.key(), probes), make)

    def _run(self, program: Program, steps: int) -> None:
        """Replay `steps` steps; the network's count of training forwards goes in and comes out."""
        control, network = self.control, self.net.executor.control
        self._fill_rates(steps)
        control.begin(network.forward)
        try:
            program.run(n_steps=steps)
        finally:
            network.forward = control.forward

    def _fill_rates(self, steps: int) -> None:
        """Put the rates of the next steps where `step_begin` reads them."""
        for column, source in enumerate(self.update.sources):
            rates = source.learning_rate
            if isinstance(rates, schedules.Schedule):
                # Batches whose gradients are joined are steps of the same update.
                updates = (self.control.batches + np.arange(steps)) // self.update.accumulate
                rates = rates.rates(self.control.step, int(updates[-1]) + 1, self.history.epochs)[updates]
            self._rates[:steps, column] = rates * self._rate_factor

    def _refuse(self, program: Program, found: str | None = None) -> None:
        """Raise what the step's status says, or what was found in its data; nothing has changed."""
        status = self.control.status
        if status in BAD_DATA:
            before = f" (the {self.step:,} updates before it stay)" if found and self.step else ""
            raise ValueError(f"{found or BAD_DATA[status]}; no weight has changed by this batch{before}")
        error = FloatingPointError(str(find_fault(program, self.control)))
        error.history = self.history
        raise error

    # Many steps

    def fit(self, x, y=None, *, epochs=1, batch_size=32, steps_per_epoch=None, validation=None, sample_weight=None,
            class_weight=None, callbacks=(), shuffle=True, drop_last=False, augment=(), prefetch=True,
            on_nonfinite="raise", verbose=1) -> History:  # fmt: skip
        """Train for some epochs; `Network.fit` explains the parameters. Can be called again to go on.

        An iterator that was given with `steps_per_epoch` can be given again: it has lost no batch.
        """
        checks.whole_number("epochs", epochs, least=0)
        batch_size = checks.whole_number("batch_size", batch_size, least=1)
        checks.choice("on_nonfinite", on_nonfinite, ["raise", "stop", "continue"])
        callbacks = callback_module.listed(callbacks)
        on_nonfinite = callback_module.nonfinite_rule(callbacks, on_nonfinite)
        bar = bar_of(callbacks, verbose)
        evaluator = Evaluator(self.net.executor, self.loss, self.metrics)
        augmentation = Augmentation(augment, self.net.input_shape, self.net.seed)
        check_mixing(augmentation, self.loss, self.net)
        feed, validation = feeds(evaluator, x, y, validation, sample_weight, class_weight, epochs=epochs,
                                 steps_per_epoch=steps_per_epoch, prefetch=prefetch)  # fmt: skip
        feed.augmentation = augmentation if augmentation.operations else None
        check_second_pass(feed, self.update.average, self.net)
        n = feed.samples
        if n is None:
            feed.tells_last = self.update.accumulate > 1
            order = end = None
        else:
            if drop_last and n < batch_size:
                raise ValueError(f"drop_last=True with batch_size={batch_size} leaves nothing of {n} samples")
            order = np.arange(n, dtype=np.int64)
            end = n - n % batch_size if drop_last else n
        self._stop = None
        self.history.stopped = None
        watched = [callback for callback in callbacks if callback_module.watches_batches(callback)]
        lookers = [callback for callback in callbacks if callback_module.looks_inside(callback)]
        self.fault = None
        self.feed = feed
        self.history.settings = describe(self, feed, validation, epochs, batch_size)
        progress = Progress(epochs, end, bar)
        with self._callbacks_around(callbacks, batch_size), progress:
            for epoch in range(epochs):
                epoch_begun = time.perf_counter()
                self._show_average(False)
                for callback in callbacks:
                    callback.on_epoch_begin(self, {})
                rate = self.learning_rate
                if checks.flag("shuffle", shuffle) and order is not None:
                    self._shuffle(order)
                with closing(feed.begin(batch_size, order, end)) as data:
                    figures = self._epoch(data, watched, lookers, on_nonfinite, progress)
                if figures is None:
                    break
                self.history.settings["samples"] = feed.samples  # of batches they are known now
                self._take_average(epoch + 1)
                if validation is not None or callbacks:
                    self._renew_statistics(batch_size)
                if validation is not None:
                    found = evaluator.run(validation)
                    figures |= {f"val_{name}": value for name, value in found.items()}
                self.history.append(figures, learning_rate=rate, seconds=time.perf_counter() - epoch_begun)
                progress.end_epoch(figures)
                for callback in callbacks:
                    callback.on_epoch_end(self, figures)
                if self._stop:
                    self.history.stopped = self._stop
                    break
        return self.history

    def _show_average(self, shown: bool) -> None:
        if self.update.average is not None:
            with self.net.lock:
                self.update.average.exchange(shown)

    def _take_average(self, epoch: int) -> None:
        """At the end of an epoch: let its weights take part, if they do, and give the network the average."""
        average = self.update.average
        if average is not None and average.rule.by_epoch and average.rule.is_due(epoch):
            average.take(self.net.dtype)
        self._show_average(True)

    def _renew_statistics(self, batch_size: int) -> None:
        if self.update.average is not None:
            with self.net.lock:
                self.update.average.renew_statistics(self.net, self.feed, batch_size)

    def _shuffle(self, order: np.ndarray) -> None:
        """A new order, keyed by the seed and the count of epochs of this network's life."""
        self.net.epochs += 1
        random.permutation(len(order), seed=self.net.seed, path="shuffle", count=self.net.epochs, out=order)

    def _epoch(self, data, watched, lookers, on_nonfinite, progress):
        """The figures of one pass over the data, or None if it was ended by a step that is not finite."""
        self.sums.clear()
        control = self.control
        while batch := data.upcoming():
            until = {callback: callback.batches_until_look(self) for callback in lookers}
            looking = [callback for callback, batches in until.items() if batches == 0]
            run = min(progress.steps_of(batch, RUN_SECONDS), MOST_STEPS, *until.values())
            piece = data.piece(1 if watched or looking else run)
            program = self._program(piece.feed, batch, tuple(callback.probe_for(self) for callback in looking))
            piece.feed.bind(program, piece.order)
            with self.net.lock:
                control.cursor, control.samples = piece.cursor, piece.end
                begun = time.perf_counter()
                self._run(program, piece.steps)
                good = (control.cursor - piece.cursor) // batch
                bad = control.status
                found = data.fault(piece, bad, good) if bad in BAD_DATA else None
                if bad and not self._after_bad_step(program, on_nonfinite, found):
                    return None
            ran = good + (1 if bad else 0)
            data.advance(ran)
            progress.advance(ran, batch, time.perf_counter() - begun, self.sums)
            for callback in looking:
                callback.on_look(self)
            for callback in watched:
                callback.on_batch_end(self, {"loss": control.loss, "step": control.step})
        return self.sums.result()

    def _after_bad_step(self, program, on_nonfinite: str, found: str | None) -> bool:
        """Whether training goes on after a step that changed nothing."""
        if self.control.status not in BAD_DATA and self.fault is None:
            self.fault = find_fault(program, self.control)
        if self.control.status in BAD_DATA or on_nonfinite == "raise":
            self.history.stopped = "not finite"
            self._refuse(program, found)
        if on_nonfinite == "stop":
            self.history.stopped = "not finite"
            return False
        return True

    @contextmanager
    def _callbacks_around(self, callbacks, batch_size: int):
        """on_train_begin, and on_train_end whatever happens, of a network with the averaged weights."""
        for callback in callbacks:
            callback.on_train_begin(self, {})
        try:
            yield
        except KeyboardInterrupt:
            self.history.stopped = "interrupted"
            raise
        finally:
            try:
                self._show_average(True)
                self._renew_statistics(batch_size)
            finally:
                for callback in callbacks:
                    callback.on_train_end(self, {})
