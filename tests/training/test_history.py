"""The figures of each epoch."""

import math
import time

import fastnet as fn


def test_a_figure_that_begins_late_or_is_left_out_is_nan():
    history = fn.History()
    history.append({"loss": 3.0})
    history.append({"loss": 2.0, "val_loss": 4.0})
    history.append({"val_loss": 5.0})
    assert history.epochs == 3
    assert history["loss"][:2] == [3.0, 2.0]
    assert math.isnan(history["loss"][2])
    assert math.isnan(history["val_loss"][0])
    assert history["val_loss"][1:] == [4.0, 5.0]


def test_an_epoch_costs_the_same_after_many():
    """(200,000 epochs take 0.1 s, and took 20 s where each epoch made a list as long as those before it.)"""
    history = fn.History()
    begun = time.perf_counter()
    for _ in range(200_000):
        history.append({"loss": 1.0, "accuracy": 0.5}, learning_rate=0.1, seconds=1e-3)
    assert time.perf_counter() - begun < 10
    assert len(history["accuracy"]) == 200_000
