"""`datasets.load` of tables and arrays in memory, .npy and .csv.gz files, and of formats that others read."""

import gzip
import os

import numpy as np
import pytest

import fastnet as fn
from fastnet.datasets import Dataset, load, read_csv, read_inputs, read_npy

N = 40


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas")
    numbers = np.random.default_rng(0).normal(size=N)
    return pandas.DataFrame(
        {
            "a": numbers,
            "count": pandas.array([1, 2] * (N // 2), dtype="Int64"),
            "flag": [True, False] * (N // 2),
            "size": pandas.Categorical(["S", "M"] * (N // 2)),
            "zip": pandas.Categorical([53, 10] * (N // 2)),
            "animal": ["cat", "dog"] * (N // 2),
        }
    )


def test_a_frame_is_loaded_as_the_csv_file_of_it(frame, tmp_path):
    frame.astype({"flag": int}).to_csv(tmp_path / "a.csv", index=False)
    frame.astype({"flag": int}).to_csv(tmp_path / "a.csv.gz", index=False)
    data = load(frame, target="animal")
    plain, packed = (load(tmp_path / name, target="animal") for name in ("a.csv", "a.csv.gz"))
    assert np.array_equal(plain.x, packed.x)
    columns = data.encoder.inputs.columns
    assert [column["name"] for column in columns] == ["a", "count", "flag", "size", "zip"]
    assert columns[4]["categories"] == ["10", "53"]  # numbers that are names; a CSV file cannot say so
    assert np.allclose(data.x[:, :5], plain.x[:, :5], atol=1e-6)
    assert data.classes == ["cat", "dog"] and np.array_equal(data.y, plain.y)
    assert np.array_equal(data.encoder.transform(frame.drop(columns="animal"))[0], data.x[0])


def test_polars_and_dicts(frame):
    polars = pytest.importorskip("polars")
    columns = {name: frame[name].astype(str).to_list() if name == "zip" else frame[name].to_list() for name in frame}
    expected = load(frame, target="animal")
    table = polars.DataFrame(columns)
    for same in (table, table.with_columns(polars.col("size").cast(polars.Categorical)), columns):
        assert np.array_equal(load(same, target="animal").x, expected.x)
    with pytest.raises(TypeError, match=r"LazyFrame.*source.collect\(\)"):
        load(table.lazy(), target="animal")


def test_missing_values_of_a_frame(frame):
    pandas = pytest.importorskip("pandas")
    gap = frame.assign(count=pandas.array([1, None] * (N // 2), dtype="Int64"))
    with pytest.raises(ValueError, match="row 1, column 'count': the value is missing .and 19 more"):
        load(gap, target="animal")
    assert np.isfinite(load(gap, target="animal", missing="mean").x).all()
    with pytest.raises(ValueError, match="column 'day' must hold numbers or texts.*Timestamp"):
        load(frame.assign(day=pandas.Timestamp("2020-01-01")), target="animal")
    with pytest.raises(ValueError, match="the table has no rows"):
        load(frame.iloc[:0], target="animal")
    with pytest.raises(ValueError, match="name the column of the table to learn, one of a, count"):
        load(frame)


def test_arrays(frame):
    x, y = frame[["a", "count"]], frame.animal
    data = load((x, y))
    assert data.classes == ["cat", "dog"] and data.x.shape == (N * 4 // 5, 2)
    assert np.array_equal(load((x.to_numpy(float), y.to_numpy(str))).x, data.x)
    with pytest.raises(TypeError, match="'size' .category.*target="):
        load((frame[["a", "size"]], y))
    with pytest.raises(ValueError, match="same index in different orders"):
        load((x, y.iloc[::-1]))
    for other in (np.ones(3), 3, None):
        with pytest.raises(TypeError, match=r"source must be a path, a DataFrame, a dict of columns, or \(x, y\)"):
            load(other)


def test_npy(tmp_path):
    path = tmp_path / "x.npy"
    array = np.random.default_rng(0).normal(size=(30, 4))
    np.save(path, array)
    found = load(path)
    assert isinstance(found, np.memmap) and np.array_equal(found, array)
    net = fn.Network([fn.Dense(2)], input_shape=(4,), seed=0)
    assert np.array_equal(net.predict(found), net.predict(array))
    np.save(path, np.asfortranarray(array))
    assert np.array_equal(read_npy(path), array)
    encoder = load((array, np.arange(30) % 2)).encoder
    assert np.array_equal(encoder.transform(read_inputs(path, encoder)), encoder.transform(array))
    with pytest.raises(ValueError, match=r"target: .*x.npy does not take it.*load\(\(x, y\)\)"):
        load(path, target="y")


@pytest.mark.parametrize(
    "content, text",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "is cut short: it has .* bytes, its array of shape"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "has no readable header"),
        (lambda path: path.write_text("hello"), "is not an .npy file, or damaged"),
        (lambda path: np.save(path, np.array([{}]), allow_pickle=True), "Python objects could run any program"),
        (lambda path: np.save(path, np.ones((0, 3))), "is empty"),
    ],
)
def test_npy_files_that_cannot_be_used(tmp_path, content, text):
    path = tmp_path / "x.npy"
    np.save(path, np.ones((3, 4)))
    content(path)
    with pytest.raises(ValueError, match=text):
        load(path)


def test_csv_gz_that_is_damaged_or_unpacks_without_end(tmp_path, monkeypatch):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + os.urandom(3000).hex().encode() + b",1\n")[:-900])
    with pytest.raises(ValueError, match=r"a.csv.gz is damaged or cut short"):
        read_csv(path)
    monkeypatch.setattr("fastnet.files.limits.FLOOR", 10_000)
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 200_000))
    with pytest.raises(ValueError, match=r"claims to hold .* bytes packed into"):
        read_csv(path)


@pytest.mark.parametrize(
    "name, content, text",
    [
        (
            "a.parquet",
            b"PAR1....",
            r"Parquet file: fastnet.datasets.load\(pandas.read_parquet\('.*a.parquet'\), target",
        ),
        ("a.h5", b"\x89HDF\r\n\x1a\n", r"HDF5 file: .*h5py.File\('.*a.h5'\)"),
        ("a.feather", b"ARROW1\0\0", "read_feather"),
        ("a.xlsx", b"PK\3\4", "read_excel"),
        ("a.pkl", b"\x80\x04\x95", "could run any program"),
        ("a.pt", b"PK\3\4", "torch.load"),
        ("t10k-images-idx3-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]), "name the folder.*read_idx"),
        ("images.gz", gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])), "name the folder.*read_idx"),
    ],
)
def test_other_formats_get_a_hint(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=text):
        load(tmp_path / name)


def test_a_data_set_is_a_data_set_still(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(20.0).reshape(10, 2), y=np.arange(10) % 2)
    assert isinstance(load(tmp_path / "a.npz"), Dataset)
