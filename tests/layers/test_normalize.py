"""Normalization by fixed figures."""

import numpy as np
import pytest

import fastnet as fn

X = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("mean", "std"), [(0, 255), ([1, 2, 3.5], 60), (100, np.array([50.0, 60, 70]))])
def test_values(dtype, mean, std):
    net = fn.Network([fn.Normalize(mean, std)], input_shape=(4, 5, 3), dtype=dtype, seed=0)
    expected = (X - np.float64(mean)) / np.float64(std)
    np.testing.assert_allclose(net.predict(X), expected, rtol=4 * np.finfo(dtype).eps, atol=1e-12)
    np.testing.assert_array_equal(net.forward(X, training=True), net.predict(X))


def test_gradient_and_training():
    layers = [fn.Dense(4), fn.Normalize([0.1, 0.2, -0.3, 0], [2, 0.5, 1, 3]), fn.Dense(2)]
    net = fn.Network(layers, input_shape=(3,), seed=0)
    assert fn.check_gradients(net, np.ones((5, 3)), np.zeros((5, 2)), loss="mse").ok
    before = {p.name: p.value.copy() for p in net.buffers()}
    assert len(before) == 2 and len(net.parameters()) == 4
    net.fit(np.ones((5, 3)), np.zeros((5, 2)), loss="mse", optimizer=fn.Adam(0.1, weight_decay=0.1), verbose=0)
    for p in net.buffers():
        np.testing.assert_array_equal(p.value, before[p.name])


def test_is_saved_with_the_network(tmp_path):
    net = fn.Network([fn.Normalize.of(X), fn.Flatten(), fn.Dense(2)], input_shape=(4, 5, 3), seed=0)
    net.save(tmp_path / "net.safetensors")
    other = fn.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    assert repr(other.layers[0]) == repr(net.layers[0])


def test_figures_of_data():
    x = X.astype(float)
    x[..., 1] = 7
    y = fn.Normalize.of(x).forward(x)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), [1, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: fn.Normalize(0, 0), ValueError, "std must be above 0"),
        (lambda: fn.Normalize(0, [1, -1]), ValueError, "std must be above 0.*got -1"),
        (lambda: fn.Normalize(np.nan, 1), ValueError, "mean must be finite"),
        (lambda: fn.Normalize([1, 2], [1, 2, 3]), ValueError, "same length; got 2 and 3"),
        (lambda: fn.Normalize("a", 1), TypeError, "mean must be a number"),
        (lambda: fn.Normalize([[1]], 1), TypeError, "mean must be a number, or one for each channel"),
        (lambda: fn.Normalize.of(np.zeros((0, 3))), ValueError, "x must be a batch"),
        (lambda: fn.Network([fn.Normalize([1, 2], 1)], input_shape=(4, 4, 3)), ValueError, "mean has 2 values.*3 channels"),
    ],
)  # fmt: skip
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()
