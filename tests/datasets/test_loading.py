"""Data sets and their encoders: scaled by the training part, the same for new data, clear errors."""

import gzip
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from fastnet.datasets import Encoder, Table, digits, load, read_inputs
from fastnet.datasets.inputs import mean_and_std
from fastnet.datasets.loading import infer_task


def through_json(encoder):
    return Encoder.from_config(json.loads(json.dumps(encoder.config(), allow_nan=False)))


# Digits


def test_digits():
    (x, y), (x_test, y_test) = digits()
    assert x.shape == (1442, 8, 8, 1) and x_test.shape == (355, 8, 8, 1)
    assert x.dtype == x_test.dtype == np.float32 and y.dtype == y_test.dtype == np.int64
    assert x.min() == 0 and x.max() == 1
    assert (x * 16 == np.round(x * 16)).all()
    for digit in range(10):
        assert abs((y_test == digit).sum() - 0.2 * ((y == digit).sum() + (y_test == digit).sum())) < 1
    x[:] = 0  # a copy of one's own
    assert digits()[0][0].max() == 1


def test_digits_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn's copy of the images")
    images, labels = sklearn.load_digits(return_X_y=True)
    (x, y), (x_test, y_test) = digits()

    def rows(x, y):
        return sorted(map(tuple, np.column_stack([x.reshape(len(x), 64) * 16, y]).astype(int)))

    assert rows(np.concatenate([x, x_test]), np.concatenate([y, y_test])) == rows(images / 16, labels)


def test_the_licence_lies_beside_the_digits():
    import fastnet.datasets

    text = (Path(fastnet.datasets.__file__).parent / "digits.LICENSE.txt").read_text()
    assert "CC BY 4.0" in text and "Alpaydin" in text and "archive.ics.uci.edu" in text


# Arrays


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("names", [("x", "y", "x_test", "y_test"), ("x_train", "y_train", "x_test", "y_test")])
def test_npz_with_a_test_part(tmp_path, names):
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(5, 3, (40, 3)), rng.normal(5, 3, (10, 3))
    arrays = dict(zip(names, (x, np.arange(40) % 4, x_test, np.arange(10) % 4), strict=True))
    data = load(save(tmp_path / "a.npz", **arrays))
    assert data.task == "classification" and data.classes == ["0", "1", "2", "3"]
    np.testing.assert_allclose(data.x, (x - x.mean(0)) / x.std(0), atol=1e-6)
    np.testing.assert_allclose(data.x_test, (x_test - x.mean(0)) / x.std(0), atol=1e-6)
    assert data.x.dtype == np.float32 and data.y.dtype == np.int64
    np.testing.assert_array_equal(through_json(data.encoder).transform(x_test), data.x_test)


def test_npz_without_a_test_part_is_divided(tmp_path):
    path = save(tmp_path / "a.npz", x=np.arange(100.0), y=np.arange(100) % 2)
    data = load(path)
    assert data.x.shape == (80, 1) and data.x_test.shape == (20, 1)
    assert np.bincount(data.y_test).tolist() == [10, 10]
    assert abs(data.x.mean()) < 1e-6 and abs(data.x.std() - 1) < 1e-6
    assert not np.array_equal(load(path, seed=1).x_test, data.x_test)
    whole = load(path, test=0)
    assert whole.x_test is None and whole.y_test is None and len(whole.x) == 100


def test_targets_of_regression_are_standardized(tmp_path):
    y = np.random.default_rng(0).normal(1e6, 10, (50, 1))
    data = load(save(tmp_path / "a.npz", x=np.arange(50.0), y=y), test=0)
    assert data.task == "regression" and data.classes is None
    assert data.y.shape == (50, 1) and data.y.dtype == np.float32
    assert abs(data.y.mean()) < 1e-5 and abs(data.y.std() - 1) < 1e-5
    np.testing.assert_allclose(through_json(data.encoder).decode_target(data.y), y[:, 0], atol=1e-5)


def test_images_of_bytes(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    data = load(save(tmp_path / "a.npz", x=x, y=np.arange(20) % 2), test=0)
    assert data.x.shape == (20, 4, 4, 1)
    np.testing.assert_allclose(data.x[..., 0], x / 255, rtol=1e-6)
    colour = load(save(tmp_path / "b.npz", x=np.stack([x] * 3, -1), y=np.arange(20) % 2), test=0)
    assert colour.x.shape == (20, 4, 4, 3)
    few = load(save(tmp_path / "c.npz", x=x // 16, y=np.arange(20) % 2), test=0)
    np.testing.assert_allclose(few.x[..., 0], (x // 16) / 15, rtol=1e-6)


def test_images_of_bytes_must_stay_such():
    (x, _), _ = digits()
    encoder = load("digits").encoder
    np.testing.assert_array_equal(encoder.transform((x[:5, ..., 0] * 16).astype("uint8")), x[:5])
    np.testing.assert_array_equal(encoder.transform(x[:5, ..., 0] * 16), x[:5])
    with pytest.raises(ValueError, match="is it scaled already"):
        encoder.transform(x[:5, ..., 0])
    with pytest.raises(ValueError, match="from 0 to 16, as the training data; got 0 to 255"):
        encoder.transform(np.array([[[0] * 8] * 8, [[255] * 8] * 8]))
    assert encoder.transform(np.zeros((0, 8, 8), "uint8")).shape == (0, 8, 8, 1)


def test_images_of_floats_have_one_mean(tmp_path):
    x = np.random.default_rng(0).normal(3, 2, (30, 4, 4, 2))
    data = load(save(tmp_path / "a.npz", x=x, y=np.arange(30) % 2), test=0)
    np.testing.assert_allclose(data.x, (x - x.mean()) / x.std(), atol=1e-6)


def test_constant_columns(tmp_path):
    x = np.column_stack([np.arange(10.0), np.full(10, 0.1), np.zeros(10)])
    data = load(save(tmp_path / "a.npz", x=x, y=np.arange(10) % 2), test=0)
    assert (data.x[:, 2] == 0).all() and np.abs(data.x[:, 1]).max() < 1e-12


def test_labels_of_all_kinds(tmp_path):
    x = np.arange(8.0)
    for y, classes in [
        (np.array(["b", "a"] * 4), ["a", "b"]),
        (np.array([True, False] * 4), ["False", "True"]),
        (np.array([3, -1] * 4), ["-1", "3"]),
        (np.array([1.0, 2.0] * 4), ["1", "2"]),
        (np.array([b"b", b"a"] * 4), ["a", "b"]),
        (np.eye(2, dtype=int)[[1, 0] * 4], ["0", "1"]),
    ]:
        data = load(save(tmp_path / "a.npz", x=x, y=y), test=0)
        assert data.classes == classes
        assert sorted(data.y) == [0] * 4 + [1] * 4
        assert through_json(data.encoder).decode_target(data.y[:2]).tolist() == [classes[i] for i in data.y[:2]]


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"y": [1, 2]}, "no array x or x_train; it has y"),
        ({"x": [1.0, 2]}, "no array y or y_train"),
        ({"x": [1.0, 2], "y": [1]}, "x and y must have the same length; got 2 and 1"),
        ({"x": np.zeros((0, 3)), "y": []}, "x is empty"),
        ({"x": np.zeros((3, 0)), "y": [1, 2, 3]}, "x is empty"),
        ({"x": ["a", "b"], "y": [1, 2]}, "x must be an array of numbers; got dtype <U1"),
        ({"x": [1, np.nan], "y": [1, 2]}, "x holds nan at index .1, 0.; NaN and Inf"),
        ({"x": [1, 2], "y": [1, np.inf]}, "y holds inf at index 1"),
        ({"x": [1, 2], "y": [1, 1]}, "one class only, 1"),
        ({"x": [1, 2], "y": [0.5, 0.5]}, "0.5 everywhere"),
        ({"x": [1, 2], "y": [[0.5, 2], [1, 2]]}, "y must have one value for each sample; got shape .2, 2"),
        ({"x": 1.0, "y": [1]}, "single number"),
        (
            {"x": [1, 2], "y": [0, 1], "x_test": [3], "y_test": [2]},
            "label '2', which is not one of the .* classes 0, 1",
        ),
        ({"x": [1, 2], "y": [0, 1], "x_test": [[3, 4]], "y_test": [1]}, "x has 2 columns; the training data had 1"),
        ({"x": [1, 2], "y": [0, 1], "x_test": [3, 4], "y_test": [1]}, "x_test and y_test must have the same length"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, arrays, expected):
    with pytest.raises(ValueError, match=expected):
        load(save(tmp_path / "a.npz", **{name: np.array(array) for name, array in arrays.items()}), test=0)


def test_wrong_arguments(tmp_path):
    path = save(tmp_path / "a.npz", x=np.arange(30.0), y=np.linspace(0, 1, 30))
    with pytest.raises(ValueError, match=r"task 'regresion' is not one of .*did you mean 'regression'"):
        load(path, task="regresion")
    with pytest.raises(ValueError, match="test must be"):
        load(path, test=1.0)
    with pytest.raises(ValueError, match="missing 'drop' is not one of"):
        load(path, missing="drop")
    with pytest.raises(ValueError, match="only the columns of a CSV file have names"):
        load(path, target="y")
    with pytest.raises(ValueError, match="too many for classes; for numbers choose task='regression'"):
        load(path, task="classification")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'a\.npz'"):
        load(tmp_path / "b.npz")
    (tmp_path / "bad.npz").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
        load(tmp_path / "bad.npz")


def test_what_is_taken_for_a_class():
    for y, images, expected in [
        (np.array(["a", "b"], object), False, "classification"),
        (np.array([True, False]), False, "classification"),
        (np.arange(100) % 20, False, "classification"),
        (np.arange(100) % 21, False, "regression"),
        (np.arange(200) % 100, True, "classification"),
        (np.arange(100) % 3 * 1.0, False, "classification"),
        (np.arange(100) % 3 * 0.5, False, "regression"),
        (np.arange(10), False, "regression"),
        (np.array([0, 1]), False, "classification"),
    ]:
        assert infer_task(y, images) == expected


# IDX


def idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))
    return path


def test_a_folder_of_idx_files(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 5, 5), dtype=np.uint8)
    y = (np.arange(30) % 3).astype(np.uint8)
    idx(tmp_path / "train-images-idx3-ubyte.gz", x)
    idx(tmp_path / "train-labels-idx1-ubyte.gz", y)
    assert load(tmp_path).x_test.shape == (6, 5, 5, 1)
    images = idx(tmp_path / "t10k-images-idx3-ubyte.gz", x[:7])
    idx(tmp_path / "t10k-labels-idx1-ubyte.gz", y[:7])
    data = load(tmp_path)
    assert data.x.shape == (30, 5, 5, 1) and data.x_test.shape == (7, 5, 5, 1) and len(data.classes) == 3
    np.testing.assert_array_equal(data.encoder.transform(read_inputs(images, data.encoder)), data.x_test)
    with pytest.raises(ValueError, match="name the folder"):
        load(images)
    with pytest.raises(IsADirectoryError, match="name its file of images"):
        read_inputs(tmp_path, data.encoder)


def test_mnist():
    folder = os.environ.get("FASTNET_DATA")
    if not folder or not os.path.isdir(os.path.join(folder, "mnist")):
        pytest.skip("FASTNET_DATA does not name a folder with mnist/")
    data = load(os.path.join(folder, "mnist"))
    assert data.x.shape == (60000, 28, 28, 1) and data.x_test.shape == (10000, 28, 28, 1)
    assert data.x.max() == 1 and data.x.min() == 0
    assert data.classes == [str(i) for i in range(10)]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# CSV

ROWS = ["size,city,rooms,price"] + [f"{30 + i},{'Rome' if i % 3 else 'Oslo'},{i % 4},{i * 1000.5}" for i in range(40)]


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="a.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_csv(write):
    path = write("\n".join(ROWS))
    data = load(path, target="price")
    assert data.task == "regression" and data.x.shape == (32, 4) and data.x_test.shape == (8, 4)
    assert abs(data.x[:, 0].mean()) < 1e-6 and abs(data.x[:, 0].std() - 1) < 1e-6
    assert set(data.x[:, 1]) == {0, 1} and (data.x[:, 1] + data.x[:, 2] == 1).all()  # Oslo, Rome
    assert data.y.shape == (32, 1) and abs(data.y.std() - 1) < 0.2
    data = load(path, target="city")
    assert data.task == "classification" and data.classes == ["Oslo", "Rome"]
    assert load(path, target="rooms").task == "classification"
    assert load(path, target="rooms", task="regression").task == "regression"


def test_new_tables(write, tmp_path):
    encoder = through_json(load(write("\n".join(ROWS)), target="price").encoder)
    expected = encoder.transform(Table({"size": [31, 32], "city": ["Rome", "Oslo"], "rooms": [1, 2]}))
    assert expected.dtype == np.float32 and expected.shape == (2, 4)
    path = write("more;city;size;rooms\nx;Rome;31;1\ny;Oslo;32;2\n", "new.csv")  # without price, in another order
    np.testing.assert_array_equal(encoder.transform(read_inputs(path, encoder)), expected)
    np.testing.assert_array_equal(
        encoder.transform({"rooms": np.array([1, 2]), "city": ["Rome", "Oslo"], "size": [31, 32]}), expected
    )
    array = np.array([[31, "Rome", 1], [32, "Oslo", 2]], object)
    np.testing.assert_array_equal(encoder.transform(array), expected)
    for text, message in [
        ("city,size\nRome,31\n", r"new\.csv has no column 'rooms'"),
        ("city,size,Rooms\nRome,31,1\n", r"new\.csv has no column 'rooms'; did you mean 'Rooms'"),
        ("city,size,rooms\nRome,31,1\nRoma,31,1\n", r"new\.csv, line 3, column 'city': 'Roma' is not one .*'Rome'"),
        ("city,size,rooms\nRome,x,1\n", r"new\.csv, line 2, column 'size': 'x' is not a number"),
        ("city,size,rooms\nRome,,1\n", r"new\.csv, line 2, column 'size': the value is missing"),
        ("city,size,rooms\n,30,1\n", r"new\.csv, line 2, column 'city': the value is missing"),
        ("city,size,rooms\nRome,inf,1\n", r"new\.csv, line 2, column 'size': the value is infinite"),
        ("city,size,rooms\nRome,1e300,1\n", r"column 'size' holds values that are too large"),
    ]:
        with pytest.raises(ValueError, match=message):
            encoder.transform(read_inputs(write(text, "new.csv"), encoder))
    for data, message in [
        (np.zeros((3, 2)), "table with the 3 columns size, city, rooms; got an array of shape .3, 2"),
        ({"size": [1], "city": ["Rome"], "Rooms": [1]}, "the column 'rooms' is missing; did you mean 'Rooms'"),
        ({"size": ["a"], "city": ["Rome"], "rooms": [1]}, "row 0, column 'size': 'a' is not a number"),
        ({"size": [1], "city": [3], "rooms": [1]}, "row 0, column 'city': '3' is not one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            encoder.transform(data)


def test_arrays_do_not_come_from_csv(write, tmp_path):
    encoder = load(save(tmp_path / "a.npz", x=np.zeros((4, 3)), y=[0, 1, 0, 1]), test=0).encoder
    with pytest.raises(ValueError, match="not a CSV file"):
        read_inputs(write("\n".join(ROWS)), encoder)
    with pytest.raises(ValueError, match="x has 2 columns; the training data had 3"):
        encoder.transform(np.zeros((4, 2)))


def test_missing_values(write):
    text = "a,b,y\n1,u,0\n,v,1\n3,,0\n5,u,1\n"
    with pytest.raises(ValueError, match=r"line 3, column 'a': the value is missing; .*missing='mean'"):
        load(write(text), target="y", test=0)
    with pytest.raises(ValueError, match=r"line 4, column 'b': the value is missing"):
        load(write(text.replace("\n,v", "\n2,v")), target="y", test=0)
    data = load(write(text), target="y", test=0, missing="mean")
    assert data.x[1, 0] == 0  # the mean
    assert data.encoder.inputs.columns[1]["categories"] == ["", "u", "v"]
    assert through_json(data.encoder).transform({"a": [np.nan], "b": [""]}).tolist() == [[0, 1, 0, 0]]
    with pytest.raises(ValueError, match="column 'a' has no values"):
        load(write("a,b,y\n,1,0\n,2,1\n"), target="y", test=0, missing="mean")


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("y\n1\n2\n", "y", "has one column only, 'y'"),
        ("a,y\n1,2\n2,3\n", None, "target: name the column of .* one of a, y"),
        ("a,price\n1,2\n2,3\n", "prise", "target 'prise' is not one of a, price; did you mean 'price'"),
        ("a,y\n1,2\n2,\n", "y", "line 3, column 'y': the target is missing"),
        ("a,y\n1,u\n2,\n", "y", "line 3, column 'y': the target is missing"),
        ("a,y\n1,2\n2,inf\n", "y", "line 3, column 'y': the target is missing or infinite"),
        ("a,y\n1,2\n2,2\n", "y", "one class only"),
        ("a,y\ninf,2\n2,3\n", "y", "line 2, column 'a': the value is infinite"),
    ],
)
def test_tables_that_cannot_be_used(write, text, target, expected):
    with pytest.raises(ValueError, match=expected):
        load(write(text), target=target, test=0)


def test_texts_cannot_be_regressed(write):
    with pytest.raises(ValueError, match="regression needs numbers"):
        load(write("a,y\n1,u\n2,v\n"), target="y", task="regression", test=0)


def test_names_are_no_categories(write):
    text = "name,y\n" + "".join(f"person {i},{i % 2}\n" for i in range(60))
    with pytest.raises(ValueError, match="column 'name' has 60 different texts in 60 rows"):
        load(write(text), target="y")


# Encoders


@pytest.mark.parametrize("config", [{}, {"inputs": {}, "target": {}}, {"inputs": {"kind": "array"}}, [], None, 3])
def test_damaged_encoders(config):
    with pytest.raises(ValueError, match="not the configuration of an encoder"):
        Encoder.from_config(config)


def test_means_of_extreme_values():
    for values in ([1e308, -1e308], [1e-300, 3e-300], [-128, 127], [1e9, 1e9 + 1]):
        array = np.array(values)
        mean, std = mean_and_std(array)
        assert np.isfinite(mean) and np.isfinite(std) and std > 0
        scaled = (array - mean) / std
        np.testing.assert_allclose(scaled, [1, -1] if values[0] > values[1] else [-1, 1], rtol=1e-6)
    assert mean_and_std(np.array([-128, 127], np.int8))[1] == 127.5


def test_means_in_several_parts():
    x = np.random.default_rng(0).normal(4, 2, (1000, 3000))
    for axis in (0, None):
        mean, std = mean_and_std(x, axis)
        np.testing.assert_allclose(mean, x.mean(axis), rtol=1e-10)
        np.testing.assert_allclose(std, x.std(axis), rtol=1e-10)


def test_inputs_become_columns_again(tmp_path):
    (tmp_path / "a.csv").write_text("size,city,price\n1.5,Oslo,1\n-2,Rome,2\n4,Oslo,3\n0,Bonn,4\n")
    data = load(tmp_path / "a.csv", target="price", task="regression", test=0)
    found = data.encoder.inputs.restore(data.x)
    assert found["size"] == pytest.approx([1.5, -2, 4, 0], abs=1e-6)
    assert found["city"] == ["Oslo", "Rome", "Oslo", "Bonn"]
