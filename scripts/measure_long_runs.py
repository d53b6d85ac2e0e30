"""Long runs: whether memory and the time of a step stay where they are. docs/reliability.md has the figures.

python scripts/measure_long_runs.py [--share 0.01] [--json FILE]

`--share` does that part of each run. Memory is the resident set, without pages of files; a run's growth is that from the end of its
first tenth to its end, and its slowdown the time of the last tenth over that of the second.
"""

import argparse
import gc
import json
import sys
import threading
import time

import numpy as np

import fastnet as fn

PIECES = 10


def resident_bytes():
    """Anonymous memory of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def tiny_network(seed=0):
    return fn.Network([fn.Dense(16, activation="relu"), fn.Dense(4)], input_shape=(8,), seed=seed)


def tiny_data(rows=320):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 8), dtype=np.float32), rng.integers(0, 4, rows)


def in_pieces(total, work):
    """Do `work(first, last)` for a tenth of the total at a time; returns the seconds and the memory after each."""
    seconds, memory = [], []
    for piece in range(PIECES):
        began = time.perf_counter()
        work(piece * total // PIECES, (piece + 1) * total // PIECES)
        seconds.append(time.perf_counter() - began)
        gc.collect()
        memory.append(resident_bytes())
    return seconds, memory


def steps_of_fit(total):
    """One `fit`, whose history grows by a record each epoch."""
    x, y = tiny_data(32 * max(total // 1000, 1))
    epochs = total * 32 // len(x)
    seconds, memory = [], []
    began = time.perf_counter()

    class Clock(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            nonlocal began
            if trainer.history.epochs == (len(memory) + 1) * epochs // PIECES:
                seconds.append(time.perf_counter() - began)
                memory.append(resident_bytes())
                began = time.perf_counter()

    tiny_network().fit(x, y, epochs=epochs, batch_size=32, loss="softmax_cross_entropy", verbose=0, callbacks=[Clock()])
    return seconds, memory


def steps_of_batches(total):
    net = tiny_network()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam")
    x, y = tiny_data(32)

    def work(first, last):
        for _ in range(first, last):
            trainer.train_on_batch(x, y)

    return in_pieces(total, work)


def predictions(total):
    """Of four Python threads on one network."""
    net, (x, _) = tiny_network(), tiny_data(16)
    expected = net.predict(x)
    wrong = []

    def predict(times):
        for _ in range(times):
            if not np.array_equal(net.predict(x), expected):
                wrong.append(1)

    def work(first, last):
        threads = [threading.Thread(target=predict, args=((last - first) // 4,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    figures = in_pieces(total, work)
    if wrong:
        raise SystemExit(f"{len(wrong)} predictions differ")
    return figures


def networks(total):
    """Made, trained for a batch, asked once, and dropped."""
    x, y = tiny_data(32)

    def work(first, last):
        for seed in range(first, last):
            net = tiny_network(seed)
            fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam").train_on_batch(x, y)
            net.predict(x)

    return in_pieces(total, work)


def plans(total):
    """Predictions of one network for batches of 1, 2, 3, ... samples."""
    net, (x, _) = tiny_network(), tiny_data(total)

    def work(first, last):
        for batch in range(first, last):
            net.predict(x[: batch + 1])

    return in_pieces(total, work)


RUNS = {
    "steps of one fit": (steps_of_fit, 1_000_000),
    "calls of train_on_batch": (steps_of_batches, 1_000_000),
    "predictions from four Python threads": (predictions, 100_000),
    "networks made, trained and dropped": (networks, 10_000),
    "batch sizes that one network has seen": (plans, 1_000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--json")
    args = parser.parse_args()
    free_threaded = hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()
    print(f"Python {sys.version.split()[0]}{', free-threaded' if free_threaded else ''}")
    rows = {}
    for name, (run, total) in RUNS.items():
        total = max(int(total * args.share), 10 * PIECES)
        seconds, memory = run(total)
        rows[name] = {"count": total, "seconds": sum(seconds), "slowdown": seconds[-1] / seconds[1],
                      "growth_bytes": memory[-1] - memory[0], "resident_bytes": memory[-1]}  # fmt: skip
        print(f"{total:>9,} {name}: {sum(seconds):.1f} s, last tenth {seconds[-1] / seconds[1]:.2f} of the second; "
              f"{(memory[-1] - memory[0]) / 1024:+,.0f} KB to {memory[-1] / 2**20:.1f} MB", flush=True)  # fmt: skip
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
