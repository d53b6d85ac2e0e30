"""Paths of update rules against their closed forms."""

import numpy as np
import pytest
from lab_runs import numbers, text_of

from fastnet.lab import optimizers
from fastnet.lab.optimizers import MINIMUM, PATH_STEPS, RULES, START, STEEP

BY_NAME = {rule.name: rule for rule in RULES}
STEPS = np.arange(PATH_STEPS + 1)


def test_plain_descent_shrinks_each_coordinate_by_its_factor():
    path, rate = numbers("optimizers")["paths"]["SGD"], BY_NAME["SGD"].path_rate
    x = MINIMUM[0] + (START[0] - MINIMUM[0]) * (1 - rate) ** STEPS
    y = START[1] * (1 - STEEP * rate) ** STEPS
    np.testing.assert_allclose(path["x"], x, rtol=1e-12)
    np.testing.assert_allclose(path["y"], y, rtol=1e-10)


@pytest.mark.parametrize("name", ["momentum", "Nesterov"])
def test_momentum_follows_its_recurrence(name):
    path, rate = numbers("optimizers")["paths"][name], BY_NAME[name].path_rate
    w, b = np.array(START), np.zeros(2)
    for i in STEPS[1:]:
        g = (w - MINIMUM) * (1, STEEP)
        b = 0.9 * b + g
        w = w - rate * (g + 0.9 * b if name == "Nesterov" else b)
        assert (path["x"][i], path["y"][i]) == pytest.approx(tuple(w), rel=1e-9, abs=1e-12)


def test_adams_first_step_is_the_learning_rate_in_every_direction():
    path, rate = numbers("optimizers")["paths"]["Adam"], BY_NAME["Adam"].path_rate
    assert path["x"][1] - path["x"][0] == pytest.approx(rate, rel=1e-7)
    assert path["y"][1] - path["y"][0] == pytest.approx(-rate, rel=1e-7)


def test_values_are_those_of_the_valley():
    for path in numbers("optimizers")["paths"].values():
        np.testing.assert_allclose(
            path["values"], optimizers.valley(np.array(path["x"]), np.array(path["y"])), rtol=1e-12
        )
        assert path["values"][-1] < 0.05 * path["values"][0]


def test_training_begins_alike_and_learns():
    for row in numbers("optimizers")["training"].values():
        assert row["curves"]["loss"][-1] < row["curves"]["loss"][0] < 2.5
    factors = numbers("optimizers")["factors"]
    for name, losses in numbers("optimizers")["sweep"].items():
        assert losses[factors.index(1.0)] == numbers("optimizers")["training"][name]["curves"]["loss"][-1]


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("optimizers")
    found["paths"]["momentum"]["values"][-1] = 1e-9
    found["training"]["AdamW"]["weights_rms"] = 0.1
    for row in found["training"].values():
        row["curves"]["val_accuracy"][-1] = 0.97
    text = text_of(optimizers.page(found))
    assert "momentum is lower" in text and "the work of its weight decay" in text and "hardly differ" in text
    found["paths"]["momentum"]["values"][-1] = 10.0
    found["paths"]["AdamW"]["x"][-1] = 2.0
    found["training"]["AdamW"]["weights_rms"] = 9.0
    found["training"]["SGD"]["curves"]["val_accuracy"][-1] = 0.5
    found["sweep"]["SGD"][-1] = None
    text = text_of(optimizers.page(found))
    assert "momentum is not lower" in text and "did not bring it nearer" in text
    assert "not smaller than Adam" in text and "hardly differ" not in text
    assert "not finite with: SGD" in text
    found["sweep"] = {name: [None, None, None] for name in found["sweep"]}
    assert "the loss was not finite with: SGD, momentum" in text_of(optimizers.page(found))
