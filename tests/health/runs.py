"""Trainings that are healthy, and trainings that are broken on purpose, one way each, with the code that must come first."""

from __future__ import annotations

import contextlib
from functools import cache

import numpy as np

import fastnet as fn

CROSS_ENTROPY = "softmax_cross_entropy"


@cache
def digits():
    return fn.datasets.digits()


@cache
def moons(n=600, noise=0.2):
    rng = np.random.default_rng(0)
    t, y = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    x = np.where(y[:, None] == 0, np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)])
    return (x + noise * rng.normal(size=x.shape) - [0.5, 0.25]) / [0.87, 0.5], y


@cache
def table(n=800, noise=0.1, features=8):
    """A regression with interactions; `noise` is the standard deviation of what nothing can predict, over that of the rest."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, features))
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + 0.5 * x[:, 3]
    return x, (y - y.mean()) / y.std() + noise * rng.normal(size=n)


def dense(sizes, activation="relu", shape=(8, 8, 1), classes=10, seed=0, **options):
    layers = [fn.Flatten()] if len(shape) > 1 else []
    layers += [fn.Dense(units, activation=activation, **options) for units in sizes]
    return fn.Network([*layers, fn.Dense(classes, name="head")], input_shape=shape, seed=seed)


def run(net, data=None, *, validation=True, **options):
    """Train with a monitor; returns its findings."""
    monitor = fn.HealthMonitor()
    (x, y), held_out = data or digits()
    options = {"loss": CROSS_ENTROPY, "optimizer": "adam", "epochs": 10, "batch_size": 32, "metrics": []} | options
    if options["loss"] == CROSS_ENTROPY:
        options["metrics"] = ["accuracy"]
    if validation and held_out is not None:
        options["validation"] = held_out
    with contextlib.suppress(FloatingPointError):
        net.fit(x, y, callbacks=[monitor], verbose=0, **options)
    return monitor.findings


def split(x, y, n=100):
    return (x[:-n], y[:-n]), (x[-n:], y[-n:])


def deep(layers, activation, units=32, **options):
    return dense([units] * layers, activation, **options)


def cnn(seed=0, norm=False):
    def convolution(filters):
        behind = [fn.BatchNorm()] if norm else []
        return [fn.Conv2D(filters, 3, padding="same", use_bias=not norm), *behind, fn.Activation("relu")]

    layers = [*convolution(16), fn.MaxPool2D(2), *convolution(32), fn.Flatten(), fn.Dropout(0.3), fn.Dense(10)]
    return fn.Network(layers, input_shape=(8, 8, 1), seed=seed)


def regression(activation="relu", seed=0, sizes=(64, 64)):
    return dense(list(sizes), activation, (8,), 1, seed)


def standardized():
    (x, y), (x_test, y_test) = digits()
    mean, std = x.mean(), x.std()
    return ((x - mean) / std, y), ((x_test - mean) / std, y_test)


HEALTHY = {
    "digits mlp, adam": lambda: run(dense([64])),
    "digits mlp, long": lambda: run(dense([64, 32]), epochs=40),
    "digits mlp, other seed": lambda: run(dense([128, 64], seed=7), epochs=15),
    "digits mlp, sgd": lambda: run(dense([64]), optimizer=fn.SGD(0.1), epochs=20),
    "digits mlp, sgd momentum": lambda: run(dense([64, 64]), optimizer=fn.SGD(0.05, momentum=0.9), epochs=15),
    "digits mlp, nesterov": lambda: run(dense([64]), optimizer=fn.SGD(0.02, momentum=0.9, nesterov=True)),
    "digits mlp, rmsprop": lambda: run(dense([64]), optimizer=fn.RMSprop(1e-3)),
    "digits mlp, adagrad": lambda: run(dense([64]), optimizer=fn.Adagrad(1e-2)),
    "digits mlp, adamw": lambda: run(dense([64, 64]), optimizer=fn.AdamW(2e-3, weight_decay=0.05), epochs=20),
    "digits tanh": lambda: run(dense([64, 64], "tanh"), epochs=20),
    "digits sigmoid": lambda: run(dense([64], "sigmoid"), optimizer=fn.Adam(3e-3), epochs=20),
    "digits gelu": lambda: run(dense([64, 64], "gelu")),
    "digits silu": lambda: run(dense([64, 64], "silu", seed=3)),
    "digits leaky_relu": lambda: run(dense([64, 64], "leaky_relu")),
    "digits elu": lambda: run(dense([64, 64], "elu")),
    "digits selu": lambda: run(dense([64] * 4, "selu")),
    "digits deep relu": lambda: run(deep(6, "relu", 64), epochs=15),
    "digits deep tanh": lambda: run(deep(6, "tanh", 64), epochs=15),
    "digits linear": lambda: run(dense([]), epochs=20),
    "digits dropout": lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(128, activation="relu"), fn.Dropout(0.5), fn.Dense(10)], input_shape=(8, 8, 1), seed=1),
        epochs=20,
    ),
    "digits cnn": lambda: run(cnn(), epochs=8),
    "digits cnn, batch norm": lambda: run(cnn(norm=True), epochs=8),
    "digits cnn, augmented": lambda: run(cnn(seed=2), epochs=8, augment=[fn.augment.RandomCrop(1)]),
    "digits lenet": lambda: run(fn.models.lenet(input_shape=(8, 8, 1), classes=10, seed=0), epochs=4),
    "digits resnet20": lambda: run(fn.models.resnet20(input_shape=(8, 8, 1), classes=10, seed=0), epochs=2,
                                   optimizer=fn.SGD(0.05, momentum=0.9)),
    "digits layer norm": lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(64), fn.LayerNorm(), fn.Activation("relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    ),
    "digits standardized": lambda: run(dense([64, 64]), standardized()),
    "digits in float64": lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), dtype="float64", seed=0)
    ),
    "digits, large batches": lambda: run(dense([64]), batch_size=256, epochs=30, optimizer=fn.Adam(3e-3)),
    "digits, small batches": lambda: run(dense([64]), batch_size=8, epochs=5),
    "digits, one epoch": lambda: run(dense([64]), epochs=1),
    "digits, cosine": lambda: run(dense([64, 64]), optimizer=fn.Adam(fn.schedules.Cosine(3e-3, 20 * 45)), epochs=20),
    "digits, warm-up": lambda: run(dense([64, 64]), optimizer=fn.Adam(fn.schedules.Warmup(2e-3, 100))),
    "digits, clipped": lambda: run(dense([64, 64]), clip_norm=1.0),
    "digits, L2": lambda: run(dense([64], regularizer=fn.L2(1e-4)), epochs=20),
    "digits, zero head": lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dense(10, init="zeros")], input_shape=(8, 8, 1), seed=0)
    ),
    "digits, orthogonal": lambda: run(dense([64, 64], "tanh", init="orthogonal")),
    "digits, a frozen layer": lambda: run(_frozen(dense([64, 64]))),
    "moons": lambda: run(dense([32, 32], "relu", (2,), 2), split(*moons()), epochs=40),
    "moons, tanh": lambda: run(dense([16], "tanh", (2,), 2), split(*moons()), epochs=60, optimizer=fn.Adam(1e-2)),
    "moons, one logit": lambda: run(dense([32], "relu", (2,), 1), split(moons()[0], moons()[1].astype(float)),
                                    loss="sigmoid_cross_entropy", epochs=30, optimizer=fn.Adam(5e-3)),
    "regression": lambda: run(regression(), split(*table()), loss="mse", epochs=20),
    "regression, noisy": lambda: run(regression(sizes=(16,)), split(*table(2000, 1.0)), loss="mse", epochs=15),
    "regression, mae": lambda: run(regression("tanh"), split(*table()), loss="mae", epochs=20),
    "regression, huber": lambda: run(regression("gelu"), split(*table()), loss=fn.Huber(), epochs=20),
    "regression, sgd": lambda: run(regression(), split(*table()), loss="mse", epochs=30, optimizer=fn.SGD(0.05, momentum=0.9)),
    "regression, batch norm": lambda: run(
        fn.Network([fn.Dense(32), fn.BatchNorm(), fn.Activation("relu"), fn.Dense(1)], input_shape=(8,), seed=0),
        split(*table()), loss="mse", epochs=20, optimizer=fn.Adam(3e-3),
    ),
}  # fmt: skip


def _frozen(net):
    net.layers[1].trainable = False
    return net


def shuffled_labels():
    (x, y), (x_test, y_test) = digits()
    rng = np.random.default_rng(3)
    return (x, rng.permutation(y)), (x_test, rng.permutation(y_test))


def scaled(factor):
    (x, y), (x_test, y_test) = digits()
    return (x * factor, y), (x_test * factor, y_test)


def columns():
    x, y = table()
    return split(x * np.array([1e4, 1, 1, 1, 1, 1, 1, 1e-2]), y)


def few(n=80):
    (x, y), test = digits()
    return (x[:n], y[:n]), test


def from_one():
    """Three classes, numbered 7, 8, 9, for ten outputs."""
    (x, y), _ = digits()
    keep = y >= 7
    return (x[keep], y[keep]), None


def one_class():
    (x, y), _ = digits()
    return (x, np.full_like(y, 3)), None


class Logarithm(fn.Layer):
    """log of relu: minus infinity for what is not above zero."""

    def forward(self, x, training=False):
        self.x = np.maximum(x, 0)
        with np.errstate(divide="ignore"):
            return np.log(self.x)

    def backward(self, dy):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.x > 0, dy / self.x, 0)


def normal(std):
    return fn.initializers.Normal(std=std)


BROKEN = {
    "non-finite: a logarithm": ("non-finite", lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(32), Logarithm(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0))),
    "labels: shuffled": ("labels", lambda: run(dense([32]), shuffled_labels(), epochs=12)),
    "labels: shuffled, learned by heart": ("labels", lambda: run(dense([256, 256]), shuffled_labels(), epochs=40)),
    "labels: shuffled targets": ("labels", lambda: run(
        regression(sizes=(16,)), split(table()[0], np.random.default_rng(0).permutation(table()[1])), loss="mse", epochs=12)),
    "labels: three of ten classes": ("labels", lambda: run(dense([32]), from_one())),
    "labels: one class": ("labels", lambda: run(dense([32]), one_class())),
    "vanishing: 12 layers of sigmoid": ("vanishing-gradients", lambda: run(deep(12, "sigmoid"))),
    "vanishing: 20 layers of tanh, small weights": ("vanishing-gradients", lambda: run(deep(20, "tanh", init=normal(0.05)))),
    "vanishing: 15 layers of relu, small weights": ("vanishing-gradients", lambda: run(
        deep(15, "relu", init=normal(0.08)), optimizer=fn.SGD(0.05))),
    "exploding: 12 layers of relu, large weights": ("exploding-gradients", lambda: run(
        deep(12, "relu", init=normal(0.6)), optimizer=fn.SGD(1e-3))),
    "exploding: 20 layers of relu, large weights": ("exploding-gradients", lambda: run(
        deep(20, "relu", init=normal(0.5)), optimizer=fn.SGD(1e-6, momentum=0.9))),
    "symmetric: zeros": ("symmetric-initialization", lambda: run(dense([32, 32], init="zeros"))),
    "symmetric: a constant": ("symmetric-initialization", lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(32, activation="tanh", init=fn.initializers.Constant(0.1)),
                    fn.Dense(10, init=fn.initializers.Constant(0.1))], input_shape=(8, 8, 1), seed=0))),
    "initialization: far too large": ("initialization-scale", lambda: run(dense([64, 64], "tanh", init=normal(3.0)))),
    "initialization: large, relu": ("initialization-scale", lambda: run(dense([64], init=normal(2.0)))),
    "initialization: far too small": ("initialization-scale", lambda: run(dense([64, 64], init=normal(1e-4)))),
    "input: 0 to 255": ("input-scale", lambda: run(dense([64]), scaled(255.0))),
    "input: 0 to 255, sgd": ("input-scale", lambda: run(dense([64]), scaled(255.0), optimizer=fn.SGD(0.01))),
    "input: a thousandth": ("input-scale", lambda: run(dense([64]), scaled(1e-3))),
    "input: one column large": ("input-scale", lambda: run(regression(), columns(), loss="mse")),
    "dead relu: biases far below zero": ("dead-relu", lambda: run(
        dense([64, 64], bias_init=fn.initializers.Constant(-5.0)))),
    "dead relu: in the second layer": ("dead-relu", lambda: run(
        fn.Network([fn.Flatten(), fn.Dense(64, activation="relu"),
                    fn.Dense(64, activation="relu", bias_init=fn.initializers.Constant(-10.0)), fn.Dense(10)],
                   input_shape=(8, 8, 1), seed=0))),
    "saturated: biases far from zero": ("saturated-activation", lambda: run(
        dense([64, 64], "tanh", bias_init=fn.initializers.Constant(5.0)))),
    "saturated: sigmoid": ("saturated-activation", lambda: run(
        dense([64], "sigmoid", bias_init=fn.initializers.Constant(-8.0)))),
    "learning rate: adam 1": ("learning-rate-high", lambda: run(dense([64]), optimizer=fn.Adam(1.0))),
    "learning rate: adam 0.3, deep": ("learning-rate-high", lambda: run(dense([64, 64, 64]), optimizer=fn.Adam(0.3))),
    "learning rate: sgd 20": ("learning-rate-high", lambda: run(dense([64]), optimizer=fn.SGD(20.0))),
    "learning rate: sgd, regression": ("learning-rate-high", lambda: run(
        regression(), split(*table()), loss="mse", optimizer=fn.SGD(1.5))),
    "learning rate: adam 1e-7": ("learning-rate-low", lambda: run(dense([64]), optimizer=fn.Adam(1e-7))),
    "learning rate: sgd 1e-5": ("learning-rate-low", lambda: run(dense([64]), optimizer=fn.SGD(1e-5))),
    "learning rate: low, regression": ("learning-rate-low", lambda: run(
        regression(), split(*table()), loss="mse", optimizer=fn.SGD(1e-6, momentum=0.9))),
    "overfitting: 80 samples": ("overfitting", lambda: run(dense([128, 128]), few(), epochs=80)),
    "overfitting: moons in noise": ("overfitting", lambda: run(
        dense([128, 128], "relu", (2,), 2), split(*moons(160, 0.8), 80), epochs=250, optimizer=fn.Adam(1e-2))),
    "underfitting: one hidden unit": ("underfitting", lambda: run(dense([1], "tanh"), epochs=60, optimizer=fn.Adam(1e-2))),
    "underfitting: too much L2": ("underfitting", lambda: run(dense([64], regularizer=fn.L2(8.0)), epochs=60)),
    "plateau: the rate goes to nothing": ("plateau", lambda: run(
        dense([64]), optimizer=fn.SGD(fn.schedules.Exponential(0.1, 0.96)), epochs=20)),
}  # fmt: skip
