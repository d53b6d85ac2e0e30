"""The training loop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnet import averages, checks, losses, optimizers, schedules
from fastnet.distributed import OneProcess, Ranks
from fastnet.execution import Programs
from fastnet.kernels import random
from fastnet.metrics import get_all as get_all_metrics
from fastnet.native.arena import Block
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace
from fastnet.training import callbacks as callback_module
from fastnet.training import checkpoint
from fastnet.training.faults import BAD_DATA, BAD_GRADIENT, Fault, find_fault
from fastnet.training.fit import Fit
from fastnet.training.fit_settings import FitSettings
from fastnet.training.history import History
from fastnet.training.place import Unfinished
from fastnet.training.single_batches import SingleBatches
from fastnet.training.steps import Feed, Probe, Sums, training_step
from fastnet.training.together import begin_alike
from fastnet.training.update import Clipping, Update

if TYPE_CHECKING:
    from fastnet.network import Network
    from fastnet.parameters import Segment
    from fastnet.training.batches import BatchFeed
    from fastnet.training.callbacks import Callback
    from fastnet.types import (
        ArrayLike,
        Augment,
        Average,
        Batches,
        Callbacks,
        ClassWeight,
        LossLike,
        Metrics,
        OptimizerLike,
        Path,
        Validation,
    )

__all__ = ["Trainer"]

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
    microbatch : int, optional
        Batches are computed in pieces of so many samples, one after the other, and the pieces' gradients added in their order: a
        step needs the memory of a piece. Random draws are keyed by the piece, batch normalization takes the statistics of each
        piece (see `fastnet.distributed.OneProcess`), and running statistics the mean of the pieces'.
    distributed : fastnet.distributed.MPI, optional
        The processes that train together; `batch_size` is then that of all of them. See the page "Training on several machines".

    Attributes
    ----------
    step : int
        Updates done.
    learning_rate : float
        The rate of the next update: of the optimizer's number or schedule, times `rate_factor`.
    rate_factor : float
        Multiplies all rates; 1 at first. `ReduceLROnPlateau` lowers it, and setting it acts at the next step.
    net, loss, optimizer, metrics, history
    batches : int
        Training batches of the network's life.
    fault : Fault or None
        The first step of the last `fit` whose loss or gradients were not finite.
    unfinished : Unfinished or None
        After `resume`: the fit that the next call of `fit` goes on with; with None that begins another one.
    resumed_from : str or None
        The file that `resume` has read.

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

    def __init__(self, net: Network, *, loss: LossLike, optimizer: OptimizerLike, metrics: Metrics = (),
                 clip_norm: float | None = None, clip_parameter_norm: float | None = None,
                 clip_value: float | None = None, accumulate: int = 1, average: Average | None = None,
                 microbatch: int | None = None, distributed: Ranks | None = None) -> None:  # fmt: skip
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
        self.microbatch = None if microbatch is None else checks.whole_number("microbatch", microbatch, least=1)
        self.distributed = _ranks(distributed, self.microbatch)
        self.history = History()
        self.control = ControlBlock()
        self.workspace = Workspace()
        sources = len(self.update.sources)
        self.most_steps = MOST_STEPS
        self.learning_rates = Memory("learning rates", Block(8 * self.most_steps * sources))
        self._rates = self.learning_rates.array(np.float64).reshape(self.most_steps, sources)
        self._constant = [(-1.0, 0)] * sources  # a column's rate, and of how many steps
        self.sums = Sums(self.metrics, net.graph.output_shape)
        self._programs = Programs()
        self._single = SingleBatches()
        self._states: dict[int, tuple[Callback, dict[str, Any]]] = {}
        self._rate_factor = 1.0
        self.fault: Fault | None = None
        self.feed: Feed | BatchFeed | None = None  # what `fit` trains on
        self.stop_reason: str | None = None  # why training is to end after the running epoch
        self.running: Fit | None = None
        self.unfinished: Unfinished | None = None
        self.resumed_from: str | None = None
        self._gradients_of_pieces: dict[Segment, tuple[int, Memory]] = {}
        self.run_id = self.distributed.from_first(os.urandom(8).hex())  # which its checkpoints have
        begin_alike(self)

    @property
    def in_pieces(self) -> bool:
        """Whether a step is recorded in pieces: with a `microbatch`, or several ranks."""
        ranks = self.distributed
        return self.microbatch is not None or ranks.size > 1 or ranks.batch_norm == "synchronized"

    @property
    def step(self) -> int:
        return self.control.step

    @property
    def batches(self) -> int:
        return self.net.executor.control.forward

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
    def rate_factor(self, value: float) -> None:
        self._rate_factor = checks.real_number("rate_factor", value, least=0)

    def state(self, callback: Callback) -> dict[str, Any]:
        """What a callback keeps from call to call."""
        return self._states.setdefault(id(callback), (callback, {}))[1]

    def stop(self, reason: str = "stopped") -> None:
        """End training after the running epoch."""
        self.stop_reason = reason

    # Stopping and going on

    def save_checkpoint(self, path: Path) -> None:
        """Write all of the training to a safetensors file: `resume` goes on with it, to the same bits.

        Weights, the optimizer's state, averages, counts, the history, the place in a running `fit`, what callbacks keep: all but
        the data, of which it holds a fingerprint. Between two steps, and from a callback (see `Callback.on_pause`);
        `ModelCheckpoint` with `every` does it regularly. The file is written at once or not at all.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            The file can't be written; an older one of that name is whole.
        TypeError
            A callback keeps what a file can't hold, or an object has no ``config()``; the error says where.

        Examples
        --------
        >>> import tempfile, numpy as np, fastnet as fn
        >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
        >>> trainer = fn.Trainer(net, loss="mse", optimizer=fn.Adam(1e-2))
        >>> trainer.train_on_batch(np.ones((4, 2)), np.ones(4))["loss"] > 0
        True
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     trainer.save_checkpoint(f"{directory}/one.safetensors")
        ...     other = fn.Trainer.resume(f"{directory}/one.safetensors")
        >>> other.step, bool((other.net.predict(np.ones((1, 2))) == net.predict(np.ones((1, 2)))).all())
        (1, True)
        """
        checkpoint.save(self, path)

    @classmethod
    def resume(cls, path: Path, *, custom_objects: Mapping[str, type] | None = None, callbacks: Callbacks = (),
               distributed: Ranks | None = None) -> Trainer:  # fmt: skip
        """The Trainer of a checkpoint, with its network, in the state that it was saved in.

        If a `fit` was running then, ``trainer.fit(x, y)`` goes on with it: the data are given again, and settings and callbacks are
        as they were.

        Parameters
        ----------
        path : path
            A file, or a directory of `ModelCheckpoint`: then its newest whole one is taken, with a RuntimeWarning that names newer
            ones which are damaged.
        custom_objects : dict, optional
            Classes of the user's layers, losses, metrics, optimizers, schedules and callbacks by name, where ``@fn.register`` has
            not named them.
        callbacks : list of Callback, optional
            What takes the place of the fit's callbacks of the same class and gets their state: needed for those without
            ``config()``. The others are made anew; what is of a class that the fit had not comes behind them and begins.
        distributed : fastnet.distributed.MPI, optional
            As for the Trainer, of as many ranks as there are now; rank 0 reads the file. By default one process goes on.

        Raises
        ------
        ValueError
            The file is damaged, no checkpoint or of a newer version, needs a class that is not known or a callback that is not
            given, or a callback that is given has other settings.
        OSError
            There is no such file, or no checkpoint in the directory.

        Examples
        --------
        >>> import tempfile, numpy as np, fastnet as fn
        >>> x, y = np.ones((8, 2)), np.ones(8)
        >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
        >>> class Stop(fn.Callback):
        ...     def on_epoch_begin(self, trainer, logs):
        ...         if trainer.history.epochs == 2:
        ...             raise KeyboardInterrupt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     saving = fn.ModelCheckpoint(directory, every=1)
        ...     try:
        ...         net.fit(x, y, loss="mse", epochs=5, callbacks=[saving, Stop()], verbose=0)
        ...     except KeyboardInterrupt:
        ...         pass
        ...     trainer = fn.Trainer.resume(directory, callbacks=[Stop()])
        ...     print(trainer.unfinished)
        <fit of 5 epochs, interrupted behind sample 8 in epoch 2>
        """
        return checkpoint.resume(cls, path, custom_objects, callbacks, distributed)

    # One step at a time

    def train_on_batch(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, float]:
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
        return self._single.train(self, x, y, sample_weight)

    def apply_gradients(self) -> None:
        """One update from the gradients that `net.backward` left in the parameters, with clipping.

        Raises
        ------
        FloatingPointError
            A gradient is not finite; nothing has changed.
        RuntimeError
            The Trainer trains with other processes, whose gradients `net.backward` does not have.
        """
        if self.distributed.size > 1:
            raise RuntimeError("apply_gradients updates one process alone: with several ranks use train_on_batch")
        with self.net.lock:
            program = self._programs.get("apply", self._record_apply)
            # The forward count is the network's: its own forward has counted already.
            network = self.net.executor.control
            forward = network.forward
            network.forward -= 1
            try:
                self.run(program, 1)
            finally:
                network.forward = forward
            if self.control.status:
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

    def program(
        self, feed: Feed, batch: int, probes: tuple[Probe, ...] = (), shares: tuple[int, ...] | None = None
    ) -> Program:
        def make() -> Program:
            with self.net.lock.recording:
                return training_step(self, feed, batch, probes, shares)

        return self._programs.get((batch, feed.key(), probes, shares), make)

    def gradients_of_pieces(self, segment: Segment, pieces: int) -> Memory:
        """Memory for the gradients of so many pieces of a batch, which all programs share."""
        most, memory = self._gradients_of_pieces.get(segment, (-1, None))
        if memory is None or most < pieces:
            memory = Memory("gradients of pieces", segment.allocate(f"the gradients of {pieces} pieces", pieces))
            self._gradients_of_pieces[segment] = pieces, memory
        return memory

    def run(self, program: Program, steps: int) -> None:
        """Replay `steps` steps; the network's count of training forwards goes in and comes out."""
        control, network = self.control, self.net.executor.control
        self.fill_rates(steps)
        control.begin(network.forward)
        try:
            program.run(n_steps=steps)
        finally:
            network.forward = control.forward

    def fill_rates(self, steps: int) -> None:
        """Put the rates of the next steps where `step_begin` reads them."""
        for column, source in enumerate(self.update.sources):
            rates = source.learning_rate
            if isinstance(rates, schedules.Schedule):
                # Batches whose gradients are joined are steps of the same update.
                updates = (self.control.batches + np.arange(steps)) // self.update.accumulate
                rates = rates.rates(self.control.step, int(updates[-1]) + 1, self.history.epochs)[updates]
                self._constant[column] = (-1.0, 0)
            else:
                rate, filled = self._constant[column]
                if rates * self._rate_factor == rate and steps <= filled:
                    continue
                self._constant[column] = (rates * self._rate_factor, steps)
            self._rates[:steps, column] = rates * self._rate_factor

    def refuse(self, program: Program, found: str | None = None) -> None:
        """Raise what the step's status says, or what was found in its data; nothing has changed."""
        status = self.control.status
        if status in BAD_DATA:
            before = f" (the {self.step:,} updates before it stay)" if found and self.step else ""
            raise ValueError(f"{found or BAD_DATA[status]}; no weight has changed by this batch{before}")
        error: Any = FloatingPointError(str(self.find_fault(program)))
        error.history = self.history
        raise error

    def find_fault(self, program: Program) -> Fault:
        """What was not finite in the step that has failed, on the first rank that finds it."""
        fault = find_fault(program, self.control)
        place = self.distributed.someone(None if fault.layer is None else (fault.layer, fault.kernel))
        return fault if place is None else replace(fault, layer=place[0], kernel=place[1])

    # Many steps

    def shuffle(self, order: np.ndarray) -> None:
        """Write the order of an epoch's samples, keyed by the seed and the count of epochs of this network's life."""
        net = self.net
        random.permutation(len(order), seed=net.seed, path="shuffle", count=net.epochs, out=order)

    def fit(self, x: ArrayLike | Batches, y: ArrayLike | None = None, *, epochs: int | None = None, batch_size: int | None = None,
            steps_per_epoch: int | None = None, validation: Validation | None = None, sample_weight: ArrayLike | None = None,
            class_weight: ClassWeight | None = None, callbacks: Callbacks | None = None, shuffle: bool | None = None,
            drop_last: bool | None = None, augment: Augment | None = None, prefetch: bool = True,
            on_nonfinite: Literal["raise", "stop", "continue"] | None = None, verbose: int = 1) -> History:  # fmt: skip
        """Train for some epochs; can be called again to train for more.

        `Network.fit` explains the parameters and has the defaults of those that are left out. After `Trainer.resume` the first
        call goes on with the fit that the checkpoint interrupted, to its last epoch: what is left out is as it was, the data are
        given again.

        An iterator that was given with `steps_per_epoch` can be given again: it has lost no batch. To a fit that goes on from a
        checkpoint batches are given from the beginning: those that it has had are taken and left.

        Raises
        ------
        ValueError
            After `Trainer.resume`: an argument is another than it was, or the data have changed; all differences are named.
        """
        given = {
            "epochs": epochs, "batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last,
            "on_nonfinite": on_nonfinite, "class_weight": class_weight, "augment": augment, "validation": validation,
            "sample_weight": sample_weight, "steps_per_epoch": steps_per_epoch,
        }  # fmt: skip
        unfinished = self.unfinished
        callbacks = callback_module.listed(callbacks or ())
        if unfinished is None:
            settings = FitSettings.of(given)
        else:
            settings = unfinished.settings
            settings.confirm(given)
            if callbacks and callbacks != unfinished.callbacks:
                raise ValueError(
                    "callbacks of a fit that goes on are given to Trainer.resume, which restores their state"
                )
            callbacks = unfinished.callbacks
            validation = settings.validation if validation is None else validation
        try:
            with self.distributed.together():
                with self.distributed.agreeing():
                    self.running = Fit(
                        self, settings, x, y, validation, sample_weight, callbacks, verbose, unfinished,
                        checks.flag("prefetch", prefetch),
                    )  # fmt: skip
                self.running.run()
        finally:
            self.running = None
        return self.history


def _ranks(distributed: Ranks | None, microbatch: int | None) -> Ranks:
    if distributed is None:
        return OneProcess()
    if not isinstance(distributed, Ranks):
        raise TypeError(f"distributed must be fn.distributed.MPI() or OneProcess(); got {checks.describe(distributed)}")
    if distributed.reduction == "exact" and distributed.size > 1 and microbatch is None:
        raise ValueError(
            'reduction="exact" adds the gradients of pieces of the batch: say their samples, microbatch=...'
        )
    return distributed
