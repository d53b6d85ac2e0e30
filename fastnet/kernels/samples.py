"""Checks that losses and metrics share: predictions against targets, labels, weights of samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastnet.kernels import call
from fastnet.kernels.batch import gather_labels

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, DType

__all__ = ["class_targets", "sample_weights", "value_targets"]


def class_targets(argument: str, logits: ArrayLike, y: ArrayLike) -> tuple[Array, Array | None, Array | None]:
    """`logits` as an array (n, classes), with `y` as labels or as probabilities; the other one is None."""
    logits = call.real_array(argument, logits)
    if logits.ndim != 2 or not logits.shape[1]:
        raise ValueError(f"{argument} must have shape (n, classes); got {logits.shape}")
    y = np.asarray(y)
    if y.shape == logits.shape:
        return logits, None, call.real_array("y", y, logits.dtype)
    if y.shape == logits.shape[:1]:
        return logits, gather_labels(y, classes=logits.shape[1]), None
    raise ValueError(
        f"y must have shape {logits.shape[:1]} (labels) or {logits.shape} (probabilities) for {argument} of shape "
        f"{logits.shape}; got {y.shape}"
    )


def value_targets(argument: str, prediction: ArrayLike, y: ArrayLike) -> tuple[Array, Array, int]:
    """`prediction` and `y` of one shape (n, ...) and dtype, and its columns; (n,) and (n, 1) are the same."""
    prediction = call.real_array(argument, prediction)
    if prediction.ndim == 0:
        raise ValueError(f"{argument} must have shape (n, ...); got a single number")
    columns = math.prod(prediction.shape[1:])
    if not columns:
        raise ValueError(f"{argument} has no columns: its shape is {prediction.shape}")
    targets = call.real_array("y", y, prediction.dtype)
    n = len(prediction)
    column = prediction.shape in ((n,), (n, 1)) and targets.shape in ((n,), (n, 1))
    if prediction.shape != targets.shape and not column:
        raise ValueError(f"y must have the shape of {argument}, {prediction.shape}; got {targets.shape}")
    return prediction, targets.reshape(prediction.shape), columns


def sample_weights(sample_weight: ArrayLike | None, rows: int, dtype: DType) -> Array | None:
    """`sample_weight` as an array of `rows` weights, or None."""
    if sample_weight is None:
        return None
    w = call.real_array("sample_weight", sample_weight, dtype)
    if w.shape != (rows,):
        raise ValueError(f"sample_weight must have shape ({rows},), a weight for each sample; got {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError("sample_weight has NaN or Inf")
    if rows and w.min() < 0:
        raise ValueError(f"sample_weight must not be negative; its least is {w.min()}")
    if rows and not w.sum(dtype=np.float64) > 0:
        raise ValueError("sample_weight has no weight above zero")
    return w
