"""The rectifier with a learned slope: against NumPy and PyTorch; in place, over threads, what may be left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call
from fastnet.kernels.rectifier import prelu, prelu_backward

DTYPES = ["float32", "float64"]


def case(rows, channels, dtype, single, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, rows, channels)).astype(dtype)
    x[rng.uniform(size=x.shape) < 0.1] = 0
    return x, dy, rng.uniform(-1, 1, 1 if single else channels).astype(dtype)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.sampled_from([0, 1, 3, 4, 5, 63, 64, 65, 257]), channels=st.sampled_from([1, 2, 7, 8, 16, 17, 33, 65, 130, 1025]),
    dtype=st.sampled_from(DTYPES), single=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_prelu(rows, channels, dtype, single, seed):
    x, dy, slope = case(rows, channels, dtype, single, seed)
    np.testing.assert_array_equal(prelu(x, slope), np.where(x > 0, x, slope * x))
    dx, dslope = prelu_backward(x, dy, slope)
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, slope * dy))
    terms = np.where(x > 0, 0, x.astype(float) * dy)
    # At most 64 groups of four rows are added in the dtype, and the result is rounded.
    off = 70 * np.finfo(dtype).eps * abs(terms).sum(0)
    if single:
        terms, off = terms.sum(0), off.sum(keepdims=True)
    assert dslope.shape == slope.shape
    assert np.all(abs(dslope - terms.sum(0)) <= off)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 20), (64, 5), (1000, 20), (777, 130), (40, 2100)])
def test_threads_do_not_matter(shape, dtype, single, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x, dy, slope = case(*shape, dtype, single)
    seen = []
    for threads in (1, 2, 3):
        call.of_thread.plans.clear()
        with config.threads(threads):
            results = [prelu(x, slope), *prelu_backward(x, dy, slope)]
        seen.append([result.tobytes() for result in results])
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 19), (3, 1030)])
def test_options_of_backward(shape, dtype, single):
    """Leaving a result out, adding to what is there, writing dx over dy: the other bits stay the same."""
    x, dy, slope = case(*shape, dtype, single)
    dx, dslope = prelu_backward(x, dy, slope)

    def run(dy, into, accumulate=0):
        numbers = {"rows": shape[0], "channels": shape[1], "single": int(single), "accumulate": accumulate}
        call.run("prelu_backward", dtype, {"x": x, "slope": slope, "dy": dy}, into, numbers, 0)
        return into

    np.testing.assert_array_equal(run(dy, {"dx": np.empty_like(x), "dslope": None})["dx"], dx)
    np.testing.assert_array_equal(run(dy, {"dx": None, "dslope": np.empty_like(slope)})["dslope"], dslope)
    added = run(dy, {"dx": None, "dslope": np.full_like(slope, 3)}, 1)["dslope"]
    np.testing.assert_array_equal(added, dslope + slope.dtype.type(3))
    over = dy.copy()
    found = run(over, {"dx": over, "dslope": np.empty_like(slope)})
    np.testing.assert_array_equal(found["dx"], dx)
    np.testing.assert_array_equal(found["dslope"], dslope)
    y = x.copy()
    assert prelu(y, slope, out=y) is y
    np.testing.assert_array_equal(y, prelu(x, slope))


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite(dtype):
    """A NaN goes on, into its channel's slope too, and no further."""
    x, dy, slope = case(40, 21, dtype, False)
    x[5, 4] = np.nan
    assert np.argwhere(np.isnan(prelu(x, slope))).tolist() == [[5, 4]]
    dx, dslope = prelu_backward(x, dy, slope)
    assert np.argwhere(np.isnan(dx)).size == 0 and np.flatnonzero(np.isnan(dslope)).tolist() == [4]
    x[5, 4], dy[6, 7] = 1, np.nan
    dx, dslope = prelu_backward(x, dy, slope)
    assert np.argwhere(np.isnan(dx)).tolist() == [[6, 7]] and np.flatnonzero(np.isnan(dslope)).tolist() == [7]


def test_inputs_and_errors():
    x = np.arange(24, dtype="float32").reshape(2, 4, 3) - 12
    x.setflags(write=False)
    np.testing.assert_array_equal(prelu(x[:, ::2], [0.5]), prelu(x, [0.5])[:, ::2])
    assert prelu(np.arange(6).reshape(2, 3), [1]).dtype == np.float32
    with pytest.raises(ValueError, match=r"slope must have shape \(3,\), or \(1,\) for all channels; got \(2,\)"):
        prelu(x, [1, 2])
    with pytest.raises(ValueError, match="two axes"):
        prelu(x[0, 0], [1])
    with pytest.raises(TypeError, match="x must"):
        prelu(x.astype(complex), [1])
    with pytest.raises(ValueError, match="dy must have the shape"):
        prelu_backward(x, x[:1], [1])
    with pytest.raises(ValueError, match="out must have shape"):
        prelu(x, [1], out=np.zeros((2, 4, 3)))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(dtype, single):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, dy, slope = case(60, 45, dtype, single)
    tensor, weight = torch.tensor(x, requires_grad=True), torch.tensor(slope, requires_grad=True)
    y = torch.nn.functional.prelu(tensor, weight)
    y.backward(torch.tensor(dy))
    np.testing.assert_array_equal(prelu(x, slope), y.detach().numpy())
    dx, dslope = prelu_backward(x, dy, slope)
    np.testing.assert_array_equal(dx, tensor.grad.numpy())
    close = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(dslope, weight.grad.numpy(), rtol=close, atol=16 * close)
