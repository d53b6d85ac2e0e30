"""What it costs to watch the health of a training: the same epochs with and without a monitor, in turn."""

from __future__ import annotations

import time

import numpy as np

# Looks and seconds of each part of the training that is timed: a look is rare, so that each part must have some.
LEAST_LOOKS, PART = 2, 2.0


def cases(threads: int):
    """A dense network whose steps take microseconds, and a convolutional one."""
    yield "64-64-10, batch 32", lambda seconds: watched(dense, digits(), 32, seconds)
    yield "ResNet-20, batch 64", lambda seconds: watched(residual, images(), 64, seconds)


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


def watched(make, data, batch: int, seconds: float) -> dict:
    """Time two trainings of the same network, one of them watched, until each has run for `seconds`."""
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
    part = max(part, round(part * PART / alone))
    taken, looks = {name: [] for name in sides}, len(monitor.table)
    while sum(taken["fastnet"]) < seconds or len(taken["fastnet"]) < 5:
        for name in sides:
            taken[name].append(fit(name, part))
    for a, b in zip(*(trainer.net.parameters() for trainer in trainers.values()), strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    steps = part * -(-len(data[0]) // batch)
    ratios = np.array(taken["watched"]) / np.array(taken["fastnet"])
    return {
        "median": {name: float(np.median(values)) / steps for name, values in taken.items()},
        "best": {name: min(values) / steps for name, values in taken.items()},
        "ratio": {"watched": np.percentile(ratios, [50, 25, 75]).tolist()},
        "figures": {"batches from look to look": interval, "looks": len(monitor.table) - looks},
    }
