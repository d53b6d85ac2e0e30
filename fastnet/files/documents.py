"""Numbers as JSON documents have them, and the documents of a run read back."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastnet.files.atomic import existing_file, write_bytes

if TYPE_CHECKING:
    from fastnet.types import Path

__all__ = ["parse_json", "plain", "read_json", "read_rows", "write_json"]

# Lists and dicts in each other. Far above what a network's description has, and far below what would take Python's stack.
DEEPEST = 100


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says, for all documents that come from files.

    Raises
    ------
    ValueError
        It is no JSON, is nested deeper than 100 lists and dicts, names a key twice, or has NaN or Infinity, which JSON has not.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} deep") from None
    _check_depth(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has the key {next(name for name in found if names.count(name) > 1)!r} twice")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"it has {text}, which JSON has not")


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
    if level:
        raise ValueError(f"it is nested more than {DEEPEST} deep")


def plain(value: Any) -> Any:
    """Numbers as JSON has them: arrays become lists, what is not finite becomes None.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.files import plain
    >>> plain({1: np.array([0.5, np.nan]), "n": np.int64(3)})
    {'1': [0.5, None], 'n': 3}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write what `plain` makes of a value, as a UTF-8 file, at once or not at all."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path, kind: type) -> Any:
    """What a UTF-8 file holds as JSON, a dict or list as `kind` says; ValueError for a file that is damaged."""
    with open(existing_file(path), encoding="utf-8") as file:
        try:
            value = parse_json(file.read())
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path} is damaged: it does not hold a {kind.__name__}")
    return value


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file, by the names in its first; ValueError for a file that is damaged."""
    with open(existing_file(path), encoding="utf-8", newline="") as file:
        try:
            rows = list(csv.DictReader(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from None
    if any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{path} is damaged: a line has more or fewer fields than the first")
    return rows
