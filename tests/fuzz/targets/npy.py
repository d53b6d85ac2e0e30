"""NumPy's .npy files, read by `fn.datasets.read_npy`."""

from __future__ import annotations

import io
import os
import random
import struct

import numpy as np
from fuzz import harness
from fuzz.mutation import NUMBERS, mutate_bytes

from fastnet.datasets import read_npy

DICTIONARY = [
    b"\x93NUMPY",
    b"'descr'",
    b"'fortran_order'",
    b"'shape'",
    b"True",
    b"'|O'",
    b"'<f4'",
    b"'<U3'",
    b"'<M8[s]'",
]
DTYPES = [
    "<f4",
    ">f8",
    "|u1",
    "<i8",
    "|b1",
    "<f2",
    "<U3",
    "|S2",
    "|O",
    "<c8",
    "<M8[s]",
    "|V4",
    "<f16",
    "<U0",
    "<U1000000000",
    "f4,i4",
]
PATH = os.path.join(harness.folder(), "x.npy")


def file_of(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def seeds() -> list[bytes]:
    return [
        file_of(array)
        for array in (
            np.arange(6, dtype="<f4").reshape(2, 3),
            np.asfortranarray(np.arange(6, dtype=">i2").reshape(3, 2)),
            np.array(["a", "bc"]),
            np.ones((2, 2, 2), bool),
            np.array([1.5, 2.5], np.float16),
            np.array([b"a", b"bc"]),
        )
    ]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Other bytes, or a header that says something else and is as long as it says."""
    if rng.random() < 0.4 or len(data) < 10:
        return mutate_bytes(rng, data)
    start = 10 + int.from_bytes(data[8:10], "little")
    shape = [rng.choice([0, 1, 2, 3, 6, *NUMBERS]) for _ in range(rng.choice([0, 1, 1, 2, 3, 65]))]
    text = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    if rng.random() < 0.1:
        text = rng.choice(
            [
                "(" * 500 + ")" * 500,
                "(1.5,)",
                "(True,)",
                "[2, 3]",
                "None",
                "('a',)",
                "-" * 500 + "1",
                "(2, 3L)",
                "1 + 1",
            ]
        )
    descr = rng.choice(
        [
            repr(rng.choice(DTYPES)),
            repr(rng.choice(DTYPES)),
            "[('a', '<f4')]",
            "('<f4', (1000000, 1000000))",
            "None",
            "{}",
        ]
    )
    header = (
        f"{{'descr': {descr}, 'fortran_order': {rng.choice(['True', 'False', '2'])}, 'shape': {text}, }}\n".encode()
    )
    if rng.random() < 0.5:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) % 65536) + header + data[start:]
    return (
        b"\x93NUMPY"
        + rng.choice([b"\x02\0", b"\x03\0", b"\x09\0"])
        + struct.pack("<I", len(header))
        + header
        + data[start:]
    )


def check(data: bytes) -> bool:
    array = harness.load(read_npy, len(data), harness.write(PATH, data))
    return array is not harness.REFUSED and harness.load(np.array, len(data), array) is not harness.REFUSED
