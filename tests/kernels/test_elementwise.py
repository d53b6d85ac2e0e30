"""Arithmetic element by element, and copies of a part of a matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call, elementwise
from fastnet.kernels.activation import ACTIVATIONS, activate, activate_backward

DTYPES = ["float32", "float64"]
SIZES = [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 4095, 4096, 4097, 10_000]


def arrays(shape, dtype, count=2, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *np.atleast_1d(shape))).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_exact(n, dtype):
    """One operation on each element, rounded once: NumPy's bits."""
    a, b = arrays(n, dtype)
    np.testing.assert_array_equal(elementwise.add(a, b), a + b)
    np.testing.assert_array_equal(elementwise.multiply(a, b), a * b)
    np.testing.assert_array_equal(elementwise.scale(a, -0.3), a * np.dtype(dtype).type(-0.3))
    y = b.copy()
    assert elementwise.accumulate(a, y) is y
    np.testing.assert_array_equal(y, a + b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 16, 17, 5000])
def test_out_may_be_an_operand(n, dtype):
    a, b = arrays(n, dtype)
    for function, expected in ((elementwise.add, a + b), (elementwise.multiply, a * b)):
        first, second = a.copy(), b.copy()
        assert function(first, b, out=first) is first
        function(a, second, out=second)
        np.testing.assert_array_equal(first, expected)
        np.testing.assert_array_equal(second, expected)
    both = a.copy()
    np.testing.assert_array_equal(elementwise.add(both, both, out=both), 2 * a)
    scaled = a.copy()
    np.testing.assert_array_equal(elementwise.scale(scaled, 0.5, out=scaled), a / 2)


def add_gated(a, b, gate, kind, gate_kind):
    """The kernel with all that it can do to the sum."""
    rows = ACTIVATIONS[kind], ACTIVATIONS[gate_kind]
    y = np.full(a.size + 3, 7, a.dtype)
    numbers = {
        "n": a.size, "activation": rows[0].kind, "gate_activation": rows[1].kind,
        "alpha": rows[0].alpha, "gate_alpha": rows[1].alpha,
    }  # fmt: skip
    call.run("add", a.dtype.name, {"a": a, "b": b, "gate": gate}, {"y": y[: a.size]}, numbers, 1 << 20)
    assert np.all(y[a.size :] == 7)
    return y[: a.size]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 17, 1023, 1025, 10_000])
def test_what_follows_a_sum_has_the_bits_of_a_call_of_its_own(n, dtype, threads):
    a, b, gate = arrays(n, dtype, 3)
    call.of_thread.plans.clear()
    with config.threads(threads):
        for kind in ACTIVATIONS:
            np.testing.assert_array_equal(elementwise.add(a, b, activation=kind), activate(a + b, kind))
            np.testing.assert_array_equal(add_gated(a, b, gate, "linear", kind), activate_backward(gate, a + b, kind))
        both = activate_backward(gate, activate(a + b, "tanh"), "leaky_relu")
        np.testing.assert_array_equal(add_gated(a, b, gate, "tanh", "leaky_relu"), both)
        over = a.copy()
        elementwise.add(over, b, activation="gelu", out=over)
        np.testing.assert_array_equal(over, activate(a + b, "gelu"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fill(dtype):
    for n in SIZES:
        y = np.full(n + 3, -1, dtype)
        call.run("fill", dtype, {}, {"y": y[:n]}, {"n": n, "value": 0.7}, 0)
        np.testing.assert_array_equal(y, [np.dtype(dtype).type(0.7)] * n + [-1] * 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite(dtype):
    a = np.array([np.nan, np.inf, -np.inf, 1, 0], dtype)
    b = np.array([1, 2, np.inf, np.nan, -np.inf], dtype)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(elementwise.add(a, b), a + b)
        np.testing.assert_array_equal(elementwise.multiply(a, b), a * b)
        np.testing.assert_array_equal(elementwise.scale(a, 0.0), a * 0)


def test_inputs():
    """Strided, read-only, of other dtypes; both float64 if either is."""
    a, b = arrays((6, 8), "float32")
    a.setflags(write=False)
    np.testing.assert_array_equal(elementwise.add(a[::2, 1::3], b[::2, 1::3]), a[::2, 1::3] + b[::2, 1::3])
    assert elementwise.add(a, b.astype(float)).dtype == np.float64
    assert elementwise.add([1, 2], [True, False]).dtype == np.float32
    y = np.ones((2, 3))
    np.testing.assert_array_equal(elementwise.accumulate([[1, 2, 3], [4, 5, 6]], y), [[2, 3, 4], [5, 6, 7]])


def test_errors():
    a = np.zeros((2, 3), "float32")
    with pytest.raises(ValueError, match="b must have the shape"):
        elementwise.add(a, np.zeros(3, "float32"))
    with pytest.raises(ValueError, match="activation 'rellu'.*did you mean 'relu'"):
        elementwise.add(a, a, activation="rellu")
    with pytest.raises(TypeError, match="a must"):
        elementwise.multiply(a.astype(complex), a)
    with pytest.raises(ValueError, match="out must have shape"):
        elementwise.add(a, a, out=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="factor"):
        elementwise.scale(a, np.inf)
    with pytest.raises(TypeError, match="y must"):
        elementwise.accumulate(a, [0, 0])
    with pytest.raises(ValueError, match="y must have shape"):
        elementwise.accumulate(a, np.zeros(6, "float32"))
    with pytest.raises(ValueError, match="dtype of y"):
        elementwise.accumulate(a, np.zeros((2, 3), int))
    long = np.zeros(20, "float32")
    with pytest.raises(ValueError, match="overlaps b"):
        elementwise.add(long[:10].copy(), long[:10], out=long[5:15])
    locked = np.zeros((2, 3), "float32")
    locked.setflags(write=False)
    with pytest.raises(ValueError, match="writeable"):
        elementwise.scale(a, 2, out=locked)


# --- a row for each sample ------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    batch=st.integers(0, 5), rows=st.sampled_from([1, 2, 7, 8, 9, 31, 64]),
    channels=st.sampled_from([1, 3, 8, 16, 17, 40, 256, 257, 600]), dtype=st.sampled_from(DTYPES),
)  # fmt: skip
def test_multiply_rows(batch, rows, channels, dtype):
    x, dy = arrays((batch, rows, channels), dtype)
    (w,) = arrays((batch, channels), dtype, 1)
    np.testing.assert_array_equal(elementwise.multiply_rows(x, w), x * w[:, None])
    over = x.copy()
    assert elementwise.multiply_rows(over, w, out=over) is over
    np.testing.assert_array_equal(over, x * w[:, None])
    dx, dw = elementwise.multiply_rows_backward(x, w, dy)
    np.testing.assert_array_equal(dx, dy * w[:, None])
    exact = dy.astype(float) * x
    # Four products of eight rows after one another, two such sums; the rest in double.
    off = 8 * np.finfo(dtype).eps * abs(exact).sum(1) + (rows / 4) * np.finfo("float64").eps * abs(exact).sum(1)
    assert np.all(abs(dw - exact.sum(1)) <= off)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 50, 20), (3, 9, 300), (5, 33, 7)])
def test_multiply_rows_with_threads_and_without_results(shape, dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x, dy = arrays(shape, dtype)
    (w,) = arrays((shape[0], shape[2]), dtype, 1)
    x[0, 3, 1] = np.nan
    seen = []
    for threads in (1, 2, 3):
        call.of_thread.plans.clear()
        with config.threads(threads):
            results = [elementwise.multiply_rows(x, w), *elementwise.multiply_rows_backward(x, w, dy)]
        seen.append([result.tobytes() for result in results])
    assert seen[0] == seen[1] == seen[2]
    y, dx, dw = results
    assert np.isnan(y).sum() == 1 and np.isnan(dw).sum() == 1 and np.isnan(dw[0, 1])
    numbers = dict(zip(("batch", "rows", "channels"), shape, strict=True))
    for name, expected in (("dx", dx), ("dw", dw)):
        writes = {"dx": None, "dw": None} | {name: np.full_like(expected, 3)}
        call.run("multiply_rows_backward", dtype, {"x": x, "w": w, "dy": dy}, writes, numbers, 0)
        np.testing.assert_array_equal(writes[name], expected)
    over = dy.copy()
    call.run("multiply_rows_backward", dtype, {"x": x, "w": w, "dy": over}, {"dx": over, "dw": w.copy()}, numbers, 0)
    np.testing.assert_array_equal(over, dx)


def test_multiply_rows_errors():
    x = np.zeros((2, 3, 4), "float32")
    with pytest.raises(ValueError, match=r"w must have shape \(batch, channels\), \(2, 4\); got \(4,\)"):
        elementwise.multiply_rows(x, np.zeros(4))
    with pytest.raises(ValueError, match="x must have shape"):
        elementwise.multiply_rows(x[0, 0], np.zeros(4))
    with pytest.raises(TypeError, match="x must"):
        elementwise.multiply_rows_backward(x.astype(complex), np.zeros((2, 4)), x)
    with pytest.raises(ValueError, match="dy must have the shape"):
        elementwise.multiply_rows_backward(x, np.zeros((2, 4)), x[:1])
    w = np.zeros((2, 4), "float32")
    with pytest.raises(ValueError, match="out must not overlap w"):
        elementwise.multiply_rows(x[:, 0], w, out=w)


# --- copies -------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(0, 9), columns=st.integers(0, 40), before=st.integers(0, 5), after=st.integers(0, 5),
    source_after=st.integers(0, 5), dtype=st.sampled_from(DTYPES),
)  # fmt: skip
def test_copy_2d(rows, columns, before, after, source_after, dtype):
    """Some columns of a wide matrix; what lies beside them stays."""
    (wide,) = arrays((rows, columns + source_after), dtype, 1)
    target = np.full((rows, before + columns + after), 7, dtype)
    expected = target.copy()
    expected[:, before : before + columns] = wide[:, :columns]
    elementwise.copy_2d(wide[:, :columns], target[:, before : before + columns])
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_2d_of_long_rows(dtype):
    (x,) = arrays((3, 9001), dtype, 1)
    y = np.zeros((3, 9100), dtype)
    elementwise.copy_2d(x, y[:, 50:9051])
    np.testing.assert_array_equal(y[:, 50:9051], x)
    assert not y[:, :50].any() and not y[:, 9051:].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_2d_keeps_every_bit(dtype):
    """Denormal numbers, and the payload of a NaN."""
    bits = {"float32": np.uint32, "float64": np.uint64}[dtype]
    x = np.random.default_rng(0).integers(0, np.iinfo(bits).max, (5, 37), bits, endpoint=True)
    x[0, :3] = 1, 2, 3
    y = np.zeros_like(x)
    elementwise.copy_2d(x.view(dtype), y.view(dtype))
    np.testing.assert_array_equal(y, x)


def test_copy_2d_errors():
    x = np.zeros((3, 4), "float32")
    for bad in (x[:, ::2], x.T, x[::-1]):
        with pytest.raises(ValueError, match="contiguous rows"):
            elementwise.copy_2d(bad, np.zeros(bad.shape, "float32"))
    with pytest.raises(ValueError, match="out must have x's shape"):
        elementwise.copy_2d(x, np.zeros((3, 5), "float32"))
    with pytest.raises(ValueError, match="overlap"):
        elementwise.copy_2d(x[:, :3], x[:, 1:])
    with pytest.raises(ValueError, match="two axes"):
        elementwise.copy_2d(x[0], x[0])
    with pytest.raises(ValueError, match="dtype of x"):
        elementwise.copy_2d(x.astype(int), x)
    with pytest.raises(TypeError, match="out must"):
        elementwise.copy_2d(x, None)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads(dtype, threads, monkeypatch):
    """Every element is done once, whichever blocks the threads get."""
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    call.of_thread.plans.clear()
    with config.threads(threads):
        for n in (1, 4096, 4097, 8192, 40_001):
            a, b = arrays(n, dtype)
            np.testing.assert_array_equal(elementwise.add(a, b), a + b)
            np.testing.assert_array_equal(elementwise.multiply(a, b), a * b)
            np.testing.assert_array_equal(elementwise.scale(a, 2), 2 * a)
            np.testing.assert_array_equal(elementwise.accumulate(a, b.copy()), a + b)
            call.run("fill", dtype, {}, {"y": b}, {"n": n, "value": 3.0}, 0)
            np.testing.assert_array_equal(b, np.full(n, 3, dtype))
        for shape in ((1, 9000), (7, 5000), (100, 3), (2, 1)):
            (x,) = arrays(shape, dtype, 1)
            y = np.zeros((shape[0], shape[1] + 2), dtype)
            elementwise.copy_2d(x, y[:, 1:-1])
            np.testing.assert_array_equal(y[:, 1:-1], x)
            assert not y[:, [0, -1]].any()
