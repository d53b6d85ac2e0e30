"""A neuron's numbers against hand formulas."""

import numpy as np
import pytest
from lab_runs import numbers, text_of

from fastnet.lab import neuron


def test_the_example():
    found = numbers("neuron")["example"]
    z = np.dot(found["inputs"], found["weights"]) + found["bias"]
    assert found["sum"] == pytest.approx(z, abs=1e-15)
    assert sum(found["products"]) + found["bias"] == pytest.approx(z, abs=1e-15)
    assert found["outputs"]["sigmoid"] == pytest.approx(1 / (1 + np.exp(-z)), rel=1e-14)
    assert found["outputs"]["tanh"] == pytest.approx(np.tanh(z), rel=1e-14)
    assert found["outputs"]["relu"] == max(z, 0)


def test_the_bias_shifts_the_middle_to_minus_b_over_w():
    # Linear interpolation of the sigmoid over a step h of the grid errs by at most h^2 max|f''| / 8 in the output, and
    # by that over the least slope near the middle, w / 5, in the input.
    h, w = neuron.GRID[1] - neuron.GRID[0], neuron.STEEP
    bound = h**2 * w**2 * 0.1 / 8 / (w / 5)
    for bias, middle in numbers("neuron")["bias_middle"].items():
        assert middle == pytest.approx(-float(bias) / w, abs=bound)


def test_slopes_of_activations():
    found = numbers("neuron")["activations"]
    y = np.array(found["sigmoid"]["values"])
    np.testing.assert_allclose(found["sigmoid"]["slopes"], y * (1 - y), rtol=1e-13)
    assert found["sigmoid"]["largest_slope"] == pytest.approx(0.25, abs=1e-15)
    assert found["tanh"]["largest_slope"] == pytest.approx(1, abs=1e-15)
    assert set(found["relu"]["slopes"]) == {0.0, 1.0}
    assert found["leaky_relu"]["flat_share"] == 0
    for name, row in found.items():
        numeric = np.gradient(row["values"], neuron.GRID)
        inside = np.abs(neuron.GRID) > 0.1  # away from kinks
        # second order differences of functions whose third derivative is below 2, in the interior
        bound = 2 * (neuron.GRID[1] - neuron.GRID[0]) ** 2 / 6 + 1e-9
        assert np.abs(np.array(row["slopes"]) - numeric)[inside][1:-1].max() < bound, name


def test_a_larger_bias_finds_more_and_errs_more():
    zeros = numbers("neuron")["zeros"]
    for key in ("found", "false_alarms"):
        values = [row[key] for row in zeros["shifts"]]
        assert values == sorted(values)
    assert zeros["accuracy"] > zeros["always_no"] == pytest.approx(0.9, abs=0.02)
    assert sum(zeros["sums_of_zeros"]) == pytest.approx(1)


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("neuron")
    usual = text_of(neuron.page(found))
    assert "empty there" in usual and "hard to train" in usual and "keeps a small slope" in usual
    found["zeros"]["weights"] = [[1.0] * 8] * 8
    found["activations"]["sigmoid"]["largest_slope"] = 1.5
    found["activations"]["leaky_relu"]["flat_share"] = 0.9
    doctored = text_of(neuron.page(found))
    assert "empty there" not in doctored and "hard to train" not in doctored and "keeps a small" not in doctored
    assert "slope is 1.50 at most" in doctored
