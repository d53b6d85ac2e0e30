"""Losses: values and gradients against NumPy and PyTorch, extremes, statuses, threads."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call
from fastnet.kernels.loss import (
    REGRESSION_KINDS,
    partial_sums,
    regression_loss,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]
GOOD, BAD_LABEL, BAD_WEIGHT, BAD_LOSS = 0, 2, 3, 4


@pytest.fixture(autouse=True)
def no_kept_plans():
    """A plan keeps whether it is parallel, which some tests here want to decide anew."""
    call.of_thread.plans.clear()


def one_hot(labels, classes):
    return np.eye(classes)[np.asarray(labels)]


def softmax_data(rows, classes, dtype, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    z = (3 * rng.standard_normal((rows, classes))).astype(dtype)
    labels = rng.integers(0, classes, rows)
    probabilities = rng.random((rows, classes)).astype(dtype)
    w = rng.uniform(0.1, 2, rows).astype(dtype) if weighted else None
    return z, labels, probabilities / probabilities.sum(axis=1, keepdims=True), w


def softmax_tolerance(z, dtype):
    """Units of rounding: of d = z - max z, in the exponent and in l itself; of each exponential; of their sum."""
    spread = np.ptp(z, axis=1).max() if z.size else 0
    return np.finfo(dtype).eps * (4 * spread + z.shape[1] + 16)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 70), classes=st.one_of(st.integers(1, 40), st.sampled_from([64, 100, 129])),
    dtype=st.sampled_from(DTYPES), labelled=st.booleans(), weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]), seed=st.integers(0, 1000),
)  # fmt: skip
def test_softmax_matches_numpy(rows, classes, dtype, labelled, weighted, smoothing, seed):
    z, labels, probabilities, w = softmax_data(rows, classes, dtype, seed, weighted)
    y = labels if labelled else probabilities
    targets = one_hot(labels, classes) if labelled else probabilities
    value, dz = softmax_cross_entropy(z, y, sample_weight=w, label_smoothing=smoothing)
    expected, slopes = reference.softmax_cross_entropy(z, targets, w, smoothing)
    tolerance = softmax_tolerance(z, dtype)
    share = 1 / rows if w is None else (w / w.sum()).max()
    assert dz.dtype == dtype
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(dz, slopes, rtol=0, atol=tolerance * share)
    assert softmax_cross_entropy(z, y, sample_weight=w, label_smoothing=smoothing, gradient=False) == (value, None)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("labelled", [False, True])
def test_softmax_matches_torch(labelled, smoothing, weighted):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    z, labels, probabilities, w = softmax_data(50, 10, "float64", weighted=weighted)
    y = labels if labelled else 1.7 * probabilities  # PyTorch takes any sum as it is, and so do we
    logits = torch.tensor(z, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none", label_smoothing=smoothing)
    weights = torch.ones(50, dtype=torch.float64) if w is None else torch.tensor(w)
    expected = (weights * losses).sum() / weights.sum()
    expected.backward()
    value, dz = softmax_cross_entropy(z, y, sample_weight=w, label_smoothing=smoothing)
    tolerance = softmax_tolerance(z, "float64")
    np.testing.assert_allclose(value, expected.item(), rtol=0, atol=1.7 * tolerance)
    np.testing.assert_allclose(dz, logits.grad.numpy(), rtol=0, atol=1.7 * tolerance * 2 / 50)


def elements(rows, columns, dtype, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    x, t = (2 * rng.standard_normal((2, rows, columns))).astype(dtype)
    x.flat[::7] = t.flat[::7]
    w = rng.uniform(0.1, 2, rows).astype(dtype) if weighted else None
    return x, t, w


element_cases = given(
    rows=st.integers(1, 70), columns=st.one_of(st.integers(1, 20), st.sampled_from([33, 600])),
    dtype=st.sampled_from(DTYPES), weighted=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@element_cases
def test_sigmoid_matches_numpy(rows, columns, dtype, weighted, seed):
    x, _, w = elements(rows, columns, dtype, seed, weighted)
    t = np.random.default_rng(seed).random((rows, columns)).astype(dtype)
    smoothing = (seed % 3) / 10
    value, dx = sigmoid_cross_entropy(x, t, sample_weight=w, label_smoothing=smoothing)
    expected, slopes = reference.sigmoid_cross_entropy(x, t, w, smoothing)
    # A handful of roundings of numbers no larger than |x| + 1.
    tolerance = 12 * np.finfo(dtype).eps * (1 + abs(x).max())
    share = 1 / rows if w is None else (w / w.sum()).max()
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(dx, slopes, rtol=0, atol=tolerance * share / columns)
    assert sigmoid_cross_entropy(x, t, sample_weight=w, label_smoothing=smoothing, gradient=False) == (value, None)


@pytest.mark.parametrize("kind", REGRESSION_KINDS)
@settings(max_examples=30, deadline=None)
@element_cases
def test_regression_matches_numpy(kind, rows, columns, dtype, weighted, seed):
    delta = [0.5, 1.0, 3.0][seed % 3]
    x, t, w = elements(rows, columns, dtype, seed, weighted)
    value, dx = regression_loss(x, t, kind, delta=delta, sample_weight=w)
    expected, slopes = reference.regression_loss(x, t, kind, w, delta)
    # A handful of roundings of numbers no larger than this.
    size = max(1, delta) * (1 + abs(x).max() + abs(t).max()) ** 2 + (np.exp(x.max()) if kind == "poisson" else 0)
    tolerance = 8 * np.finfo(dtype).eps * size
    share = 1 / rows if w is None else (w / w.sum()).max()
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(dx, slopes, rtol=0, atol=tolerance * share / columns)
    assert regression_loss(x, t, kind, delta=delta, sample_weight=w, gradient=False) == (value, None)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["sigmoid", *REGRESSION_KINDS])
def test_elementwise_losses_match_torch(name, weighted):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, t, w = elements(40, 6, "float64", weighted=weighted)
    functional = torch.nn.functional
    theirs = {
        "sigmoid": functional.binary_cross_entropy_with_logits,
        "squared": functional.mse_loss,
        "absolute": functional.l1_loss,
        "huber": lambda p, y, reduction: functional.huber_loss(p, y, reduction=reduction, delta=0.7),
        "poisson": lambda p, y, reduction: functional.poisson_nll_loss(p, y, log_input=True, reduction=reduction),
    }[name]
    if name == "sigmoid":
        t = np.random.default_rng(0).random(t.shape)
        value, dx = sigmoid_cross_entropy(x, t, sample_weight=w)
    else:
        value, dx = regression_loss(x, t, name, delta=0.7, sample_weight=w)
    prediction = torch.tensor(x, requires_grad=True)
    losses = theirs(prediction, torch.tensor(t), reduction="none").mean(dim=1)
    weights = torch.ones(40, dtype=torch.float64) if w is None else torch.tensor(w)
    expected = (weights * losses).sum() / weights.sum()
    expected.backward()
    tolerance = 16 * np.finfo(float).eps * np.exp(abs(x).max() + 1)
    np.testing.assert_allclose(value, expected.item(), rtol=0, atol=tolerance)
    np.testing.assert_allclose(dx, prediction.grad.numpy(), rtol=0, atol=tolerance / 40)


ALL = {
    "softmax labels": lambda x, **options: softmax_cross_entropy(x, np.arange(len(x)) % x.shape[1], **options),
    "softmax probabilities": lambda x, **options: softmax_cross_entropy(x, np.full(x.shape, 1 / x.shape[1]), **options),
    "sigmoid": lambda x, **options: sigmoid_cross_entropy(x, np.full(x.shape, 0.3), **options),
    **{
        kind: lambda x, kind=kind, **options: regression_loss(x, np.full(x.shape, 0.25), kind, delta=0.5, **options)
        for kind in REGRESSION_KINDS
    },
}


@pytest.mark.parametrize("name", ALL)
def test_gradient_by_central_differences(name):
    """A step of h makes an error of h^2 and one of eps / h."""
    x, w = np.random.default_rng(0).standard_normal((5, 3)), np.arange(5.0)
    dx = ALL[name](x, sample_weight=w)[1]
    for place in np.ndindex(*x.shape):
        values = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[place] += step
            values.append(ALL[name](moved, sample_weight=w)[0])
        np.testing.assert_allclose(dx[place], (values[0] - values[1]) / 2e-5, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_threads_give_the_same_bits(name, dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x = np.random.default_rng(1).standard_normal((333, 21)).astype(dtype)
    w = np.random.default_rng(2).random(333).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        with config.threads(threads):
            results.append(ALL[name](x, sample_weight=w))
    for value, dx in results[1:]:
        assert value == results[0][0]
        np.testing.assert_array_equal(dx, results[0][1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [3, 10, 20, 50])
@pytest.mark.parametrize("name", ALL)
def test_a_row_does_not_depend_on_the_batch(name, columns, dtype):
    """Nor on its place: shares of 1/64, 1/16, 1/2 are exact."""
    x = np.random.default_rng(1).standard_normal((64, columns)).astype(dtype)
    labels = np.arange(64) % columns

    def slopes(rows):
        if name == "softmax labels":
            return softmax_cross_entropy(x[rows], labels[rows])[1]
        return ALL[name](x[rows])[1]

    whole = slopes(np.arange(64)) * 64
    for rows in (np.arange(16), np.arange(16) + 5, np.array([63, 7])):
        np.testing.assert_array_equal(slopes(rows) * len(rows), whole[rows])


@pytest.mark.parametrize("name", ALL)
def test_empty(name):
    value, dx = ALL[name](np.zeros((0, 4), "f"))
    assert value == 0
    assert dx.shape == (0, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [3, 10, 40])
@pytest.mark.parametrize("name", ALL)
def test_what_is_not_finite_reaches_the_loss(name, columns, bad):
    if name == "softmax labels" and bad == -np.inf:
        return  # a class that is ruled out: below
    if name == "poisson" and bad == -np.inf:
        bad = np.nan  # e^-Inf is 0
    for row, column in ((0, 0), (20, columns - 1)):
        x = np.zeros((40, columns), "f")
        x[row, column] = bad
        assert not np.isfinite(ALL[name](x)[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 12, 40])
def test_softmax_of_ruled_out_classes(classes, dtype):
    """Logits of -Inf have the probability 0 and the gradient 0, exactly; as a label, an infinite loss."""
    z = np.zeros((2, classes), dtype)
    z[:, 1] = -np.inf
    value, dz = softmax_cross_entropy(z, [0, 2])
    np.testing.assert_allclose(value, np.log(classes - 1), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(dz[:, 1], 0)
    assert softmax_cross_entropy(z, [0, 1])[0] == np.inf
    assert softmax_cross_entropy(z, [0, 2], label_smoothing=0.1)[0] == np.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_large_logits(dtype):
    """The greatest is subtracted: nothing overflows, and whole digits are kept."""
    big = float(np.finfo(dtype).max) / 4
    z = np.array([[big, -big, 0], [1000, 1001, 1002], [-1000, -1001, -1002]], dtype)
    for rows, labels in (([0], [0]), ([0], [1]), ([1, 2], [0, 2])):
        value, dz = softmax_cross_entropy(z[rows], labels)
        expected, slopes = reference.softmax_cross_entropy(z[rows], one_hot(labels, 3))
        np.testing.assert_allclose(value, expected, rtol=8 * np.finfo(dtype).eps)
        np.testing.assert_allclose(dz, slopes, rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_of_large_logits(dtype):
    x = np.array([[-1000], [-50], [0], [50], [1000]], dtype)
    for y in (0, 1):
        value, dx = sigmoid_cross_entropy(x, np.full(5, y))
        wrong = x[:, 0] * (1 - 2 * y)
        expected = np.where(wrong > 20, wrong, np.log1p(np.exp(np.minimum(wrong, 20).astype(float))))
        np.testing.assert_allclose(value, expected.mean(), rtol=4 * np.finfo(dtype).eps)
        # Where the prediction is right, what is left of the gradient is not rounded away.
        with np.errstate(over="ignore"):
            small = 1 / (1 + np.exp(-wrong.astype(float)))
        np.testing.assert_allclose(abs(dx[:, 0]) * 5, small, rtol=8 * np.finfo(dtype).eps, atol=1e-37)


def test_absolute_error_has_slope_0_at_0():
    np.testing.assert_array_equal(
        regression_loss(np.array([0.0, -2.0, 3.0]), [0.0, 0, 0], "absolute")[1] * 3, [0, -1, 1]
    )


def test_forms_of_input():
    z = np.random.default_rng(0).integers(-3, 3, (12, 5))
    labels = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    value, dz = softmax_cross_entropy(z, labels)
    assert dz.dtype == np.float32
    wide = np.zeros((12, 10), "f")
    wide[:, ::2] = z
    fortran, readonly = np.asfortranarray(z.astype("f")), z.astype("f")
    readonly.flags.writeable = False
    for other in (wide[:, ::2], fortran, readonly, z.astype("f2"), z.tolist()):
        same, d = softmax_cross_entropy(other, np.array(labels, float))
        assert same == value
        np.testing.assert_array_equal(d, dz)
    x = np.random.default_rng(0).standard_normal((4, 1))
    assert regression_loss(x, x[:, 0] + 1)[1].shape == (4, 1)
    assert regression_loss(x[:, 0], x + 1)[1].shape == (4,)
    image = np.random.default_rng(0).random((3, 4, 4, 2))
    assert sigmoid_cross_entropy(image, image > 0.5)[1].shape == image.shape
    np.testing.assert_allclose(
        sigmoid_cross_entropy(image, image)[0], sigmoid_cross_entropy(image.reshape(3, -1), image.reshape(3, -1))[0]
    )


@pytest.mark.parametrize(
    ("call_it", "error", "match"),
    [
        (lambda: softmax_cross_entropy(np.ones((3, 2)), [0, 1, 2]), ValueError, "label 2"),
        (lambda: softmax_cross_entropy(np.ones((3, 2)), [0, 1, 0.5]), ValueError, "label 0.5"),
        (lambda: softmax_cross_entropy(np.ones((3, 2)), ["a", "b", "a"]), TypeError, "dtype"),
        (lambda: softmax_cross_entropy(np.ones((3, 2)), [0, 1]), ValueError, r"y must have shape \(3,\) \(labels\)"),
        (lambda: softmax_cross_entropy(np.ones((3, 2)), np.ones((1, 2))), ValueError, "y must have shape"),
        (lambda: softmax_cross_entropy(np.ones((3, 2)), -np.ones((3, 2))), ValueError, "negative or NaN"),
        (lambda: softmax_cross_entropy(np.ones((3, 2)), np.full((3, 2), np.nan)), ValueError, "negative or NaN"),
        (lambda: softmax_cross_entropy(np.ones(3), [0, 1, 0]), ValueError, "classes"),
        (lambda: softmax_cross_entropy(np.ones((3, 2), complex), [0, 1, 0]), TypeError, "logits"),
        (lambda: softmax_cross_entropy(np.ones((1, 2)), [0], label_smoothing=1.5), ValueError, "label_smoothing"),
        (lambda: softmax_cross_entropy(np.ones((1, 2)), [0], gradient="no"), TypeError, "gradient"),
        (lambda: softmax_cross_entropy(np.ones((1, 2)), [0], sample_weight=[0.0]), ValueError, "above zero"),
        (lambda: softmax_cross_entropy(np.ones((1, 2)), [0], sample_weight=[-1.0]), ValueError, "negative"),
        (lambda: softmax_cross_entropy(np.ones((2, 2)), [0, 1], sample_weight=1.0), ValueError, "sample_weight"),
        (lambda: sigmoid_cross_entropy(np.ones(3), [-1, 1, 1]), ValueError, "from 0 to 1; got -1.0 to 1.0"),
        (lambda: sigmoid_cross_entropy(np.ones((3, 2)), np.ones(3)), ValueError, "y must have the shape of logits"),
        (
            lambda: sigmoid_cross_entropy(np.ones((3, 2)), np.ones((3, 1))),
            ValueError,
            "y must have the shape of logits",
        ),
        (lambda: regression_loss(np.ones((3, 2)), np.ones((1, 2))), ValueError, "shape of prediction"),
        (lambda: regression_loss(np.ones(3), 1.0), ValueError, "shape of prediction"),
        (lambda: regression_loss(np.ones(3), np.ones(3), "hubert"), ValueError, "did you mean 'huber'"),
        (lambda: regression_loss(np.ones(3), np.ones(3), delta=0), ValueError, "delta"),
        (lambda: regression_loss(np.ones((3, 0)), np.ones((3, 0))), ValueError, "no columns"),
    ],
)
def test_errors(call_it, error, match):
    with pytest.raises(error, match=match):
        call_it()


# --- the kernels with a control, as a plan has it ----------------------------------------------------------------

STEMS = {"softmax_cross_entropy": "logits", "sigmoid_cross_entropy": "logits", "regression_loss": "prediction"}


def run(name, x, status=GOOD, with_control=True, dx=None, **reads):
    """Returns the status, the result and dx, which are 7 where nothing was written."""
    stem = STEMS[name]
    numbers = {
        "softmax_cross_entropy": {"classes": x.shape[1], "smoothing": 0.0},
        "sigmoid_cross_entropy": {"cols": x.shape[1], "smoothing": 0.0},
        "regression_loss": {"cols": x.shape[1], "kind": 0, "delta": 1.0},
    }[name]
    control = ControlBlock()
    control.status = status
    result = np.full(2, 7.0)
    dx = np.full_like(x, 7) if dx is None else dx
    given = {"labels": None} if name == "softmax_cross_entropy" else {}
    given |= {"targets": None, "weights": None} | reads
    writes = {
        "d" + stem: dx,
        "partials": np.empty(partial_sums(len(x))),
        "result": result,
        "control": control.block if with_control else None,
    }
    call.run(name, x.dtype.name, {stem: x, **given}, writes, {"rows": len(x), **numbers}, x.size)
    return control.status, result, dx


def good_reads(name, x):
    if name == "softmax_cross_entropy":
        return {"labels": np.zeros(len(x), np.int32)}
    return {"targets": np.full_like(x, 0.5)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STEMS)
def test_good_and_bad_steps(name, dtype):
    x = np.ones((40, 5), dtype)
    reads = good_reads(name, x)
    status, result, dx = run(name, x, **reads)
    assert (status, result[1]) == (GOOD, 40)
    assert (dx != 7).all()
    for before in (1, BAD_LABEL, BAD_LOSS):
        status, result, dx = run(name, x, before, **reads)
        assert status == before
        np.testing.assert_array_equal(result, 7)
        np.testing.assert_array_equal(dx, 7)
    x[33, 4] = np.nan
    assert run(name, x, **reads)[0] == BAD_LOSS
    assert run(name, x[:32], **{key: value[:32] for key, value in reads.items()})[0] == GOOD


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STEMS)
@pytest.mark.parametrize("weights", [-1.0, np.nan, np.inf, 0.0])
def test_bad_weights(name, dtype, weights):
    x = np.ones((40, 5), dtype)
    w = np.zeros(40, dtype)
    w[35] = weights
    if weights == -1:
        w[:30] = 1
    for with_control in (True, False):
        status, result, dx = run(name, x, weights=w, with_control=with_control, **good_reads(name, x))
        assert status == (BAD_WEIGHT if with_control else GOOD)
        assert np.isnan(result).all()
        np.testing.assert_array_equal(dx, 7)
    assert run(name, x, status=1, weights=w, **good_reads(name, x))[0] == 1


@pytest.mark.parametrize("label", [-1, 5, 2**31 - 1, -(2**31)])
def test_bad_labels(label):
    x, labels = np.ones((40, 5), "f"), np.zeros(40, np.int32)
    labels[37] = label
    for with_control in (True, False):
        status, result, dx = run("softmax_cross_entropy", x, labels=labels, with_control=with_control)
        assert status == (BAD_LABEL if with_control else GOOD)
        assert np.isnan(result).all()
        np.testing.assert_array_equal(dx, 7)


@pytest.mark.parametrize(
    ("name", "target"),
    [("softmax_cross_entropy", -0.1), ("softmax_cross_entropy", np.nan), ("sigmoid_cross_entropy", 1.1),
     ("sigmoid_cross_entropy", -0.1), ("sigmoid_cross_entropy", np.nan)],
)  # fmt: skip
@pytest.mark.parametrize("place", [(0, 0), (39, 4)])
def test_bad_targets(name, target, place):
    x, targets = np.ones((40, 5), "f"), np.full((40, 5), 0.2, "f")
    targets[place] = target
    status, result, _ = run(name, x, targets=targets)
    assert status == BAD_LABEL
    assert np.isnan(result).all()


@pytest.mark.parametrize("name", STEMS)
def test_no_rows(name):
    x = np.ones((0, 5), "f")
    status, result, _ = run(name, x, **good_reads(name, x))
    assert status == GOOD
    np.testing.assert_array_equal(result, 0)


@pytest.mark.parametrize("columns", [3, 10, 30, 70])
@pytest.mark.parametrize("name", STEMS)
def test_in_place(name, columns):
    x = np.random.default_rng(0).standard_normal((45, columns)).astype("f")
    labels = {"labels": (np.arange(45) % columns).astype(np.int32)} if name == "softmax_cross_entropy" else {}
    forms = [{"targets": np.full_like(x, 1 / columns)}, *([labels] if labels else [])]
    for reads in forms:
        _, expected, dx = run(name, x, **reads)
        memory = x.copy()
        _, result, _ = run(name, memory, dx=memory, **reads)
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(memory, dx)
