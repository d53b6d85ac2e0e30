"""``fastnet train``: what it prints, writes and refuses."""

import csv
import gzip
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli.train import OPTIMIZERS
from fastnet.datasets import Encoder, load

FILES = ["history.csv", "model.safetensors", "run.json"]


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def figure(out, name):
    return float(re.search(rf"^{name}: (\S+)$", out, re.MULTILINE)[1])


def history(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_the_default_run(run, tmp_path):
    result = run("train")
    assert result.code == 0
    assert figure(result.out, "test accuracy") >= 0.98
    assert "1,442 training and 355 test samples of 8 x 8 x 1 values" in result.out
    assert "Conv2D" in result.out and "multiply-adds" in result.out  # the summary of lenet
    assert "fastnet-run/model.safetensors" in result.out and "fastnet-run/history.csv" in result.out
    assert "loss" in result.err and "accuracy" in result.err and "30/30" in result.err  # the progress bar
    assert names(tmp_path / "fastnet-run") == FILES
    lines = history(tmp_path / "fastnet-run" / "history.csv")
    assert len(lines) == 30 and float(lines[-1]["accuracy"]) > 0.97
    saved = json.loads((tmp_path / "fastnet-run" / "run.json").read_text())
    assert saved["results"]["test accuracy"] == pytest.approx(figure(result.out, "test accuracy"), abs=1e-4)
    assert (
        saved["epochs"] == 30 and saved["options"]["seed"] == 0 and saved["samples"] == {"training": 1442, "test": 355}
    )

    net = fn.load(tmp_path / "fastnet-run" / "model.safetensors")
    data = load("digits")
    assert net.evaluate(data.x_test, data.y_test)["accuracy"] == pytest.approx(saved["results"]["test accuracy"])
    assert Encoder.from_config(net.extra["encoder"]).classes == [str(i) for i in range(10)]


def test_a_run_can_be_repeated_from_its_description(run, tmp_path, houses):
    options = [
        "--epochs",
        3,
        "--hidden",
        "8,4",
        "--seed",
        5,
        "--validation",
        0.2,
        "--dropout",
        0.1,
        "--target",
        "price",
    ]
    assert run("train", "--data", houses.name, "--out", "first", *options).code == 0
    words = shlex.split(json.loads((tmp_path / "first" / "run.json").read_text())["command"])
    assert words[:2] == ["fastnet", "train"]
    words[words.index("--out") + 1] = "second"
    assert run(*words[1:]).code == 0
    assert (tmp_path / "first" / "history.csv").read_text() == (tmp_path / "second" / "history.csv").read_text()
    first, second = (fn.load(tmp_path / name / "model.safetensors").state_dict() for name in ("first", "second"))
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(run, flowers, optimizer):
    options = ["--target", "kind", "--optimizer", optimizer, "--epochs", 60, "--batch-size", 16, "--hidden", "16"]
    result = run("train", "--data", flowers, *options)
    assert result.code == 0 and figure(result.out, "test accuracy") >= 0.9
    assert "classification, 3 classes (a, b, c)" in result.out


def test_regression(run, tmp_path, houses):
    options = ["--target", "price", "--epochs", 150, "--batch-size", 16, "--dropout", 0, "--hidden", "32"]
    result = run("train", "--data", houses, *options)
    assert result.code == 0 and "regression of price" in result.out
    assert figure(result.out, "test R2") > 0.97
    data = load(houses, target="price")
    net = fn.load(tmp_path / "fastnet-run" / "model.safetensors")
    wrong = data.encoder.decode_target(net.predict(data.x_test)) - data.encoder.decode_target(data.y_test)
    assert figure(result.out, "test RMSE") == pytest.approx(np.sqrt(np.mean(wrong**2)), rel=1e-4)


def test_the_task_can_be_chosen(run, tmp_path):
    (tmp_path / "counts.csv").write_text("a,n\n" + "".join(f"{i / 7},{i % 5}\n" for i in range(60)))
    options = ["train", "--data", "counts.csv", "--target", "n", "--epochs", 1, "--hidden", 4, "--overwrite"]
    assert "test accuracy" in run(*options).out
    assert "test RMSE" in run(*options, "--task", "regression").out


@pytest.mark.parametrize("name", ["mlp", "lenet", "vgg_small", "resnet20", "mobilenet_tiny"])
def test_models(run, tmp_path, name):
    result = run("train", "--model", name, "--epochs", 1, "--batch-size", 128)
    assert result.code == 0
    net = fn.load(tmp_path / "fastnet-run" / "model.safetensors")
    expected = len(fn.models.MODELS[name](input_shape=(8, 8, 1), classes=10).layers) if name != "mlp" else 6
    assert len(net.layers) == expected
    saved = json.loads((tmp_path / "fastnet-run" / "run.json").read_text())
    assert saved["options"]["model"] == name and f"--model {name}" in saved["command"]


def test_augmentation(run, tmp_path, flowers):
    changes = ["--augment", "flip,crop,brightness,contrast,cutout,mixup"]
    result = run("train", *changes, "--epochs", 2)
    assert result.code == 0
    weights = fn.load(tmp_path / "fastnet-run" / "model.safetensors").parameters()[0].value.copy()
    saved = json.loads((tmp_path / "fastnet-run" / "run.json").read_text())
    assert f"--augment {changes[1]}" in saved["command"]
    assert run("train", "--epochs", 2, "--overwrite").code == 0
    plain = fn.load(tmp_path / "fastnet-run" / "model.safetensors").parameters()[0].value.copy()
    assert not np.array_equal(weights, plain)
    for options, message in (
        (["--augment", "flips"], "expected one of crop, flip, brightness, contrast, cutout, mixup; got 'flips'"),
        (["--augment", "flip,flip"], "flip is there twice"),
        (["--data", flowers, "--target", "kind", "--augment", "flip"], "--augment changes images"),
    ):
        result = run("train", *options, "--epochs", 1, "--overwrite")
        assert result.code == 2 and message in result.err


def test_hidden_layers_belong_to_mlp(run):
    result = run("train", "--model", "lenet", "--hidden", "16")
    assert result.code == 2
    assert "--hidden describes the model mlp; it doesn't go with --model lenet" in result.err
    assert run("train", "--hidden", "16", "--epochs", 1, "--overwrite").out.count("Dense ") == 2
    result = run("train", "--model", "resnet")
    assert result.code == 2 and "did you mean 'resnet20'" in result.err


def test_without_hidden_layers(run, flowers):
    result = run("train", "--data", flowers, "--target", "kind", "--hidden", "none", "--epochs", 2)
    assert result.code == 0 and result.out.count("Dense") == 1


def test_validation(run, tmp_path, flowers):
    result = run("train", "--data", flowers, "--target", "kind", "--epochs", 4, "--validation", 0.25)
    assert result.code == 0
    assert "90 training, 30 validation and 30 test samples" in result.out
    assert re.search(r"^validation +\d", result.out, re.MULTILINE)
    assert list(history(tmp_path / "fastnet-run" / "history.csv")[0]) == [
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy"
    ]  # fmt: skip


def test_npz_and_threads(run, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=(x.mean(axis=(1, 2)) > 127).astype(int))
    before = fn.get_num_threads()
    try:
        for threads in (1, 2):
            assert run("train", "--data", "a.npz", "--epochs", 2, "--threads", threads, "--out", threads).code == 0
            assert json.loads((tmp_path / str(threads) / "run.json").read_text())["options"]["threads"] == threads
    finally:
        fn.set_num_threads(before)
    assert (tmp_path / "1" / "history.csv").read_text() == (tmp_path / "2" / "history.csv").read_text()


def idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_a_folder_of_idx_files(run, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 5, 5), dtype=np.uint8)
    (tmp_path / "data").mkdir()
    idx(tmp_path / "data" / "train-images-idx3-ubyte.gz", x)
    idx(tmp_path / "data" / "train-labels-idx1-ubyte.gz", (np.arange(30) % 3).astype(np.uint8))
    result = run("train", "--data", "data", "--epochs", 2)
    assert result.code == 0 and "samples of 5 x 5 x 1 values" in result.out


@pytest.mark.slow
def test_mnist(run):
    folder = os.environ.get("FASTNET_DATA")
    if not folder or not os.path.isdir(os.path.join(folder, "mnist")):
        pytest.skip("FASTNET_DATA does not name a folder with mnist/")
    result = run("train", "--data", os.path.join(folder, "mnist"))
    assert result.code == 0 and figure(result.out, "test accuracy") >= 0.98


# What is refused


def test_a_finished_run_is_kept(run, error, tmp_path, flowers):
    options = ["train", "--data", flowers, "--target", "kind", "--epochs", 1]
    assert run(*options).code == 0
    before = {name: (tmp_path / "fastnet-run" / name).read_bytes() for name in FILES}
    assert "fastnet-run has a finished run already (run.json); choose another directory, or --overwrite" in error(
        *options
    )
    assert {name: (tmp_path / "fastnet-run" / name).read_bytes() for name in FILES} == before
    assert run(*options, "--overwrite", "--seed", 3).code == 0
    assert json.loads((tmp_path / "fastnet-run" / "run.json").read_text())["options"]["seed"] == 3


def test_a_model_is_not_replaced_by_accident(error, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    assert "has a model already" in error("train", "--out", ".")
    assert (tmp_path / "model.safetensors").read_bytes() == b"precious"


def test_places_that_cannot_be_written(error, tmp_path):
    (tmp_path / "file").write_text("")
    assert "--out: file is a file, not a directory" in error("train", "--out", "file")
    assert "cannot make the directory" in error("train", "--out", "file/run")


def test_tensorboard(run, tmp_path, flowers):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run(
        "train", "--data", flowers, "--target", "kind", "--epochs", 2, "--validation", 0.2, "--tensorboard", "my runs"
    )
    assert result.code == 0 and "curves: tensorboard --logdir 'my runs'" in result.out
    losses = [line["val_loss"] for line in history(tmp_path / "fastnet-run" / "history.csv")]
    found = EventAccumulator(str(tmp_path / "my runs" / "validation")).Reload().Scalars("epoch_loss")
    assert [event.value for event in found] == [np.float32(loss) for loss in losses]
    assert "--tensorboard 'my runs'" in json.loads((tmp_path / "fastnet-run" / "run.json").read_text())["command"]
    (tmp_path / "file").write_text("")
    result = run("train", "--data", flowers, "--target", "kind", "--overwrite", "--tensorboard", "file")
    assert result.code == 2 and "cannot make the directory file/train" in result.err.replace(os.sep, "/")


def test_data_that_cannot_be_used(error, tmp_path, flowers):
    assert "did you mean 'flowers.csv'" in error("train", "--data", "flower.csv")
    assert "target: name the column of flowers.csv to learn, one of length, colour, kind" in error(
        "train", "--data", "flowers.csv"
    )
    assert "did you mean 'kind'" in error("train", "--data", "flowers.csv", "--target", "kinds")
    (tmp_path / "gaps.csv").write_text("a,b\n1,2\n,3\n" + "2,4\n" * 9)
    assert "gaps.csv, line 3, column 'a': the value is missing" in error("train", "--data", "gaps.csv", "--target", "b")
    assert not (tmp_path / "fastnet-run").exists()


def test_a_loss_that_is_not_finite(run, tmp_path, houses):
    options = ["--optimizer", "sgd", "--learning-rate", "1e30", "--target", "price", "--dropout", 0]
    result = run("train", "--data", houses, *options)
    assert result.code == 2
    line = result.err.strip().splitlines()[-1]
    assert line.startswith("fastnet: error: ") and "not finite" in line and "history.csv" in line
    assert names(tmp_path / "fastnet-run") == ["history.csv"]


# Stopping


def start(environment, tmp_path, *options):
    """A long training in a process of its own; returns when its progress bar has begun the third epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fastnet", "train", "--epochs", "100000", *options],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    seen = b""
    deadline = time.monotonic() + 60
    while not re.search(rb"epoch [3-9]", seen):
        assert time.monotonic() < deadline and process.poll() is None, seen
        seen += process.stderr.read1(4096)
    return process


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's here")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping(environment, tmp_path, number, code):
    process = start(environment, tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    last = err.decode().splitlines()[-1]
    assert re.fullmatch(r"fastnet: interrupted; the history of \d+ epochs is in fastnet-run/history\.csv", last)
    lines = history(tmp_path / "fastnet-run" / "history.csv")
    assert len(lines) == int(re.search(r"of (\d+) epochs", last)[1]) >= 2
    assert names(tmp_path / "fastnet-run") == ["history.csv"]


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's here")
def test_stopping_leaves_an_older_run(run, environment, tmp_path):
    assert run("train", "--epochs", 1).code == 0
    before = {name: (tmp_path / "fastnet-run" / name).read_bytes() for name in FILES}
    process = start(environment, tmp_path, "--overwrite")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert {name: (tmp_path / "fastnet-run" / name).read_bytes() for name in FILES} == before
    assert names(tmp_path / "fastnet-run") == sorted([*FILES, "history-interrupted.csv"])
