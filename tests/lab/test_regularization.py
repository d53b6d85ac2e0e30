"""Regularization: the data, the weights, and texts that follow."""

import numpy as np
import pytest
from lab_runs import numbers, text_of

from fastnet.lab import regularization
from fastnet.lab.measure import data
from fastnet.lab.regularization import METHODS, SIZES, noisy


def test_a_fifth_of_the_labels_is_wrong():
    (x, y), test = noisy(300, seed=0)
    (x_right, y_right), test_right = data(train=300)
    assert (x == x_right).all() and (test[1] == test_right[1]).all()
    assert (y != y_right).sum() == 60 and set(y) <= set(range(10))
    assert (noisy(300, seed=1)[0][1] != y).any() and (noisy(300, seed=0)[0][1] == y).all()


def test_small_networks_underfit():
    sizes = numbers("regularization")["sizes"]
    assert list(sizes) == [str(size) for size in SIZES]
    # one relu neuron in each layer: logits on one half-line, on which hardly more than three classes can be on top
    assert sizes["1"]["accuracy"] < 0.45 < sizes["256"]["accuracy"]


def test_weight_decay_makes_weights_smaller_by_its_factor_at_most():
    rows = numbers("regularization")["methods"]
    steps = rows["nothing"]["epochs"] * -(-regularization.SAMPLES // regularization.BATCH)
    factor = (1 - 1e-3) ** steps
    ratio = rows["weight decay"]["weights_rms"] / rows["nothing"]["weights_rms"]
    assert 0.9 * factor < ratio < 1


def test_early_stopping_keeps_the_best_weights():
    row = numbers("regularization")["methods"]["early stopping"]
    assert row["ends"]["test_loss"] == pytest.approx(row["best_test_loss"], rel=1e-5)
    assert row["curves"]["val_loss"][row["best_epoch"] - 1] == row["best_test_loss"]


def test_weights_are_shares():
    for row in numbers("regularization")["methods"].values():
        assert sum(row["weights"]) == pytest.approx(1)
        assert np.isfinite(list(row["ends"].values())).all()


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("regularization")
    for units, row in found["sizes"].items():
        row["accuracy"], row["test_accuracy"] = (1.0, 0.7) if int(units) > 4 else (0.3, 0.3)
    found["methods"]["nothing"]["curves"]["val_loss"][-1] = 9.0
    text = text_of(regularization.page(found))
    assert (
        "With 1, 2 or 4 neurons" in text and "The gap of 30.0 points" in text and "surer of what it has learned" in text
    )
    for row in found["sizes"].values():
        row["accuracy"] = 0.7
    plain = found["methods"]["nothing"]
    plain["curves"]["val_loss"][-1] = plain["best_test_loss"]
    for method in METHODS:
        found["methods"][method.name]["ends"]["test_accuracy"] = 0.5
        found["methods"][method.name]["ends"]["test_loss"] = 1.0
    plain["ends"]["test_accuracy"] = 0.9
    found["methods"]["weight decay"]["weights_rms"] = 10.0
    text = text_of(regularization.page(found))
    assert "no size learned its training images" in text and "did no harm here" in text
    assert "The test accuracy is higher with: none" in text and "nothing helped in this run" in text
    assert "they are not smaller in this run" in text
