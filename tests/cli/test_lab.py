"""``fastnet lab``: files, messages, mistakes."""

import json
import sys

import pytest
from html_checks import check_page

from fastnet import lab


def test_one_experiment(run, tmp_path):
    result = run("lab", "neuron", "--out", "pages", "--seed", "3")
    assert result.code == 0 and result.err == ""
    assert result.out.splitlines()[:2] == ["pages/neuron.json", "pages/neuron.html"]
    numbers = json.loads((tmp_path / "pages" / "neuron.json").read_text())
    assert numbers["experiment"] == "neuron" and numbers["seed"] == 3 and not numbers["quick"]
    check_page((tmp_path / "pages" / "neuron.html").read_text(encoding="utf-8"))


def test_all_experiments_and_the_index(run, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "EXPERIMENTS", ("neuron", "gradient-descent"))
    result = run("lab", "all")
    assert result.code == 0
    names = {path.name for path in (tmp_path / "fastnet-lab").iterdir()}
    assert names == {"neuron.json", "neuron.html", "gradient-descent.json", "gradient-descent.html", "index.html"}
    assert result.out.splitlines()[-2] == "fastnet-lab/index.html"


def test_without_matplotlib_the_numbers_are_written(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("lab", "gradient-descent")
    assert result.code == 0
    assert [path.name for path in (tmp_path / "fastnet-lab").iterdir()] == ["gradient-descent.json"]
    assert result.out.endswith('pages need matplotlib, which is not installed: pip install "fastnet-cpu[plot]"\n')


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lab"], "the following arguments are required: NAME"),
        (["lab", "nueron"], "NAME 'nueron' is not one of neuron, gradient-descent,"),
        (["lab", "nueron"], "did you mean 'neuron'?"),
        (["lab", "neuron", "--seed", "-1"], "argument --seed: expected a whole number of at least 0; got '-1'"),
        (["lab", "neuron", "--output", "x"], "unknown option --output; did you mean '--out'?"),
    ],
)
def test_mistakes(error, arguments, expected):
    assert expected in error(*arguments)


def test_the_folder_must_be_one(error, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "--out: taken is a file, not a directory" in error("lab", "neuron", "--out", "taken")


def test_help_names_all_experiments(run):
    out = " ".join(run("lab", "--help").out.split())
    assert f"(default: {lab.FOLDER})" in out
    assert all(f"{name}," in out or f"{name};" in out for name in lab.EXPERIMENTS)
