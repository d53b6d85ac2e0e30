"""Files of torch.save, read by `fn.io.load_torch_state_dict`: their pickles, of which torch makes what they say."""

from __future__ import annotations

import io
import os
import random
import zipfile

import torch
from fuzz import harness
from fuzz.mutation import mutate_bytes

import fastnet as fn

DICTIONARY = [
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"cbuiltins\nbytearray\n",
    b"ctorch\nFloatStorage\n",
    b"R",
    b".",
    b"q\x00",
    b"\x8a\x08",
    b"X\x05\0\0\0",
    b"data.pkl",
    b"PK\x03\x04",
]
NET = fn.Network([fn.Dense(2), fn.BatchNorm()], input_shape=(3,), seed=0)
PATH = os.path.join(harness.folder(), "weights.pt")
CALLS = [
    b"cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x10\x85R",
    b"cos\nsystem\nX\x04\0\0\0true\x85R",
    b"c_codecs\nencode\n",
    b"}q\x00X\x05\0\0\0modelh\x00s",
]


def seeds() -> list[bytes]:
    weights = {
        "0.weight": torch.ones(2, 3),
        "0.bias": torch.zeros(2),
        "1.weight": torch.ones(2),
        "1.bias": torch.zeros(2, dtype=torch.bfloat16),
        "1.running_mean": torch.zeros(2),
        "1.running_var": torch.ones(2),
        "1.num_batches_tracked": torch.tensor(3),
    }
    found = []
    for value, settings in (
        (weights, {}),
        ({"model": weights, "epoch": 3}, {}),
        (weights, {"_use_new_zipfile_serialization": False}),
    ):
        buffer = io.BytesIO()
        torch.save(value, buffer, **settings)
        found.append(buffer.getvalue())
    return found


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Another pickle in the same archive; of what is none other bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        name = next(name for name in members if name.endswith("data.pkl"))
    except Exception:
        return mutate_bytes(rng, data)
    if rng.random() < 0.2:
        return mutate_bytes(rng, data)
    pickle = members[name]
    if rng.random() < 0.3:
        at = rng.randrange(len(pickle) + 1)
        members[name] = pickle[:at] + rng.choice(CALLS) + pickle[at:]
    else:
        members[name] = mutate_bytes(rng, pickle)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()[: 1 << 16]


def check(data: bytes) -> bool:
    return harness.load(fn.io.load_torch_state_dict, len(data), NET, harness.write(PATH, data)) is not harness.REFUSED
