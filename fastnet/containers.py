"""Arrays from what other libraries keep data in: pandas, polars, PyTorch, DLPack; and clear refusals of what has no numbers.

No such library is imported: what it made says so by its type.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = [
    "as_array",
    "check_order",
    "column",
    "columns_of",
    "is_array_like",
    "is_frame",
    "is_series",
    "is_sparse",
    "mapping_of",
    "names_of",
    "text_hint",
]

NUMBERS = "fiub"


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def as_array(argument: str, value: Any) -> np.ndarray:
    """`value` as a plain array; what its dtype may be is for others to say.

    Raises
    ------
    TypeError, ValueError
        Texts, missing values, or what would need a decision to become an array.
    """
    if isinstance(value, np.ma.MaskedArray):
        return _unmasked(argument, value)
    if isinstance(value, np.ndarray):
        return _known_dtype(np.asarray(value))
    if is_sparse(value):
        raise TypeError(
            f"{argument} is a sparse matrix of shape {value.shape}; {argument}.toarray() makes an array of it"
        )
    library = _library(value)
    if library == "polars" and hasattr(value, "collect"):
        raise TypeError(f"{argument} is a polars LazyFrame, which has no rows yet; pass {argument}.collect()")
    if is_frame(value):
        return _from_frame(argument, value)
    if library in ("pandas", "polars") and hasattr(value, "to_numpy"):
        return _from_series(argument, value)
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        return _from_torch(argument, value)
    if not _has_array(value) and hasattr(value, "__dlpack__"):
        return _from_dlpack(argument, value)
    if isinstance(value, Mapping):
        raise TypeError(f"{argument} must be an array; got a {type(value).__name__} with the keys {list(value)[:8]}")
    try:
        return _known_dtype(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument} cannot be made an array: {error}") from error


def _has_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def is_array_like(value: Any) -> bool:
    """Whether `as_array` has to judge it, although it may be an iterable, too."""
    known = _has_array(value) or hasattr(value, "__dlpack__") or is_sparse(value)
    return known or _library(value) in ("pandas", "polars")


def _known_dtype(array: np.ndarray) -> np.ndarray:
    """Floats shorter than NumPy's own (ml_dtypes, of JAX) as float32, which holds them exactly."""
    if array.dtype.kind == "V" and array.dtype.name.startswith(("bfloat16", "float8")):
        return array.astype(np.float32)
    return array


def _unmasked(argument: str, array: np.ma.MaskedArray) -> np.ndarray:
    mask = np.ma.getmaskarray(array)
    if mask.any():
        first = tuple(int(i) for i in np.argwhere(mask)[0])
        raise ValueError(
            f"{argument} has {int(mask.sum())} masked values, first at index {first}, which are missing values; "
            f"{argument}.filled(...) says what stands for them"
        )
    return np.asarray(array.data)


def is_sparse(value: Any) -> bool:
    """Whether this is a sparse matrix or array of SciPy."""
    return hasattr(value, "toarray") and hasattr(value, "nnz")


# Tables


def is_frame(value: Any) -> bool:
    """Whether this is a DataFrame of pandas or polars."""
    return _library(value) in ("pandas", "polars") and hasattr(value, "to_numpy") and hasattr(value, "columns")


def names_of(value: Any) -> list[str] | None:
    """The columns' names of a DataFrame."""
    return [str(name) for name in value.columns] if is_frame(value) else None


def is_series(value: Any) -> bool:
    """Whether this is a column of pandas or polars."""
    return _library(value) in ("pandas", "polars") and type(value).__name__ == "Series"


def columns_of(frame: Any) -> dict[str, np.ndarray]:
    """The columns of a DataFrame: float64 with NaN for missing values, or objects with None."""
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the DataFrame has two columns {name!r}")
    return {name: column(series) for name, series in zip(names, _series_of(frame), strict=True)}


def _series_of(frame: Any) -> list[Any]:
    if _library(frame) == "polars":
        return frame.get_columns()
    return [frame.iloc[:, i] for i in range(frame.shape[1])]


def _is_text(series: Any) -> bool:
    """Whether a column holds texts or categories."""
    kind = str(series.dtype).lower()
    return kind.startswith(("category", "categorical", "enum", "string", "str", "utf8", "large_string"))


def column(series: Any) -> np.ndarray:
    """A column of pandas or polars: numbers as float64, missing ones as NaN; anything else as objects, missing ones as None."""
    missing = _missing(series)
    if not _is_text(series):
        numbers = _numbers(series, missing)
        if numbers is not None:
            return numbers.astype(np.float64)
    values = np.array(series.to_list(), object)
    values[missing] = None
    if str(series.dtype) == "category":  # numbers that are names are texts
        values[:] = [None if value is None else value if isinstance(value, str) else f"{value}" for value in values]
    return values


def _missing(series: Any) -> np.ndarray:
    return np.asarray(series.is_null() if _library(series) == "polars" else series.isna(), bool)


def _numbers(series: Any, missing: np.ndarray) -> np.ndarray | None:
    """A column's numbers, NaN where one is missing, or None where it holds something else."""
    if _library(series) == "polars":
        if not (series.dtype.is_numeric() or str(series.dtype) == "Boolean"):
            return None
        array = series.to_numpy()
        if array.dtype.kind == "O":  # booleans with missing ones, decimals
            array = np.array([np.nan if value is None else float(value) for value in array])
        return array
    if series.dtype == object:
        series = series.infer_objects()
        if series.dtype == object and missing.any():  # booleans, or numbers, with None among them
            series = series.where(~missing, np.nan).infer_objects()
            if not all(isinstance(value, (bool, int, float, np.number)) for value in series):
                return None
            return np.array([float(value) for value in series])
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.to_numpy() if dtype.kind in NUMBERS else None
    if getattr(dtype, "kind", "O") not in NUMBERS:
        return None
    if missing.any():
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    found = getattr(dtype, "numpy_dtype", None)
    return series.to_numpy(dtype=found if isinstance(found, np.dtype) and found.kind in NUMBERS else np.float64)


def _from_frame(argument: str, frame: Any) -> np.ndarray:
    """The columns beside one another, in a dtype that holds all of them."""
    names = [str(name) for name in frame.columns]
    arrays, texts, gone = [], [], []
    for name, series in zip(names, _series_of(frame), strict=True):
        missing = _missing(series)
        numbers = None if _is_text(series) else _numbers(series, missing)
        if numbers is None:
            texts.append(f"{name!r} ({series.dtype})")
            continue
        if _has_gap(series, missing):
            gone.append(f"{name!r} ({int(missing.sum())}, first in row {int(missing.argmax())})")
        arrays.append(numbers)
    if texts:
        raise TypeError(
            f"{argument} has columns that do not hold numbers: {_listed(texts)}. fastnet.datasets.load(frame, "
            "target=...) makes inputs of texts and categories, or leave these columns out"
        )
    if gone:
        raise ValueError(
            f"{argument} has missing values in the columns {_listed(gone)}; fill them in (fillna, fill_null), leave the "
            "columns out, or take fastnet.datasets.load(frame, target=..., missing='mean')"
        )
    if not arrays:
        return np.empty((len(frame), 0))
    if _library(frame) == "pandas" and len({series.dtype for series in _series_of(frame)}) == 1:
        if isinstance(frame.dtypes.iloc[0], np.dtype) and frame.dtypes.iloc[0].kind in NUMBERS:
            return frame.to_numpy()  # often without a copy
    return np.stack(arrays, axis=1)


def text_hint(argument: str) -> str:
    """What to do about texts."""
    if argument.endswith("y"):
        return f"encode texts as class numbers: classes, {argument} = numpy.unique({argument}, return_inverse=True)"
    return "fastnet.datasets.load(frame, target=...) makes inputs of texts and categories"


def _has_gap(series: Any, missing: np.ndarray) -> bool:
    """Whether values are missing, other than by the NaN of a float column, which is a value of its own."""
    if isinstance(getattr(series, "dtype", None), np.dtype) and series.dtype.kind == "f":
        return False
    return bool(missing.any())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _from_series(argument: str, series: Any) -> np.ndarray:
    if not hasattr(series, "dtype") or not hasattr(series, "to_list"):  # an array of pandas, without a name
        return _known_dtype(np.asarray(series))
    if type(series).__name__.endswith("Index") or not hasattr(series, "name"):
        return np.asarray(series)
    missing = _missing(series)
    numbers = None if _is_text(series) else _numbers(series, missing)
    name = "" if series.name in (None, "") else f" ({series.name!r})"
    if numbers is None:
        example = next((value for value in series.to_list() if value is not None), None)
        raise TypeError(
            f"{argument}{name} does not hold numbers: its dtype is {series.dtype}, with values such as {example!r}; "
            f"{text_hint(argument)}"
        )
    if _has_gap(series, missing):
        raise ValueError(
            f"{argument}{name} has {int(missing.sum())} missing values, first in row {int(missing.argmax())}; "
            "fill them in or leave these rows out"
        )
    return numbers


def check_order(x_name: str, x: Any, y_name: str, y: Any) -> None:
    """Refuse x and y of pandas whose indexes have the same labels in another order: they were sorted apart.

    Rows belong together by their position, whatever indexes say.
    """
    if _library(x) != "pandas" or _library(y) != "pandas" or not (hasattr(x, "index") and hasattr(y, "index")):
        return
    a, b = x.index, y.index
    if len(a) != len(b) or a.equals(b):
        return
    if a.is_unique and b.is_unique and a.isin(b).all():
        row = next(i for i, (one, other) in enumerate(zip(a, b, strict=True)) if one != other)
        raise ValueError(
            f"{x_name} and {y_name} have the same index in different orders: row {row} is {a[row]!r} in {x_name} and "
            f"{b[row]!r} in {y_name}. Rows belong together by position: {y_name}.loc[{x_name}.index] has the order of "
            f"{x_name}, {y_name}.to_numpy() keeps its own"
        )


# Tensors


def _from_torch(argument: str, tensor: Any) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"{argument} is a tensor on {tensor.device}; fastnet computes on CPUs: pass {argument}.cpu()")
    tensor = tensor.detach()
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{argument} is a sparse tensor ({tensor.layout}); {argument}.to_dense() makes a dense one")
    if str(tensor.dtype).startswith(("torch.bfloat16", "torch.float8")):
        tensor = tensor.float()
    try:
        return tensor.resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{argument} is a tensor of dtype {tensor.dtype}, which has no array: {error}") from None


def _from_dlpack(argument: str, value: Any) -> np.ndarray:
    """A view where possible; it is only read, so that one that must not be written will do."""
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{argument} ({type(value).__name__}) cannot be taken over by DLPack: {error}; pass it as a NumPy array"
        ) from None


# Memory maps


def mapping_of(array: Any) -> np.memmap | None:
    """The memory map of a file in which an array's bytes are, if they are in one."""
    found = None
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            found = array
        array = array.base
    return found if found is not None and isinstance(array, mmap.mmap) else None
