"""One process of several, started by mpiexec: a training step with its communication, or calls of MPI alone.

mpiexec -n 2 python -c "from bench import distributed_child; distributed_child.main()" step LeNet 64 2.0
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np


def main() -> None:
    from bench.processes import leave_checkout

    leave_checkout()
    import fastnet as fn

    what, *rest = sys.argv[1:]
    ranks = timed_ranks(None if what != "step in buckets" else BUCKET)
    if what == "all-reduce":
        found = all_reduce(ranks, int(rest[0]), float(rest[1]))
    else:
        found = step(ranks, rest[0], int(rest[1]), float(rest[2]), what == "step in one piece")
    found |= {"threads": fn.get_num_threads()}
    if ranks.writes:
        print(json.dumps(found))


BUCKET = 1 << 20  # bytes


def timed_ranks(bucket: int | None):
    """Ranks that know how long they have been in calls of others, and waited for others."""
    from fastnet.distributed import MPI

    class TimedRanks(MPI):
        seconds = 0.0

        def timed(self, call, *arguments):
            begun = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.perf_counter() - begun

        def gather(self, row):
            return self.timed(super().gather, row)

        def gather_rows(self, rows, counts=None):
            return self.timed(super().gather_rows, rows, counts)

        def add(self, array):
            self.timed(super().add, array)

        def begin_adding(self, array):
            wait = self.timed(super().begin_adding, array)
            return lambda: self.timed(wait)

    return TimedRanks(bucket=bucket)


def step(ranks, name: str, batch: int, seconds: float, in_one_piece: bool) -> dict[str, float]:
    """Steps of a fit, a few at a time, and the median of what one takes; and the share of it that is communication."""
    import fastnet as fn
    from bench.nets import NETS, Training, mlp
    from bench.peers import ours

    net = NETS[name] if name in NETS else mlp(*map(int, name.split("-")))
    training = Training(net, batch, 4 * batch)
    alone = ours.trainer(net)
    trainer = fn.Trainer(alone.net, loss=alone.loss, optimizer=alone.optimizer, distributed=ranks,
                         microbatch=batch if in_one_piece else None)  # fmt: skip
    x, y = training.data()

    def epoch() -> tuple[float, float]:
        before, begun = ranks.seconds, time.perf_counter()
        trainer.fit(x, y, epochs=2, batch_size=batch, verbose=0)
        return (time.perf_counter() - begun) / 8, (ranks.seconds - before) / 8

    epoch()
    found = []
    until = time.perf_counter() + seconds
    while ranks.from_first(len(found) < 5 or time.perf_counter() < until):
        found.append(epoch())
    whole, communication = np.median(np.array(found), axis=0)
    best, of_best = min(found)
    parameters = sum(p.size for p in trainer.net.graph.trainable_parameters())
    return {"seconds": whole, "communication": communication, "best": best, "best communication": of_best,
            "parameters": parameters}  # fmt: skip


def all_reduce(ranks, size: int, seconds: float) -> dict[str, float]:
    """Seconds of the sum of an array of so many bytes, and of the call that a step makes besides."""
    array = np.ones(max(size // 4, 1), np.float32)

    def times(call) -> tuple[float, float]:
        """The median and the best."""
        call()
        found = []
        until = time.perf_counter() + seconds
        while ranks.from_first(len(found) < 20 or time.perf_counter() < until):
            ranks.gather(np.zeros(1))  # all of them begin together
            begun = time.perf_counter()
            call()
            found.append(time.perf_counter() - begun)
            array[:] = 1
        return float(np.median(found)), min(found)

    row = np.zeros(3)
    seconds, best = times(lambda: ranks.add(array))
    return {"seconds": seconds, "best": best, "gather": times(lambda: ranks.gather(row))[1]}
