"""Batches: any dtype, order and layout; labels; the control's cursor and status."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call
from fastnet.kernels.batch import KINDS, gather, gather_labels
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]


def data(kind, shape, seed=0):
    """Values over the whole range of a dtype."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(kind)
    if kind == "bool":
        return rng.random(shape) > 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 4, shape)).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS)), dtype=st.sampled_from(DTYPES), n=st.integers(1, 9), m=st.integers(0, 9),
    width=st.one_of(st.integers(0, 40), st.integers(250, 530)), seed=st.integers(0, 1000),
)  # fmt: skip
def test_matches_numpy(kind, dtype, n, m, width, seed):
    x = data(kind, (n, width), seed)
    order = np.random.default_rng(seed).integers(0, n, m)
    got = gather(x, order, dtype=dtype)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, x[order].astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_half(dtype):
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(gather(x, dtype=dtype), x.astype(dtype))


def test_layouts():
    x = data("float32", (12, 10))
    readonly = x.copy()
    readonly.flags.writeable = False
    order = [3, 0, 2, 2]
    for view in (x[::2], x[:, 2:7], x[::-1], x[:, ::2], x.T, np.asfortranarray(x), readonly, x[:, None, :3]):
        np.testing.assert_array_equal(gather(view, order), view[order])
    np.testing.assert_array_equal(gather(x[:, 0], order), x[order, 0])
    np.testing.assert_array_equal(gather(x.astype(">f4"), order), x[order])
    np.testing.assert_array_equal(gather(x), x)
    np.testing.assert_array_equal(gather(x[:0]), x[:0])
    np.testing.assert_array_equal(gather(np.broadcast_to(x[:1], (5, 10)), order), np.broadcast_to(x[:1], (4, 10)))


def test_out():
    x = data("float32", (6, 20))
    out = np.empty((2, 20), "f")
    assert gather(x, [5, 1], out=out) is out
    np.testing.assert_array_equal(out, x[[5, 1]])
    expected = x[::-1].copy()
    np.testing.assert_array_equal(gather(x, np.arange(6)[::-1], out=x), expected)
    with pytest.raises(ValueError, match="out must have shape"):
        gather(x, [0], out=out)


@pytest.mark.parametrize("kind", ["float32", "uint8", "float64"])
def test_threads_give_the_same_bits(kind, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    x, order = data(kind, (50, 300)), np.random.default_rng(1).integers(0, 50, 41)
    for threads in (1, 2, 3):
        with config.threads(threads):
            np.testing.assert_array_equal(gather(x, order, dtype="float32"), x[order].astype("float32"))


@pytest.mark.parametrize(
    ("x", "order", "error", "match"),
    [
        (np.ones(3, complex), [0], TypeError, "complex"),
        (np.array(["a", "b"]), [0], TypeError, "dtype"),
        (np.array([None, 1]), [0], TypeError, "dtype object"),
        (3.0, [0], ValueError, "dimension"),
        (np.ones((3, 2)), [3], ValueError, "from 0 to 2; got 3 to 3"),
        (np.ones((3, 2)), [0, -1], ValueError, "order"),
        (np.ones((3, 2)), [0.5], TypeError, "order"),
        (np.ones((3, 2)), [[0]], TypeError, "1-D"),
    ],
)
def test_errors(x, order, error, match):
    with pytest.raises(error, match=match):
        gather(x, order)
    with pytest.raises(ValueError, match="dtype"):
        gather(np.ones(3), dtype="int8")


def run(x, rows, dtype="float32", order=None, check=1, start=0, cursor=0, status=0, scale=1.0):
    """The kernel with a control, as a plan has it."""
    control = ControlBlock()
    control.cursor, control.status = cursor, status
    width = x[0].size
    y = np.full((rows, width), -7, dtype)
    reads = {"source": x, **({} if order is None else {"order": np.asarray(order, np.int64)})}
    numbers = {
        "rows": rows,
        "width": width,
        "stride": width,
        "kind": KINDS[x.dtype.name],
        "check": check,
        "start": start,
        "scale": scale,
    }
    call.run("gather", dtype, reads, {"y": y, "control": control.block}, numbers, 4 * y.size)
    return y, control.status


def test_cursor_and_start():
    x, order = data("int16", (20, 3)), np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(run(x, 4, order=order, cursor=6)[0], x[order[6:10]])
    np.testing.assert_array_equal(run(x, 4, start=5, cursor=6)[0], x[11:15])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_scale(kind, dtype):
    x = data(kind, (5, 301))
    factor = np.dtype(dtype).type(1 / 255)
    np.testing.assert_array_equal(run(x, 5, dtype, scale=float(factor))[0], x.astype(dtype) * factor)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_check_finds_what_is_not_finite(kind, dtype, bad):
    for column in (0, 16, 299):
        x = np.ones((5, 300), kind)
        x[2, column] = bad
        assert run(x, 5, dtype)[1] == 1
        assert run(x, 5, dtype, check=0)[1] == 0
        assert run(x, 2, dtype)[1] == 0
        y, status = run(x, 5, dtype, status=4)
        assert status == 4
        np.testing.assert_array_equal(y, x)


def test_check_finds_a_double_too_large_for_a_float():
    assert run(np.full((1, 3), 1e300), 1, "float32")[1] == 1
    assert run(np.full((1, 3), 1e300), 1, "float64")[1] == 0
    assert run(np.full((1, 3), 2**64 - 1, np.uint64), 1, "float32")[1] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_labels(kind):
    labels = (np.arange(30) % (2 if kind == "bool" else 7)).astype(kind)
    order = np.random.default_rng(0).permutation(30)[:11]
    got = gather_labels(labels, order, classes=7)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, labels[order].astype(int))
    np.testing.assert_array_equal(gather_labels(labels[::3], classes=7), labels[::3].astype(int))


@pytest.mark.parametrize(
    ("kind", "label"),
    [("int64", 3), ("int64", -1), ("int64", 2**40), ("int64", -(2**63)), ("uint64", 2**64 - 1), ("int8", -128),
     ("float32", 0.5), ("float64", 1 + 1e-12), ("float64", np.nan), ("float32", np.inf), ("float16", -1)],
)  # fmt: skip
def test_bad_labels(kind, label):
    labels = np.array([0, 1, label, 2], kind)
    with pytest.raises(ValueError, match=r"label .*whole numbers from 0 to 2"):
        gather_labels(labels, classes=3)
    np.testing.assert_array_equal(gather_labels(labels, [3, 0, 1], classes=3), [2, 0, 1])


def test_a_bad_label_leaves_an_index_that_may_be_used():
    control, y = ControlBlock(), np.full(3, -1, np.int32)
    numbers = {"rows": 3, "stride": 1, "kind": KINDS["int64"], "classes": 5, "start": 0}
    call.run(
        "gather_labels", "float64", {"source": np.array([4, 9, 1])}, {"y": y, "control": control.block}, numbers, 3
    )
    assert control.status == 2
    np.testing.assert_array_equal(y, [4, 0, 1])


def test_label_errors():
    with pytest.raises(ValueError, match="shape"):
        gather_labels(np.zeros((3, 2), int), classes=2)
    with pytest.raises(ValueError, match="classes"):
        gather_labels([0, 1], classes=0)
    with pytest.raises(TypeError, match="y must"):
        gather_labels(["cat", "dog"], classes=2)
