"""What prediction on new data needs to know of the training data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.datasets.inputs import ArrayInputs, ImageInputs, TableInputs, mean_and_std, number_text

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["ClassTarget", "Encoder", "ValueTarget"]

MOST_CLASSES = 1000


class ClassTarget:
    """Labels: texts, whole numbers, or booleans.

    Parameters
    ----------
    name : str
    classes : list of str
        In the order of the network's outputs.
    """

    task = "classification"

    def __init__(self, name: str, classes: Iterable[str]) -> None:
        self.name = name
        self.classes = list(classes)

    @classmethod
    def fit(cls, name: str, labels: np.ndarray) -> ClassTarget:
        values = np.unique(labels)  # numbers in their order, texts alphabetically
        if len(values) < 2:
            raise ValueError(f"target {name!r} has one class only, {_text(values[0])}; there is nothing to learn")
        if len(values) > max(20, min(MOST_CLASSES, len(labels) // 2)):
            raise ValueError(
                f"target {name!r} has {len(values)} different values in {len(labels)} samples, too many for classes"
                + ("" if labels.dtype == object else "; for numbers choose task='regression'")
            )
        return cls(name, [_text(value) for value in values])

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Labels as numbers of classes, int64."""
        index = {name: i for i, name in enumerate(self.classes)}
        values, inverse = np.unique(labels, return_inverse=True)
        unknown = [_text(value) for value in values if _text(value) not in index]
        if unknown:
            raise ValueError(
                f"target {self.name!r} has the label {unknown[0]!r}, which is not one of the training data's classes "
                f"{', '.join(self.classes[:10])}{', ...' if len(self.classes) > 10 else ''}"
            )
        return np.array([index[_text(value)] for value in values], np.int64)[inverse]

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Names of the classes."""
        return np.array(self.classes, object)[numbers]

    def config(self) -> dict[str, Any]:
        return {"name": self.name, "classes": self.classes}


def _text(value: Any) -> str:
    if isinstance(value, (str, bool, np.bool_)):
        return str(value)
    return number_text(value)


class ValueTarget:
    """Real numbers, standardized for training.

    Parameters
    ----------
    name : str
    mean, std : float
    """

    task = "regression"

    def __init__(self, name: str, mean: float, std: float) -> None:
        self.name = name
        self.mean = mean
        self.std = std

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> ValueTarget:
        if values.dtype == object:
            raise ValueError(f"target {name!r} holds texts such as {values[0]!r}; regression needs numbers")
        if (values == values[0]).all():
            raise ValueError(f"target {name!r} is {values[0]:g} everywhere; there is nothing to learn")
        mean, std = mean_and_std(values)
        return cls(name, float(mean), float(std))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values as a standardized column, float32."""
        return ((values - self.mean) / self.std).astype(np.float32)[:, None]

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """A network's outputs (n, 1) as values in the target's own unit, float64."""
        return np.asarray(outputs, np.float64).reshape(len(outputs)) * self.std + self.mean

    def config(self) -> dict[str, Any]:
        return {"name": self.name, "mean": self.mean, "std": self.std}


INPUTS: dict[str, type[ArrayInputs | TableInputs]] = {cls.kind: cls for cls in (ArrayInputs, ImageInputs, TableInputs)}
TARGETS: dict[str, type[ClassTarget | ValueTarget]] = {cls.task: cls for cls in (ClassTarget, ValueTarget)}


class Encoder:
    """How raw data becomes a network's inputs and targets, and its outputs become predictions.

    Attributes
    ----------
    inputs : ArrayInputs or TableInputs
    target : ClassTarget or ValueTarget
    """

    def __init__(self, inputs: ArrayInputs | ImageInputs | TableInputs, target: ClassTarget | ValueTarget) -> None:
        self.inputs = inputs
        self.target = target

    @property
    def task(self) -> str:
        return self.target.task

    @property
    def classes(self) -> list[str] | None:
        return getattr(self.target, "classes", None)

    def transform(self, data: Any) -> Array:
        """New raw data of the same kind as inputs for the network.

        Raises
        ------
        ValueError
            A missing column, an unknown category, a wrong number of columns, values out of range, NaN.
        """
        return self.inputs.transform(data)

    def encode_target(self, values: Any) -> Array:
        """Labels as numbers of classes (int64), or values standardized (float32, a column)."""
        return self.target.encode(np.asarray(values))

    def decode_target(self, outputs: ArrayLike) -> Array:
        """Numbers of classes as their names, or outputs of a regression in the target's own unit."""
        return self.target.decode(np.asarray(outputs))

    def config(self) -> dict[str, Any]:
        """What JSON can hold; `from_config` makes an equal encoder of it."""
        return {
            "inputs": {"kind": self.inputs.kind, **self.inputs.config()},
            "target": {"task": self.target.task, **self.target.config()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Encoder:
        """An encoder from its `config`."""
        try:
            inputs, target = dict(config["inputs"]), dict(config["target"])
            return cls(INPUTS[inputs.pop("kind")](**inputs), TARGETS[target.pop("task")](**target))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the configuration of an encoder: {checks.describe(config)}") from error

    def __repr__(self) -> str:
        return f"<encoder of {self.inputs.kind} data for {self.task} of {self.target.name}>"
