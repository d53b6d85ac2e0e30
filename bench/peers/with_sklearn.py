"""scikit-learn's side: dense networks."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.nets import LEARNING_RATES, Net, Training

warnings.filterwarnings("ignore", module="sklearn")  # it has not converged, after so few epochs


def classifier(training: Training, **options) -> MLPClassifier:
    rate = LEARNING_RATES[training.net.optimizer]
    return MLPClassifier(training.net.hidden, batch_size=training.batch, learning_rate_init=rate, alpha=0.0, **options)


def assign(model, net: Net) -> None:
    """Give a model that has been fitted the network's weights, and a fresh optimizer."""
    weights = net.weights()
    model.coefs_ = [w.copy() for w in weights[::2]]
    model.intercepts_ = [w.copy() for w in weights[1::2]]
    if hasattr(model, "_optimizer"):
        del model._optimizer


def first_loss(training: Training) -> float:
    """Of an epoch from the network's weights, not shuffled."""
    x, y = training.data()
    model = classifier(training, shuffle=False)
    model.partial_fit(x, y, classes=np.arange(training.net.classes))
    assign(model, training.net)
    model.partial_fit(x, y)
    return float(model.loss_curve_[-1])


def steps(training: Training):
    """Whole epochs of `partial_fit`, shuffled; its losses are those of epochs, compared by `first_loss`."""
    x, y = training.data()
    model = classifier(training)
    model.partial_fit(x, y, classes=np.arange(training.net.classes))

    def call(n):
        count = max(1, round(n / training.steps))
        for _ in range(count):
            model.partial_fit(x, y)
        return count * training.steps

    return call, None


def epochs(training: Training, count: int):
    """As `ours.epochs`, through `fit`."""
    x, y = training.data()
    model = classifier(training, max_iter=count, n_iter_no_change=count + 1)
    return lambda: model.fit(x, y), first_loss(training)


def predictor(net: Net, x: np.ndarray):
    """Raw outputs, which a regressor gives."""
    model = MLPRegressor(hidden_layer_sizes=net.hidden, max_iter=1)
    model.fit(np.repeat(x[:1], 2, 0), np.zeros((2, net.classes), np.float32))
    assign(model, net)
    return lambda: model.predict(x)


def estimator(fit):
    """As `ours.estimator`."""
    x, y = fit.data()
    model = (MLPClassifier if fit.classes else MLPRegressor)(**fit.settings())
    return lambda: model.fit(x, y), model.fit(x, y)
