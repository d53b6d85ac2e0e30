"""What the machine can do at most, measured beside each case: multiply-adds and streaming."""

from __future__ import annotations

import numpy as np

from fastnet import config
from fastnet.native.arena import Block
from fastnet.native.plan import Call, Plan

FMA_ROUNDS = 20_000


def fma_probe(dtype: str = "float32"):
    """A contender of 12 x FMA_ROUNDS vector multiply-adds, and its floating-point operations."""
    kernel = config.kernel("probe_fma", dtype)
    block = Block(4096)
    plan = Plan(1)
    plan.append(Call(kernel, ["y"], {"n": FMA_ROUNDS}), {"y": (1, 0)})
    plan.bind(1, block)
    from fastnet import targets

    row = next(row for row in targets.targets_of() if row.name == config.isa())
    lanes = row.vector_bytes // np.dtype(dtype).itemsize
    return plan.run, 2 * 12 * FMA_ROUNDS * lanes


def stream_probe(parameters: int, dtype: str = "float32", parallel: bool = False):
    """A contender that moves what an Adam update of so many parameters moves, and its bytes."""
    kernel = config.kernel("probe_stream", dtype)
    n = max(4096, parameters // 4096 * 4096)
    size = n * np.dtype(dtype).itemsize
    plan = Plan(4)
    pointers = {name: (i + 1, 0) for i, name in enumerate("wgmv")}
    plan.append(Call(kernel, list(pointers), {"n": n}), pointers, parallel)
    for i in range(4):
        plan.bind(i + 1, Block(size))
    return plan.run, 7 * size
