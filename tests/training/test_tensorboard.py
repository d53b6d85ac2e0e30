"""What TensorBoard reads of a training."""

import builtins
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnet as fn

pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

X = np.random.default_rng(0).normal(size=(40, 6, 6, 1)).astype("float32")
Y = np.arange(40) % 3


def make_net():
    layers = [
        fn.Conv2D(4, 3, padding="same", activation="relu", name="first: 3x3"),
        fn.Residual([fn.Conv2D(4, 3, padding="same"), fn.BatchNorm()], activation="relu"),
        fn.Flatten(),
        fn.Dense(3, name="head"),
    ]
    return fn.Network(layers, input_shape=(6, 6, 1), seed=0)


def make_trainer(net=None):
    return fn.Trainer(net or make_net(), loss="softmax_cross_entropy", optimizer="sgd", metrics=["accuracy"])


def read(path):
    found = EventAccumulator(str(path), size_guidance={"scalars": 0, "histograms": 0})
    return found.Reload()


def scalars(found, tag):
    return [(event.step, event.value) for event in found.Scalars(tag)]


def float32(values):
    return [(step, float(np.float32(value))) for step, value in enumerate(values, start=1)]


def test_curves(tmp_path):
    optimizer = fn.SGD(fn.schedules.Exponential(1e-2, gamma=0.5, by="epoch"))
    history = make_net().fit(X, Y, epochs=3, loss="softmax_cross_entropy", optimizer=optimizer, metrics=["accuracy"],
                             validation=(X, Y), callbacks=[fn.TensorBoard(tmp_path / "runs")], verbose=0)  # fmt: skip
    train, validation = read(tmp_path / "runs" / "train"), read(tmp_path / "runs" / "validation")
    assert sorted(train.Tags()["scalars"]) == ["epoch_accuracy", "epoch_learning_rate", "epoch_loss"]
    assert sorted(validation.Tags()["scalars"]) == ["epoch_accuracy", "epoch_loss"]
    for name in ("loss", "accuracy"):
        assert scalars(train, f"epoch_{name}") == float32(history[name])
        assert scalars(validation, f"epoch_{name}") == float32(history[f"val_{name}"])
    assert scalars(train, "epoch_learning_rate") == float32([0.01, 0.005, 0.0025])


def test_what_other_callbacks_put_into_the_logs(tmp_path):
    def add(trainer, logs):
        logs.update(huge=1e300, mine=np.float32(0.5), text="x", bad=float("nan"))

    make_trainer().fit(X, Y, callbacks=[fn.LambdaCallback(on_epoch_end=add), fn.TensorBoard(tmp_path)], verbose=0)
    found = read(tmp_path / "train")
    assert scalars(found, "epoch_mine") == [(1, 0.5)] and scalars(found, "epoch_huge") == [(1, np.inf)]
    assert "epoch_text" not in found.Tags()["scalars"] and np.isnan(found.Scalars("epoch_bad")[0].value)


def test_without_validation_there_is_one_run(tmp_path):
    make_trainer().fit(X, Y, callbacks=[fn.TensorBoard(tmp_path, histograms=0, graph=False)], verbose=0)
    assert os.listdir(tmp_path) == ["train"]
    tags = read(tmp_path / "train").Tags()
    assert tags["histograms"] == [] and not tags["graph"] and len(tags["scalars"]) == 3


def test_histograms_of_weights(tmp_path):
    trainer = make_trainer()
    weights = []
    keep = fn.LambdaCallback(on_epoch_end=lambda trainer, logs: weights.append(trainer.net["head"].weight.value.copy()))
    trainer.fit(X, Y, epochs=4, callbacks=[fn.TensorBoard(tmp_path, histograms=2), keep], verbose=0)
    found = read(tmp_path / "train")
    assert sorted(found.Tags()["histograms"]) == sorted(p.name.replace(".", "/") for p in trainer.net.parameters())
    events = found.Histograms("head/weight")
    assert [event.step for event in events] == [2, 4]
    for event, weight in zip(events, weights[1::2], strict=True):
        value = event.histogram_value
        assert (value.min, value.max, value.num) == (weight.min(), weight.max(), weight.size)
        assert value.sum == pytest.approx(weight.sum(dtype=float))
        assert value.sum_squares == pytest.approx((weight.astype(float) ** 2).sum())
        assert sum(value.bucket) == weight.size and value.bucket_limit[-1] == pytest.approx(value.max)
        below = [int((weight <= limit + 1e-7).sum()) for limit in value.bucket_limit]
        assert np.abs(np.cumsum(value.bucket) - below).max() <= 1  # one may lie on an edge


def test_histograms_of_constants_and_of_what_is_not_finite(tmp_path):
    trainer = make_trainer()
    head = trainer.net["head"]

    def change(trainer, logs):
        head.bias.assign(np.full(3, 0.25))
        with head.weight.edit() as w:
            w[:] = 1
            w[:10] = np.nan
            w[10] = np.inf
            w[11] = 2

    callbacks = [fn.LambdaCallback(on_epoch_end=change), fn.TensorBoard(tmp_path)]
    trainer.fit(X, Y, callbacks=callbacks, verbose=0)
    found = read(tmp_path / "train")
    bias, weight = (found.Histograms(f"head/{name}")[0].histogram_value for name in ("bias", "weight"))
    assert (bias.bucket, bias.bucket_limit, bias.min, bias.max) == ([3], [0.25], 0.25, 0.25)
    assert (weight.num, weight.min, weight.max) == (3 * (144 - 11), 1, 2)
    assert weight.bucket[-1] == 3 and weight.bucket[0] == 3 * 132


def test_a_health_monitor_adds_gradients_updates_and_activations(tmp_path):
    monitor = fn.HealthMonitor(every=2)
    make_trainer().fit(X, Y, epochs=3, batch_size=4, callbacks=[fn.TensorBoard(tmp_path), monitor], verbose=0)
    found = read(tmp_path / "train")
    for name, kind in (("head.weight", "gradient"), ("head.weight", "update"), ("head", "activation")):
        events = found.Histograms(f"{name.replace('.', '/')}/{kind}")
        series = monitor.table.series(name, kind)
        # The last look of each epoch.
        epochs = [look.epoch + 1 for look in monitor.table.looks]
        last = [max(i for i, epoch in zip(series.at, epochs, strict=True) if epoch == e) for e in (1, 2, 3)]
        assert [event.step for event in events] == [1, 2, 3]
        for event, look in zip(events, last, strict=True):
            value = event.histogram_value
            assert (value.min, value.max) == (series.values["least"][look], series.values["greatest"][look])
            assert value.num == series.values["size"][look]
            assert value.sum_squares == pytest.approx(series.values["norm"][look] ** 2)
            assert value.bucket == series.histograms[look].tolist()


def test_each_look_is_written_once(tmp_path):
    trainer = make_trainer()
    for monitor in (fn.HealthMonitor(every=1000), fn.HealthMonitor(every=1000)):
        directory = tmp_path / str(trainer.step)
        trainer.fit(X, Y, epochs=5, batch_size=8, callbacks=[fn.TensorBoard(directory), monitor], verbose=0)
        looked = sorted({look.epoch + 1 for look in monitor.table.looks})
        events = read(directory / "train").Histograms("head/weight/gradient")
        assert [event.step for event in events] == looked and len(looked) < 5


def test_looks_of_an_earlier_training_are_not_written_again(tmp_path):
    trainer = make_trainer()
    trainer.fit(X, Y, callbacks=[fn.HealthMonitor(every=1)], verbose=0)
    trainer.fit(X, Y, epochs=2, callbacks=[fn.TensorBoard(tmp_path)], verbose=0)
    assert not any(tag.endswith("gradient") for tag in read(tmp_path / "train").Tags()["histograms"])


def test_the_graph(tmp_path):
    net = make_net()
    make_trainer(net).fit(X, Y, callbacks=[fn.TensorBoard(tmp_path)], verbose=0)
    graph = read(tmp_path / "train").Graph()
    nodes = {node.name: node for node in graph.node}
    first = "first\N{RATIO} 3x3"
    assert list(nodes) == [
        "input", first, "residual_1/conv2d_1", "residual_1/batch_norm_1", "residual_1/add_1", "flatten_1", "head",
    ]  # fmt: skip
    types = ["Placeholder", "Conv2D", "Conv2D", "BatchNorm", "Add", "Flatten", "Dense"]
    assert [node.op for node in graph.node] == types
    assert list(nodes["residual_1/add_1"].input) == ["residual_1/batch_norm_1", first]
    assert all(name in nodes for node in graph.node for name in node.input)

    def shape(name):
        return [dim.size for dim in nodes[name].attr["_output_shapes"].list.shape[0].dim]

    assert shape("input") == [-1, 6, 6, 1] and shape(first) == [-1, 6, 6, 4] and shape("head") == [-1, 3]
    assert nodes["head"].attr["parameters"].s == b"weight (144, 3), bias (3,)"
    assert nodes["flatten_1"].attr["parameters"].s == b"none"
    assert nodes["head"].attr["layer"].s.startswith(b"Dense(units=3")


def test_a_second_fit_goes_on_and_a_new_training_takes_the_place_of_the_old(tmp_path):
    trainer, callback = make_trainer(), fn.TensorBoard(tmp_path)
    for _ in range(2):
        trainer.fit(X, Y, epochs=2, validation=(X, Y), callbacks=[callback], verbose=0)
    for run, name in (("train", "loss"), ("validation", "val_loss")):
        assert scalars(read(tmp_path / run), "epoch_loss") == float32(trainer.history[name])
    other = make_trainer()
    other.fit(X, Y, epochs=1, validation=(X, Y), callbacks=[fn.TensorBoard(tmp_path)], verbose=0)
    for run, name in (("train", "loss"), ("validation", "val_loss")):
        found = read(tmp_path / run)
        assert scalars(found, "epoch_loss") == float32(other.history[name])
    assert [event.step for event in read(tmp_path / "train").Histograms("head/weight")] == [1]


def test_all_finished_epochs_are_in_the_file_at_once(tmp_path):
    """As each epoch ends, and so whatever ends the training."""
    seen = []

    def look(trainer, logs):
        (path,) = (tmp_path / "train").iterdir()
        seen.append(max(event.step for event in EventFileLoader(str(path)).Load()))
        if trainer.history.epochs == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        callbacks = [fn.TensorBoard(tmp_path), fn.LambdaCallback(on_epoch_end=look)]
        make_trainer().fit(X, Y, epochs=5, callbacks=callbacks, verbose=0)
    assert seen == [1, 2, 3]


def test_the_state_is_plain_data_and_replay_does_not_return_for_it(tmp_path, monkeypatch):
    runs, run = [], fn.Trainer.run
    monkeypatch.setattr(fn.Trainer, "run", lambda self, program, steps: runs.append(steps) or run(self, program, steps))
    net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    trainer, callback = fn.Trainer(net, loss="mse", optimizer="sgd"), fn.TensorBoard(tmp_path)
    trainer.fit(np.ones((500, 2)), np.ones(500), batch_size=1, epochs=4, callbacks=[callback], verbose=0)
    assert sum(runs) == 2000 and len(runs) < 100
    json.dumps(trainer.state(callback))


def test_events_go_into_the_directory_alone(tmp_path):
    """The files' paths are kept in checkpoints, which may be a stranger's."""
    callback, trainer = fn.TensorBoard(tmp_path / "logs", graph=False), make_trainer()
    trainer.fit(X, Y, epochs=1, verbose=0, callbacks=[callback])
    trainer.state(callback)["files"]["train"] = str(tmp_path / "logs" / ".." / "secret")
    with pytest.raises(ValueError, match="the events go to .*secret', which is not in the directory"):
        callback.on_epoch_end(trainer, {"loss": 1.0})
    assert not (tmp_path / "secret").exists()


def test_bad_arguments_and_directories(tmp_path):
    (tmp_path / "file").write_text("x")
    trainer = make_trainer()
    with pytest.raises(OSError, match="cannot make the directory .*file.train"):
        trainer.fit(X, Y, callbacks=[fn.TensorBoard(tmp_path / "file")], verbose=0)
    assert trainer.step == 0
    with pytest.raises(TypeError, match="directory must be a path"):
        fn.TensorBoard(None)
    with pytest.raises(ValueError, match="histograms must be at least 0"):
        fn.TensorBoard(tmp_path, histograms=-1)
    with pytest.raises(TypeError, match="graph must be True or False"):
        fn.TensorBoard(tmp_path, graph=None)


def test_without_tensorboard_one_line_says_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] == "tensorboard":
            raise ModuleNotFoundError(f"No module named {name!r}", name="tensorboard")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r'^[^\n]*pip install "fastnet-cpu\[tensorboard\]"$'):
        fn.TensorBoard(tmp_path)


def test_neither_tensorflow_nor_torch_is_imported(tmp_path):
    code = """
import sys, numpy as np, fastnet as fn
net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
net.fit(np.ones((8, 2)), np.ones(8), loss="mse", callbacks=[fn.TensorBoard("runs")], verbose=0)
assert not {"tensorflow", "torch"} & set(sys.modules), sorted(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
