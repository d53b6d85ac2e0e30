"""What the readers of data sets return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnet.datasets.encoder import Encoder
from fastnet.datasets.images import Images

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """Arrays ready for training.

    Attributes
    ----------
    x, x_test : ndarray float32, or Images
        Scaled inputs; images are (n, height, width, channels). `x_test` is None without a test part.
    y, y_test : ndarray
        Numbers of classes (int64), or standardized values (float32, a column).
    task : "classification" or "regression"
    classes : list of str, or None
        Names of the classes, in the order of their numbers.
    encoder : Encoder
        What prediction on new data needs.
    """

    x: np.ndarray | Images = field(repr=False)
    y: np.ndarray = field(repr=False)
    x_test: np.ndarray | Images | Any = field(repr=False)  # Any: None only without a test part
    y_test: np.ndarray | Any = field(repr=False)
    encoder: Encoder

    @property
    def task(self) -> str:
        return self.encoder.task

    @property
    def classes(self) -> list[str] | None:
        return self.encoder.classes
