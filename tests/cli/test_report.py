"""``fastnet train --report``: the page beside the run, and a run that is saved whatever happens to the page."""

import json
import sys

from html_checks import check_page

import fastnet as fn


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_the_report_is_in_the_directory(run, tmp_path):
    result = run("train", "--epochs", 2, "--report")
    assert result.code == 0 and result.out.endswith("report saved in fastnet-run/report.html\n")
    directory = tmp_path / "fastnet-run"
    assert names(directory) == ["history.csv", "model.safetensors", "report.html", "report.json", "run.json"]
    reader = check_page((directory / "report.html").read_text(encoding="utf-8"))
    assert len(reader.images) >= 4
    saved, numbers = (json.loads((directory / name).read_text()) for name in ("run.json", "report.json"))
    assert numbers["results"]["accuracy"] == saved["results"]["test accuracy"]
    assert "report" not in saved["options"] and "--report" not in saved["command"]


def test_a_report_that_is_made_later_has_the_same_health(run, tmp_path, undrawn):
    options = ("train", "--epochs", 3, "--health", "--report")
    assert run(*options).code == 0
    directory = tmp_path / "fastnet-run"
    assert {"findings.json", "health.csv", "health.safetensors"} < set(names(directory))
    at_once = json.loads((directory / "report.json").read_text())
    assert at_once["health"]["histograms"]["weight"] and at_once["health"]["histograms"]["gradient"]
    fn.report(directory, tmp_path / "later.html")
    later = json.loads((tmp_path / "later.json").read_text())
    assert at_once == later
    # A run without a monitor in the same place leaves no files of the other network.
    assert run("train", "--epochs", 1, "--overwrite").code == 0
    assert not {"findings.json", "health.csv", "health.safetensors"} & set(names(directory))


def test_regression_in_the_units_of_the_target(run, tmp_path, houses, undrawn):
    assert run("train", "--data", houses, "--target", "price", "--epochs", 3, "--report").code == 0
    saved, numbers = (json.loads((tmp_path / "fastnet-run" / name).read_text()) for name in ("run.json", "report.json"))
    (output,) = numbers["results"]["outputs"]
    assert abs(output["rmse"] / saved["results"]["test RMSE"] - 1) < 1e-5
    assert max(output["true"]) > 10_000
    assert set(numbers["results"]["features"]["city"]) <= {"Oslo", "Rome"}
    text = (tmp_path / "fastnet-run" / "report.html").read_text(encoding="utf-8")
    assert "<caption>Samples with the largest errors of price" in text


def test_without_matplotlib_the_run_is_saved(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("train", "--epochs", 1, "--report")
    assert result.code == 0 and 'pip install "fastnet-cpu[plot]"' in result.out.splitlines()[-1]
    assert names(tmp_path / "fastnet-run") == ["history.csv", "model.safetensors", "report.json", "run.json"]
