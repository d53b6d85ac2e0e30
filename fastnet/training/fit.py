"""The loop over epochs and batches, which can be left and taken up again anywhere between two steps."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.augment import Augmentation
from fastnet.training import callbacks as callback_module
from fastnet.training import fingerprint
from fastnet.training.batches import BatchFeed
from fastnet.training.data import check_mixing, check_ranks, check_second_pass, feeds
from fastnet.training.evaluation import Evaluator
from fastnet.training.faults import BAD_DATA
from fastnet.training.fit_settings import FitSettings
from fastnet.training.joint import Joint
from fastnet.training.place import BATCHES, BEGIN, END, EVALUATION, Place, Unfinished
from fastnet.training.progress import Pace, Progress, bar_of
from fastnet.training.settings import describe
from fastnet.training.together import check_alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastnet.recording import Program
    from fastnet.training.callbacks import Callback
    from fastnet.training.passes import Pass
    from fastnet.training.trainer import Trainer
    from fastnet.types import Array, Figures

__all__ = ["Fit"]


class Fit:
    """One call of `Trainer.fit`, from its checks to its end.

    Parameters
    ----------
    trainer : Trainer
    settings : FitSettings
    x, y, validation, sample_weight
        Of `Trainer.fit`.
    callbacks : list of Callback
    verbose : int
    unfinished : Unfinished, optional
        What it goes on with.
    prefetch : bool
        Whether a thread fetches batches ahead.
    """

    def __init__(self, trainer: Trainer, settings: FitSettings, x: Any, y: Any, validation: Any, sample_weight: Any,
                 callbacks: list[Callback], verbose: int, unfinished: Unfinished | None = None,
                 prefetch: bool = True) -> None:  # fmt: skip
        net = trainer.net
        self.trainer = trainer
        self.callbacks = callbacks
        self.unfinished = unfinished
        self.on_nonfinite = callback_module.nonfinite_rule(callbacks, settings.on_nonfinite)
        self.evaluator = Evaluator(net.executor, trainer.loss, trainer.metrics)
        augmentation = Augmentation(settings.augment, net.input_shape, net.seed)
        self.settings = replace(settings, augment=augmentation.operations)
        check_mixing(augmentation, trainer.loss, net)
        self.feed, self.validation = feeds(
            self.evaluator, x, y, validation, sample_weight, settings.class_weight, epochs=settings.epochs,
            steps_per_epoch=settings.steps_per_epoch, prefetch=prefetch,
        )  # fmt: skip
        self.feed.augmentation = augmentation if augmentation.operations else None
        check_second_pass(self.feed, trainer.update.average, net)
        # Samples of an epoch, and their order, where it is known.
        self.last: int | None = None
        self.order: Array | None = None
        self.ranks = trainer.distributed
        if isinstance(self.feed, BatchFeed):
            self.feed.tells_last = trainer.update.accumulate > 1
        else:
            n, batch = self.feed.samples, settings.batch_size
            if settings.drop_last and n < batch and self.ranks.data == "shared":
                raise ValueError(f"drop_last=True with batch_size={batch} leaves nothing of {n} samples")
            self.last = n - n % batch if settings.drop_last else n
            self.order = np.arange(n, dtype=np.int64)
        check_ranks(self.ranks, self.feed, self.settings, trainer)
        self.joint = Joint(trainer, self.settings, self.order is not None)
        self.place = Place() if unfinished is None else Place(**asdict(unfinished.place))
        self.taking_part = [callback for callback in callbacks if self._takes_part(callback)]
        self.watched = [callback for callback in self.taking_part if callback_module.watches_batches(callback)]
        self.lookers = [callback for callback in self.taking_part if callback_module.looks_inside(callback)]
        self.pausing = [callback for callback in self.taking_part if callback_module.pauses(callback)]
        self.pace = Pace()
        self.bar = bar_of(callbacks, verbose)
        self._begun = 0.0  # of the epoch, or when it was taken up again

    def _meet(self) -> None:
        """What ranks do together before the first step: divide the data, and see that they are those of the checkpoint."""
        self.last = self.joint.divide(self.feed.samples or 0, self.last)
        if self.ranks.data == "shards":
            _ = self.data  # all ranks together, as only one of them asks for it later
        if self.unfinished is not None:
            self._check_data(self.unfinished.data)
            if isinstance(self.feed, BatchFeed):
                self.feed.skip(self.place.epoch)
        bar = self.bar if self.ranks.writes else None
        self.progress = Progress(self.settings.epochs, self.last, bar, self.place.epoch, self.place.done)

    @cached_property
    def data(self) -> dict[str, dict[str, Any]]:
        """Fingerprints of the data."""
        return self.joint.fingerprints(self.feed, self.validation)

    def _takes_part(self, callback: Callback) -> bool:
        return self.ranks.writes or not callback.on_one_rank

    def _check_data(self, before: dict[str, dict[str, Any]]) -> None:
        if self.ranks.data == "shards" and len(before) != len(self.data):
            return  # other ranks' shards, as there were more or fewer of them
        differences = fingerprint.differences(before, self.data)
        if differences:
            raise ValueError(
                "the data are not those that the training began with: " + "; ".join(differences)
                + ". trainer.unfinished = None begins another fit instead"
            )  # fmt: skip

    @property
    def is_ending(self) -> bool:
        """Whether nothing comes after the epoch whose end this is."""
        place, stop = self.place, self.trainer.stop_reason
        return place.stage == END and (stop is not None or place.epoch + 1 >= self.settings.epochs)

    def saved(self) -> Unfinished:
        """What a checkpoint holds of it."""
        trainer = self.trainer
        place = Place(**asdict(self.place))
        if place.stage != BEGIN:
            place.seconds += time.perf_counter() - self._begun
        states = [callback.state_to_save(trainer) for callback in self.callbacks]
        return Unfinished(self.settings, place, self.callbacks, states, self.data, trainer.sums.array.copy(),
                          trainer.control.loss, trainer.stop_reason)  # fmt: skip

    # The loop

    def run(self) -> None:
        """Train to the end."""
        trainer, settings = self.trainer, self.settings
        with self.ranks.agreeing():
            self._meet()
        trainer.feed = self.feed
        trainer.stop_reason = None
        trainer.history.stopped = None
        if self.unfinished is None:
            trainer.fault = None
            trainer.history.settings = describe(
                trainer, self.feed, self.validation, settings.epochs, settings.batch_size
            )
        with self.joint.signals.deferred():
            with self._callbacks_around(), self.progress:
                while self.place.epoch < settings.epochs and self._epoch():
                    pass
            self.joint.take_signals()

    @contextmanager
    def _callbacks_around(self) -> Iterator[None]:
        """on_train_begin, and on_train_end whatever happens, of a network with the averaged weights."""
        trainer = self.trainer
        with self.ranks.agreeing():
            for callback in self.taking_part:
                callback.on_train_begin(trainer, {})
        if self.unfinished is not None:
            self._take_up(self.unfinished)
        try:
            yield
        except KeyboardInterrupt:
            trainer.history.stopped = "interrupted"
            raise
        finally:
            try:
                self._show_average(True)
                self._renew_statistics()
            finally:
                for callback in self.taking_part:
                    callback.on_train_end(trainer, {})

    def _take_up(self, unfinished: Unfinished) -> None:
        trainer = self.trainer
        for callback, state in zip(self.callbacks, unfinished.states, strict=False):
            callback.restore_state(trainer, state)
        trainer.sums.array[:] = unfinished.sums
        trainer.control.loss = unfinished.loss
        trainer.stop_reason = unfinished.stop
        trainer.unfinished = None
        self._begun = time.perf_counter()

    def _epoch(self) -> bool:
        """An epoch, or what is left of it; whether another one may follow."""
        place = self.place
        if place.stage == BEGIN:
            self._begin()
        if place.stage == BATCHES and not self._train():
            return False
        if place.stage == EVALUATION:
            self._evaluate()
        return self._end()

    def _go_to(self, stage: str) -> None:
        self.place.stage, self.place.called = stage, 0

    def _call(self, callbacks: Sequence[Callback], method: str, logs: Figures) -> None:
        """Call the callbacks that have not had this call yet."""
        place = self.place
        while place.called < len(callbacks):
            place.called += 1
            if self._takes_part(callbacks[place.called - 1]):
                getattr(callbacks[place.called - 1], method)(self.trainer, logs)

    def _pause(self) -> None:
        for callback in self.pausing:
            callback.on_pause(self.trainer)

    def _begin(self) -> None:
        trainer, place = self.trainer, self.place
        self._begun = time.perf_counter()
        self._show_average(False)
        with self.ranks.agreeing():
            self._call(self.callbacks, "on_epoch_begin", {})
        place.rate = trainer.learning_rate
        place.done, place.seconds = 0, 0.0
        if self.settings.shuffle and self.order is not None:
            trainer.net.epochs += 1
        trainer.sums.clear()
        self._go_to(BATCHES)

    def _train(self) -> bool:
        """The epoch's batches, or those that are left; False if it was ended by a step that is not finite."""
        trainer, place = self.trainer, self.place
        if self.settings.shuffle and self.order is not None:
            trainer.shuffle(self.order)
        with closing(self.joint.begin(self.feed, self.order, self.last, place.done)) as data:
            if place.called:
                self._tell_of_batch()
            while batch := self.joint.upcoming(data):
                try:
                    looking = self._steps(data, batch)
                except MemoryError:
                    if not place.done and self.settings.shuffle and self.order is not None:
                        trainer.net.epochs -= 1  # it has not begun
                    raise
                if looking is None:
                    return False
                for callback in looking:
                    callback.on_look(trainer)
                if self.watched:
                    self._tell_of_batch()
                self._pause()
        # Of batches they are known now.
        trainer.history.settings["samples"] = self.feed.samples if self.ranks.size == 1 else place.done
        place.figures = trainer.sums.result()
        self._take_average()
        self._go_to(EVALUATION)
        return True

    def _tell_of_batch(self) -> None:
        control = self.trainer.control
        self._call(self.watched, "on_batch_end", {"loss": control.loss, "step": control.step})
        self.place.called = 0

    def _steps(self, data: Pass, batch: int) -> list[Callback] | None:
        """Some steps in one run; the callbacks that have looked at them, or None if training ends here."""
        trainer, place, control = self.trainer, self.place, self.trainer.control
        run = min(self.pace.steps_of(batch), trainer.most_steps)
        looking: list[Callback] = []
        if self.lookers or self.pausing:
            run, looking = self._before_callbacks(run)
        piece = data.piece(1 if self.watched or looking else run)
        sizes, whole = None, batch
        if trainer.in_pieces:
            sizes, piece = self.joint.agree(piece, place.done)
            whole = sum(sizes)
        probes: tuple[Any, ...] = tuple([callback.probe_for(trainer) for callback in looking])
        program = trainer.program(piece.feed, batch, probes, sizes)
        piece.feed.bind(program, piece.order)
        with trainer.net.lock, self.joint.metrics_of_all(trainer.sums):
            control.cursor, control.samples = piece.cursor, piece.end
            begun = time.perf_counter()
            trainer.run(program, piece.steps)
        good = (control.cursor - piece.cursor) // batch
        bad = control.status
        if bad:
            with trainer.net.lock:
                found = self.joint.first_fault(data.fault(piece, bad, good)) if bad in BAD_DATA else None
                if not self._after_bad_step(program, found):
                    return None
        ran = good + (1 if bad else 0)
        data.advance(ran)
        place.done += ran * whole
        self.pace.timed(batch, ran, time.perf_counter() - begun)
        self.progress.advance(ran, whole, trainer.sums)
        return looking

    def _before_callbacks(self, most: int) -> tuple[int, list[Callback]]:
        """How many of the next steps may run before a callback looks or pauses, and which ones look at the next step."""
        trainer = self.trainer
        until: dict[Callback, Any] = {callback: callback.batches_until_look(trainer) for callback in self.lookers}
        pauses = [callback.batches_until_pause(trainer) for callback in self.pausing]
        steps = min([most, *until.values(), *(n for n in pauses if n is not None)])
        return steps, [callback for callback, batches in until.items() if batches == 0]

    def _after_bad_step(self, program: Program, found: str | None) -> bool:
        """Whether training goes on after a step that changed nothing."""
        trainer = self.trainer
        status, on_nonfinite = trainer.control.status, self.on_nonfinite
        if status not in BAD_DATA and trainer.fault is None:
            trainer.fault = trainer.find_fault(program)
        if status in BAD_DATA or on_nonfinite == "raise":
            trainer.history.stopped = "not finite"
            trainer.refuse(program, found)
        if on_nonfinite == "stop":
            trainer.history.stopped = "not finite"
            return False
        return True

    def _evaluate(self) -> None:
        """The figures of validation, and the epoch's place in the history."""
        trainer, place = self.trainer, self.place
        if self.validation is not None or self.callbacks:
            self._renew_statistics()
        if self.validation is not None:
            ranks = self.ranks if trainer.in_pieces else None
            found = self.evaluator.run(self.validation, pause=self._pause if self.pausing else None, ranks=ranks)
            place.figures |= {f"val_{name}": value for name, value in found.items()}
        seconds = place.seconds + time.perf_counter() - self._begun
        trainer.history.append(place.figures, learning_rate=place.rate, seconds=seconds)
        self.progress.end_epoch(place.figures)
        self._go_to(END)

    def _end(self) -> bool:
        trainer, place = self.trainer, self.place
        with self.ranks.agreeing():
            self._call(self.callbacks, "on_epoch_end", place.figures)
            self._pause()
        trainer.stop_reason = self.ranks.someone(trainer.stop_reason)
        check_alike(self.ranks, trainer.net)
        place.epoch += 1
        self._go_to(BEGIN)
        if trainer.stop_reason:
            trainer.history.stopped = trainer.stop_reason
            return False
        return True

    # The averaged weights

    def _show_average(self, shown: bool) -> None:
        """Give the network the averaged weights, if there are any, or its own."""
        average, net = self.trainer.update.average, self.trainer.net
        if average is not None:
            with net.lock:
                average.exchange(shown)

    def _take_average(self) -> None:
        """At the end of an epoch: let its weights take part, if they do, and give the network the average."""
        average = self.trainer.update.average
        if average is not None and average.rule.by_epoch and average.rule.is_due(self.place.epoch + 1):
            average.take(self.trainer.net.dtype)
        self._show_average(True)

    def _renew_statistics(self) -> None:
        """Give batch normalization the statistics of the averaged weights, where they are shown and their rule wants it."""
        average, net = self.trainer.update.average, self.trainer.net
        if average is not None:
            with net.lock:
                average.renew_statistics(net, self.feed, self.settings.batch_size)
