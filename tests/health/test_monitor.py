"""The monitor: what it measures, when, and that it changes nothing."""

import csv
import io
import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet.health import HealthError, HealthWarning, findings
from fastnet.health.flat_ends import ends_of
from fastnet.health.table import effective_rank, read_histograms

(X, Y), TEST = fn.datasets.digits()


def mlp(activation="relu", seed=0, dtype="float64"):
    layers = [fn.Flatten(), fn.Dense(12, activation=activation), fn.Dense(10, name="head")]
    return fn.Network(layers, input_shape=(8, 8, 1), seed=seed, dtype=dtype)


def cnn():
    return fn.models.resnet20(input_shape=(8, 8, 1), classes=10, seed=0)


def values(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize("options", [{}, {"accumulate": 3, "clip_norm": 1.0, "average": fn.EMA(0.9)}])
def test_a_watched_training_has_the_same_bits(make, options):
    nets, histories = [make(), make()], []
    for net, callbacks in zip(nets, ([], [fn.HealthMonitor(every=2)]), strict=True):
        histories.append(net.fit(X[:200], Y[:200], epochs=2, loss="softmax_cross_entropy", callbacks=callbacks, verbose=0,
                                 **options))  # fmt: skip
    assert values(nets[0]) == values(nets[1])
    assert histories[0]["loss"] == histories[1]["loss"]


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu", fn.activations.ELU(0.3)], ids=str)
def test_figures_are_those_of_the_arrays(activation):
    """One step by hand, and the table's first look at the same step."""
    net, other = mlp(activation), mlp(activation)
    x, y = X[:16], Y[:16]
    monitor = fn.HealthMonitor()
    history = net.fit(x, y, batch_size=16, shuffle=False, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1),
                      callbacks=[monitor], verbose=0)  # fmt: skip
    before = other.state_dict()
    outputs = other.activations(x, ["dense_1", "head"])
    trainer = fn.Trainer(other, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1))
    trainer.train_on_batch(x, y)
    arrays = {("input", "activation"): x}
    arrays |= {(name, "activation"): value for name, value in outputs.items()}
    for p in other.parameters():
        arrays |= {
            (p.name, "weight"): p.value,
            (p.name, "gradient"): p.grad,
            (p.name, "update"): p.value - before[p.name],
        }
    for (name, kind), array in arrays.items():
        got = {column: series[0] for column, series in monitor.table.series(name, kind).values.items()}
        array = np.asarray(array, float)
        expected = {
            "size": array.size, "mean": array.mean(), "std": array.std(), "norm": np.linalg.norm(array), "least": array.min(),
            "greatest": array.max(), "zeros": (array == 0).mean(), "bad": 0,
        }  # fmt: skip
        for column, value in expected.items():
            assert got[column] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, kind, column)
    ratio = np.linalg.norm(arrays["head.weight", "update"]) / np.linalg.norm(arrays["head.weight", "weight"])
    assert monitor.table.last("update_ratio", "head.weight") == pytest.approx(ratio)
    _, low, high = ends_of(fn.activations.get(activation))
    hidden = outputs["dense_1"]
    if activation == "relu":
        assert monitor.table.last("dead", "dense_1") == (hidden == 0).all(axis=0).mean()
    else:
        assert monitor.table.last("saturated", "dense_1") == pytest.approx(((hidden <= low) | (hidden >= high)).mean())
    assert history["loss"][0] == pytest.approx(monitor.table.looks[0].loss)


def test_agreement_of_two_batches():
    net, x, y = mlp(), X[:32], Y[:32]
    monitor = fn.HealthMonitor()
    other = mlp()
    net.fit(x, y, batch_size=16, shuffle=False, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1), callbacks=[monitor],
            verbose=0)  # fmt: skip
    trainer, gradients = fn.Trainer(other, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1)), []
    for part in (slice(0, 16), slice(16, 32)):
        trainer.train_on_batch(x[part], y[part])
        gradients.append(other["head"].weight.grad.ravel().copy())
    g, h = gradients
    expected = (g @ h) / ((g @ g + h @ h) / 2 - g @ h)
    assert monitor.table.last("signal_to_noise", "head.weight") == pytest.approx(max(expected, 0), rel=1e-9)


def test_looks_come_soon_at_first_and_then_at_the_interval():
    monitor = fn.HealthMonitor(every=10)
    mlp().fit(X[:320], Y[:320], batch_size=8, epochs=2, loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    steps = [look.step for look in monitor.table.looks]
    assert steps[:4] == [1, 3, 6, 11]
    assert set(np.diff(steps[4:])) == {11}


def test_looks_and_diagnoses_are_rarer_in_long_runs(monkeypatch):
    monitor, net, told = fn.HealthMonitor(), mlp(), []
    monkeypatch.setattr(monitor, "_tell", lambda trainer, at_end=False: told.append(trainer.history.epochs))
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="sgd")
    trainer.fit(X[:320], Y[:320], batch_size=8, epochs=2, callbacks=[monitor], verbose=0)
    net.executor.control.forward = 50_000_000
    told.clear()
    trainer.fit(X[:320], Y[:320], batch_size=8, epochs=2000, callbacks=[monitor], verbose=0)
    gap = trainer.state(monitor)["gap"]
    assert 32_768 <= gap <= 50_080
    assert np.diff([look.step for look in monitor.table.looks])[-1] >= 16_384
    # After 3 epochs, as many batches have been seen since, and then for powers of two: 80,000 batches are less than a sixteenth.
    assert told == [3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2002]


def test_looks_are_the_same_whatever_the_runs_between():
    class Watch(fn.Callback):
        def on_batch_end(self, trainer, logs): ...

    tables = []
    for extra in ([], [Watch()]):
        monitor = fn.HealthMonitor()
        mlp().fit(X[:600], Y[:600], epochs=2, loss="softmax_cross_entropy", callbacks=[monitor, *extra], verbose=0)
        tables.append(monitor.table.to_csv())
    assert tables[0] == tables[1]


def test_the_table_as_text_and_frame(tmp_path):
    monitor = fn.HealthMonitor()
    mlp().fit(X[:64], Y[:64], loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    monitor.table.save(tmp_path / "health.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "health.csv").read_text())))
    columns = monitor.table.columns()
    assert list(rows[0]) == list(columns)
    assert len(rows) == len(columns["step"])
    assert [float(row["norm"]) for row in rows] == columns["norm"].tolist()
    assert rows[0]["dead"] == ""
    pandas = pytest.importorskip("pandas")
    frame = monitor.table.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["norm"].tolist() == columns["norm"].tolist()


def test_histograms_of_the_table(tmp_path):
    """Row for row those of its columns; frozen layers and networks that change leave gaps."""
    monitor, net = fn.HealthMonitor(), mlp()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam")
    for trainable in (True, False):
        net["dense_1"].trainable = trainable
        trainer.fit(X[:64], Y[:64], callbacks=[monitor], verbose=0)
    table = monitor.table
    table.save_histograms(tmp_path / "health.safetensors")
    columns, counts = table.columns(), table.histograms()
    np.testing.assert_array_equal(read_histograms(tmp_path / "health.safetensors", len(columns["step"])), counts)
    np.testing.assert_array_equal(counts.sum(axis=1), columns["size"] - columns["bad"])
    for name, kind in (("dense_1.weight", "gradient"), ("head.weight", "weight"), ("input", "activation")):
        rows = (columns["name"] == name) & (columns["kind"] == kind)
        np.testing.assert_array_equal(counts[rows], table.series(name, kind).histograms)
    assert fn.health.HealthTable().histograms().shape == (0, 64)
    with pytest.raises(ValueError, match="damaged: it does not hold the histograms of a table of 3 rows"):
        read_histograms(tmp_path / "health.safetensors", 3)


def test_effective_rank():
    rng = np.random.default_rng(0)
    orthogonal, _ = np.linalg.qr(rng.normal(size=(20, 6)))
    assert effective_rank(3 * orthogonal) == pytest.approx(6)
    assert effective_rank(np.outer(np.arange(5), np.arange(7))) == pytest.approx(1, abs=1e-4)
    assert effective_rank(np.zeros((3, 4))) == 0
    assert np.isnan(effective_rank(np.array([[1.0, np.nan]])))
    w = rng.normal(size=(3, 3, 4, 10)).astype("f")
    values = np.linalg.svd(w.reshape(36, 10).astype(float), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(w) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_ranks_gaps_and_figures_by_depth():
    net, monitor = mlp(), fn.HealthMonitor()
    history = net.fit(
        X[:256], Y[:256], epochs=3, loss="softmax_cross_entropy", callbacks=[monitor], validation=TEST, verbose=0
    )
    assert monitor.table.last("effective_rank", "head.weight") == effective_rank(net["head"].weight.value)
    assert np.isnan(monitor.table.last("effective_rank", "head.bias"))
    np.testing.assert_array_equal(monitor.generalization_gap, np.subtract(history["val_loss"], history["loss"]))
    names, figures = monitor.table.by_depth("norm", "gradient")
    assert names == [p.name for p in net.parameters()]
    assert figures.shape == (len(monitor.table), 4) and (figures > 0).all()


def test_what_is_not_in_the_table():
    monitor = fn.HealthMonitor()
    mlp().fit(X[:64], Y[:64], loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    with pytest.raises(ValueError, match="no weight 'haed.weight'; did you mean 'head.weight'"):
        monitor.table.series("haed.weight", "weight")
    with pytest.raises(ValueError, match="column"):
        monitor.table.last("nrom", "head.weight")


def test_a_monitor_goes_on_with_a_second_fit_and_after_layers_are_frozen():
    net, monitor = mlp(), fn.HealthMonitor()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam")
    trainer.fit(X[:128], Y[:128], callbacks=[monitor], verbose=0)
    looks = len(monitor.table)
    net["dense_1"].trainable = False
    trainer.fit(X[:128], Y[:128], callbacks=[monitor], verbose=0)
    assert len(monitor.table) > looks
    assert np.isfinite(monitor.table.series("head.weight", "weight").values["norm"]).all()
    assert len(monitor.table.series("dense_1.weight", "weight").steps) == looks


def test_another_run_begins_its_own_table():
    monitor = fn.HealthMonitor()
    for n in (256, 64):
        history = mlp().fit(X[:n], Y[:n], loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    assert [look.step for look in monitor.table.looks] == [1]
    assert history.health is monitor


def too_fast():
    return {"optimizer": fn.SGD(50.0), "loss": "softmax_cross_entropy", "epochs": 6, "verbose": 0}


def test_fit_with_health():
    net = mlp()
    with pytest.warns(HealthWarning, match="learning-rate-high"):
        history = net.fit(X, Y, health=True, **too_fast())
    assert history.findings[0].code == "learning-rate-high"
    assert history.findings == findings.ordered(history.findings)
    assert history.health.table.looks[0].step == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = mlp().fit(X, Y, health=True, epochs=3, loss="softmax_cross_entropy", verbose=0)
    assert all(finding.severity == "info" for finding in good.findings)
    assert mlp().fit(X[:32], Y[:32], loss="softmax_cross_entropy", verbose=0).findings == []


def test_a_problem_raises_or_stops():
    with pytest.raises(HealthError, match="learning-rate-high") as caught:
        mlp().fit(X, Y, health=fn.HealthMonitor(on_problem="raise"), **too_fast())
    assert caught.value.finding.code == "learning-rate-high"
    history = mlp().fit(X, Y, health=fn.HealthMonitor(on_problem="stop"), **too_fast())
    assert history.epochs < 6
    assert history.stopped == "health: learning-rate-high"


def test_findings_while_training_runs():
    seen = []

    class Look(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            seen.append([finding.code for finding in trainer.history.findings])

    monitor = fn.HealthMonitor(on_problem="stop")
    mlp().fit(X, Y, callbacks=[monitor, Look()], **too_fast())
    assert "learning-rate-high" in seen[-1]


@pytest.mark.filterwarnings("ignore::fastnet.health.HealthWarning")
def test_the_first_layer_and_step_that_are_not_finite():
    net = mlp(dtype="float32")
    monitor = fn.HealthMonitor()
    with net["head"].weight.edit() as w:
        w[0, 0] = np.inf
    with pytest.raises(FloatingPointError) as caught:
        net.fit(X, Y, loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    finding = next(f for f in monitor.findings if f.code == "non-finite")
    assert (finding.layer, finding.step, finding.severity) == ("head", 1, "problem")
    assert caught.value.history.findings == monitor.findings


def test_a_bias_before_a_norm_is_worth_knowing():
    layers = [fn.Flatten(), fn.Dense(16), fn.BatchNorm(), fn.Activation("relu"), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    history = net.fit(X[:256], Y[:256], loss="softmax_cross_entropy", health=True, verbose=0)
    assert [(f.code, f.severity, f.layer) for f in history.findings] == [("bias-before-norm", "info", "dense_1")]


@pytest.mark.parametrize(
    "options, error", [({"every": 0}, ValueError), ({"on_problem": "wran"}, ValueError), ({"samples": 0}, ValueError)]
)
def test_wrong_settings(options, error):
    with pytest.raises(error, match=next(iter(options))):
        fn.HealthMonitor(**options)
    with pytest.raises(TypeError, match="health"):
        mlp().fit(X, Y, loss="softmax_cross_entropy", health="yes", verbose=0)
