"""What it costs to watch the health of a training: the same epochs with and without a monitor, in turn."""

from __future__ import annotations

import time

import numpy as np

from bench.rows import Row
from bench.settings import Case
from bench.timing import Timing

# Looks and seconds of each part of the training that is timed: a look is rare, so that each part must have some.
LEAST_LOOKS, PART, QUICK_PART = 2, 2.0, 0.2


def cases(setup):
    """A dense network whose steps take microseconds, and a convolutional one."""
    yield Case("64-64-10 batch 32", lambda: watched(setup, dense, digits(), 32))
    if not setup.quick:
        yield Case("ResNet-20 batch 64", lambda: watched(setup, residual, images(), 64))


def dense():
    import fastnet as fn

    return fn.Network([fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)


def residual():
    import fastnet as fn

    return fn.models.resnet20(input_shape=(32, 32, 3), classes=10, seed=0)


def digits():
    import fastnet as fn

    return fn.datasets.digits()[0]


def images(n=256):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, n)


def watched(setup, make, data, batch: int) -> Row:
    """Time two trainings of the same network, one of them watched, until each has run for the case's seconds."""
    import fastnet as fn

    monitor = fn.HealthMonitor(on_problem="stop")
    sides = {"fastnet": [], "watched": [monitor]}
    trainers = {name: fn.Trainer(make(), loss="softmax_cross_entropy", optimizer="adam") for name in sides}

    def fit(name, epochs):
        begun = time.perf_counter()
        trainers[name].fit(*data, epochs=epochs, batch_size=batch, callbacks=sides[name], verbose=0)
        return time.perf_counter() - begun

    interval, epochs = 0, 1
    while True:  # until looks come at the interval that they keep
        for name in sides:
            fit(name, epochs)
        gap = trainers["watched"].state(monitor)["gap"]
        if gap == interval:
            break
        interval, epochs = gap, max(1, -(-2 * gap * batch // len(data[0])))
    part = max(1, -(-LEAST_LOOKS * interval * batch // len(data[0])))
    alone, _ = (fit(name, part) for name in sides)
    part = max(part, round(part * (QUICK_PART if setup.quick else PART) / alone))
    taken, looks = {name: [] for name in sides}, len(monitor.table)
    while sum(taken["fastnet"]) < setup.seconds or len(taken["fastnet"]) < (3 if setup.quick else 5):
        for name in sides:
            taken[name].append(fit(name, part))
    for a, b in zip(*(trainer.net.parameters() for trainer in trainers.values()), strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    steps = part * -(-len(data[0]) // batch)
    timing = Timing({name: np.array(values) / steps for name, values in taken.items()})
    row = Row("", "", setup.threads, {name: timing.figures(name) for name in sides}, isa=setup.isa)
    f = row.contenders["watched"]
    f.ratio, f.ratio_low, f.ratio_high = timing.ratio("watched")
    row.figures = {"batches from look to look": interval, "looks": len(monitor.table) - looks}
    return row
