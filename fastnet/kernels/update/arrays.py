"""What the updates of NumPy arrays share: the table of ranges, checks, and the plans that are kept."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.native.calls import UpdateSettings

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["BLOCK", "RANGE", "repeat", "run"]

#: A row of the table that the update kernels walk (native/kernels/update.pxi): elements of the flat memory, and their settings.
RANGE = np.dtype([
    ("offset", np.intp), ("n", np.intp), ("group", np.intp), ("decoupled", np.intp), ("decay", np.float64),
    ("limit", np.float64), ("learning_rate", np.float64), ("scale", np.float64),
])  # fmt: skip

#: Elements of a block, the unit that threads share; `gradient_norm` wants one double for each block of each range.
BLOCK = 4096


def _updated(argument: str, value: Any, like: Array | None = None) -> Array:
    """An array that an update writes: as it is, for a copy would be lost."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{argument} must be a NumPy array, as it is changed in place; got {checks.describe(value)}")
    if value.dtype not in call.REAL_NAMES:
        raise TypeError(f"{argument} must have dtype float32 or float64; got {value.dtype}")
    if like is not None and (value.shape != like.shape or value.dtype != like.dtype):
        raise ValueError(
            f"{argument} must have the shape and dtype of w, {like.shape} {like.dtype}; got {value.shape} {value.dtype}"
        )
    if not value.flags.c_contiguous or not value.flags.writeable:
        raise ValueError(f"{argument} must be C-contiguous and writeable, as it is changed in place")
    return value


def _updated_scalar(argument: str, value: Any) -> Array:
    """An array of one float64 that an update writes."""
    if not isinstance(value, np.ndarray) or value.shape != (1,) or value.dtype != np.float64:
        raise TypeError(f"{argument} must be a NumPy array of one float64, shape (1,); got {checks.describe(value)}")
    if not value.flags.writeable:
        raise ValueError(f"{argument} must be writeable, as it is changed in place")
    return value


def _gradient(value: Any, w: Array) -> Array:
    g = np.asarray(value)
    if g.shape != w.shape or g.dtype != w.dtype:
        raise ValueError(f"g must have the shape and dtype of w, {w.shape} {w.dtype}; got {g.shape} {g.dtype}")
    return np.ascontiguousarray(g)


class _OfThread(threading.local):
    """The settings of an update, kept for the next one of the same Python thread."""

    def __init__(self) -> None:
        self.settings = UpdateSettings()


_of_thread = _OfThread()


def repeat(options: tuple[Any, ...], w: Array, g: ArrayLike, state: tuple[Array | None, ...], step: int, learning_rate: float,
           weight_decay: float, decoupled: bool = False) -> bool:  # fmt: skip
    """Run the update that is kept for arrays of this form, whose options have been checked; False if there is none."""
    settings = _of_thread.settings
    try:
        settings.set(w, step, learning_rate, weight_decay, decoupled)
        arrays = (g, settings.ranges, settings.control.block, w, *state)
        return call.of_thread.plans.run(options, arrays, 3, True)
    except (BufferError, TypeError, ValueError):
        return False  # what is wrong, if anything, `run` says


def run(options: tuple[Any, ...], w: Array, g: ArrayLike, state: dict[str, Any], step: int, learning_rate: float,
        weight_decay: float, numbers: dict[str, Any], decoupled: bool = False, scalars: Sequence[str] = ()) -> None:  # fmt: skip
    """Check what all updates share, run one, and keep its plan. `options` starts with the kernel's name.

    `state` maps fields to arrays like `w` or None, but those of `scalars` to arrays of one float64.
    """
    arrays: dict[str, Array | None] = {"w": _updated("w", w)}
    for key, value in state.items():
        if key in scalars:
            arrays[key] = _updated_scalar(key, value)
        else:
            arrays[key] = None if value is None else _updated(key, value, w)
    g = _gradient(g, w)
    given = [(key, value) for key, value in (*arrays.items(), ("g", g)) if value is not None]
    for (name_1, array_1), (name_2, array_2) in itertools.combinations(given, 2):
        if np.may_share_memory(array_1, array_2):
            raise ValueError(f"{name_1} and {name_2} must not share memory")
    settings = _of_thread.settings
    settings.set(
        w,
        checks.whole_number("step", step, least=1),
        checks.real_number("learning_rate", learning_rate, least=0),
        checks.real_number("weight_decay", weight_decay, least=0),
        decoupled,
    )
    fields = {"g": g, "ranges": settings.ranges, "control": settings.control.block, **arrays}
    numbers = {"n_ranges": 2, **numbers}
    dtype = call.REAL_NAMES[w.dtype]
    call.run_kept(call.of_thread.plans, options, options[0], dtype, fields, 3, numbers, 4 * w.size)
