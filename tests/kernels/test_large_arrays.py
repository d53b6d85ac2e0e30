"""Kernels on arrays of more than 2^31 elements: what they do at the end is what they do to a small array."""

import sys

import numpy as np
import pytest

import fastnet as fn

if sys.platform != "linux":
    pytest.skip("the arrays are made of Linux's shared pages", allow_module_level=True)

from large_arrays import large

ROWS, COLUMNS = 65_599, 32_771  # 2^31 and some more
MANY = 2**31 + 8_221
ENDING = 2_000
IMAGES = 8_209, 32_707, 8  # as many, too


def rng():
    return np.random.default_rng(0)


def values(*shape):
    return rng().standard_normal(shape, dtype=np.float32)


def test_an_activation():
    x, y = large(MANY), large(MANY, written=True)
    x[-ENDING:] = values(ENDING)
    fn.kernels.relu(x, out=y)
    np.testing.assert_array_equal(y[-ENDING:], np.maximum(x[-ENDING:], 0))


def test_a_product_with_a_large_matrix():
    a, b = large((ROWS, COLUMNS)), values(COLUMNS, 1)
    a[-20:] = values(20, COLUMNS)
    y = fn.kernels.matmul(a, b)
    assert not y[:-20].any()
    np.testing.assert_array_equal(y[-20:], fn.kernels.matmul(a[-20:].copy(), b))


def test_a_product_over_the_rows_of_a_large_matrix():
    a, b = large((ROWS, COLUMNS)), values(ROWS, 1)
    a[-20:] = values(20, COLUMNS)
    y = fn.kernels.matmul(a, b, trans_a=True)
    exact = a[-20:].astype(np.float64).T @ b[-20:]
    np.testing.assert_allclose(
        y, exact, rtol=0, atol=20 * 2.0**-24 * np.abs(a[-20:]).T.sum(axis=1).max() * np.abs(b).max()
    )


def test_a_product_with_a_large_result():
    a, b = values(ROWS, 1), values(1, COLUMNS)
    y = large((ROWS, COLUMNS), written=True)
    fn.kernels.matmul(a, b, out=y)
    np.testing.assert_array_equal(y[-20:], a[-20:] * b)


def test_gathering():
    x = large((ROWS, COLUMNS))
    x[-20:] = values(20, COLUMNS)
    order = np.array([ROWS - 1, 0, ROWS - 7])
    np.testing.assert_array_equal(fn.kernels.gather(x, order), [x[-1], x[0], x[-7]])


def test_an_update():
    w, g = large(MANY, written=True), large(MANY)
    before, slope = values(ENDING), values(ENDING)[::-1]
    w[-ENDING:], g[-ENDING:] = before, slope
    fn.kernels.sgd_update(w, g, step=1, learning_rate=0.5)
    np.testing.assert_array_equal(w[-ENDING:], before - np.float32(0.5) * slope)


def test_a_norm():
    g = large(MANY)
    g[-ENDING:] = values(ENDING)
    norm, _ = fn.kernels.gradient_norm(g)
    assert norm == pytest.approx(np.linalg.norm(g[-ENDING:].astype(np.float64)), rel=1e-6)


def test_a_convolution():
    x = large((1, *IMAGES))
    x[0, -9:] = values(9, *IMAGES[1:])
    w = values(3, 3, 8, 2)
    y = fn.kernels.conv2d(x, w, stride=4)
    assert not y[0, :-2].any()
    np.testing.assert_array_equal(y[0, -2:], fn.kernels.conv2d(x[:, -9:].copy(), w, stride=4)[0])


def test_a_convolution_with_a_large_result():
    x, w = np.zeros((1, *IMAGES[:2], 1), np.float32), values(1, 1, 1, 8)
    x[0, -3:] = values(3, IMAGES[1], 1)
    y = large((1, *IMAGES), written=True)
    fn.kernels.conv2d(x, w, out=y)
    np.testing.assert_array_equal(y[0, -3:], x[0, -3:] * w[0, 0])


@pytest.mark.slow
def test_a_convolution_by_winograd():
    x, y, w = large((1, *IMAGES)), large((1, *IMAGES), written=True), values(3, 3, 8, 8)
    x[0, -4:] = values(4, *IMAGES[1:])
    fn.kernels.conv2d(x, w, padding=1, out=y)
    small = np.zeros((1, 12, *IMAGES[1:]), np.float32)
    small[0, -4:] = x[0, -4:]
    np.testing.assert_allclose(y[0, -3:], fn.kernels.conv2d(small, w, padding=1)[0, -3:], rtol=0, atol=1e-3)


def test_pooling():
    x = large((1, *IMAGES))
    x[0, -8:] = values(8, *IMAGES[1:])
    y = fn.kernels.max_pool(x[:, 1:], 2, stride=8)
    np.testing.assert_array_equal(y[0, -1], fn.kernels.max_pool(x[:, -8:].copy(), 2, stride=8)[0, 0])
