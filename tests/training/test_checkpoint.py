"""Checkpoints as files: what is refused and how it is said, own classes, callbacks, directories, full disks."""

import errno
import functools
import os
import shutil
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from stopping import StopAfter, Stopped, digest, outcome, stop_and_go_on

import fastnet as fn
from fastnet import files
from fastnet.files import atomic
from fastnet.training import checkpoint_directory, evaluation, progress

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
Y = np.arange(20) % 3
BATCH, STEPS = 4, 5
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


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


# Places


class SaveIn(fn.Callback):
    """Saves from within a call of the third epoch, and ends the training there."""

    def __init__(self, method=None, path=None, epoch=2):
        self.method, self.path, self.epoch = method, path, epoch

    def _save(self, method, trainer):
        place = trainer.running.place
        if method == self.method and place.epoch == self.epoch and (method != "on_batch_end" or place.done == 12):
            trainer.save_checkpoint(self.path)
            raise Stopped

    def on_epoch_begin(self, trainer, logs):
        self._save("on_epoch_begin", trainer)

    def on_epoch_end(self, trainer, logs):
        self._save("on_epoch_end", trainer)

    def on_batch_end(self, trainer, logs):
        self._save("on_batch_end", trainer)

    def on_train_end(self, trainer, logs):
        if self.method == "on_train_end" and self.path is not None:
            trainer.save_checkpoint(self.path)


class Count(fn.Callback):
    """Counts what it is told, in its state."""

    def config(self):
        return {}

    def _count(self, trainer, name, value=1):
        state = trainer.state(self)
        state[name] = state.get(name, 0) + value

    def on_epoch_begin(self, trainer, logs):
        self._count(trainer, "begun")

    def on_epoch_end(self, trainer, logs):
        self._count(trainer, "ended", logs["val_loss"])
        logs["counted"] = trainer.state(self)["ended"]

    def on_batch_end(self, trainer, logs):
        self._count(trainer, "batches")
        self._count(trainer, "losses", logs["loss"] * logs["step"])


@pytest.mark.parametrize("method", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
def test_a_callback_may_save_anywhere_and_those_behind_it_get_their_call(method, path):
    first, second = Count(), Count()
    trainer = make_trainer()
    fit(trainer, callbacks=[first, SaveIn(), second], epochs=4)
    saved = Count(), SaveIn(method, path), Count()
    with pytest.raises(Stopped):
        fit(make_trainer(), callbacks=saved, epochs=4)
    other = fn.Trainer.resume(path, custom_objects={"Count": Count}, callbacks=[SaveIn()])
    callbacks = other.unfinished.callbacks
    assert [type(callback) for callback in callbacks] == [Count, SaveIn, Count]
    fit(other)
    assert outcome(other) == outcome(trainer)
    assert [other.state(callbacks[i]) for i in (0, 2)] == [trainer.state(first), trainer.state(second)]


def test_a_stop_that_was_asked_for_is_remembered(path):
    class Stopping(fn.Callback):
        def on_epoch_begin(self, trainer, logs):
            if trainer.history.epochs == 1:
                trainer.stop("enough")

    stopped(path, callbacks=[Stopping()])
    trainer = fn.Trainer.resume(path, callbacks=[Stopping(), StopAfter()])
    fit(trainer)
    assert trainer.history.stopped == "enough" and trainer.history.epochs == 2


@pytest.mark.parametrize("batches", range(4, 12))
def test_a_stop_between_parts_of_the_validation(batches, path, monkeypatch):
    monkeypatch.setattr(progress, "RUN_SECONDS", 0)
    monkeypatch.setattr(evaluation, "PREDICT_BATCH", 3)
    stages = []

    class StopInside(StopAfter):
        def on_pause(self, trainer):
            stages.append(trainer.running.place.stage)
            if stages.count("evaluation") == self.batches:
                trainer.save_checkpoint(self.path)
                raise Stopped

    with pytest.raises(Stopped):
        fit(make_trainer(average=fn.EMA(0.5)), callbacks=[StopInside(path, batches)])
    trainer = fn.Trainer.resume(path, callbacks=[StopInside()])
    fit(trainer)
    expected = make_trainer(average=fn.EMA(0.5))
    fit(expected)
    assert outcome(trainer) == outcome(expected)


def test_saving_before_anything_has_begun(path, tmp_path):
    class Early(fn.Callback):
        def config(self):
            return {}

        def on_train_begin(self, trainer, logs):
            trainer.save_checkpoint(path)

    callbacks = [Early(), fn.HealthMonitor(), saving(tmp_path / "a", every="1 hour"), fn.EarlyStopping()]
    fit(make_trainer(), callbacks=callbacks)
    trainer = fn.Trainer.resume(path, custom_objects={"Early": Early})
    assert repr(trainer.unfinished) == "<fit of 3 epochs, interrupted before epoch 1>"
    stopped(tmp_path / "b", callbacks=[Early()])
    other = resume(tmp_path / "b", custom_objects={"Early": Early})
    with pytest.raises(Stopped):  # it has saved again, when it went on, what it was to go on from
        other.unfinished.callbacks[1] = StopAfter(tmp_path / "c", 12)
        fit(other)
    trainer = resume(path, custom_objects={"Early": Early})
    assert trainer.batches == 7
    fit(trainer)
    assert outcome(trainer) == whole()


def test_a_finished_fit_is_finished(path):
    """That a script which is run once more does nothing."""
    trainer = make_trainer()
    stopping = fn.EarlyStopping("loss", mode="max")
    with pytest.raises(Stopped):
        fit(trainer, callbacks=[stopping, SaveIn("on_epoch_end", path)])
    other = fn.Trainer.resume(path, callbacks=[SaveIn()])
    fit(other)
    assert digest(other.net) == digest(trainer.net) and other.history.epochs == 3 and other.unfinished is None


def test_between_fits_and_in_loops_of_ones_own(path):
    def steps(trainer, begin, end):
        for step in range(begin, end):
            trainer.train_on_batch(X[step : step + 8], Y[step : step + 8])

    trainer = make_trainer(accumulate=3, average=fn.EMA(0.9))
    fit(trainer)
    steps(trainer, 0, 4)
    trainer.save_checkpoint(path)
    other = fn.Trainer.resume(path)
    assert other.unfinished is None and other.history.epochs == 3 and other.control.batches == 1
    for one in (trainer, other):
        steps(one, 4, 9)
        fit(one, epochs=1)
    assert outcome(other) == outcome(trainer)
    with pytest.raises(ValueError, match="holds no fit that could go on; callbacks of another one are given to fit"):
        fn.Trainer.resume(path, callbacks=[fn.EarlyStopping()])


def test_a_trainer_that_has_not_gone_on_yet_can_be_saved_again(path, tmp_path):
    stopped(path)
    resume(path).save_checkpoint(tmp_path / "again.safetensors")
    trainer = resume(tmp_path / "again.safetensors")
    fit(trainer)
    assert outcome(trainer) == whole()


def test_steps_that_are_not_finite(path):
    def make():
        return fn.Trainer(fn.Network([fn.Dense(1)], input_shape=(1,), seed=0), loss="mse", optimizer=fn.SGD(0.01))

    x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    x[[3, 11, 17]] = 1e30

    def fit(trainer, callbacks=None):
        settings = {} if trainer.unfinished else {"epochs": 2, "batch_size": 2, "on_nonfinite": "continue"}
        trainer.fit(x, x[:, 0], verbose=0, callbacks=callbacks, **settings)

    expected = make()
    fit(expected)
    assert expected.fault is not None and expected.step < 20
    for batches in (4, 7, 10):
        assert outcome(stop_and_go_on(make, fit, list, batches, path)) == outcome(expected)


def test_frozen_layers_and_other_rates(path):
    def make():
        net = make_net()
        net[0].trainable = False
        trainer = fn.Trainer(net, loss=LOSS, optimizer=fn.Adam(0.01))
        trainer.rate_factor = 0.5
        return trainer

    expected = make()
    fit(expected)
    trainer = stop_and_go_on(make, fit, list, 7, path)
    assert not trainer.net[0].trainable and outcome(trainer) == outcome(expected)


# Own classes


class Scale(fn.Layer):
    def __init__(self, start=1.0, *, name=None):
        super().__init__(name=name)
        self.start = start

    def build(self, shape):
        self.factor = self.add_parameter("factor", shape, init=fn.initializers.Constant(self.start))
        return shape

    def forward(self, x, training=False):
        self.x = x
        return x * self.factor.value

    def backward(self, dy):
        self.factor.add_gradient((dy * self.x).sum(axis=0))
        return dy * self.factor.value

    def config(self):
        return {**super().config(), "start": self.start}


class LogCosh(fn.Loss):
    def per_sample(self, y_predicted, y):
        e = y_predicted - y
        return np.log(np.cosh(e)).mean(axis=1), np.tanh(e) / e.shape[1]


class Within(fn.Metric):
    name = "within"

    def __call__(self, y_predicted, y):
        return (abs(y_predicted - y) < 1).all(axis=1)


class InverseRoot(fn.schedules.Schedule):
    def __call__(self, t):
        return 0.05 / (1 + t) ** 0.5


class Rule(fn.RMSprop):
    pass


OWN = {cls.__name__: cls for cls in (Scale, LogCosh, Within, InverseRoot, Rule, Count)}


def test_own_classes_come_from_custom_objects_alone(path):
    targets = np.random.default_rng(1).normal(size=(20, 3))

    def make():
        net = fn.Network([fn.Dense(3), Scale(0.5)], input_shape=(4,), seed=0)
        return fn.Trainer(net, loss=LogCosh(), optimizer=Rule(InverseRoot()), metrics=[Within()])

    def fit(trainer, callbacks=None):
        settings = {} if trainer.unfinished else {"epochs": 3, "batch_size": BATCH}
        trainer.fit(X, targets, validation=(X, targets), callbacks=callbacks, verbose=0, **settings)

    expected = make()
    fit(expected, callbacks=[Count()])
    with pytest.raises(Stopped):
        fit(make(), callbacks=[Count(), StopAfter(path, 7)])
    trainer = resume(path, custom_objects=OWN)
    fit(trainer)
    assert outcome(trainer) == outcome(expected)
    for name in OWN:
        some = {key: value for key, value in OWN.items() if key != name}
        with pytest.raises(ValueError, match=f"uses the class '{name}', which is not known here"):
            resume(path, custom_objects=some)


def test_optimizers_with_layers_in_their_groups(path):
    def make():
        net = make_net()
        group = fn.ParameterGroup(net[1], learning_rate=0.1)
        return fn.Trainer(net, loss=LOSS, optimizer=fn.SGD(0.01, momentum=0.9, groups=[group]))

    expected = make()
    fit(expected)
    trainer = stop_and_go_on(make, fit, list, 7, path)
    assert digest(trainer.net) == digest(expected.net)


# Settings and data that are others


CONFLICTS = [
    ({"epochs": 5}, "epochs is 5, it was 3"),
    ({"batch_size": 8, "shuffle": False}, "batch_size is 8, it was 4; shuffle is False, it was True"),
    ({"drop_last": True}, "drop_last is"),
    ({"on_nonfinite": "stop"}, "on_nonfinite is"),
    ({"class_weight": "balanced"}, "class_weight is 'balanced', it was {0: 2.0}"),
    ({"class_weight": {0: 1.0}}, "class_weight is {0: 1.0}"),
    ({"augment": [fn.augment.Mixup(0.5)]}, "augment is"),
    ({"validation": 0.2}, "validation is 0.2, it was data"),
    ({"validation": None}, "validation is missing, it had one"),
    ({"sample_weight": np.ones(20)}, "sample_weight is data, it was None"),
    ({"callbacks": [fn.EarlyStopping()]}, "are given to Trainer.resume"),
]


@pytest.mark.parametrize(("settings", "text"), CONFLICTS, ids=[" ".join(settings) for settings, _ in CONFLICTS])
def test_settings_that_are_others_are_refused(settings, text, path):
    stopped(path, class_weight={0: 2.0})
    trainer = resume(path)
    before = digest(trainer.net)
    with pytest.raises(ValueError) as caught:
        trainer.fit(X, Y, verbose=0, **{"validation": (X, Y), **settings})
    assert text in str(caught.value)
    assert digest(trainer.net) == before and trainer.unfinished is not None
    fit(trainer, class_weight={0: 2.0})
    expected = make_trainer()
    fit(expected, class_weight={0: 2.0})
    assert outcome(trainer) == outcome(expected)


def test_the_same_settings_may_be_said_again(path):
    settings = {"epochs": 3, "batch_size": 4, "shuffle": True, "drop_last": False, "validation": 0.2, "augment": ()}
    stopped(path, batches=5, validation=0.2)
    trainer = resume(path)
    trainer.fit(X, Y, verbose=0, **settings)
    assert trainer.history.epochs == 3


def changed(array, index):
    array = array.copy()
    array[index] += 1
    return array


OTHER_DATA = [
    ({"x": changed(X, (-1, -1))}, "x has other values"),
    (
        {"x": X[:-1], "y": Y[:-1], "sample_weight": np.ones(19)},
        "x has shape (19, 4), it was (20, 4); y has shape (19,), it was (20,)",
    ),
    ({"x": X.astype("float64")}, "x has dtype float64, it was float32"),
    ({"y": Y[::-1]}, "y has other values"),
    ({"validation": (X[::-1], Y)}, "validation x has other values"),
    ({"validation": (X, Y, np.ones(20))}, "validation sample_weight is new"),
    ({"sample_weight": np.linspace(1, 3, 20)}, "sample_weight has other values"),
]


@pytest.mark.parametrize(("data", "text"), OTHER_DATA, ids=[text for _, text in OTHER_DATA])
def test_other_data_are_noticed(data, text, path):
    weights = np.linspace(1, 2, 20)
    stopped(path, sample_weight=weights)
    trainer = resume(path)
    settings = {"x": X, "y": Y, "validation": (X, Y), "sample_weight": weights, **data}
    with pytest.raises(ValueError) as caught:
        trainer.fit(**settings, verbose=0)
    assert text in str(caught.value) and "those that the training began with" in str(caught.value)
    trainer.unfinished = None
    settings["sample_weight"] = None
    trainer.fit(**settings, epochs=1, verbose=0)
    assert trainer.history.epochs == 2


def test_data_in_other_memory_are_the_same(path, tmp_path):
    stopped(path)
    wide = np.zeros((20, 9), np.float32)
    wide[:, :4] = X
    np.save(tmp_path / "x.npy", X)
    for x in (wide[:, :4], np.load(tmp_path / "x.npy", mmap_mode="r"), np.asfortranarray(X)):
        trainer = resume(path)
        trainer.fit(x, Y.tolist(), validation=(X, Y), verbose=0)
        assert outcome(trainer) == whole()


# Callbacks


def test_callbacks_are_made_anew_or_given(path):
    stopping = fn.EarlyStopping("val_loss", patience=9, min_delta=0.5)
    stopped(path, callbacks=[stopping, fn.ReduceLROnPlateau(patience=4)])
    with pytest.raises(
        ValueError, match=r"had a callback StopAfter, which has no config\(\).*callbacks=\[StopAfter\(...\)\]"
    ):
        fn.Trainer.resume(path)
    trainer = resume(path)
    kinds = [type(callback) for callback in trainer.unfinished.callbacks]
    assert kinds == [fn.EarlyStopping, fn.ReduceLROnPlateau, StopAfter]
    assert trainer.unfinished.callbacks[0].config() == stopping.config()
    own = fn.EarlyStopping("val_loss", patience=9, min_delta=0.5)
    assert resume(path, callbacks=[own]).unfinished.callbacks[0] is own
    with pytest.raises(ValueError, match="EarlyStopping has patience=3, the one of the fit that goes on had 9"):
        resume(path, callbacks=[fn.EarlyStopping("val_loss", patience=3, min_delta=0.5)])


def test_a_new_callback_begins_behind_the_others(path):
    stopped(path, batches=7)
    count = Count()
    trainer = fn.Trainer.resume(path, callbacks=[count, StopAfter()])
    assert [type(callback) for callback in trainer.unfinished.callbacks] == [StopAfter, Count]
    fit(trainer)
    assert trainer.state(count)["begun"] == 1 and trainer.state(count)["batches"] == 8


def test_a_state_that_no_file_can_hold_is_named(path):
    class Open(fn.Callback):
        def on_train_begin(self, trainer, logs):
            trainer.state(self)["log"] = {"file": iter(())}

    trainer = make_trainer()
    with pytest.raises(TypeError, match="fit/callbacks/0/state/log/file is tuple_iterator"):
        fit(trainer, callbacks=[Open(), StopAfter(path, 3)])
    assert not path.exists()


# Files


FIXTURE = Path(__file__).with_name("checkpoint-version-1.safetensors")


def of_fixture():
    """A trainer as the one in the fixture, and its data: numbers that every machine has."""
    x = (np.arange(80, dtype=np.float32).reshape(16, 5) % 7) / 7
    net = fn.Network(
        [fn.Dense(4, activation="tanh"), fn.BatchNorm(), fn.Dropout(0.25), fn.Dense(2)], input_shape=(5,), seed=7
    )
    settings = {"metrics": ["accuracy"], "accumulate": 2, "average": fn.EMA(0.9)}
    return fn.Trainer(net, loss=LOSS, optimizer=fn.Adam(0.05), **settings), x, np.arange(16) % 2


def test_a_checkpoint_of_version_1_is_read():
    """Made by `stop` below: ``stop(FIXTURE)``."""
    trainer = fn.Trainer.resume(FIXTURE, callbacks=[StopAfter()])
    net, place = trainer.net, trainer.unfinished.place
    assert (trainer.batches, trainer.step, trainer.control.batches, net.epochs) == (4, 2, 1, 2)
    assert (place.epoch, place.stage, place.done) == (1, "batches", 4)
    assert list(trainer.history) == ["loss", "accuracy", "val_loss", "val_accuracy"] and trainer.history.epochs == 1
    assert isinstance(trainer.optimizer, fn.Adam) and trainer.update.average.rule.decay == 0.9
    assert {name for _, _, name in trainer.update.states} == {"m", "v", "sum of gradients"}
    assert [type(callback) for callback in trainer.unfinished.callbacks] == [fn.EarlyStopping, StopAfter]
    assert np.isfinite(trainer.history["loss"][0])
    fresh, x, y = of_fixture()
    assert not np.array_equal(net[0].weight.value, fresh.net[0].weight.value)
    assert np.allclose(net[0].weight.value, fresh.net[0].weight.value, atol=0.3)
    trainer.fit(x, y, validation=0.25, verbose=0)
    fresh.fit(x, y, epochs=3, batch_size=4, validation=0.25, callbacks=[fn.EarlyStopping(patience=5)], verbose=0)
    # Instruction sets round differently.
    assert trainer.history.epochs == 3 and np.allclose(trainer.history["loss"], fresh.history["loss"], rtol=1e-4)


def stop(path):
    trainer, x, y = of_fixture()
    with pytest.raises(Stopped):
        trainer.fit(x, y, epochs=3, batch_size=4, validation=0.25, verbose=0,
                    callbacks=[fn.EarlyStopping(patience=5), StopAfter(path, 4)])  # fmt: skip


def test_the_present_version_is_that_of_the_fixture_or_there_is_another_one():
    assert files.read_metadata(FIXTURE)["checkpoint"] == 1 and FIXTURE.stat().st_size < 20_000


def rewritten(path, change):
    tensors, document = files.read_safetensors(path)
    change(tensors, document)
    files.write_safetensors(path, tensors, document)


def test_a_newer_version_is_refused(path):
    stopped(path)
    rewritten(path, lambda tensors, document: document.update(checkpoint=2))
    with pytest.raises(
        ValueError, match=r"is a checkpoint of version 2, written by a newer fastnet; this one reads version 1$"
    ):
        resume(path)


DAMAGES = {
    "a weight": lambda tensors, document: tensors.pop("weights/dense_1.weight"),
    "a shape": lambda tensors, document: tensors.update({"weights/dense_1.bias": np.zeros(3, np.float32)}),
    "a state": lambda tensors, document: tensors.update({"optimizer/0/arrays/dense_1.bias": np.zeros(3, np.float32)}),
    "a number": lambda tensors, document: document.pop("rate_factor"),
    "a kind": lambda tensors, document: document.update(counts=[]),
    "a place": lambda tensors, document: document["fit"]["place"].update(nowhere=1),
    "no version": lambda tensors, document: document.update(checkpoint="one"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_file_lacks_is_one_error(damage, path):
    stopped(path)
    rewritten(path, DAMAGES[damage])
    with pytest.raises(ValueError, match="cannot be read as a checkpoint|names no version") as caught:
        resume(path)
    assert str(caught.value).startswith(str(path))


def test_files_of_another_kind(path, tmp_path):
    make_net().save(path)
    with pytest.raises(ValueError, match="is not a checkpoint: it holds a 'network'; fn.load reads it"):
        fn.Trainer.resume(path)
    stopped(tmp_path / "c")
    with pytest.raises(ValueError, match="holds a 'checkpoint', not a network; fn.Trainer.resume reads it"):
        fn.load(tmp_path / "c")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        fn.Trainer.resume(tmp_path / "nowhere")


def test_damage_anywhere_is_noticed_and_a_header_that_claims_more_than_there_is(path):
    stopped(path)
    content = path.read_bytes()
    for position in np.linspace(8, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
        with pytest.raises(ValueError, match=str(path)):
            resume(path)
    for end in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=str(path)):
            resume(path)
    path.write_bytes((len(content) * 1000).to_bytes(8, "little") + content[8:])
    with pytest.raises(ValueError, match="damaged or cut short"):
        resume(path)


# Directories


def saving(path, **settings):
    return fn.ModelCheckpoint(path, **{"every": 2, **settings})


def numbers(directory):
    return [number for number, _ in checkpoint_directory.numbered(directory)]


@pytest.mark.parametrize(
    ("every", "keep", "expected"),
    [
        (4, 9, [4, 8, 12, 15]),
        (1, 2, [14, 15]),
        ("7 batches", 1, [15]),
        ("epoch", 9, [5, 10, 15]),
        ("2 epochs", 9, [10, 15]),
        ("1 hour", 9, [15]),
        (100, 9, [15]),
    ],
)
def test_when_checkpoints_are_saved_and_how_many_are_kept(every, keep, expected, tmp_path):
    trainer = make_trainer()
    callback = saving(tmp_path / "a" / "b", every=every, keep=keep)
    fit(trainer, callbacks=[callback])
    assert numbers(tmp_path / "a" / "b") == expected and outcome(trainer) == whole()
    fit(trainer, callbacks=[callback], epochs=1)
    assert numbers(tmp_path / "a" / "b")[-1] == 20, "the same training may go on there"


def test_a_checkpoint_in_the_middle_does_not_slow_the_steps(tmp_path, monkeypatch):
    runs = []
    trainer = make_trainer()
    run = trainer.run
    monkeypatch.setattr(trainer, "run", lambda program, steps: (runs.append(steps), run(program, steps)))
    fit(trainer, epochs=1)
    runs.clear()
    x, y = np.tile(X, (30, 1)), np.tile(Y, 30)
    monkeypatch.setattr(progress, "RUN_SECONDS", 1e9)
    trainer.fit(x, y, batch_size=4, callbacks=[saving(tmp_path, every=60, keep=5)], verbose=0)
    assert runs == [1, 59, 60, 30] and numbers(tmp_path) == [65, 125, 155]


def test_times(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Clock(fn.Callback):
        def on_batch_end(self, trainer, logs):
            now[0] += 7

    fit(make_trainer(), callbacks=[saving(tmp_path, every="20 seconds", keep=9), Clock()])
    assert numbers(tmp_path) == [3, 6, 9, 12, 15]


def test_the_plan_of_saving_goes_on(tmp_path, path):
    stopped(path, batches=7, callbacks=[saving(tmp_path / "c", every=3, keep=9)])
    trainer = resume(path)
    fit(trainer)
    assert numbers(tmp_path / "c") == [3, 6, 9, 12, 15] and outcome(trainer) == whole()


def test_a_directory_is_for_one_training(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path)])
    trainer = make_trainer()
    with pytest.raises(
        FileExistsError, match=r"has checkpoints of another training: fn.Trainer.resume\(.*\) goes on with it"
    ):
        fit(trainer, callbacks=[saving(tmp_path)])
    assert trainer.step == 0
    with pytest.raises(FileExistsError):
        fit(trainer, callbacks=[saving(tmp_path, on_save_error="warn")])


def test_the_newest_whole_one_is_found(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path, every=5)])
    (tmp_path / "checkpoint-99.safetensors").write_bytes(b"of somebody else")
    (tmp_path / ".fastnet-0123456789abcdef.tmp").write_bytes(b"of a killed writer")
    five, ten, fifteen = (path for _, path in checkpoint_directory.numbered(tmp_path))
    assert fn.training.newest_checkpoint(tmp_path) == fifteen
    shutil.copyfile(five, tmp_path / "whole")
    Path(fifteen).write_bytes(Path(fifteen).read_bytes()[:-1])
    Path(ten).write_bytes(b"")
    with pytest.warns(RuntimeWarning, match=f"{fifteen} is not .*; {ten} is empty. Taking the one before: {five}"):
        trainer = fn.Trainer.resume(tmp_path)
    assert trainer.resumed_from == five and trainer.batches == 5
    fit(trainer)
    assert outcome(trainer) == whole()
    assert not list(tmp_path.glob(".fastnet*"))
    assert fn.training.newest_checkpoint(tmp_path) == fifteen, "written anew"
    for _, path in checkpoint_directory.numbered(tmp_path):
        Path(path).write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* is whole: .* is empty; .* is empty"):
        fn.Trainer.resume(tmp_path)


def test_nothing_to_go_on_from(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        fn.Trainer.resume(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        fn.training.newest_checkpoint(tmp_path / "nowhere")


def test_an_older_checkpoint_may_be_gone_on_from(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path, every=1, keep=9)])
    trainer = fn.Trainer.resume(checkpoint_directory.path_of(tmp_path, 8))
    fit(trainer)
    assert outcome(trainer) == whole() and numbers(tmp_path) == list(range(7, 16))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"every": 0}, "every must be at least 1"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"every": "often"}, "every must be a number of batches, or a text such as"),
        ({"every": "0 epochs"}, "every must be"),
        ({"every": 2, "keep": 0}, "keep must be at least 1"),
        ({"keep": 2}, "keep is a number of checkpoints: it needs every="),
        ({"every": 2, "monitor": "loss"}, "monitor chooses networks to save"),
        ({"every": 2, "best_only": True}, "best_only chooses networks"),
        ({"every": 2, "mode": "min"}, "mode chooses networks"),
        ({"every": 2, "on_save_error": "ignore"}, "on_save_error 'ignore' is not one of raise, warn"),
    ],
)
def test_settings_of_saving_are_checked(settings, text):
    with pytest.raises((TypeError, ValueError)) as caught:
        fn.ModelCheckpoint("somewhere", **settings)
    assert text in str(caught.value)


def test_an_interruption_saves_first(tmp_path):
    callback = saving(tmp_path, every="1 hour")

    class Signal(fn.Callback):
        def on_batch_end(self, trainer, logs):
            if trainer.batches == 7:
                callback.interrupt(SystemExit(143))

    with pytest.raises(SystemExit):
        fit(make_trainer(), callbacks=[callback, Signal()])
    assert numbers(tmp_path) == [7]
    trainer = fn.Trainer.resume(tmp_path, callbacks=[Signal()])
    fit(trainer)
    assert outcome(trainer) == whole()
    with pytest.raises(ValueError, match="needs a ModelCheckpoint with every="):
        fn.ModelCheckpoint("somewhere").interrupt(SystemExit())


# Files that can't be written


def failing(monkeypatch, function, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, function, fail)


FAILURES = [
    ("fsync", errno.ENOSPC, "the disk is full"),
    ("open", errno.EACCES, "no permission to write there"),
    ("replace", errno.EIO, os.strerror(errno.EIO)),
]


class FailFrom(fn.Callback):
    """Lets writing fail from a batch on."""

    def __init__(self, batch, start):
        self.batch, self.start = batch, start

    def on_batch_end(self, trainer, logs):
        if trainer.batches == self.batch:
            self.start()


@pytest.mark.parametrize(("function", "number", "text"), FAILURES)
def test_a_failing_write_is_one_error_or_a_warning_and_older_files_stay(function, number, text, tmp_path):
    for mode in ("raise", "warn"):
        trainer, directory = make_trainer(), tmp_path / mode
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            start = functools.partial(failing, patch, function, number)
            callbacks = [saving(directory, every=2, keep=1, on_save_error=mode), FailFrom(5, start)]
            if mode == "raise":
                with pytest.raises(OSError, match=f"cannot write .*checkpoint-000000006.*: {text}"):
                    fit(trainer, callbacks=callbacks)
            else:
                fit(trainer, callbacks=callbacks)
                assert outcome(trainer) == whole()
                told = [str(warning.message) for warning in warned if warning.category is RuntimeWarning]
                assert len(told) == 6 and all(text in message and "training goes on" in message for message in told)
        assert sorted(os.listdir(directory)) == ["checkpoint-000000004.safetensors"]
        other = fn.Trainer.resume(directory, callbacks=[FailFrom(0, None)])
        fit(other)
        assert outcome(other) == whole()


def test_networks_that_cannot_be_written(tmp_path):
    callback = fn.ModelCheckpoint(tmp_path / "nowhere" / "net.safetensors", "loss", on_save_error="warn")
    trainer = make_trainer()
    with pytest.warns(RuntimeWarning, match="there is no directory .*nowhere; training goes on"):
        fit(trainer, callbacks=[callback])
    assert outcome(trainer) == whole()
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        fit(make_trainer(), callbacks=[fn.ModelCheckpoint(tmp_path / "nowhere" / "net.safetensors", "loss")])


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="there is a file of that name"):
        fit(make_trainer(), callbacks=[saving(tmp_path / "file")])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 80 KB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mounted = (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", place], capture_output=True).returncode
            == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_gets_full(small_disk):
    trainer = make_trainer()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(trainer, callbacks=[saving(small_disk, every=1, keep=100, on_save_error="warn")])
    told = [str(warning.message) for warning in warned]
    assert told and all("the disk is full; training goes on" in message for message in told)
    assert outcome(trainer) == whole() and not list(small_disk.glob(".fastnet*"))
    kept = checkpoint_directory.numbered(small_disk)
    assert kept and len(kept) + len(told) == 16
    for _, file in kept:
        other = fn.Trainer.resume(file)
        other.unfinished.callbacks = []
        fit(other)
        assert outcome(other) == whole()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="no permission to write there"):
            fit(make_trainer(), callbacks=[saving(tmp_path)])
    finally:
        tmp_path.chmod(0o755)
