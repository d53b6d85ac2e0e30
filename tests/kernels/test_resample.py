"""Upsampling, padding, cropping: against matrices along each axis and PyTorch, over threads, and impossible arguments."""

import numpy as np
import pytest
import reference_images as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import resample

DTYPES = ["float32", "float64"]
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))
CHANNELS = st.sampled_from([1, 3, 8, 15, 16, 17, 33, 70])
BORDERS = st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 2)


def check(forward, backward, x, rows, columns, terms):
    """A function and its gradient are the maps, and their transposes; `terms` of a sum round, at most."""
    eps = np.finfo(x.dtype).eps
    y = forward(x)
    assert y.dtype == x.dtype
    wide = x.astype(float)
    assert np.all(
        abs(y - reference.apply_maps(wide, rows, columns))
        <= terms * eps * reference.apply_maps(abs(wide), rows, columns)
    )
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    dx = backward(dy, np.full(x.shape, 7, x.dtype))
    wide = dy.astype(float)
    size = reference.apply_maps(abs(wide), rows.T, columns.T)
    assert np.all(abs(dx - reference.apply_maps(wide, rows.T, columns.T)) <= terms * eps * size)


def images(sizes, channels, dtype):
    return np.random.default_rng(0).standard_normal((2, *sizes, channels)).astype(dtype)


@settings(max_examples=100, deadline=None)
@given(
    sizes=SIZES, channels=CHANNELS, dtype=st.sampled_from(DTYPES), factor=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    interpolation=st.sampled_from(resample.INTERPOLATIONS),
)  # fmt: skip
def test_upsample(sizes, channels, dtype, factor, interpolation):
    rows, columns = (reference.linear_map(n, f, interpolation) for n, f in zip(sizes, factor, strict=True))
    check(
        lambda x: resample.upsample(x, factor, interpolation=interpolation),
        lambda dy, out: resample.upsample_backward(dy, factor, interpolation=interpolation, out=out),
        images(sizes, channels, dtype), rows, columns, 32,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    sizes=SIZES, channels=CHANNELS, dtype=st.sampled_from(DTYPES), borders=BORDERS,
    mode=st.sampled_from(resample.PAD_MODES),
)  # fmt: skip
def test_pad(sizes, channels, dtype, borders, mode):
    if mode == "reflect":
        borders = tuple(tuple(min(n, size - 1) for n in part) for part, size in zip(borders, sizes, strict=True))
    rows, columns = (reference.pad_map(n, *part, mode) for n, part in zip(sizes, borders, strict=True))
    check(
        lambda x: resample.pad(x, borders, mode=mode),
        lambda dy, out: resample.pad_backward(dy, borders, mode=mode, out=out),
        images(sizes, channels, dtype), rows, columns, 0 if mode == "zero" else 9,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, channels=CHANNELS, dtype=st.sampled_from(DTYPES), borders=BORDERS)
def test_crop(sizes, channels, dtype, borders):
    larger = tuple(n + sum(part) for n, part in zip(sizes, borders, strict=True))
    rows, columns = (reference.pad_map(n, *part, "zero").T for n, part in zip(sizes, borders, strict=True))
    check(
        lambda x: resample.crop(x, borders), lambda dy, out: resample.crop_backward(dy, borders, out=out),
        images(larger, channels, dtype), rows, columns, 0,
    )  # fmt: skip


def all_results(x):
    results = [resample.crop(x, 2), resample.crop_backward(x, 2)]
    for interpolation in resample.INTERPOLATIONS:
        y = resample.upsample(x, 2, interpolation=interpolation)
        results += [y, resample.upsample_backward(y, 2, interpolation=interpolation)]
    for mode in resample.PAD_MODES:
        y = resample.pad(x, 3, mode=mode)
        results += [y, resample.pad_backward(y, 3, mode=mode)]
    return results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 48])
def test_same_bits_for_any_number_of_threads(dtype, channels):
    x = np.random.default_rng(0).standard_normal((61, 11, 13, channels)).astype(dtype)
    with config.threads(1):
        expected = all_results(x)
    for count in (2, 3):
        with config.threads(count):
            for result, one in zip(all_results(x), expected, strict=True):
                assert result.tobytes() == one.tobytes()


def test_series_are_images_of_height_one():
    x = np.random.default_rng(0).standard_normal((3, 11, 5)).astype("float32")
    image = x[:, None]
    pairs = [
        (resample.upsample(x, 3), resample.upsample(image, (1, 3))),
        (resample.upsample(x, interpolation="bilinear"), resample.upsample(image, (1, 2), interpolation="bilinear")),
        (resample.pad(x, (1, 2), mode="reflect"), resample.pad(image, ((0, 0), (1, 2)), mode="reflect")),
        (
            resample.pad_backward(x, (1, 2), mode="reflect"),
            resample.pad_backward(image, ((0, 0), (1, 2)), mode="reflect"),
        ),
        (resample.crop(x, (1, 2)), resample.crop(image, ((0, 0), (1, 2)))),
    ]
    for series, expected in pairs:
        np.testing.assert_array_equal(series, expected[:, 0])


def test_nan_propagates_and_batches_may_be_empty():
    x = np.zeros((1, 4, 4, 3), "float32")
    x[0, 1, 2, 1] = np.nan
    for result in all_results(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))):
        assert np.isnan(result[..., 1]).any() and not np.isnan(result[..., ::2]).any()
    assert resample.upsample(x[:0]).shape == (0, 8, 8, 3)
    assert resample.pad(x[:0], 1).shape == (0, 6, 6, 3)


def test_errors():
    x = np.zeros((2, 4, 6, 3), "float32")
    for call, error, match in [
        (lambda: resample.upsample(x[0, 0]), ValueError, r"x must have shape \(batch, height, width, channels\)"),
        (lambda: resample.upsample(x, 0), ValueError, "factor must be at least 1"),
        (lambda: resample.upsample(x, 1.5), TypeError, "factor must be a whole number"),
        (
            lambda: resample.upsample(x, interpolation="linear"),
            ValueError,
            "interpolation 'linear'.*did you mean 'bilinear'",
        ),
        (lambda: resample.upsample(x, 1, out=x), ValueError, "out must not overlap x"),
        (
            lambda: resample.upsample_backward(x, 3),
            ValueError,
            r"multiples of factor \(3, 3\); got shape \(2, 4, 6, 3\)",
        ),
        (lambda: resample.pad(x, -1), ValueError, "padding must be at least 0"),
        (lambda: resample.pad(x, (1, 2, 3)), ValueError, "padding must be a whole number or 2 of them"),
        (lambda: resample.pad(x, 1, mode="mirror"), ValueError, "mode 'mirror' is not one of zero, reflect"),
        (lambda: resample.pad(x, 4, mode="reflect"), ValueError, r"must be smaller than the image.*at most \(3, 5\)"),
        (lambda: resample.pad_backward(x, 2), ValueError, "not larger than padding"),
        (lambda: resample.pad_backward(x, ((2, 0), (0, 0)), mode="reflect"), ValueError, "smaller than the image"),
        (lambda: resample.crop(x, ((2, 2), (0, 0))), ValueError, "cropping .* leaves nothing"),
        (lambda: resample.crop(x, "same"), TypeError, "cropping must be a whole number"),
        (lambda: resample.crop(x, 1, out=np.zeros(3)), ValueError, "out must have shape"),
        (lambda: resample.crop_backward(x, -1), ValueError, "cropping must be at least 0"),
    ]:
        with pytest.raises(error, match=match):
            call()


# --- PyTorch --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["nearest", "bilinear", "reflect", "zero"])
@pytest.mark.parametrize("amount", [1, 2, 3])
def test_agrees_with_torch(dtype, kind, amount):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 7, 18)).astype(dtype)
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    if kind in resample.INTERPOLATIONS:
        align = {"align_corners": False} if kind == "bilinear" else {}
        output = torch.nn.functional.interpolate(theirs, scale_factor=amount, mode=kind, **align)
        y = resample.upsample(x, amount, interpolation=kind)
    else:
        # Left, right, top, bottom.
        mode = {"zero": "constant"}.get(kind, kind)
        output = torch.nn.functional.pad(theirs, (amount, 0, 1, amount), mode=mode)
        borders = ((1, amount), (amount, 0))
        y = resample.pad(x, borders, mode=kind)
    dy = rng.standard_normal(y.shape).astype(dtype)
    output.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    if kind in resample.INTERPOLATIONS:
        dx = resample.upsample_backward(dy, amount, interpolation=kind)
    else:
        dx = resample.pad_backward(dy, borders, mode=kind)
    # Sums of at most 36 terms.
    close = {"rtol": 80 * np.finfo(dtype).eps, "atol": 80 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, output.detach().numpy().transpose(0, 2, 3, 1), **close)
    np.testing.assert_allclose(dx, theirs.grad.numpy().transpose(0, 2, 3, 1), **close)
