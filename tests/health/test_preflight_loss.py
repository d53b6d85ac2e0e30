"""Checks before training of the loss, the output and the targets."""

import numpy as np
import pytest
from preflight_networks import ENOUGH_TIME, SIGMOID, SOFTMAX, codes, found, mlp, quick, regression

import fastnet as fn
from fastnet import initializers


def test_softmax_twice(digits):
    net = mlp(last=fn.Dense(10, activation="softmax", name="head"))
    report = quick(net, *digits, loss=SOFTMAX)
    finding = found(report, "loss and output", "saturated-activation", "problem")
    assert finding.layer == "head" and "softmax" in finding.meaning and "activation=None" in finding.remedy
    assert not report.ok


@pytest.mark.parametrize(
    ("outputs", "loss", "change", "words"),
    [
        (10, SIGMOID, lambda y: y, "softmax_cross_entropy"),
        (10, "mse", lambda y: y, "softmax_cross_entropy"),
        (1, SOFTMAX, lambda y: y % 2, "sigmoid_cross_entropy"),
        (10, SOFTMAX, lambda y: y.astype(float), "astype(int)"),
        (10, SOFTMAX, lambda y: y + 1, "y - 1"),
        (8, SOFTMAX, lambda y: y, "10 units"),
        (1, SIGMOID, lambda y: y, "softmax_cross_entropy"),
        (1, SIGMOID, lambda y: 2 * (y % 2) - 1, "(y + 1) / 2"),
        (1, "poisson", lambda y: y - 5, "mse"),
        (3, "mse", lambda y: np.zeros((len(y), 2)), "(n, 3)"),
    ],
)
def test_losses_that_do_not_fit_the_targets(digits, outputs, loss, change, words):
    x, y = digits
    report = quick(mlp(outputs=outputs), x, change(y), loss=loss)
    assert words in found(report, "loss and output", "labels", "problem").remedy


def test_probabilities_that_do_not_sum_to_1(digits):
    x, y = digits
    report = quick(mlp(), x, np.eye(10)[y] / 2, loss=SOFTMAX)
    found(report, "loss and output", "labels", "warning")
    assert codes(fn.preflight(mlp(), x, np.eye(10)[y], loss=SOFTMAX, seconds=ENOUGH_TIME)) == []


@pytest.mark.parametrize(
    ("activation", "change", "severity"),
    [
        ("relu", lambda y: y, "problem"),
        ("relu", abs, None),
        ("sigmoid", lambda y: y, "problem"),
        ("tanh", lambda y: 3 * y, "problem"),
        ("tanh", lambda y: y / abs(y).max(), None),
        (fn.ELU(0.5), lambda y: y, "problem"),
        (fn.ELU(5), lambda y: y, None),
        ("softplus", lambda y: np.where(np.arange(len(y)) % 50, abs(y), -1), "warning"),  # 2 % of the targets
        (None, lambda y: y, None),
    ],
)
def test_outputs_that_cannot_reach_the_targets(table, activation, change, severity):
    net = regression(last=fn.Dense(1, activation=activation, name="head"))
    y = change(table[1])
    report = quick(net, table[0], y, loss="mse")
    if severity is None:
        assert report["range of the output"].result == "good"
    else:
        finding = found(report, "range of the output", "saturated-activation", severity)
        assert finding.layer == "head" and getattr(activation, "name", activation) in finding.meaning
        assert finding.evidence["least target"] == pytest.approx(y.min())


@pytest.mark.parametrize(
    ("activation", "loss", "severity"),
    [("tanh", SOFTMAX, "warning"), ("sigmoid", SOFTMAX, "problem"), ("relu", SOFTMAX, "warning"), ("relu", SIGMOID, "problem"),
     ("gelu", SOFTMAX, None)],
)  # fmt: skip
def test_logits_in_a_narrow_range(digits, activation, loss, severity):
    x, y = digits
    outputs = 10 if loss == SOFTMAX else 1
    net = mlp(last=fn.Dense(outputs, activation=activation, name="head"))
    report = quick(net, x, y if loss == SOFTMAX else y % 2, loss=loss)
    if severity is None:
        assert report["range of the output"].result == "good"
    else:
        found(report, "range of the output", "saturated-activation", severity)


@pytest.mark.parametrize("loss", [SOFTMAX, SIGMOID, "mse"])
def test_the_first_loss_is_compared_with_that_of_outputs_of_0(digits, table, loss):
    x, y = digits if loss != "mse" else table
    y = y % 2 if loss == SIGMOID else y
    expected = {SOFTMAX: np.log(10), SIGMOID: np.log(2), "mse": np.mean(y**2)}[loss]
    shape = x.shape[1:]

    def report(std):
        last = fn.Dense(10 if loss == SOFTMAX else 1, init=initializers.Normal(std=std))
        return quick(mlp(input_shape=shape, last=last), x, y, loss=loss)

    check = report(0.01)["first loss"]
    assert check.result == "good"
    # Of the table 256 samples are looked at: their mean square deviates by about 1 / sqrt(256).
    assert check.numbers["expected"] == pytest.approx(expected, rel=1e-6 if loss != "mse" else 0.3)
    assert check.numbers["loss"] == pytest.approx(check.numbers["expected"], rel=0.05)
    found(report(20), "first loss", "initialization-scale", "warning")
    if loss != "mse":
        found(report(2), "first loss", "initialization-scale", "info")
