"""Convolutions of arrays against sums over taps, for shapes that hypothesis draws."""

import numpy as np
import pytest
import reference_conv
from drawn_conv import convolutions, depthwise_convolutions
from hypothesis import given, settings

import fastnet as fn
from fastnet.kernels import conv as conv_module
from fastnet.kernels import windows

EPSILON = {"float32": 2.0**-24, "float64": 2.0**-53}
# By how much Winograd's transforms enlarge rounding errors, over those of a direct sum, at most.
ENLARGED = {(3, 2): 4, (3, 4): 16, (5, 2): 16, (5, 4): 64}


def arrays(x_shape, w_shape, options, dtype, precise=False):
    chosen = conv_module.geometry(x_shape, w_shape[:2], w_shape[3], precise=precise, **options)
    rng = np.random.default_rng(0)
    x, w, dy = (rng.normal(size=shape).astype(dtype) for shape in (x_shape, w_shape, chosen.y_shape))
    pads = tuple((axis.before, axis.after) for axis in (chosen.height, chosen.width))
    return chosen, x, w, dy, {**options, "padding": pads}


def passes(x, w, dy, options, precise=False):
    """The three results for one number of threads."""
    options = {**options, "precise": precise}
    return (
        fn.kernels.conv2d(x, w, **options),
        fn.kernels.conv2d_backward_data(dy, w, x.shape, **options),
        fn.kernels.conv2d_backward_weights(x, dy, w.shape[:2], **options),
    )


def check(x_shape, w_shape, options, dtype, precise=False):
    chosen, x, w, dy, plain = arrays(x_shape, w_shape, options, dtype, precise)
    results = passes(x, w, dy, options, precise)
    expected = (
        reference_conv.conv2d(x, w, chosen.y_shape, **plain),
        reference_conv.conv2d_backward_data(dy, w, x.shape, **plain),
        reference_conv.conv2d_backward_weights(x, dy, w.shape, **plain),
    )
    taps = w_shape[0] * w_shape[1]
    lengths = (taps * w_shape[2], taps * w_shape[3] // options["groups"], dy[..., 0].size)
    for chosen_pass, result, right, length in zip(
        (chosen.forward(), chosen.backward_data(), chosen.backward_weights()), results, expected, lengths, strict=True
    ):
        assert result.dtype == dtype and result.shape == right.shape
        # A sum of `length` products of unit variance: its size is sqrt(length), and so are its rounding errors, in epsilons.
        bound = 16 * EPSILON[dtype] * np.sqrt(length) * max(np.sqrt(length), 4)
        bound *= ENLARGED.get((w_shape[0], chosen_pass.numbers.get("m")), 1)
        assert np.abs(result - right).max(initial=0) <= bound, chosen_pass.kernel
    for threads in (2, 3):
        with fn.threads(threads):
            for result, again in zip(results, passes(x, w, dy, options, precise), strict=True):
                assert result.tobytes() == again.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None, max_examples=100)
@given(convolutions())
def test_any_convolution(dtype, case):
    check(*case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None, max_examples=100)
@given(depthwise_convolutions())
def test_depthwise_convolutions(dtype, case):
    chosen = conv_module.geometry(case[0], case[1][:2], case[1][3], precise=False, **case[2])
    assert chosen.forward().kernel == "depthwise"
    check(*case, dtype)


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None, max_examples=60)
@given(convolutions(winograd=True))
def test_small_kernels_of_many_channels(dtype, precise, case):
    check(*case, dtype, precise)


@pytest.mark.parametrize(
    "kernel, precise, limit", [(3, False, 1.2e-6), (3, True, 4e-7), (5, False, 4e-6), (5, True, 1.3e-6)]
)
def test_error_of_winograd(kernel, precise, limit):
    """The rms errors that the docstring states, relative to the result's, with 64 channels."""
    x_shape, w_shape = (2, 16, 16, 64), (kernel, kernel, 64, 64)
    options = {"stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 1}
    chosen, x, w, dy, plain = arrays(x_shape, w_shape, options, "float32", precise)
    assert chosen.forward().kernel == "conv_winograd"
    assert chosen.forward().numbers["m"] == (2 if precise else 4)
    right = reference_conv.conv2d(x, w, chosen.y_shape, **plain)
    error = np.sqrt(np.mean((passes(x, w, dy, options, precise)[0] - right) ** 2) / np.mean(right**2))
    assert error < limit


@pytest.mark.parametrize(
    "shape, filters, kernel", [((2, 9, 9, 20), 20, 3), ((2, 9, 9, 3), 20, 3), ((2, 9, 9, 20), 7, 1)]
)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_bias_and_activation(shape, filters, kernel, activation):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(kernel, kernel, shape[3], filters))
    bias = rng.normal(size=filters)
    plain = fn.kernels.conv2d(x, w, padding="same")
    y = fn.kernels.conv2d(x, w, padding="same", bias=bias, activation=activation)
    np.testing.assert_allclose(y, fn.kernels.activate(plain + bias, activation), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("channels, width", [(19, 13), (16, 2)])
def test_bias_and_activation_of_depthwise_convolutions(channels, width, activation):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 5, width, channels)), rng.normal(size=(3, 3, 1, channels))
    options = {"padding": "same", "groups": channels}
    bias = rng.normal(size=channels)
    plain = fn.kernels.conv2d(x, w, **options)
    y = fn.kernels.conv2d(x, w, bias=bias, activation=activation, **options)
    np.testing.assert_allclose(y, fn.kernels.activate(plain + bias, activation), rtol=1e-10, atol=1e-10)


def test_depthwise_convolutions_leave_out_what_is_outside():
    w = np.ones((3, 3, 1, 4))
    w[0] = np.nan
    y = fn.kernels.conv2d(np.ones((1, 4, 9, 4)), w, padding="same", groups=4)
    assert np.isnan(y[0, 1:]).all() and not np.isnan(y[0, 0]).any()


@pytest.mark.parametrize("channels, precise", [(2, False), (20, False), (20, True), (64, False)])
def test_nan_reaches_the_windows_that_see_it(channels, precise):
    x, w = np.ones((1, 12, 12, channels)), np.ones((3, 3, channels, 16))
    x[0, 5, 6, 1] = np.nan
    y = fn.kernels.conv2d(x, w, padding="same", precise=precise)
    assert np.isnan(y[0, 4:7, 5:8]).all()
    assert not np.isnan(y[0, :2]).any()


def test_a_sample_does_not_depend_on_its_batch():
    rng = np.random.default_rng(0)
    for channels, size in ((3, 9), (16, 14), (64, 8), (20, 1)):
        x = rng.normal(size=(7, size, size, channels)).astype("float32")
        w = rng.normal(size=(3, 3, channels, 24)).astype("float32")
        whole = fn.kernels.conv2d(x, w, padding="same")
        for i in range(len(x)):
            assert whole[i].tobytes() == fn.kernels.conv2d(x[i : i + 1], w, padding="same").tobytes()


def test_empty_batches():
    w = np.ones((3, 3, 2, 4), "float32")
    assert fn.kernels.conv2d(np.ones((0, 5, 5, 2)), w).shape == (0, 3, 3, 4)
    assert fn.kernels.conv2d_backward_data(np.ones((0, 3, 3, 4)), w, (0, 5, 5, 2)).shape == (0, 5, 5, 2)
    dw = fn.kernels.conv2d_backward_weights(np.ones((0, 5, 5, 2)), np.ones((0, 3, 3, 4)), 3)
    assert dw.shape == (3, 3, 2, 4) and not dw.any()


@pytest.mark.parametrize(
    "size, kernel, stride, padding, output, pads",
    [
        (5, 3, 1, "same", 5, (1, 1)),
        (5, 2, 1, "same", 5, (0, 1)),
        (6, 3, 2, "same", 3, (0, 1)),
        (7, 3, 2, "same", 4, (1, 1)),
        (6, 3, 2, "valid", 2, (0, 0)),
        (6, 3, 2, ((2, 1),), 4, (2, 1)),
        (1, 3, 1, "same", 1, (1, 1)),
        (4, 2, 3, "same", 2, (0, 1)),
    ],
)
def test_windows(size, kernel, stride, padding, output, pads):
    (axis,) = windows.axes((size,), (kernel,), (stride,), windows.padding(padding, 1), (1,))
    assert axis.output == output
    assert (axis.before, axis.after) == pads


X, W = np.ones((2, 5, 5, 4)), np.ones((3, 3, 4, 6))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: fn.kernels.conv2d(X[0], W), ValueError, ["x", "(batch, height, width, channels)", "(5, 5, 4)"]),
        (lambda: fn.kernels.conv2d(X, W[0]), ValueError, ["w must have shape", "(3, 4, 6)"]),
        (lambda: fn.kernels.conv2d(X, W[:, :, :3]), ValueError, ["w must have shape", "= 4", "(3, 3, 3, 6)"]),
        (lambda: fn.kernels.conv2d(X, W, groups=3), ValueError, ["groups", "channels, 4", "nearest", "2"]),
        (lambda: fn.kernels.conv2d(X[:, :2], W), ValueError, ["kernel_size (3, 3)", "larger", "padding='same'"]),
        (lambda: fn.kernels.conv2d(X, W, dilation=3), ValueError, ["dilation (3, 3)", "needs 7"]),
        (lambda: fn.kernels.conv2d(X, W, padding="sam"), ValueError, ["padding", "did you mean 'same'"]),
        (lambda: fn.kernels.conv2d(X, W, padding=-1), ValueError, ["padding", "at least 0", "-1"]),
        (lambda: fn.kernels.conv2d(X, W, stride=0), ValueError, ["stride", "at least 1"]),
        (lambda: fn.kernels.conv2d(X, W, stride=(1, 2, 3)), ValueError, ["stride", "2 of them", "(1, 2, 3)"]),
        (lambda: fn.kernels.conv2d(X, W, stride=1.5), TypeError, ["stride", "whole number", "1.5"]),
        (lambda: fn.kernels.conv2d(X, W, bias=np.ones(5)), ValueError, ["bias", "(6,)", "(5,)"]),
        (lambda: fn.kernels.conv2d(X, W, activation="rely"), ValueError, ["activation", "did you mean 'relu'"]),
        (lambda: fn.kernels.conv2d(X, W, precise=1), TypeError, ["precise"]),
        (lambda: fn.kernels.conv2d(X.astype(complex), W), TypeError, ["x", "real numbers", "complex"]),
        (lambda: fn.kernels.conv2d(X, W, out=np.ones(3)), ValueError, ["out", "(2, 3, 3, 6)"]),
        (lambda: fn.kernels.conv2d_backward_data(X, W, (2, 5, 5, 4)), ValueError, ["dy", "(2, 3, 3, 6)"]),
        (lambda: fn.kernels.conv2d_backward_data(X, W, (2, 5, 5)), ValueError, ["x_shape", "(2, 5, 5)"]),
        (lambda: fn.kernels.conv2d_backward_weights(X, X, 3), ValueError, ["dy", "(2, 3, 3, 4)"]),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_out_must_not_overlap():
    with pytest.raises(ValueError, match="out must not overlap x"):
        fn.kernels.conv2d(X, np.ones((1, 1, 4, 4)), out=X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_channels(dtype):
    """What is read beside arrays, such as tables of masks, is not read at distances that grow with them."""
    x = np.arange(1_000_000, dtype=dtype).reshape(1, 1, 1, -1)
    dw = fn.kernels.conv2d_backward_weights(x, np.ones_like(x), 1, groups=x.shape[-1])
    assert np.array_equal(dw.ravel(), x.ravel())
