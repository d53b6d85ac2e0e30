"""Trainings of small networks that several processes do together, and what they must come to. Also run as a program, by mpiexec."""

import json
import sys

import numpy as np
from numpy_layers import ScaleChannels
from small_models import digest

import fastnet as fn

# The last batch of an epoch has two pieces: with exact sums two of four ranks have none.
SAMPLES, BATCH, MICROBATCH = 80, 24, 4


def data(n=SAMPLES):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6, 6, 2)).astype("float32")
    return x, (x.sum(axis=(1, 2, 3)) > 0).astype(np.int64) + (x[:, 0, 0, 0] > 1)


def network(dtype="float32"):
    """Both kinds of random draws, batch norms, a layer in NumPy, one that is frozen, and one that is used twice."""
    shared = fn.Dense(6, activation="tanh")
    frozen = fn.Dense(6)
    frozen.trainable = False
    layers = [
        fn.Conv2D(4, 3, padding="same"), fn.BatchNorm(), fn.Activation("relu"), fn.MaxPool2D(2), fn.Flatten(),
        fn.Dropout(0.2), fn.Dense(6), fn.BatchNorm(center=False), shared, frozen, shared, ScaleChannels(), fn.Dense(3),
    ]  # fmt: skip
    return fn.Network(layers, input_shape=(6, 6, 2), seed=1, dtype=dtype, regularizer=fn.L2(1e-3))


def train(
    distributed, epochs=2, weighted=False, dtype="float32", microbatch=None, accumulate=1, optimizer=None, **settings
):
    """The digest of the weights and the history of a training."""
    x, y = data()
    net = network(dtype)
    trainer = fn.Trainer(
        net, loss="softmax_cross_entropy", optimizer=optimizer or fn.Adam(0.01), metrics=["accuracy"], clip_norm=1.0,
        microbatch=microbatch, accumulate=accumulate, distributed=distributed,
    )  # fmt: skip
    weights = np.random.default_rng(1).uniform(0.5, 2, len(x)) if weighted else None
    trainer.fit(
        x, y, epochs=epochs, batch_size=BATCH, sample_weight=weights, validation=data(300), verbose=0,
        augment=[fn.augment.RandomFlip(), fn.augment.Mixup()], **settings,
    )  # fmt: skip
    return {"weights": digest(net), **{name: list(values) for name, values in trainer.history.items()}}


#: Of `train`, by name: with exact sums all of them have the same bits for any number of ranks.
EXACT = {
    "local": {},
    "synchronized": {"batch_norm": "synchronized"},
    "weighted": {"weighted": True},
    "weighted synchronized": {"weighted": True, "batch_norm": "synchronized"},
    "float64 synchronized": {"dtype": "float64", "batch_norm": "synchronized"},
    "accumulate": {"accumulate": 2},
}


def train_exactly(make, batch_norm="local", **settings):
    return train(make(batch_norm), microbatch=MICROBATCH, **settings)


def main():
    """Print all of them, as rank 0 has them."""
    ranks = fn.distributed.MPI()

    def exact(batch_norm):
        return fn.distributed.MPI(batch_norm=batch_norm, reduction="exact")

    found = {name: train_exactly(exact, **settings) for name, settings in EXACT.items()}
    for batch_norm in ("local", "synchronized"):
        for name, settings in {"": {}, " weighted": {"weighted": True}}.items():
            distributed = fn.distributed.MPI(batch_norm=batch_norm)
            found[f"mean {batch_norm}{name}"] = train(distributed, **settings)
    found["in buckets"] = train(fn.distributed.MPI(bucket=512))
    alike = ranks.gather_objects(json.dumps(found))
    assert all(other == alike[0] for other in alike)
    if ranks.writes:
        print(alike[0])


if __name__ == "__main__":
    sys.exit(main())
