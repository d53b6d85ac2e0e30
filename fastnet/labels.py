"""Inputs, targets and sample weights as the user gives them, and the forms that kernels take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, containers
from fastnet.allocation import shortage
from fastnet.kernels.batch import KINDS

if TYPE_CHECKING:
    from fastnet.losses import Loss
    from fastnet.types import Array, Shape

#: The same in the machine's order of bytes: to look up a dtype takes a tenth of the time that its name does.
NATIVE = frozenset(map(np.dtype, KINDS))


@dataclass(frozen=True)
class Targets:
    """Targets of one loss: class numbers (`classes` says how many there are), or values of the output's shape."""

    array: np.ndarray
    classes: int | None
    shape: tuple[int, ...]  # of one sample, as the loss reads it

    @property
    def is_labels(self) -> bool:
        return self.classes is not None


def real_array(argument: str, value: Any) -> np.ndarray:
    """`value` as an array of real numbers, of any dtype that can be cast."""
    array = value if type(value) is np.ndarray else containers.as_array(argument, value)
    if array.dtype not in NATIVE and array.dtype.name not in KINDS:
        if array.dtype.kind == "f":  # long double
            return array.astype(np.float64)
        hint = f"; {containers.text_hint(argument)}" if array.dtype.kind in "OUS" else ""
        raise TypeError(f"{argument} must be an array of real numbers; got dtype {array.dtype}{hint}")
    return array


def rows_contiguous(array: np.ndarray, keep_mapped: bool = False) -> np.ndarray:
    """The array itself if each row is contiguous and rows ascend, else a copy; bytes are in the machine's order.

    With `keep_mapped` arrays in memory maps are left as they are.
    """
    if not array.dtype.isnative:
        if keep_mapped and containers.mapping_of(array) is not None:
            return array
        array = array.astype(array.dtype.newbyteorder("="))
    if array.flags.c_contiguous:
        return array
    item = array.itemsize
    inner = item * math.prod(array.shape[1:])
    expected = []
    for n in reversed(array.shape[1:]):
        expected.append(item)
        item *= n
    good = array.strides[1:] == tuple(reversed(expected)) and array.strides[0] >= inner
    good = good and array.strides[0] % array.itemsize == 0
    if good or (keep_mapped and containers.mapping_of(array) is not None):
        return array
    try:
        return np.ascontiguousarray(array)
    except MemoryError:
        raise shortage(array.nbytes, f"a copy of {len(array):,} rows that are not contiguous") from None


def check_inputs(argument: str, x: Any, input_shape: Shape, *, may_be_empty: bool = False,
                 keep_mapped: bool = False) -> np.ndarray:  # fmt: skip
    """`x` as a batch of samples of the network's input shape; `keep_mapped` as for `rows_contiguous`."""
    array = real_array(argument, x)
    if array.ndim == 0 or array.shape[1:] != tuple(input_shape):
        hint = ""
        if array.shape == tuple(input_shape):
            hint = f"; for one sample pass {argument}[None]"
        elif math.prod(array.shape[1:]) == math.prod(input_shape) and array.ndim:
            hint = f"; {argument}.reshape(-1, {', '.join(map(str, input_shape))}) has it"
        raise ValueError(
            f"{argument} must have shape (n, {', '.join(map(str, input_shape))}) for this network; "
            f"got {array.shape}{hint}"
        )
    if len(array) == 0 and not may_be_empty:
        raise ValueError(f"{argument} is empty: it has shape {array.shape}")
    return rows_contiguous(array, keep_mapped)


def check_length(argument: str, array: Array, other: str, length: int) -> None:
    if len(array) != length:
        raise ValueError(
            f"{argument} and {other} must have the same length; {argument} has {len(array)}, {other} has {length}"
        )


def form_of(loss: Loss, y: Any, output_shape: Shape, argument: str = "y", keep_mapped: bool = False) -> Targets:
    """What `y` is to the loss. Only dtype and shape are looked at; `scan_targets` looks at the values.

    `keep_mapped` as for `rows_contiguous`.
    """
    array = real_array(argument, y)
    output_shape = tuple(output_shape)
    if array.ndim == 0:
        raise ValueError(f"{argument} must be an array with one entry a sample; got a single value")
    if loss.takes_labels(array, output_shape):
        if array.ndim == 2 and array.shape[1] == 1:
            array = array.reshape(-1)
        classes = output_shape[-1]
        if array.ndim != 1:
            raise ValueError(
                f"{argument} must be class numbers of shape (n,) or probabilities of shape (n, {classes}); "
                f"got shape {array.shape}"
            )
        if array.dtype.kind == "f":
            raise TypeError(
                f"{argument} must be class numbers of an integer dtype; got dtype {array.dtype}: "
                f"{argument}.astype(int) makes labels of whole numbers"
            )
        return Targets(rows_contiguous(array, keep_mapped), classes, ())
    if array.ndim == 1 and output_shape == (1,):
        array = array.reshape(-1, 1)
    if array.shape[1:] != output_shape:
        raise ValueError(
            f"{argument} must have shape (n, {', '.join(map(str, output_shape))}), as the network's output has; "
            f"got {array.shape}"
        )
    return Targets(rows_contiguous(array, keep_mapped), None, output_shape)


SCANNED_TOGETHER = 1 << 20  # elements: what is made on the way stays small


def scan_inputs(argument: str, array: np.ndarray, names: list[str] | None = None) -> None:
    """Refuse NaN and Inf; `names` are those of the columns."""
    if array.dtype.kind != "f" or not array.size:
        return
    rows = max(1, SCANNED_TOGETHER * len(array) // array.size)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        if np.isfinite(part).all():
            continue
        first = np.argwhere(~np.isfinite(part))[0]
        what = "NaN" if np.isnan(part[tuple(first)]) else "Inf"
        column = f" (column {names[first[1]]!r})" if names and len(first) == 2 else ""
        first[0] += start
        raise ValueError(f"{argument} has {what}, first at index {tuple(int(i) for i in first)}{column}")


def find_fault(x: np.ndarray, targets: Targets, rows: Sequence[int] | Array,
               names: tuple[str, str] = ("x", "y")) -> str | None:  # fmt: skip
    """What is wrong with the values of a batch whose samples have these numbers, if anything is.

    A float64 that is too large for float32 is said to be so.
    """
    for argument, array in zip(names, (x, targets.array), strict=True):
        if array is targets.array and targets.is_labels:
            bad = np.flatnonzero(_outside_classes(targets))
            if len(bad):
                return _label_fault(argument, targets, int(bad[0]), rows[int(bad[0])])
        elif array.dtype.kind == "f":
            places = np.argwhere(~np.isfinite(array))
            if not len(places):
                with np.errstate(over="ignore"):
                    places = np.argwhere(~np.isfinite(array.astype(np.float32)))
            if len(places):
                first, *rest = (int(i) for i in places[0])
                value = array[tuple(places[0])]
                what = "NaN" if np.isnan(value) else "Inf" if np.isinf(value) else f"{value:g}, beyond float32,"
                return f"{argument} has {what} at index {(int(rows[first]), *rest)}"
    return None


def _outside_classes(targets: Targets) -> np.ndarray:
    """Which labels are none."""
    return (targets.array < 0) | (targets.array >= targets.classes)


def _label_fault(argument: str, targets: Targets, place: int, index: int) -> str:
    """That the label at a place is none; `index` is what the user calls it."""
    classes = targets.classes or 0
    return (
        f"{argument} has the label {targets.array[place]} at index {index}; the network has {classes} outputs, "
        f"for labels 0 to {classes - 1}"
    )


def scan_targets(targets: Targets, argument: str = "y") -> None:
    """Refuse labels outside of the classes, NaN and Inf."""
    array = targets.array
    if not targets.is_labels:
        scan_inputs(argument, array)
        return
    if array.size and (array.min() < 0 or array.max() >= targets.classes):
        bad = int(np.argmax(_outside_classes(targets)))
        raise ValueError(_label_fault(argument, targets, bad, bad))


def cast(targets: Targets, dtype: str) -> np.ndarray:
    """The targets as a kernel takes them, all at once."""
    if targets.is_labels:
        return np.ascontiguousarray(targets.array, np.int32)
    return np.ascontiguousarray(targets.array, dtype)


def weights(sample_weight: Any, length: int, dtype: str, argument: str = "sample_weight") -> np.ndarray:
    """Sample weights as an array (length,), none negative, not all zero."""
    array = real_array(argument, sample_weight)
    if array.shape not in ((length,), (length, 1)):
        raise ValueError(f"{argument} must have shape ({length},); got {array.shape}")
    array = np.ascontiguousarray(array.reshape(length), dtype)
    scan_inputs(argument, array)
    if (array < 0).any():
        bad = int(np.argmax(array < 0))
        raise ValueError(f"{argument} must not be negative; it is {array[bad]:g} at index {bad}")
    if length and not array.any():
        raise ValueError(f"{argument} must not be zero everywhere")
    return array


def combined_weights(sample_weight: Any, class_weight: Any, targets: Targets, dtype: str,
                     argument: str = "sample_weight") -> Array | None:  # fmt: skip
    """Sample weight x class weight as an array, or None where there is neither.

    Parameters
    ----------
    class_weight : dict, array or "balanced"
        Class number to weight (1 where it is left out); "balanced" is n / (classes * count of the class).
    """
    n = len(targets.array)
    total = None if sample_weight is None else weights(sample_weight, n, dtype, argument)
    if class_weight is None:
        return total
    classes = targets.classes
    if classes is None:
        raise ValueError("class_weight needs targets that are class numbers; give sample_weight instead")
    if isinstance(class_weight, str):
        checks.choice("class_weight", class_weight, ["balanced"])
        counts = np.bincount(targets.array.astype(np.int64), minlength=classes)
        table = n / (classes * np.maximum(counts, 1))
    elif isinstance(class_weight, dict):
        table = np.ones(classes)
        for key, value in class_weight.items():
            if checks.whole_number("class_weight's class", key) not in range(classes):
                raise ValueError(f"class_weight has class {key}; the network has classes 0 to {classes - 1}")
            table[key] = checks.real_number(f"class_weight[{key}]", value, least=0)
    else:
        table = weights(class_weight, classes, "float64", "class_weight")
    by_class = table[targets.array].astype(dtype)
    return by_class if total is None else total * by_class
