"""The elementary functions: units in the last place over all exponents, and what no number line shows."""

import math

import numpy as np
import pytest

from fastnet.kernels.math import elementary

FUNCTIONS = ["exp", "expm1", "log", "log1p", "erf", "sqrt", "sigmoid", "tanh"]
DTYPES = ["float32", "float64"]
ULP = {function: 2.5 if function == "sigmoid" else 2.0 for function in FUNCTIONS}


def truth(function, x):
    """In more digits than x has: float64 for float32, else long double (and in float64 where there is none)."""
    x = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):
        if function == "sigmoid":
            return 1 / (1 + np.exp(-x))
        if function == "erf":
            return np.array([math.erf(v) for v in x.tolist()], x.dtype)
        return getattr(np, function)(x)


def slack(function, dtype):
    """What the reference itself may be off, in ulp: one where it has no more digits than the result."""
    lacks_digits = dtype == "float64" and (function == "erf" or np.finfo(np.longdouble).nmant < 60)
    return 1.0 if lacks_digits else 0.01


def ulps(y, true):
    """|y - true| in units of the last place that `true` has in y's dtype; the result may be 0 where that's denormal."""
    info = np.finfo(y.dtype)
    _, exponent = np.frexp(true)
    unit = np.ldexp(np.ones_like(true), exponent - 1 - info.nmant)
    with np.errstate(divide="ignore"):
        error = np.abs(y.astype(true.dtype) - true) / unit
    small = np.abs(true) < info.tiny
    np.testing.assert_array_less(np.abs(y[small]), 1.01 * info.tiny)
    return np.where(small, 0, error)


def sweep(dtype, n):
    """Numbers of both signs and all exponents, denser where the functions are neither 0, 1 nor Inf."""
    random = np.random.default_rng(0)
    info = np.finfo(dtype)
    exponents = np.concatenate([
        random.uniform(info.minexp, info.maxexp, n),
        random.uniform(-30, 10, n),
        random.uniform(-3, 7 if dtype == "float32" else 10, 2 * n),
    ])  # fmt: skip
    x = np.ldexp(random.uniform(1, 2, exponents.size), np.floor(exponents).astype(int))
    x = np.concatenate([x, np.linspace(0.25, 2.5, n), random.uniform(0, 40, n)])
    # Where range reductions and polynomials change over.
    edges = np.array([0.5, 0.55, 0.9, math.sqrt(0.5), math.sqrt(2), 1, 2, *(np.arange(1, 60) * math.log(2) / 2)])
    x = np.concatenate([x, *(edges * (1 + k * info.eps) for k in range(-8, 9))])
    return np.concatenate([-x, x]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_ulps(function, dtype):
    x = sweep(dtype, 5_000 if function == "erf" else 50_000)
    if function in ("log", "sqrt"):
        x = x[x > 0]
    if function == "log1p":
        x = x[x > -1]
    y = elementary(x, function)
    true = truth(function, x)
    finite = np.abs(true) <= np.finfo(dtype).max
    # Above the greatest number all but the last half unit is Inf.
    np.testing.assert_array_less(np.full((~finite).sum(), np.finfo(dtype).max * 0.99), np.abs(y[~finite]))
    error = ulps(y[finite], true[finite])
    worst = error.argmax()
    assert error[worst] <= ULP[function] + slack(function, dtype), f"{error[worst]:.2f} ulp at {x[finite][worst]!r}"


def test_measure_of_ulps():
    """It tells one unit from none, on both sides of a power of two."""
    for dtype in DTYPES:
        for value in (1.5, 1.0, 3.0):
            exact = np.array([value], dtype)
            true = exact.astype(np.longdouble)
            assert ulps(exact, true) == 0
            assert ulps(np.nextafter(exact, np.array([9], dtype)), true) == 1
    assert ulps(np.float32([0]), np.float64([1e-40])) == 0


NAN, INF = math.nan, math.inf
SPECIAL = {  # at 0, -0, inf, -inf, and below the domain
    "exp": (1, 1, INF, 0),
    "expm1": (0.0, -0.0, INF, -1),
    "log": (-INF, -INF, INF, NAN),
    "log1p": (0.0, -0.0, INF, NAN),
    "erf": (0.0, -0.0, 1, -1),
    "sqrt": (0.0, -0.0, INF, NAN),
    "sigmoid": (0.5, 0.5, 1, 0),
    "tanh": (0.0, -0.0, 1, -1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_special_values(function, dtype):
    y = elementary(np.array([0.0, -0.0, INF, -INF], dtype), function)
    expected = np.array(SPECIAL[function], dtype)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y[expected == 0]), np.signbit(expected[expected == 0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_nan(function, dtype):
    """Of any payload, signalling or not, either sign."""
    words, top = (np.uint32, 0x7F800000) if dtype == "float32" else (np.uint64, 0x7FF0000000000000)
    sign = 1 << (8 * np.dtype(dtype).itemsize - 1)
    mantissa = (1 << np.finfo(dtype).nmant) - 1
    payloads = [1, 2, 5, 0x12345, mantissa >> 1, (mantissa >> 1) + 1, mantissa - 1, mantissa]
    x = np.array([s | top | p for s in (0, sign) for p in payloads], words).view(dtype)
    assert np.isnan(x).all()
    assert np.isnan(elementary(x, function)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_domain(dtype):
    info = np.finfo(dtype)
    below = np.array([-info.tiny, -1, -1e30, -info.max], dtype)
    assert np.isnan(elementary(below, "log")).all()
    assert np.isnan(elementary(np.array([np.nextafter(-1, -2, dtype=dtype), -2, -info.max], dtype), "log1p")).all()
    assert elementary(np.array([-1], dtype), "log1p")[0] == -INF
    for function, least in (("log", info.tiny), ("log1p", np.nextafter(-1, 0, dtype=dtype))):
        assert np.isfinite(elementary(np.array([least], dtype), function))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ["exp", "expm1"])
def test_overflow(function, dtype):
    """The last argument with a finite result, and the first without."""
    last = np.array(math.log(np.finfo(dtype).max), dtype)
    while truth(function, last[None])[0] > np.finfo(dtype).max:
        last = np.nextafter(last, np.array(0, dtype))
    first = np.nextafter(last, np.array(INF, dtype))
    y = elementary(np.array([last, first, first * 2, np.finfo(dtype).max], dtype), function)
    assert np.isfinite(y[0])
    np.testing.assert_array_equal(y[1:], INF)


@pytest.mark.parametrize("dtype", DTYPES)
def test_denormal_arguments_count_as_zero(dtype):
    x = np.array([np.finfo(dtype).smallest_subnormal, -np.finfo(dtype).tiny / 2], dtype)
    for function in ("expm1", "log1p", "erf", "tanh"):
        assert (np.abs(elementary(x, function)) < np.finfo(dtype).tiny).all(), function
    np.testing.assert_array_equal(elementary(x, "exp"), 1)
    np.testing.assert_array_equal(elementary(x, "log"), -INF)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds(dtype):
    """Rounding leads none of them out of its range."""
    x = sweep(dtype, 5_000)
    assert np.abs(elementary(x, "tanh")).max() == 1
    assert np.abs(elementary(x, "erf")).max() == 1
    s = elementary(x, "sigmoid")
    assert s.min() >= 0
    assert s.max() == 1
    assert elementary(x, "expm1").min() == -1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_place_does_not_matter(function, dtype):
    """An element has the same bits in the middle of an array, in its last part, and alone."""
    x = np.random.default_rng(1).uniform(0.01, 3, 75).astype(dtype)
    whole = elementary(x, function)
    for start in (0, 1, 5, 58, 73):
        for stop in (start + 1, start + 2, 75):
            np.testing.assert_array_equal(elementary(x[start:stop], function), whole[start:stop])


def test_arguments():
    x = np.arange(12, dtype="float32").reshape(3, 4)
    x.setflags(write=False)
    np.testing.assert_array_equal(elementary(x[:, ::2], "exp"), elementary(x, "exp")[:, ::2])
    assert elementary([1, 2], "log").dtype == np.float32
    assert elementary(np.empty((0, 3)), "log").shape == (0, 3)
    y = np.array([1.0, 2.0])
    assert elementary(y, "exp", out=y) is y
    np.testing.assert_allclose(y, np.exp([1, 2]), rtol=1e-15)
    with pytest.raises(ValueError, match=r"function 'epx'.*did you mean 'exp'"):
        elementary(y, "epx")
    with pytest.raises(TypeError, match="x must"):
        elementary(y * 1j, "exp")
    with pytest.raises(ValueError, match="out must have shape"):
        elementary(y, "exp", out=np.empty(3))
