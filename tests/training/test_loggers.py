"""What the loggers write, read back; and what becomes of their files."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnet as fn

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
Y = X @ np.arange(4, dtype="float32") + 1
LOGGERS = [fn.CSVLogger, fn.JSONLogger]


def make_trainer(optimizer="sgd", **options):
    return fn.Trainer(fn.Network([fn.Dense(1)], input_shape=(4,), seed=0), loss="mse", optimizer=optimizer, **options)


def read(path):
    """The records of a logger's file, numbers as such; what a CSV file leaves empty is missing."""
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    if text.startswith("{"):

        def refuse(name):
            raise AssertionError(f"{name} is no JSON")

        return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    table = list(csv.reader(text.splitlines()))
    assert all(len(row) == len(table[0]) for row in table)
    return [
        {name: float(cell) for name, cell in zip(table[0], row, strict=True) if cell != ""} for row in table[1:]
    ]  # fmt: skip


@pytest.mark.parametrize("logger", LOGGERS)
def test_each_epoch_is_a_record_of_the_history(logger, tmp_path):
    trainer = make_trainer(fn.SGD(fn.schedules.Exponential(1e-2, gamma=0.5, by="epoch")), metrics=["mae"])
    log = logger(tmp_path / "log")
    history = trainer.fit(X, Y, epochs=3, validation=(X, Y), callbacks=[log], verbose=0)
    records = read(tmp_path / "log")
    names = ["epoch", "loss", "mae", "val_loss", "val_mae", "learning_rate", "seconds"]
    assert [list(record) for record in records] == [names] * 3
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for name in history:
        assert [record[name] for record in records] == history[name]
    assert [record["learning_rate"] for record in records] == history.learning_rates == [0.01, 0.005, 0.0025]
    assert [record["seconds"] for record in records] == history.seconds


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_second_fit_of_the_trainer_goes_on_and_another_one_starts_anew(logger, tmp_path):
    trainer, log = make_trainer(), logger(tmp_path / "log")
    trainer.fit(X, Y, epochs=2, callbacks=[log], verbose=0)
    trainer.fit(X, Y, epochs=2, callbacks=[log], verbose=0)
    records = read(tmp_path / "log")
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["loss"] for record in records] == trainer.history["loss"]
    make_trainer().fit(X, Y, epochs=1, callbacks=[log], verbose=0)
    assert [record["epoch"] for record in read(tmp_path / "log")] == [1]


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_logger_that_comes_later_has_the_epochs_before_it(logger, tmp_path):
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2, verbose=0)
    trainer.fit(X, Y, epochs=1, validation=(X, Y), callbacks=[logger(tmp_path / "log")], verbose=0)
    records = read(tmp_path / "log")
    assert [record["loss"] for record in records] == trainer.history["loss"]
    assert "val_loss" not in records[0] and records[2]["val_loss"] == trainer.history["val_loss"][2]


@pytest.mark.parametrize("logger", LOGGERS)
def test_append_keeps_what_is_there(logger, tmp_path):
    for epochs in (2, 1):
        make_trainer().fit(X, Y, epochs=epochs, callbacks=[logger(tmp_path / "log", append=True)], verbose=0)
    assert [record["epoch"] for record in read(tmp_path / "log")] == [1, 2, 1]
    # A line whose end is missing, as other programs leave it.
    (tmp_path / "log").write_bytes((tmp_path / "log").read_bytes().rstrip(b"\n"))
    make_trainer().fit(X, Y, callbacks=[logger(tmp_path / "log", append=True)], verbose=0)
    assert [record["epoch"] for record in read(tmp_path / "log")] == [1, 2, 1, 1]


def test_append_to_what_a_spreadsheet_has_saved(tmp_path):
    (tmp_path / "log").write_bytes(b"\xef\xbb\xbfepoch,loss\r\n1,0.5\r\n")
    make_trainer().fit(X, Y, callbacks=[fn.CSVLogger(tmp_path / "log", append=True)], verbose=0)
    records = read(tmp_path / "log")
    assert [record["epoch"] for record in records] == [1, 1] and records[0]["loss"] == 0.5


@pytest.mark.parametrize("logger", LOGGERS)
def test_no_epoch(logger, tmp_path):
    make_trainer().fit(X, Y, epochs=0, callbacks=[logger(tmp_path / "log")], verbose=0)
    assert (tmp_path / "log").read_bytes() == b""


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_bad_path_fails_before_the_first_step(logger, tmp_path):
    def refused(error, match, path, **options):
        trainer = make_trainer()
        with pytest.raises(error, match=match):
            trainer.fit(X, Y, callbacks=[logger(path, **options)], verbose=0)
        assert trainer.step == 0

    refused(FileNotFoundError, "there is no directory", tmp_path / "nothing" / "log")
    refused(IsADirectoryError, "it is a directory", tmp_path)
    refused(IsADirectoryError, "is a directory", tmp_path, append=True)
    (tmp_path / "other").write_text("something else\n")
    refused(ValueError, "append=True: .*other .*something else", tmp_path / "other", append=True)
    assert (tmp_path / "other").read_text() == "something else\n"
    with pytest.raises(TypeError, match="path must be a path"):
        logger(3)
    with pytest.raises(ValueError, match="path must be a path; got an empty text"):
        logger("")
    with pytest.raises(TypeError, match="append must be True or False"):
        logger("log", append="yes")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("logger", LOGGERS)
def test_a_file_that_may_not_be_written(logger, append, tmp_path):
    path = tmp_path / "log"
    make_trainer().fit(X, Y, callbacks=[logger(path)], verbose=0)
    path.chmod(0o400)
    trainer = make_trainer()
    with pytest.raises(PermissionError, match="no permission to write"):
        trainer.fit(X, Y, callbacks=[logger(path, append=append)], verbose=0)
    assert trainer.step == 0


class Add(fn.Callback):
    """Puts a figure among those of an epoch, from the second one on."""

    def __init__(self, value):
        self.value = value

    def on_epoch_end(self, trainer, logs):
        if trainer.history.epochs > 1:
            logs["mine, too"] = self.value


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_figure_that_comes_later(logger, tmp_path):
    trainer, path = make_trainer(), tmp_path / "log"
    trainer.fit(X, Y, epochs=3, callbacks=[Add(np.float32(0.5)), logger(path)], verbose=0)
    records = read(path)
    assert "mine, too" not in records[0] and [record["mine, too"] for record in records[1:]] == [0.5, 0.5]
    assert [record["loss"] for record in records] == trainer.history["loss"]
    # Fewer figures than the file has columns.
    make_trainer().fit(X, Y, callbacks=[logger(path, append=True)], verbose=0)
    assert "mine, too" not in read(path)[3]


def test_a_figure_that_is_no_number(tmp_path):
    callbacks = [Add(tmp_path), fn.CSVLogger(tmp_path / "log.csv"), fn.JSONLogger(tmp_path / "log.jsonl")]
    make_trainer().fit(X, Y, epochs=2, callbacks=callbacks, verbose=0)
    assert str(tmp_path) in (tmp_path / "log.csv").read_text()
    assert read(tmp_path / "log.jsonl")[1]["mine, too"] == str(tmp_path)


def test_values_that_are_not_finite(tmp_path):
    paths = tmp_path / "log.csv", tmp_path / "log.jsonl"
    for value in (math.nan, math.inf):
        callbacks = [Add(value), fn.CSVLogger(paths[0]), fn.JSONLogger(paths[1])]
        make_trainer().fit(X, Y, epochs=2, callbacks=callbacks, verbose=0)
        assert repr(read(paths[0])[1]["mine, too"]) == repr(value)
        assert read(paths[1])[1]["mine, too"] is None


TRAIN = """
import sys, numpy as np, fastnet as fn
net = fn.Network([fn.Dense(1)], input_shape=(4,), seed=0)
callbacks = [fn.CSVLogger(sys.argv[1] + ".csv"), fn.JSONLogger(sys.argv[1] + ".jsonl")]
net.fit(np.ones((8, 4)), np.ones(8), loss="mse", epochs=10**9, callbacks=callbacks, verbose=0)
"""


def test_a_process_that_is_killed_leaves_whole_lines(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path / "log")], env=environment, cwd=tmp_path)
    try:
        path, end = tmp_path / "log.jsonl", time.monotonic() + 60
        while not (path.exists() and path.read_bytes().count(b"\n") > 20):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.wait()
    for name in ("log.csv", "log.jsonl"):
        records = read(tmp_path / name)
        assert [record["epoch"] for record in records] == list(range(1, len(records) + 1)) and len(records) >= 20


def test_ctrl_c_keeps_all_finished_epochs(tmp_path):
    def interrupt(trainer, logs):
        if trainer.history.epochs == 2:
            raise KeyboardInterrupt

    callbacks = [fn.CSVLogger(tmp_path / "log"), fn.LambdaCallback(on_epoch_begin=interrupt)]
    with pytest.raises(KeyboardInterrupt):
        make_trainer().fit(X, Y, epochs=5, callbacks=callbacks, verbose=0)
    assert [record["epoch"] for record in read(tmp_path / "log")] == [1, 2]


# Learning rates


def test_the_rates_of_all_updates():
    """Those that the steps took: the weights move by them, as the gradient is that of a constant slope."""
    schedule = fn.schedules.OneCycle(0.1, 12)
    moved = []  # the bias after each update

    def keep(trainer, logs):
        moved.append(trainer.net[0].bias.value.item())

    net = fn.Network([fn.Dense(1)], input_shape=(4,), dtype="float64", seed=0)
    logger = fn.LearningRateLogger()
    trainer = fn.Trainer(net, loss="mae", optimizer=fn.SGD(schedule))
    watch = fn.LambdaCallback(on_batch_end=keep)
    before = net[0].bias.value.item()
    # Far below the targets, so that the mean absolute error falls by 1 for each unit of the bias.
    trainer.fit(np.zeros((12, 4)), np.full(12, 100.0), epochs=4, batch_size=4, callbacks=[logger, watch], verbose=0)
    assert logger.steps.tolist() == list(range(1, 13))
    np.testing.assert_allclose(np.diff([before, *moved]), logger.rates, rtol=1e-9, atol=1e-12)
    assert logger.rates.tolist() == [schedule(i) for i in range(12)] and len(set(logger.rates)) > 6


def test_the_rates_of_groups_by_epoch_with_a_factor_and_joined_batches():
    by_epoch = fn.schedules.Exponential(1.0, gamma=0.5, by="epoch")
    groups = [fn.ParameterGroup("*.bias", learning_rate=by_epoch), fn.ParameterGroup("dense_1", learning_rate=0.25)]
    trainer = make_trainer(fn.SGD(1e-4, groups=groups), accumulate=2)
    logger = fn.LearningRateLogger()

    def halve(trainer, logs):
        trainer.rate_factor /= 2
        trainer.optimizer.learning_rate = 1e-5

    callbacks = [fn.LambdaCallback(on_epoch_end=halve), logger]
    trainer.fit(X, Y, epochs=2, batch_size=10, callbacks=callbacks, verbose=0)
    assert trainer.step == 4 and logger.steps.tolist() == [1, 2, 3, 4]  # two batches, and the last one of the epoch
    assert logger.rates.tolist() == [1e-4, 1e-4, 5e-6, 5e-6]
    assert logger.group_rates.tolist() == [[1.0, 0.25]] * 2 + [[0.25, 0.125]] * 2
    trainer.fit(X, Y, batch_size=10, callbacks=[logger], verbose=0)
    assert logger.steps.tolist() == [1, 2, 3, 4, 5, 6]
    make_trainer().fit(X, Y, batch_size=10, callbacks=[logger], verbose=0)
    assert logger.steps.tolist() == [1, 2, 3] and logger.group_rates.shape == (3, 0)


def test_the_rates_of_an_epoch_that_was_interrupted():
    logger = fn.LearningRateLogger()
    assert logger.steps.shape == logger.rates.shape == (0,)

    def interrupt(trainer, logs):
        if trainer.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        callbacks = [logger, fn.LambdaCallback(on_batch_end=interrupt)]
        make_trainer().fit(X, Y, epochs=9, batch_size=10, callbacks=callbacks, verbose=0)
    assert logger.steps.tolist() == [1, 2, 3, 4, 5] and len(logger.rates) == 5


@pytest.mark.parametrize("make", [lambda path: fn.CSVLogger(path), lambda path: fn.JSONLogger(path),
                                  lambda path: fn.LearningRateLogger()])  # fmt: skip
def test_states_are_plain_data(make, tmp_path):
    trainer, callback = make_trainer(), make(tmp_path / "log")
    states = []
    keep = fn.LambdaCallback(on_epoch_end=lambda trainer, logs: states.append(json.dumps(trainer.state(callback))))
    trainer.fit(X, Y, epochs=2, callbacks=[callback, keep], verbose=0)
    assert len(states) == 2


class StopAt(fn.Callback):
    """Saves after so many batches, and ends the training there."""

    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_batch_end(self, trainer, logs):
        if trainer.step == self.step:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def test_a_training_that_goes_on_writes_what_one_without_a_stop_would_have(tmp_path):
    def loggers(directory):
        return [fn.CSVLogger(directory / "a.csv"), fn.JSONLogger(directory / "a.jsonl"), fn.LearningRateLogger()]

    def without_seconds(path):
        return [{name: value for name, value in record.items() if name != "seconds"} for record in read(path)]

    options = {"epochs": 4, "batch_size": 8, "verbose": 0}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for directory in (whole, stopped):
        directory.mkdir()
    rule = fn.SGD(fn.schedules.Warmup(0.01, 20))
    callbacks = [*loggers(whole), fn.LambdaCallback(), fn.ProgressBar(), fn.TerminateOnNaN()]
    make_trainer(rule).fit(X, Y, callbacks=callbacks, **options)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        other = [*loggers(stopped), fn.LambdaCallback(), fn.ProgressBar(), fn.TerminateOnNaN(), StopAt(checkpoint, 10)]
        make_trainer(rule).fit(X, Y, callbacks=other, **options)
    with pytest.raises(ValueError, match=r"had a callback LambdaCallback, which has no config\(\)"):
        fn.Trainer.resume(checkpoint, callbacks=[StopAt(checkpoint, -1)])
    trainer = fn.Trainer.resume(checkpoint, callbacks=[StopAt(checkpoint, -1), fn.LambdaCallback()])
    rates = next(c for c in trainer.unfinished.callbacks if isinstance(c, fn.LearningRateLogger))
    trainer.fit(X, Y, verbose=0)
    for name in ("a.csv", "a.jsonl"):
        assert without_seconds(stopped / name) == without_seconds(whole / name)
    assert rates.steps.tolist() == callbacks[2].steps.tolist() == list(range(1, 17))
    assert rates.rates.tolist() == callbacks[2].rates.tolist()
