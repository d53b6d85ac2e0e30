"""One kernel on NumPy arrays: a plan of one op, kept for the next call of the same form."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from fastnet import config
from fastnet.native.arena import Block
from fastnet.native.plan import Call, Plan

# Below this many elementary operations (multiply-adds, or elements read and written times four)
# starting the other threads costs more than it brings.
PARALLEL_WORK = 100_000
_KEPT = 256

_local = threading.local()


class _Prepared:
    """A plan of one call: memory 1 is the workspace shared by its threads, the others are arrays."""

    def __init__(self, name, dtype, fields, numbers, parallel):
        call = Call(config.kernel(name, dtype), [*fields, "shared"] if _has_shared(name, dtype) else fields, numbers)
        pointers = {field: (i + 2, 0) for i, field in enumerate(fields)}
        if call.shared_bytes:
            pointers["shared"] = (1, 0)
        self.plan = Plan(len(fields) + 1)
        self.plan.append(call, pointers, parallel)
        if call.shared_bytes:
            self.plan.bind(1, Block(call.shared_bytes))


def _has_shared(name, dtype):
    return "shared" in config.kernel(name, dtype).pointers


def run(name, dtype, reads, writes, numbers, work):
    """Run kernel `name` of `dtype` on arrays.

    `reads` and `writes` map pointer fields to arrays (contiguous, or with the strides that the numbers tell);
    `numbers` has every integer and real field; `work` decides between one thread and all.
    """
    plans = getattr(_local, "plans", None)
    if plans is None:
        plans = _local.plans = OrderedDict()
    # The numbers need not tell the size (an update's is in an array), so the decision is part of the key.
    parallel = work >= PARALLEL_WORK
    key = (name, dtype, parallel, *reads, "", *writes, *numbers.values())
    prepared = plans.get(key)
    if prepared is None:
        prepared = plans[key] = _Prepared(name, dtype, [*reads, *writes], numbers, parallel)
        if len(plans) > _KEPT:
            plans.popitem(last=False)
    plan = prepared.plan
    memory = 2
    for array in reads.values():
        plan.bind_buffer(memory, array)
        memory += 1
    for array in writes.values():
        plan.bind_buffer(memory, array, True)
        memory += 1
    plan.run()
    plan.release(2)


def real_array(argument: str, value, dtype=None) -> np.ndarray:
    """`value` as a C-contiguous array of float32 or float64 (of `dtype`, where given)."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{argument} must be an array of real numbers; got dtype {array.dtype}")
    if dtype is None:
        dtype = array.dtype if array.dtype.name in ("float32", "float64") else np.dtype("float32")
    return np.ascontiguousarray(array, dtype)


def output(argument: str, out, shape, dtype) -> np.ndarray:
    """`out` after checks, or a new array of `shape` and `dtype`."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{argument} must be a NumPy array; got {type(out).__name__}")
    if out.shape != tuple(shape) or out.dtype != dtype:
        raise ValueError(
            f"{argument} must have shape {tuple(shape)} and dtype {np.dtype(dtype).name}; "
            f"got shape {out.shape} and dtype {out.dtype}"
        )
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"{argument} must be C-contiguous and writeable")
    return out
