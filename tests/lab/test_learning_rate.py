"""Learning rates: what small ones do, and how the page reads the runs."""

import math

import pytest
from lab_runs import numbers, text_of

from fastnet.lab import learning_rate
from fastnet.lab.learning_rate import final_losses, three_rates
from fastnet.lab.learning_rate_schedules import RATE


def runs(**losses):
    rows = {}
    for rate, loss in losses.items():
        stopped = "not finite" if loss is None else None
        curves = {"loss": [2.3, loss], "val_accuracy": [0.1, 0.5], "stopped": stopped}
        rows[rate[1:]] = {"curves": curves, "moved": 0.1}
    return rows


def test_small_rates_move_the_weights_in_proportion():
    found = numbers("learning-rate")["runs"]["SGD"]
    rates = [float(rate) for rate in found][:3]
    moved = [row["moved"] for row in found.values()][:3]
    for i in range(2):
        # the gradient itself changes by less than the share that the weights move by, times its curvature
        assert moved[i + 1] / moved[i] == pytest.approx(rates[i + 1] / rates[i], rel=0.1)


def test_adam_moves_weights_by_its_rate_in_each_step():
    # 46 steps of at most the rate each (Kingma & Ba 2015, section 2.1), over weights of He's size in the first layer
    row = numbers("learning-rate")["runs"]["Adam"]["1e-05"]
    assert 0 < row["moved"] < 46 * 1e-5 / 0.1


def test_final_losses_of_stopped_runs_are_infinite():
    assert final_losses(runs(r1=0.5, r3=None)) == {1.0: 0.5, 3.0: math.inf}


def test_three_rates():
    found = runs(**{"r0.0001": 2.2, "r0.001": 2.0, "r0.1": 0.1, "r1": 0.5, "r3": 2.4, "r10": None})
    assert three_rates(found) == {"too low": 0.001, "good": 0.1, "too high": 3.0}
    assert three_rates(runs(**{"r0.001": 2.0, "r0.1": 0.1})) == {"too low": 0.001, "good": 0.1}
    assert three_rates(runs(**{"r0.1": 0.1, "r1": None})) == {"too low": 0.1, "good": 0.1, "too high": 1.0}


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("learning-rate")
    found["runs"] = {
        "SGD": runs(**{"r0.001": 2.0, "r0.1": 0.1, "r1": None}),
        "SGD with momentum 0.9": runs(**{"r0.001": 2.0, "r0.1": 0.1, "r1": None}),
        "Adam": runs(**{"r0.001": 0.05, "r0.1": 2.4, "r1": None}),
    }
    text = text_of(learning_rate.page(found))
    assert "the loss is not finite, and training stops" in text
    assert "Here its best, 0.001, is 100 times smaller" in text and "Momentum 0.9 sums up" not in text
    found["runs"] = {name: runs(**{"r0.001": 2.0, "r0.1": 0.1}) for name in found["runs"]}
    text = text_of(learning_rate.page(found))
    assert "None of the rates that were tried was too high" in text and "times smaller" not in text


def test_the_range_test_suggests_rates_of_the_right_size():
    found = numbers("learning-rate")["range_test"]
    for row in found.values():
        assert 1e-4 < row["suggestion"] < 3 and len(row["rates"]) == len(row["smoothed"]) <= 100
    # Momentum sums up ten steps: its rates are smaller than plain SGD's, by ten where losses are quadratic.
    assert found["SGD with momentum 0.9"]["suggestion"] < found["SGD"]["suggestion"]


def test_schedules_are_what_their_texts_say():
    found = {name: run["rates"] for name, run in numbers("learning-rate")["schedules"].items()}
    assert set(found["constant"]) == {RATE}
    assert sorted({round(rate / RATE, 9) for rate in found["step"]}) == pytest.approx([1 / 9, 1 / 3, 1])
    assert found["exponential"][-1] == pytest.approx(0.01 * RATE * 100 ** (1 / len(found["exponential"])))
    assert found["cosine"][0] == RATE and found["cosine"][-1] < 1e-3 * RATE
    for name, share in (("warmup + cosine", 0.1), ("one cycle", 0.3)):
        rates = found[name]
        peak = rates.index(max(rates))
        # The top of the cosine may lie between two steps; one cycle counts its share of the steps from 1.
        below = (math.pi / (0.3 * len(rates))) ** 2 / 4
        assert RATE * (1 - below) <= max(rates) <= RATE and peak == pytest.approx(share * len(rates), abs=1.5)


def test_the_text_on_changing_rates_follows_the_numbers(undrawn):
    found = numbers("learning-rate")
    for run in found["schedules"].values():
        run["curves"]["loss"] = [1.0]
    found["range_test"]["Adam"]["suggestion"] = None
    text = text_of(learning_rate.page(found))
    assert "Against the textbook no schedule was better" in text and "It is not for: Adam" in text
    found["schedules"]["cosine"]["curves"]["loss"] = [0.5]
    text = text_of(learning_rate.page(found))
    assert "reach: cosine." in text and "Against the textbook no schedule" not in text
