"""State dicts in safetensors files, read by `fn.io.load_torch_state_dict`."""

from __future__ import annotations

import json
import os
import random
import struct

import numpy as np
from fuzz import harness
from fuzz.mutation import mutate_bytes, mutate_json

import fastnet as fn

DICTIONARY = [
    b'"dtype"',
    b'"shape"',
    b'"data_offsets"',
    b"__metadata__",
    b'"BF16"',
    b'"F8_E4M3"',
    b"0.weight",
    b"module.",
]
NET = fn.Network([fn.Dense(2), fn.BatchNorm()], input_shape=(3,), seed=0)
PATH = os.path.join(harness.folder(), "weights.safetensors")


def seeds() -> list[bytes]:
    fn.io.save_torch_state_dict(NET, PATH)
    with open(PATH, "rb") as file:
        found = file.read()
    header, end = {}, 0
    for name, shape in (
        ("0.weight", [2, 3]),
        ("0.bias", [2]),
        *((f"1.{part}", [2]) for part in ("weight", "bias", "running_mean", "running_var")),
    ):
        size = 2 * int(np.prod(shape))
        header[name] = {
            "dtype": "F16" if name == "0.bias" else "BF16",
            "shape": shape,
            "data_offsets": [end, end := end + size],
        }
    return [found, _file(header, bytes(end))]


def _file(header, content: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Another header, in front of the same content; of what has no header other bytes."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data)
    if rng.random() < 0.3:
        return mutate_bytes(rng, data)
    return _file(mutate_json(rng, header), data[8 + length :])[: 1 << 16]


def check(data: bytes) -> bool:
    return harness.load(fn.io.load_torch_state_dict, len(data), NET, harness.write(PATH, data)) is not harness.REFUSED
