"""What turns raw inputs into what a network is trained on, learned from the training part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.datasets.images import Images
from fastnet.datasets.table import Table

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["ArrayInputs", "ImageInputs", "TableInputs"]

MOST_CATEGORIES = 1000


def mean_and_std(x: np.ndarray, axis: int | None = 0) -> tuple[np.ndarray, np.ndarray]:
    """In double precision, without overflow; the deviation of constant data is given as 1."""
    least, most = x.min(axis=axis, keepdims=True), x.max(axis=axis, keepdims=True)
    largest = np.maximum(-least.astype(np.float64), most.astype(np.float64))
    largest[largest == 0] = 1
    count = x.size / least.size
    mean = sum((part / largest).sum(axis=axis, keepdims=True) for part in _parts(x)) / count
    squares = sum(np.square(part / largest - mean).sum(axis=axis, keepdims=True) for part in _parts(x))
    std = np.where(most == least, 1, np.sqrt(squares / count) * largest)
    return np.squeeze(mean * largest, axis), np.squeeze(std, axis)


def _parts(x: np.ndarray) -> Iterator[Array]:
    """Slices that keep temporary copies in double precision small."""
    rows = max(1, (1 << 20) // max(1, x[:1].size))
    return (x[i : i + rows] for i in range(0, len(x), rows))


def _scale(x: np.ndarray, mean: Any, std: Any, what: str) -> np.ndarray:
    """(x - mean) / std as float32."""
    result = np.empty(x.shape, np.float32)
    with np.errstate(over="ignore"):
        for part, scaled in zip(_parts(x), _parts(result), strict=True):
            scaled[...] = (part - np.asarray(mean)) / np.asarray(std)
    if np.isinf(result).any():
        raise ValueError(f"{what} holds values that are too large, far beyond those of the training data")
    return result


class ArrayInputs:
    """Arrays of samples: images of bytes are divided by their largest value, other numbers standardized.

    Parameters
    ----------
    shape : tuple of int
        One raw sample's.
    divide : float, optional
        Images of integers from 0 to this.
    mean, std : float or list, optional
        Otherwise: of each column, or of all values where samples have more than one axis.
    """

    kind = "array"

    def __init__(self, shape: Iterable[int], divide: float | None = None, mean: Any = None, std: Any = None) -> None:
        self.shape = tuple(shape)
        self.divide = divide
        self.mean = mean
        self.std = std

    @classmethod
    def fit(cls, x: np.ndarray) -> ArrayInputs:
        if x.dtype == np.uint8 and x.ndim >= 3:
            largest = int(x.max())
            return cls(x.shape[1:], divide=largest if 0 < largest <= 16 else 255)
        mean, std = mean_and_std(x, axis=0 if x.ndim == 2 else None)
        return cls(x.shape[1:], mean=mean.tolist(), std=std.tolist())

    def transform(self, x: Any) -> np.ndarray:
        """Raw samples as float32, grey images with an axis for the channel: (n, height, width, 1)."""
        x = raw_array("x", x)
        if x.shape[1:] != self.shape:
            if x.ndim == 2 and len(self.shape) == 1:
                raise ValueError(f"x has {x.shape[1]} columns; the training data had {self.shape[0]}")
            raise ValueError(f"x must hold samples of shape {self.shape}; got an array of shape {x.shape}")
        if self.divide is None:
            return _scale(x, self.mean, self.std, "x")
        self._check_range(x, self.divide)
        scaled = np.multiply(x, np.float32(1 / self.divide), dtype=np.float32)
        return scaled[..., None] if len(self.shape) == 2 else scaled

    @staticmethod
    def _check_range(x: Array, most_allowed: float) -> None:
        if not x.size:
            return
        least, most = x.min(), x.max()
        if least < 0 or most > most_allowed:
            raise ValueError(
                f"x must hold values from 0 to {most_allowed:g}, as the training data; got {least:g} to {most:g}"
            )
        if x.dtype.kind == "f" and (x % 1).any():
            raise ValueError(
                f"x must hold whole numbers from 0 to {most_allowed:g}, as the training data; got fractions such as "
                f"{x[x % 1 != 0][0]:g} (is it scaled already?)"
            )

    def config(self) -> dict[str, Any]:
        scaling = {"mean": self.mean, "std": self.std} if self.divide is None else {"divide": self.divide}
        return {"shape": list(self.shape), **scaling}


class ImageInputs(ArrayInputs):
    """Images in files, resized to one size, from 0 to 1; or arrays of their bytes.

    Parameters
    ----------
    shape : (height, width, channels)
    """

    kind = "images"

    def __init__(self, shape: Iterable[int]) -> None:
        super().__init__(shape, divide=255)

    def transform(self, x: Any) -> Any:
        """`Images` as they are, an array of bytes as float32 in [0, 1]."""
        if not isinstance(x, Images):
            return super().transform(x)
        if x.shape[1:] != self.shape:
            raise ValueError(f"x must hold images of shape {self.shape}; got {x.shape[1:]}")
        return x

    def config(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}


def raw_array(name: str, x: Any) -> np.ndarray:
    """Samples as an array of finite numbers with two axes or more."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be an array of numbers; got dtype {x.dtype}")
    if x.ndim == 0:
        raise ValueError(f"{name} must be an array of samples; got a single number")
    if x.ndim == 1:
        x = x[:, None]
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        index = np.unravel_index(np.argmin(np.isfinite(x)), x.shape)
        raise ValueError(f"{name} holds {x[index]} at index {tuple(int(i) for i in index)}; NaN and Inf can't be used")
    return x


class TableInputs:
    """Columns of a table: numbers are standardized, texts become one column of 0 and 1 for each category.

    Parameters
    ----------
    columns : list of dict
        ``{"name", "mean", "std"}`` of a numeric column, ``{"name", "categories"}`` of one with texts.
    missing : "error" or "mean"
        What becomes of missing values: "mean" takes the mean of a numeric column, and has "" as a category of its own.
    """

    kind = "table"

    def __init__(self, columns: list[dict[str, Any]], missing: str = "error") -> None:
        self.columns = columns
        self.missing = checks.choice("missing", missing, ("error", "mean"))

    @classmethod
    def fit(cls, table: Table, names: Iterable[str], train_rows: np.ndarray, missing: str) -> TableInputs:
        """Means and deviations come from the training rows, categories from all rows."""
        inputs = cls([], missing)
        for name in names:
            column = table[name]
            inputs._check_missing(table, name)
            if column.dtype == object:
                inputs.columns.append({"name": name, "categories": _categories(table, name)})
                continue
            values = column[train_rows]
            values = values[~np.isnan(values)]
            if not values.size:
                raise ValueError(f"column {name!r} has no values; leave it out")
            mean, std = mean_and_std(values)
            inputs.columns.append({"name": name, "mean": float(mean), "std": float(std)})
        return inputs

    def kinds(self) -> dict[str, str]:
        """ "number" or "text" for each column."""
        return {column["name"]: "text" if "categories" in column else "number" for column in self.columns}

    def width(self) -> int:
        """How many inputs the columns become."""
        return sum(len(column.get("categories", (1,))) for column in self.columns)

    def transform(self, table: Any) -> np.ndarray:
        """A table (a `Table`, a dict of columns or a DataFrame), or an array with the columns in order, as float32."""
        table = self._as_table(table)
        parts = []
        for column in self.columns:
            name = column["name"]
            if name not in table:
                raise ValueError(f"the column {name!r} is missing{checks.nearest(name, table)}")
            if "categories" in column:
                parts.append(self._one_hot(table, name, column["categories"]))
                continue
            values = table[name]
            if values.dtype == object:
                raise ValueError(f"{table.place(0, name)}: {values[0]!r} is not a number, as the training data's")
            self._check_missing(table, name)
            scaled = _scale(values[:, None], column["mean"], column["std"], f"column {name!r}")
            parts.append(np.nan_to_num(scaled, copy=False, nan=0))  # a missing value becomes the mean
        return np.concatenate(parts, axis=1)

    def restore(self, x: Any) -> dict[str, list[Any]]:
        """Inputs of the network as a table's columns again: numbers in their own unit, categories by name.

        A missing value that became the mean comes back as the mean.
        """
        x = np.asarray(x, np.float64)
        found, at = {}, 0
        for column in self.columns:
            if "categories" in column:
                width = len(column["categories"])
                found[column["name"]] = [column["categories"][i] for i in x[:, at : at + width].argmax(axis=1)]
            else:
                width = 1
                found[column["name"]] = (x[:, at] * column["std"] + column["mean"]).tolist()
            at += width
        return found

    def _as_table(self, data: Any) -> Table:
        if isinstance(data, Table):
            return data
        if hasattr(data, "keys"):
            return Table(data)
        array = np.asarray(data)
        names = [column["name"] for column in self.columns]
        if array.ndim != 2 or array.shape[1] != len(names):
            raise ValueError(
                f"the data must be a table with the {len(names)} columns {', '.join(names[:8])}"
                f"{', ...' if len(names) > 8 else ''}; got an array of shape {array.shape}"
            )
        return Table({name: array[:, i] for i, name in enumerate(names)})

    def _check_missing(self, table: Table, name: str) -> None:
        column = table[name]
        if column.dtype == object:
            gone = column == ""
        else:
            gone = np.isnan(column)
            if np.isinf(column).any():
                raise ValueError(f"{table.place(int(np.argmax(np.isinf(column))), name)}: the value is infinite")
        if self.missing == "error" and gone.any():
            more = int(gone.sum()) - 1
            raise ValueError(
                f"{table.place(int(np.argmax(gone)), name)}: the value is missing"
                f"{f' (and {more} more in this column)' if more else ''}; fill it in, leave the column out, "
                "or train with missing='mean'"
            )

    def _one_hot(self, table: Table, name: str, categories: list[str]) -> np.ndarray:
        column = table[name]
        if column.dtype != object:
            column = np.array([number_text(value) for value in column], object)
        index = {category: i for i, category in enumerate(categories)}
        codes = np.array([index.get(text, -1) for text in column], np.intp)
        if (codes < 0).any():
            row = int(np.argmin(codes))
            known = ", ".join(map(repr, categories[:5])) + (", ..." if len(categories) > 5 else "")
            what = repr(column[row]) if column[row] else "the value is missing; it"
            raise ValueError(
                f"{table.place(row, name)}: {what} is not one of the training data's categories {known}"
                f"{checks.nearest(column[row], categories)}"
            )
        return np.eye(len(categories), dtype=np.float32)[codes]

    def config(self) -> dict[str, Any]:
        return {"columns": self.columns, "missing": self.missing}


def number_text(value: float) -> str:
    """3 for 3.0, and what Python prints for fractions; nothing for NaN."""
    if np.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _categories(table: Table, name: str) -> list[str]:
    categories = sorted(set(table[name]))
    if len(categories) > MOST_CATEGORIES or (len(categories) > 50 and len(categories) > table.length // 2):
        raise ValueError(
            f"column {name!r} has {len(categories)} different texts in {table.length} rows "
            f"(such as {categories[0]!r}): too many for categories; leave it out"
        )
    return categories
