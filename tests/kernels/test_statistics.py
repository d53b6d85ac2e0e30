"""Statistics of arrays, activity of units, and agreement of gradients, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call

DTYPES = ["float32", "float64"]
BINS = 64


@pytest.fixture(autouse=True)
def no_kept_plans():
    """A plan keeps whether it is parallel, which some tests here want to decide anew."""
    call.of_thread.plans.clear()


def statistics(x, y=None):
    result = np.full(7 + BINS, np.nan)
    reads = {"x": x} if y is None else {"x": x, "y": y}
    call.run("statistics", x.dtype.name, reads, {"result": result}, {"n": x.size}, 8 * x.size)
    return result


def expected_statistics(z):
    finite = z[np.isfinite(z)].astype(float)
    least, greatest = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    counts = np.zeros(BINS)
    if finite.size:
        scale = BINS / (greatest - least) if greatest > least else 0.0
        counts = np.bincount(np.minimum(((finite - least) * scale).astype(int), BINS - 1), minlength=BINS)
    head = [z.size, z.size - finite.size, (z == 0).sum(), finite.sum(), (finite**2).sum(), least, greatest]
    return np.array([*head, *counts])


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 9000), dtype=st.sampled_from(DTYPES), bad=st.sampled_from([0, 0.01, 1]), difference=st.booleans(),
    relu=st.booleans(),
)  # fmt: skip
def test_statistics(n, dtype, bad, difference, relu):
    rng = np.random.default_rng(n)
    x, y = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    if relu:
        x = np.maximum(x, 0)
        y *= 0
    x[rng.random(n) < bad] = np.nan
    x[rng.random(n) < bad / 2] = -np.inf
    got = statistics(x, y if difference else None)
    expected = expected_statistics(x - y if difference else x)
    np.testing.assert_array_equal(got[:3], expected[:3])
    np.testing.assert_allclose(got[3], expected[3], rtol=0, atol=1e-15 * max(n, 1) * 5)
    np.testing.assert_allclose(got[4], expected[4], rtol=1e-15 * max(n, 1) ** 0.5)
    np.testing.assert_array_equal(got[5:], expected[5:])


def test_statistics_of_equal_elements_and_extremes():
    got = statistics(np.full(100, 3.0, "f"))
    assert (got[5], got[6], got[7], got[8:].sum()) == (3, 3, 100, 0)
    x = np.array([-3e38, 3e38, 0], "f")
    assert np.isfinite(statistics(x)).all()
    assert statistics(x)[7:].sum() == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_in_threads(dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 100_001)).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        with config.threads(threads):
            results.append(np.concatenate([statistics(x, y), agreement(x, y), *activity(x[:99_000].reshape(1000, 99))]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def activity(y, floor=0.0, low=-np.inf, high=np.inf):
    rows, columns = y.shape
    results = {"active": np.full(columns, np.nan), "saturated": np.full(columns, np.nan)}
    numbers = {"rows": rows, "columns": columns, "floor": floor, "low": low, "high": high}
    call.run("unit_activity", y.dtype.name, {"y": y}, results, numbers, 8 * y.size)
    return results["active"], results["saturated"]


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 50), columns=st.integers(1, 50), dtype=st.sampled_from(DTYPES))
def test_unit_activity(rows, columns, dtype):
    y = np.maximum(np.random.default_rng(rows * columns).standard_normal((rows, columns)), -0.5).astype(dtype)
    active, saturated = activity(y, 0.25, -0.5, 1.0)
    np.testing.assert_array_equal(active, (y > 0.25).sum(axis=0))
    np.testing.assert_array_equal(saturated, ((y <= -0.5) | (y >= 1)).sum(axis=0))


def agreement(x, y):
    result = np.full(3, np.nan)
    call.run("agreement", x.dtype.name, {"x": x, "y": y}, {"result": result}, {"n": x.size}, 8 * x.size)
    return result


@pytest.mark.parametrize("n", [0, 1, 17, 4096, 9001])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agreement(n, dtype):
    x, y = np.random.default_rng(n).standard_normal((2, n)).astype(dtype)
    expected = [x.astype(float) @ y, x.astype(float) @ x, y.astype(float) @ y]
    np.testing.assert_allclose(agreement(x, y), expected, rtol=1e-13, atol=1e-13 * n)
