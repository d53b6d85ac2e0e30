"""The models of `fastnet.models` in small, and data for them: what tests of the same bits train."""

import hashlib

import numpy as np
import pytest

import fastnet as fn
from fastnet.recording import program

SHAPE, CLASSES = (8, 8, 3), 4
SAMPLES, BATCH = 18, 4  # so that an epoch has four batches, and a smaller one
STEPS_OF_EPOCH = 5
LOSS = "softmax_cross_entropy"

models = pytest.mark.parametrize("name", fn.models.MODELS)


@pytest.fixture(autouse=True)
def all_threads(monkeypatch):
    """Every op that can be divided is, however small, in the modules that import this."""
    monkeypatch.setattr(program, "PARALLEL_OP", 0)
    monkeypatch.setattr(program, "PARALLEL_PROGRAM", 0)


def data():
    rng = np.random.default_rng(0)
    return rng.random((SAMPLES, *SHAPE), dtype=np.float32), np.arange(SAMPLES) % CLASSES


def make(name):
    return fn.models.MODELS[name](input_shape=SHAPE, classes=CLASSES, seed=0)


def digest(net):
    """Of the bits of all weights and running statistics."""
    found = hashlib.sha256()
    for key, value in net.state_dict().items():
        found.update(key.encode())
        found.update(value.tobytes())
    return found.hexdigest()
