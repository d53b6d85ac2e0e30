import numpy as np
import pytest

import fastnet as fn

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
Y = X @ np.arange(4, dtype="float32") + 1


def make_net():
    return fn.Network([fn.Dense(1)], input_shape=(4,), seed=0)


class Spy(fn.Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, trainer, logs):
        self.calls.append("train begin")

    def on_train_end(self, trainer, logs):
        self.calls.append("train end")

    def on_epoch_begin(self, trainer, logs):
        self.calls.append("epoch begin")

    def on_epoch_end(self, trainer, logs):
        self.calls.append(f"epoch end {sorted(logs)}")


def test_callbacks_are_called_in_order_and_the_end_whatever_happens():
    spy = Spy()
    make_net().fit(X, Y, loss="mse", epochs=2, callbacks=[spy], validation=(X, Y), verbose=0)
    epoch = ["epoch begin", "epoch end ['loss', 'val_loss']"]
    assert spy.calls == ["train begin", *epoch, *epoch, "train end"]

    class Fail(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            raise RuntimeError("mine")

    spy = Spy()
    with pytest.raises(RuntimeError, match="mine"):
        make_net().fit(X, Y, loss="mse", epochs=2, callbacks=[spy, Fail()], verbose=0)
    assert spy.calls[-1] == "train end"


class Worsen(fn.Callback):
    """Makes the network worse from an epoch on."""

    def __init__(self, epoch, end=None):
        self.epoch, self.end = epoch, end

    def on_epoch_begin(self, trainer, logs):
        if trainer.history.epochs >= self.epoch:
            with trainer.net[0].weight.edit() as w:
                w += 10
        if self.end is not None and trainer.history.epochs >= self.end:
            raise KeyboardInterrupt


def test_early_stopping_restores_the_best_weights():
    net = make_net()
    stopping = fn.EarlyStopping("val_loss", patience=2)
    history = net.fit(X, Y, loss="mse", optimizer=fn.SGD(0.05), epochs=50, validation=(X, Y),
                      callbacks=[Worsen(5), stopping], verbose=0)  # fmt: skip
    assert history.stopped == "early stopping" and history.epochs == 7
    assert np.isclose(net.evaluate(X, Y)["loss"], min(history["val_loss"]))


def test_early_stopping_restores_whatever_ended_the_training():
    net = make_net()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.05))
    stopping = fn.EarlyStopping("loss", patience=50)
    trainer.fit(X, Y, epochs=8, callbacks=[Worsen(5), stopping], verbose=0)
    best = min(trainer.history["loss"])
    assert trainer.history["loss"].index(best) == 4 and trainer.state(stopping)["best"] == best
    net = make_net()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.05))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            X, Y, epochs=50, validation=(X, Y), callbacks=[Worsen(5, end=8), fn.EarlyStopping(patience=50)], verbose=0
        )
    assert np.isclose(net.evaluate(X, Y, loss="mse")["loss"], min(trainer.history["val_loss"]))


def test_early_stopping_needs_a_known_figure():
    with pytest.raises(ValueError, match="monitor 'val_loss' is not among the figures loss.*validation"):
        make_net().fit(X, Y, loss="mse", callbacks=[fn.EarlyStopping()], verbose=0)


def test_checkpoints(tmp_path):
    best = fn.ModelCheckpoint(tmp_path / "best.safetensors", "loss")
    every = fn.ModelCheckpoint(tmp_path / "{epoch:02}.safetensors", best_only=False)
    net = make_net()
    history = net.fit(X, Y, loss="mse", optimizer=fn.SGD(0.05), epochs=6, shuffle=False, batch_size=30,
                      callbacks=[Worsen(4), best, every], verbose=0)  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *(f"{i:02}.safetensors" for i in range(1, 7)),
        "best.safetensors",
    ]
    kept = fn.load(tmp_path / "best.safetensors")
    at_best = fn.load(tmp_path / f"{1 + int(np.argmin(history['loss'])):02}.safetensors")
    assert np.array_equal(kept.predict(X), at_best.predict(X))
    with pytest.raises(ValueError, match="cannot be filled"):
        net.fit(X, Y, callbacks=[fn.ModelCheckpoint("{nothing}", best_only=False)], verbose=0)


def test_history_is_a_mapping_and_a_table(tmp_path):
    history = make_net().fit(X, Y, loss="mse", epochs=3, metrics=["mae"], verbose=0)
    assert list(history) == ["loss", "mae"] and len(history["mae"]) == 3 and dict(history).keys() == {"loss", "mae"}
    history.save(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,mae" and len(lines) == 4
    assert float(lines[3].split(",")[1]) == history["loss"][2]


def test_no_epochs():
    history = make_net().fit(X, Y, loss="mse", epochs=0, verbose=0)
    assert history.epochs == 0 and list(history) == []


class Report(fn.Callback):
    """Puts given values among an epoch's figures, and keeps the learning rate of each epoch."""

    def __init__(self, values):
        self.values, self.rates = values, []

    def on_epoch_begin(self, trainer, logs):
        self.rates.append(trainer.learning_rate)

    def on_epoch_end(self, trainer, logs):
        logs["given"] = self.values[trainer.history.epochs - 1]


def plateau_rates(values, learning_rate, **options):
    report = Report(values)
    trainer = fn.Trainer(make_net(), loss="mse", optimizer=fn.SGD(learning_rate))
    callbacks = [report, fn.ReduceLROnPlateau("given", **options)]
    trainer.fit(X[:4], Y[:4], epochs=len(values), callbacks=callbacks, verbose=0)
    return [*report.rates, trainer.learning_rate]


PLATEAUS = [
    {"factor": 0.5, "patience": 0},
    {"factor": 0.5, "patience": 2, "threshold": 0.05},
    {"factor": 0.7, "patience": 1, "threshold": 0.1, "threshold_mode": "absolute"},
    {"factor": 0.5, "patience": 1, "cooldown": 3},
    {"factor": 0.0, "patience": 3, "min_rate": 1e-5},
    {"factor": 0.3, "patience": 1, "min_rate": 2e-4},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=repr)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateaus_agree_with_torch(options, mode):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    names = {"min_rate": "min_lr"}
    theirs = {names.get(key, key): value for key, value in options.items()}
    theirs["threshold_mode"] = {"relative": "rel", "absolute": "abs"}[options.get("threshold_mode", "relative")]
    reductions = 0
    for seed in range(5):
        values = np.abs(np.cumsum(np.random.default_rng(seed).normal(size=50)) + 1)
        values[seed] = np.nan
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, eps=0, **theirs)
        rates = [0.01]
        for value in values:
            scheduler.step(value)
            rates.append(optimizer.param_groups[0]["lr"])
        found = plateau_rates(values.tolist(), 0.01, mode=mode, **options)
        # Two roundings for each reduction.
        np.testing.assert_allclose(found, rates, rtol=2 * len(rates) * np.finfo(np.float64).eps)
        reductions += len(set(rates)) - 1
    assert reductions >= 5


def test_a_plateau_multiplies_a_schedule():
    """A warm-up by epochs goes on at the lower rate; the figures say by themselves what is better."""
    schedule = fn.schedules.Warmup(0.04, 4, by="epoch")
    rates = plateau_rates([1.0, 2.0, 2.0, 2.0, 0.5, 0.4], schedule, factor=0.5, patience=1)
    assert rates == [0.0, 0.01, 0.02, 0.015, 0.02, 0.02, 0.02]


def test_a_plateau_starts_anew_in_each_fit_but_the_factor_stays():
    trainer = fn.Trainer(make_net(), loss="mse", optimizer="sgd")
    callbacks = [Report([1.0] * 10), fn.ReduceLROnPlateau("given", factor=0.5, patience=1)]
    for epochs, factor in ((2, 1.0), (2, 1.0), (3, 0.5), (3, 0.25)):
        trainer.fit(X, Y, epochs=epochs, callbacks=callbacks, verbose=0)
        assert trainer.rate_factor == factor


def test_the_least_rate_is_not_raised():
    assert plateau_rates([1.0] * 4, 1e-3, patience=0, min_rate=1e-2) == [1e-3] * 5


@pytest.mark.parametrize("options, text", [
    ({"factor": 1.0}, "factor must be .*below 1; got 1"),
    ({"factor": -0.1}, "factor must be at least 0"),
    ({"patience": 1.5}, "patience must be a whole number"),
    ({"threshold": -1}, "threshold must be at least 0"),
    ({"threshold_mode": "rel"}, "threshold_mode 'rel' is not one of relative, absolute; did you mean 'relative'"),
    ({"cooldown": -1}, "cooldown must be at least 0"),
    ({"min_rate": -1}, "min_rate must be at least 0"),
    ({"mode": "less"}, "mode 'less' is not one of"),
])  # fmt: skip
def test_impossible_plateaus(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        fn.ReduceLROnPlateau(**options)


# Callbacks made of functions


def test_functions_are_called_as_the_methods_of_their_names():
    calls = []

    def noted(name):
        return lambda trainer, logs: calls.append((name, trainer.history.epochs, sorted(logs)))

    names = ["on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_batch_end"]
    callback = fn.LambdaCallback(**{name: noted(name) for name in names})
    make_net().fit(X, Y, loss="mse", batch_size=15, callbacks=[callback], verbose=0)
    batch = ("on_batch_end", 0, ["loss", "step"])
    assert calls == [
        ("on_train_begin", 0, []), ("on_epoch_begin", 0, []), batch, batch, ("on_epoch_end", 1, ["loss"]),
        ("on_train_end", 1, []),
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"on_epoch_end must be a function of \(trainer, logs\); got str 'x'"):
        fn.LambdaCallback(on_epoch_end="x")


def runs_of(monkeypatch, callbacks):
    """How often 2,000 small steps return to Python."""
    runs = []
    run = fn.Trainer.run
    monkeypatch.setattr(fn.Trainer, "run", lambda self, program, steps: runs.append(steps) or run(self, program, steps))
    make_net().fit(X[:20], Y[:20], loss="mse", batch_size=1, epochs=100, callbacks=callbacks, verbose=0)
    assert sum(runs) == 2000
    return len(runs)


def test_only_callbacks_with_on_batch_end_make_replay_return(monkeypatch, tmp_path):
    def nothing(trainer, logs): ...

    callbacks = [
        fn.CSVLogger(tmp_path / "log.csv"), fn.JSONLogger(tmp_path / "log.jsonl"), fn.LearningRateLogger(), fn.ProgressBar(),
        fn.TerminateOnNaN(), fn.LambdaCallback(on_epoch_end=nothing, on_epoch_begin=nothing),
    ]  # fmt: skip
    assert runs_of(monkeypatch, callbacks) < 300  # each epoch, and once or twice until steps have been timed
    assert runs_of(monkeypatch, [fn.LambdaCallback(on_batch_end=nothing)]) == 2000


# Losses that are not finite

HUGE = np.full((8, 4), 1e20, "float32")


def test_terminate_on_nan_ends_without_an_error():
    trainer = fn.Trainer(make_net(), loss="mse", optimizer="sgd")
    with pytest.raises(FloatingPointError):
        trainer.fit(HUGE, Y[:8], verbose=0)
    before = trainer.net.state_dict()
    history = trainer.fit(HUGE, Y[:8], epochs=3, callbacks=[fn.TerminateOnNaN()], verbose=0)
    assert history.stopped == "not finite" and history.epochs == 0 and trainer.fault.what == "the loss"
    assert all(np.array_equal(value, before[name]) for name, value in trainer.net.state_dict().items())


def test_terminate_on_nan_leaves_steps_that_are_to_be_skipped():
    x, y = np.concatenate([HUGE, X[:8]]), Y[:16]
    history = make_net().fit(x, y, loss="mse", optimizer="sgd", epochs=3, batch_size=8, shuffle=False,
                             on_nonfinite="continue", callbacks=[fn.TerminateOnNaN()], verbose=0)  # fmt: skip
    assert history.epochs == 3 and history.stopped is None and np.isfinite(history["loss"]).all()
    # No good step in the epoch: its loss is not a number.
    history = make_net().fit(HUGE, Y[:8], loss="mse", optimizer="sgd", epochs=3, on_nonfinite="continue",
                             callbacks=[fn.TerminateOnNaN()], verbose=0)  # fmt: skip
    assert history.epochs == 1 and history.stopped == "not finite"


def test_terminate_on_nan_looks_at_the_validation():
    for callbacks, epochs in (([], 3), ([fn.TerminateOnNaN()], 1)):
        history = make_net().fit(X, Y, loss="mse", optimizer="sgd", epochs=3, validation=(HUGE, Y[:8]),
                                 callbacks=callbacks, verbose=0)  # fmt: skip
        assert history.epochs == epochs and not np.isfinite(history["val_loss"]).any()
    assert history.stopped == "not finite"
