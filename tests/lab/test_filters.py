"""Filters: patches, occlusion, and what each is worth."""

import numpy as np
import pytest
from lab_runs import numbers, text_of

import fastnet as fn
from fastnet.lab import filters


def test_the_best_windows_are_those_that_fit_the_weights_best():
    found = numbers("filters")
    assert found["shown_epochs"][-1] == found["epochs"]
    kernels = np.array(found["kernels"][-1])
    windows = np.array(found["patches"]["first"]["windows"])
    assert windows.shape == (8, filters.PATCHES, 3, 3)
    products = (windows * kernels[:, None]).sum(axis=(2, 3))
    # sums of nine products in float32
    assert (np.diff(products, axis=1) <= 9 * 1e-7 * np.abs(products).max()).all()


@pytest.mark.parametrize(("layer", "margin", "stride"), [("first", 1, 1), ("second", 3, 2)])
def test_windows_hold_all_that_a_value_depends_on(layer, margin, stride):
    net = filters._network(3)
    (x, _), _ = fn.datasets.digits()
    x = x[:1]
    before = net.activations(x, [layer])[layer][0]
    row, column = 1, 2
    outside = np.ones((8, 8), bool)
    outside[max(0, stride * row - margin) : stride * row + stride + margin,
            max(0, stride * column - margin) : stride * column + stride + margin] = False  # fmt: skip
    other = x.copy()
    other[0, outside, 0] = 1 - other[0, outside, 0]
    after = net.activations(other, [layer])[layer][0]
    assert (after[row, column] == before[row, column]).all()
    assert outside.any() and (after != before).any()


def test_occlusion_is_a_map_of_probabilities():
    found = numbers("filters")["occlusion"]
    values = np.array(found["map"])
    assert values.shape == (8, 8) and 0 <= values.min() == found["lowest"] <= values.max() <= 1


def test_removing_a_filter_is_what_the_accuracy_without_it_says():
    found = numbers("filters")["worth"]
    for layer, count in (("first", filters.FILTERS), ("second", filters.DEEP_FILTERS)):
        for values in found[layer].values():
            assert len(values) == count and all(0 <= value <= 1 for value in values)


def test_the_network_is_not_changed_by_the_experiments_on_it():
    net = filters._network(0)
    (x, y), _ = fn.datasets.digits()
    net.loss, net.metrics = fn.SoftmaxCrossEntropy(), []
    before = net.state_dict()
    for change in filters.CHANGES:
        net.metrics = fn.metrics.get_all(["accuracy"])
        filters._worth(net, "first", change, 0, x[:50], y[:50])
    assert all((before[name] == value).all() for name, value in net.state_dict().items())


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("filters")
    base = found["accuracy"]
    for layer in found["worth"].values():
        for change, drop in zip(filters.CHANGES, (0.1, 0.2, 0.3), strict=True):
            layer[change] = [base - drop] * len(layer[change])
    found["occlusion"]["lowest"] = 0.2
    found["change"] = [0.1] * 8
    text = text_of(filters.page(found))
    assert "A wrong filter harms more than a missing one" in text and "it takes the image for a" in text
    assert "training needs the noise" in text
    found["worth"]["first"]["shuffled"] = [base] * 8
    found["occlusion"]["lowest"] = 0.9
    found["change"] = [3.0] * 8
    found["patches"]["second"]["digits"] = [list(range(8))] * 16
    text = text_of(filters.page(found))
    assert "Worse than a missing filter in this run: drawn anew." in text and "no single place decides" in text
    assert "they have learned" in text and "No filter of the second layer belongs to a single digit" in text
