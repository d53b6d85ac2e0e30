"""Checks before training of inputs and targets."""

import numpy as np
import pytest
from preflight_networks import ENOUGH_TIME, SIGMOID, SOFTMAX, codes, found, mlp, quick, regression

import fastnet as fn


def test_values_that_are_not_finite(digits):
    x, y = digits
    x = x.reshape(-1, 64).copy()
    x[17, 3], x[40, 5] = np.nan, np.inf
    report = quick(mlp(input_shape=(64,)), x, y, loss=SOFTMAX)
    finding = found(report, "finite values", "non-finite", "problem")
    assert finding.evidence == {"samples": 2, "first": 17}
    assert "sample 17, column 3" in finding.meaning
    assert not report.ok and len(report.checks) == 2


def test_targets_that_are_not_finite(table):
    x, y = table
    y = y.copy()
    y[9] = -np.inf
    report = quick(regression(), x, y, loss="mse")
    assert "sample 9" in found(report, "finite values", "non-finite", "problem").meaning


def test_weights_that_are_not_finite(digits):
    net = mlp()
    with net["dense_1"].weight.edit() as w:
        w[0, 0] = np.nan
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert found(report, "activations by depth", "non-finite", "problem").layer == "dense_1"
    found(report, "first loss", "non-finite", "problem")
    found(report, "one batch", "non-finite", "problem")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x * np.where(np.arange(10) == 3, 200, 1), "column 3"),  # one large column
        (lambda x: x * np.where(np.arange(10) < 4, 1e-3, 1), "very different scales"),  # some small ones
        (lambda x: x * np.where(np.arange(10) == 3, 20, 1), None),
        (lambda x: x + np.where(np.arange(10) == 7, 2000, 0), "mean of column 7"),
        (lambda x: x + 5, None),
        (lambda x: 20 * x, "large"),
        (lambda x: 1e-3 * x, "tiny"),
        (lambda x: 0.1 * x, None),
        # Columns that are 0 but for few samples: counts, margins of images.
        (lambda x: np.where((np.arange(10) < 5) & (x < 2.5), 0, x) * np.where(np.arange(10) < 5, 0.001, 1), None),
    ],
)
def test_scales_of_inputs(table, change, words):
    x, y = table
    report = quick(regression(), change(x), y, loss="mse")
    if words is None:
        assert report["inputs"].findings == ()
    else:
        assert any(words in finding.meaning and finding.severity == "warning" for finding in report["inputs"].findings)


def test_pixels_as_bytes_are_large(digits):
    x, y = digits
    assert "large" in found(quick(mlp(), 255 * x, y, loss=SOFTMAX), "inputs", "input-scale", "problem").meaning
    norm_first = fn.Network([fn.BatchNorm(), fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    report = quick(norm_first, 255 * x, y, loss=SOFTMAX)
    assert report["inputs"].findings == ()
    assert "normalizes" in report["inputs"].sentence


def test_normalize_is_looked_behind(table):
    x, y = table
    x = 1000 * x + 3000
    layers = [fn.Dense(16, activation="relu"), fn.Dense(1)]
    net = fn.Network([fn.Normalize.of(x), *layers], input_shape=(10,), seed=0)
    assert quick(net, x, y, loss="mse")["inputs"].findings == ()
    wrong = fn.Network([fn.Normalize(0, 1), *[fn.Dense(16, activation="relu"), fn.Dense(1)]], input_shape=(10,), seed=0)
    assert "behind normalize_1" in found(quick(wrong, x, y, loss="mse"), "inputs", "input-scale").meaning


def test_constant_columns_are_worth_knowing(digits):
    x, y = digits
    flat = x.reshape(-1, 64)
    expected = int((flat == flat[0]).all(axis=0).sum())
    assert expected > 0
    finding = found(quick(mlp(input_shape=(64,)), flat, y, loss=SOFTMAX), "inputs", "input-scale", "info")
    assert finding.evidence["constant"] == expected


def test_samples_that_are_all_the_same(digits):
    x, y = digits
    report = quick(mlp(), np.ones_like(x), y, loss=SOFTMAX)
    found(report, "inputs", "input-scale", "problem")


def test_repeated_samples(digits):
    x, y = digits
    twice, labels = np.concatenate([x, x[:300]]), np.concatenate([y, y[:300]])
    report = quick(mlp(), twice, labels, loss=SOFTMAX)
    assert found(report, "repeated samples", "labels", "info").evidence["repeated"] == pytest.approx(600 / len(twice))
    assert quick(mlp(), x, y, loss=SOFTMAX)["repeated samples"].numbers["repeated"] < 0.01


def test_the_same_samples_with_other_labels(digits):
    x, y = digits
    twice, labels = np.concatenate([x, x[:300]]), np.concatenate([y, (y[:300] + 1) % 10])
    report = fn.preflight(mlp(), twice, labels, loss=SOFTMAX, seconds=ENOUGH_TIME)
    finding = found(report, "repeated samples", "labels", "warning")
    assert finding.evidence["contradicting"] == pytest.approx(600 / len(twice))
    assert finding.evidence["best accuracy"] == pytest.approx(1 - 300 / len(twice), abs=0.01)
    assert report["one batch"].result == "good"  # which is made of different samples


def test_few_different_samples_repeat_as_a_matter_of_course():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (500, 3)), rng.integers(0, 2, 500)
    report = fn.preflight(mlp((16,), input_shape=(3,), outputs=2), x, y, loss=SOFTMAX, seconds=ENOUGH_TIME)
    found(report, "repeated samples", "labels", "info")
    assert codes(report) == []


# Targets


def test_classes_of_different_sizes(digits):
    x, y = digits
    rare = np.flatnonzero(y == 3)
    keep = np.setdiff1d(np.arange(len(y)), rare[5:])
    finding = found(quick(mlp(), x[keep], y[keep], loss=SOFTMAX), "classes", "labels", "warning")
    assert "Class 3" not in finding.meaning and "class 3 has 5" in finding.meaning
    binary = (y == 3).astype(int)[np.concatenate([np.flatnonzero(y != 3), rare[:20]])]
    x = x[np.concatenate([np.flatnonzero(y != 3), rare[:20]])]
    found(quick(mlp(outputs=1), x, binary, loss=SIGMOID), "classes", "labels", "warning")


def test_classes_that_never_occur(digits):
    x, y = digits
    report = quick(mlp(outputs=12), x, y, loss=SOFTMAX)
    assert "10, 11" in found(report, "classes", "labels", "warning").meaning
    report = quick(mlp(outputs=11), x, y + 1, loss=SOFTMAX)
    assert "count from 0" in found(report, "classes", "labels", "warning").remedy
    report = quick(mlp(), x, np.full_like(y, 4), loss=SOFTMAX)
    found(report, "classes", "labels", "problem")


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (lambda y: 1e4 * y, "input-scale", "warning"),
        (lambda y: 1e-4 * y, "input-scale", "warning"),
        (lambda y: 10 * y, None, None),
        (lambda y: y + 1000, "input-scale", "warning"),
        (lambda y: y + 50, "input-scale", "info"),
        (lambda y: 0 * y + 3, "labels", "problem"),
    ],
)
def test_scales_of_targets(table, change, code, severity):
    report = quick(regression(), table[0], change(table[1]), loss="mse")
    if code is None:
        assert report["targets"].findings == ()
    else:
        found(report, "targets", code, severity)
