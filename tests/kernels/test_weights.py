"""What a step does to weights besides the optimizer's rule: penalties, constraints, batches that wait, averages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call
from fastnet.kernels.update import RANGE
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]
WAITING = 6


@pytest.fixture(autouse=True)
def no_kept_plans():
    """A plan keeps whether it is parallel, which some tests here want to decide anew."""
    call.of_thread.plans.clear()


def control_of(**fields):
    control = ControlBlock()
    for name, value in fields.items():
        setattr(control, name, value)
    return control


def in_threads(monkeypatch, function):
    """What `function` returns with 1, 2 and 3 threads: the same bits."""
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    results = []
    for threads in (1, 2, 3):
        with config.threads(threads):
            results.append(function())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    return results[0]


# Penalties


def penalty(w, g, l1, l2, control, per_sample=False):
    arrays = {"control": control.block, **({} if g is None else {"g": g})}
    call.run(
        "penalty",
        w.dtype.name,
        {"w": w},
        arrays,
        {"n": w.size, "per_sample": int(per_sample), "l1": l1, "l2": l2},
        8 * w.size,
    )


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 9000), dtype=st.sampled_from(DTYPES), l1=st.sampled_from([0, 0.3]), l2=st.sampled_from([0, 0.7])
)
def test_penalty(n, dtype, l1, l2):
    rng = np.random.default_rng(n)
    w, g = rng.standard_normal(n).astype(dtype), rng.standard_normal(n).astype(dtype)
    w[rng.random(n) < 0.2] = 0
    before, control = g.copy(), control_of(loss=1.5)
    penalty(w, g, l1, l2, control)
    exact = w.astype(float)
    expected = 1.5 + l1 * np.abs(exact).sum() + l2 * (exact**2).sum()
    np.testing.assert_allclose(control.loss, expected, rtol=4e-16 * n**0.5 + 1e-15)
    np.testing.assert_allclose(g, before + l1 * np.sign(exact) + 2 * l2 * exact, rtol=0, atol=8 * np.finfo(dtype).eps)


def test_penalty_per_sample():
    w, g = np.array([1.0, -2.0, 0.5]), np.ones(3)
    control = control_of(loss=1.0, weight=2.5)
    penalty(w, g, 0.5, 2.0, control, per_sample=True)
    assert control.loss == pytest.approx(1 + (0.5 * 3.5 + 2 * 5.25) / 2.5, rel=1e-15)
    np.testing.assert_allclose(g, 1 + (0.5 * np.sign(w) + 4 * w) / 2.5, rtol=1e-15)


def test_penalty_without_a_gradient_and_of_a_bad_step():
    w = np.ones(5, "f")
    control = control_of(loss=1.0)
    penalty(w, None, 1.0, 0.0, control)
    assert control.loss == 6.0
    penalty(w, None, 1.0, 0.0, bad := control_of(loss=1.0, status=5))
    assert (bad.loss, bad.status) == (1.0, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_penalty_that_is_not_finite(value):
    control = control_of(loss=1.0)
    penalty(np.array([1, value], "f"), None, 0.0, 1.0, control)
    assert control.status == 4


def test_penalty_in_threads(monkeypatch):
    w = np.random.default_rng(0).standard_normal(30_000).astype("f")

    def run():
        g, control = np.ones_like(w), control_of()
        penalty(w, g, 0.1, 0.2, control)
        return g, control.loss

    in_threads(monkeypatch, run)


# Constraints


def constrain(w, kind, limit, control=None):
    columns = w.shape[-1]
    numbers = {"rows": w.size // columns, "columns": columns, "kind": kind, "limit": limit}
    reads = {"control": (control or ControlBlock()).block}
    call.run("constrain", w.dtype.name, reads, {"w": w}, numbers, 8 * w.size)


def constrained(w, kind, limit):
    w = w.astype(float)
    norm = np.sqrt((w**2).sum(axis=0))
    if kind == 2:
        return np.maximum(w, 0)
    return w * (np.minimum(1, limit / np.maximum(norm, 1e-300)) if kind == 0 else 1 / np.where(norm > 0, norm, 1))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), kind=st.integers(0, 2), dtype=st.sampled_from(DTYPES))
def test_constraint(rows, columns, kind, dtype):
    rng = np.random.default_rng(rows * 41 + columns)
    w = rng.standard_normal((rows, columns)).astype(dtype)
    w[:, rng.random(columns) < 0.2] = 0
    expected = constrained(w, kind, 1.5)
    constrain(w, kind, 1.5)
    np.testing.assert_allclose(w, expected, rtol=4 * np.finfo(dtype).eps, atol=0)


def test_a_column_within_its_limit_keeps_its_bits():
    w = np.random.default_rng(0).standard_normal((7, 5)).astype("f")
    before = w.copy()
    constrain(w, 0, 1e3)
    np.testing.assert_array_equal(w, before)
    constrain(w, 2, 0.0, control_of(status=4))
    np.testing.assert_array_equal(w, before)


def test_constraint_in_threads(monkeypatch):
    w = np.random.default_rng(0).standard_normal((50, 333)).astype("f")

    def run():
        a = w.copy()
        constrain(a, 0, 2.0)
        return [a]

    in_threads(monkeypatch, run)


# Batches that wait for one update


def join(g, total, control, every, batch=4):
    ranges = np.zeros(2, RANGE)
    ranges["offset"], ranges["n"] = [0, 5008], [5000, len(g) - 5008]
    numbers = {"n_ranges": 2, "every": every, "batch": batch}
    reads = {"ranges": ranges, "control": control.block}
    call.run("join_batches", g.dtype.name, reads, {"g": g, "sum": total}, numbers, 4 * g.size)
    step = {"every": every, "batch": batch}
    call.run("wait", g.dtype.name, {}, {"control": control.block}, step, 0)
    waits = control.status == WAITING
    call.run("resume", g.dtype.name, {}, {"control": control.block}, step, 0)
    return waits


@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_are_joined(dtype, monkeypatch):
    rng = np.random.default_rng(1)
    gradients = [rng.standard_normal(9000).astype(dtype) for _ in range(3)]
    weights = [4.0, 1.0, 2.5]

    def run():
        control, total = control_of(samples=10**9, step=10), np.full(9000, np.nan, dtype)
        for i, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
            g, control.weight = gradient.copy(), weight
            control.step += 1  # as step_begin does
            assert join(g, total, control, 3) == (i < 2)
            assert control.status == 0
        assert (control.step, control.batches, control.gathered) == (11, 0, 0.0)
        return [g]

    (g,) = in_threads(monkeypatch, run)
    expected = np.average(np.array(gradients, float), axis=0, weights=weights)
    inside = np.r_[0:5000, 5008:9000]
    np.testing.assert_allclose(g[inside], expected[inside], rtol=0, atol=20 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(g[5000:5008], gradients[-1][5000:5008])


def test_the_last_batch_of_a_pass_does_not_wait():
    control, total = control_of(samples=8, cursor=4, weight=4.0, step=1), np.full(9000, np.nan, "f")
    g = np.random.default_rng(0).standard_normal(9000).astype("f")
    before = g.copy()
    assert not join(g, total, control, 3)
    np.testing.assert_array_equal(g, before)
    assert control.step == 1


def test_a_bad_batch_counts_for_nothing():
    control, total, g = control_of(samples=99, weight=4.0, step=1), np.zeros(9000, "f"), np.ones(9000, "f")
    control.status = 5
    assert not join(g, total, control, 3)
    assert (control.status, control.batches, control.step) == (5, 0, 1)
    np.testing.assert_array_equal(total, 0)


# Averages


@pytest.mark.parametrize("decay", [0.9, 0.0, -1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_average(decay, dtype, monkeypatch):
    rng = np.random.default_rng(2)
    weights = [rng.standard_normal(9001).astype(dtype) for _ in range(4)]

    def run():
        a, count = np.full(9001, np.nan, dtype), np.zeros(1, np.int64)
        for w in [weights[0], np.full_like(a, np.nan), *weights[1:]]:
            control = control_of(status=4 if np.isnan(w[0]) else 0)
            arrays = {"a": a, "count": count}
            call.run(
                "average", dtype, {"w": w, "control": control.block}, arrays, {"n": 9001, "decay": decay}, 4 * 9001
            )
        assert count[0] == 4
        return [a]

    (a,) = in_threads(monkeypatch, run)
    expected = weights[0].astype(float)
    for k, w in enumerate(weights[1:], 1):
        expected += (1 - decay if decay >= 0 else 1 / (k + 1)) * (w - expected)
    np.testing.assert_allclose(a, expected, rtol=0, atol=16 * np.finfo(dtype).eps)
