"""One kernel on NumPy arrays: a plan of one op, kept for the next call of the same form."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import config
from fastnet.allocation import allocate
from fastnet.native.calls import KeptPlans
from fastnet.native.plan import Call, Plan

if TYPE_CHECKING:
    from fastnet.types import Array, DType, Shape

# Below this many elementary operations (multiply-adds, or elements read and written times four)
# starting the other threads costs more than it brings.
PARALLEL_WORK = 100_000

#: dtype.name of what kernels compute in; NumPy takes microseconds to say it.
REAL_NAMES = {np.dtype(name): name for name in ("float32", "float64")}


class _OfThread(threading.local):
    """What each Python thread has of its own: a plan's pointers belong to one call at a time."""

    def __init__(self) -> None:
        self.plans = KeptPlans()


of_thread = _OfThread()


def _make_plan(name: str, dtype: str, fields: dict[str, Any], numbers: dict[str, Any], work: float) -> Plan:
    """The plan of one call: memory 1 is shared by its threads, i + 2 is array i (None is left out)."""
    kernel = config.kernel(name, dtype)
    present = {field: (i + 2, 0) for i, (field, array) in enumerate(fields.items()) if array is not None}
    call = Call(kernel, [*present, "shared"] if "shared" in kernel.pointers else present, numbers)
    if call.shared_bytes:
        present["shared"] = (1, 0)
    plan = Plan(len(fields) + 1)
    plan.append(call, present, work >= PARALLEL_WORK, work)
    if call.shared_bytes:
        plan.bind(1, allocate(call.shared_bytes, f"the working memory of kernel {name!r}"))
    return plan


def run(name: str, dtype: str, reads: dict[str, Any], writes: dict[str, Any], numbers: dict[str, Any], work: float,
        keep: bool = True) -> None:  # fmt: skip
    """Run kernel `name` of `dtype` on arrays.

    `reads` and `writes` map pointer fields to arrays (contiguous, or with the strides that the numbers tell). They
    name a kernel's fields in the same order every time: those that are left out are None.
    `numbers` has every integer and real field; `work` decides between one thread and all. The plan is kept,
    with its workspace, for the next call of the same form, unless `keep` says that none is to be expected.
    """
    plans = of_thread.plans if keep else KeptPlans()
    options = (name, dtype, *numbers.values())
    run_kept(plans, options, name, dtype, {**reads, **writes}, len(reads), numbers, work)


def run_kept(plans: KeptPlans, options: tuple[Any, ...], name: str, dtype: str, fields: dict[str, Any], n_reads: int,
             numbers: dict[str, Any], work: float) -> None:  # fmt: skip
    """Run a kernel by the plan that is kept for `options` and the form of the arrays, made here if there is none.

    `fields` maps pointer fields to arrays or None; those from number `n_reads` on are written.
    """
    arrays = tuple(fields.values())
    if not plans.run(options, arrays, n_reads):
        plans.keep(options, arrays, n_reads, _make_plan(name, dtype, fields, numbers, work))
        plans.run(options, arrays, n_reads)


def real_array(argument: str, value: Any, dtype: DType | None = None) -> np.ndarray:
    """`value` as a C-contiguous array of float32 or float64 (of `dtype`, where given)."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{argument} must be an array of real numbers; got dtype {array.dtype}")
    if dtype is None:
        # A name says nothing of the byte order; kernels know only the machine's.
        dtype = np.dtype(array.dtype.name if array.dtype.name in ("float32", "float64") else "float32")
    return np.ascontiguousarray(array, dtype)


def output(argument: str, out: Array | None, shape: Shape, dtype: Any) -> np.ndarray:
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


def separate_output(out: Array | None, shape: Shape, dtype: Any, **inputs: Array | None) -> np.ndarray:
    """`out` after checks, or a new array; it may not overlap the inputs (None is left out)."""
    out = output("out", out, shape, dtype)
    for name, array in inputs.items():
        if array is not None and np.may_share_memory(out, array):
            raise ValueError(f"out must not overlap {name}")
    return out
