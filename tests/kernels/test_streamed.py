"""Results of 32 MB and more, which are stored past the caches: the bits are those of the same call on parts of the arrays."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import kernels
from fastnet.native.arena import Block

BYTES = 1 << 25  # STREAMED of native/kernels/elements.pxi


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(autouse=True, params=[1, 2])
def threads(request):
    before = fn.get_num_threads()
    fn.set_num_threads(request.param)
    yield
    fn.set_num_threads(before)


def numbers(shape, dtype, start=0):
    """Many different numbers, at a multiple of a vector's size and `start` bytes."""
    n = int(np.prod(shape))
    array = np.frombuffer(Block(n * np.dtype(dtype).itemsize + start), dtype, n, start).reshape(shape)
    array[...] = np.resize(np.random.default_rng(n).standard_normal(10_007).astype(dtype), shape)
    return array


@pytest.mark.parametrize("start", [0, 8])
@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_activations(kind, start, dtype):
    n = BYTES // np.dtype(dtype).itemsize + 4099
    x, dy, y, dx = (numbers(n, dtype, start) for _ in range(4))
    kernels.activate(x, kind, out=y)
    kernels.activate_backward(y, dy, kind, out=dx)
    for part in np.array_split(np.arange(n), 3):
        part = slice(part[0] // 4096 * 4096, part[-1] + 1)
        expected = kernels.activate(x[part], kind)
        np.testing.assert_array_equal(y[part], expected)
        np.testing.assert_array_equal(dx[part], kernels.activate_backward(expected, dy[part], kind))


def test_sums(dtype):
    n = BYTES // np.dtype(dtype).itemsize + 5
    a, b, y = (numbers(n, dtype) for _ in range(3))
    b *= 3
    np.testing.assert_array_equal(kernels.add(a, b, out=y), a + b)
    np.testing.assert_array_equal(kernels.add(a, b, out=a), y)


def passes(layer, x, dy):
    """Both passes of a layer in a workspace, whose arrays start at whole vectors; and of the last part of the batch alone."""
    found = []
    for part in (slice(None), slice(-2, None)):
        net = fn.Network([layer], input_shape=x.shape[1:], seed=0, dtype=x.dtype.name)
        y = net.forward(x[part], training=True)
        found.append((y.copy(), net.backward(dy[part])))
    return found


@pytest.mark.parametrize("channels", [64, 20])
def test_batch_norm(channels, dtype):
    rows = BYTES // np.dtype(dtype).itemsize // channels // 9 + 7
    x, dy = numbers((rows, 3, 3, channels), dtype), 3 * numbers((rows, 3, 3, channels), dtype)[::-1]
    (y, dx), _ = passes(fn.BatchNorm(), x, dy)
    x, dy = (array.reshape(-1, channels).astype(np.float64) for array in (x, dy))
    inverse = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    normed = (x - x.mean(axis=0)) * inverse
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(y.reshape(x.shape), normed, rtol=tolerance, atol=tolerance)
    expected = inverse * (dy - dy.mean(axis=0) - normed * (dy * normed).mean(axis=0))
    np.testing.assert_allclose(dx.reshape(x.shape), expected, rtol=tolerance, atol=20 * tolerance)


def test_slopes(dtype):
    n = BYTES // np.dtype(dtype).itemsize // 4096 + 3
    x, dy = numbers((n, 4096), dtype), numbers((n, 4096), dtype)[::-1]
    (y, dx), part = passes(fn.Activation("gelu"), x, dy)
    np.testing.assert_array_equal(y, kernels.gelu(x))
    np.testing.assert_array_equal(dx, kernels.activate_backward(x, dy, "gelu"))
    for array, expected in zip((y, dx), part, strict=True):
        np.testing.assert_array_equal(array[-2:], expected)


@pytest.mark.parametrize(
    "layer", [fn.MaxPool2D(2), fn.MaxPool2D(3, stride=2), fn.AvgPool2D(2), fn.AvgPool2D(3, stride=2)], ids=repr
)
def test_pools(layer, dtype):
    n = BYTES // np.dtype(dtype).itemsize // (64 * 64 * 64) + 1
    x = numbers((n, 64, 64, 64), dtype)
    dy = numbers((n, *fn.Network([layer], input_shape=x.shape[1:]).output_shape), dtype)
    whole, part = passes(layer, x, dy)
    for array, expected in zip(whole, part, strict=True):
        np.testing.assert_array_equal(array[-2:], expected)
    np.testing.assert_allclose(whole[1].sum(dtype=np.float64), dy.sum(dtype=np.float64), rtol=1e-4)
