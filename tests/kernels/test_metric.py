"""Sums of metrics: against NumPy and scikit-learn, batch after batch, ties and NaN, bad steps."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet.kernels import call
from fastnet.kernels.metric import count_correct, r2_from_sums, regression_sums
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(0, 12), classes=st.integers(1, 40), top_k=st.integers(1, 6), weighted=st.booleans(),
    dtype=st.sampled_from(DTYPES), levels=st.sampled_from([2, 5, 1000]), seed=st.integers(0, 10_000),
)  # fmt: skip
def test_count_correct(rows, classes, top_k, weighted, dtype, levels, seed):
    """With few levels most predictions are tied, around zero too."""
    rng = np.random.default_rng(seed)
    prediction = (rng.integers(0, levels, (rows, classes)) - levels // 2).astype(dtype)
    labels = rng.integers(0, classes, rows)
    w = rng.uniform(0.1, 2, rows).astype(dtype) if weighted else None
    correct, total = count_correct(prediction, labels, top_k=top_k, sample_weight=w)
    weights = np.ones(rows) if w is None else w.astype(float)
    right = reference.is_among_top(prediction, labels, top_k)
    np.testing.assert_allclose(correct, weights @ right, rtol=1e-14 * max(rows, 1))
    np.testing.assert_allclose(total, weights.sum(), rtol=1e-14 * max(rows, 1))
    if rows:
        onehot = rng.random((rows, classes)).astype(dtype) * 0.5
        onehot[np.arange(rows), labels] = 0.9
        assert count_correct(prediction, onehot, top_k=top_k, sample_weight=w) == (correct, total)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_is_argmax(dtype):
    prediction = np.random.default_rng(0).integers(-1, 2, (300, 7)).astype(dtype)
    labels = prediction.argmax(1)
    assert count_correct(prediction, labels) == (300, 300)
    assert count_correct(prediction, (labels + 1) % 7) == (0, 300)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity(dtype):
    rows = np.array([[np.nan, 1, 2], [1, 2, np.nan], [np.inf, 1, 2], [-np.inf, -np.inf, -np.inf]], dtype)
    assert count_correct(rows, [2, 2, 0, 0]) == (2, 4)
    assert count_correct(rows, [2, 1, 0, 0], top_k=2) == (4, 4)
    assert count_correct(rows, [0, 2, 0, 0], top_k=3) == (2, 4)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 8), columns=st.integers(1, 40), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 1000))
def test_binary(rows, columns, dtype, seed):
    rng = np.random.default_rng(seed)
    logits = rng.integers(-1, 2, (rows, columns)).astype(dtype)
    y = rng.integers(0, 2, (rows, columns))
    w = rng.uniform(0.1, 1, rows).astype(dtype)
    correct, total = count_correct(logits, y, binary=True, sample_weight=w)
    np.testing.assert_allclose(correct, w.astype(float) @ ((logits > 0) == (y > 0.5)).mean(1), rtol=1e-13)
    np.testing.assert_allclose(total, w.astype(float).sum(), rtol=1e-13)


def test_binary_of_one_column():
    logits = np.array([[1.0], [-1.0], [np.nan], [0.0]])
    assert count_correct(logits, [1, 0, 0, 0], binary=True) == (3, 4)
    assert count_correct(logits[:, 0], [[True], [True], [False], [False]], binary=True) == (2, 4)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 9), columns=st.integers(1, 50), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 1000),
    kind=st.sampled_from(["squared", "absolute"]),
)  # fmt: skip
def test_regression_sums(rows, columns, dtype, seed, kind):
    rng = np.random.default_rng(seed)
    p, y = rng.standard_normal((2, rows, columns)).astype(dtype)
    w = rng.uniform(0.1, 1, rows).astype(dtype)
    e = y.astype(float) - p
    per_sample = np.mean(e**2 if kind == "squared" else abs(e), axis=1)
    for weights in (w, None):
        expected = (
            [per_sample.sum(), rows] if weights is None else [w.astype(float) @ per_sample, w.astype(float).sum()]
        )
        got = regression_sums(p, y, kind, sample_weight=weights)
        np.testing.assert_allclose(got, expected, rtol=2.3e-16 * (columns + rows + 10))
        again = regression_sums(p, y, kind, sample_weight=weights, sums=got)
        assert again is got
        np.testing.assert_allclose(got, 2 * np.array(expected), rtol=2.3e-16 * (columns + rows + 10))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_r2_matches_sklearn(dtype, shift):
    """In batches, with weights, several columns of which one is constant, and far from zero."""
    metrics = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    rng = np.random.default_rng(0)
    y = (rng.standard_normal((50, 4)) + shift).astype(dtype)
    y[:, 2] = 3
    p = y + (0.3 * rng.standard_normal((50, 4))).astype(dtype)
    w = rng.integers(0, 3, 50).astype(dtype)
    for weights in (None, w):
        sums = None
        for part in (slice(0, 20), slice(20, 21), slice(21, 21), slice(21, 50)):
            sums = regression_sums(
                p[part], y[part], "r2", sums=sums, sample_weight=None if weights is None else weights[part]
            )
        expected = metrics.r2_score(y.astype(float), p.astype(float), sample_weight=weights)
        # What the shift leaves of a double's digits, in the mean and in each difference from it.
        np.testing.assert_allclose(r2_from_sums(sums), expected, rtol=1e-14 * 50 + 2.3e-16 * shift * 10)


def test_r2_of_constants():
    assert r2_from_sums(regression_sums([2.0, 2.0], [2.0, 2.0], "r2")) == 1
    assert r2_from_sums(regression_sums([2.0, 2.5], [2.0, 2.0], "r2")) == 0
    assert np.isnan(r2_from_sums(regression_sums(np.zeros(0), np.zeros(0), "r2")))
    assert np.isnan(r2_from_sums(regression_sums([np.nan, 2.0], [2.0, 2.0], "r2")))


def test_a_bad_step_adds_nothing():
    control = ControlBlock()
    control.status = 4
    x, labels = np.ones((3, 2), "f"), np.zeros(3, np.int32)
    sums = np.array([5.0, 6.0])
    writes = {"sums": sums}
    reads = {"prediction": x, "labels": labels, "control": control.block}
    call.run("count_correct", "float32", reads, writes, {"rows": 3, "classes": 2, "top_k": 1, "kind": 0}, 0)
    reads = {"prediction": x, "targets": x, "control": control.block}
    call.run("regression_sums", "float32", reads, writes, {"rows": 3, "cols": 2, "kind": 0}, 0)
    reads = {"result": np.array([1.5, 4.0]), "control": control.block}
    call.run("add_result", "float32", reads, {"totals": sums}, {}, 0)
    np.testing.assert_array_equal(sums, [5, 6])
    control.status = 0
    call.run("add_result", "float32", reads, {"totals": sums}, {}, 0)
    np.testing.assert_array_equal(sums, [11, 10])


@pytest.mark.parametrize(
    ("prediction", "y", "options", "error", "match"),
    [
        (np.ones((3, 2)), [0, 1, 2], {}, ValueError, "label 2"),
        (np.ones((3, 2)), [0, 1], {}, ValueError, r"y must have shape \(3,\)"),
        (np.ones((3, 2)), np.ones((3, 1)), {}, ValueError, "probabilities"),
        (np.ones(3), [0, 1, 0], {}, ValueError, r"\(n, classes\)"),
        (np.ones((3, 2)), [0, 1, 0], {"top_k": 0}, ValueError, "top_k"),
        (np.ones((3, 2)), [0, 1, 0], {"binary": 1}, TypeError, "binary"),
        (np.ones((3, 2)), [0, 1, 0], {"binary": True}, ValueError, "y must have the shape of prediction"),
        (np.ones((3, 2)), [0, 1, 0], {"sample_weight": [1, 1]}, ValueError, "sample_weight must have shape"),
        (np.ones((3, 2)), [0, 1, 0], {"sample_weight": [1, -1, 1]}, ValueError, "negative"),
        (np.ones((3, 2)), [0, 1, 0], {"sample_weight": [1, np.nan, 1]}, ValueError, "NaN"),
        (np.ones((3, 2)), [0, 1, 0], {"sample_weight": [0, 0, 0]}, ValueError, "above zero"),
        (np.ones((3, 2), complex), [0, 1, 0], {}, TypeError, "prediction"),
    ],
)
def test_errors(prediction, y, options, error, match):
    with pytest.raises(error, match=match):
        count_correct(prediction, y, **options)


def test_regression_errors():
    with pytest.raises(ValueError, match="did you mean 'squared'"):
        regression_sums([1.0], [1.0], "square")
    with pytest.raises(ValueError, match="y must have the shape"):
        regression_sums(np.ones((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match="y must have the shape"):
        regression_sums(np.ones((3, 1)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="y must have the shape"):
        regression_sums(np.ones(3), np.ones((1, 3)))
    with pytest.raises(ValueError, match="sums must have shape"):
        regression_sums([1.0], [1.0], sums=np.zeros(3))
    with pytest.raises(ValueError, match="columns"):
        r2_from_sums(np.zeros(3))
