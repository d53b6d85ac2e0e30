"""Products: the kernel with all that it fuses, and `matmul` on arrays."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnet as fn
from fastnet.kernels import call
from fastnet.kernels.activation import ACTIVATIONS
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]
BAD_GRADIENT = 5
GUARD = 7.0


def apart(matrix, gap):
    """A matrix's memory with `gap` elements, that no kernel may touch, behind each row."""
    rows = np.full((matrix.shape[0], matrix.shape[1] + gap), GUARD, matrix.dtype)
    rows[:, : matrix.shape[1]] = matrix
    return rows


def run_gemm(a, b, *, trans_a=False, trans_b=False, bias=None, c=None, column_sums=None, accumulate_sums=False,
             activation=None, gate=None, gaps=(0, 0, 0, 0), control=None):  # fmt: skip
    """The kernel on op(a) = a, op(b) = b, which are stored transposed where it says so; returns c and the sums."""
    (m, k), n = a.shape, b.shape[1]
    stored_a = apart(a.T if trans_a else a, gaps[0])
    stored_b = apart(b.T if trans_b else b, gaps[1])
    y = apart(np.full((m, n), np.nan, a.dtype) if c is None else c, gaps[2])
    gate = None if gate is None else apart(gate, gaps[3])
    sums = None if column_sums is None else column_sums.copy()
    row = ACTIVATIONS[activation or "linear"]
    numbers = {
        "M": m, "N": n, "K": k, "lda": stored_a.shape[1], "ldb": stored_b.shape[1], "ldc": y.shape[1],
        "ldgate": 0 if gate is None else gate.shape[1], "trans_a": int(trans_a), "trans_b": int(trans_b),
        "activation": row.kind, "gate_activation": ACTIVATIONS["relu"].kind, "accumulate": int(c is not None),
        "accumulate_sums": int(accumulate_sums), "parts": 0, "alpha": row.alpha, "gate_alpha": 0.0,
    }  # fmt: skip
    reads = {"a": stored_a, "b": stored_b, "bias": bias, "gate": gate}
    writes = {"c": y, "column_sums": sums, "control": None if control is None else control.block}
    call.run("gemm", a.dtype.name, reads, writes, numbers, 10**9)
    assert (y[:, n:] == GUARD).all()
    return y[:, :n], sums


def close(result, expected, k, magnitude):
    """Within what k roundings of a sum of such magnitudes can make."""
    tolerance = 2 * (k + 4) * np.finfo(result.dtype).eps * magnitude + np.finfo(result.dtype).tiny
    np.testing.assert_array_less(np.abs(result - expected), tolerance + 1e-300)


sizes = st.one_of(st.integers(1, 20), st.sampled_from([31, 32, 33, 63, 64, 65, 70, 127, 128, 129, 200]))
depths = st.one_of(st.integers(0, 70), st.sampled_from([511, 512, 513, 1023, 1024, 1025, 2100]))


@given(
    m=sizes, n=sizes, k=depths, trans_a=st.booleans(), trans_b=st.booleans(), dtype=st.sampled_from(DTYPES),
    start=st.sampled_from(["zero", "bias", "c"]), end=st.sampled_from([None, "relu", "tanh", "gate"]),
    gaps=st.tuples(*[st.sampled_from([0, 1, 13])] * 4), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_matches_reference(m, n, k, trans_a, trans_b, dtype, start, end, gaps, seed):
    rng = np.random.default_rng(seed)
    a, b, bias, c = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), n, (m, n)))
    options = {
        "bias": bias if start == "bias" else None,
        "c": c if start == "c" else None,
        "activation": end if end in ("relu", "tanh") else None,
        "gate": rng.standard_normal((m, n)).astype(dtype) if end == "gate" else None,
    }
    expected = reference.gemm(a, b, **options)
    magnitude = np.abs(a).astype(float) @ np.abs(b) + np.abs(bias) + np.abs(c)
    results = {}
    for threads in (1, 2, 3):
        with fn.threads(threads):
            results[threads], _ = run_gemm(a, b, trans_a=trans_a, trans_b=trans_b, gaps=gaps, **options)
    close(results[1], expected, k, magnitude)
    for threads in (2, 3):
        np.testing.assert_array_equal(results[threads], results[1])


@given(
    m=sizes, n=sizes, k=depths, trans_a=st.booleans(), dtype=st.sampled_from(DTYPES), accumulate=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_column_sums(m, n, k, trans_a, dtype, accumulate, seed):
    rng = np.random.default_rng(seed)
    a, b, before = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), n))
    results = []
    for threads in (1, 2, 3):
        with fn.threads(threads):
            results.append(run_gemm(a, b, trans_a=trans_a, column_sums=before, accumulate_sums=accumulate)[1])
    expected = b.astype(float).sum(0) + (before if accumulate else 0)
    close(results[0], expected, k, np.abs(b).astype(float).sum(0) + np.abs(before))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@given(m=st.integers(1, 100), n=st.integers(1, 100), k=st.integers(1, 1100), dtype=st.sampled_from(DTYPES))
@settings(max_examples=50, deadline=None)
def test_an_element_does_not_depend_on_the_others(m, n, k, dtype):
    """A row of the product has the same bits in a batch of one; so has a column."""
    rng = np.random.default_rng(m * n)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    whole, _ = run_gemm(a, b)
    i, j = m // 2, n // 2
    np.testing.assert_array_equal(run_gemm(a[i : i + 1], b)[0][0], whole[i])
    for trans_a in (False, True):
        np.testing.assert_array_equal(run_gemm(a, b[:, j : j + 1], trans_a=trans_a)[0][:, 0], whole[:, j])
    for trans_a, trans_b in ((True, False), (False, True), (True, True)):
        np.testing.assert_array_equal(run_gemm(a, b, trans_a=trans_a, trans_b=trans_b)[0], whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [96, 191, 255, 256, 300, 777])
@pytest.mark.parametrize("k", [1, 40, 700])
def test_a_batch_of_one(n, k, dtype):
    """One row has tiles of its own, and the bits of a row among others."""
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((30, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    gate, bias = rng.standard_normal((30, n)).astype(dtype), rng.standard_normal(n).astype(dtype)
    for options in ({}, {"bias": bias}, {"bias": bias, "activation": "relu"}, {"gate": gate}, {"c": gate}):
        whole, _ = run_gemm(a, b, **options)
        close(
            whole, reference.gemm(a, b, **options), k, np.abs(a).astype(float) @ np.abs(b) + np.abs(bias) + np.abs(gate)
        )
        row = {name: value[7:8] if name in ("gate", "c") else value for name, value in options.items()}
        for gaps in ((0, 0, 0, 0), (3, 5, 7, 1)):
            np.testing.assert_array_equal(run_gemm(a[7:8], b, gaps=gaps, **row)[0], whole[7:8])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 7, 16, 96, 255, 777])
@pytest.mark.parametrize("k", [0, 1, 40, 300, 1100])
@pytest.mark.parametrize("trans_a", [True, False])
def test_the_column_of_one_unit(m, k, trans_a, dtype):
    """Its outputs and its weight gradient are rows to the kernel, and have the bits of a column among others."""
    rng = np.random.default_rng(m)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, 9)).astype(dtype)
    gate, sums = rng.standard_normal((m, 9)).astype(dtype), rng.standard_normal(9).astype(dtype)
    bias = {"bias": rng.standard_normal(9).astype(dtype)}
    for options in ({}, {"gate": gate}, {"c": gate}, {"activation": "relu"}, bias, bias | {"activation": "tanh"}):
        whole, whole_sums = run_gemm(a, b, trans_a=trans_a, column_sums=sums, accumulate_sums=True, **options)
        column = {name: value[..., 4:5] if name != "activation" else value for name, value in options.items()}
        for gaps in ((0, 0, 0, 0), (5, 0, 0, 0), (3, 5, 7, 1)):
            for threads in (1, 2, 3):
                with fn.threads(threads):
                    y, found = run_gemm(
                        a, b[:, 4:5], trans_a=trans_a, column_sums=sums[4:5], accumulate_sums=True, gaps=gaps, **column
                    )
                np.testing.assert_array_equal(y, whole[:, 4:5])
                np.testing.assert_array_equal(found, whole_sums[4:5])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize(
    ("m", "n", "k"), [(13, 70, 5), (64, 128, 32), (5, 10, 1100), (30, 27, 33), (70, 1, 33), (9, 1, 300)]
)
def test_what_is_not_finite_makes_the_step_a_bad_one(m, n, k, trans_a, dtype):
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
    control = ControlBlock()
    for start in (None, c):
        run_gemm(a, b, trans_a=trans_a, c=start, column_sums=np.zeros(n, dtype), control=control)
        assert control.status == 0
    # An element that is not finite anywhere is found, also where only the last rounding makes it so.
    greatest = np.finfo(dtype).max
    for i, j in ((0, 0), (m - 1, n - 1), (m // 2, n // 2)):
        for value in (np.nan, np.inf, -np.inf, greatest):
            bad = c.copy()
            bad[i, j] = value
            x, y = np.zeros_like(a), np.zeros_like(b)
            if value == greatest:
                x[i, -1], y[-1, j] = greatest, 1
            control.status = 0
            run_gemm(x, y, trans_a=trans_a, c=bad, control=control)
            assert control.status == BAD_GRADIENT, (i, j, value)
    for j in (0, n - 1):
        bad = b.copy()
        bad[k // 2, j] = np.inf
        control.status = 0
        run_gemm(np.zeros_like(a), bad, trans_a=trans_a, column_sums=np.zeros(n, dtype), control=control)
        assert control.status == BAD_GRADIENT


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 16, 70])
def test_not_finite_values_arrive(n, dtype):
    a, b = np.ones((9, 4), dtype), np.ones((4, n), dtype)
    a[2, 1], a[5, 3] = np.nan, np.inf
    for activation in (None, "relu"):
        y, _ = run_gemm(a, b, activation=activation)
        assert np.isnan(y[2]).all()
        assert np.isposinf(y[5]).all()
        assert (np.delete(y, [2, 5], 0) == 4).all()


def test_matmul_takes_views_and_other_dtypes():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((6, 8)).astype("float32"), rng.standard_normal((8, 5)).astype("float32")
    expected = fn.kernels.matmul(a, b)
    np.testing.assert_allclose(expected, a @ b, rtol=1e-5)
    np.testing.assert_array_equal(fn.kernels.matmul(np.asfortranarray(a), np.asfortranarray(b)), expected)
    np.testing.assert_array_equal(fn.kernels.matmul(a.T, b.T, trans_a=True, trans_b=True), expected)
    np.testing.assert_array_equal(fn.kernels.matmul(np.repeat(a, 2, 0)[::2], b), expected)
    np.testing.assert_array_equal(fn.kernels.matmul(a[::-1], b), expected[::-1])
    assert fn.kernels.matmul(a, b.astype(float)).dtype == np.float64
    np.testing.assert_array_equal(fn.kernels.matmul(np.eye(3, dtype=np.uint8), [[1, 2], [3, 4], [5, 6]]),
                                  [[1, 2], [3, 4], [5, 6]])  # fmt: skip
    assert fn.kernels.matmul(np.empty((0, 3)), np.empty((3, 2))).shape == (0, 2)
    np.testing.assert_array_equal(fn.kernels.matmul(np.empty((2, 0)), np.empty((0, 2)), bias=[1.0, 2.0]), [[1, 2]] * 2)


def test_matmul_refuses():
    a, b = np.ones((2, 3), "float32"), np.ones((3, 4), "float32")
    out = np.empty((2, 4), "float32")
    for _ in range(2):  # the second time with the plan of the first call at hand
        np.testing.assert_array_equal(fn.kernels.matmul(a, b, out=out), 3 * np.ones((2, 4)))
        with pytest.raises(ValueError, match=r"op\(a\) is 2 x 3, op\(b\) is 4 x 3"):
            fn.kernels.matmul(a, b, trans_b=True)
        with pytest.raises(ValueError, match=r"bias must have shape \(4,\)"):
            fn.kernels.matmul(a, b, bias=np.ones(3), out=out)
        with pytest.raises(ValueError, match="out must have shape"):
            fn.kernels.matmul(a, b, out=np.empty((4, 2), "float32"))
        with pytest.raises(ValueError, match=r"activation .*'relu'"):
            fn.kernels.matmul(a, b, activation="rleu", out=out)
        with pytest.raises(TypeError, match="complex"):
            fn.kernels.matmul(a * 1j, b)


def test_matmul_refuses_an_out_that_overlaps():
    memory = np.ones((4, 4), "float32")
    a, b = memory[:2], np.ones((4, 4), "float32")
    for _ in range(2):
        fn.kernels.matmul(a.copy(), b, out=np.empty((2, 4), "float32"))
        with pytest.raises(ValueError, match="out must not overlap a, b or bias"):
            fn.kernels.matmul(a, b, out=memory[1:3])
        with pytest.raises(ValueError, match="out must not overlap a, b or bias"):
            fn.kernels.matmul(b[:2], memory, out=memory[2:])
    assert (memory == 1).all()
