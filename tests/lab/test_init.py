"""First weights: what theory says of the scale through many layers."""

import math

import pytest
from lab_runs import numbers, text_of

from fastnet.lab import init, init_measure
from fastnet.lab.init_measure import BY_NAME, CURES, DEPTH, SCHEMES, WIDTH, Scheme

STEPS = DEPTH - 1
# The logarithm of the second moment of relu layers of n neurons with He's weights walks with a variance of about 5 / n a
# layer (Hanin & Rolnick 2018), drifting by half of that; the root of the mean square has half of both.
DEVIATION = 0.5 * math.sqrt(5 * STEPS / WIDTH)
DRIFT = -0.25 * 5 * STEPS / WIDTH


def logarithm(values):
    return math.log(values[-1] / values[0])


@pytest.mark.parametrize(
    ("scheme", "a_layer"), [("He", 0.0), ("Xavier", -0.5 * math.log(2)), ("orthogonal", -0.5 * math.log(2))]
)
def test_relu_keeps_or_loses_what_theory_says(scheme, a_layer):
    found = numbers("init")["spread"]["relu"][scheme]
    for values in (found["values"], found["gradients"][::-1]):
        assert logarithm(values) == pytest.approx(STEPS * a_layer + DRIFT, abs=4 * DEVIATION)


@pytest.mark.parametrize("scheme", ["too small", "too large"])
def test_wrong_scales_vanish_and_explode_at_the_rate_of_their_variance(scheme):
    found = numbers("init")["spread"]["relu"][scheme]
    a_layer = 0.5 * math.log(WIDTH * BY_NAME[scheme].make().std ** 2 / 2)
    assert logarithm(found["values"]) == pytest.approx(STEPS * a_layer + DRIFT, abs=4 * DEVIATION)


def test_tanh_saturates_below_one_and_shrinks_gradients_of_small_weights():
    found = numbers("init")["spread"]["tanh"]
    assert 0.7 < found["too large"]["values"][-1] < 1
    # near 0 the tanh is linear: each layer multiplies by std sqrt(n)
    std = BY_NAME["too small"].make().std
    assert logarithm(found["too small"]["gradients"][::-1]) / STEPS == pytest.approx(
        math.log(std * WIDTH**0.5), abs=0.1
    )


def test_sigmoids_shrink_gradients_by_a_quarter_or_more():
    for name in ("Xavier", "orthogonal", "too small"):
        gradients = numbers("init")["spread"]["sigmoid"][name]["gradients"]
        assert logarithm(gradients[::-1]) / STEPS < math.log(0.3)


def test_zeros_give_nothing_back():
    for activation, value in (("sigmoid", 0.5), ("tanh", 0.0), ("relu", 0.0)):
        found = numbers("init")["spread"][activation]["zeros"]
        assert set(found["values"]) == {value} and set(found["gradients"]) == {0.0}


def test_equal_neurons_stay_equal():
    for rows in numbers("init")["difference"].values():
        assert rows["zeros"] == rows["constant"] == 0.0
        assert all(rows[name] > 0.1 for name in ("Xavier", "He", "orthogonal"))


def test_convolutions_with_zeros_and_large_weights():
    rows = numbers("init")["cnn"]
    assert set(rows["zeros"]["values"]) == {0.0}
    assert rows["too small"]["values"][-1] < rows["Xavier"]["values"][-1] < rows["too large"]["values"][-1]


def test_a_further_scheme_is_a_row(monkeypatch):
    prepared = []
    row = Scheme("new", BY_NAME["He"].make, "a text", prepare=lambda net, x: prepared.append(x.shape))
    for name, value in {"SCHEMES": (row,), "CURES": (), "CNN_SCHEMES": (), "DEPTH": 3, "TRAINED_DEPTH": 2}.items():
        monkeypatch.setattr(init_measure, name, value)
    found = init.run(quick=True)
    assert list(found["spread"]["relu"]) == ["new"] and len(prepared) == 6


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("init")
    usual = text_of(init.page(found))
    assert "it <em>explodes</em>" in usual and "the gradient <em>vanishes</em>" in usual
    assert "No difference arose with: zeros and constant" in usual
    for name in ("too small", "too large"):
        found["spread"]["relu"][name]["gradients"] = [1.0] * DEPTH
    for activation in init.ACTIVATIONS:
        found["difference"][activation]["zeros"] = 1.0
        for scheme in SCHEMES:
            found["training"][activation][scheme.name] = {"loss": [2.3], "val_accuracy": [0.1], "stopped": None}
    for start in found["cures"].values():
        for cure in CURES:
            start[cure]["curves"] = {"loss": [2.3], "val_accuracy": [0.1], "stopped": None}
    doctored = text_of(init.page(found))
    assert "explodes" not in doctored and "vanishes" not in doctored
    assert "No difference arose with: constant." in doctored
    assert "with relu nothing learns" in doctored and "Against the theory He's weights" in doctored
    assert "none helped by more than 20 points" in doctored
    found["training"]["relu"]["He"] = {"stopped": "not finite"}
    found["cures"]["too large"]["clipping"]["curves"] = {"stopped": "not finite"}
    init.page(found)
    found["training"]["relu"]["He"] = {"loss": [0.1], "val_accuracy": [0.9], "stopped": None}
    assert "As the theory says" in text_of(init.page(found))
