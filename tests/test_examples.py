"""The examples run, on small settings, and say what their text promises."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
#: What each is run with, and what it prints.
RUNS = {
    "digits": (["--epochs", "3"], ["saved in digits.safetensors", "is a"]),
    "weights_in_view": ([], ["initialization-scale", "nothing found"]),
    "first_weights": ([], ["Glorot", "He "]),
    "own_layer": ([], ["loaded with the same predictions: True"]),
    "own_loop": ([], ["the same bits as fit: True"]),
    "resume": ([], ["goes on after 100 steps", "the same bits: True"]),
    "sklearn_pipeline": ([], ["accuracy on the test set: 9"]),
    "to_onnx": ([], ["read, and trained on: 9"]),
    "cifar10": (["images", "--epochs", "1"], ["'accuracy': "]),
}
NEEDS = {"sklearn_pipeline": ["sklearn", "pandas"], "to_onnx": ["onnx"], "cifar10": ["PIL"]}

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not beside the tests")


def test_every_example_is_run_and_listed():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == set(RUNS)
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"[`{name}.py`]({name}.py)" in listed for name in scripts)


def make_images(folder):
    from PIL import Image

    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / part / name / f"{i}.png")


@pytest.mark.parametrize("name", RUNS)
def test_an_example_runs(name, tmp_path):
    for package in NEEDS.get(name, []):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    arguments, promised = RUNS[name]
    if name == "cifar10":
        make_images(tmp_path / "images")
    run = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert all(text in run.stdout for text in promised), run.stdout
