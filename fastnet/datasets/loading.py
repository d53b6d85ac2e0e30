"""Data sets: arrays for training and testing, with the encoder that made them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from fastnet import checks, containers
from fastnet.datasets import image_files
from fastnet.datasets.arrays import named_parts, read_idx, read_idx_folder, read_npy, read_npz
from fastnet.datasets.dataset import Dataset
from fastnet.datasets.encoder import TARGETS, Encoder
from fastnet.datasets.folder import image_folder
from fastnet.datasets.formats import kind_of, other_format
from fastnet.datasets.images import Images
from fastnet.datasets.inputs import ArrayInputs, ImageInputs, TableInputs, raw_array
from fastnet.datasets.split import split_rows
from fastnet.datasets.table import Table, read_csv
from fastnet.files import check_claim, existing_file, is_archive

if TYPE_CHECKING:
    from fastnet.types import Array, Path

__all__ = ["digits", "load", "read_inputs"]

DIGITS = os.path.join(os.path.dirname(__file__), "digits.npz")
FEW_VALUES = 20


def digits() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The 1,797 images of handwritten digits that fastnet ships.

    8 x 8 pixels, of the UCI Machine Learning Repository (Alpaydin & Kaynak 1998, CC BY 4.0).

    Returns
    -------
    (x, y), (x_test, y_test)
        Images (1442, 8, 8, 1) and (355, 8, 8, 1), float32 in [0, 1]; labels 0 to 9, int64. Always the same
        division: the fifth, tenth, ... image of each digit is in the test part.

    Examples
    --------
    >>> from fastnet.datasets import digits
    >>> (x, y), (x_test, y_test) = digits()
    >>> x.shape, y[:5].tolist()
    ((1442, 8, 8, 1), [0, 1, 2, 3, 4])
    """
    data: Any = load("digits")
    return (data.x, data.y), (data.x_test, data.y_test)


def load(source: Any, *, target: str | None = None, task: Literal["classification", "regression"] | None = None,
         missing: Literal["error", "mean"] = "error", test: float = 0.2, seed: int = 0,
         size: int | tuple[int, int] | None = None, channels: int | None = None) -> Dataset:  # fmt: skip
    """Read, divide and scale a data set.

    Parameters
    ----------
    source : path, DataFrame, dict, or (x, y)
        - "digits": the images that fastnet ships;
        - an .npz file with arrays x and y (or x_train and y_train), and x_test and y_test if there is a test part;
        - a CSV file with a header, gzipped or not: text columns become one input for each category;
        - a DataFrame of pandas or polars, or a dict of columns: as a CSV file, categories as texts;
        - arrays (x, y), or anything that can become some: as an .npz file;
        - a folder of IDX files, gzipped or not, as MNIST is published;
        - a folder of images, with a folder for each class (see `image_folder`);
        - an .npy file: its one array, as a memory map (see `read_npy`); no other argument goes with it.
    target : str, optional
        The column to learn, of a table.
    task : "classification" or "regression", optional
        By default what the target is: texts, booleans and few different whole numbers are classes.
    missing : "error" or "mean", default "error"
        Missing values of a CSV file: an error that says where, or the mean of the column.
    test : float, default 0.2
        Share of the samples for the test part where the data has none; 0 for no test part.
    seed : int, default 0
        Of that division, which is stratified for classes.
    size : int or (height, width), optional
    channels : 1, 3 or 4, optional
        What images in files become.

    Returns
    -------
    Dataset, or memmap
        Scaled by what the training part holds: images of bytes to [0, 1], other numbers to mean 0 and deviation 1.

    Raises
    ------
    ValueError, OSError
        One clear error for a file that can't be used, with line and column where that makes sense.
    """
    if task is not None:
        checks.choice("task", task, TARGETS)
    checks.choice("missing", missing, ("error", "mean"))
    checks.real_number("test", test, least=0, below=1)
    if not isinstance(source, (str, os.PathLike)):
        for argument, value in (("size", size), ("channels", channels)):
            _refuse(argument, value, "data in memory", "only a folder of images takes it")
        return _from_memory(source, target, task, missing, test, seed)
    path = os.fspath(source)
    if path == "digits":
        path = DIGITS
    if os.path.isdir(path) and _has_image_folders(path):
        _refuse("target", target, path, "the names of its folders are the classes")
        _refuse("task", None if task == "classification" else task, path, "its images belong to classes")
        return image_folder(path, size=size, channels=channels, test=test, seed=seed)
    for argument, value in (("size", size), ("channels", channels)):
        _refuse(argument, value, path, "only a folder of images takes it")
    if os.path.isdir(path):
        return _from_arrays(path, read_idx_folder(path), target, task, test, seed)
    if foreign := other_format(path):
        raise ValueError(foreign)
    if is_archive(path):
        return _from_arrays(path, named_parts(path, read_npz(path)), target, task, test, seed)
    kind = kind_of(path)
    if kind == "npy":
        for argument, text in (("target", target), ("task", task)):
            _refuse(argument, text, path, "it holds one array; load((x, y)) takes two")
        return cast(Any, read_npy(path))
    if kind == "idx" or "idx" in os.path.basename(path).lower():
        raise ValueError(
            f"{path} is one IDX file: name the folder that has images and labels, or take fastnet.datasets.read_idx(path)"
        )
    if path.lower().endswith((".npz", ".npy")):
        raise ValueError(f"{path} is not an {path[-4:].lower()} file, or damaged")
    return _from_table(read_csv(path), target, task, missing, test, seed)


def read_inputs(path: Path, encoder: Encoder) -> Any:
    """The raw inputs of a file for `encoder.transform`: like the training data, a target is not needed.

    An .npz file with an array x (or x_test), an .npy file, an IDX file of images, a CSV file with the columns of the
    training, or an image or a folder of them, which are resized.
    """
    path, inputs = os.fspath(path), encoder.inputs
    if isinstance(inputs, ImageInputs) and (os.path.isdir(path) or path.lower().endswith(image_files.EXTENSIONS)):
        files = image_files.find_images(path) if os.path.isdir(path) else [existing_file(path)]
        if not files:
            raise ValueError(f"{path} has no images ({', '.join(image_files.EXTENSIONS)})")
        return Images(files, inputs.shape)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a directory; name its file of images")
    if foreign := other_format(path):
        raise ValueError(foreign)
    if is_archive(path):
        arrays = read_npz(path)
        return arrays["x_test"] if "x_test" in arrays and "x" not in arrays else named_parts(path, arrays)["x"]
    if isinstance(inputs, TableInputs):
        return read_csv(path, kinds=inputs.kinds())
    if kind_of(path) == "npy":
        return read_npy(path)
    if path.lower().endswith((".csv", ".csv.gz")):
        raise ValueError(f"{path}: the training data was arrays of shape {inputs.shape}, not a CSV file")
    return read_idx(path)


def _from_memory(source: Any, target: Any, task: str | None, missing: str, test: float, seed: int) -> Dataset:
    if isinstance(source, (tuple, list)) and len(source) == 2:
        x, y = (
            part if isinstance(part, np.ndarray) else _array(name, part)
            for name, part in zip("xy", source, strict=True)
        )
        containers.check_order("x", source[0], "y", source[1])
        return _from_arrays("(x, y)", {"x": x, "y": y}, target, task, test, seed)
    if containers.is_frame(source) or isinstance(source, dict):
        if target is not None and not isinstance(target, str):
            target = str(target)
        return _from_table(Table(source), target, task, missing, test, seed)
    if hasattr(source, "collect"):
        raise TypeError("source is a LazyFrame, which has no rows yet; pass source.collect()")
    raise TypeError(f"source must be a path, a DataFrame, a dict of columns, or (x, y); got {checks.describe(source)}")


def _array(name: str, value: Any) -> np.ndarray:
    """An array; labels may be texts."""
    if containers.is_series(value) and name == "y":
        array = containers.column(value)
        if array.dtype == object:
            if any(text is None for text in array):
                row = next(i for i, text in enumerate(array) if text is None)
                raise ValueError(f"y has missing values, first in row {row}; leave these rows out")
            return array.astype(str)
    return containers.as_array(name, value)


def _has_image_folders(path: str) -> bool:
    """Whether a folder has folders, and no IDX files beside them."""
    has_idx = any("idx" in name.lower() and os.path.isfile(os.path.join(path, name)) for name in os.listdir(path))
    return not has_idx and bool(image_files.subfolders(path))


def _refuse(argument: str, value: Any, path: str, reason: str) -> None:
    if value is not None:
        raise ValueError(f"{argument}: {path} does not take it; {reason}")


def _from_arrays(path: str, parts: dict[str, Any], target: str | None, task: str | None, test: float,
                 seed: int) -> Dataset:  # fmt: skip
    if target is not None:
        raise ValueError(f"target: {path} holds arrays, x and y; only the columns of a CSV file have names")
    if "y" not in parts:
        raise ValueError(f"{path} has no array y or y_train")
    x, y = _samples("x", parts["x"], "y", parts["y"])
    task = task or infer_task(y, images=x.ndim > 2)
    encoder_target = TARGETS[task].fit("y", y)
    if "x_test" in parts and "y_test" in parts:
        x_test, y_test = _samples("x_test", parts["x_test"], "y_test", parts["y_test"])
    elif test:
        train_rows, test_rows = split_rows(len(y), y if task == "classification" else None, test, seed)
        x, x_test, y, y_test = x[train_rows], x[test_rows], y[train_rows], y[test_rows]
    else:
        x_test, y_test = None, None
    encoder = Encoder(ArrayInputs.fit(x), encoder_target)
    return _dataset(encoder, x, y, x_test, y_test)


def _from_table(table: Table, target: str | None, task: str | None, missing: str, test: float, seed: int) -> Dataset:
    what = table.path or "the table"
    if len(table) < 2:
        raise ValueError(f"{what} has one column only, {next(iter(table), None)!r}; it needs a target and an input")
    if target is None:
        raise ValueError(f"target: name the column of {what} to learn, one of {', '.join(table)}")
    if not table.length:
        raise ValueError(f"{what} has no rows")
    checks.choice("target", target, table)
    y = table[target]
    gone = y == "" if y.dtype == object else ~np.isfinite(y)
    if gone.any():
        raise ValueError(f"{table.place(int(np.argmax(gone)), target)}: the target is missing or infinite")
    task = task or infer_task(y)
    if test:
        train_rows, test_rows = split_rows(len(y), y if task == "classification" else None, test, seed)
    else:
        train_rows, test_rows = np.arange(len(y)), None
    names = [name for name in table if name != target]
    encoder_target = TARGETS[task].fit(target, y)
    inputs = TableInputs.fit(table, names, train_rows, missing)
    encoder = Encoder(inputs, encoder_target)
    if table.path is not None:
        claimed = 4 * table.length * inputs.width()
        check_claim(table.path, claimed, os.path.getsize(table.path), "leave out columns with many categories")
    x = encoder.transform(table)
    y = encoder.encode_target(y)
    if test_rows is None:
        return Dataset(x, y, None, None, encoder)
    return Dataset(x[train_rows], y[train_rows], x[test_rows], y[test_rows], encoder)


def _dataset(encoder: Encoder, x: Array, y: Array, x_test: Array | None, y_test: Array | None) -> Dataset:
    x, y = encoder.transform(x), encoder.encode_target(y)
    if x_test is not None:
        x_test, y_test = encoder.transform(x_test), encoder.encode_target(y_test)
    return Dataset(x, y, x_test, y_test, encoder)


def _samples(x_name: str, x: Any, y_name: str, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Checked raw inputs, and one target for each."""
    x, y = raw_array(x_name, x), np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    elif y.ndim == 2 and y.dtype.kind in "fiub" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)  # one-hot
    if y.ndim != 1:
        raise ValueError(f"{y_name} must have one value for each sample; got shape {y.shape}")
    if len(x) != len(y):
        raise ValueError(f"{x_name} and {y_name} must have the same length; got {len(x)} and {len(y)}")
    if x.size == 0:
        raise ValueError(f"{x_name} is empty: shape {x.shape}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise ValueError(f"{y_name} holds {y[row]} at index {row}; NaN and Inf can't be learned")
    return x, y.astype(str).astype(object) if y.dtype.kind in "US" else y


def infer_task(y: np.ndarray, images: bool = False) -> str:
    """Classification for texts, booleans, and whole numbers of which there are few (or that belong to images)."""
    if y.dtype.kind in "bO":
        return "classification"
    if y.dtype.kind in "iu" and images:
        return "classification"
    values = np.unique(y)
    whole = y.dtype.kind in "iu" or (values == np.floor(values)).all()
    return "classification" if whole and len(values) <= min(FEW_VALUES, max(2, len(y) // 2)) else "regression"
