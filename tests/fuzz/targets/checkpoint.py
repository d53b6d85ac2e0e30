"""Trainings as `Trainer.save_checkpoint` writes them, read by `Trainer.resume`."""

from __future__ import annotations

import os

import numpy as np
from fuzz import harness, tensor_files

import fastnet as fn

DICTIONARY = [
    b'"optimizer"',
    b'"average"',
    b'"fit"',
    b'"callbacks"',
    b'"array"',
    b'"scalar"',
    b'"tuple"',
    b'"set"',
    b'"dict"',
    b'"float"',
]
mutate = tensor_files.mutate
PATH = os.path.join(harness.folder(), "checkpoint.safetensors")


class _SaveIn(fn.Callback):
    """Saves where a fit is half done."""

    def batches_until_pause(self, trainer):
        return 1

    def on_pause(self, trainer):
        trainer.save_checkpoint(PATH)

    def config(self):
        return {}


def seeds() -> list[bytes]:
    x, y = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3), np.arange(8) % 2
    found = []
    for settings, inside in (
        ({"optimizer": "sgd"}, False),
        ({"optimizer": fn.Adam(1e-3), "metrics": ["accuracy"], "clip_norm": 1.0}, True),
        (
            {"optimizer": fn.SGD(fn.schedules.Cosine(0.1, 10), momentum=0.9), "average": fn.EMA(0.9), "accumulate": 2},
            False,
        ),
    ):
        net = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)
        trainer = fn.Trainer(net, loss="softmax_cross_entropy", **settings)
        callbacks = [fn.EarlyStopping("loss", patience=2), *([_SaveIn()] if inside else [])]
        trainer.fit(x, y, epochs=2, batch_size=4, callbacks=callbacks, verbose=0)
        if not inside:
            trainer.save_checkpoint(PATH)
        with open(PATH, "rb") as file:
            found.append(file.read())
    return found


def check(data: bytes) -> bool:
    path = harness.write(PATH, data)
    return harness.load(fn.Trainer.resume, len(data), path, custom_objects={"_SaveIn": _SaveIn}) is not harness.REFUSED
