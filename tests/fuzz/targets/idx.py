"""IDX files, plain and gzipped, read by `fn.datasets.read_idx`."""

from __future__ import annotations

import gzip
import os
import random
import struct

import numpy as np
from fuzz import harness
from fuzz.mutation import mutate_bytes, mutate_gzip

from fastnet.datasets import read_idx
from fastnet.datasets.arrays import IDX_DTYPES

DICTIONARY = [b"\0\0\x08\x03", b"\0\0\x0d\x01", b"\xff\xff\xff\xff", b"\x1f\x8b\x08"]
PATH = os.path.join(harness.folder(), "train-images-idx3-ubyte")


def seeds() -> list[bytes]:
    found = []
    for code, dtype in IDX_DTYPES.items():
        array = np.arange(12).reshape(2, 3, 2)
        found.append(bytes([0, 0, code, 3]) + struct.pack(">3I", *array.shape) + array.astype(dtype).tobytes())
    return [*found, gzip.compress(found[0], mtime=0), b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abc"]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Other bytes, also within the gzip format; and headers that go with the content."""
    if (packed := mutate_gzip(rng, data, mutate)) is not None:
        return packed
    if rng.random() < 0.5 or len(data) < 8:
        return mutate_bytes(rng, data)
    code, axes = rng.choice(list(IDX_DTYPES)), rng.choice([0, 1, 2, 3, 4, 20, 65, 255])
    sizes = [rng.choice([0, 1, 2, 3, 1 << 16, 2**32 - 1]) for _ in range(axes)]
    content = bytes([0, 0, code, axes]) + struct.pack(f">{axes}I", *sizes) + data[8:]
    return gzip.compress(content, 1, mtime=0) if rng.random() < 0.3 else content


def check(data: bytes) -> bool:
    return harness.load(read_idx, len(data), harness.write(PATH, data)) is not harness.REFUSED
