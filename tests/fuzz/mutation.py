"""Changes of inputs that keep them near to being files: of bytes, of JSON documents, and of fields that hold numbers.

All draw from a `random.Random`, so that a seed says what comes.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import Any

__all__ = ["mutate_bytes", "mutate_gzip", "mutate_json", "mutate_number"]

#: Numbers at which sizes and counts go wrong.
NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**40,
    10**12,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    -(2**31),
    -(2**63),
    10**30,
    10**400,
]
FLOATS = [0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, -1e308, 3.5e38]
TEXTS = [
    "",
    "a",
    "input",
    "__class__",
    "../../etc/passwd",
    "/etc/passwd",
    "\x00",
    "\ud800",
    "é",
    "0",
    "1e999",
    "x" * 300,
]


def mutate_number(rng: random.Random, number: int) -> int:
    """Another whole number: near, or one where sizes go wrong."""
    return rng.choice([number + 1, number - 1, -number, 2 * number, number * 1000, rng.choice(NUMBERS)])


def mutate_bytes(rng: random.Random, data: bytes, most: int = 1 << 16) -> bytes:
    """Flip, set, insert, repeat, move or cut bytes, a few times."""
    content = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 8])):
        at = rng.randrange(len(content) + 1)
        length = min(rng.choice([1, 1, 2, 4, 8, 32, 256]), len(content) - at)
        kind = rng.randrange(7)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(content):
            content[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif kind == 2:
            del content[at : at + length]
        elif kind == 3:
            content[at:at] = rng.randbytes(length or 1)
        elif kind == 4:
            content[at:at] = content[at : at + length] * rng.choice([1, 2, 16])
        elif kind == 5:
            width = rng.choice([1, 2, 4, 8])
            number = rng.choice(NUMBERS) % 256**width
            content[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))
        else:
            del content[at:]
    return bytes(content[:most])


def mutate_gzip(rng: random.Random, data: bytes, mutate: Callable[[random.Random, bytes], bytes]) -> bytes | None:
    """Most often a change within the gzip format; None for what is none, and sometimes else."""
    if data[:2] != b"\x1f\x8b" or rng.random() >= 0.8:
        return None
    try:
        return gzip.compress(mutate(rng, gzip.decompress(data)), 1, mtime=0)
    except Exception:
        return mutate_bytes(rng, data)


def mutate_json(rng: random.Random, value: Any) -> Any:
    """A JSON value with a few of its parts changed, removed, repeated or exchanged, in place."""
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        place = _place(rng, value)
        if place is None:
            return _other(rng, value)
        container, key = place
        kind = rng.randrange(8)
        if kind < 4:
            container[key] = _other(rng, container[key])
        elif kind == 4:
            del container[key]
        elif kind == 5:
            container[key] = _part(rng, value)
        elif kind == 6 and isinstance(container, list):
            container[key:key] = [_part(rng, value)] * rng.choice([1, 2, 30])
        elif isinstance(container, dict):
            container[rng.choice([*TEXTS[:-1], *container])] = _part(rng, value)
    return value


def _part(rng: random.Random, value: Any) -> Any:
    """A copy of some part of a value."""
    place = _place(rng, value)
    return None if place is None else _copied(place[0][place[1]])


def _place(rng: random.Random, value: Any):
    """Some (container, key) in a value, by a way down that ends anywhere; None in what has no parts."""
    place = None
    while isinstance(value, (dict, list)) and value and (place is None or rng.random() < 0.8):
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        place = value, key
        value = value[key]
    return place


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _other(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool):
        return rng.choice([not value, None, 1])
    if isinstance(value, int):
        return rng.choice([mutate_number(rng, value), mutate_number(rng, value), float(value % 1000), None, [value]])
    if isinstance(value, float):
        return rng.choice([*FLOATS, value * 2, None])
    if isinstance(value, str):
        return rng.choice([value + "1", value[:-1], value * 2, rng.choice(TEXTS), None, 0, [value]])
    if isinstance(value, list):
        return rng.choice([[], value * 2, value[::-1], value[:-1], {"a": value}, None])
    if isinstance(value, dict):
        return rng.choice([{}, [value], None, {"class": "Dense", "config": value}])
    return rng.choice([0, 1.5, "a", [], {}, False])
