"""safetensors files with one JSON document, taken apart and put together again with the right checksum."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
from fuzz.mutation import mutate_bytes, mutate_json
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from fastnet.files import tensors

MOST = 1 << 16  # bytes of a document


def mutate(rng: random.Random, data: bytes) -> bytes:
    """A file whose document, or arrays, are others, with the checksum of what it holds; of what is no such file other bytes."""
    if rng.random() < 0.1:
        return mutate_bytes(rng, data)
    try:
        length = int.from_bytes(data[:8], "little")
        document = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["fastnet"])
        arrays = dict(load_arrays(data))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return mutate_bytes(rng, data)
    if not isinstance(document, dict):
        return mutate_bytes(rng, data)
    if rng.random() < 0.8 or not arrays:
        format_of_it = {key: document.pop(key, None) for key in ("format", "version")}
        document.pop("crc32", None)
        document = mutate_json(rng, document)
        document = document if isinstance(document, dict) else {"kind": document}
        if rng.random() < 0.95:
            document |= format_of_it
    if arrays and rng.random() < 0.3:
        _mutate_arrays(rng, arrays)
    return build(arrays, document)


def build(arrays: dict[str, np.ndarray], document: dict[str, Any]) -> bytes:
    """The bytes of a file, whatever the document says."""
    document = {key: value for key, value in document.items() if key != "crc32"}
    document["crc32"] = tensors._checksum(arrays, document)
    text = json.dumps(document)
    if len(text) > MOST:
        return b""
    return save_arrays(arrays, {"fastnet": text})


def _mutate_arrays(rng: random.Random, arrays: dict[str, np.ndarray]) -> None:
    name = rng.choice(sorted(arrays))
    array = arrays.pop(name)
    kind = rng.randrange(6)
    if kind == 0:
        arrays[name] = array.astype(rng.choice(["float64", "float32", "float16", "int64", "uint8", "bool"]))
    elif kind == 1:
        arrays[name] = np.ascontiguousarray(array.reshape(rng.choice([(-1,), (1, *array.shape), (*array.shape, 1)])))
    elif kind == 2:
        arrays[name + rng.choice(["", "1", ".weight"])] = array
    elif kind == 3:
        arrays[name] = np.full_like(array, rng.choice([0, 1, 100]))
    elif kind == 4:
        arrays[name] = np.zeros(rng.choice([(), (0,), (1,), (3, 0), (2, 2)]), array.dtype)
