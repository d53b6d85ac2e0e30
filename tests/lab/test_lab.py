"""All experiments: registry, files, pages, snippets."""

import importlib
import json
import sys

import numpy as np
import pytest
from html_checks import check_page
from lab_runs import numbers, page_html

import fastnet as fn
from fastnet import lab


def finite(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and finite(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(finite, value))
    return value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and np.isfinite(value))


@pytest.mark.parametrize("name", lab.EXPERIMENTS)
def test_numbers_are_json(name):
    found = numbers(name)
    assert found["experiment"] == name and found["seed"] == 0
    assert finite(found)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("name", lab.EXPERIMENTS)
def test_pages_are_whole(name):
    reader = check_page(page_html(name))
    assert len(reader.images) >= 3
    text = " ".join(reader.text)
    assert "nan" not in text.split() and "None" not in text and "inf" not in text.split()
    assert "seed 0" in text and "Repeat it in Python" in text
    for link in reader.links:
        assert link.startswith("#") or link.removesuffix(".html") in lab.EXPERIMENTS


@pytest.mark.parametrize("name", lab.EXPERIMENTS)
def test_snippets_run(name, capsys):
    snippet = importlib.import_module(f"fastnet.lab.{name.replace('-', '_')}").SNIPPET
    assert max(map(len, snippet.splitlines())) <= 110
    exec(compile(snippet, name, "exec"), {})
    assert capsys.readouterr().out.strip()


def test_a_seed_gives_the_same_numbers_and_another_seed_others():
    first, second = (fn.lab.run("filters", seed=seed, quick=True) for seed in (0, 1))
    assert first == numbers("filters")
    assert first["kernels"] != second["kernels"]


def test_write(tmp_path, undrawn):
    paths = lab.write("neuron", tmp_path / "new", quick=True)
    assert [path.rsplit("neuron", 1)[1] for path in paths] == [".json", ".html"]
    assert json.loads((tmp_path / "new" / "neuron.json").read_text()) == numbers("neuron")
    assert (tmp_path / "new" / "neuron.html").read_text(encoding="utf-8") == lab.page(
        "neuron", numbers("neuron")
    ).html()


def test_write_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert [path.rsplit(".", 1)[1] for path in lab.write("neuron", tmp_path, quick=True)] == ["json"]
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        lab.page("neuron", numbers("neuron"))


def test_write_all_links_the_pages_in_their_order(tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr(lab, "EXPERIMENTS", ("neuron", "gradient-descent", "filters"))
    for paths in lab.write_all(tmp_path, quick=True):
        assert paths
    index = check_page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert index.links == ["neuron.html", "gradient-descent.html", "filters.html"]
    middle = check_page((tmp_path / "gradient-descent.html").read_text(encoding="utf-8"))
    assert middle.links[:3] == ["index.html", "neuron.html", "filters.html"]


def test_the_index_leads_only_to_pages_that_are_there(tmp_path):
    (tmp_path / "init.html").write_text("")
    lab.write_index(tmp_path)
    assert check_page((tmp_path / "index.html").read_text(encoding="utf-8")).links == ["init.html"]


def test_mistakes():
    with pytest.raises(ValueError, match="did you mean 'optimizers'"):
        lab.run("optimisers")
    with pytest.raises(ValueError, match="seed must be at least 0"):
        lab.run("neuron", seed=-1)
    with pytest.raises(TypeError, match="quick must be True or False"):
        lab.run("neuron", quick=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", lab.EXPERIMENTS)
def test_in_full(name):
    check_page(fn.lab.page(name, fn.lab.run(name)).html())
