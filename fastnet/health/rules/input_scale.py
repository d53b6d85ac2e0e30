"""Inputs whose scale is far from 1, or differs much from feature to feature."""

from __future__ import annotations

import numpy as np

from fastnet.health.findings import Finding

#: Root mean square of the inputs. Initializations and learning rates are made for about 1; pixels from 0 to 255 have some 100.
LARGE, HUGE = 10.0, 30.0
SMALL, TINY = 0.02, 0.002
#: The largest feature's spread over the smallest's, of those that vary.
RATIO, GREAT_RATIO = 300.0, 3000.0

REMEDY = (
    "Scale the inputs to mean 0 and standard deviation 1: a fn.Normalize(mean, std) layer in front keeps it with the network; "
    "pixels: divide by 255."
)


def find(evidence):
    begun = evidence.beginning
    if begun.input_mean is None or evidence.input_is_normed:
        return
    rms = float(np.sqrt(np.mean(begun.input_rms**2)))
    varying = begun.input_std[begun.input_std > 1e-12 * np.maximum(np.abs(begun.input_mean), 1e-300)]
    ratio = float(varying.max() / varying.min()) if len(varying) > 1 and _are_columns(evidence) else 1.0
    if rms > LARGE or 0 < rms < SMALL:
        severe = rms > HUGE or rms < TINY
        yield Finding(
            "input-scale", "problem" if severe else "warning", "input", 0, {"rms": rms},
            f"The inputs' root mean square is {rms:.3g}; initialization and learning rates are made for about 1.",
            REMEDY,
        )  # fmt: skip
    elif ratio > RATIO:
        yield Finding(
            "input-scale", "problem" if ratio > GREAT_RATIO else "warning", "input", 0, {"ratio": ratio},
            f"One feature varies {ratio:.3g} times as much as another: the network sees little but the large ones.",
            REMEDY,
        )  # fmt: skip


def _are_columns(evidence) -> bool:
    """Features of a table, rather than pixels, whose spread near the edge of images says nothing."""
    return len(evidence.graph.input_shape) == 1 and float(np.mean(evidence.beginning.input_mean == 0)) < 0.2
