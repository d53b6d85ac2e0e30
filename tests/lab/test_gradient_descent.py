"""One step by numbers against the formulas by hand, and descent on a line against its closed form."""

import numpy as np
import pytest
from lab_runs import numbers, text_of

from fastnet.lab import gradient_descent


def by_hand():
    x, t = np.array(gradient_descent.INPUTS), gradient_descent.TARGET
    w, b = np.array(gradient_descent.HIDDEN_WEIGHTS), np.array(gradient_descent.HIDDEN_BIASES)
    v, c = np.array(gradient_descent.OUTPUT_WEIGHTS)[:, 0], gradient_descent.OUTPUT_BIAS
    h = 1 / (1 + np.exp(-(x @ w + b)))
    y = h @ v + c
    dy = 2 * (y - t)
    dz = dy * v * h * (1 - h)
    gradients = [*np.outer(x, dz).ravel(), *dz, *(dy * h), dy]
    values = [*w.ravel(), *b, *v, c]
    return values, gradients, y, (y - t) ** 2


def test_gradients_agree_with_the_formulas_and_with_differences():
    step = numbers("gradient-descent")["step"]
    values, gradients, y, loss = by_hand()
    assert step["prediction"] == pytest.approx(y, rel=1e-14) and step["loss"] == pytest.approx(loss, rel=1e-13)
    for row, value, gradient in zip(step["parameters"], values, gradients, strict=True):
        assert row["value"] == value
        assert row["gradient"] == pytest.approx(gradient, rel=1e-12)
        # central differences err by h^2 L''' / 6 < 1e-10 and by rounding, epsilon L / h < 1e-11
        assert row["nudged"] == pytest.approx(gradient, abs=1e-10)
        assert row["new"] == pytest.approx(value - step["learning_rate"] * gradient, rel=1e-14)


def test_the_step_lowers_the_loss_by_about_what_the_gradient_says():
    step = numbers("gradient-descent")["step"]
    assert step["expected_drop"] == pytest.approx(0.1 * sum(row["gradient"] ** 2 for row in step["parameters"]))
    drop = step["loss"] - step["new_loss"]
    # L is convex along y and y nearly linear in the weights: the drop is between half and all of what is expected
    assert 0.5 * step["expected_drop"] < drop < step["expected_drop"]
    losses = numbers("gradient-descent")["losses"]
    assert losses[0] == step["loss"] and losses[1] == step["new_loss"] and losses == sorted(losses, reverse=True)


def test_paths_follow_the_closed_form():
    line = numbers("gradient-descent")["line"]
    x = np.array(line["x"])
    ones = np.stack([x, np.ones_like(x)], axis=1)
    curvature = 2 * ones.T @ ones / len(x)
    for path in line["paths"].values():
        points = np.array([path["slopes"], path["intercepts"]]).T
        step = np.eye(2) - path["learning_rate"] * curvature
        expected = [
            line["best"] + np.linalg.matrix_power(step, k) @ (points[0] - line["best"]) for k in range(len(points))
        ]
        np.testing.assert_allclose(points, expected, rtol=1e-9, atol=1e-9)


def test_only_the_rate_above_the_limit_diverges():
    line = numbers("gradient-descent")["line"]
    ends = {name: path["losses"][-1] for name, path in line["paths"].items()}
    assert ends["good"] < ends["too low"] < line["paths"]["too low"]["losses"][0] < ends["too high"]
    assert ends["good"] == pytest.approx(line["best_loss"], rel=1e-2)
    assert min(map(min, line["surface"])) >= line["best_loss"]


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("gradient-descent")
    usual = text_of(gradient_descent.page(found))
    assert "it fell by" in usual and "the loss grew with: too high" in usual
    found["step"]["new_loss"] = 2 * found["step"]["loss"]
    found["losses"][-1] = 5.0
    for path in found["line"]["paths"].values():
        path["losses"][-1] = 0.0
    found["line"]["paths"]["good"]["losses"][-1] = None
    doctored = text_of(gradient_descent.page(found))
    assert "it rose by" in doctored and "the loss grew with: good." in doctored
    assert "That is all of training" not in doctored
