"""Numbers of a health monitor's table, and the first layer as images."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.reports.internals import first_filters, internals_of


@pytest.fixture(scope="module")
def watched():
    (x, y), _ = fn.datasets.digits()
    layers = [fn.Conv2D(4, 3), fn.BatchNorm(), fn.Flatten(), fn.Dense(16, activation="relu"), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    net.fit(x, y, epochs=2, loss="softmax_cross_entropy", callbacks=[monitor := fn.HealthMonitor()], verbose=0)
    return net, monitor


def test_figures_are_those_of_the_table(watched):
    table = watched[1].table
    found = internals_of(table.columns(), table.histograms())
    assert found["looks"] == len(table)
    series = table.series("dense_1.weight", "gradient")
    shown = found["figures"]["gradient"]["dense_1.weight"]
    assert shown["step"] == series.steps.tolist() and shown["norm"] == series.values["norm"].tolist()
    assert "dead" in found["figures"]["activation"]["dense_1"] and "dead" not in found["figures"]["activation"]["input"]


def test_distributions_have_the_last_weights(watched):
    _, monitor = watched
    found = internals_of(monitor.table.columns(), monitor.table.histograms())["histograms"]
    assert list(found["weight"]) == [
        "conv2d_1.weight",
        "dense_1.weight",
        "dense_2.weight",
    ]  # weights, no scale of a norm
    shown = found["weight"]["dense_1.weight"]
    shares = np.array(shown["shares"])
    assert (np.abs(shares.sum(axis=1) - 1) < 0.01).all()  # less what a range leaves out
    edges = np.linspace(shown["low"], shown["high"], shares.shape[1] + 1)
    series = monitor.table.series("dense_1.weight", "weight")
    middles = (edges[1:] + edges[:-1]) / 2
    assert shares[-1] @ middles == pytest.approx(series.values["mean"][-1], abs=(edges[1] - edges[0]))


def test_an_empty_table():
    table = fn.health.HealthTable()
    assert internals_of(table.columns(), table.histograms())["looks"] == 0


def network(layers, shape):
    return fn.Network(layers, input_shape=shape, seed=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_of_a_convolution(channels):
    net = network([fn.Conv2D(70, 3), fn.Flatten(), fn.Dense(2)], (6, 6, channels))
    found, images = first_filters(net)
    assert found == {"layer": "conv2d_1", "kind": "filter", "shown": 64, "all": 70}
    np.testing.assert_array_equal(images[5], net["conv2d_1"].weight.value[..., 5])


def test_units_that_read_pixels():
    net = network([fn.Flatten(), fn.Dropout(0.1), fn.Dense(5)], (4, 6, 1))
    found, images = first_filters(net)
    assert found["kind"] == "unit" and images.shape == (5, 4, 6, 1)
    np.testing.assert_array_equal(images[2].ravel(), net["dense_1"].weight.value[:, 2])


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([fn.Dense(3)], (5,)),
        ([fn.Conv2D(3, 1)], (4, 4, 3)),
        ([fn.Conv2D(3, 3)], (4, 4, 2)),
        ([fn.MaxPool2D(2), fn.Flatten(), fn.Dense(3)], (4, 4, 1)),
        ([fn.Flatten()], (4, 4, 1)),
    ],
)
def test_networks_without_pictures(layers, shape):
    assert first_filters(network(layers, shape)) is None
