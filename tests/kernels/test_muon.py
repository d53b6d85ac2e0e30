"""The kernels of Muon's update: against NumPy, over odd shapes, threads and bad steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call
from fastnet.kernels.update import RANGE
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]
BEGIN = {"nesterov": 1, "momentum": 0.9, "factor": 1.25, "epsilon": 1e-7}
OFFSET = 16  # elements before the matrix in the flat memory


@pytest.fixture(autouse=True)
def no_kept_plans():
    """A plan keeps whether it is parallel, which some tests here want to decide anew."""
    call.of_thread.plans.clear()


def control_of(status=0):
    control = ControlBlock()
    control.status = status
    return control


def range_of(n, **settings):
    row = {"offset": OFFSET, "n": n, "decoupled": 1, "limit": np.inf, "learning_rate": 0.1, "scale": 1.0, **settings}
    return np.array([tuple(row.get(name, 0) for name in RANGE.names)], RANGE)


def memory(n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return {key: rng.standard_normal(OFFSET + n + 5).astype(dtype) for key in "gbwx"}


def begin(arrays, row, control, **numbers):
    n = int(row["n"][0])
    reads = {"g": arrays["g"], "range": row, "control": control.block}
    writes = {"b": arrays["b"], "x": arrays["x"]}
    call.run("muon_begin", arrays["g"].dtype.name, reads, writes, {"n": n, **BEGIN, **numbers}, 16 * n)


def end(arrays, row, control, factor=0.5):
    reads = {"x": arrays["x"], "range": row, "control": control.block}
    call.run("muon_end", arrays["w"].dtype.name, reads, {"w": arrays["w"]}, {"factor": factor}, 8 * int(row["n"][0]))


def product(a, b, control, *, trans_a=False, trans_b=False, start=None, start_factor=0.0):
    left, right = a.T if trans_a else a, b.T if trans_b else b
    c = np.full((left.shape[0], right.shape[1]), 7, a.dtype)
    numbers = {
        "M": c.shape[0], "N": c.shape[1], "K": left.shape[1], "lda": a.shape[1], "ldb": b.shape[1], "ldc": c.shape[1],
        "ldgate": c.shape[1], "trans_a": int(trans_a), "trans_b": int(trans_b), "parts": 0, "activation": 0,
        "gate_activation": 0, "accumulate": int(start is not None), "accumulate_sums": 0, "alpha": 0.0,
        "gate_alpha": 0.0, "start_factor": start_factor,
    }  # fmt: skip
    reads = {"start": start, "a": a, "b": b, "control": control.block}
    call.run("update_product", a.dtype.name, reads, {"c": c}, numbers, c.size * left.shape[1])
    return c


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nesterov", [0, 1])
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 70) | st.integers(4090, 4100) | st.just(9001), limit=st.sampled_from([np.inf, 0.2]))
def test_begin(dtype, nesterov, n, limit):
    """The clipped gradient's mean, and the direction of norm `factor`; nothing beside the matrix."""
    arrays, part = memory(n, dtype), slice(OFFSET, OFFSET + n)
    before = {key: value.astype(float) for key, value in arrays.items()}
    begin(arrays, range_of(n, scale=0.25, limit=limit), control_of(), nesterov=nesterov)
    g = np.clip(0.25 * before["g"][part], -limit, limit)
    mean = 0.9 * before["b"][part] + (1 - 0.9) * g
    direction = 0.9 * mean + (1 - 0.9) * g if nesterov else mean
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(arrays["b"][part], mean, rtol=0, atol=8 * eps * 4)
    # Elements of up to 4, over their norm.
    expected = 1.25 * direction / np.linalg.norm(direction)
    np.testing.assert_allclose(arrays["x"][:n], expected, rtol=0, atol=24 * eps * 4 / np.linalg.norm(direction))
    np.testing.assert_array_equal(np.delete(arrays["b"], part), np.delete(before["b"], part))
    np.testing.assert_array_equal(arrays["x"][n:], before["x"][n:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_direction_below_epsilon_stays_small(dtype):
    arrays = {key: np.zeros(OFFSET + 9, dtype) for key in "gbwx"}
    begin(arrays, range_of(9), control_of())
    np.testing.assert_array_equal(arrays["x"], 0)
    arrays["g"][:] = 1e-9
    begin(arrays, range_of(9), control_of(), momentum=0.0)
    np.testing.assert_allclose(arrays["x"][:9], 1.25 * 1e-9 / 1e-7, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=20, deadline=None)
@given(m=st.integers(1, 40), n=st.integers(1, 40), k=st.integers(1, 300), trans_a=st.booleans(), trans_b=st.booleans())
def test_product(dtype, m, n, k, trans_a, trans_b):
    rng = np.random.default_rng(k)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    start = rng.standard_normal((m, n)).astype(dtype)
    given_a, given_b = np.ascontiguousarray(a.T) if trans_a else a, np.ascontiguousarray(b.T) if trans_b else b
    options = {"trans_a": trans_a, "trans_b": trans_b}
    exact, sizes = a.astype(float) @ b.astype(float), abs(a.astype(float)) @ abs(b.astype(float))
    tolerance = np.finfo(dtype).eps * (k + 2) * (sizes + 2 * abs(start)).max()
    np.testing.assert_allclose(product(given_a, given_b, control_of(), **options), exact, rtol=0, atol=tolerance)
    found = product(given_a, given_b, control_of(), start=start, start_factor=-1.5, **options)
    np.testing.assert_allclose(found, exact - 1.5 * start.astype(float), rtol=0, atol=tolerance)


def test_a_product_that_is_not_finite_is_no_fault():
    """The update has begun: the other weights have changed already."""
    control, a = control_of(), np.full((3, 3), np.inf, "f")
    assert not np.isfinite(product(a, a, control)).any()
    assert control.status == 0


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 70) | st.integers(4090, 4100) | st.just(9001))
def test_end(dtype, n):
    """Decay by the learning rate alone, the step by `factor` besides."""
    arrays, part = memory(n, dtype), slice(OFFSET, OFFSET + n)
    before = {key: value.astype(float) for key, value in arrays.items()}
    end(arrays, range_of(n, decay=0.3), control_of())
    expected = before["w"].copy()
    expected[part] = (1 - 0.1 * 0.3) * before["w"][part] - 0.1 * 0.5 * before["x"][:n]
    np.testing.assert_allclose(arrays["w"], expected, rtol=0, atol=8 * np.finfo(dtype).eps * 4)
    np.testing.assert_array_equal(np.delete(arrays["w"], part), np.delete(before["w"], part))


def test_a_bad_step_changes_nothing():
    arrays, row, control = memory(5000, "float32"), range_of(5000), control_of(status=5)
    before = {key: value.copy() for key, value in arrays.items()}
    begin(arrays, row, control)
    end(arrays, row, control)
    for key, value in arrays.items():
        np.testing.assert_array_equal(value, before[key])
    a = np.ones((40, 40), "f")
    np.testing.assert_array_equal(product(a, a, control, start=a, start_factor=2.0), 7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_give_the_same_bits(dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    n, results = 97 * 203, []
    for threads in (1, 2, 3):
        with config.threads(threads):
            arrays = memory(n, dtype)
            begin(arrays, range_of(n), control_of())
            x = arrays["x"][:n].reshape(97, 203)
            gram = product(x, x, control_of(), trans_b=True)
            arrays["x"][:n] = product(gram, x, control_of(), start=x, start_factor=2.0).ravel()
            end(arrays, range_of(n, decay=0.1), control_of())
            results.append(arrays)
    for other in results[1:]:
        for key, value in results[0].items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)
