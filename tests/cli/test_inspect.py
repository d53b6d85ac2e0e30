"""``fastnet inspect``: numbers, histograms, findings, a page, and wrong files."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from html_checks import check_page

import fastnet as fn
from fastnet.cli.inspect import BLOCKS, LETTERS


@pytest.fixture
def model(tmp_path):
    """A trained network with three dead units, beside what was saved with it."""
    (x, y), _ = fn.datasets.digits()
    layers = [fn.Conv2D(6, 3, activation="relu", name="see"), fn.BatchNorm(), fn.Flatten(),
              fn.Dense(8, activation="relu", name="think"), fn.Dense(10)]  # fmt: skip
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=7)
    net.fit(x[:200], y[:200], epochs=2, loss="softmax_cross_entropy", metrics=["accuracy"], verbose=0)
    for layer, parameter in (("think", "weight"), ("think", "bias")):
        value = getattr(net[layer], parameter).value.copy()
        value[..., 2:5] = 0
        getattr(net[layer], parameter).assign(value)
    net.extra = {"note": "<script>alert(1)</script>\x1b[31m"}
    net.save(tmp_path / "model.safetensors")
    return net


def test_the_text(run, model):
    result = run("inspect", "model.safetensors")
    assert result.code == 0 and result.err == ""
    assert model.summary() in result.out
    for line in ("seed: 7", "epochs: 2", "loss: SoftmaxCrossEntropy(label_smoothing=0.0)", "metrics: accuracy"):
        assert f"\n{line}\n" in result.out
    w = model["think"].weight.value.astype(np.float64)
    row = re.search(r"^think\.weight +(.*)$", result.out, re.MULTILINE)[1].split()
    values = np.linalg.svd(w, compute_uv=False)
    shares = values[values > 0] / values.sum()
    rank = np.exp(-(shares * np.log(shares)).sum())
    expected = [f"{v:.4g}" for v in (w.mean(), w.std(), w.min(), w.max())]
    assert row == ["216x8", *expected, f"{100 * (w == 0).mean():.1f}%", f"{np.linalg.norm(w):.4g}", f"{rank:.1f}", "0"]
    assert "warning: dead-relu in think" in result.out and "3 of the 8 units of think" in result.out
    assert "\x1b" not in result.out


def test_histograms(run, model):
    out = run("inspect", "model.safetensors").out
    found = re.search(r"^see\.weight +\S+ ([ ▁-█]{32}) \S+$", out, re.MULTILINE)[1]
    counts = np.histogram(model["see"].weight.value.astype(np.float64), 32)[0]
    assert [sign == " " for sign in found] == (counts == 0).tolist()
    assert found[int(counts.argmax())] == BLOCKS[-1]


def test_a_terminal_without_blocks(environment, model, tmp_path):
    command = [sys.executable, "-m", "fastnet", "inspect", "model.safetensors"]
    environment = {**environment, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.isascii()
    line = re.search(r"^see\.weight +\S+ (.{32}) \S+$", done.stdout, re.MULTILINE)[1]
    assert set(line) <= {" ", *LETTERS} and LETTERS[-1] in line


def test_json(run, model):
    result = run("inspect", "model.safetensors", "--json")
    numbers = json.loads(result.out)
    assert list(numbers["parameters"]) == list(model.state_dict())
    assert numbers["parameters"]["think.bias"]["zeros"] == 3 / 8
    assert [finding["code"] for finding in numbers["findings"]] == ["dead-relu"]
    assert numbers["training"]["seed"] == 7


def test_the_page(run, model, tmp_path):
    result = run("inspect", "model.safetensors", "--html", "model.html")
    assert result.out.endswith("page saved in model.html\n")
    reader = check_page((tmp_path / "model.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(reader.text).split())
    assert "Warning: dead-relu in think" in text and "<script>" in text  # as text: check_page refuses the element
    alts = [image["alt"] for image in reader.images]
    assert "All 6 filters of see, 3 × 3 weights each." in alts
    assert sum(alt.startswith("Histogram of ") for alt in alts) == 3
    for name in model.state_dict():
        assert name in text


def test_networks_with_little_or_broken_inside(run, tmp_path):
    fn.Network([fn.Flatten()], input_shape=(2, 2), seed=0).save(tmp_path / "empty.safetensors")
    result = run("inspect", "empty.safetensors", "--html", "empty.html")
    assert result.code == 0 and "nothing wrong can be seen from the weights alone" in result.out
    net = fn.Network([fn.Dense(2)], input_shape=(2,), seed=0)
    net["dense_1"].weight.assign(np.full((2, 2), np.nan))
    net.save(tmp_path / "lost.safetensors")
    result = run("inspect", "lost.safetensors", "--html", "lost.html")
    assert result.code == 0 and "problem: non-finite in dense_1.weight" in result.out
    for name in ("empty.html", "lost.html"):
        check_page((tmp_path / name).read_text(encoding="utf-8"))
    assert json.loads(run("inspect", "lost.safetensors", "--json").out)["parameters"]["dense_1.weight"]["bad"] == 4


def test_the_directory_of_a_run(run):
    assert run("train", "--epochs", 1).code == 0
    out = run("inspect", "fastnet-run").out
    assert "task: classification" in out and "classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out


def test_wrong_files(error, tmp_path, model):
    (tmp_path / "text.safetensors").write_text("not a model")
    os.mkdir(tmp_path / "folder")
    for path, expected in (
        ("modle.safetensors", "there is no file modle.safetensors; did you mean 'model.safetensors'?"),
        ("text.safetensors", "text.safetensors is not a safetensors file"),
        ("folder", "there is no file folder/model.safetensors"),
    ):
        assert expected in error("inspect", path)
    assert "--html: model.safetensors is the network itself" in error(
        "inspect", "model.safetensors", "--html", "model.safetensors"
    )
    assert "there is no directory" in error("inspect", "model.safetensors", "--html", "none/page.html")


def test_without_matplotlib(error, run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'pip install "fastnet-cpu[plot]"' in error("inspect", "model.safetensors", "--html", "model.html")
    assert run("inspect", "model.safetensors").code == 0
