"""Numbers as JSON documents have them."""

from __future__ import annotations

import json
import math

import numpy as np

from fastnet.files.atomic import write_bytes

__all__ = ["plain", "write_json"]


def plain(value):
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


def write_json(path, value, *, indent=None) -> None:
    """Write what `plain` makes of a value, as a UTF-8 file, at once or not at all."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())
