"""Products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.activation import ACTIVATIONS

if TYPE_CHECKING:
    from fastnet.types import ActivationName, Array, ArrayLike, DType

__all__ = ["matmul"]


def matmul(a: ArrayLike, b: ArrayLike, *, trans_a: bool = False, trans_b: bool = False, bias: ArrayLike | None = None,
           activation: ActivationName | str | None = None, out: Array | None = None) -> Array:  # fmt: skip
    """activation(op(a) op(b) + bias) for two matrices.

    Parameters
    ----------
    a : array (M, K), or (K, M) with `trans_a`
    b : array (K, N), or (N, K) with `trans_b`
        Of one dtype, float32 or float64 (other real dtypes are cast: to float64 if either
        is float64, else to float32). Rows may lie apart, and transposed views are taken as they are.
    bias : array (N,), optional
    activation : str, optional
        An elementwise activation with its default parameter: "relu", "gelu", ...
    out : ndarray (M, N), optional
        Where to write the result; C-contiguous, of the result's dtype, not overlapping a, b or bias.

    Returns
    -------
    ndarray (M, N)

    Notes
    -----
    An element is bias + sum_k a_ik b_kj, added with k ascending in blocks that depend on K alone: its bits depend
    neither on the number of threads nor on the other rows.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> fn.kernels.matmul(np.array([[1.0, -2.0]]), np.eye(2), activation="relu")
    array([[1., 0.]])
    """
    plans = call.of_thread.plans
    options = ("matmul", trans_a, trans_b, activation)
    if out is not None:
        try:
            if plans.run(options, (a, b, bias, out), 3, True):
                return out
        except (BufferError, TypeError, ValueError):
            pass  # not arrays that kernels take as they are: the checks below say what is wrong
    a, lda, trans_a = _matrix("a", a, trans_a)
    b, ldb, trans_b = _matrix("b", b, trans_b)
    if a.dtype != b.dtype:
        dtype = np.result_type(a.dtype, b.dtype)
        a, lda = _contiguous(a, dtype)
        b, ldb = _contiguous(b, dtype)
    m, k = a.shape[::-1] if trans_a else a.shape
    depth, n = b.shape[::-1] if trans_b else b.shape
    if depth != k:
        raise ValueError(f"a and b do not fit: op(a) is {m} x {k}, op(b) is {depth} x {n}")
    if bias is not None:
        bias = call.real_array("bias", bias, a.dtype)
        if bias.shape != (n,):
            raise ValueError(f"bias must have shape ({n},); got {bias.shape}")
    kind, alpha = 0, 0.0
    if activation is not None:
        row = ACTIVATIONS[checks.choice("activation", activation, ACTIVATIONS)]
        kind, alpha = row.kind, row.alpha
    out = call.output("out", out, (m, n), a.dtype)
    if (
        np.may_share_memory(out, a)
        or np.may_share_memory(out, b)
        or (bias is not None and np.may_share_memory(out, bias))
    ):
        raise ValueError("out must not overlap a, b or bias")
    if out.size == 0:
        return out
    options = ("matmul", trans_a, trans_b, activation)
    fields = {"a": a, "b": b, "bias": bias, "c": out}
    numbers = {
        "M": m, "N": n, "K": k, "lda": lda, "ldb": ldb, "ldc": n, "ldgate": 0,
        "trans_a": int(trans_a), "trans_b": int(trans_b), "parts": 0, "activation": kind, "gate_activation": 0,
        "accumulate": 0, "accumulate_sums": 0, "alpha": alpha, "gate_alpha": 0.0,
    }  # fmt: skip
    call.run_kept(plans, options, "gemm", a.dtype.name, fields, 3, numbers, m * n * k)
    return out


def _matrix(argument: str, value: Any, transposed: bool) -> tuple[np.ndarray, int, bool]:
    """A matrix as the kernel reads it: the array, elements from row to row, and whether it is transposed."""
    checks.flag(f"trans_{argument}", transposed)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{argument} must be a matrix of real numbers; got dtype {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"{argument} must have 2 axes; got shape {array.shape}")
    if array.dtype.name not in ("float32", "float64"):
        array = array.astype(np.float64 if array.dtype.itemsize > 8 else np.float32)
    size = array.itemsize
    if array.size and array.dtype.isnative:
        for matrix, flip in ((array, False), (array.T, True)):
            rows, inner = matrix.strides
            if inner == size and rows % size == 0 and rows >= size * matrix.shape[1]:
                return matrix, rows // size, bool(transposed) ^ flip
    array, ld = _contiguous(array, array.dtype.newbyteorder("="))
    return array, ld, bool(transposed)


def _contiguous(array: Array, dtype: DType) -> tuple[Array, int]:
    array = np.ascontiguousarray(array, dtype)
    return array, array.shape[1]
