"""Nested values as one JSON document and arrays beside it, with every bit of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnet import checks

__all__ = ["pack", "unpack"]

# A dict with just one of these keys stands for what JSON has no form of.
MARKS = ("array", "scalar", "float", "tuple", "set", "dict")


def pack(value: Any, tensors: dict[str, np.ndarray], place: str) -> Any:
    """What JSON can hold for a nested value; its arrays are put into `tensors`.

    Parameters
    ----------
    value
        None, booleans, whole numbers, floats (NaN and infinite ones, too), texts, arrays and NumPy's numbers, and lists, tuples,
        sets and dicts of these.
    tensors : dict
        Gets the arrays, by the way to them: "weights/dense_1.bias".
    place : str
        The way to `value`.

    Raises
    ------
    TypeError
        Something else is in it: the error says where.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.files import pack, unpack
    >>> tensors = {}
    >>> pack({"best": float("inf"), "weights": {"a": np.ones(2)}}, tensors, "state")
    {'best': {'float': 'inf'}, 'weights': {'a': {'array': 'state/weights/a'}}}
    >>> unpack(_, tensors)
    {'best': inf, 'weights': {'a': array([1., 1.])}}
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float) and not isinstance(value, np.generic):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8:
        return {"array" if isinstance(value, np.ndarray) else "scalar": _add(value, tensors, place)}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        packed = [pack(item, tensors, f"{place}/{i}") for i, item in enumerate(items)]
        return packed if isinstance(value, list) else {"tuple" if isinstance(value, tuple) else "set": packed}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and not (len(value) == 1 and next(iter(value)) in MARKS):
            return {key: pack(item, tensors, f"{place}/{key}") for key, item in value.items()}
        pairs = [[key, item] for key, item in value.items()]
        return {"dict": [[pack(part, tensors, f"{place}/{pair[0]}") for part in pair] for pair in pairs]}
    raise TypeError(
        f"{place} is {checks.describe(value)}; a file holds numbers, texts, arrays, and lists, tuples, sets and dicts of them"
    )


def _add(array: Any, tensors: dict[str, Any], place: str) -> str:
    name, n = place, 1
    while name in tensors:
        name, n = f"{place}#{n}", n + 1
    tensors[name] = np.asarray(array)
    return name


def unpack(packed: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The value that `pack` was given.

    Raises
    ------
    ValueError, KeyError, TypeError
        `packed` is not what `pack` gives, or an array is missing.
    """
    if isinstance(packed, list):
        return [unpack(item, tensors) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if len(packed) != 1 or next(iter(packed)) not in MARKS:
        return {key: unpack(item, tensors) for key, item in packed.items()}
    ((mark, content),) = packed.items()
    if mark in ("array", "scalar"):
        return tensors[content] if mark == "array" else tensors[content][()]
    if mark == "float":
        return float(content)
    if mark == "dict":
        return {unpack(key, tensors): unpack(item, tensors) for key, item in content}
    items = [unpack(item, tensors) for item in content]
    return tuple(items) if mark == "tuple" else set(items)
