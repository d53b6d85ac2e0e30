"""The losses of the best constant prediction and of a perfect one, against a search over all constants."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import labels, losses
from fastnet.health.baseline import best_constant, constant_loss, perfect_loss
from fastnet.health.evidence import Evidence


class LogCosh(fn.Loss):
    def per_sample(self, y_predicted, y):
        e = y_predicted - y
        return np.log(np.cosh(e)).mean(axis=1), np.tanh(e) / e.shape[1]


class SquaredErrorOfClasses(fn.Loss):
    """A squared error against the class number's unit vector."""

    def takes_labels(self, y, output_shape):
        return y.ndim == 1

    def per_sample(self, y_predicted, y):
        e = y_predicted - np.eye(y_predicted.shape[1])[y.astype(int)]
        return (e**2).sum(axis=1), 2 * e


rng = np.random.default_rng(3)
CLASSES = rng.choice(3, 41, p=[0.6, 0.3, 0.1])
CASES = {
    "classes": (losses.SoftmaxCrossEntropy(), CLASSES, 3),
    "smoothed classes": (losses.SoftmaxCrossEntropy(label_smoothing=0.2), CLASSES, 3),
    "a class is missing": (losses.SoftmaxCrossEntropy(), np.minimum(CLASSES, 1), 3),
    "probabilities": (losses.SoftmaxCrossEntropy(), rng.dirichlet([1, 2, 3], 41), 3),
    "smoothed probabilities": (losses.SoftmaxCrossEntropy(label_smoothing=0.1), rng.dirichlet([1, 2, 3], 41), 3),
    "two classes": (losses.SigmoidCrossEntropy(), np.minimum(CLASSES, 1), 1),
    "smoothed, many right": (losses.SigmoidCrossEntropy(label_smoothing=0.3), rng.random((41, 2)) < [0.2, 0.7], 2),
    "squares": (losses.MeanSquaredError(), rng.exponential(2, (41, 2)), 2),
    "squares of class numbers": (losses.MeanSquaredError(), CLASSES, 1),
    "absolute": (losses.MeanAbsoluteError(), rng.exponential(2, (41, 2)), 2),
    "huber": (losses.Huber(0.5), rng.exponential(2, (41, 2)), 2),
    "counts": (losses.Poisson(), rng.poisson(2.5, (41, 2)), 2),
    "of one's own": (LogCosh(), rng.exponential(2, (41, 2)), 2),
    "of one's own, class numbers": (SquaredErrorOfClasses(), CLASSES, 3),
}


def searched(loss, y, outputs, weights):
    """The least loss of a constant: coordinate by coordinate on finer and finer grids."""
    best, width = np.zeros(outputs), 8.0

    def value(constant):
        return loss.value(np.broadcast_to(constant, (len(y), outputs)).copy(), y, sample_weight=weights)

    least = value(best)
    while width > 1e-4:
        before = least
        for i in range(outputs):
            trials = best + np.linspace(-width, width, 17)[:, None] * np.eye(outputs)[i]
            values = [value(trial) for trial in trials]
            if min(values) < least:
                least, best = min(values), trials[int(np.argmin(values))]
        if before - least < 1e-9:
            width /= 4
    return least


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_no_constant_has_a_smaller_loss(case, weighed):
    loss, y, outputs = CASES[case]
    y = y.astype(int) if y.dtype == bool else y
    weights = np.random.default_rng(1).random(len(y)) if weighed else None
    targets = labels.form_of(loss, y, (outputs,))
    found, expected = constant_loss(loss, targets, (outputs,), weights), searched(loss, y, outputs, weights)
    assert found <= expected + 1e-6
    assert found == pytest.approx(expected, abs=1e-3)
    assert best_constant(loss, targets, (outputs,), weights).shape == (outputs,)


@pytest.mark.parametrize("case", CASES)
def test_a_perfect_prediction_is_better(case):
    loss, y, outputs = CASES[case]
    y = y.astype(int) if y.dtype == bool else y
    targets = labels.form_of(loss, y, (outputs,))
    perfect = perfect_loss(loss, targets, (outputs,))
    assert perfect < constant_loss(loss, targets, (outputs,))
    # No other outputs are better for a sample.
    if case != "of one's own, class numbers":
        trials = np.random.default_rng(0).normal(size=(300, outputs)) * 4
        least = [min(loss.value(trial[None], one[None]) for trial in trials) for one in targets.array[:5]]
        first = labels.Targets(targets.array[:5], targets.classes, targets.shape)
        assert perfect_loss(loss, first, (outputs,)) <= np.mean(least) + 1e-6


def test_outputs_of_several_axes():
    loss, y = losses.MeanSquaredError(), np.random.default_rng(0).normal(size=(9, 2, 3))
    targets = labels.form_of(loss, y, (2, 3))
    assert constant_loss(loss, targets, (2, 3)) == pytest.approx(y.var(axis=0).mean())
    assert perfect_loss(loss, targets, (2, 3)) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_monitor_measures_levels_between_the_two(smoothing):
    """Labels alone decide: of a learned problem nearly nothing is left, with smoothing too."""
    rng = np.random.default_rng(0)
    y = rng.choice(2, 64, p=[0.75, 0.25])
    x = np.where(y[:, None] == 1, 1.0, -1.0) + 0.01 * rng.normal(size=(64, 3))
    net = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)
    monitor = fn.HealthMonitor()
    net.fit(x, y, epochs=60, loss=losses.SoftmaxCrossEntropy(label_smoothing=smoothing), optimizer=fn.Adam(0.1),
            callbacks=[monitor], class_weight="balanced", verbose=0)  # fmt: skip
    trainer = monitor._trainer
    beginning = trainer.state(monitor)["beginning"]
    assert beginning.base_loss == pytest.approx(np.log(2))  # of classes that weigh the same
    evidence = Evidence(trainer, monitor.table, beginning, {})
    assert 0 <= evidence.present_level < 0.02
    assert evidence.level(beginning.base_loss) == 1


def test_a_missing_class_is_told_where_no_constant_is_known():
    """Of many samples each second is looked at, and these weigh nothing."""
    x, y = np.random.default_rng(0).normal(size=(4000, 2)), np.arange(4000) // 2 % 2
    monitor = fn.HealthMonitor(every=100)
    net = fn.Network([fn.Dense(3)], input_shape=(2,), seed=0)
    net.fit(x, y, loss="softmax_cross_entropy", sample_weight=np.arange(4000) % 2, callbacks=[monitor], verbose=0)
    assert monitor._trainer.state(monitor)["beginning"].base_loss is None
    (finding,) = [finding for finding in monitor.findings if finding.code == "labels"]
    assert finding.meaning.endswith("none of class 2.")
