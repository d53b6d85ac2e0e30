"""The files of a run's directory, read for reports and ``fastnet compare``."""

from __future__ import annotations

import json
import os
import random

import numpy as np
from fuzz import harness
from fuzz.mutation import mutate_bytes, mutate_json

import fastnet as fn
from fastnet.cli.compare import compared
from fastnet.files.runs import FINDINGS, HEALTH, HISTORY, MARK
from fastnet.reports.run import read_run

DICTIONARY = [
    name.encode()
    for name in (MARK, HISTORY, FINDINGS, HEALTH, "options", "results", "epochs", "evidence", "update_ratio")
]
FOLDER = harness.folder()
NET = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)


def seeds() -> list[bytes]:
    """The text files of a run by name, in one JSON document."""
    x, y = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3), np.arange(8) % 2
    history = NET.copy().fit(x, y, loss="softmax_cross_entropy", epochs=2, health=True, verbose=0)
    history.save(os.path.join(FOLDER, HISTORY))
    history.health.table.save(os.path.join(FOLDER, HEALTH))
    texts = {}
    for name in (HISTORY, HEALTH):
        with open(os.path.join(FOLDER, name), encoding="utf-8", newline="") as file:
            texts[name] = file.read()
    finding = {
        "code": "dead-relu",
        "severity": "warning",
        "layer": "dense_1",
        "step": 3,
        "evidence": {"a": None},
        "meaning": "m",
        "remedy": "r",
    }
    texts[FINDINGS] = [finding, *[item.to_dict() for item in history.findings]]
    texts[MARK] = {
        "options": {"data": None, "epochs": 2, "batch_size": 4},
        "epochs": 2,
        "seconds": 1.5,
        "stopped": None,
        "samples": {"train": 8, "test": 2},
        "results": {"loss": 0.5, "accuracy": 0.5},
        "learning_rates": [1e-3, 1e-3],
        "command": "fastnet train",
    }
    short = {name: text for name, text in texts.items() if name != HEALTH}
    return [json.dumps(part).encode() for part in (texts, short)]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Another document, or other bytes of the tables."""
    try:
        texts = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data)
    if not isinstance(texts, dict) or not texts or rng.random() < 0.1:
        return mutate_bytes(rng, data)
    name = rng.choice(list(texts))
    if isinstance(texts[name], str):
        cells = texts[name].split(",")
        if rng.random() < 0.5:
            cells[rng.randrange(len(cells))] = rng.choice(
                ["", "nan", "inf", "-1", "1e999", "x", "\n", '"', "\x00", "9" * 400]
            )
            texts[name] = ",".join(cells)
        else:
            texts[name] = mutate_bytes(rng, texts[name].encode("utf-8", "replace")).decode("latin-1")
    else:
        texts[name] = mutate_json(rng, texts[name])
    return json.dumps(texts).encode()[: 1 << 16]


def check(data: bytes) -> bool:
    try:
        texts = json.loads(data)
    except (ValueError, RecursionError):
        texts = {MARK: data.decode("latin-1")}
    if not isinstance(texts, dict):
        texts = {MARK: texts}
    for name in (MARK, HISTORY, FINDINGS, HEALTH):
        path = os.path.join(FOLDER, name)
        if name in texts:
            text = texts[name] if isinstance(texts[name], str) else json.dumps(texts[name])
            harness.write(path, text.encode("utf-8", "surrogatepass"))
        elif os.path.exists(path):
            os.unlink(path)
    found = [harness.load(read_run, len(data), FOLDER, NET), harness.load(compared, len(data), [FOLDER, FOLDER])]
    return harness.REFUSED not in found
