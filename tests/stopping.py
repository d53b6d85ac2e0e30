"""Trainings that are stopped behind a batch with a checkpoint, and gone on with; and all that must be the same then."""

import functools

import numpy as np
import pytest
from small_models import digest

import fastnet as fn
from fastnet.training import checkpoint_directory


class Stopped(Exception):  # noqa: N818
    pass


class StopAfter(fn.Callback):
    """Saves a checkpoint after some batches, at the first place (of a stage) where nothing is half done, and ends the training."""

    def __init__(self, path=None, batches=None, stage=None):
        self.path, self.batches, self.stage = path, batches, stage

    def batches_until_pause(self, trainer):
        return None if self.batches is None else max(1, self.batches - trainer.batches)

    def on_pause(self, trainer):
        reached = self.batches is not None and trainer.batches >= self.batches
        if reached and self.stage in (None, trainer.running.place.stage):
            trainer.save_checkpoint(self.path)
            raise Stopped


def outcome(trainer):
    """What a training has come to: weights, the optimizer's state and the average, counts, history."""
    update, control, history = trainer.update, trainer.control, trainer.history
    names = [p.segment for p in trainer.net.graph.parameters.values()]
    states = {
        f"{names.index(segment)} {type(rule).__name__} {name}": bytes(memory.block)
        for (segment, rule, name), memory in update.states.items()
    }
    average = None
    if update.average is not None:
        average = [bytes(memory.block) for memory in (*update.average.arrays, *update.average.counts)]
        average += [value.tobytes() for value in update.average.statistics.values()]
    counts = control.step, trainer.batches, control.batches, control.gathered, trainer.net.epochs, trainer.rate_factor
    figures = {name: np.array(values).tobytes() for name, values in history.items()}
    return {
        "weights": digest(trainer.net),
        "optimizer": states,
        "average": average,
        "counts": counts,
        "history": figures,
        "rates": history.learning_rates,
        "epochs": history.epochs,
        "stopped": history.stopped,
        "settings": history.settings,
        "fault": trainer.fault,
    }


def stop_and_go_on(make_trainer, fit, callbacks, batches, path, threads=3, stage=None):
    """The trainer that has gone on, from a stop after some batches; `fit` is called with a trainer and settings."""
    stop = StopAfter(path, batches, stage)
    try:
        fit(make_trainer(), callbacks=[*callbacks(), stop])
        raise AssertionError("the training should have been stopped")
    except Stopped:
        pass
    trainer = fn.Trainer.resume(path, callbacks=[StopAfter()])
    with fn.threads(threads):
        fit(trainer)
    return trainer


# A small training, of 5 batches in each of 3 epochs

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
Y = np.arange(20) % 3
BATCH = 4
LOSS = "softmax_cross_entropy"


def make_net(**settings):
    return fn.Network([fn.Dense(6, activation="relu"), fn.Dense(3)], input_shape=(4,), seed=0, **settings)


def make_trainer(**settings):
    return fn.Trainer(make_net(), loss=LOSS, optimizer=fn.Adam(0.01), metrics=["accuracy"], **settings)


def fit(trainer, callbacks=None, epochs=3, **settings):
    settings = {"validation": (X, Y), **settings}
    if trainer.unfinished is None:
        settings |= {"epochs": epochs, "batch_size": BATCH}
    trainer.fit(X, Y, callbacks=callbacks, verbose=0, **settings)


def stopped(path, batches=7, callbacks=(), make=make_trainer, **settings):
    """A checkpoint of a training that was stopped after some batches."""
    with pytest.raises(Stopped):
        fit(make(), callbacks=[*callbacks, StopAfter(path, batches)], **settings)
    return path


@functools.cache
def whole():
    trainer = make_trainer()
    fit(trainer)
    return outcome(trainer)


def resume(path, **settings):
    return fn.Trainer.resume(path, callbacks=[StopAfter(), *settings.pop("callbacks", [])], **settings)


def saving(path, **settings):
    return fn.ModelCheckpoint(path, **{"every": 2, **settings})


def numbers(directory):
    return [number for number, _ in checkpoint_directory.numbered(directory)]
