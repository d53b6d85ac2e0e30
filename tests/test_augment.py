"""Augmentation of a batch: agreement with NumPy on the same draws, threads, what is drawn, errors."""

import numpy as np
import pytest
import reference_augment
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnet as fn
from fastnet.augment import Brightness, Contrast, Cutout, Mixup, RandomCrop, RandomFlip, apply
from fastnet.kernels import random
from fastnet.recording import program

KINDS = ["uint8", "float32", "float64", "int16"]
DTYPES = ["float32", "float64"]


def images(n, height, width, channels, kind="uint8", seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (n, height, width, channels))
    return values.astype(kind) if np.dtype(kind).kind != "f" else (values / 255 - 0.4).astype(kind)


@st.composite
def cases(draw):
    n, height, width = draw(st.integers(1, 9)), draw(st.integers(1, 12)), draw(st.integers(1, 40))
    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 17, 33]))
    flip = RandomFlip(draw(st.booleans()), True, draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])))
    padding = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    crop = RandomCrop(padding, draw(st.sampled_from(["zero", "reflect"])))
    cutout = Cutout((draw(st.integers(1, height)), draw(st.integers(1, width))), draw(st.sampled_from([0.0, -1.5])))
    geometry = draw(st.permutations([flip, crop]))
    colour = draw(st.permutations([Brightness(0.3), Contrast(0.6)]))
    everything = [*geometry, *colour, cutout, Mixup(0.7)]
    chosen = draw(st.lists(st.booleans(), min_size=6, max_size=6))
    return (n, height, width, channels), [op for op, wanted in zip(everything, chosen, strict=True) if wanted]


@settings(max_examples=150, deadline=None)
@given(case=cases(), kind=st.sampled_from(KINDS), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99),
       count=st.integers(0, 2**32 - 1))  # fmt: skip
def test_matches_numpy(case, kind, dtype, seed, count):
    shape, operations = case
    x = images(*shape, kind, seed)
    found = apply(operations, x, seed=seed, count=count, dtype=dtype)
    expected = reference_augment.augment(operations, x.astype(dtype), seed=seed, count=count)
    assert found.dtype == dtype and found.shape == x.shape
    changes_values = any(isinstance(op, (Brightness, Contrast, Mixup)) for op in operations)
    # A mean, two products and a mix: some roundings of values up to the greatest (the mean's sums are in double).
    tolerance = 24 * np.finfo(dtype).eps * max(np.abs(x).max(), 1.5) * 2 if changes_values else 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_threads_give_the_same_bits(kind, channels, monkeypatch):
    monkeypatch.setattr(program, "PARALLEL_OP", 0)
    monkeypatch.setattr(program, "PARALLEL_PROGRAM", 0)
    x, y = images(37, 9, 11, channels, kind), np.arange(37) % 5
    operations = [RandomCrop(3, "reflect"), RandomFlip(vertical=True), Contrast(), Brightness(), Cutout(4), Mixup()]
    found = []
    for threads in (1, 2, 3):
        with fn.threads(threads):
            found.append([array.tobytes() for array in apply(operations, x, y, seed=3)])
    assert found[0] == found[1] == found[2]


def test_no_operation_is_the_batch_itself():
    x = images(5, 4, 4, 3)
    np.testing.assert_array_equal(apply([], x), x.astype("float32"))


def test_a_vector_of_pixels_is_never_written_beyond_a_row():
    """Rows of every length, of which the last vector is only partly full."""
    for channels in (1, 3, 5):
        for width in range(1, 40):
            x = images(3, 2, width, channels, "float32")
            np.testing.assert_array_equal(apply([RandomFlip(probability=1)], x), x[:, :, ::-1])


# --- what is drawn ----------------------------------------------------------------------------------------------------


def test_draws_are_uniform():
    n = 20000
    x = np.zeros((n, 5, 7, 1), np.uint8)
    x[:, 2, 3] = 1
    places = apply([RandomCrop((2, 3))], x, seed=1).reshape(n, 35).argmax(axis=1)
    counts = np.bincount(places, minlength=35)
    assert ((counts - n / 35) ** 2 / (n / 35)).sum() < 70  # chi square with 34 degrees: p = 0.0003
    flipped = apply([RandomFlip(probability=0.3)], np.tile(np.array([1, 0], np.uint8)[:, None], (n, 1, 1, 1)))
    assert abs(flipped[:, 0, 1].mean() - 0.3) < 4 * (0.21 / n) ** 0.5
    bright = apply([Brightness(0.5)], np.ones((n, 1, 1, 1)), seed=1).ravel()
    assert 0.5 <= bright.min() < 0.51 and 1.49 < bright.max() <= 1.5
    assert abs(bright.mean() - 1) < 4 * (1 / 12 / n) ** 0.5
    cut = 1 - apply([Cutout(1)], np.ones((n, 3, 4, 2)), seed=1)
    assert (cut.sum(axis=(1, 2, 3)) == 2).all()
    np.testing.assert_allclose(cut.mean(axis=(0, 3)), 1 / 12, atol=4 * (1 / 12 / n) ** 0.5)


def test_draws_depend_on_seed_count_and_place_alone():
    x = images(8, 6, 6, 3)
    operations = [RandomCrop(2), RandomFlip(), Cutout(2)]
    first = apply(operations, x, seed=1, count=5)
    np.testing.assert_array_equal(first, apply(operations, x, seed=1, count=5))
    np.testing.assert_array_equal(first[:3], apply(operations, x[:3], seed=1, count=5))
    assert (first != apply(operations, x, seed=1, count=6)).any()
    assert (first != apply(operations, x, seed=2, count=5)).any()
    # Another operation beside it leaves the draws of one alone.
    np.testing.assert_array_equal(
        apply([Cutout(2)], x, seed=1) == 0, apply([Brightness(0.1), Cutout(2)], x, seed=1) == 0
    )


# --- mixup ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_mixup_of_labels(dtype):
    x, y = images(40, 3, 3, 1), np.arange(40) % 7
    found, rows = apply([Mixup(0.5)], x, y, seed=4, count=9, dtype=dtype)
    expected, expected_rows = reference_augment.augment([Mixup(0.5)], x, np.eye(7)[y], seed=4, count=9)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=0, atol=3 * 255 * eps)
    np.testing.assert_allclose(rows, expected_rows, rtol=0, atol=3 * eps)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=2 * eps)


def test_mixup_of_values_and_of_any_shape():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 2))
    found, values = apply([Mixup(2.0)], x, y, seed=1, dtype="float64")
    expected, expected_values = reference_augment.augment([Mixup(2.0)], x, y, seed=1, count=1)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_allclose(values, expected_values, atol=1e-14)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 50.0])
def test_shares_have_the_beta_distribution(alpha):
    stats = pytest.importorskip("scipy.stats", reason="scipy, which comes with scikit-learn, is not installed")
    y = random.beta(4000, alpha, seed=1, path="mixup")
    assert stats.kstest(y, stats.beta(alpha, alpha).cdf).pvalue > 0.001


@pytest.mark.parametrize("alpha", [1e-4, 1e-2, 1e6])
def test_extreme_shares(alpha):
    y = random.beta(1000, alpha, seed=1, path="mixup")
    assert ((y >= 0) & (y <= 1)).all()
    assert abs(y.mean() - 0.5) < 0.1


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: RandomCrop(-1), ValueError, r"padding\[0\] must be at least 0"),
        (lambda: RandomCrop((1, 2, 3)), ValueError, "padding must be one number or two"),
        (lambda: RandomCrop(1, "wrap"), ValueError, "mode 'wrap' is not one of zero, reflect"),
        (lambda: RandomFlip(horizontal=False), ValueError, "horizontal=True"),
        (lambda: RandomFlip(probability=2), ValueError, "probability must be at least 0 and at most 1"),
        (lambda: Brightness(-0.1), ValueError, "amount"),
        (lambda: Contrast(1.5), ValueError, "amount"),
        (lambda: Cutout(0), ValueError, "size"),
        (lambda: Cutout(2, value=np.nan), ValueError, "value must be finite"),
        (lambda: Mixup(0), ValueError, "alpha must be above 0"),
        (lambda: random.beta(3, -1, seed=0), ValueError, "alpha"),
    ],
)
def test_arguments(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("operations", "error", "match"),
    [
        (RandomFlip(), TypeError, r"must be a list, such as \[RandomFlip\(\)\]"),
        ("flip", TypeError, "must be a list"),
        (["flip"], TypeError, r"must have operations \(RandomCrop, RandomFlip"),
        ([RandomFlip], TypeError, r"the class RandomFlip; give RandomFlip\(...\)"),
        ([RandomCrop(1), RandomFlip(), RandomCrop(1)], ValueError, "RandomCrop twice"),
        ([Cutout(2), RandomCrop(1)], ValueError, "RandomCrop after Cutout; it must come before it"),
        ([Mixup(), Brightness()], ValueError, "Brightness after Mixup"),
        ([RandomCrop(6)], ValueError, r"RandomCrop\(padding=6\).*images of height 6; padding must be at most 5"),
        ([Cutout((2, 8))], ValueError, r"Cutout\(size=8\) is larger than the images, whose width is 7"),
    ],
)
def test_lists(operations, error, match):
    with pytest.raises(error, match=match):
        apply(operations, np.zeros((2, 6, 7, 3)))


def test_samples_that_are_no_images():
    with pytest.raises(ValueError, match=r"RandomFlip needs images.* shape \(5,\)"):
        apply([RandomFlip()], np.zeros((2, 5)))
    with pytest.raises(TypeError, match="x must be an array of real numbers"):
        apply([], np.zeros((2, 5), complex))
    with pytest.raises(ValueError, match="same length"):
        apply([Mixup()], np.zeros((2, 5)), np.zeros(3))
    with pytest.raises(ValueError, match="not empty"):
        apply([], np.zeros((0, 5)))
