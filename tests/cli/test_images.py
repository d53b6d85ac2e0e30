"""``fastnet train`` and ``fastnet predict`` on folders of images."""

import csv
import io
import json
import os
import shlex
import sys

import numpy as np
import pytest

import fastnet as fn

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture
def shapes(tmp_path):
    """Dark and bright images, of 8 x 8 pixels but for one."""
    rng = np.random.default_rng(0)
    for name, least in (("bright", 150), ("dark", 0)):
        os.makedirs(tmp_path / "shapes" / name)
        for i in range(40):
            pixels = rng.integers(least, least + 100, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "shapes" / name / f"{i:02}.png")
    return tmp_path / "shapes"


OPTIONS = ["--epochs", 40, "--hidden", 8, "--dropout", 0, "--batch-size", 8, "--learning-rate", 0.01]


def test_train_and_predict(run, tmp_path, shapes):
    result = run("train", "--data", "shapes", "--validation", 0.2, *OPTIONS)
    assert result.code == 0, result
    assert "51 training, 13 validation and 16 test samples of 8 x 8 x 3 values" in result.out
    assert "classification, 2 classes (bright, dark)" in result.out and "test accuracy: 1.0000" in result.out
    os.makedirs(tmp_path / "new" / "deep")
    Image.fromarray(np.full((20, 30, 3), 220, np.uint8)).save(tmp_path / "new" / "a.png")
    Image.fromarray(np.full((5, 4), 30, np.uint8)).save(tmp_path / "new" / "deep" / "b.jpg")
    result = run("predict", "fastnet-run", "new")
    assert result.code == 0 and result.err == ""
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["file", "class", "probability bright", "probability dark"]
    assert [(row["file"], row["class"]) for row in rows] == [
        (os.path.join("new", "a.png"), "bright"), (os.path.join("new", "deep", "b.jpg"), "dark"),
    ]  # fmt: skip
    result = run("predict", "fastnet-run", "new/a.png", "--out", "classes.csv")
    assert result.code == 0 and (tmp_path / "classes.csv").read_text().splitlines()[1].startswith("new/a.png,bright,")
    x = np.asarray(Image.open(tmp_path / "new" / "a.png").resize((8, 8)))[None] * np.float32(1 / 255)
    assert float(rows[0]["probability bright"]) == fn.load("fastnet-run/model.safetensors").predict_proba(x)[0, 0]


def test_size_and_channels(run, tmp_path, shapes):
    Image.fromarray(np.full((9, 8, 3), 200, np.uint8)).save(shapes / "bright" / "other.png")
    result = run("train", "--data", "shapes", "--size", "4,6", "--channels", 1, "--out", "first", *OPTIONS)
    assert result.code == 0 and "4 x 6 x 1 values" in result.out
    words = shlex.split(json.loads((tmp_path / "first" / "run.json").read_text())["command"])
    words[words.index("--out") + 1] = "second"
    assert run(*words[1:]).code == 0
    assert (tmp_path / "first" / "history.csv").read_text() == (tmp_path / "second" / "history.csv").read_text()


def test_errors(error, run, tmp_path, shapes, monkeypatch):
    assert "--size: expected a size such as 32" in error("train", "--data", "shapes", "--size", "big")
    assert "channels must be 1 (grey)" in error("train", "--data", "shapes", "--channels", 2)
    assert "only a folder of images takes it" in error("train", "--size", 8)
    Image.fromarray(np.full((9, 8, 3), 200, np.uint8)).save(shapes / "bright" / "other.png")
    assert "other.png is 9 x 8" in error("train", "--data", "shapes")
    (shapes / "dark" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    assert "torn.png cannot be read as an image" in error("train", "--data", "shapes")
    os.unlink(shapes / "dark" / "torn.png")
    assert run("train", "--data", "shapes", "--size", 8, *OPTIONS).code == 0
    assert "nothing" in error("predict", "fastnet-run", "nothing")
    os.makedirs(tmp_path / "empty")
    assert "has no images" in error("predict", "fastnet-run", "empty")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert 'pip install "fastnet-cpu[image]"' in error("predict", "fastnet-run", "shapes")
