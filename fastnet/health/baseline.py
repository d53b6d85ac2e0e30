"""The losses between which learning takes place: of the best prediction that knows nothing of the inputs, and of a perfect one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import losses

if TYPE_CHECKING:
    from fastnet.labels import Targets
    from fastnet.losses import Loss
    from fastnet.types import Array, ArrayLike, Shape

__all__ = ["avoidable_share", "best_constant", "constant_loss", "perfect_loss"]

LEAST_PROBABILITY = 1e-9  # whose logit is finite
BISECTIONS = 60  # of the range of targets, to the rounding of float64
DESCENTS = 200  # evaluations, at most, of a loss whose best constant has no formula
SETTLED = 1e-9  # of the loss: steps that promise less are not taken
KEPT = 0.1  # of what a step promises: less means that it goes too far


def avoidable_share(value: float, constant: float, perfect: float) -> float:
    """What is left, at a loss, of what a prediction can better the best constant one by: 1 is nothing learned, 0 perfect."""
    return (value - perfect) / (constant - perfect)


def constant_loss(loss: Loss, targets: Targets, output_shape: Shape, weights: Array | None = None) -> float:
    """The loss of the best constant prediction, of samples that are weighed."""
    constant = best_constant(loss, targets, output_shape, weights)
    return loss.value(_repeated(constant, targets, output_shape), targets.array, sample_weight=weights)


def best_constant(loss: Loss, targets: Targets, output_shape: Shape, weights: Array | None = None) -> Array:
    """The outputs that have the least loss where one must do for all samples.

    Parameters
    ----------
    loss : Loss
        That of a class of one's own is made small by gradient descent, which finds the best outputs if the loss is convex.
    targets : labels.Targets
    output_shape : tuple of int
    weights : ndarray (n,), optional

    Returns
    -------
    ndarray of the output's shape
    """
    shares = np.ones(len(targets.array)) if weights is None else np.asarray(weights, np.float64)
    shares = shares / shares.sum()
    known = _CONSTANTS.get(type(loss))
    if known is not None and targets.classes is not None:
        return known(
            loss, np.eye(targets.classes), np.bincount(targets.array.astype(np.int64), shares, targets.classes)
        )
    if targets.is_labels:
        start = np.zeros(output_shape)
    else:
        y = targets.array.reshape(len(shares), *output_shape).astype(np.float64)
        if known is not None:
            return known(loss, y, shares)
        start = _mean(loss, y, shares)
    return _descend(loss, targets, output_shape, weights, start)


def perfect_loss(loss: Loss, targets: Targets, output_shape: Shape, weights: Array | None = None) -> float:
    """The loss of predictions that say what the targets are, which label smoothing and probabilities keep above 0."""
    known = type(loss) in _CONSTANTS
    if targets.is_labels and not known:
        return 0.0  # what such a loss takes for perfect outputs isn't known
    y = (
        np.eye(targets.classes)[targets.array.astype(np.int64)]
        if targets.classes is not None
        else targets.array.astype(np.float64)
    )
    outputs = np.ascontiguousarray(_outputs_for(loss, y).reshape(len(y), *output_shape))
    value = loss.value(outputs, targets.array, sample_weight=weights)
    return value if known else min(value, 0.0)


def _outputs_for(loss: Loss, expected: Array) -> Array:
    """The outputs that mean these expected targets: logits, logarithms of rates, or the values."""
    if isinstance(loss, (losses.SoftmaxCrossEntropy, losses.SigmoidCrossEntropy)):
        # The targets that smoothing makes of them are what the logits should say.
        states = expected.shape[-1] if loss.head == "softmax" else 2
        expected = (1 - loss.label_smoothing) * expected + loss.label_smoothing / states
        p = np.clip(expected, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        return np.log(p) if loss.head == "softmax" else np.log(p) - np.log1p(-p)
    if isinstance(loss, losses.Poisson):
        return np.log(np.maximum(expected, LEAST_PROBABILITY))
    return expected


# From values (n, ...) and their shares (n,), which sum to 1


def _mean(loss: Loss, y: Array, shares: Array) -> Array:
    return _outputs_for(loss, np.tensordot(shares, y, axes=1))


def _median(loss: Loss, y: Array, shares: Array) -> Array:
    order = np.argsort(y, axis=0)
    below = np.cumsum(shares[order], axis=0)
    middle = (below < 0.5 - 1e-12).sum(axis=0)[None]
    return np.take_along_axis(np.take_along_axis(y, order, 0), middle, 0)[0]


def _huber(loss: losses.Huber, y: Array, shares: Array) -> Array:
    """Where the sum of the derivatives, clipped errors, changes its sign."""
    low, high = y.min(axis=0), y.max(axis=0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        rises = np.tensordot(shares, np.clip(middle - y, -loss.delta, loss.delta), axes=1) > 0
        low, high = np.where(rises, low, middle), np.where(rises, middle, high)
    return (low + high) / 2


_CONSTANTS: dict[type[Loss], Callable[[Any, Array, Array], Array]] = {
    losses.SoftmaxCrossEntropy: _mean,
    losses.SigmoidCrossEntropy: _mean,
    losses.MeanSquaredError: _mean,
    losses.MeanAbsoluteError: _median,
    losses.Huber: _huber,
    losses.Poisson: _mean,
}


def _descend(loss: Loss, targets: Targets, output_shape: Shape, weights: Array | None, start: Array) -> Array:
    """Gradient descent with steps that grow while they lead down and shrink where they don't."""

    def look(constant: Array) -> tuple[float, Array]:
        value, dy = loss.gradient(_repeated(constant, targets, output_shape), targets.array, sample_weight=weights)
        return value, dy.sum(axis=0)

    best, rate = np.asarray(start, np.float64), 1.0
    least, slope = look(best)
    for _ in range(DESCENTS):
        promised = rate * np.sum(slope * slope)  # of a step along a straight line
        if promised <= SETTLED * abs(least):
            break
        trial = best - rate * slope
        value, there = look(trial)
        if value < least - KEPT * promised:
            best, least, slope, rate = trial, value, there, 1.5 * rate
        else:
            rate /= 4
    return best


def _repeated(constant: ArrayLike, targets: Targets, output_shape: Shape) -> Array:
    """One prediction for all samples."""
    return np.ascontiguousarray(np.broadcast_to(constant, (len(targets.array), *output_shape)), np.float64)
