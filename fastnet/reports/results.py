"""What a network says about labelled data: confusion, figures of each class, errors of a regression, worst samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, labels
from fastnet.datasets.inputs import TableInputs

if TYPE_CHECKING:
    from fastnet.datasets import Encoder, Images
    from fastnet.labels import Targets
    from fastnet.network import Network
    from fastnet.types import Array, ArrayLike

__all__ = ["check_data", "class_figures", "confusion_matrix", "results_of"]

MOST_MISTAKES = 24
MOST_POINTS = 600  # of a scatter plot
MOST_OUTPUTS = 4  # of a regression
MOST_FEATURES = 6  # of a sample in a table
PREDICTED_AT_ONCE = 1024  # images in files


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """How often samples of each class (rows) were taken for each class (columns).

    Parameters
    ----------
    true, predicted : array of int (n,)
    classes : int

    Returns
    -------
    ndarray of int64 (classes, classes)

    Examples
    --------
    >>> from fastnet.reports.results import confusion_matrix
    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.asarray(true, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def class_figures(hits: ArrayLike, predicted: ArrayLike, support: ArrayLike) -> dict[str, Array]:
    """Precision hits / predicted, recall hits / support and F1, their harmonic mean, of each class.

    Parameters
    ----------
    hits, predicted, support : array (classes,)
        How many samples of the class were found, were said to be of it, and are of it.

    Returns
    -------
    dict
        "precision", "recall", "f1", "support"; not a number where there is nothing to divide by.
    """
    hits, predicted, support = (np.asarray(a, np.float64) for a in (hits, predicted, support))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": hits / predicted,
            "recall": hits / support,
            "f1": 2 * hits / (predicted + support),
            "support": support.astype(np.int64),
        }


def results_of(net: Network, x: Array | Images, y: ArrayLike, class_names: Sequence[str] | None = None,
               encoder: Encoder | None = None) -> tuple[dict[str, Any], Array | None]:  # fmt: skip
    """Numbers of a network's predictions for labelled data.

    Parameters
    ----------
    net : Network
        With a loss.
    x : array (n, *input_shape), or Images
    y : array
        What the loss takes.
    class_names : list of str, optional
    encoder : datasets.Encoder, optional
        Gives values of a regression, and the columns of tables, in their own units.

    Returns
    -------
    numbers : dict
    pictures : ndarray (mistakes, height, width, channels) or None
        The images among the worst samples.

    Raises
    ------
    ValueError, TypeError
        The data does not fit the network.
    """
    if net.loss is None:
        raise ValueError("net has no loss that says what its outputs mean: call fit first, or set net.loss")
    if not hasattr(x, "files"):
        x = labels.check_inputs("data x", x, net.input_shape)
    targets = labels.form_of(net.loss, y, net.output_shape, "data y")
    labels.check_length("data y", targets.array, "data x", len(x))
    numbers = {"samples": len(x), "evaluated": net.evaluate(x, y)}
    outputs = _predict(net, x)
    if not np.isfinite(outputs).all():
        return {**numbers, "task": None, "reason": "the network's outputs are not finite"}, None
    if net.loss.head is None:
        return _regression(numbers, outputs, targets, x, encoder)
    if len(net.output_shape) != 1:
        return {
            **numbers,
            "task": None,
            "reason": f"a network with outputs of shape {net.output_shape} has no classes",
        }, None
    if net.loss.head == "sigmoid" and net.output_shape[0] > 1:
        return _several_labels(numbers, outputs, targets, class_names), None
    return _classes(numbers, net.loss.head, outputs, targets, class_names, x, encoder)


def _predict(net: Network, x: Array | Images) -> Array:
    if not hasattr(x, "files"):
        return np.asarray(net.predict(x), np.float64)
    parts = [net.predict(x[i : i + PREDICTED_AT_ONCE]) for i in range(0, len(x), PREDICTED_AT_ONCE)]
    return np.concatenate(parts).astype(np.float64)


def _names(class_names: Iterable[object] | None, classes: int) -> list[str]:
    if class_names is None:
        return [str(i) for i in range(classes)]
    names = [str(name) for name in class_names]
    if len(names) != classes:
        raise ValueError(f"class_names must have a name for each of the {classes} classes; got {len(names)}")
    return names


def _classes(numbers: dict[str, Any], head: str, outputs: Array, targets: Targets, class_names: Sequence[str] | None,
             x: Array | Images, encoder: Encoder | None) -> tuple[dict[str, Any], Array | None]:  # fmt: skip
    if head == "sigmoid":
        right = 1 / (1 + np.exp(-np.clip(outputs, -700, 700)))
        probabilities = np.concatenate([1 - right, right], axis=1)
    else:
        probabilities = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = probabilities.shape[1]
    names = _names(class_names, classes)
    y = targets.array
    true = y.astype(np.int64) if targets.is_labels else _class_numbers(y.reshape(len(y), -1))
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    confusion = confusion_matrix(true, predicted, classes)
    wrong = np.flatnonzero(predicted != true)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_MISTAKES]
    figures = class_figures(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))
    numbers |= {
        "task": "classification",
        "classes": names,
        "confusion": confusion,
        "class_figures": figures,
        "accuracy": float(np.mean(predicted == true)),
        "macro_f1": float(np.nanmean(figures["f1"])),
        "wrong": len(wrong),
        "mistakes": [
            {
                "sample": int(i),
                "true": names[true[i]],
                "predicted": names[predicted[i]],
                "probability": float(confidence[i]),
            }
            for i in worst
        ],
    }
    return _with_samples(numbers, x, worst, encoder)


def _class_numbers(y: Array) -> Array:
    return (y[:, 0] > 0.5).astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)


def _several_labels(numbers: dict[str, Any], outputs: Array, targets: Targets,
                    class_names: Sequence[str] | None) -> dict[str, Any]:  # fmt: skip
    """Each sample may have several labels: figures of each, but no confusion of one with another."""
    names = _names(class_names, outputs.shape[1])
    predicted, true = outputs > 0, targets.array.reshape(outputs.shape) > 0.5
    figures = class_figures((predicted & true).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0))
    return {
        **numbers,
        "task": "labels",
        "classes": names,
        "class_figures": figures,
        "accuracy": float(np.mean(predicted == true)),
        "macro_f1": float(np.nanmean(figures["f1"])),
    }


def _regression(numbers: dict[str, Any], outputs: Array, targets: Targets, x: Array | Images,
                encoder: Encoder | None) -> tuple[dict[str, Any], Array | None]:  # fmt: skip
    predicted = outputs.reshape(len(outputs), -1)
    true = np.asarray(targets.array, np.float64).reshape(predicted.shape)
    if encoder is not None:
        predicted, true = (encoder.decode_target(values)[:, None] for values in (predicted, true))
    residuals = predicted - true
    chosen = np.unique(np.linspace(0, len(true) - 1, min(MOST_POINTS, len(true))).astype(int))
    found = []
    for i in range(min(true.shape[1], MOST_OUTPUTS)):
        error, spread = float(np.mean(residuals[:, i] ** 2)), float(true[:, i].var())
        found.append(
            {
                "rmse": error**0.5,
                "mae": float(np.abs(residuals[:, i]).mean()),
                "bias": float(residuals[:, i].mean()),
                "r2": 1 - error / spread if spread else None,
                "true": true[chosen, i],
                "predicted": predicted[chosen, i],
            }
        )
    size = np.abs(residuals / np.where(true.std(axis=0) > 0, true.std(axis=0), 1)).max(axis=1)
    worst = np.argsort(-size, kind="stable")[: MOST_MISTAKES // 2]
    numbers |= {
        "task": "regression",
        "target": None if encoder is None else encoder.target.name,
        "outputs": found,
        "all_outputs": true.shape[1],
        "mistakes": [
            {"sample": int(i), "true": true[i, :MOST_OUTPUTS], "predicted": predicted[i, :MOST_OUTPUTS]} for i in worst
        ],
    }
    return _with_samples(numbers, x, worst, encoder)


def _with_samples(numbers: dict[str, Any], x: Array | Images, rows: Array,
                  encoder: Encoder | None) -> tuple[dict[str, Any], Array | None]:  # fmt: skip
    """The inputs of some samples: images as they are, features in the numbers."""
    if len(x.shape) == 4 and x.shape[3] in (1, 3, 4):
        return numbers, np.asarray(x[rows], np.float64)
    if len(x.shape) != 2:
        return numbers, None
    samples = np.asarray(x[rows], np.float64)
    if encoder is not None and isinstance(encoder.inputs, TableInputs):
        features: dict[str, Any] = encoder.inputs.restore(samples)
        width = len(encoder.inputs.columns)
    else:
        width = x.shape[1]
        features = {f"x[{i}]": samples[:, i] for i in range(min(width, MOST_FEATURES))}
    shown = dict(list(features.items())[:MOST_FEATURES])
    return {**numbers, "features": shown, "all_features": width}, None


def check_data(data: Any) -> Any:
    """A pair (x, y)."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data must be (x, y); got {checks.describe(data)}")
    return data
