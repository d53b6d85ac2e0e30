"""Reports of run directories: the test part again, health tables, damaged and missing files."""

import json
import shutil

import numpy as np
import pytest
from html_checks import check_page

import fastnet as fn
from fastnet import files
from fastnet.cli import main
from fastnet.cli.run_directory import RunDirectory
from fastnet.files.runs import FINDINGS, HEALTH, HISTOGRAMS, HISTORY, MARK, MODEL
from fastnet.reports.internals import internals_of
from fastnet.reports.training import contents
from fastnet.reports.training_page import page


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on a table with a class, made once."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    lines = ["length,colour,kind"]
    for i in range(150):
        kind = i % 3
        lines.append(f"{rng.normal(kind, 0.5):.3f},{['red', 'blue'][kind == 1]},{'abc'[kind]}")
    (folder / "flowers.csv").write_text("\n".join(lines))
    arguments = ["train", "--data", folder / "flowers.csv", "--target", "kind", "--epochs", 4, "--out", folder / "run",
                 "--validation", 0.2, "--hidden", "8"]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to change at will."""
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


def text_of(numbers, pictures):
    reader = check_page(page(numbers, pictures).html())
    return " ".join(" ".join(reader.text).split())


def test_the_test_part_is_read_again(run, undrawn):
    numbers, pictures = contents(run)
    saved = json.loads((run / MARK).read_text())
    results = numbers["results"]
    assert results["samples"] == saved["samples"]["test"] == 30 and results["classes"] == ["a", "b", "c"]
    assert results["accuracy"] == pytest.approx(saved["results"]["test accuracy"])
    assert numbers["command"] == saved["command"] and numbers["learning_rates"] == [1e-3] * 4
    for mistake, length, colour in zip(results["mistakes"], *results["features"].values(), strict=True):
        assert mistake["true"] in "abc" and -3 < length < 5 and colour in ("red", "blue")
    text = text_of(numbers, pictures)
    assert saved["command"] in text and "Results on labelled data" in text and "learning rate was 0.00100" in text
    assert "fastnet train --health" in text and "hidden 8" in text


def test_data_that_is_gone_or_has_changed(run, finished, tmp_path, undrawn):
    saved = json.loads((run / MARK).read_text())
    changed = tmp_path / "changed.csv"
    for data, expected in (
        (tmp_path / "none.csv", "is not there any more"),
        (changed, "has changed since"),
        (run / MODEL, "can't be read any more"),
    ):
        changed.write_text((finished / "flowers.csv").read_text() + "\n99,red,a")
        saved["options"]["data"] = str(data)
        (run / MARK).write_text(json.dumps(saved))
        numbers, pictures = contents(run)
        assert numbers["results"] is None and expected in text_of(numbers, pictures)
    rng = np.random.default_rng(0)
    numbers, _ = contents(run, data=(rng.normal(size=(5, 3)), np.arange(5) % 3), class_names=["x", "y", "z"])
    assert numbers["results"]["samples"] == 5 and numbers["results"]["classes"] == ["x", "y", "z"]


def watched():
    x = np.random.default_rng(0).normal(size=(200, 3))
    net = fn.Network([fn.Dense(8, activation="relu"), fn.Dense(2)], input_shape=(3,), seed=0)
    monitor = fn.HealthMonitor()
    net.fit(x, (x[:, 0] > 0).astype(int), epochs=3, loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    return monitor


def test_health_and_findings_of_a_run(run, undrawn):
    monitor = watched()
    monitor.table.save(run / HEALTH)
    finding = fn.Finding("dead-relu", "warning", "dense_1", 4, {"dead": 0.5}, "Half of it is off.", "Turn it on.")
    (run / FINDINGS).write_text(json.dumps([finding.to_dict()]))
    monitor.table.save_histograms(run / HISTOGRAMS)
    assert contents(run)[0]["health"] == files.plain(internals_of(monitor.table.columns(), monitor.table.histograms()))
    assert "There are no histograms" not in text_of(*contents(run))
    (run / HISTOGRAMS).unlink()  # as of a run of an older version
    numbers, pictures = contents(run)
    norms = numbers["health"]["figures"]["gradient"]["dense_1.weight"]["norm"]
    assert norms == monitor.table.series("dense_1.weight", "gradient").values["norm"].tolist()
    text = text_of(numbers, pictures)
    assert "Warning: dead-relu in dense_1 (step 4). Half of it is off. Turn it on." in text
    assert "Gradients and updates" in text and "There are no histograms" in text and "health 1 warning" in text


def test_findings_with_numbers_that_are_not_finite(run, undrawn, monkeypatch, capsys):
    evidence = {"ratio": np.float32(np.inf), "dead": np.nan, "units": 3}
    history = fn.History()
    history.health = fn.HealthMonitor()
    finding = fn.Finding("dead-relu", "warning", "dense_1", np.int64(4), evidence, "Half of it is off.", "Turn it on.")
    monkeypatch.setattr(fn.History, "findings", [finding])
    net = fn.load(run / MODEL)
    RunDirectory(str(run), overwrite=True).save(net, history, json.loads((run / MARK).read_text()))

    def refuse(constant):
        raise AssertionError(constant)

    saved = json.loads((run / FINDINGS).read_text(), parse_constant=refuse)
    assert saved[0]["evidence"] == {"ratio": None, "dead": None, "units": 3.0} and saved[0]["step"] == 4
    assert fn.Finding.from_dict(saved[0]).to_dict() == saved[0]
    numbers, pictures = contents(run)
    assert numbers["findings"] == saved
    assert "ratio not finite, dead not finite, units 3" in text_of(numbers, pictures).lower()
    assert main(["compare", str(run), str(run)]) == 0
    assert "warning: dead-relu in dense_1" in capsys.readouterr().out


def test_histograms_of_another_table(run):
    monitor = watched()
    monitor.table.save(run / HEALTH)
    files.write_safetensors(run / HISTOGRAMS, {"histograms": monitor.table.histograms()[:-1]}, {})
    with pytest.raises(ValueError, match="does not hold the histograms of a table of"):
        contents(run)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (MARK, "{", "run.json is damaged"),
        (MARK, "[]", "run.json is damaged: it does not hold a dict"),
        (HISTORY, "epoch,loss\n1,2,3\n", "history.csv is damaged: a line has more or fewer fields"),
        (HISTORY, "epoch,loss\n1,x\n", "history.csv is damaged: could not convert"),
        (HEALTH, "step,name\n1,a\n", "health.csv is damaged: it has no column 'bad'"),
        (FINDINGS, '[{"code": "dead-relu"}]', "findings.json is damaged"),
        (FINDINGS, "[3]", "findings.json is damaged"),
        (MODEL, "", "model.safetensors is empty"),
    ],
)
def test_damaged_files(run, name, content, expected):
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=expected):
        contents(run)
