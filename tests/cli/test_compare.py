"""``fastnet compare``, and ``fastnet train --health``, whose files it reads."""

import csv
import json
import re

import pytest


def cells(out, name):
    return re.search(rf"^{re.escape(name)}\s+(\S+)\s+(\S+)$", out, re.MULTILINE).groups()


@pytest.fixture
def runs(run):
    options = ["--model", "mlp", "--hidden", "16", "--epochs", "4"]
    results = [
        run("train", *options, "--out", "a", "--health"),
        run(
            "train",
            *options,
            "--out",
            "b",
            "--health",
            "--optimizer",
            "sgd",
            "--learning-rate",
            "30",
            "--validation",
            "0.2",
        ),
    ]
    assert [result.code for result in results] == [0, 0], results
    return results


def test_train_with_health(run, runs, tmp_path):
    good, bad = runs
    assert re.search(r"^health: nothing found in \d+ looks$", good.out, re.MULTILINE)
    assert "problem: learning-rate-high" in bad.out and "fn.find_learning_rate" in bad.out
    assert "HealthWarning" not in bad.err
    findings = json.loads((tmp_path / "b" / "findings.json").read_text())
    assert findings[0]["code"] == "learning-rate-high"
    with open(tmp_path / "a" / "health.csv") as file:
        assert {row["kind"] for row in csv.DictReader(file)} == {"weight", "gradient", "update", "activation"}
    description = json.loads((tmp_path / "a" / "run.json").read_text())
    assert description["command"].endswith("--out a --health")
    # A run without it in the same place leaves no files of the other network.
    assert run("train", "--model", "mlp", "--epochs", "1", "--out", "a", "--overwrite").code == 0
    assert not (tmp_path / "a" / "health.csv").exists() and not (tmp_path / "a" / "findings.json").exists()


def test_compare(run, runs, tmp_path):
    result = run("compare", "a", "b")
    assert result.code == 0
    out = result.out
    assert cells(out, "optimizer") == ("adam", "sgd")
    assert cells(out, "learning_rate") == ("-", "30")
    assert "epochs       4" not in out.split("Results")[0]
    assert cells(out, "epochs") == ("4", "4")
    results = [json.loads((tmp_path / name / "run.json").read_text())["results"]["test accuracy"] for name in "ab"]
    assert [float(cell) for cell in cells(out, "test accuracy")] == pytest.approx(results, rel=1e-3)
    with open(tmp_path / "a" / "history.csv") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert float(cells(out, "loss after 4")[0]) == pytest.approx(losses[-1], rel=1e-3)
    assert cells(out, "val_loss after 4")[0] == "-"
    assert float(cells(out, "update / weights, head.weight")[0]) > 0
    assert out.splitlines()[-2] == "a: nothing"
    assert out.splitlines()[-1].startswith("b: problem: learning-rate-high")


def test_compare_a_run_with_itself_and_without_health(run):
    assert run("train", "--model", "mlp", "--epochs", "1", "--out", "c").code == 0
    out = run("compare", "c", "c").out
    assert out.startswith("Both runs have the same options")
    assert "Health" not in out and "Findings" not in out


def test_what_is_no_run(run, error, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty has no finished run: run.json" in error("compare", "empty", "empty")
    assert "nowhere is no directory" in error("compare", "nowhere", "empty")
    (tmp_path / "empty" / "run.json").write_text("{")
    assert "empty/run.json is damaged" in error("compare", "empty", "empty")
    assert "RUN" in error("compare", "empty")
