"""Figures of weights against NumPy, the effective rank against what it must be, and findings without data."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.health.weights import effective_rank, findings_of_weights, weight_figures


def test_figures_agree_with_numpy():
    w = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    w[0, :3] = 0
    found = weight_figures(w)
    exact = w.astype(np.float64)
    expected = {"mean": exact.mean(), "std": exact.std(), "least": exact.min(), "greatest": exact.max(),
                "norm": np.sqrt((exact**2).sum()), "zeros": 3 / 35}  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-14)
    assert found["shape"] == [5, 7] and found["size"] == 35 and found["bad"] == 0
    assert found["counts"] == np.histogram(exact, 32)[0].tolist()


def test_values_that_are_not_finite_are_counted_and_left_out():
    found = weight_figures([[1.0, np.nan], [np.inf, 3.0]])
    assert found["bad"] == 2 and found["mean"] == 2 and found["rank"] is None and sum(found["counts"]) == 2
    lost = weight_figures([np.nan])
    assert lost["bad"] == 1 and lost["mean"] is None and sum(lost["counts"]) == 0


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(6), 6),
        (np.outer(np.arange(1, 5), np.arange(1, 4)), 1),
        (1e-200 * np.eye(3), 3),
        (np.diag([3.0, 1.0]), np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))),
        (np.eye(12).reshape(2, 3, 2, 12), 12),  # of a convolution the filters are columns
    ],
)
def test_effective_rank(matrix, expected):
    assert effective_rank(matrix) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("array", [np.ones(3), np.zeros((2, 2)), np.array([[np.nan]]), np.ones((0, 2))])
def test_what_has_no_effective_rank(array):
    assert effective_rank(array) is None


def network(**values):
    layers = [fn.Dense(4, activation="relu", name="first"), fn.Dense(3, name="second"), fn.Dense(2, name="head")]
    net = fn.Network(layers, input_shape=(5,), seed=0)
    for name, value in values.items():
        layer, parameter = name.split("_")
        getattr(net[layer], parameter).assign(value)
    return net


def changed(net, layer, **columns):
    w = net[layer].weight.value.copy()
    w[:, columns["zero"]] = 0
    net[layer].weight.assign(w)
    return net


def test_a_fresh_network_has_no_findings():
    assert findings_of_weights(network().graph) == []


def test_equal_units_and_values_that_are_not_finite():
    net = network(first_weight=np.full((5, 4), 0.1), head_bias=[np.nan, 0])
    found = [(f.code, f.severity, f.layer) for f in findings_of_weights(net.graph)]
    assert found == [
        ("symmetric-initialization", "problem", "first"),
        ("non-finite", "problem", "head.bias"),
    ]


@pytest.mark.parametrize(
    ("layer", "bias", "zero", "code", "severity", "says"),
    [
        ("first", [0, 0, 0, -1], [1, 2], "dead-relu", "warning", "their output is 0"),
        ("first", [0, 1, 0, 0], [1, 2], "initialization-scale", "warning", "their output is the same"),
        ("second", [0, 0, 0], [1, 2], "initialization-scale", "warning", "their output is the same"),
        ("head", [0, 0], [0, 1], "initialization-scale", "info", "their output is the same"),
    ],
)
def test_units_whose_weights_are_all_zero(layer, bias, zero, code, severity, says):
    net = changed(network(**{f"{layer}_bias": bias}), layer, zero=zero)
    (finding,) = findings_of_weights(net.graph)
    assert (finding.code, finding.severity, finding.layer) == (code, severity, layer)
    assert finding.evidence["units"] == 2 and f"({zero[0]}, {zero[1]})" in finding.meaning and says in finding.meaning


def test_units_of_zero_weights_part_in_training():
    """So they are no copies of each other, unlike units with equal weights in both directions."""
    net = changed(network(), "second", zero=[1, 2])
    x = np.random.default_rng(0).normal(size=(64, 5))
    net.fit(x, x[:, :2], loss="mse", optimizer=fn.SGD(0.1), epochs=5, verbose=0)
    w = net["second"].weight.value
    assert np.abs(w[:, 1] - w[:, 2]).max() > 1e-3
    assert findings_of_weights(net.graph) == []
