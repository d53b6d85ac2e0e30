"""Keras' files of weights, read by `fn.io.load_keras_weights`.

An input is a JSON document that says what the HDF5 file holds, which h5py then writes: changed bytes of HDF5 files would test
libhdf5, which does not end on some of them.
"""

from __future__ import annotations

import io
import json
import os
import random
import zipfile

import h5py
import numpy as np
from fuzz import harness
from fuzz.mutation import mutate_bytes, mutate_json

import fastnet as fn

DICTIONARY = [
    b'"vars"',
    b'"layer_names"',
    b'"weight_names"',
    b'"layers/dense/vars/0"',
    b'"class_name"',
    b'"epsilon"',
    b'"float32"',
]
NET = fn.Network([fn.Dense(2), fn.BatchNorm()], input_shape=(3,), seed=0)
FOLDER = harness.folder()
SHAPES = {"kernel": [3, 2], "bias": [2], "gamma": [2], "beta": [2], "moving_mean": [2], "moving_variance": [2]}
LAYERS = {"dense": ["kernel", "bias"], "batch_normalization": ["gamma", "beta", "moving_mean", "moving_variance"]}
CONFIG = {
    "config": {
        "layers": [
            {"class_name": "Dense", "config": {"name": "dense", "units": 2}},
            {
                "class_name": "BatchNormalization",
                "config": {"name": "bn", "epsilon": 1e-5, "scale": True, "center": True},
            },
        ]
    }
}
MOST = 1 << 20  # elements of an array that is written


def seeds() -> list[bytes]:
    numbered = {
        f"layers/{layer}/vars/{i}": {"shape": SHAPES[name], "dtype": "float32"}
        for layer, names in LAYERS.items()
        for i, name in enumerate(names)
    }
    named = {
        f"{layer}/{layer}/{name}:0": {"shape": SHAPES[name], "dtype": "float32"}
        for layer, names in LAYERS.items()
        for name in names
    }
    attributes = [
        ["", "layer_names", list(LAYERS)],
        *[[layer, "weight_names", [f"{layer}/{n}:0" for n in names]] for layer, names in LAYERS.items()],
    ]
    attributes.append(["", "model_config", json.dumps(CONFIG)])
    documents = [
        {"arrays": numbered, "attributes": [], "links": [], "config": None},
        {"arrays": numbered, "attributes": [], "links": [["again", "layers/dense"]], "config": CONFIG},
        {"arrays": named, "attributes": attributes, "links": [], "config": None},
    ]
    return [json.dumps(document).encode() for document in documents]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Another document; of what is none other bytes."""
    try:
        return json.dumps(mutate_json(rng, json.loads(data))).encode()[: 1 << 16]
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data)


def _write(document) -> tuple[str, bytes]:
    """The name and the bytes of the file that a document describes, as far as h5py can write it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in document["arrays"].items():
            shape, dtype = tuple(array["shape"]), np.dtype(array["dtype"])
            # Chunks of one element take no memory until they are written: a claim of any size.
            chunks = (1,) * len(shape) if shape and abs(np.prod(shape, dtype=float)) > MOST else None
            file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip" if array.get("packed") else None)
        for place, name, value in document["attributes"]:
            where = file.require_group(place) if place else file
            where.attrs[name] = [text.encode() for text in value] if isinstance(value, list) else value
        for name, place in document["links"]:
            file[name] = h5py.SoftLink(place) if name.startswith("soft") else file[place]
    if document["config"] is None:
        return "weights.h5", buffer.getvalue()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("config.json"), json.dumps(document["config"]))
        file.writestr(zipfile.ZipInfo("model.weights.h5"), buffer.getvalue())
    return "weights.keras", archive.getvalue()


def check(data: bytes) -> bool:
    try:
        name, content = _write(json.loads(data))
    except Exception:
        return False  # h5py does not write that
    path = harness.write(os.path.join(FOLDER, name), content)
    return harness.load(fn.io.load_keras_weights, len(content), NET, path) is not harness.REFUSED
