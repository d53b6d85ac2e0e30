"""Checks before training of the first pass, layer by layer."""

import numpy as np
import pytest
from preflight_networks import ENOUGH_TIME, SOFTMAX, codes, found, mlp, quick

import fastnet as fn
from fastnet import initializers


def test_vanishing_gradients(digits):
    report = fn.preflight(mlp((32,) * 10, "sigmoid"), *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    finding = found(report, "gradients by depth", "vanishing-gradients")
    assert finding.layer == "dense_1"
    assert finding.evidence["first / last"] < 1e-3 and finding.evidence["rate"] < 0.5


def test_exploding_gradients(digits):
    net = mlp((64,) * 40, "tanh", init=initializers.Normal(std=4 / 8))
    finding = found(quick(net, *digits, loss=SOFTMAX), "gradients by depth", "exploding-gradients")
    assert finding.evidence["first / last"] > 1e3


@pytest.mark.parametrize(("gain", "word"), [(0.4, "shrinks"), (4, "grows")])
def test_signals_that_change_with_depth(digits, gain, word):
    net = mlp((64,) * 12, init=initializers.Normal(std=gain * np.sqrt(2 / 64)))
    finding = found(quick(net, *digits, loss=SOFTMAX), "activations by depth", "initialization-scale")
    assert word in finding.meaning
    assert finding.evidence["rate"] == pytest.approx(gain, rel=0.2)


def test_batch_norm_keeps_the_signal(digits):
    inner = [part for _ in range(12) for part in (fn.Dense(64, init=initializers.Normal(std=30)), fn.BatchNorm(),
                                                  fn.Activation("tanh"))]  # fmt: skip
    net = fn.Network([fn.Flatten(), *inner, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    report = quick(net, *digits, loss=SOFTMAX)
    assert report["activations by depth"].result == "good"
    assert report["units"].result == "good"  # as the batch is normalized, not as first running statistics have it


def test_small_branches_and_last_layers_are_no_fault(digits):
    small = initializers.Normal(std=1e-5)
    branches = [fn.Residual([fn.Dense(64, activation="relu"), fn.Dense(64, init=small)]) for _ in range(2)]
    net = fn.Network([fn.Flatten(), fn.Dense(64), *branches, fn.Dense(10, init=small)], input_shape=(8, 8, 1), seed=0)
    assert codes(fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME), "info") == []


def test_signals_that_grow_from_block_to_block(digits):
    large = initializers.Normal(std=6 / 8)
    blocks = [fn.Residual([fn.Dense(64, activation="relu"), fn.Dense(64, init=large)]) for _ in range(8)]
    net = fn.Network([fn.Flatten(), *blocks, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    finding = found(quick(net, *digits, loss=SOFTMAX), "activations by depth", "initialization-scale")
    assert "grows" in finding.meaning and "std of residual_8.add_1" in finding.evidence


def test_one_layer_of_another_scale(digits):
    net = mlp((64, 64, 64))
    weight = net["dense_2"].weight
    weight.assign(50 * weight.value)
    finding = found(quick(net, *digits, loss=SOFTMAX), "activations by depth", "initialization-scale")
    assert finding.layer == "dense_2" and 25 < finding.evidence["gain"] < 100


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_units_that_are_all_the_same(digits, value):
    init = initializers.Constant(value)
    net = mlp((16,), "tanh", last=fn.Dense(10, init=init, name="head"), init=init)
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert found(report, "units", "symmetric-initialization", "problem").layer == "dense_1"
    convolution = fn.Network(
        [fn.Conv2D(4, 3, init=init), fn.Flatten(), fn.Dense(10, init=init)], input_shape=(8, 8, 1), seed=0
    )
    found(quick(convolution, *digits, loss=SOFTMAX), "units", "symmetric-initialization", "problem")


def test_equal_units_that_others_tell_apart(digits):
    net = mlp((16,), "tanh", init=initializers.Constant(0.01))
    assert report_codes(net, digits, "units") == []


def report_codes(net, data, check):
    return [f.code for f in quick(net, *data, loss=SOFTMAX)[check].findings]


def test_dead_units(digits):
    net = mlp((32, 32), bias_init=initializers.Constant(-10.0))
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert found(report, "units", "dead-relu", "problem").layer == "dense_1"
    assert not report.ok
    bias = np.where(np.arange(32) < 20, -10, 0)
    half = mlp((32,), bias_init=bias)
    assert found(quick(half, *digits, loss=SOFTMAX), "units", "dead-relu", "warning").evidence["share"] >= 20 / 32


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu", "selu"])
def test_saturated_units(digits, activation):
    x, y = digits
    net = mlp((32,), activation)
    assert report_codes(net, (x, y), "units") == []
    assert report_codes(net, (1000 * x, y), "units") == ["saturated-activation"]
    assert report_codes(net, (1000 * x, y), "activations by depth") == []
