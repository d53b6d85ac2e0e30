"""fastnet's side: networks, steps, fits and predictions of what `bench.nets` describes.

Functions that train return `call(n)`, which does about n steps and returns how many (None: n), and the losses of the
first steps from the network's weights.
"""

from __future__ import annotations

import warnings

import numpy as np

import fastnet as fn
from bench.nets import ADAM, EPSILON, LEARNING_RATES, MOMENTUM, Net, Training

FIT_EPOCHS = 5  # at least, of a fit: the check of all data before the first belongs to it


def build(net: Net) -> fn.Network:
    """With the network's weights."""
    weighted = []

    def made(layers):
        built = []
        for kind, *given in layers:
            if kind == "residual":
                shortcut = made(given[1])
                built.append(fn.Residual(made(given[0]), shortcut=shortcut, activation="relu"))
            elif kind == "pool":
                built.append(fn.MaxPool2D(2))
            elif kind == "global":
                built.append(fn.GlobalAvgPool2D())
            elif kind == "flatten":
                built.append(fn.Flatten())
            elif kind == "norm":
                built.append(fn.BatchNorm(momentum=MOMENTUM, epsilon=EPSILON))
                weighted.append(built[-1])
                built += [fn.Activation("relu")] if given[0] else []
            else:
                activation = "relu" if given[-1] else None
                if kind == "dense":
                    built.append(fn.Dense(given[0], activation=activation))
                else:
                    filters, kernel, stride, padding, bias, _ = given
                    geometry = {"stride": stride, "padding": padding}
                    built.append(fn.Conv2D(filters, kernel, **geometry, use_bias=bias, activation=activation))
                weighted.append(built[-1])
        return built

    network = fn.Network(made(net.layers), input_shape=net.input_shape, seed=0)
    weights = iter(net.weights())
    for layer in weighted:
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                parameter.assign(next(weights))
    return network


def optimizer(net: Net):
    rate = LEARNING_RATES[net.optimizer]
    return fn.Adam(rate) if net.optimizer == ADAM else fn.SGD(rate, momentum=0.9)


def trainer(net: Net) -> fn.Trainer:
    return fn.Trainer(build(net), loss="softmax_cross_entropy", optimizer=optimizer(net))


def steps(training: Training):
    """Through `train_on_batch`, with its checks."""
    trained, batches = trainer(training.net), training.batches()
    first = training.first_losses(lambda x, y: trained.train_on_batch(x, y)["loss"], batches)

    def call(n):
        for i in range(n):
            trained.train_on_batch(*batches[i % len(batches)])

    return call, first


def fit(training: Training):
    """Inside of `fit`: whole epochs, shuffled, with the checks of all data before the first."""
    x, y = training.data()
    trained = trainer(training.net)

    def call(n):
        epochs = max(FIT_EPOCHS, round(n / training.steps))
        trained.fit(x, y, epochs=epochs, batch_size=training.batch, verbose=0)
        return epochs * training.steps

    return call, None


def epochs(training: Training, count: int):
    """A function that trains for some epochs through `net.fit`, recording of the step included; and an unshuffled epoch's loss."""
    x, y = training.data()
    network = build(training.net)
    options = {"batch_size": training.batch, "loss": "softmax_cross_entropy", "verbose": 0}
    history = network.fit(x, y, epochs=1, shuffle=False, optimizer=optimizer(training.net), **options)
    return (
        lambda: network.fit(x, y, epochs=count, optimizer=optimizer(training.net), **options),
        history["loss"][0],
    )


def predictor(net: Net, x: np.ndarray):
    network = build(net)
    return lambda: network.predict(x)


def estimator(fit):
    """A function that fits `fn.estimators`, and the fitted model."""
    warnings.filterwarnings("ignore", module="fastnet.estimators")  # it has not converged, after so few epochs
    make = fn.estimators.NetClassifier if fit.classes else fn.estimators.NetRegressor
    x, y = fit.data()
    model = make(**fit.settings())
    return lambda: model.fit(x, y), model.fit(x, y)
