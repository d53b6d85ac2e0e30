"""Group and root mean square normalization: against NumPy, PyTorch; in place, over threads, far from zero."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call
from fastnet.kernels.sample_norm import group_norm, group_norm_backward, rms_norm, rms_norm_backward

DTYPES = ["float32", "float64"]
# (channels, groups) with groups of one channel, of odd sizes, of more than a vector, and one for all.
GROUPS = st.sampled_from([(4, 1), (6, 3), (12, 4), (17, 17), (33, 3), (48, 8), (60, 20), (64, 32), (130, 2), (130, 13)])


def case(shape, dtype, offset=0.0, seed=0):
    """x, dy, gamma, beta."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * rng.uniform(0.3, 3, shape[-1]) + offset
    gamma, beta = rng.uniform(-2, 2, (2, shape[-1]))
    return [array.astype(dtype) for array in (x, rng.standard_normal(shape), gamma, beta)]


# --- groups -------------------------------------------------------------------------------------------------


def check_group_norm(batch, rows, channels, groups, dtype, with_gamma=True, with_beta=True, offset=0.0, seed=0):
    x, dy, gamma, beta = case((batch, rows, channels), dtype, offset, seed)
    g = gamma.astype(float) if with_gamma else np.ones(channels)
    b = beta.astype(float) if with_beta else np.zeros(channels)
    gamma, beta = gamma if with_gamma else None, beta if with_beta else None
    wide_x, wide_dy = x.astype(float), dy.astype(float)
    eps = np.finfo(dtype).eps
    size = channels // groups

    def of_channels(a):
        return np.repeat(a, size, axis=1)[:, None]

    y, mean, inverse_std = group_norm(x, groups, gamma, beta)
    expected, true_mean, inverse = reference.group_norm(wide_x, groups, g, b, 1e-5)
    assert y.dtype == dtype and mean.shape == inverse_std.shape == (batch, groups)
    # A sum of eight terms in the dtype, then double; the mean is rounded, and x - mean has that error.
    far = (abs(wide_x) * of_channels(inverse)).max(initial=1.0)
    relative = eps * (16 + 16 * far)
    normal = abs(wide_x - of_channels(true_mean)) * of_channels(inverse)
    assert np.all(abs(mean - true_mean) <= 16 * eps * far / inverse)
    assert np.all(abs(inverse_std - inverse) <= relative * inverse)
    assert np.all(abs(y - expected) <= relative * (normal + 1) * abs(g) + 4 * eps * abs(b))

    dx, dgamma, dbeta = group_norm_backward(x, dy, mean, inverse_std, gamma)
    true_dx, true_dgamma, true_dbeta = reference.group_norm_backward(wide_x, wide_dy, groups, g, 1e-5)
    assert np.all(abs(dgamma - true_dgamma) <= 2 * relative * (abs(wide_dy) * (normal + 1)).sum((0, 1)))
    assert np.all(abs(dbeta - true_dbeta) <= 16 * eps * abs(wide_dy).sum((0, 1)))
    scaled = abs(wide_dy * g)

    def group_mean(a):
        return of_channels(a.reshape(batch, rows, groups, size).mean((1, 3)))

    terms = scaled + group_mean(scaled) + (normal + 1) * group_mean(scaled * (normal + 1))
    assert np.all(abs(dx - true_dx) <= 4 * relative * of_channels(inverse) * terms)


@settings(max_examples=80, deadline=None)
@given(
    batch=st.integers(1, 4), rows=st.sampled_from([2, 3, 7, 8, 9, 16, 33, 100]), sizes=GROUPS,
    dtype=st.sampled_from(DTYPES), with_gamma=st.booleans(), with_beta=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_group_norm(batch, rows, sizes, dtype, with_gamma, with_beta, seed):
    check_group_norm(batch, rows, *sizes, dtype, with_gamma, with_beta, 0.5, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels, groups", [(40, 5), (32, 1), (20, 20)])
def test_group_norm_far_from_zero(channels, groups, dtype):
    """A mean of a thousand standard deviations: the difference of two mean squares would lose all digits of float32."""
    check_group_norm(2, 900, channels, groups, dtype, offset=1000.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_group_norm_of_images(dtype):
    """Axes between are pixels; inputs may be strided; one row is a vector's groups; no samples give nothing."""
    x, dy, gamma, _ = case((3, 6, 4, 12), dtype)
    x.setflags(write=False)
    part, dy = x[:, ::2], dy[:, ::2]
    y, mean, inverse_std = group_norm(part, 3)
    flat = group_norm(part.reshape(3, 12, 12), 3)
    np.testing.assert_array_equal(y.reshape(3, 12, 12), flat[0])
    results = group_norm_backward(part, dy, mean, inverse_std, gamma)
    flat_results = group_norm_backward(part.reshape(3, 12, 12), dy.reshape(3, 12, 12), mean, inverse_std, gamma)
    for a, b in zip(results, flat_results, strict=True):
        np.testing.assert_array_equal(a.ravel(), b.ravel())
    np.testing.assert_array_equal(group_norm(x[:, 0, 0], 4)[0], group_norm(x[:, 0, :1], 4)[0][:, 0])
    y, mean, inverse_std = group_norm(x[:0], 3)
    dx, dgamma, dbeta = group_norm_backward(x[:0], x[:0], mean, inverse_std)
    assert y.shape == dx.shape == (0, 6, 4, 12) and not dgamma.any() and not dbeta.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_of_a_group_norm_are_independent(dtype):
    """Bits don't depend on the batch; NaN stays in its sample and group."""
    x, dy, gamma, beta = case((4, 30, 24), dtype)
    y, mean, inverse_std = group_norm(x, 6, gamma, beta)
    dx = group_norm_backward(x, dy, mean, inverse_std, gamma)[0]
    np.testing.assert_array_equal(group_norm(x[2:3], 6, gamma, beta)[0], y[2:3])
    x[1, 3, 5] = np.nan
    y_nan, mean, inverse_std = group_norm(x, 6, gamma, beta)
    dx_nan, dgamma, dbeta = group_norm_backward(x, dy, mean, inverse_std, gamma)
    for found, before in ((y_nan, y), (dx_nan, dx)):
        assert np.isnan(found[1, :, 4:8]).all()
        found[1, :, 4:8] = before[1, :, 4:8]
        np.testing.assert_array_equal(found, before)
    assert np.flatnonzero(np.isnan(dgamma)).tolist() == [4, 5, 6, 7] and np.isfinite(dbeta).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_group_without_variance(dtype):
    x = np.full((2, 9, 4), 7, dtype)
    y, mean, inverse_std = group_norm(x, 2, None, np.arange(4))
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(4, dtype=dtype), x.shape))
    assert np.isfinite(group_norm_backward(x, x, mean, inverse_std)[0]).all()


def test_group_norm_errors():
    x = np.zeros((2, 5, 12), "float32")
    with pytest.raises(ValueError, match="groups=5 must divide the 12 channels; the nearest that do are 4 and 6"):
        group_norm(x, 5)
    with pytest.raises(ValueError, match="groups=32 must divide the 12 channels; the nearest that does is 12"):
        group_norm(x, 32)
    with pytest.raises(ValueError, match="groups must be at least 1"):
        group_norm(x, 0)
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        group_norm(x, 3, epsilon=0)
    with pytest.raises(ValueError, match="gamma must have shape"):
        group_norm(x, 3, np.ones(3))
    with pytest.raises(ValueError, match="two axes"):
        group_norm(x[0, 0], 3)
    with pytest.raises(ValueError, match=r"mean must have shape \(2, groups\); got \(3,\)"):
        group_norm_backward(x, x, np.ones(3), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"inverse_std must have the shape of mean, \(2, 3\); got \(2, 4\)"):
        group_norm_backward(x, x, np.ones((2, 3)), [[1] * 4] * 2)
    with pytest.raises(ValueError, match="dy must have the shape"):
        group_norm_backward(x, x[:1], np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="out overlaps x"):
        flat = np.zeros(200, "float32")
        group_norm(flat[:120].reshape(2, 5, 12), 3, out=flat[10:130].reshape(2, 5, 12))


# --- root mean square ---------------------------------------------------------------------------------------


def check_rms_norm(rows, columns, dtype, with_gamma=True, seed=0):
    x, dy, gamma, _ = case((rows, columns), dtype, 0.5, seed)
    g = gamma.astype(float) if with_gamma else np.ones(columns)
    gamma = gamma if with_gamma else None
    wide_x, wide_dy = x.astype(float), dy.astype(float)
    eps = np.finfo(dtype).eps
    y, inverse_rms = rms_norm(x, gamma)
    expected, inverse = reference.rms_norm(wide_x, g, eps)
    assert y.dtype == dtype and inverse_rms.shape == (rows,)
    # Not more than 4096 / (4 LANES) terms follow one another in the dtype, nor a quarter of the row and the lanes' tree.
    depth = eps * (10 + min(columns, 4096) / 8)
    assert np.all(abs(inverse_rms - inverse) <= depth * inverse)
    assert np.all(abs(y - expected) <= (depth + 4 * eps) * abs(expected))
    dx, dgamma = rms_norm_backward(x, dy, inverse_rms, gamma)
    true_dx, true_dgamma = reference.rms_norm_backward(wide_x, wide_dy, g, eps)
    inverse = inverse[:, None]
    assert np.all(abs(dgamma - true_dgamma) <= (depth + 40 * eps) * abs(wide_dy * wide_x * inverse).sum(0))
    terms = abs(wide_dy * g) + abs(wide_x) * inverse**2 * abs(wide_dy * g * wide_x).mean(1, keepdims=True)
    assert np.all(abs(dx - true_dx) <= 8 * depth * inverse * terms)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 5, 31, 32, 33, 70]), columns=st.sampled_from([1, 2, 7, 8, 15, 16, 17, 33, 65, 130]),
    dtype=st.sampled_from(DTYPES), with_gamma=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_rms_norm(rows, columns, dtype, with_gamma, seed):
    check_rms_norm(rows, columns, dtype, with_gamma, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(3, 4095), (2, 4097), (2, 9000), (40, 300)])
def test_rms_norm_wide(rows, columns, dtype):
    check_rms_norm(rows, columns, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm_of_zeros_nan_and_nothing(dtype):
    x = np.zeros((3, 5), dtype)
    y, inverse_rms = rms_norm(x)
    assert not y.any() and np.isfinite(rms_norm_backward(x, x + 1, inverse_rms)[0]).all()
    x, dy, gamma, _ = case((40, 21), dtype)
    x[5, 4] = np.nan
    y, inverse_rms = rms_norm(x, gamma)
    dx, dgamma = rms_norm_backward(x, dy, inverse_rms, gamma)
    others = np.arange(40) != 5
    for found in (y, dx):
        assert np.isnan(found[5]).all() and np.isfinite(found[others]).all()
    assert np.isnan(dgamma).all()
    y, inverse_rms = rms_norm(x[:0])
    dx, dgamma = rms_norm_backward(x[:0], dy[:0], inverse_rms)
    assert y.shape == dx.shape == (0, 21) and inverse_rms.shape == (0,) and not dgamma.any()


def test_rms_norm_inputs_and_errors():
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    y, inverse_rms = rms_norm(x[:, ::2])
    assert y.shape == (2, 2, 5) and inverse_rms.shape == (2, 2)
    dx, dgamma = rms_norm_backward(x[:, ::2], y, inverse_rms)
    assert dx.shape == (2, 2, 5) and dgamma.shape == (5,)
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        rms_norm(x, epsilon=0)
    with pytest.raises(ValueError, match="gamma must have shape"):
        rms_norm(x, np.ones(4))
    with pytest.raises(ValueError, match="inverse_rms must have shape"):
        rms_norm_backward(x, x, np.ones(3))
    with pytest.raises(TypeError, match="x must"):
        rms_norm(x.astype(complex))


# --- what may be left out, accumulated, overwritten; threads ------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["group_norm", "rms_norm"])
def test_options(kind, dtype):
    """Leaving a result out, adding it to what is there, writing over the input: the other bits stay the same."""
    x, dy, gamma, beta = case((3, 37, 20), dtype)
    if kind == "group_norm":
        y, mean, inverse_std = group_norm(x, 5, gamma, beta)
        saved = {"mean": mean, "inverse_std": inverse_std}
        numbers = {"batch": 3, "rows": 37, "channels": 20, "groups": 5, "accumulate_gamma": 0, "accumulate_beta": 0}
        names = ("dx", "dgamma", "dbeta")
        whole = dict(zip(names, group_norm_backward(x, dy, mean, inverse_std, gamma), strict=True))
        over = x.copy()
        group_norm(over, 5, gamma, beta, out=over)
    else:
        y, inverse_rms = rms_norm(x, gamma)
        saved = {"inverse_rms": inverse_rms}
        numbers = {"rows": 111, "cols": 20, "accumulate_gamma": 0}
        names = ("dx", "dgamma")
        whole = dict(zip(names, rms_norm_backward(x, dy, inverse_rms, gamma), strict=True))
        over = x.copy()
        rms_norm(over, gamma, out=over)
    np.testing.assert_array_equal(over, y)

    def run(dy, into, **changed):
        reads = {"x": x, "dy": dy, "gamma": gamma} | saved
        call.run(f"{kind}_backward", dtype, reads, into, numbers | changed, 0)
        return into

    for without in ((), ("dx",), names[1:], ("dx", "dgamma")[: len(names) - 1]):
        into = {name: None if name in without else np.full_like(whole[name], 3) for name in names}
        for name, found in run(dy, into).items():
            if found is not None:
                np.testing.assert_array_equal(found, whole[name])
    for name in names[1:]:
        into = {other: np.full_like(whole[other], 3) for other in names}
        found = run(dy, into, **{f"accumulate_{name[1:]}": 1})
        for other in names:
            np.testing.assert_array_equal(found[other], whole[other] + 3 if other == name else whole[other])
    over = dy.copy()
    for name, found in run(over, {"dx": over} | {name: np.empty_like(gamma) for name in names[1:]}).items():
        np.testing.assert_array_equal(found, whole[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, groups", [((1, 50, 12), 3), ((1, 9, 170), 17), ((5, 33, 40), 4), ((2, 300, 65), 1)])
def test_threads_do_not_matter(shape, groups, dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x, dy, gamma, beta = case(shape, dtype)
    seen = []
    for threads in (1, 2, 3):
        call.of_thread.plans.clear()
        with config.threads(threads):
            y, mean, inverse_std = group_norm(x, groups, gamma, beta)
            results = [y, mean, inverse_std, *group_norm_backward(x, dy, mean, inverse_std, gamma)]
            y, inverse_rms = rms_norm(x, gamma)
            results += [y, inverse_rms, *rms_norm_backward(x, dy, inverse_rms, gamma)]
        seen.append([result.tobytes() for result in results])
    assert seen[0] == seen[1] == seen[2]


# --- PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", [1, 4, 12])
def test_group_norm_agrees_with_torch(groups, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, dy, gamma, beta = case((6, 5, 8, 12), dtype)
    layer = torch.nn.GroupNorm(groups, 12, dtype=getattr(torch, dtype))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(gamma))
        layer.bias.copy_(torch.tensor(beta))
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    output = layer(theirs)
    output.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    y, mean, inverse_std = group_norm(x, groups, gamma, beta)
    dx, dgamma, dbeta = group_norm_backward(x, dy, mean, inverse_std, gamma)
    close = {"rtol": 200 * np.finfo(dtype).eps, "atol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, output.detach().numpy().transpose(0, 2, 3, 1), **close)
    np.testing.assert_allclose(dx, theirs.grad.numpy().transpose(0, 2, 3, 1), **close)
    # Sums of 240 terms of about one.
    for mine, their in ((dgamma, layer.weight.grad), (dbeta, layer.bias.grad)):
        np.testing.assert_allclose(mine, their.numpy(), rtol=close["rtol"], atol=16 * close["atol"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("epsilon", [None, 1e-3])
def test_rms_norm_agrees_with_torch(epsilon, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, dy, gamma, _ = case((60, 45), dtype)
    x[:5] *= np.sqrt(np.finfo(dtype).eps)  # where epsilon counts
    layer = torch.nn.RMSNorm(45, eps=epsilon, dtype=getattr(torch, dtype))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(gamma))
    theirs = torch.tensor(x, requires_grad=True)
    output = layer(theirs)
    output.backward(torch.tensor(dy))
    y, inverse_rms = rms_norm(x, gamma, epsilon=epsilon)
    dx, dgamma = rms_norm_backward(x, dy, inverse_rms, gamma)
    close = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, output.detach().numpy(), rtol=close, atol=close)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=close, atol=close * abs(dx).max(1, keepdims=True).max())
    np.testing.assert_allclose(dgamma, layer.weight.grad.numpy(), rtol=close, atol=close)
