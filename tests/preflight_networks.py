"""Networks for the tests of checks before training, and what these find in them."""

import numpy as np

import fastnet as fn

SOFTMAX, SIGMOID = "softmax_cross_entropy", "sigmoid_cross_entropy"
ENOUGH_TIME = 60  # seconds: a trial always ends by its steps, so that what is found does not depend on the machine


def mlp(hidden=(32,), activation="relu", *, input_shape=(8, 8, 1), outputs=10, seed=0, last=None, **arguments):
    flat = [fn.Flatten()] if len(input_shape) > 1 else []
    layers = [fn.Dense(units, activation=activation, **arguments) for units in hidden]
    return fn.Network([*flat, *layers, last or fn.Dense(outputs, name="head")], input_shape=input_shape, seed=seed)


def regression(hidden=(32,), activation="relu", **arguments):
    return mlp(hidden, activation, input_shape=(10,), outputs=1, **arguments)


def quick(net, x, y, **options):
    """All checks, with hardly any time for trials."""
    return fn.preflight(net, x, y, seconds=1e-3, **options)


def codes(report, least="warning"):
    order = ("info", "warning", "problem")
    return [f.code for f in report.findings if order.index(f.severity) >= order.index(least)]


def found(report, check, code, severity=None):
    """The one finding of a check that has this code."""
    some = [f for f in report[check].findings if f.code == code]
    assert some, str(report)
    if severity:
        assert some[0].severity == severity, str(report)
    assert some[0].meaning and some[0].remedy
    assert all(np.isfinite(value) for value in some[0].to_dict()["evidence"].values())
    return some[0]
