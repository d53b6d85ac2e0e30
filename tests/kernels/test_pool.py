"""Pooling: against plain loops and PyTorch, over threads, with NaN and ties, and impossible arguments."""

import numpy as np
import pytest
import reference_images as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import pool

DTYPES = ["float32", "float64"]
# Channels around the sizes of vectors, and of four of them.
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 70, 130])


@st.composite
def cases(draw):
    """Sizes, channels and arguments of a pool that is possible."""
    sizes = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    pool_size = draw(st.one_of(st.just((2, 2)), st.just((3, 3)), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 5), st.integers(1, 5))))
    padding = draw(
        st.one_of(
            st.sampled_from(["same", "valid"]),
            st.tuples(*(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)) for k in pool_size)),
        )
    )
    ceil = draw(st.booleans())
    borders = ((0, 0), (0, 0)) if isinstance(padding, str) else padding
    if padding != "same":
        # As large as the window needs.
        sizes = tuple(max(n, k - sum(b)) for n, k, b in zip(sizes, pool_size, borders, strict=True))
    shape = (draw(st.integers(1, 2)), *sizes, draw(CHANNELS))
    return shape, {"pool_size": pool_size, "stride": stride, "padding": padding, "ceil_mode": ceil}


def plain(shape, arguments):
    """The arguments as the references take them."""
    pool_size = arguments["pool_size"]
    stride = arguments["stride"] or pool_size
    borders, ceil = arguments["padding"], arguments["ceil_mode"]
    if borders == "same":
        borders, ceil = reference.same_borders(shape[1:3], pool_size, stride), False
    elif borders == "valid":
        borders = [(0, 0), (0, 0)]
    return pool_size, stride, borders, ceil


def taps_of(argmax, arguments, shape, places):
    """The argmax that a reference's places in the image are."""
    (_, columns), (top, left) = arguments["pool_size"], [b[0] for b in plain(shape, arguments)[2]]
    stride = arguments["stride"] or arguments["pool_size"]
    p, q = np.indices(argmax.shape)[1:3]
    return (places[..., 0] + top - p * stride[0]) * columns + places[..., 1] + left - q * stride[1]


@settings(max_examples=120, deadline=None)
@given(case=cases(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 100), whole=st.booleans())
def test_max_pool(case, dtype, seed, whole):
    shape, arguments = case
    rng = np.random.default_rng(seed)
    # Few values: many ties.
    x = (rng.integers(-2, 3, shape) if whole else rng.standard_normal(shape)).astype(dtype)
    y, argmax = pool.max_pool(x, **arguments, return_argmax=True)
    expected, places = reference.max_pool(x.astype(float), *plain(shape, arguments))
    assert y.dtype == dtype and argmax.dtype == "uint8"
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, taps_of(argmax, arguments, shape, places))
    np.testing.assert_array_equal(pool.max_pool(x, **arguments), y)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = pool.max_pool_backward(dy, argmax, shape, **arguments, out=np.full(shape, 7, dtype))
    expected = reference.max_pool_backward(dy.astype(float), places, shape)
    # No more windows than taps meet in an element.
    size = reference.max_pool_backward(abs(dy.astype(float)), places, shape)
    assert np.all(abs(dx - expected) <= 16 * np.finfo(dtype).eps * size)


@settings(max_examples=120, deadline=None)
@given(case=cases(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 100), include=st.booleans())
def test_avg_pool(case, dtype, seed, include):
    shape, arguments = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    y = pool.avg_pool(x, **arguments, count_include_pad=include)
    options = (*plain(shape, arguments), include)
    eps = np.finfo(dtype).eps
    expected = reference.avg_pool(x.astype(float), *options)
    assert y.dtype == dtype
    assert np.all(abs(y - expected) <= 8 * eps * reference.avg_pool(abs(x.astype(float)), *options))
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = pool.avg_pool_backward(dy, shape, **arguments, count_include_pad=include, out=np.full(shape, 7, dtype))
    expected = reference.avg_pool_backward(dy.astype(float), shape, *options)
    size = reference.avg_pool_backward(abs(dy.astype(float)), shape, *options)
    assert np.all(abs(dx - expected) <= 20 * eps * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 16, 70])
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (17, 16), (40, 30)])
def test_whole_images(dtype, channels, size):
    """Global pooling: windows of 256 taps and of more, whose argmax is int32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, *size, channels)).astype(dtype)
    y, argmax = pool.max_pool(x, size, return_argmax=True)
    assert argmax.dtype == ("uint8" if size[0] * size[1] <= 256 else "int32")
    flat = x.reshape(3, -1, channels)
    np.testing.assert_array_equal(y[:, 0, 0], flat.max(1))
    np.testing.assert_array_equal(argmax[:, 0, 0], flat.argmax(1))
    dx = pool.max_pool_backward(y, argmax, x.shape, size)
    expected = np.where(np.arange(flat.shape[1])[:, None] == argmax.reshape(3, 1, channels), y[:, 0], 0)
    np.testing.assert_array_equal(dx.reshape(flat.shape), expected)
    mean = pool.avg_pool(x, size)
    # Rows of at most 30 elements, then 40 rows.
    off = 72 * np.finfo(dtype).eps * abs(flat.astype(float)).mean(1)
    assert np.all(abs(mean[:, 0, 0] - flat.astype(float).mean(1)) <= off)
    np.testing.assert_allclose(
        pool.avg_pool_backward(mean, x.shape, size), np.broadcast_to(mean / (size[0] * size[1]), x.shape), rtol=1e-6
    )


GEOMETRIES = [
    {"pool_size": 2},
    {"pool_size": 3, "stride": 2, "padding": 1},
    {"pool_size": 3, "stride": 1, "padding": "same"},
    {"pool_size": 2, "stride": 3, "ceil_mode": True},
    {"pool_size": (11, 13)},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 48])
@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_same_bits_for_any_number_of_threads(dtype, channels, arguments):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((61, 11, 13, channels)).astype(dtype)

    def all_results():
        y, argmax = pool.max_pool(x, **arguments, return_argmax=True)
        mean = pool.avg_pool(x, **arguments)
        return [
            y, argmax, mean, pool.max_pool_backward(mean, argmax, x.shape, **arguments),
            pool.avg_pool_backward(y, x.shape, **arguments),
        ]  # fmt: skip

    with config.threads(1):
        expected = all_results()
    for count in (2, 3):
        with config.threads(count):
            for result, one in zip(all_results(), expected, strict=True):
                assert result.tobytes() == one.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [2, 3, (4, 4)])
def test_nan_and_infinity(dtype, size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 12, 12, 19)).astype(dtype)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[0, :, :, 3] = -np.inf
    y, argmax = pool.max_pool(x, size, return_argmax=True)
    pair = (size, size) if isinstance(size, int) else size
    expected, _ = reference.max_pool(x, pair, pair, [(0, 0)] * 2, False)
    np.testing.assert_array_equal(y, expected)
    assert np.isnan(y).any() and np.all(y[0, :, :, 3] == -np.inf) and np.all(argmax[0, :, :, 3] == 0)
    assert np.array_equal(np.isnan(pool.avg_pool(x, size)), np.isnan(y))
    # Each element of dy, NaN or not, arrives once.
    dx = pool.max_pool_backward(y, argmax, x.shape, size)
    assert np.isnan(dx).sum() == np.isnan(y).sum()


def test_series_are_images_of_height_one():
    x = np.random.default_rng(0).standard_normal((3, 11, 5)).astype("float32")
    image = x[:, None]
    options = {"padding": (1, 2), "ceil_mode": True}
    flat = {"padding": ((0, 0), (1, 2)), "ceil_mode": True}
    y, argmax = pool.max_pool(x, 3, stride=2, **options, return_argmax=True)
    expected = pool.max_pool(image, (1, 3), stride=(1, 2), **flat, return_argmax=True)
    np.testing.assert_array_equal(y, expected[0][:, 0])
    np.testing.assert_array_equal(argmax, expected[1][:, 0])
    dx = pool.max_pool_backward(y, argmax, x.shape, 3, stride=2, **options)
    assert dx.shape == x.shape
    mean = pool.avg_pool(x, 3, stride=2, **options)
    np.testing.assert_array_equal(mean, pool.avg_pool(image, (1, 3), stride=(1, 2), **flat)[:, 0])
    dx = pool.avg_pool_backward(mean, x.shape, 3, stride=2, **options)
    np.testing.assert_array_equal(
        dx, pool.avg_pool_backward(mean[:, None], image.shape, (1, 3), stride=(1, 2), **flat)[:, 0]
    )


def test_empty_batches_other_dtypes_and_strides():
    assert pool.max_pool(np.empty((0, 4, 4, 3)), 2).shape == (0, 2, 2, 3)
    assert pool.avg_pool_backward(np.empty((0, 2, 2, 3)), (0, 4, 4, 3), 2).shape == (0, 4, 4, 3)
    x = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 6)).astype("uint8")
    y = pool.max_pool(x[:, ::2, :, ::2], 2)
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, pool.max_pool(x[:, ::2, :, ::2].astype("float32").copy(), 2))
    out = np.empty_like(y)
    assert pool.max_pool(x[:, ::2, :, ::2], 2, out=out) is out and np.array_equal(out, y)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_errors():
    x = np.zeros((2, 5, 6, 3), "float32")
    y, argmax = pool.max_pool(x, 2, return_argmax=True)
    for call, error, match in [
        (
            lambda: pool.max_pool(x[0, 0], 2),
            ValueError,
            r"x must have shape \(batch, height, width, channels\).*\(6, 3\)",
        ),
        (lambda: pool.max_pool(x[:, :0], 2), ValueError, "none but the batch empty"),
        (lambda: pool.max_pool(x.astype(complex), 2), TypeError, "x must be an array of real numbers"),
        (lambda: pool.max_pool(x, 0), ValueError, "pool_size must be at least 1; got 0"),
        (lambda: pool.max_pool(x, 2.0), TypeError, "pool_size must be a whole number"),
        (lambda: pool.max_pool(x, (2, 2, 2)), ValueError, "pool_size must be a whole number or 2 of them"),
        (lambda: pool.avg_pool(x, 2, stride=0), ValueError, "stride must be at least 1"),
        (lambda: pool.avg_pool(x, 6), ValueError, r"pool_size \(6, 6\) is larger than the padded input: axis 0 has 5"),
        (lambda: pool.max_pool(x, 2, padding=2), ValueError, r"padding must be smaller than pool_size \(2, 2\)"),
        (lambda: pool.max_pool(x, 2, padding=((0, 2), (0, 0))), ValueError, "padding must be smaller"),
        (lambda: pool.max_pool(x, 3, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: pool.max_pool(x, 2, padding="sane"), ValueError, "padding 'sane'.*did you mean 'same'"),
        (lambda: pool.max_pool(x, 2, ceil_mode=1), TypeError, "ceil_mode must be True or False"),
        (lambda: pool.avg_pool(x, 2, count_include_pad=None), TypeError, "count_include_pad must be True or False"),
        (lambda: pool.max_pool(x, 2, return_argmax=2), TypeError, "return_argmax must be True or False"),
        (lambda: pool.max_pool(x, 1, out=x), ValueError, "out must not overlap x"),
        (lambda: pool.max_pool(x, 2, out=x), ValueError, r"out must have shape \(2, 2, 3, 3\)"),
        (
            lambda: pool.max_pool_backward(y, argmax.astype("int32"), x.shape, 2),
            ValueError,
            "argmax must have dy's shape",
        ),
        (lambda: pool.max_pool_backward(y, argmax[:1], x.shape, 2), ValueError, "argmax must have dy's shape"),
        (
            lambda: pool.max_pool_backward(y, argmax, (2, 9, 6, 3), 2),
            ValueError,
            r"dy must have the shape.*\(2, 4, 3, 3\)",
        ),
        (lambda: pool.avg_pool_backward(y, (2, 5), 2), ValueError, "x_shape must have shape"),
        (lambda: pool.avg_pool_backward(y, x.shape, 2, out=np.empty(3)), ValueError, "out must have shape"),
    ]:
        with pytest.raises(error, match=match):
            call()


# --- PyTorch --------------------------------------------------------------------------------------------------------

TORCH = [
    {"pool_size": 2},
    {"pool_size": 3, "stride": 2, "padding": 1},
    {"pool_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"pool_size": 3, "stride": 1, "padding": 1},
    {"pool_size": 2, "stride": 3, "ceil_mode": True},
    {"pool_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "ceil_mode": True},
    {"pool_size": 5, "stride": 2, "padding": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("arguments", TORCH)
@pytest.mark.parametrize("kind", ["max", "with padding", "without padding"])
def test_agrees_with_torch(dtype, arguments, kind):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 10, 13, 18)).astype(dtype)
    if kind == "max":
        x[rng.random(x.shape) < 0.01] = np.nan
        x[0] = np.nan_to_num(x[0].round())
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    options = {"kernel_size" if key == "pool_size" else key: value for key, value in arguments.items()}
    if kind == "max":
        output = torch.nn.functional.max_pool2d(theirs, **options)
        y, argmax = pool.max_pool(x, **arguments, return_argmax=True)
    else:
        include = kind == "with padding"
        output = torch.nn.functional.avg_pool2d(theirs, **options, count_include_pad=include)
        y = pool.avg_pool(x, **arguments, count_include_pad=include)
    dy = rng.standard_normal(y.shape).astype(dtype)
    output.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    if kind == "max":
        dx = pool.max_pool_backward(dy, argmax, x.shape, **arguments)
    else:
        dx = pool.avg_pool_backward(dy, x.shape, **arguments, count_include_pad=include)
    # Sums of at most 25 terms.
    close = {"rtol": 60 * np.finfo(dtype).eps, "atol": 60 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, output.detach().numpy().transpose(0, 2, 3, 1), **close)
    np.testing.assert_allclose(dx, theirs.grad.numpy().transpose(0, 2, 3, 1), **close)
