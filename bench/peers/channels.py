"""Weights for peers whose images have their channels first."""

from __future__ import annotations

import numpy as np


def channels_first(w: np.ndarray, channels: int | None) -> np.ndarray:
    """A kernel as OIHW; a matrix as (outputs, inputs), its inputs in channels of images if `channels` says how many."""
    if w.ndim == 4:
        return np.ascontiguousarray(w.transpose(3, 2, 0, 1))
    if channels:
        w = w.reshape(-1, channels, w.shape[1]).transpose(1, 0, 2).reshape(w.shape)
    return np.ascontiguousarray(w.T)
