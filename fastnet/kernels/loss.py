"""Losses of NumPy arrays with their derivatives. Formulas are PyTorch's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.samples import class_targets, sample_weights, value_targets

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["REGRESSION_KINDS", "partial_sums", "regression_loss", "sigmoid_cross_entropy", "softmax_cross_entropy"]

#: Number by which the kernel `regression_loss` knows a kind.
REGRESSION_KINDS = {"squared": 0, "absolute": 1, "huber": 2, "poisson": 3}

#: Rows whose losses are summed before they are added to the others, whatever the number of threads.
ROWS_PER_CHUNK = 32


def partial_sums(rows: int) -> int:
    """Doubles of the scratch `partials` that the loss kernels want for that many rows."""
    return -(-rows // ROWS_PER_CHUNK) + 1


def _run(name: str, prediction: Array, reads: dict[str, Any], sample_weight: ArrayLike | None, gradient: bool,
         numbers: dict[str, Any]) -> Any:  # fmt: skip
    """The form that all losses share: the value of the batch, and its derivative or None."""
    field = next(iter(reads))
    derivative = np.empty_like(prediction) if checks.flag("gradient", gradient) else None
    result = np.empty(2)
    rows = len(prediction)
    weights = sample_weights(sample_weight, rows, prediction.dtype)
    writes = {"d" + field: derivative, "partials": np.empty(partial_sums(rows)), "result": result}
    numbers = {"rows": rows, **numbers}
    call.run(name, prediction.dtype.name, {**reads, "weights": weights}, writes, numbers, 64 * prediction.size)
    return float(result[0]), derivative


@overload
def softmax_cross_entropy(logits: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                          label_smoothing: float = 0.0, gradient: Literal[True] = True) -> tuple[float, Array]: ...  # fmt: skip
@overload
def softmax_cross_entropy(logits: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                          label_smoothing: float = 0.0, gradient: bool) -> tuple[float, Array | None]: ...  # fmt: skip
def softmax_cross_entropy(logits: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                          label_smoothing: float = 0.0, gradient: bool = True) -> tuple[float, Array | None]:  # fmt: skip
    """Softmax cross-entropy of a batch, and its derivative by the logits.

    With targets ``t = (1 - s) target + s / classes``, s the label smoothing, a sample's loss is
    ``l = -sum_k t_k log softmax(z)_k``; the batch's is ``sum(w l) / sum(w)``, and its derivative
    ``w / sum(w) (sum(t) softmax(z) - t)``.

    Parameters
    ----------
    logits : array_like of shape (n, classes)
        float32 or float64; other real numbers are taken as float32.
    y : array_like
        Labels of shape (n,), whole numbers from 0 to classes - 1, or probabilities of shape (n, classes).
    sample_weight : array_like of shape (n,), optional
        Weights w, not negative; by default each is 1.
    label_smoothing : float
        From 0 to 1.
    gradient : bool
        Whether the derivative is wanted.

    Returns
    -------
    value : float
        NaN and Inf of the logits reach it; 0 for no samples.
    dlogits : ndarray of shape (n, classes), or None

    Raises
    ------
    TypeError, ValueError
        A label outside of the classes, a probability that is negative or NaN, shapes that do not belong together,
        weights that are negative or all zero.

    References
    ----------
    Bridle (1990), Probabilistic interpretation of feedforward classification network outputs; smoothing: Szegedy et
    al. (2016), Rethinking the Inception architecture.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.loss import softmax_cross_entropy
    >>> value, dlogits = softmax_cross_entropy(np.array([[0.0, 0.0], [0.0, np.log(3)]]), [0, 1])
    >>> round(value, 6)  # (log 2 + log 4/3) / 2
    0.490415
    >>> dlogits
    array([[-0.25 ,  0.25 ],
           [ 0.125, -0.125]])
    """
    logits, labels, targets = class_targets("logits", logits, y)
    if targets is not None and targets.size and not targets.min() >= 0:
        raise ValueError(f"y has a probability that is negative or NaN; its least is {targets.min()}")
    smoothing = checks.real_number("label_smoothing", label_smoothing, least=0, most=1)
    reads = {"logits": logits, "labels": labels, "targets": targets}
    numbers = {"classes": logits.shape[1], "smoothing": smoothing}
    return _run("softmax_cross_entropy", logits, reads, sample_weight, gradient, numbers)


@overload
def sigmoid_cross_entropy(logits: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                          label_smoothing: float = 0.0, gradient: Literal[True] = True) -> tuple[float, Array]: ...  # fmt: skip
@overload
def sigmoid_cross_entropy(logits: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                          label_smoothing: float = 0.0, gradient: bool) -> tuple[float, Array | None]: ...  # fmt: skip
def sigmoid_cross_entropy(logits: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                          label_smoothing: float = 0.0, gradient: bool = True) -> tuple[float, Array | None]:  # fmt: skip
    """Sigmoid (binary) cross-entropy of a batch, and its derivative by the logits.

    With ``t = y (1 - s) + s / 2``, s the label smoothing, a sample's loss is the mean over its columns of
    ``l = -(t log p + (1 - t) log(1 - p))``, p = sigmoid(z), computed as ``max(z, 0) - z t + log(1 + e^-|z|)``;
    the batch's is ``sum(w l) / sum(w)``.

    Parameters
    ----------
    logits : array_like of shape (n, ...)
        float32 or float64; other real numbers are taken as float32.
    y : array_like
        Values from 0 to 1 in the shape of `logits`; (n,) and (n, 1) are the same.
    sample_weight : array_like of shape (n,), optional
        Weights w, not negative; by default each is 1.
    label_smoothing : float
        From 0 to 1.
    gradient : bool
        Whether the derivative is wanted.

    Returns
    -------
    value : float
        NaN and Inf of the logits reach it; 0 for no samples.
    dlogits : ndarray in the shape of `logits`, or None

    Raises
    ------
    TypeError, ValueError
        Values of `y` outside of 0 to 1, shapes that differ (they are not broadcast), weights that are negative or all
        zero.

    References
    ----------
    Cox (1958), The regression analysis of binary sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.loss import sigmoid_cross_entropy
    >>> value, dlogits = sigmoid_cross_entropy(np.zeros((2, 1)), [0, 1])
    >>> round(value, 6), dlogits.ravel()
    (0.693147, array([ 0.25, -0.25]))
    """
    logits, targets, columns = value_targets("logits", logits, y)
    if targets.size and not (targets.min() >= 0 and targets.max() <= 1):
        raise ValueError(f"y must have values from 0 to 1; got {targets.min()} to {targets.max()}")
    smoothing = checks.real_number("label_smoothing", label_smoothing, least=0, most=1)
    numbers = {"cols": columns, "smoothing": smoothing}
    reads = {"logits": logits, "targets": targets}
    return _run("sigmoid_cross_entropy", logits, reads, sample_weight, gradient, numbers)


@overload
def regression_loss(prediction: ArrayLike, y: ArrayLike,
                    kind: Literal["squared", "absolute", "huber", "poisson"] = "squared", *, delta: float = 1.0,
                    sample_weight: ArrayLike | None = None, gradient: Literal[True] = True) -> tuple[float, Array]: ...  # fmt: skip
@overload
def regression_loss(prediction: ArrayLike, y: ArrayLike,
                    kind: Literal["squared", "absolute", "huber", "poisson"] = "squared", *, delta: float = 1.0,
                    sample_weight: ArrayLike | None = None, gradient: bool) -> tuple[float, Array | None]: ...  # fmt: skip
def regression_loss(prediction: ArrayLike, y: ArrayLike,
                    kind: Literal["squared", "absolute", "huber", "poisson"] = "squared", *, delta: float = 1.0,
                    sample_weight: ArrayLike | None = None, gradient: bool = True) -> tuple[float, Array | None]:  # fmt: skip
    """A loss of a batch of values, and its derivative by the prediction.

    A sample's loss l is the mean over its columns of, with ``e = prediction - y``,

    - "squared": ``e^2`` (no factor 1/2);
    - "absolute": ``|e|``, of slope 0 at 0;
    - "huber": ``e^2 / 2``, or beyond delta ``delta (|e| - delta / 2)``;
    - "poisson": ``exp(prediction) - y prediction``: the prediction is the logarithm of the expected count.

    The batch's is ``sum(w l) / sum(w)``.

    Parameters
    ----------
    prediction : array_like of shape (n, ...)
        float32 or float64; other real numbers are taken as float32.
    y : array_like
        In the shape of `prediction`; (n,) and (n, 1) are the same.
    kind : {"squared", "absolute", "huber", "poisson"}
    delta : float
        Above 0; where Huber's loss turns from a parabola to a line.
    sample_weight : array_like of shape (n,), optional
        Weights w, not negative; by default each is 1.
    gradient : bool
        Whether the derivative is wanted.

    Returns
    -------
    value : float
        NaN and Inf reach it; 0 for no samples.
    dprediction : ndarray in the shape of `prediction`, or None

    Raises
    ------
    TypeError, ValueError
        Shapes that differ (they are not broadcast), an unknown kind, weights that are negative or all zero.

    References
    ----------
    Huber (1964), Robust estimation of a location parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.loss import regression_loss
    >>> value, dprediction = regression_loss(np.array([1.0, 3.0]), [1.0, 1.0])
    >>> value, dprediction
    (2.0, array([0., 2.]))
    """
    number = REGRESSION_KINDS[checks.choice("kind", kind, REGRESSION_KINDS)]
    delta = checks.real_number("delta", delta, above=0)
    prediction, targets, columns = value_targets("prediction", prediction, y)
    numbers = {"cols": columns, "kind": number, "delta": delta}
    reads = {"prediction": prediction, "targets": targets}
    return _run("regression_loss", prediction, reads, sample_weight, gradient, numbers)
