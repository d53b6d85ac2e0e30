"""Reports of trainings: what is on the page, for every kind of training; files, and mistakes."""

import functools
import json
import sys
import warnings

import numpy as np
import pytest
from html_checks import check_page
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import fastnet as fn
from fastnet.reports.text import percent
from fastnet.reports.training import contents
from fastnet.reports.training_page import page

EVIL = "<script>alert(1)</script>"


@functools.cache
def digits_run(health=True, validation=True):
    (x, y), test = fn.datasets.digits()
    layers = [
        fn.Conv2D(8, 3, activation="relu"),
        fn.BatchNorm(),
        fn.Flatten(),
        fn.Dense(16, activation="relu"),
        fn.Dense(10),
    ]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    rate = fn.schedules.Exponential(1e-3, gamma=0.5, by="epoch")
    history = net.fit(x, y, epochs=3, loss="softmax_cross_entropy", optimizer=fn.Adam(rate), metrics=["accuracy"],
                      validation=test if validation else None, health=health, verbose=0)  # fmt: skip
    return net, history, test


@functools.cache
def table_run():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = x[:, 0] - 2 * x[:, 1] + 0.1 * rng.normal(size=300)
    net = fn.Network([fn.Dense(8, activation="tanh"), fn.Dense(1)], input_shape=(4,), seed=0)
    history = net.fit(x[:200], y[:200], epochs=4, loss="mse", optimizer=fn.SGD(0.01), metrics=["r2"], verbose=0)
    return net, history, (x[200:], y[200:])


def made(history, **options):
    """Numbers, and the page as the reader of `check_page` has it."""
    numbers, pictures = contents(history, **options)
    assert numbers == json.loads(json.dumps(numbers, allow_nan=False))
    text = page(numbers, pictures).html()
    reader = check_page(text)
    reader.all = " ".join(" ".join(reader.text).split())
    words = reader.all.replace(",", " ").split()
    assert not {"nan", "inf", "None"} & set(words)
    return numbers, reader


def test_everything(undrawn):
    net, history, test = digits_run()
    numbers, reader = made(history, net=net, data=test)
    predicted = net.predict_class(test[0])
    assert numbers["results"]["confusion"] == confusion_matrix(test[1], predicted).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(test[1], predicted, zero_division=0)
    for digit in range(10):
        row = [str(digit), percent(precision[digit]), percent(recall[digit]), percent(f1[digit]), str(support[digit])]
        assert " ".join(row) in reader.all
    row = ["mean of the classes", *(percent(v.mean()) for v in (precision, recall, f1))]
    assert " ".join(row) in reader.all
    for section in ("Findings", "Loss and metrics", "Results on labelled data", "Inside of the network",
                    "What the first layer looks for", "Repeat it"):  # fmt: skip
        assert section in reader.all
    assert f"accuracy on the data given {percent(net.evaluate(*test)['accuracy'], 2)}" in reader.all
    assert numbers["curves"]["val_loss"] == history["val_loss"]
    alts = [image["alt"] for image in reader.images]
    assert any(alt.startswith("loss over 3 epochs: training from") and "validation from" in alt for alt in alts)
    assert any(alt.startswith("The learning rate of each epoch, from 0.00100 to 2.5 × 10⁻⁴") for alt in alts)
    assert any(alt.startswith("Distribution of the gradients of dense_2.weight") for alt in alts)
    assert any(alt.startswith("All 8 filters of conv2d_1, 3 × 3 weights") for alt in alts)
    assert any("The standard deviation of layers' outputs" in alt for alt in alts)
    assert (
        "seed 0" in reader.all
        and "Adam(learning_rate=Exponential(" in reader.all
        and "conv2d_1: Conv2D(filters=8" in reader.all
    )
    best = int(np.argmin(history["val_loss"]))
    assert f"best validation loss {best + 1} " in reader.all


def test_the_bare_history(undrawn):
    _, history, _ = digits_run(health=False, validation=False)
    numbers, reader = made(history)
    assert numbers["results"] is None and numbers["health"] is None and numbers["findings"] is None
    assert "fn.report(history, path, net=net, data=(x, y))" in reader.all
    assert reader.all.count("net.fit(..., health=True)") == 2 and "net.fit(..., validation=0.2)" in reader.all
    assert "conv2d_1: Conv2D(" in reader.all and "What the first layer" not in reader.all
    assert len(reader.images) == 3


def test_a_history_without_an_epoch(undrawn):
    net = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)
    _, reader = made(net.fit(np.ones((4, 3)), np.zeros(4, int), epochs=0, loss="softmax_cross_entropy", verbose=0))
    assert "Trained for 0 epochs with 4 samples" in reader.all and "No epoch was finished." in reader.all


def test_regression(undrawn):
    net, history, (x, y) = table_run()
    numbers, reader = made(history, net=net, data=(x, y))
    residuals = net.predict(x)[:, 0] - y
    output = numbers["results"]["outputs"][0]
    assert output["rmse"] == pytest.approx(np.sqrt(np.mean(residuals**2)), rel=1e-5)
    assert output["predicted"] == pytest.approx(net.predict(x)[:, 0].tolist(), rel=1e-6)
    worst = int(np.abs(residuals).argmax())
    assert numbers["results"]["mistakes"][0]["sample"] == worst
    assert "The largest errors" in reader.all and f"{worst} " in reader.all and "x[3]" in reader.all
    assert any(
        image["alt"].startswith("Predicted target against the true one for 100 samples") for image in reader.images
    )
    assert "confusion" not in numbers["results"]


def test_several_outputs_and_labels(undrawn):
    x = np.random.default_rng(0).normal(size=(40, 6))
    for loss, y in (("mse", x), ("sigmoid_cross_entropy", (x > 0).astype(float))):
        net = fn.Network([fn.Dense(6)], input_shape=(6,), seed=0)
        numbers, reader = made(net.fit(x, y, loss=loss, verbose=0), net=net, data=(x, y))
        if loss == "mse":
            assert "2 more outputs are not shown" in reader.all and "output 4" in reader.all
        else:
            assert numbers["results"]["task"] == "labels" and "may have several labels" in reader.all


def test_rows_of_tables(undrawn):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 9)), rng.integers(0, 2, 60)
    net = fn.Network([fn.Dense(2)], input_shape=(9,), seed=0)
    history = net.fit(x, y, loss="softmax_cross_entropy", verbose=0)
    numbers, reader = made(history, net=net, data=(x, y), class_names=["no", "yes"])
    worst = numbers["results"]["mistakes"][0]
    assert f"{worst['sample']} {worst['true']} {worst['predicted']} {percent(worst['probability'])}" in reader.all
    assert "the first 6 of 9 inputs" in reader.all and "x[5]" in reader.all and "x[6]" not in reader.all


def test_names_and_titles_are_escaped():
    rng = np.random.default_rng(0)
    x, y = rng.random((12, 5, 5, 3)), rng.integers(0, 2, 12)
    net = fn.Network([fn.Conv2D(2, 3, name=EVIL), fn.Flatten(), fn.Dense(2)], input_shape=(5, 5, 3), seed=0)
    history = net.fit(x, y, loss="softmax_cross_entropy", metrics=["accuracy"], verbose=0, health=True)
    numbers, reader = made(history, net=net, data=(x, y), class_names=[EVIL, "$\\bad$ \u202e `b`"], title=EVIL)
    assert reader.all.count(EVIL) > 3  # as text, not as elements: check_page refuses those
    assert numbers["title"] == EVIL
    assert len(reader.images) >= 6


def test_findings_come_most_severe_first(undrawn):
    (x, y), _ = fn.datasets.digits()
    layers = [fn.Flatten(), *(fn.Dense(16, activation="sigmoid") for _ in range(6)), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = net.fit(
            x * 500, y, epochs=8, loss="softmax_cross_entropy", optimizer=fn.SGD(0.5), health=True, verbose=0
        )
    findings = history.findings
    assert findings
    numbers, reader = made(history)
    assert numbers["findings"] == [finding.to_dict() for finding in findings]
    places = [
        reader.all.index(f": {finding.code}" + (f" in {finding.layer}" if finding.layer else ""))
        for finding in findings
    ]
    assert places == sorted(places)
    for finding in findings:
        assert " ".join(finding.meaning.split()) in reader.all and " ".join(finding.remedy.split()) in reader.all


def test_weights_speak_where_no_monitor_was(undrawn):
    net, history, test = digits_run(health=False, validation=False)
    broken = net.copy()
    w = broken["dense_1"].weight.value.copy()
    w[:, :3] = 0
    broken["dense_1"].weight.assign(w)
    _, reader = made(history, net=broken, data=test)
    assert "The weights alone show" in reader.all and "3 of the 16 units of dense_1" in reader.all
    broken["dense_2"].bias.assign(np.full(10, np.nan))
    numbers, reader = made(history, net=broken, data=test)
    assert "There are no predictions to look at: the network's outputs are not finite." in reader.all
    assert numbers["results"]["task"] is None


def test_a_training_that_ended_early(undrawn):
    net = fn.Network([fn.Dense(8), fn.Dense(1)], input_shape=(3,), seed=0)
    x = np.random.default_rng(0).normal(size=(64, 3)) * 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = net.fit(
            x, x[:, 0], epochs=20, loss="mse", optimizer=fn.SGD(1.0), on_nonfinite="stop", health=True, verbose=0
        )
    assert history.stopped == "not finite"
    _, reader = made(history, net=net)
    assert "because a loss or gradient was not finite" in reader.all


def test_files(tmp_path, undrawn):
    net, history, test = digits_run()
    written = fn.report(history, tmp_path / "training.html", net=net, data=test, title="Digits")
    assert written == [str(tmp_path / "training.json"), str(tmp_path / "training.html")]
    numbers = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))
    assert numbers["title"] == "Digits" and numbers["results"]["samples"] == 355
    assert check_page((tmp_path / "training.html").read_text(encoding="utf-8")).headings[0] == 1


def test_without_matplotlib_the_numbers_are_written(tmp_path, monkeypatch):
    _, history, _ = table_run()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fastnet-cpu\[plot\]"'):
        fn.report(history, tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_mistakes(tmp_path):
    net, history, data = table_run()
    path = tmp_path / "a.html"
    for options, error, expected in (
        ({"data": data}, ValueError, "data needs net="),
        ({"data": data[0], "net": net}, TypeError, r"data must be \(x, y\)"),
        ({"net": "model"}, TypeError, "net must be a Network; got str 'model'"),
        ({"net": net, "class_names": ["a"]}, ValueError, "class_names needs data="),
        ({"title": ""}, TypeError, "title must be a text"),
    ):
        with pytest.raises(error, match=expected):
            fn.report(history, path, **options)
    with pytest.raises(ValueError, match="path must end with .html"):
        fn.report(history, tmp_path / "a.json")
    with pytest.raises(TypeError, match="history_or_run must be a History or the directory of a run; got dict"):
        fn.report(dict(history), path)
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        fn.report(tmp_path / "none", path)
    with pytest.raises(FileNotFoundError, match=r"not the directory of a finished run: it has no run\.json"):
        fn.report(tmp_path, path)
    assert list(tmp_path.iterdir()) == []
