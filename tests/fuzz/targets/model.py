"""Networks as `Network.save` writes them, read by `fn.load`."""

from __future__ import annotations

import os

import numpy as np
from fuzz import harness, tensor_files

import fastnet as fn

DICTIONARY = [
    b'"layers"',
    b'"nodes"',
    b'"class"',
    b'"config"',
    b'"layout"',
    b'"Dense"',
    b'"Conv2D"',
    b'"array"',
    b"__metadata__",
]
mutate = tensor_files.mutate
PATH = os.path.join(harness.folder(), "model.safetensors")


def networks() -> list[fn.Network]:
    """Small ones, which have between them most of what a file can say."""
    dense = fn.Network(
        [fn.Dense(3, activation="relu", regularizer=fn.L2(1e-4)), fn.Dropout(0.5), fn.Dense(2)],
        input_shape=(4,),
        seed=0,
    )
    dense.loss = fn.losses.get("softmax_cross_entropy")
    dense.extra = {"encoder": {"a": [1, 2.5, None]}}
    image = fn.Network(
        [
            fn.Conv2D(2, 2, padding="same", constraint=fn.MaxNorm(2)),
            fn.BatchNorm(),
            fn.PReLU(),
            fn.MaxPool2D(2),
            fn.Flatten(),
            fn.Dense(2, activation="softmax"),
        ],
        input_shape=(4, 4, 1),
        seed=1,
    )
    image.layers[0].trainable = False
    graph = fn.Network(
        [
            fn.Normalize(np.arange(3.0), np.ones(3)),
            fn.Residual([fn.LayerNorm(), fn.Dense(3)]),
            fn.Concat([[fn.Dense(1)], [fn.Dense(2)]]),
        ],
        input_shape=(3,),
        seed=2,
    )
    part = fn.Network([fn.Dense(2, name="a"), fn.Dense(2)], input_shape=(2,), seed=3).up_to("a")
    return [dense, image, graph, part]


def seeds() -> list[bytes]:
    found = []
    for net in networks():
        net.save(PATH)
        with open(PATH, "rb") as file:
            found.append(file.read())
    return found


def check(data: bytes) -> bool:
    return harness.load(fn.load, len(data), harness.write(PATH, data)) is not harness.REFUSED
