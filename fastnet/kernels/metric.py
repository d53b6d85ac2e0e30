"""Sums that metrics are made of, over NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.samples import class_targets, sample_weights, value_targets

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["SUM_KINDS", "count_correct", "r2_from_sums", "regression_sums"]

#: Number by which the kernel `regression_sums` knows a kind.
SUM_KINDS = {"squared": 0, "absolute": 1, "r2": 2}


def count_correct(prediction: ArrayLike, y: ArrayLike, *, top_k: int = 1, binary: bool = False,
                  sample_weight: ArrayLike | None = None) -> tuple[float, float]:  # fmt: skip
    """The weight of the samples that are predicted rightly, and of all: their ratio is the accuracy.

    A sample is right if its label is among the `top_k` greatest predictions. Of equal ones the first wins, as in
    ``argmax``; a NaN outranks every number, and a label whose own prediction is NaN is wrong. With `binary` what counts
    is the share of the columns where ``prediction > 0`` agrees with ``y > 0.5``.

    Parameters
    ----------
    prediction : array_like
        Logits of shape (n, classes); with `binary` of shape (n, ...) or (n,).
    y : array_like
        Labels of shape (n,), or probabilities of shape (n, classes), whose greatest is the label. With `binary`
        values of the shape of `prediction`.
    top_k : int
        At least 1; of no meaning with `binary`.
    binary : bool
        One or more independent yes-or-no questions rather than one class of several.
    sample_weight : array_like of shape (n,), optional
        Weights, not negative; by default each is 1.

    Returns
    -------
    correct, total : float

    Raises
    ------
    TypeError, ValueError
        Shapes that do not belong together, a label outside of the classes, weights that are negative or all zero.

    Examples
    --------
    >>> from fastnet.kernels.metric import count_correct
    >>> count_correct([[0.1, 0.7], [0.9, 0.2], [0.4, 0.3]], [1, 1, 0])
    (2.0, 3.0)
    """
    top_k = checks.whole_number("top_k", top_k, least=1)
    if not checks.flag("binary", binary):
        prediction, labels, targets = class_targets("prediction", prediction, y)
        columns = prediction.shape[1]
    else:
        labels = None
        prediction, targets, columns = value_targets("prediction", prediction, y)
    rows = len(prediction)
    weights = sample_weights(sample_weight, rows, prediction.dtype)
    reads = {"prediction": prediction, "labels": labels, "targets": targets, "weights": weights}
    sums = np.zeros(2)
    numbers = {"rows": rows, "classes": columns, "top_k": top_k, "kind": int(binary)}
    call.run("count_correct", prediction.dtype.name, reads, {"sums": sums}, numbers, 0)
    return float(sums[0]), float(sums[1])


def regression_sums(prediction: ArrayLike, y: ArrayLike, kind: Literal["squared", "absolute", "r2"] = "squared", *,
                    sample_weight: ArrayLike | None = None, sums: Array | None = None) -> np.ndarray:  # fmt: skip
    """Sums over samples of errors, to be added to from batch to batch.

    Parameters
    ----------
    prediction : array_like of shape (n, ...)
        Float32 or float64; other real numbers are taken as float32.
    y : array_like
        Of the shape of `prediction`; (n,) and (n, 1) are the same.
    kind : {"squared", "absolute", "r2"}
        What is summed, w being a sample's weight: ``[sum w l, sum w]`` where l is the mean over the columns of the
        squared or absolute error; or what `r2_from_sums` takes, of length ``1 + 3 columns``: ``sum w``, then for
        each column the mean of y, then for each ``sum w (y - mean)^2``, then for each ``sum w (y - prediction)^2``.
    sample_weight : array_like of shape (n,), optional
        Weights, not negative; by default each is 1.
    sums : ndarray of float64, optional
        The result for earlier batches, which is added to in place; by default zeros.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    TypeError, ValueError
        Shapes that do not belong together, an unknown kind, weights that are negative or all zero.

    References
    ----------
    West (1979), Updating mean and variance estimates: an improved method.

    Examples
    --------
    >>> from fastnet.kernels.metric import regression_sums
    >>> regression_sums([[1.0, 2.0], [3.0, 4.0]], [[1.0, 4.0], [3.0, 4.0]])
    array([2., 2.])
    """
    number = SUM_KINDS[checks.choice("kind", kind, SUM_KINDS)]
    prediction, targets, columns = value_targets("prediction", prediction, y)
    rows = len(prediction)
    weights = sample_weights(sample_weight, rows, prediction.dtype)
    shape = (1 + 3 * columns if kind == "r2" else 2,)
    sums = np.zeros(shape) if sums is None else call.output("sums", sums, shape, np.float64)
    reads = {"prediction": prediction, "targets": targets, "weights": weights}
    numbers = {"rows": rows, "cols": columns, "kind": number}
    call.run("regression_sums", prediction.dtype.name, reads, {"sums": sums}, numbers, 0)
    return sums


def r2_from_sums(sums: ArrayLike) -> float:
    """The coefficient of determination R^2 from the sums of that kind, averaged over the columns.

    ``R^2 = 1 - sum w (y - prediction)^2 / sum w (y - mean)^2``. A column whose y is constant counts as 1 if it is
    predicted without error, else as 0, as in scikit-learn.

    Parameters
    ----------
    sums : ndarray of float64
        What ``regression_sums(..., kind="r2")`` gave.

    Returns
    -------
    float
        NaN if the sums have no weight.

    Raises
    ------
    ValueError
        `sums` is not of that form.

    Examples
    --------
    >>> from fastnet.kernels.metric import r2_from_sums, regression_sums
    >>> sums = regression_sums([1.0, 2.0], [1.0, 3.0], kind="r2")
    >>> sums = regression_sums([4.0], [5.0], kind="r2", sums=sums)
    >>> r2_from_sums(sums)
    0.75
    """
    sums = np.asarray(sums, np.float64)
    if sums.ndim != 1 or len(sums) < 4 or len(sums) % 3 != 1:
        raise ValueError(f"sums must have shape (1 + 3 columns,); got {sums.shape}")
    if not sums[0]:
        return float("nan")
    _, about_mean, residual = sums[1:].reshape(3, -1)
    constant = about_mean == 0
    ratio = np.divide(residual, about_mean, where=~constant, out=(residual != 0).astype(float))
    ratio[np.isnan(residual)] = np.nan
    return float(np.mean(1 - ratio))
