"""``fastnet predict``: the same predictions as in Python, and errors that name what is wrong."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest

import fastnet as fn
from fastnet.datasets import digits, load


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def trained_flowers(run, flowers):
    assert run("train", "--data", flowers, "--target", "kind", "--epochs", 20, "--batch-size", 16).code == 0
    return flowers


@pytest.fixture
def trained_houses(run, houses):
    assert run("train", "--data", houses, "--target", "price", "--epochs", 20, "--batch-size", 16).code == 0
    return houses


MODEL = "fastnet-run/model.safetensors"


def test_classes_and_probabilities(run, tmp_path, trained_flowers):
    (tmp_path / "new.csv").write_text("colour,length\nred,0\nblue,2\nred,4\n")  # another order, no target
    result = run("predict", MODEL, "new.csv")
    assert result.code == 0 and result.err == ""
    rows = table(result.out)
    assert list(rows[0]) == ["class", "probability a", "probability b", "probability c"]
    assert [row["class"] for row in rows] == ["a", "b", "c"]
    data = load(trained_flowers, target="kind")
    expected = fn.load(MODEL).predict_proba(
        data.encoder.transform({"colour": ["red", "blue", "red"], "length": [0, 2, 4]})
    )
    found = [[np.float32(row[f"probability {name}"]) for name in "abc"] for row in rows]
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


def test_values(run, tmp_path, trained_houses):
    result = run("predict", MODEL, trained_houses, "--out", "prices.csv")
    assert result.code == 0 and "200 predictions saved in prices.csv" in result.out
    rows = table((tmp_path / "prices.csv").read_text())
    assert len(rows) == 200 and list(rows[0]) == ["value"]
    data = load(trained_houses, target="price", test=0)
    encoder = load(trained_houses, target="price").encoder
    x = encoder.transform(dict(fn.datasets.read_csv(trained_houses)))
    expected = encoder.decode_target(fn.load(MODEL).predict(x))
    np.testing.assert_allclose([float(row["value"]) for row in rows], expected, rtol=1e-8)
    assert len(data.x) == 200


def test_the_directory_of_a_run_is_a_model(run, trained_houses):
    assert run("predict", "fastnet-run", trained_houses).out == run("predict", MODEL, trained_houses).out


def test_digits(run, tmp_path):
    assert run("train", "--epochs", 15).code == 0
    _, (x, y) = digits()
    np.savez(tmp_path / "new.npz", x=(x[..., 0] * 16).astype(np.uint8))
    rows = table(run("predict", MODEL, "new.npz").out)
    assert np.mean([int(row["class"]) == label for row, label in zip(rows, y, strict=True)]) > 0.95
    assert float(rows[0]["probability 0"]) == pytest.approx(fn.load(MODEL).predict_proba(x[:1])[0, 0], rel=1e-5)


def test_no_rows(run, tmp_path):
    np.savez(tmp_path / "new.npz", x=np.zeros((0, 8, 8), np.uint8))
    assert run("train", "--epochs", 1).code == 0
    result = run("predict", MODEL, "new.npz")
    assert result.code == 0 and result.out.startswith("class,probability 0") and result.out.count("\n") == 1


def test_mistakes(error, tmp_path, trained_flowers):
    (tmp_path / "new.csv").write_text("colour,length\nred,0\n")
    assert "did you mean 'model.safetensors'" in error("predict", "fastnet-run/model.safetensor", "new.csv")
    assert "did you mean 'new.csv'" in error("predict", MODEL, "new.cvs")
    assert "not a safetensors file, or damaged" in error("predict", "new.csv", "new.csv")
    (tmp_path / "bad.csv").write_text("colour,length\nred,0\ngreen,1\n")
    assert "bad.csv, line 3, column 'colour': 'green' is not one of" in error("predict", MODEL, "bad.csv")
    (tmp_path / "bad.csv").write_text("color,length\nred,0\n")
    assert "bad.csv has no column 'colour'; did you mean 'color'" in error("predict", MODEL, "bad.csv")
    np.savez(tmp_path / "new.npz", x=np.zeros((3, 5)))
    assert "the 2 columns length, colour; got an array of shape (3, 5)" in error("predict", MODEL, "new.npz")
    before = (tmp_path / "new.csv").read_text()
    assert "is an input of this command" in error("predict", MODEL, "new.csv", "--out", "./new.csv")
    assert "is an input of this command" in error("predict", MODEL, "new.csv", "--out", MODEL)
    assert (tmp_path / "new.csv").read_text() == before
    assert "there is no directory" in error("predict", MODEL, "new.csv", "--out", "nowhere/out.csv")


def test_a_network_without_an_encoder(error, tmp_path):
    net = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)
    net.save(tmp_path / "net.safetensors")
    np.savez(tmp_path / "new.npz", x=np.zeros((3, 3)))
    assert "has no encoder for new data" in error("predict", "net.safetensors", "new.npz")
    net.extra = {"encoder": {"inputs": 3}}
    net.save(tmp_path / "net.safetensors")
    assert "not the configuration of an encoder" in error("predict", "net.safetensors", "new.npz")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away(environment, tmp_path, run, unbuffered):
    assert run("train", "--epochs", 1).code == 0
    np.savez(tmp_path / "new.npz", x=np.zeros((5000, 8, 8), np.uint8))
    process = subprocess.Popen(
        [sys.executable, "-m", "fastnet", "predict", MODEL, "new.npz"],
        env={**environment, "PYTHONUNBUFFERED": unbuffered},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141
