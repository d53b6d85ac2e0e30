"""Batches from data sets: rows in any order, cast to the dtype of the network; and class labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.native.plan import ControlBlock

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, DType

__all__ = ["KINDS", "gather", "gather_labels"]

#: Number by which the gather kernels know a dtype of their source.
KINDS = {
    "float32": 0, "float64": 1, "int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7,
    "int64": 8, "uint64": 9, "bool": 10, "float16": 11,
}  # fmt: skip


def _source(argument: str, value: Any) -> tuple[Array, int, int]:
    """`value` as an array whose rows are contiguous, its row stride in elements, and its kind."""
    x = np.asarray(value)
    if x.ndim == 0:
        raise ValueError(f"{argument} must have at least one dimension; got {checks.describe(x)}")
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if x.dtype.name not in KINDS:
        raise TypeError(f"{argument} must be an array of real numbers; got dtype {x.dtype}")
    inner = x[0] if len(x) else x
    if not inner.flags.c_contiguous or x.strides[0] % x.itemsize:
        x = np.ascontiguousarray(x)
    return x, x.strides[0] // x.itemsize, KINDS[x.dtype.name]


def _order(value: Any, rows: int) -> tuple[Array | None, int]:
    """`value` as int64 numbers of rows, or None for all of them; and how many."""
    if value is None:
        return None, rows
    order = np.asarray(value)
    if order.ndim != 1 or (order.dtype.kind not in "iu" and order.size):
        raise TypeError(f"order must be a 1-D array of whole numbers; got {checks.describe(order)}")
    if order.size and not (order.min() >= 0 and order.max() < rows):
        raise ValueError(f"order must have numbers from 0 to {rows - 1}; got {order.min()} to {order.max()}")
    return np.ascontiguousarray(order, np.int64), len(order)


def gather(x: ArrayLike, order: ArrayLike | None = None, *, dtype: DType | None = None,
           out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Rows of `x` in the order given, as float32 or float64.

    Parameters
    ----------
    x : array_like of shape (n, ...)
        Any integer, bool or float dtype; values are cast, not scaled. Rows that are contiguous are read in place (a
        memory map too), otherwise `x` is copied first.
    order : array_like of int, shape (m,), optional
        Numbers of rows, each from 0 to n - 1; by default all rows in their order.
    dtype : dtype, optional
        float32 or float64; by default that of `x`, or float32 for other dtypes.
    out : ndarray of shape (m, ...), optional
        C-contiguous array that takes the result.

    Returns
    -------
    ndarray of shape (m, ...)

    Raises
    ------
    TypeError, ValueError
        Complex, object or text data; an `order` that isn't whole numbers within the rows; `out` of another form.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.batch import gather
    >>> gather(np.array([[1, 2], [3, 4], [5, 6]], np.uint8), [2, 0])
    array([[5., 6.],
           [1., 2.]], dtype=float32)
    """
    x, stride, kind = _source("x", x)
    if dtype is None:
        dtype = x.dtype if x.dtype.name in ("float32", "float64") else np.float32
    dtype = np.dtype(checks.dtype_name("dtype", dtype))
    order, rows = _order(order, len(x))
    y = call.output("out", out, (rows, *x.shape[1:]), dtype)
    if np.may_share_memory(x, y):
        x = x.copy()
        stride = x.strides[0] // x.itemsize
    width = y.size // rows if rows else 0
    reads = {"source": x, "order": order}
    numbers = {"rows": rows, "width": width, "stride": stride, "kind": kind, "check": 0, "start": 0,
               "scale": 1.0}  # fmt: skip
    call.run("gather", dtype.name, reads, {"y": y}, numbers, 4 * y.size)
    return y


def gather_labels(y: ArrayLike, order: ArrayLike | None = None, *, classes: int) -> np.ndarray:
    """Class labels in the order given, as int32.

    Parameters
    ----------
    y : array_like of shape (n,)
        Whole numbers from 0 to ``classes - 1``; of a float dtype too, if they are whole.
    order : array_like of int, shape (m,), optional
        Numbers of elements, each from 0 to n - 1; by default all in their order.
    classes : int
        Number of classes.

    Returns
    -------
    ndarray of int32, shape (m,)

    Raises
    ------
    TypeError, ValueError
        A label (of those asked for) that is outside of the classes or not whole; other faults as in `gather`.

    Examples
    --------
    >>> from fastnet.kernels.batch import gather_labels
    >>> gather_labels([4.0, 0.0, 9.0], [1, 2], classes=10)
    array([0, 9], dtype=int32)
    """
    source, stride, kind = _source("y", y)
    if source.ndim != 1:
        raise ValueError(f"y must have shape (n,); got {source.shape}")
    classes = checks.whole_number("classes", classes, least=1)
    order, rows = _order(order, len(source))
    labels = np.empty(rows, np.int32)
    control = ControlBlock()
    reads = {"source": source, "order": order}
    numbers = {"rows": rows, "stride": stride, "kind": kind, "classes": classes, "start": 0}
    call.run("gather_labels", "float32", reads, {"y": labels, "control": control.block}, numbers, 4 * rows)
    if control.status:
        wanted = source if order is None else source[order]
        good = (wanted >= 0) & (wanted < classes) & (wanted == np.floor(wanted))
        raise ValueError(f"y has the label {wanted[~good][0]}; labels are whole numbers from 0 to {classes - 1}")
    return labels
