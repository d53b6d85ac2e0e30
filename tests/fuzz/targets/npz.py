"""NumPy's .npz files, read by `fn.datasets.load`."""

from __future__ import annotations

import io
import os
import random
import zipfile

import numpy as np
from fuzz import harness
from fuzz.mutation import mutate_bytes
from fuzz.targets import npy

from fastnet import datasets

DICTIONARY = [
    *npy.DICTIONARY,
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"x.npy",
    b"y.npy",
    b"x_test.npy",
]
PATH = os.path.join(harness.folder(), "data.npz")


def seeds() -> list[bytes]:
    x, y = np.arange(24, dtype="<f4").reshape(12, 2), np.arange(12) % 3
    found = []
    for save, arrays in (
        (np.savez, {"x": x, "y": y}),
        (np.savez_compressed, {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]}),
        (np.savez_compressed, {"x": np.arange(48, dtype="u1").reshape(12, 2, 2), "y": np.array(["a", "b"] * 6)}),
        (np.savez, {"x": x, "y": x[:, 0] / 7}),
    ):
        buffer = io.BytesIO()
        save(buffer, **arrays)
        found.append(buffer.getvalue())
    return found


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Other bytes of the archive, or other members in one that is whole."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist() if info.file_size < 1 << 16}
    except Exception:
        return mutate_bytes(rng, data)
    if rng.random() < 0.2 or not members:
        return mutate_bytes(rng, data)
    name = rng.choice(sorted(members))
    members[name] = npy.mutate(rng, members[name])
    if rng.random() < 0.3:
        members[rng.choice(["x.npy", "y.npy", "x_test.npy", "../x.npy", "/x.npy", "X.npy", "readme"])] = members.pop(
            name
        )
    buffer = io.BytesIO()
    packing = rng.choice(
        [zipfile.ZIP_STORED] * 20 + [zipfile.ZIP_DEFLATED] * 10 + [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    )
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return mutate_bytes(rng, buffer.getvalue()) if rng.random() < 0.2 else buffer.getvalue()


def check(data: bytes) -> bool:
    # What is wrong with the data, and not with the file, is said of x and y.
    return harness.load(datasets.load, len(data), harness.write(PATH, data), named=False) is not harness.REFUSED
