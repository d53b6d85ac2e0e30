"""Where activations are flat, against their slopes."""

import math

import numpy as np
import pytest

import fastnet as fn
from fastnet import activations
from fastnet.health.flat_ends import FLAT_SLOPE, ends_of

FORWARD = {
    "sigmoid": lambda x, a: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, a: np.tanh(x),
    "relu6": lambda x, a: np.clip(x, 0, 6),
    "elu": lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "selu": lambda x, a: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
}


@pytest.mark.parametrize(
    "activation", ["sigmoid", "tanh", "elu", "selu", "relu6", *map(activations.ELU, (0.01, 0.3, 2.5))], ids=str
)
def test_the_slope_there_is_a_twentieth_of_the_greatest(activation):
    activation = activations.get(activation)
    ends = ends_of(activation)
    x = np.linspace(-9, 9, 360_001)
    y = FORWARD[activation.name](x, activation.alpha)
    slope, middle = np.diff(y) / np.diff(x), (y[1:] + y[:-1]) / 2
    flat = (middle <= ends.low) | (middle >= ends.high)
    if activation.name == "relu6":
        flat |= middle <= ends.floor
    assert ends.has_flat and flat.any()
    expected = slope < FLAT_SLOPE * slope.max()
    assert (flat != expected).mean() < 1e-4


@pytest.mark.parametrize("activation", [None, "relu", "leaky_relu", "gelu", "silu", "softplus", "softmax"])
def test_others_have_no_flat_ends(activation):
    ends = ends_of(activations.get(activation))
    assert ends is None or (activation == "relu" and not ends.has_flat and ends.floor == 0 and math.isinf(ends.high))


def test_monitor_and_preflight_measure_the_same_share():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)), rng.normal(size=(32, 1))
    hidden = fn.Dense(200, activation="tanh", init=fn.initializers.Normal(std=1.0), name="hidden")
    net = fn.Network([hidden, fn.Dense(1)], input_shape=(4,), dtype="float64", seed=0)
    checked = fn.preflight(net, x, y, loss="mse", seconds=0.01)["units"].numbers["saturated in hidden"]
    monitor = fn.HealthMonitor()
    net.fit(x, y, batch_size=32, shuffle=False, loss="mse", optimizer=fn.SGD(0.0), callbacks=[monitor], verbose=0)
    assert 0.1 < checked < 0.9
    assert monitor.table.last("saturated", "hidden") == pytest.approx(checked)
