"""Normalization: against NumPy, central differences and PyTorch; in place, over threads, far from zero."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call, norm
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]
# Rows and channels around the sizes of groups, tiles, blocks and vectors.
ROWS = st.sampled_from([2, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100, 257, 300])
CHANNELS = st.sampled_from([1, 2, 3, 5, 7, 8, 10, 15, 16, 17, 31, 33, 48, 65, 130])
WIDE = [(3, 1023), (5, 1024), (9, 1025), (70, 2500)]


def case(rows, channels, dtype, offset=0.0, seed=0):
    """x, dy, gamma, beta; x is offset from zero in units of its standard deviation."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.1, 10, channels)
    x = (rng.standard_normal((rows, channels)) + offset) * spread
    dy = rng.standard_normal((rows, channels))
    gamma, beta = rng.uniform(-2, 2, (2, channels))
    return [array.astype(dtype) for array in (x, dy, gamma, beta)]


def wide(arrays):
    return [array.astype(float) for array in arrays]


class Tolerances:
    """Bounds of the rounding errors of sums of n terms, for x whose size relative to its spread is `scale`.

    Terms are added in groups within tiles, so that no term takes part in more than `depth` roundings before
    the sums go on in double. A mean is then off by depth eps |x|, relative to the spread by depth eps scale;
    x - mean and all that follows has that error, and a few roundings of its own.
    """

    def __init__(self, x, axis):
        eps = np.finfo(x.dtype).eps
        x = x.astype(float)
        spread = np.sqrt(x.var(axis, keepdims=True) + 1e-5)
        depth = 8 + 256 / 4
        self.normal = eps * (8 + depth * (abs(x) / spread).max(axis, keepdims=True))
        self.relative = 2 * depth * eps + self.normal
        self.eps = eps


# --- batch normalization ------------------------------------------------------------------------------------


def check_batch_norm(rows, channels, dtype, with_gamma, with_beta, offset=0.0, seed=0):
    x, dy, gamma, beta = case(rows, channels, dtype, offset, seed)
    gamma = gamma if with_gamma else None
    beta = beta if with_beta else None
    g = np.ones(channels) if gamma is None else gamma.astype(float)
    b = np.zeros(channels) if beta is None else beta.astype(float)
    wide_x, wide_dy = wide((x, dy))
    tolerance = Tolerances(x, 0)

    y, statistics = norm.batch_norm(x, gamma, beta)
    expected, mean, inverse = reference.batch_norm(wide_x, g, b, 1e-5)
    normal = abs(expected - b) + abs(g)
    assert y.dtype == dtype and y.shape == x.shape
    assert np.all(abs(y - expected) <= tolerance.relative * normal + 4 * tolerance.eps * abs(b))
    spread = 1 / inverse
    assert np.all(abs(statistics.mean - mean) <= tolerance.normal[0] * spread)
    np.testing.assert_allclose(statistics.inverse_std, inverse, rtol=tolerance.relative.max())
    np.testing.assert_allclose(statistics.unbiased_variance, wide_x.var(0, ddof=1), rtol=2 * tolerance.relative.max())

    dx, dgamma, dbeta = norm.batch_norm_backward(x, dy, statistics.mean, statistics.inverse_std, gamma)
    expected_dx, expected_dgamma, expected_dbeta = reference.batch_norm_backward(wide_x, wide_dy, g, 1e-5)
    # Each sum is off by at most the relative error times the sum of its terms' sizes.
    x_normal = abs(wide_x - mean) * inverse
    off_gamma = 2 * tolerance.relative[0] * (abs(wide_dy) * (x_normal + 1)).sum(0)
    off_beta = 100 * tolerance.eps * abs(wide_dy).sum(0)
    assert np.all(abs(dgamma - expected_dgamma) <= off_gamma)
    assert np.all(abs(dbeta - expected_dbeta) <= off_beta)
    terms = abs(wide_dy) + abs(wide_dy).mean(0) + (x_normal + 1) * (abs(wide_dy) * (x_normal + 1)).mean(0)
    assert np.all(abs(dx - expected_dx) <= 4 * tolerance.relative * abs(g) * inverse * terms)


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS, channels=CHANNELS, dtype=st.sampled_from(DTYPES), with_gamma=st.booleans(), with_beta=st.booleans(),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_batch_norm(rows, channels, dtype, with_gamma, with_beta, seed):
    check_batch_norm(rows, channels, dtype, with_gamma, with_beta, 0.5, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "channels"), WIDE)
def test_batch_norm_wide(rows, channels, dtype):
    check_batch_norm(rows, channels, dtype, True, True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_far_from_zero(dtype):
    """A mean of a thousand standard deviations: the difference of two mean squares would lose all digits of float32."""
    check_batch_norm(3000, 20, dtype, True, True, 1000.0)
    x = case(3000, 20, "float32", 1000.0)[0]
    _, statistics = norm.batch_norm(x)
    np.testing.assert_allclose(statistics.unbiased_variance, x.astype(float).var(0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_of_images(dtype):
    """All axes but the last are rows; strided and read-only inputs."""
    x, dy, gamma, _ = case(4 * 6 * 5, 12, dtype)
    x, dy = x.reshape(4, 6, 5, 12), dy.reshape(4, 6, 5, 12)
    x.setflags(write=False)
    part = x[:, ::2, :, ::3], dy[:, ::2, :, ::3]
    flat = [array.reshape(-1, 4) for array in part]
    y, statistics = norm.batch_norm(part[0])
    y_flat, statistics_flat = norm.batch_norm(flat[0])
    np.testing.assert_array_equal(y.reshape(-1, 4), y_flat)
    np.testing.assert_array_equal(statistics, statistics_flat)
    results = norm.batch_norm_backward(*part, statistics.mean, statistics.inverse_std, gamma[:4])
    results_flat = norm.batch_norm_backward(*flat, statistics.mean, statistics.inverse_std, gamma[:4])
    for result, expected in zip(results, results_flat, strict=True):
        np.testing.assert_array_equal(result.reshape(expected.shape), expected)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 70), channels=CHANNELS, dtype=st.sampled_from(DTYPES), with_gamma=st.booleans(),
    with_beta=st.booleans(),
)  # fmt: skip
def test_batch_norm_inference(rows, channels, dtype, with_gamma, with_beta):
    x, dy, gamma, beta = case(rows, channels, dtype)
    gamma = gamma if with_gamma else None
    beta = beta if with_beta else None
    g = np.ones(channels) if gamma is None else gamma.astype(float)
    b = np.zeros(channels) if beta is None else beta.astype(float)
    rng = np.random.default_rng(1)
    mean, variance = rng.uniform(-1, 1, channels).astype(dtype), rng.uniform(0.01, 3, channels).astype(dtype)
    wide_x, wide_dy, m, v = wide((x, dy, mean, variance))
    eps = np.finfo(dtype).eps
    y = norm.batch_norm_inference(x, mean, variance, gamma, beta, epsilon=1e-3)
    inverse = 1 / np.sqrt(v + 1e-3)
    off = 8 * eps * ((abs(wide_x) + abs(m)) * inverse * abs(g) + abs(b))
    assert np.all(abs(y - ((wide_x - m) * inverse * g + b)) <= off)
    results = norm.batch_norm_inference_backward(x, dy, mean, variance, gamma, epsilon=1e-3)
    expected = reference.batch_norm_inference_backward(wide_x, wide_dy, g, m, v, 1e-3)
    np.testing.assert_allclose(results[0], expected[0], rtol=8 * eps, atol=0)
    # Not more than 64 groups of 4 rows are added in the dtype.
    size = (abs(wide_dy) * (abs(wide_x) + abs(m)) * inverse).sum(0)
    assert np.all(abs(results[1] - expected[1]) <= 80 * eps * size)
    assert np.all(abs(results[2] - expected[2]) <= 80 * eps * abs(wide_dy).sum(0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_statistics(dtype):
    statistics = norm.BatchStatistics(*np.random.default_rng(0).uniform(0.5, 2, (3, 37)).astype(dtype))
    mean, variance = np.zeros(37, dtype), np.ones(37, dtype)
    norm.batch_norm_commit(mean, variance, statistics, momentum=0.3)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(mean, 0.3 * statistics.mean.astype(float), rtol=4 * eps)
    np.testing.assert_allclose(variance, 0.7 + 0.3 * statistics.unbiased_variance.astype(float), rtol=4 * eps)
    norm.batch_norm_commit(mean, variance, statistics, momentum=1.0)
    np.testing.assert_array_equal(mean, statistics.mean)
    np.testing.assert_array_equal(variance, statistics.unbiased_variance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_failed_step_keeps_running_statistics(dtype):
    new = np.full(5, 9, dtype)
    mean, variance = np.zeros(5, dtype), np.ones(5, dtype)
    control = ControlBlock()
    reads = {"mean": new, "unbiased_variance": new, "control": control.block}
    writes = {"running_mean": mean, "running_var": variance}
    control.status = 4
    call.run("batch_norm_commit", dtype, reads, writes, {"channels": 5, "momentum": 0.5}, 0)
    assert not mean.any() and np.all(variance == 1)
    control.status = 0
    call.run("batch_norm_commit", dtype, reads, writes, {"channels": 5, "momentum": 0.5}, 0)
    assert np.all(mean == 4.5) and np.all(variance == 5)


# --- layer normalization ------------------------------------------------------------------------------------


def check_layer_norm(rows, columns, dtype, with_gamma, with_beta, offset=0.0, seed=0):
    x, dy, gamma, beta = case(rows, columns, dtype, 0.0, seed)
    x = x + x.dtype.type(offset)
    gamma = gamma if with_gamma else None
    beta = beta if with_beta else None
    g = np.ones(columns) if gamma is None else gamma.astype(float)
    b = np.zeros(columns) if beta is None else beta.astype(float)
    wide_x, wide_dy = wide((x, dy))
    tolerance = Tolerances(x, 1)

    y, mean, inverse_std = norm.layer_norm(x, gamma, beta)
    expected, expected_mean, inverse = reference.layer_norm(wide_x, g, b, 1e-5)
    assert y.dtype == dtype and mean.shape == inverse_std.shape == (rows,)
    normal = abs(expected - b) + abs(g)
    assert np.all(abs(y - expected) <= tolerance.relative * normal + 4 * tolerance.eps * abs(b))
    assert np.all(abs(mean - expected_mean) <= tolerance.normal[:, 0] / inverse)
    assert np.all(abs(inverse_std - inverse) <= tolerance.relative[:, 0] * inverse)

    dx, dgamma, dbeta = norm.layer_norm_backward(x, dy, mean, inverse_std, gamma)
    expected_dx, expected_dgamma, expected_dbeta = reference.layer_norm_backward(wide_x, wide_dy, g, 1e-5)
    x_normal = abs(wide_x - expected_mean[:, None]) * inverse[:, None]
    off_gamma = 2 * (tolerance.relative * abs(wide_dy) * (x_normal + 1)).sum(0)
    assert np.all(abs(dgamma - expected_dgamma) <= off_gamma)
    assert np.all(abs(dbeta - expected_dbeta) <= 100 * tolerance.eps * abs(wide_dy).sum(0))
    size = abs(wide_dy * g)
    terms = size + size.mean(1, keepdims=True) + (x_normal + 1) * (size * (x_normal + 1)).mean(1, keepdims=True)
    assert np.all(abs(dx - expected_dx) <= 4 * tolerance.relative * inverse[:, None] * terms)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 5, 31, 32, 33, 70]), columns=CHANNELS, dtype=st.sampled_from(DTYPES),
    with_gamma=st.booleans(), with_beta=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_layer_norm(rows, columns, dtype, with_gamma, with_beta, seed):
    check_layer_norm(rows, columns, dtype, with_gamma, with_beta, 0.5, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(3, 4095), (2, 4097), (2, 9000), (40, 300)])
def test_layer_norm_wide(rows, columns, dtype):
    check_layer_norm(rows, columns, dtype, True, True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_far_from_zero(dtype):
    check_layer_norm(20, 300, dtype, True, True, 1000.0)


def test_layer_norm_shapes():
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    y, mean, inverse_std = norm.layer_norm(x[:, ::2])
    assert y.shape == (2, 2, 5) and mean.shape == inverse_std.shape == (2, 2)
    dx, dgamma, _ = norm.layer_norm_backward(x[:, ::2], y, mean, inverse_std)
    assert dx.shape == (2, 2, 5) and dgamma.shape == (5,)


# --- gradients ----------------------------------------------------------------------------------------------


def central_differences(f, array, dy, step=1e-5):
    """d sum(dy f()) / d array."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = f()
        array[index] = kept - step
        below = f()
        array[index] = kept
        gradient[index] = (dy * (above - below)).sum() / (2 * step)
    return gradient


def gradient_cases():
    x, dy, gamma, beta = case(6, 5, "float64")
    mean, variance = np.linspace(-1, 1, 5), np.linspace(0.5, 2, 5)

    def batch_norm():
        return norm.batch_norm(x, gamma, beta)[0]

    def inference():
        return norm.batch_norm_inference(x, mean, variance, gamma, beta)

    def layer_norm():
        return norm.layer_norm(x, gamma, beta)[0]

    statistics = norm.batch_norm(x, gamma, beta)[1]
    _, row_mean, row_inverse = norm.layer_norm(x, gamma, beta)
    return {
        "batch_norm": (batch_norm, norm.batch_norm_backward(x, dy, *statistics[:2], gamma), x, dy, gamma, beta),
        "inference": (inference, norm.batch_norm_inference_backward(x, dy, mean, variance, gamma), x, dy, gamma, beta),
        "layer_norm": (layer_norm, norm.layer_norm_backward(x, dy, row_mean, row_inverse, gamma), x, dy, gamma, beta),
    }


@pytest.mark.parametrize("name", ["batch_norm", "inference", "layer_norm"])
def test_gradients(name):
    f, gradients, x, dy, gamma, beta = gradient_cases()[name]
    for gradient, array in zip(gradients, (x, gamma, beta), strict=True):
        expected = central_differences(f, array, dy)
        # The error of central differences: step^2 times a third derivative (some tens), and eps / step.
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7 * abs(expected).max())


# --- what may be left out, accumulated, overwritten ---------------------------------------------------------


def run_backward(kernel, dtype, x, dy, gamma, vectors, **options):
    """Call a backward kernel; options: names of results to leave out, accumulate, into (dx's array)."""
    rows, channels = x.shape
    accumulate = options.get("accumulate", (0, 0))
    results = {
        "dx": options.get("into", np.full_like(x, 3)),
        "dgamma": np.full_like(gamma, 3),
        "dbeta": np.full_like(gamma, 3),
    }
    for name in options.get("without", ()):
        results[name] = None
    reads = {"x": x, "dy": dy, "gamma": gamma} | vectors
    for name in options.get("unread", ()):
        reads[name] = None
    numbers = {"rows": rows, "parts": 0, "accumulate_gamma": accumulate[0], "accumulate_beta": accumulate[1]}
    numbers["cols" if kernel == "layer_norm_backward" else "channels"] = channels
    if "inference" in kernel:
        numbers["epsilon"] = 1e-5
    order = config.kernel(kernel, dtype)
    numbers = {name: numbers[name] for name in order.integers + order.reals}
    call.run(kernel, dtype, reads, results, numbers, 0)
    return results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", ["batch_norm_backward", "batch_norm_inference_backward", "layer_norm_backward"])
@pytest.mark.parametrize("shape", [(70, 19), (3, 1030)])
def test_options_of_backward(kernel, dtype, shape):
    """Leaving a result out, adding it to what is there, writing dx over dy: the other bits stay the same."""
    x, dy, gamma, _ = case(*shape, dtype)
    if kernel == "layer_norm_backward":
        _, mean, inverse = norm.layer_norm(x)
        vectors = {"mean": mean, "inverse_std": inverse}
    elif kernel == "batch_norm_backward":
        vectors = norm.batch_norm(x)[1]._asdict()
        del vectors["unbiased_variance"]
    else:
        vectors = {"running_var": abs(gamma) + 1, "running_mean": gamma}
    whole = run_backward(kernel, dtype, x, dy, gamma, vectors)
    for without in (["dx"], ["dgamma"], ["dbeta"], ["dx", "dgamma"], ["dgamma", "dbeta"], ["dx", "dbeta"]):
        unread = ["x", "running_mean"] if "inference" in kernel and "dgamma" in without else []
        results = run_backward(kernel, dtype, x, dy, gamma, vectors, without=without, unread=unread)
        for name, result in results.items():
            assert (result is None) == (name in without)
            if result is not None:
                np.testing.assert_array_equal(result, whole[name], err_msg=f"{name} without {without}")
    for accumulate in ((1, 0), (0, 1), (1, 1)):
        results = run_backward(kernel, dtype, x, dy, gamma, vectors, accumulate=accumulate)
        for added, name in zip(accumulate, ("dgamma", "dbeta"), strict=True):
            np.testing.assert_array_equal(results[name], whole[name] + 3 if added else whole[name])
    over = dy.copy()
    results = run_backward(kernel, dtype, x, over, gamma, vectors, into=over)
    for name, result in results.items():
        np.testing.assert_array_equal(result, whole[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 19), (300, 3), (4, 1030)])
def test_y_over_x(dtype, shape):
    x, _, gamma, beta = case(*shape, dtype)
    mean, variance = gamma, abs(beta) + 1
    for function, others in (
        (norm.batch_norm, ()),
        (norm.layer_norm, ()),
        (norm.batch_norm_inference, (mean, variance)),
    ):
        expected = function(x, *others, gamma, beta)
        expected = expected if isinstance(expected, np.ndarray) else expected[0]
        y = x.copy()
        function(y, *others, gamma, beta, out=y)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_empty(dtype):
    x = np.empty((0, 7), dtype)
    y, statistics = norm.batch_norm(x)
    assert y.shape == (0, 7) and np.all(np.isfinite(statistics))
    for backward in (
        norm.batch_norm_backward(x, x, statistics.mean, statistics.inverse_std),
        norm.batch_norm_inference_backward(x, x, statistics.mean, np.ones(7, dtype)),
        norm.layer_norm_backward(x, x, *norm.layer_norm(x)[1:]),
    ):
        dx, dgamma, dbeta = backward
        assert dx.shape == (0, 7) and not dgamma.any() and not dbeta.any()
    assert norm.batch_norm_inference(x, statistics.mean, np.ones(7, dtype)).shape == (0, 7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(dtype, bad):
    """It spreads over its channel, or its row, and no further."""
    x, dy, gamma, beta = case(40, 21, dtype)
    x[5, 4] = bad
    y, statistics = norm.batch_norm(x, gamma, beta)
    others = np.arange(21) != 4
    assert np.isnan(y[:, 4]).all() and np.isfinite(y[:, others]).all()
    assert np.isnan(statistics.unbiased_variance[4])
    dx, dgamma, dbeta = norm.batch_norm_backward(x, dy, *statistics[:2], gamma)
    assert np.isnan(dx[:, 4]).all() and np.isnan(dgamma[4])
    assert np.isfinite(dx[:, others]).all() and np.isfinite(dgamma[others]).all() and np.isfinite(dbeta).all()
    y, mean, inverse_std = norm.layer_norm(x, gamma, beta)
    rows = np.arange(40) != 5
    assert np.isnan(y[5]).all() and np.isfinite(y[rows]).all()
    dx, dgamma, _ = norm.layer_norm_backward(x, dy, mean, inverse_std, gamma)
    assert np.isnan(dx[5]).all() and np.isfinite(dx[rows]).all() and np.isnan(dgamma).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_channel(dtype):
    """No variance: y is beta, gradients are finite."""
    x = np.full((50, 3), 7, dtype)
    y, statistics = norm.batch_norm(x, None, np.array([1, 2, 3], dtype))
    np.testing.assert_array_equal(y, np.tile(np.array([1, 2, 3], dtype), (50, 1)))
    assert not statistics.unbiased_variance.any()
    assert np.isfinite(norm.batch_norm_backward(x, x, *statistics[:2])[0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 20), (64, 5), (1000, 20), (777, 130), (40, 2100)])
def test_threads_do_not_matter(dtype, shape, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x, dy, gamma, beta = case(*shape, dtype)
    variance = abs(beta) + 1
    seen = []
    for threads in (1, 2, 3):
        call.of_thread.plans.clear()
        with config.threads(threads):
            results = [norm.batch_norm_inference(x, beta, variance, gamma, beta)]
            results += norm.batch_norm_inference_backward(x, dy, beta, variance, gamma)
            y, mean, inverse_std = norm.layer_norm(x, gamma, beta)
            results += [y, mean, inverse_std, *norm.layer_norm_backward(x, dy, mean, inverse_std, gamma)]
            if shape[0] > 1:
                y, statistics = norm.batch_norm(x, gamma, beta)
                results += [y, *statistics, *norm.batch_norm_backward(x, dy, *statistics[:2], gamma)]
                running = np.zeros((2, shape[1]), dtype)
                norm.batch_norm_commit(*running, statistics)
                results.append(running)
        seen.append([result.tobytes() for result in results])
    assert seen[0] == seen[1] == seen[2]


def test_errors():
    x = np.zeros((4, 3), "float32")
    with pytest.raises(ValueError, match="more than one row"):
        norm.batch_norm(x[:1])
    with pytest.raises(ValueError, match="two axes"):
        norm.batch_norm(x[0])
    with pytest.raises(TypeError, match="x must"):
        norm.layer_norm(x.astype(complex))
    with pytest.raises(ValueError, match="gamma must have shape"):
        norm.batch_norm(x, np.ones(4))
    with pytest.raises(TypeError, match="running_var must"):
        norm.batch_norm_inference(x, np.ones(3), None)
    with pytest.raises(ValueError, match="dy must have the shape"):
        norm.batch_norm_backward(x, x[:2], np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="mean must have shape"):
        norm.layer_norm_backward(x, x, np.ones(3), np.ones(3))
    for epsilon in (0, -1, np.nan):
        with pytest.raises(ValueError, match="epsilon"):
            norm.batch_norm(x, epsilon=epsilon)
    with pytest.raises(ValueError, match="out must have shape"):
        norm.layer_norm(x, out=np.zeros((4, 3)))
    _, statistics = norm.batch_norm(x)
    with pytest.raises(ValueError, match="momentum"):
        norm.batch_norm_commit(np.zeros(3, "f4"), np.ones(3, "f4"), statistics, momentum=1.5)
    with pytest.raises(TypeError, match="running_mean"):
        norm.batch_norm_commit([0, 0, 0], np.ones(3, "f4"), statistics)
    with pytest.raises(ValueError, match="running_var"):
        norm.batch_norm_commit(np.zeros(3, "f4"), np.ones(3), statistics)
    with pytest.raises(TypeError, match="statistics"):
        norm.batch_norm_commit(np.zeros(3, "f4"), np.ones(3, "f4"), (1, 2, 3))


# --- PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_batch_norm_agrees_with_torch(dtype, momentum):
    """Several training steps of images, then inference, with gradients of both."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    layer = torch.nn.BatchNorm2d(11, momentum=momentum, dtype=getattr(torch, dtype))
    gamma, beta = rng.uniform(0.5, 2, (2, 11)).astype(dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(gamma))
        layer.bias.copy_(torch.tensor(beta))
    running_mean, running_var = np.zeros(11, dtype), np.ones(11, dtype)
    # float32 sums of 240 terms on either side.
    close = {"rtol": 500 * np.finfo(dtype).eps, "atol": 500 * np.finfo(dtype).eps}
    for step in range(5):
        training = step < 4
        layer.train(training)
        x = (rng.standard_normal((6, 5, 8, 11)) * 3 + step).astype(dtype)
        dy = rng.standard_normal(x.shape).astype(dtype)
        theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
        layer.zero_grad()
        output = layer(theirs)
        output.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
        if training:
            y, statistics = norm.batch_norm(x, gamma, beta)
            norm.batch_norm_commit(running_mean, running_var, statistics, momentum=momentum)
            gradients = norm.batch_norm_backward(x, dy, statistics.mean, statistics.inverse_std, gamma)
        else:
            y = norm.batch_norm_inference(x, running_mean, running_var, gamma, beta)
            gradients = norm.batch_norm_inference_backward(x, dy, running_mean, running_var, gamma)
        np.testing.assert_allclose(y, output.detach().numpy().transpose(0, 2, 3, 1), **close)
        np.testing.assert_allclose(running_mean, layer.running_mean.numpy(), **close)
        np.testing.assert_allclose(running_var, layer.running_var.numpy(), **close)
        np.testing.assert_allclose(gradients[0], theirs.grad.numpy().transpose(0, 2, 3, 1), **close)
        # Sums of 240 terms of about one.
        for mine, their in zip(gradients[1:], (layer.weight.grad, layer.bias.grad), strict=True):
            np.testing.assert_allclose(mine, their.numpy(), rtol=close["rtol"], atol=16 * close["atol"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_agrees_with_torch(dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, dy, gamma, beta = case(60, 45, dtype)
    layer = torch.nn.LayerNorm(45, dtype=getattr(torch, dtype))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(gamma))
        layer.bias.copy_(torch.tensor(beta))
    theirs = torch.tensor(x, requires_grad=True)
    output = layer(theirs)
    output.backward(torch.tensor(dy))
    y, mean, inverse_std = norm.layer_norm(x, gamma, beta)
    dx, dgamma, dbeta = norm.layer_norm_backward(x, dy, mean, inverse_std, gamma)
    close = {"rtol": 200 * np.finfo(dtype).eps, "atol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, output.detach().numpy(), **close)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), **close)
    np.testing.assert_allclose(dgamma, layer.weight.grad.numpy(), **close)
    np.testing.assert_allclose(dbeta, layer.bias.grad.numpy(), **close)
