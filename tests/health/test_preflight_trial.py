"""Checks before training that train on one batch."""

import numpy as np
import pytest
from preflight_networks import ENOUGH_TIME, SOFTMAX, codes, found, mlp, quick

import fastnet as fn
from fastnet.health import preflight_trial


class Blind(fn.Layer):
    """A layer that forgets its input."""

    def forward(self, x, training=False):
        return np.zeros_like(x)

    def backward(self, dy):
        return np.zeros_like(dy)


class Sign(fn.Layer):
    """A layer that leaves one bit of its input."""

    def forward(self, x, training=False):
        return np.broadcast_to(np.sign(x.sum(axis=1, keepdims=True)), x.shape)

    def backward(self, dy):
        return np.zeros_like(dy)


def test_a_network_that_ignores_its_inputs(digits):
    net = fn.Network(
        [fn.Flatten(), Blind(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0
    )
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    finding = found(report, "use of the inputs", "underfitting", "problem")
    assert finding.evidence["ratio"] == pytest.approx(1, abs=0.05)
    found(report, "one batch", "underfitting", "problem")


def test_a_network_that_loses_most_of_its_inputs(digits):
    net = fn.Network([fn.Flatten(), fn.Dense(16), Sign(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1),
                     seed=0)  # fmt: skip
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert "underfitting" in [f.code for f in report["one batch"].findings]


def test_dropout_and_penalties_do_not_hide_what_can_be_learned(digits):
    layers = [fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dropout(0.95), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0, regularizer=fn.L2(10))
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert report["one batch"].result == "good"
    assert report["one batch"].numbers["first loss"] == pytest.approx(report["first loss"].numbers["loss"], rel=0.1)


def test_frozen_networks(digits):
    net = mlp((32,))
    net["dense_1"].trainable = False
    assert codes(fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)) == []
    net["head"].trainable = False
    found(quick(net, *digits, loss=SOFTMAX), "one batch", "underfitting", "problem")


@pytest.mark.parametrize(
    ("optimizer", "code"),
    [
        (fn.SGD(1e4), "learning-rate-high"),
        (fn.Adam(30.0), "learning-rate-high"),
        (fn.SGD(1e-7), "learning-rate-low"),
        (fn.SGD(0.0), "learning-rate-low"),
        (fn.SGD(1e-2), None),
        (fn.Adam(1e-2), None),
    ],
)
def test_learning_rates(digits, optimizer, code):
    report = fn.preflight(mlp((32,)), *digits, loss=SOFTMAX, optimizer=optimizer, seconds=ENOUGH_TIME)
    assert [f.code for f in report["optimizer"].findings] == ([code] if code else [])
    assert report["one batch"].result == "good"


def test_trials_end_in_time(digits, monkeypatch):
    steps = []

    def passes(self, x, y):
        steps.append(len(x))
        return {"loss": 2.3}

    monkeypatch.setattr(preflight_trial.Trainer, "train_on_batch", passes)
    clock = iter(np.arange(0, 1e6, 0.05))
    monkeypatch.setattr(preflight_trial.time, "perf_counter", lambda: next(clock))
    report = fn.preflight(mlp(), *digits, loss=SOFTMAX, seconds=1.0)
    # Each step takes a twentieth of a second at least.
    assert 10 <= len(steps) <= 20 and set(steps) == {32}
    assert report["one batch"].result == "skipped"
    assert report["use of the inputs"].result == "skipped"


def test_batches_have_different_samples_of_all_classes(digits):
    x, y = digits
    data = np.concatenate([x[:5]] * 400 + [x[:100]])
    labels = np.concatenate([y[:5]] * 400 + [y[:100]])
    net = mlp((32,))
    targets = fn.health.before_training.labels.form_of(fn.SoftmaxCrossEntropy(), labels, (10,))
    order = np.random.default_rng(0).permutation(len(data))
    rows = preflight_trial.choose_batch(net, fn.SoftmaxCrossEntropy(), data, targets, order, 32)
    assert len(rows) == 32
    assert len(np.unique(data[rows].reshape(32, -1), axis=0)) == 32
    assert np.bincount(labels[rows], minlength=10).min() >= 2
    assert len(preflight_trial.choose_batch(net, fn.SoftmaxCrossEntropy(), data, targets, order, 16)) == 16
