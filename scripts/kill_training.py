"""Kills a training (SIGKILL) at random moments and goes on each time; the end must be that of one that was never stopped.

    python scripts/kill_training.py 200

A checkpoint is saved every three batches, so that many a kill falls into the writing of one. After each kill the newest checkpoint
must be whole, and it is gone on with on another number of threads. Some three minutes for 200 kills.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import fastnet as fn
from fastnet.training import checkpoint_directory

SAMPLES, BATCH = 30, 4
EVERY, SELDOM = 3, 10**9  # batches from one checkpoint to the next: while it is killed, and on the way to the end
EPOCHS_OF_A_KILL = 30  # more than are trained until the next one
LONGEST = 0.3  # seconds that a training may run, from its beginning; and a process from its start


def data():
    rng = np.random.default_rng(0)
    return rng.random((SAMPLES, 6, 6, 2), dtype=np.float32), np.arange(SAMPLES) % 3


def new_trainer():
    layers = [
        fn.Conv2D(8, 3, padding="same"),
        fn.BatchNorm(),
        fn.Activation("relu"),
        fn.Flatten(),
        fn.Dropout(0.2),
        fn.Dense(3),
    ]
    net = fn.Network(layers, input_shape=(6, 6, 2), seed=0)
    return fn.Trainer(
        net, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-3), metrics=["accuracy"], average=fn.EMA(0.99)
    )


def train(directory: str, result: str, epochs: int, every: int) -> None:
    """What a process does: begin or go on, and write what came out. "-" is no directory."""
    saving = [] if directory == "-" else [fn.ModelCheckpoint(directory, every=every)]
    settings = {"validation": data(), "augment": None, "verbose": 0}
    if directory != "-" and checkpoint_directory.numbered(directory):
        trainer = fn.Trainer.resume(directory, callbacks=saving)
    else:
        trainer = new_trainer()
        callbacks = [fn.ReduceLROnPlateau(patience=20, factor=0.9), *saving]
        settings |= {
            "epochs": epochs,
            "batch_size": BATCH,
            "augment": [fn.augment.RandomFlip()],
            "callbacks": callbacks,
        }
    print("begun", flush=True)
    history = trainer.fit(*data(), **settings)
    found = hashlib.sha256()
    for values in (*trainer.net.state_dict().values(), *map(np.array, history.values())):
        found.update(values.tobytes())
    Path(result).write_text(json.dumps({"digest": found.hexdigest(), "epochs": history.epochs, "step": trainer.step}))


def start(directory: str, result: str, epochs: int, threads: int, every: int = SELDOM):
    return subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "--train", directory, result, str(epochs), str(every)],
        stdout=subprocess.PIPE,
        env={**os.environ, "FASTNET_NUM_THREADS": str(threads)},
    )


def kill_again_and_again(kills: int, seed: int = 0, say=lambda text: None) -> dict:
    """Kill so many times, go on to the end, and compare.

    Returns
    -------
    dict
        "kills" that a training lived to see, "temporaries" (files that were being written), "same" (whether the end is).

    Raises
    ------
    RuntimeError
        After a kill the newest checkpoint was not whole, or a training failed.
    """
    chance = random.Random(seed)
    epochs = kills * EPOCHS_OF_A_KILL
    counts = {"kills": 0, "temporaries": 0, "before the first step": 0}
    with tempfile.TemporaryDirectory() as folder:
        directory, result, expected = (os.path.join(folder, name) for name in ("checkpoints", "result", "expected"))
        while counts["kills"] < kills:
            process = start(directory, result, epochs, chance.choice([1, 2, 3]), EVERY)
            if chance.random() < 0.8:
                process.stdout.readline()
            else:
                counts["before the first step"] += 1
            time.sleep(chance.uniform(0, LONGEST))
            process.kill()
            if process.wait() != -9:
                raise RuntimeError(f"a training ended with status {process.returncode} after {counts['kills']} kills")
            counts["kills"] += 1
            if os.path.isdir(directory):
                counts["temporaries"] += sum(name.startswith(".fastnet") for name in os.listdir(directory))
                check_newest(directory)
            say(f"\r{counts['kills']} kills")
        for threads, where, file in ((2, directory, result), (1, "-", expected)):
            if start(where, file, epochs, threads).wait() != 0:
                raise RuntimeError("a training failed")
        found, whole = (json.loads(Path(file).read_text()) for file in (result, expected))
    return {**counts, "steps": whole["step"], "same": found == whole}


def check_newest(directory: str) -> None:
    """The checkpoint with the greatest number is whole: none is passed over."""
    if checkpoint_directory.numbered(directory):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                fn.Trainer.resume(directory)
            except (ValueError, RuntimeWarning) as error:
                raise RuntimeError(f"after a kill: {error}") from error


def main() -> int:
    if sys.argv[1:2] == ["--train"]:
        train(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
        return 0
    found = kill_again_and_again(int(sys.argv[1]), say=lambda text: print(text, end="", flush=True))
    print(f"\n{found}")
    return 0 if found["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
