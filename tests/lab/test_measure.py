"""What experiments measure with."""

import numpy as np

import fastnet as fn
from fastnet.lab.measure import Probe, Snapshots, backpropagate, data, moments, shares, slopes, train


def test_probes_see_values_and_gradients():
    seen = {}
    net = fn.Network(
        [fn.Dense(3, activation="tanh"), Probe("a", seen), fn.Dense(2)], input_shape=(4,), dtype="float64", seed=0
    )
    x, y = np.ones((5, 4)), np.zeros((5, 2))
    loss = fn.losses.get("mse")
    value = backpropagate(net, loss, x, y)
    prediction = net.predict(x)
    assert value == loss.value(prediction, y)
    first, second = net.layers[0], net.layers[2]
    np.testing.assert_allclose(seen["a", "values"], np.tanh(x @ first.weight.value), rtol=1e-12)
    # the mean squared error's gradient, 2 (y - t) / 10 values, and back through the second layer
    np.testing.assert_allclose(seen["a", "gradients"], 2 * prediction / 10 @ second.weight.value.T, rtol=1e-12)


def test_moments_and_shares():
    assert moments([1.0, -3.0]) == {"mean": -1.0, "std": 2.0, "rms": np.sqrt(5.0), "max": 3.0}
    assert set(moments([1.0, np.nan]).values()) == {None}
    assert shares([-9, 0.1, 0.9, 9], 0, 1, bins=2) == [0.5, 0.5]


def test_slopes():
    z = np.array([-1.0, 0.0, 2.0])
    s = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(slopes("sigmoid", z), s * (1 - s), rtol=1e-12)
    np.testing.assert_allclose(slopes("silu", z), s * (1 + z * (1 - s)), rtol=1e-12)


def test_snapshots_are_taken_before_and_after_each_epoch():
    net = fn.Network([fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    first = net.layers[1].weight.value.copy()
    snapshots = Snapshots(lambda net: net.layers[1].weight.value.copy())
    curves = train(net, epochs=2, optimizer="sgd", parts=data(train=64), callbacks=[snapshots])
    assert len(snapshots.taken) == 3 and len(curves["val_loss"]) == 2
    assert (snapshots.taken[0] == first).all() and (snapshots.taken[2] == net.layers[1].weight.value).all()


def test_data_of_some_classes():
    (x, y), (x_test, y_test) = data(train=20, classes=[3, 5])
    assert x.shape == (20, 8, 8, 1) and set(y) | set(y_test) == {3, 5} and len(x_test) == len(y_test)
