"""The header of NumPy's .npy format, read without evaluating it: it is a dict in Python's syntax with three keys."""

from __future__ import annotations

import re
from typing import IO

import numpy as np

__all__ = ["read_npy_header"]

MAGIC = b"\x93NUMPY"
LONGEST = 10_000  # bytes of a header, as NumPy reads them where it is not told to trust the file
ITEM = re.compile(
    r"""\s*(?P<quote>['"])(?:
        descr(?P=quote)\s*:\s*(?:(?P<mark>['"])(?P<descr>[<>=|]?[?A-Za-z]\d{0,9}(?:\[\w+\])?)(?P=mark)|(?P<structured>\[[^{}]*\]))
        |fortran_order(?P=quote)\s*:\s*(?P<order>True|False)
        |shape(?P=quote)\s*:\s*\((?P<shape>[\d\sL,]*)\)
    )\s*(?P<end>,\s*\}?|\})\s*""",
    re.VERBOSE | re.ASCII,
)
SHAPE = re.compile(r"\s*(?:\d{1,19}L?\s*(?:,\s*\d{1,19}L?\s*)*(?:,\s*)?)?", re.ASCII)  # L: as Python 2 wrote numbers


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order (whether by columns) and dtype of the array that comes next in a file.

    Raises
    ------
    ValueError
        There is no header of NumPy's format.
    """
    start = file.read(8)
    if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise ValueError("it does not begin as NumPy's format")
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    if length > LONGEST:
        raise ValueError(f"its header has {length:,} bytes")
    header = file.read(length)
    if len(header) < length:
        raise ValueError("its header is cut short")
    found = _items(header.decode("latin-1"))
    if found.keys() != {"descr", "order", "shape"}:
        raise ValueError("its header does not say shape, order and dtype")
    return _shape(found["shape"]), found["order"] == "True", _dtype(found["descr"])


def _items(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at, end = 1, ","
    if not text.startswith("{"):
        raise ValueError("its header is no dict")
    while "}" not in end:
        item = ITEM.match(text, at)
        if item is None:
            raise ValueError("its header has something else than shape, order and dtype")
        name = (
            "descr" if item["structured"] else next(key for key in ("descr", "order", "shape") if item[key] is not None)
        )
        if name in found:
            raise ValueError("its header says something twice")
        found[name] = item["structured"] or item[name]
        at, end = item.end(), item["end"]
    if text[at:].strip():
        raise ValueError("its header goes on behind its end")
    return found


def _shape(text: str) -> tuple[int, ...]:
    if not SHAPE.fullmatch(text):
        raise ValueError("its shape is no tuple of whole numbers")
    sizes = tuple(int(part.strip().rstrip("L")) for part in text.split(",") if part.strip())
    if len(sizes) == 1 and "," not in text:
        raise ValueError("its shape is no tuple of whole numbers")
    return sizes


def _dtype(text: str) -> np.dtype:
    if text.startswith("["):
        return np.dtype("V1")  # of several fields, which nobody reads here
    try:
        return np.dtype(text)
    except (TypeError, ValueError, OverflowError, MemoryError):
        raise ValueError(f"its dtype {text!r} is not known") from None
