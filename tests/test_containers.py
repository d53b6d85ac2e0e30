"""Arrays from pandas, polars, PyTorch, DLPack, SciPy and masked arrays; and what is refused."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import containers, labels


def array_of(value, argument="x"):
    return labels.real_array(argument, value)


def refuses(value, text, argument="x"):
    with pytest.raises((TypeError, ValueError), match=text) as error:
        array_of(value, argument)
    assert len(str(error.value)) < 400


class OnlyDLPack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **how):
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


# pandas


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture
def frame(pandas):
    return pandas.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})


TABLE = [[1, 1, 0.5], [2, 0, 1.5]]


@pytest.mark.parametrize(
    "dtypes", [{}, {"a": "Int64", "b": "boolean", "c": "Float32"}, {"b": object}, {"a": object, "c": "f4"}]
)
def test_columns_of_numbers(frame, dtypes):
    found = array_of(frame.astype(dtypes))
    assert found.dtype == np.float64 and found.tolist() == TABLE


def test_one_dtype_is_kept_without_a_copy(pandas):
    frame = pandas.DataFrame(np.ones((3, 2), "f4"))
    assert array_of(frame).dtype == np.float32
    assert np.shares_memory(array_of(frame), frame.to_numpy())


def test_missing_values_name_the_column(pandas, frame):
    for column in (
        pandas.array([1, None], dtype="Int64"),
        pandas.array([None, True], dtype="boolean"),
        np.array([True, None]),
    ):
        refuses(frame.assign(gap=column), r"x has missing values in the columns 'gap' \(1, first in row [01]\)")
    refuses(
        pandas.Series([1, None], dtype="Int64", name="age"), r"y \('age'\) has 1 missing values, first in row 1", "y"
    )
    net = fn.Network([fn.Dense(1)], input_shape=(3,), seed=0)
    with pytest.raises(ValueError, match=r"x has NaN, first at index \(1, 2\) \(column 'c'\)"):
        net.fit(frame.assign(c=[0.5, np.nan]), np.zeros(2), loss="mse", verbose=0)


def test_texts_and_categories_name_the_columns_and_what_encodes_them(pandas, frame):
    frame = frame.assign(city=["Bonn", "Rom"], size=pandas.Categorical(["S", "M"]), day=pandas.Timestamp("2020-01-01"))
    refuses(
        frame, r"do not hold numbers: 'city' \(\w+\), 'size' \(category\), 'day' .*fastnet.datasets.load\(frame, target"
    )
    for column in (frame.city, frame["size"]):
        refuses(column, r"y \('(city|size)'\) does not hold numbers.*numpy.unique\(y, return_inverse=True\)", "y")


def test_rows_belong_together_by_position_but_not_where_they_were_sorted_apart(pandas):
    x = pandas.DataFrame(np.random.default_rng(0).normal(size=(6, 2)))
    y = pandas.Series([0, 1, 0, 1, 0, 1])
    net = fn.Network([fn.Dense(2)], input_shape=(2,), seed=0)
    how = {"loss": "softmax_cross_entropy", "verbose": 0}
    for call in (net.fit, fn.Trainer(net, loss="softmax_cross_entropy", optimizer="sgd").fit):
        with pytest.raises(ValueError, match="same index in different orders: row 0 is 0 in x and 5 in y"):
            call(x, y.iloc[::-1], **(how if call == net.fit else {"verbose": 0}))
    net.fit(x, y.iloc[::-1].set_axis(range(10, 16)), **how)
    net.fit(x, y.iloc[::-1].to_numpy(), **how)


# polars


def test_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})
    assert array_of(frame).tolist() == TABLE
    assert array_of(frame["a"]).tolist() == [1, 2]
    refuses(frame.lazy(), r"LazyFrame.*x.collect\(\)")
    refuses(frame.with_columns(t=polars.lit("u")), r"'t' \(String\).*fastnet.datasets.load")
    refuses(
        polars.DataFrame({"a": [1, None], "b": [None, True], "c": [1, 2]}),
        r"'a' \(1, first in row 1\), 'b' \(1, first in row 0\)",
    )
    refuses(polars.Series("y", ["u", "v"], dtype=polars.Categorical), "does not hold numbers", "y")
    refuses(polars.Series("y", [1.0, None]), "has 1 missing values, first in row 1", "y")


# Tensors


def test_tensors():
    torch = pytest.importorskip("torch")
    ones = torch.ones(2, 3)
    for tensor in (
        ones.clone().requires_grad_(),
        torch.nn.Parameter(ones),
        ones.to(torch.bfloat16),
        ones.to(torch.float8_e5m2),
    ):
        assert array_of(tensor).dtype == np.float32 and array_of(tensor).tolist() == ones.tolist()
    refuses(ones.to_sparse(), r"sparse tensor.*x.to_dense\(\)")
    refuses(ones.to("meta"), r"tensor on meta.*x.cpu\(\)")
    refuses(ones.to(torch.complex64), "complex64")
    assert array_of(OnlyDLPack(ones)).tolist() == ones.tolist()
    refuses(OnlyDLPack(ones.to(torch.bfloat16)), "cannot be taken over by DLPack")


def test_dlpack_that_must_not_be_written():
    array = np.arange(6.0).reshape(2, 3)
    array.flags.writeable = False
    try:
        np.from_dlpack(OnlyDLPack(array))
    except BufferError:
        pytest.skip("this NumPy gives no arrays away that must not be written")
    net = fn.Network([fn.Dense(1)], input_shape=(3,), seed=0)
    assert np.array_equal(net.predict(OnlyDLPack(array)), net.predict(array))


def test_arrays_with_masks():
    whole = np.arange(6.0).reshape(2, 3)
    assert array_of(np.ma.array(whole)) is not whole and array_of(np.ma.array(whole)).tolist() == whole.tolist()
    assert array_of(np.ma.array(whole, mask=np.zeros((2, 3)))).tolist() == whole.tolist()
    refuses(np.ma.array(whole, mask=whole == 4), r"x has 1 masked values, first at index \(1, 1\).*x.filled")


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    for matrix in (sparse.csr_matrix(np.eye(3)), sparse.coo_array(np.eye(3))):
        refuses(matrix, r"sparse matrix of shape \(3, 3\); x.toarray\(\)")


@pytest.mark.parametrize(
    "value, text",
    [
        ({"a": 1}, "got a dict with the keys"),
        ([[1, 2], [3]], "x cannot be made an array"),
        (["a"], "dtype <U1; fastnet.datasets.load"),
        (np.ones(2, complex), "complex128"),
    ],
)
def test_what_is_no_array(value, text):
    refuses(value, text)


# Memory maps


def test_where_an_array_lies(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 3)))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for view in (mapped, mapped[1:], np.asarray(mapped)[:, ::-1], mapped.T.reshape(-1, 2, order="F")):
        assert containers.mapping_of(view).filename == tmp_path / "a.npy"
    for copy in (np.ones(3), np.ones(3)[1:], mapped + 1, mapped[[0, 1]], np.array(mapped)):
        assert containers.mapping_of(copy) is None
