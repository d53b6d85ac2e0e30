"""How several processes stop, fail, and go on: none of them waits for another one for ever."""

import functools
import json
import re

import numpy as np
import pytest
from distributed_trainings import MICROBATCH, data, network
from small_models import digest
from subprocesses import mpiexec

import fastnet as fn

#: Four epochs of ten batches, in which something happens behind batch 13; what each rank has come to is printed.
TRAIN = """
import json, os, signal, sys
import numpy as np, fastnet as fn
ranks = fn.distributed.MPI(batch_norm="synchronized")
alone = ranks.rank == 1
class Happening(fn.Callback):
    def __init__(self, what):
        self.what = what
    def on_batch_end(self, trainer, logs):
        if trainer.batches != 13:
            return
        if self.what == "raise" and alone:
            raise RuntimeError("only here")
        if self.what == "raise on all":
            raise RuntimeError("everywhere")
        if self.what == "die" and alone:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "interrupt" and alone:
            os.kill(os.getpid(), signal.SIGINT)
        if self.what == "stop" and alone:
            trainer.stop("enough")
        if self.what == "change" and alone:
            with trainer.net.parameters()[0].edit() as w:
                w += 1
    def on_epoch_end(self, trainer, logs):
        if self.what == "disk" and ranks.rank == 0:
            raise OSError("the disk is full")
def train(what):
    x = np.random.default_rng(0).normal(size=(160, 6)).astype("float32")
    y = (x.sum(axis=1) > 0).astype(int)
    units = 9 if what == "network" and alone else 8
    net = fn.Network([fn.Dense(units, activation="relu"), fn.BatchNorm(), fn.Dense(2)], input_shape=(6,), seed=0)
    if what == "nan" and alone:
        x[7, 2] = np.nan
    if what == "shape" and alone:
        x = x[:, :5]
    batches = [(x[i : i + 8].copy(), y[i : i + 8]) for i in range(0, 80, 8)]
    if what == "nan in a batch" and alone:
        batches[3][0][1, 1] = np.nan
    if what == "fewer batches" and alone:
        batches = batches[:6]
    try:
        trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(1e30 if what == "diverge" else 0.1),
                             metrics=["accuracy"], distributed=ranks)
        given = (batches,) if "batch" in what else (x, y)
        history = trainer.fit(*given, epochs=4, batch_size=16, callbacks=[Happening(what)], verbose=0)
        return {"epochs": history.epochs, "stopped": history.stopped, "batches": trainer.batches}
    except (Exception, KeyboardInterrupt) as error:
        return {"error": f"{type(error).__name__}: {error}"}
found = {what: ranks.gather_objects(train(what)) for what in sys.argv[1:]}
if ranks.writes:
    print(json.dumps(found))
"""

#: What all ranks take alike, and what they come to: errors as patterns.
HAPPENINGS = {
    "raise on all": ["RuntimeError: everywhere"] * 2,
    "interrupt": ["KeyboardInterrupt: "] * 2,
    "disk": ["OSError: the disk is full", "OSError: rank 0: the disk is full"],
    "change": ["RuntimeError: the weights of rank 1 are others than those of rank 0: .*"] * 2,
    "nan": ["ValueError: rank 1: x has NaN, first at index .7, 2.", "ValueError: x has NaN, .*"],
    "shape": ["ValueError: rank 1: x must have shape .*", "ValueError: x must have shape .*"],
    "network": ["ValueError: rank 1: the network is .*", "ValueError: the network is .*"],
    "nan in a batch": ["ValueError: rank 1: batch 4: x has NaN at index .1, 1.; no weight has changed.*"] * 2,
    "diverge": ["FloatingPointError: the loss is not finite at step 2: .* in 'dense_1'.*"] * 2,
    "stop": [{"epochs": 2, "stopped": "enough", "batches": 20}] * 2,
    "fewer batches": [{"epochs": 4, "stopped": None, "batches": 24}] * 2,
}


@functools.cache
def happened():
    """All of them in one pair of processes: none of them ends it."""
    return json.loads(mpiexec(2, TRAIN, *HAPPENINGS).stdout)


@pytest.mark.parametrize("what", HAPPENINGS)
def test_what_happens_to_one_rank_is_taken_by_all(what):
    for told, expected in zip(happened()[what], HAPPENINGS[what], strict=True):
        if isinstance(expected, str):
            assert re.fullmatch(expected, told["error"], re.DOTALL), told
        else:
            assert told == expected


def test_a_rank_that_fails_alone_ends_all_and_is_named():
    result = mpiexec(3, TRAIN, "raise", check=False, timeout=60)
    assert result.returncode != 0 and result.stdout == ""
    assert "RuntimeError: only here" in result.stderr
    assert re.search(r"fastnet: rank 1 \(process \d+ on \S+\) has failed, and ends the others", result.stderr)


def test_a_rank_that_is_killed_ends_all():
    result = mpiexec(2, TRAIN, "die", check=False, timeout=60)
    assert result.returncode != 0 and '{"die"' not in result.stdout


# Checkpoints

CHECKPOINTS = """
import os, sys
import numpy as np, fastnet as fn
from distributed_trainings import MICROBATCH, data, network
path, logs, stop = sys.argv[1], sys.argv[2], int(sys.argv[3])
ranks = fn.distributed.MPI(batch_norm="synchronized", reduction="exact")
class Stop(fn.Callback):
    def on_batch_end(self, trainer, logs):
        if trainer.batches == stop:
            raise KeyboardInterrupt
callbacks = [Stop(), fn.ModelCheckpoint(path, every=1, keep=1), fn.CSVLogger(logs), fn.EarlyStopping("loss", patience=9)]
if os.path.exists(path):
    trainer, settings = fn.Trainer.resume(path, callbacks=[callbacks[0], callbacks[2]], distributed=ranks), {}
else:
    trainer = fn.Trainer(network(), loss="softmax_cross_entropy", optimizer=fn.Adam(0.01), metrics=["accuracy"],
                         microbatch=MICROBATCH, distributed=ranks)
    settings = {"epochs": 4, "batch_size": 24, "callbacks": callbacks}
try:
    trainer.fit(*data(), validation=data(300), verbose=0, **settings)
except KeyboardInterrupt:
    print(f"stopped-behind-{trainer.batches}")
"""


class Stop(fn.Callback):
    """As in the program: the fit that goes on needs one of that name."""


def test_a_training_goes_on_with_any_number_of_ranks(tmp_path):
    path, log = tmp_path / "checkpoints", tmp_path / "log.csv"
    assert mpiexec(2, CHECKPOINTS, path, log, 6).stdout.count("stopped-behind-6") == 2
    assert mpiexec(3, CHECKPOINTS, path, log, 11).stdout.count("stopped-behind-11") == 3
    trainer = fn.Trainer.resume(path, callbacks=[Stop(), fn.CSVLogger(log)])
    trainer.fit(*data(), validation=data(300), verbose=0)
    whole = fn.Trainer(
        network(), loss="softmax_cross_entropy", optimizer=fn.Adam(0.01), metrics=["accuracy"], microbatch=MICROBATCH,
        distributed=fn.distributed.OneProcess(batch_norm="synchronized"),
    )  # fmt: skip
    whole.fit(*data(), epochs=4, batch_size=24, validation=data(300), verbose=0)
    assert digest(trainer.net) == digest(whole.net)
    assert {**trainer.history} == {**whole.history}
    assert log.read_text().count("\n") == 5  # written by one rank: a header, and four epochs
    with pytest.raises(ValueError, match="batch_norm='local', the training that goes on had 'synchronized'"):
        fn.Trainer.resume(path, callbacks=[Stop(), fn.CSVLogger(log)], distributed=fn.distributed.OneProcess())


# Searching for a learning rate, and shards

SEARCH = """
import numpy as np, fastnet as fn
ranks = fn.distributed.MPI()
(x, y), _ = fn.datasets.digits()
net = fn.Network([fn.Flatten(), fn.Dense(16, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
found = fn.find_learning_rate(net, x, y, loss="softmax_cross_entropy", optimizer="sgd", distributed=ranks)
told = ranks.gather_objects((found.suggestion, found.losses.tolist()))
assert told[0] == told[1]
if ranks.writes:
    print(found.suggestion)
"""


def test_the_search_for_a_learning_rate_is_that_of_one_process():
    found = float(mpiexec(2, SEARCH).stdout)
    (x, y), _ = fn.datasets.digits()
    net = fn.Network([fn.Flatten(), fn.Dense(16, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    alone = fn.find_learning_rate(net, x, y, loss="softmax_cross_entropy", optimizer="sgd")
    assert found == pytest.approx(alone.suggestion, rel=1e-3)


SHARDS = """
import json, sys
import numpy as np, fastnet as fn
ranks = fn.distributed.MPI(data="shards", batch_norm="synchronized")
x = np.load(f"{sys.argv[1]}/x-{ranks.rank}.npy", mmap_mode="r")
y = np.load(f"{sys.argv[1]}/y-{ranks.rank}.npy")
net = fn.Network([fn.Dense(8), fn.BatchNorm(), fn.Dense(2)], input_shape=(6,), seed=0)
trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1), metrics=["accuracy"], distributed=ranks)
history = trainer.fit(x, y, epochs=3, batch_size=16, validation=(x, y), verbose=0)
if ranks.writes:
    net.save(f"{sys.argv[1]}/net.safetensors")
    print(json.dumps([history.settings["samples"], trainer.batches, history["val_accuracy"][-1]]))
"""


def test_each_rank_reads_its_own_shard(tmp_path):
    rng = np.random.default_rng(0)
    shards = []
    for rank, n in enumerate([70, 61]):  # 7 whole batches of 8, and 5 of the last one
        x = rng.normal(size=(n, 6)).astype("float32")
        y = (x.sum(axis=1) > 0).astype(np.int64)
        np.save(tmp_path / f"x-{rank}.npy", x)
        np.save(tmp_path / f"y-{rank}.npy", y)
        shards.append((x, y))
    samples, batches, found = json.loads(mpiexec(2, SHARDS, tmp_path).stdout)
    assert batches == 3 * 8 and samples == 7 * 16 + 2 * 5 + 1
    net = fn.load(tmp_path / "net.safetensors")
    x, y = (np.concatenate(parts) for parts in zip(*shards, strict=True))
    accuracy = net.evaluate(x, y, loss="softmax_cross_entropy", metrics=["accuracy"])["accuracy"]
    assert found == pytest.approx(accuracy) and accuracy > 0.8
