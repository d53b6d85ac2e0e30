"""Initialization from data, and first values drawn again."""

import numpy as np
import pytest

import fastnet as fn


def test_every_layer_gets_unit_variance():
    (x, _), _ = fn.datasets.digits()
    net = fn.Network(
        [
            fn.Conv2D(16, 3, padding="same", activation="relu"),
            fn.Residual([fn.Conv2D(16, 3, padding="same", activation="relu"), fn.Conv2D(16, 3, padding="same")]),
            fn.Flatten(), fn.Dropout(0.5), fn.Dense(32, activation="sigmoid"), fn.Dense(10, name="head"),
        ],
        input_shape=(8, 8, 1), seed=0,
    )  # fmt: skip
    scales = fn.lsuv(net, x[:200], tolerance=0.01)
    assert [scale.layer for scale in scales] == [
        "conv2d_1",
        "residual_1.conv2d_1",
        "residual_1.conv2d_2",
        "dense_1",
        "head",
    ]
    for scale in scales:
        assert abs(scale.after**2 - 1) < 0.01
    assert net.predict(x[:200]).std() == pytest.approx(scales[-1].after, rel=1e-5)
    z = net.activations(x[:200], ["dense_1"])["dense_1"].astype(float)
    assert np.log(z / (1 - z)).std() == pytest.approx(1, abs=0.01)
    assert not net["head"].bias.value.any()


def test_weights_stay_orthogonal_up_to_a_factor():
    net = fn.Network([fn.Dense(12, activation="tanh"), fn.Dense(12)], input_shape=(12,), dtype="float64", seed=0)
    fn.lsuv(net, np.random.default_rng(0).normal(size=(100, 12)))
    for layer in net.layers:
        gram = layer.weight.value.T @ layer.weight.value
        np.testing.assert_allclose(gram, np.eye(12) * gram[0, 0], atol=1e-12)


def test_a_seed_gives_the_same_weights_and_frozen_layers_stay():
    nets = [fn.Network([fn.Dense(6), fn.Dense(3)], input_shape=(4,), seed=5) for _ in range(2)]
    x = np.random.default_rng(0).normal(size=(50, 4))
    for net in nets:
        net.layers[0].trainable = False
    before = nets[0].layers[0].weight.value.copy()
    assert [scale.layer for net in nets for scale in fn.lsuv(net, x)] == ["dense_2"] * 2
    np.testing.assert_array_equal(nets[0].layers[1].weight.value, nets[1].layers[1].weight.value)
    np.testing.assert_array_equal(nets[0].layers[0].weight.value, before)


def test_data_without_variance_change_nothing():
    net = fn.Network([fn.Dense(6), fn.Dense(3)], input_shape=(4,), seed=5)
    before = net.state_dict()
    with pytest.raises(ValueError, match="layer 'dense_1': its outputs are all equal"):
        fn.lsuv(net, np.zeros((8, 4)))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_reinitialize():
    net = fn.Network([fn.Dense(6, name="body"), fn.BatchNorm(), fn.Dense(3, name="head")], input_shape=(4,), seed=5)
    first = net.state_dict()
    net.fit(np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3, loss="softmax_cross_entropy", verbose=0)
    trained = net.state_dict()
    net.reinitialize(["head", net["batch_norm_1"]])
    now = net.state_dict()
    for name in now:
        np.testing.assert_array_equal(now[name], (trained if name.startswith("body") else first)[name])
    net.reinitialize()
    assert all(np.array_equal(value, first[name]) for name, value in net.state_dict().items())
    net.reinitialize(seed=6)
    other = fn.Network([fn.Dense(6, name="body"), fn.BatchNorm(), fn.Dense(3, name="head")], input_shape=(4,), seed=6)
    assert all(np.array_equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("layers, error", [("haed", ValueError), (3, TypeError), ([fn.Dense(2)], ValueError)])
def test_reinitialize_what_is_not_there(layers, error):
    net = fn.Network([fn.Dense(3, name="head")], input_shape=(4,), seed=5)
    with pytest.raises(error, match="layers"):
        net.reinitialize(layers)
