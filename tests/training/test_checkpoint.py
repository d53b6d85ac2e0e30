"""Checkpoints of a training: where it may be saved, own classes, callbacks, settings and data that are others."""

import numpy as np
import pytest
from stopping import (
    BATCH,
    LOSS,
    StopAfter,
    Stopped,
    X,
    Y,
    digest,
    fit,
    make_net,
    make_trainer,
    outcome,
    resume,
    saving,
    stop_and_go_on,
    stopped,
    whole,
)

import fastnet as fn
from fastnet.training import evaluation, progress


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
