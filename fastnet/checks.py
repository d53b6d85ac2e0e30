"""Checks of arguments: each names the argument, what came, what was expected."""

from __future__ import annotations

import difflib
import itertools
import math
import numbers
import operator
import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

PLAIN_DTYPE = re.compile(r"[<>=|]?[?A-Za-z][A-Za-z0-9]{0,20}", re.ASCII)
# A comparison takes time in proportion to the product of the lengths, and both names may come from a file.
LONGEST_NAME, MOST_NAMES = 100, 1000


def nearest(name: str, known: Iterable[Any]) -> str:
    """`; did you mean 'relu'?` for a name close to a known one, else an empty string."""
    if len(str(name)) > LONGEST_NAME:
        return ""
    names = [text for k in itertools.islice(known, MOST_NAMES) if len(text := str(k)) <= LONGEST_NAME]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def choice(argument: str, value: Any, known: Iterable[Any]) -> str:
    """`value`, one of the names in `known`."""
    known = list(known)
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a name, one of {', '.join(known)}; got {describe(value)}")
    if value not in known:
        raise ValueError(f"{argument} {value!r} is not one of {', '.join(known)}{nearest(value, known)}")
    return value


def describe(value: Any) -> str:
    """A value in few words, for an error."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def whole_number(argument: str, value: Any, least: int | None = None) -> int:
    """`value` as an int; bools and floats are refused."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument} must be a whole number; got {describe(value)}")
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{argument} must be a whole number; got {describe(value)}") from None
    if least is not None and value < least:
        raise ValueError(f"{argument} must be at least {least}; got {value}")
    return value


def real_number(argument: str, value: Any, *, least: float | None = None, above: float | None = None,
                most: float | None = None, below: float | None = None) -> float:  # fmt: skip
    """`value` as a finite float within the bounds."""
    if type(value) is not float:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.floating, np.integer)):
            raise TypeError(f"{argument} must be a number; got {describe(value)}")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"{argument} must be finite; got a whole number above all floats") from None
    if not math.isfinite(value):
        raise ValueError(f"{argument} must be finite; got {value}")
    good = (
        (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )
    if not good:
        bounds = {"at least": least, "above": above, "at most": most, "below": below}
        text = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        raise ValueError(f"{argument} must be {text}; got {value:g}")
    return value


def flag(argument: str, value: Any) -> bool:
    """`value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument} must be True or False; got {describe(value)}")
    return bool(value)


def path(argument: str, value: Any) -> str:
    """A path as a text."""
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a path, a text or a Path; got {describe(value)}")
    if not text:
        raise ValueError(f"{argument} must be a path; got an empty text")
    return text


def plain_dtype(value: Any) -> np.dtype:
    """NumPy's dtype of a type, or of a name such as "float32" or "<f4".

    Raises
    ------
    TypeError
        There is none. In texts with commas and brackets, which stand for several fields, NumPy evaluates numbers.
    """
    if isinstance(value, str) and not PLAIN_DTYPE.fullmatch(value):
        raise TypeError(f"{value!r} is not the name of a dtype")
    return np.dtype(value)


def dtype_name(argument: str, value: Any) -> str:
    """ "float32" or "float64" for what NumPy takes as that dtype."""
    try:
        name = plain_dtype(value).name
    except TypeError:
        raise TypeError(f"{argument} must be 'float32' or 'float64'; got {describe(value)}") from None
    if name not in ("float32", "float64"):
        raise ValueError(f"{argument} must be 'float32' or 'float64'; got {name!r}")
    return name


def shape(argument: str, value: Any, least: int = 1) -> tuple[int, ...]:
    """`value` as a tuple of whole numbers, each at least `least`; one number stands for a tuple of one."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        value = (value,)
    try:
        items = tuple(value)
    except TypeError:
        raise TypeError(f"{argument} must be a tuple of whole numbers; got {describe(value)}") from None
    return tuple(whole_number(f"{argument}[{i}]", n, least) for i, n in enumerate(items))


def same_or_apart(argument: str, out: np.ndarray, **inputs: np.ndarray) -> None:
    """Refuse a C-contiguous `out` that overlaps one of the C-contiguous inputs without being that very array."""
    for name, array in inputs.items():
        if np.may_share_memory(out, array) and out.ctypes.data != array.ctypes.data:
            raise ValueError(f"{argument} overlaps {name}; it must be {name} itself or an array of its own")
