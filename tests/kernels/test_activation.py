"""Activations, softmax and their backward passes, against float64 references, differences and PyTorch."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import activation as module
from fastnet.kernels import call
from fastnet.kernels.activation import (
    ACTIVATIONS,
    activate,
    activate_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from fastnet.kernels.linear import matmul

DTYPES = ["float32", "float64"]
KINDS = list(ACTIVATIONS)
NAN, INF = math.nan, math.inf


def epsilon(dtype):
    return float(np.finfo(dtype).eps)


def points(dtype, n=4001):
    """From where exponentials are all but 0 to where they are all but Inf, denser around 0, which is in it."""
    x = np.concatenate([np.linspace(-12, 12, n), np.linspace(-1, 1, n), np.linspace(-80, 80, n // 4)])
    return x.astype(dtype)


def saved_of(kind, x):
    return activate(x, kind) if ACTIVATIONS[kind].saves == "output" else x


def reference_error(kind, x):
    """Relative error of the float64 references, in eps: what an exponential makes of its argument's rounding.

    x / sqrt(2) is up to one eps off, so its square, x^2 / 2, is off by x^2 eps.
    """
    return {"gelu": x**2, "gelu_tanh": np.abs(reference.gelu_tanh_argument(x)) * (x < 0)}.get(kind, 0 * x)


# --- the table ----------------------------------------------------------------------------------------------


def test_table():
    assert [row.kind for row in ACTIVATIONS.values()] == list(range(13))
    assert all(name == row.name for name, row in ACTIVATIONS.items())
    assert set(reference.ACTIVATIONS) == set(ACTIVATIONS)
    assert {name for name, row in ACTIVATIONS.items() if row.saves == "input"} == {
        "gelu", "gelu_tanh", "silu", "softplus", "hard_swish",
    }  # fmt: skip
    assert (ACTIVATIONS["leaky_relu"].alpha, ACTIVATIONS["elu"].alpha) == (0.01, 1.0)
    with pytest.raises(AttributeError):
        ACTIVATIONS["relu"].kind = 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_forward(kind, dtype):
    """Each kind number is the function of its name; a few ulp for small results too."""
    x = points(dtype)
    exact = x.astype(float)
    true = reference.ACTIVATIONS[kind][0](exact)
    own = epsilon("float64") * (4 + reference_error(kind, exact))
    # gelu_tanh's own argument is rounded as the reference's is, in its own dtype.
    kernel = epsilon(dtype) * (9 + (2 * reference_error(kind, exact) if kind == "gelu_tanh" else 0))
    lost = 1e-36 if dtype == "float32" else 1e-305
    error = np.abs(activate(x, kind) - true)
    np.testing.assert_array_less(error, (own + kernel) * np.abs(true) + lost)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_backward(kind, dtype):
    x = points(dtype)
    x = x[x != 0]  # kinks
    dy = np.random.default_rng(0).standard_normal(x.size).astype(dtype)
    dx = activate_backward(saved_of(kind, x), dy, kind)
    exact = x.astype(float)
    true = dy * reference.ACTIVATIONS[kind][1](exact)
    # Slopes are at most 1.76; those that follow from a rounded y, or cross zero, have an absolute error.
    np.testing.assert_array_less(np.abs(dx - true), 6 * epsilon(dtype) * np.abs(dy) + np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "silu", "softplus"])
@pytest.mark.parametrize("n", [0, 1, 77, 9000])
def test_slopes_beside_outputs_have_the_bits_of_both_passes(kind, dtype, n):
    x, dy = 3 * np.random.default_rng(n).standard_normal((2, n)).astype(dtype)
    x[: n // 10] *= 1000
    y, slope = activate(x, kind, return_slope=True)
    np.testing.assert_array_equal(y, activate(x, kind))
    np.testing.assert_array_equal(dy * slope, activate_backward(x, dy, kind))
    out = x.copy()
    found, in_place = activate(out, kind, return_slope=True, out=out)
    assert found is out
    np.testing.assert_array_equal(out, y)
    np.testing.assert_array_equal(in_place, slope)


def test_slopes_are_for_those_that_do_not_keep_the_output():
    for kind in set(KINDS) - {"gelu", "gelu_tanh", "silu", "softplus"}:
        with pytest.raises(ValueError, match=f"return_slope is for 'gelu', .*got kind '{kind}'"):
            activate(np.ones(3, "float32"), kind, return_slope=True)
    with pytest.raises(TypeError, match="return_slope"):
        activate(np.ones(3, "float32"), "gelu", return_slope=2)


@pytest.mark.parametrize("kind", ["gelu", "silu", "sigmoid", "softplus"])
def test_small_slopes_are_right(kind):
    """Left of where slopes cross zero they go to 0 with a small relative error."""
    x = np.linspace(-37, -3, 500)
    slope = activate_backward(saved_of(kind, x), np.ones_like(x), kind)
    true = reference.ACTIVATIONS[kind][1](x)
    np.testing.assert_array_less(np.abs(slope - true), (16 + x**2) * epsilon("float64") * np.abs(true))


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_differences(kind):
    """The backward pass is the derivative of the forward pass: central differences in float64."""
    x = np.random.default_rng(0).uniform(-4, 4, 300)
    x = x[np.abs(x) > 1e-3]
    h = 1e-5
    difference = (activate(x + h, kind) - activate(x - h, kind)) / (2 * h)
    # h^2 f''' / 6 with |f'''| < 10, and the rounding of y / h.
    slope = activate_backward(saved_of(kind, x), np.ones_like(x), kind)
    np.testing.assert_allclose(slope, difference, rtol=0, atol=10 / 6 * h**2 + 8 * 4 * epsilon("float64") / h)


@pytest.mark.parametrize("dtype", DTYPES)
def test_alpha(dtype):
    x = points(dtype)
    slope, alpha = np.array([0.3, 2.5], dtype)
    y = activate(x, "leaky_relu", alpha=0.3)
    np.testing.assert_array_equal(y, np.where(x > 0, x, slope * x))
    np.testing.assert_array_equal(module.leaky_relu(x, slope=0.3), y)
    np.testing.assert_array_equal(activate_backward(y, x, "leaky_relu", alpha=0.3), np.where(y > 0, x, slope * x))
    np.testing.assert_array_equal(module.leaky_relu(x, slope=0), np.maximum(x, 0))
    y = activate(x, "elu", alpha=2.5)
    true = np.where(x > 0, x, 2.5 * np.expm1(np.minimum(x, 0).astype(float)))
    np.testing.assert_allclose(y, true, rtol=4 * epsilon(dtype))
    np.testing.assert_array_equal(module.elu(x, alpha=2.5), y)
    np.testing.assert_array_equal(activate_backward(y, x, "elu", alpha=2.5), np.where(y > 0, x, x * (y + alpha)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_names(dtype):
    """The functions by name are rows of the table."""
    x = points(dtype, 101)
    for kind in (
        "relu",
        "leaky_relu",
        "elu",
        "selu",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "softplus",
        "relu6",
        "hard_swish",
    ):
        np.testing.assert_array_equal(getattr(module, kind)(x), activate(x, kind))
        out = x.copy()
        assert getattr(module, kind)(out, out=out) is out
        np.testing.assert_array_equal(out, activate(x, kind))
    np.testing.assert_array_equal(module.gelu(x, approximate=True), activate(x, "gelu_tanh"))
    assert set(module.__all__) >= {"relu", "gelu", "softmax", "ACTIVATIONS"}
    assert all(hasattr(module, name) for name in module.__all__)


# --- what is not a number ----------------------------------------------------------------------------------------

# f(NaN), f(inf), f(-inf), f(-0): PyTorch's.
SPECIAL = {
    "linear": (NAN, INF, -INF, -0.0),
    "relu": (NAN, INF, 0.0, 0.0),
    "leaky_relu": (NAN, INF, -INF, -0.0),
    "elu": (NAN, INF, -1, -0.0),
    "selu": (NAN, INF, -1.7580993408473766, -0.0),
    "gelu": (NAN, INF, NAN, -0.0),
    "gelu_tanh": (NAN, INF, NAN, -0.0),
    "silu": (NAN, INF, NAN, -0.0),
    "sigmoid": (NAN, 1, 0, 0.5),
    "tanh": (NAN, 1, -1, -0.0),
    "softplus": (NAN, INF, 0, math.log(2)),
    "relu6": (NAN, 6, 0.0, 0.0),
    "hard_swish": (NAN, INF, NAN, -0.0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_not_finite(kind, dtype):
    y = activate(np.array([NAN, INF, -INF, -0.0], dtype), kind)
    np.testing.assert_allclose(y, np.array(SPECIAL[kind], dtype), rtol=2 * epsilon(dtype))
    if kind not in ("relu", "relu6"):
        np.testing.assert_array_equal(np.signbit(y[3:]), np.signbit(np.array(SPECIAL[kind][3:])))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_nan_goes_back(kind, dtype):
    """A NaN that was saved, or in dy, is in dx; but relu and relu6, whose slopes are a choice, pass dy where y is NaN."""
    saved = np.array([NAN, 1], dtype)
    dx = activate_backward(saved, np.array([2, NAN], dtype), kind)
    assert np.isnan(dx[1])
    if kind in ("relu", "relu6", "linear"):
        assert dx[0] == 2
    elif kind != "leaky_relu":
        assert np.isnan(dx[0])
    np.testing.assert_array_equal(activate_backward(np.zeros(1, dtype), np.array([NAN], dtype), "relu"), 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "silu", "softplus", "hard_swish"])
def test_slopes_have_limits(kind, dtype):
    """Where x is large, or Inf, the slope is 0 or 1, not 0 Inf."""
    x = np.array([INF, np.finfo(dtype).max, 1e30, 50, -1e30, -np.finfo(dtype).max, -INF], dtype)
    dx = activate_backward(x, np.full(7, 3, dtype), kind)
    np.testing.assert_array_equal(dx, [3, 3, 3, 3, 0, 0, 0])


# --- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_place_does_not_matter(kind, dtype):
    """Bits are the same in the middle of an array, in its last part, and alone; and nothing beyond is written."""
    x, dy = np.random.default_rng(0).standard_normal((2, 75)).astype(dtype)
    y, dx = activate(x, kind), activate_backward(x, dy, kind)
    for start, stop in ((0, 1), (0, 17), (1, 75), (5, 6), (58, 75), (73, 75)):
        part = slice(start, stop)
        np.testing.assert_array_equal(activate(x[part], kind), y[part])
        out = np.full(80, 7, dtype)
        assert activate_backward(x[part], dy[part], kind, out=out[: stop - start]).base is out
        np.testing.assert_array_equal(out, [*dx[part], *[7] * (80 - stop + start)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    random = np.random.default_rng(0)
    for n in (5, 4097, 30_000):
        x, dy = random.standard_normal((2, n)).astype(dtype)
        results = []
        for n_threads in (1, 2, 3):
            call.of_thread.plans.clear()
            with config.threads(n_threads):
                results.append([f(*a) for k in KINDS for f, a in ((activate, (x, k)), (activate_backward, (x, dy, k)))])
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(dtype):
    x, dy = np.random.default_rng(0).standard_normal((2, 101)).astype(dtype)
    for kind in KINDS:
        y, saved = activate(x, kind), saved_of(kind, x)
        dx = activate_backward(saved, dy, kind)
        for argument in (0, 1):
            arrays = [saved.copy(), dy.copy()]
            activate_backward(*arrays, kind, out=arrays[argument])
            np.testing.assert_array_equal(arrays[argument], dx)
        out = x.copy()
        activate(out, kind, out=out)
        np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_products_activate_the_same(kind, dtype):
    """The store of a product applies the same code to parts of rows: the same bits."""
    random = np.random.default_rng(0)
    a, b = random.standard_normal((9, 20)).astype(dtype), random.standard_normal((20, 77)).astype(dtype)
    np.testing.assert_array_equal(matmul(a, b, activation=kind), activate(matmul(a, b), kind))


def test_inputs():
    x = np.random.default_rng(0).standard_normal((6, 9)).astype("float32")
    x.setflags(write=False)
    np.testing.assert_array_equal(activate(x[::2, 1::3], "tanh"), activate(x, "tanh")[::2, 1::3])
    np.testing.assert_array_equal(activate(x.T, "elu"), activate(x, "elu").T)
    assert activate([[1, -2]], "relu").tolist() == [[1, 0]]
    assert activate(np.arange(3), "silu").dtype == np.float32
    assert activate(np.array([1, -2], ">f4"), "relu").tolist() == [1, 0]
    assert activate_backward(np.array([1, 0], ">f8"), np.array([5, 6], ">f4"), "relu").tolist() == [5, 0]
    assert activate(np.empty((3, 0)), "gelu").shape == (3, 0)
    assert activate_backward(np.ones(2), np.ones(2, "float32"), "tanh").dtype == np.float64
    assert activate_backward(np.empty((0, 4), "float32"), np.empty((0, 4)), "relu").shape == (0, 4)


def test_errors():
    x = np.zeros((2, 3), "float32")
    with pytest.raises(ValueError, match=r"kind 'rellu'.*did you mean 'relu'"):
        activate(x, "rellu")
    with pytest.raises(TypeError, match="kind must be a name"):
        activate_backward(x, x, 1)
    with pytest.raises(ValueError, match="relu takes no alpha"):
        activate(x, "relu", alpha=1.0)
    with pytest.raises(ValueError, match="alpha must be at least 0"):
        activate(x, "leaky_relu", alpha=-0.1)
    with pytest.raises(ValueError, match="slope must be at least 0"):
        module.leaky_relu(x, slope=-0.1)
    with pytest.raises(ValueError, match="alpha must be above 0"):
        activate_backward(x, x, "elu", alpha=0)
    with pytest.raises(TypeError, match="approximate must be True or False"):
        module.gelu(x, approximate="tanh")
    with pytest.raises(TypeError, match="x must"):
        activate(x.astype(complex), "relu")
    with pytest.raises(ValueError, match=r"dy must have the shape of saved, \(2, 3\)"):
        activate_backward(x, x[0], "relu")
    with pytest.raises(ValueError, match="out must have shape"):
        activate(x, "relu", out=np.zeros((2, 3)))
    long = np.zeros(20, "float32")
    with pytest.raises(ValueError, match="overlaps x"):
        activate(long[:10], "relu", out=long[5:15])
    with pytest.raises(ValueError, match="y must have an axis"):
        softmax_backward(1.0, 1.0)
    with pytest.raises(ValueError, match="x must have an axis"):
        softmax(np.float32(1))
    with pytest.raises(ValueError, match="dy must have the shape of y"):
        log_softmax_backward(x, x.T)


# --- softmax ------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(0, 40), cols=st.integers(1, 70), dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([0.1, 3, 40]), seed=st.integers(0, 99),
)  # fmt: skip
def test_softmax(rows, cols, dtype, scale, seed):
    x, dy = np.random.default_rng(seed).standard_normal((2, rows, cols)).astype(dtype)
    x *= np.dtype(dtype).type(scale)
    exact, eps = x.astype(float), epsilon(dtype)
    # x - max x is rounded once, and e^x takes that along; the sum has at most cols / LANES + 4 roundings.
    spread = np.ptp(exact, axis=-1, keepdims=True) if cols else 0
    relative = eps * (6 + spread / 2 + (cols / 2 + 4) / 2)
    y, log_y = softmax(x), log_softmax(x)
    true, log_true = reference.softmax(exact), reference.log_softmax(exact)
    np.testing.assert_array_less(np.abs(y - true), relative * true + np.finfo(dtype).tiny)
    np.testing.assert_array_less(np.abs(log_y - log_true), relative + 2 * eps * np.abs(log_true))
    # dy - sum dy y, with a sum of rounded products.
    total = eps * (cols + 4) * (np.abs(dy) * y).sum(-1, keepdims=True)
    true = reference.softmax_backward(y.astype(float), dy.astype(float))
    error = y * (total + 4 * eps * np.abs(dy)) + np.finfo(dtype).tiny
    np.testing.assert_array_less(np.abs(softmax_backward(y, dy) - true), error)
    total = eps * (cols + 6) * np.abs(dy).sum(-1, keepdims=True)
    true = reference.log_softmax_backward(log_y.astype(float), dy.astype(float))
    error = np.exp(log_y) * total + 4 * eps * np.abs(dy) + np.finfo(dtype).tiny
    np.testing.assert_array_less(np.abs(log_softmax_backward(log_y, dy) - true), error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cols", [1, 2, 5, 16, 17, 40])
def test_softmax_of_extremes(cols, dtype):
    """Large numbers do no harm, -inf is a 0, and what is undefined makes its own row NaN."""
    big = 0.9 * np.finfo(dtype).max
    x = np.zeros((6, cols), dtype)
    x[0] = big
    x[1] = -big
    x[2, -1] = INF
    x[3] = -INF
    x[4, 0] = NAN
    if cols > 1:
        x[5, 0] = -INF
    for y, one in ((softmax(x), lambda p: p), (log_softmax(x), np.log)):
        np.testing.assert_allclose(y[:2], np.full((2, cols), one(1 / cols)), rtol=4 * epsilon(dtype), atol=1e-30)
        assert np.isnan(y[2:5]).all()
        if cols > 1:
            assert y[5, 0] == (-INF if one is np.log else 0)
            np.testing.assert_allclose(y[5, 1:], one(1 / (cols - 1)), rtol=4 * epsilon(dtype), atol=1e-30)
    if cols > 1:
        dx = log_softmax_backward(log_softmax(x[5]), np.ones(cols, dtype))
        assert dx[0] == 1
    two = softmax(np.array([[big, -big], [-big, big]], dtype))
    np.testing.assert_array_equal(two, np.eye(2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_backward_is_the_jacobian(dtype):
    y = softmax(np.random.default_rng(0).standard_normal(7).astype(dtype))
    jacobian = np.diag(y) - np.outer(y, y)
    for i in range(7):
        dy = np.eye(7, dtype=dtype)[i]
        np.testing.assert_allclose(softmax_backward(y, dy), jacobian[i], atol=4 * epsilon(dtype))
        np.testing.assert_allclose(
            log_softmax_backward(np.log(y), dy), np.eye(7)[i] - y, rtol=0, atol=4 * epsilon(dtype)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "cols"), [(0, 5), (3, 0), (1, 1), (1000, 10), (50, 200), (7, 5000)])
def test_softmax_in_place_and_with_threads(rows, cols, dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x, dy = np.random.default_rng(0).standard_normal((2, rows, cols)).astype(dtype)
    results = []
    for n_threads in (1, 2, 3):
        call.of_thread.plans.clear()
        with config.threads(n_threads):
            y, log_y = softmax(x), log_softmax(x)
            results.append([y, log_y, softmax_backward(y, dy), log_softmax_backward(log_y, dy)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    y, log_y, dx, log_dx = results[0]
    for function, expected in ((softmax, y), (log_softmax, log_y)):
        out = x.copy()
        assert function(out, out=out) is out
        np.testing.assert_array_equal(out, expected)
    for function, saved, expected in ((softmax_backward, y, dx), (log_softmax_backward, log_y, log_dx)):
        for argument in (0, 1):
            arrays = [saved.copy(), dy.copy()]
            function(*arrays, out=arrays[argument])
            np.testing.assert_array_equal(arrays[argument], expected)
    if rows > 1:
        np.testing.assert_array_equal(softmax(x[1:]), y[1:])
        np.testing.assert_array_equal(softmax(x.reshape(rows, 1, cols))[:, 0], y)


# --- PyTorch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_torch(kind, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch (CPU) is not installed")
    functional = torch.nn.functional
    function = {
        "linear": lambda x: x * 1, "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "sigmoid": torch.sigmoid, "tanh": torch.tanh, "hard_swish": functional.hardswish,
    }.get(kind) or getattr(functional, kind)  # fmt: skip
    x = points(dtype, 1001)
    x = np.append(x, np.array([20, 20.01, 21, 19.99], dtype))
    dy = np.random.default_rng(0).standard_normal(x.size).astype(dtype)
    tensor = torch.tensor(x, requires_grad=True)
    y = function(tensor)
    y.backward(torch.tensor(dy))
    # Theirs cancels for negative x: an absolute error of eps |x|, and in slopes of eps x^2.
    eps, bound = epsilon(dtype), np.maximum(np.abs(x), 1)
    np.testing.assert_array_less(np.abs(activate(x, kind) - y.detach().numpy()), 4 * eps * bound)
    dx = activate_backward(saved_of(kind, x), dy, kind)
    np.testing.assert_array_less(np.abs(dx - tensor.grad.numpy()), 8 * eps * bound**2 * np.abs(dy) + 1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_agree_with_torch(name, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch (CPU) is not installed")
    x, dy = np.random.default_rng(0).standard_normal((2, 33, 10)).astype(dtype)
    x[3, 4] = -INF
    tensor = torch.tensor(x, requires_grad=True)
    y = getattr(torch, name)(tensor, -1)
    y.backward(torch.tensor(dy))
    ours = getattr(module, name)(x)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=16 * epsilon(dtype))
    dx = getattr(module, f"{name}_backward")(ours, dy)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=0, atol=32 * epsilon(dtype) * np.abs(dy).max())
