"""Statistics that a call collects as it stores its result, against float64 ones of the stored result."""

import numpy as np
import pytest
from drawn_conv import convolutions, depthwise_convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnet as fn
from fastnet.kernels import call, conv, norm

EPSILON = {"float32": 2.0**-24, "float64": 2.0**-53}


def run(chosen, reads, result, dtype, parts, backward=None):
    """The pass on arrays by their names; its result, and the statistics in parts: the two values, and rows."""
    fields, channels = chosen.fields, result[1][-1]
    y = np.full(result[1], np.nan, dtype)
    statistics = np.full(parts * (2 * channels + 1), np.nan, dtype) if parts else None
    reads = {fields[name]: array for name, array in reads.items()} | (backward or {})
    writes = {fields[result[0]]: y, "statistics": statistics}
    call.run(chosen.kernel, dtype, reads, writes, chosen.numbers | {"parts": parts}, 10**9)
    if not parts:
        return y, None
    counts = statistics[2 * parts * channels :]
    return y, (*statistics[: 2 * parts * channels].reshape(2, parts, channels), counts)


def of_all_parts(first, second, counts):
    """Mean and M2 of all rows, in float64; parts without rows hold nothing."""
    used = counts > 0
    counts, means, m2s = (array[used].astype(float) for array in (counts, first, second))
    mean = counts @ means / counts.sum()
    return mean, m2s.sum(0) + counts @ (means - mean) ** 2


def sections(chosen):
    """The parts of a strided gradient must be a multiple of this."""
    n = chosen.numbers
    return min(n["sh"], n["H"]) * min(n["sw"], n["W"]) if chosen.kernel == "conv_direct_data" else 1


def check(x_shape, w_shape, options, data, parts, dtype):
    rng = np.random.default_rng(0)
    convolution = conv.geometry(x_shape, w_shape[:2], w_shape[3], options["stride"], options["padding"],
                                options["dilation"], options["groups"], False)  # fmt: skip

    def draw(shape):
        return rng.normal(size=shape).astype(dtype)

    w = draw(w_shape)
    if data:
        chosen, reads, result = convolution.backward_data(), {"dy": draw(convolution.y_shape), "w": w}, ("dx", x_shape)
    else:
        chosen, reads, result = convolution.forward(), {"x": draw(x_shape), "w": w}, ("y", convolution.y_shape)
    rows = np.prod(result[1][:-1])
    parts *= sections(chosen)
    plain, _ = run(chosen, reads, result, dtype, 0)
    y, (first, second, counts) = run(chosen, reads, result, dtype, parts)
    assert np.array_equal(y, plain)
    assert counts.sum() == rows and counts.min() >= 0
    exact = y.reshape(rows, -1).astype(np.longdouble)
    mean, m2 = of_all_parts(first, second, counts)
    size = np.sqrt((exact**2).mean(0))
    np.testing.assert_array_less(abs(mean - exact.mean(0)), (20 + rows / 8) * EPSILON[dtype] * size + 1e-300)
    spread = ((exact - exact.mean(0)) ** 2).sum(0)
    np.testing.assert_array_less(abs(m2 - spread), (50 + rows / 4) * EPSILON[dtype] * (spread + size**2) + 1e-300)

    other, center = draw(result[1]), draw(result[1][-1:])
    backward = {"statistics_x": other, "statistics_mean": center}
    y, (first, second, counts) = run(chosen, reads, result, dtype, parts, backward)
    assert np.array_equal(y, plain) and counts.sum() == rows
    weighted = exact * (other.reshape(exact.shape).astype(float) - center)
    for found, terms in ((first, exact), (second, weighted)):
        found = found[counts > 0].astype(float).sum(0)
        np.testing.assert_array_less(
            abs(found - terms.sum(0)), (20 + rows / 8) * EPSILON[dtype] * (abs(terms).sum(0) + 1e-30)
        )

    for threads in (1, 3):
        with fn.threads(threads):
            _, found = run(chosen, reads, result, dtype, parts, backward)
        assert np.array_equal(found[0], first, equal_nan=True)
        assert np.array_equal(found[1], second, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("kind", [convolutions(), convolutions(winograd=True), depthwise_convolutions()])
def test_of_convolutions(kind, data, dtype):
    @settings(max_examples=25, deadline=None)
    @given(kind, st.integers(1, 9))
    def agree(case, parts):
        check(*case, data, parts, dtype)

    agree()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_many_images(dtype):
    """More blocks and tiles than parts, filters in several groups, both kinds of tiles."""
    for kernel, stride in (3, 1), (5, 1), (3, 2), (1, 1):
        options = {"stride": stride, "padding": "same", "dilation": 1, "groups": 1}
        for data in (False, True):
            check((9, 21, 22, 70), (kernel, kernel, 70, 130), options, data, 5, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parts", [1, 3, 40])
def test_batch_norm_takes_them(dtype, parts):
    """It gives what it gives without, and where a channel's mean is far from zero nothing cancels."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 9, 10, 16)).astype(dtype), rng.normal(size=(3, 3, 16, 24)).astype(dtype)
    bias = np.full(24, 3000, dtype)
    convolution = conv.geometry(x.shape, (3, 3), 24, 1, "same", 1, 1, False)
    y, statistics = run(convolution.forward(), {"x": x, "w": w, "bias": bias}, ("y", convolution.y_shape), dtype, parts)
    expected, of_batch = norm.batch_norm(y)
    found = {"y": np.empty_like(y)} | {name: np.empty(24, dtype) for name in norm.BatchStatistics._fields}
    numbers = {"rows": y.size // 24, "channels": 24, "parts": parts, "activation": 0, "epsilon": 1e-5, "alpha": 0.0}
    given = np.concatenate([array.ravel() for array in statistics])
    call.run("batch_norm_forward", dtype, {"x": y, "statistics": given}, found, numbers, 10**9)
    tolerance = 2 * 3000 * EPSILON[dtype]  # some roundings of the mean, in units of the deviation, which is about 12
    np.testing.assert_allclose(found["y"], expected, rtol=0, atol=tolerance)
    for name, array in of_batch._asdict().items():
        # A mean is 300 deviations from zero; sums of squares would lose 300^2 roundings.
        np.testing.assert_allclose(found[name], array, rtol=300 * EPSILON[dtype], err_msg=name)
