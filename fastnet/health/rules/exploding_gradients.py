"""Gradients that are far too large: from the start, in the early layers, or growing while training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import NOTHING_LEARNED, median
from fastnet.health.findings import Finding
from fastnet.health.scale import LARGE as LARGE_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence
    from fastnet.types import Array

#: Norm of the gradient over that of the weights. A network that starts well has about 0.1; at 30 a step of plain gradient
#: descent with a rate of 0.03 is as large as the weights themselves.
LARGE, HUGE = 30.0, 1000.0
#: How much more the first third of the layers gets than the last third.
BY_DEPTH, MUCH_BY_DEPTH = 1e3, 10**4.5
#: What has thirds that are more than single layers.
LEAST_LAYERS = 5
#: Growth since the first looks, where the loss hasn't fallen; to the size of the weights at least, and in so many looks that the
#: first ones are not the last.
GROWTH, GROWN, LEAST_LOOKS = 1e3, 1.0, 4

REMEDY = (
    "Initialize for the activation (the default init does), or by data (fn.lsuv); put norm layers or residual "
    "connections in between; clip_norm=1.0 keeps single steps bounded."
)


def find(evidence: Evidence) -> Iterator[Finding]:
    gradients = evidence.relative_gradients
    if not len(evidence.layers) or gradients.shape[1] == 0:
        return
    early = gradients[:, : max(2, gradients.shape[1] // 4)]
    typical = median(early) if np.isfinite(early).any() else 0.0
    ratio = ratio_by_depth(early)
    if typical > LARGE and not _comes_from_the_input(evidence):
        at = evidence.layers[int(np.nanargmax(median(early, axis=1)))]
        yield Finding(
            "exploding-gradients", "problem" if typical > HUGE or evidence.fault else "warning", at.name, int(evidence.steps[0]),
            {"gradient_over_weights": typical},
            f"From the start gradients are {typical:.3g} times as large as the weights (a network that starts well: about 0.1); "
            f"most in {at.name!r}.",
            REMEDY,
        )  # fmt: skip
    elif ratio is not None and ratio > BY_DEPTH:
        yield Finding(
            "exploding-gradients", "problem" if ratio > MUCH_BY_DEPTH else "warning", evidence.layers[0].name,
            int(evidence.steps[0]), {"first_over_last": ratio},
            f"Gradients grow towards the input: relative to their weights those of the first layers are {ratio:.3g} times "
            "as large as those of the last ones.",
            REMEDY,
        )  # fmt: skip
    elif gradients.shape[1] >= LEAST_LOOKS:
        greatest = float(np.nanmax(median(gradients, axis=0)))
        growth = greatest / typical if typical > 0 else 0.0
        level = evidence.present_level
        if growth > GROWTH and greatest > GROWN and (level is None or level > NOTHING_LEARNED):
            step = int(evidence.steps[int(np.nanargmax(median(gradients, axis=0)))])
            yield Finding(
                "exploding-gradients", "problem", None, step, {"growth": growth},
                f"Gradients have grown {growth:.3g} times since the start (step {step}) and the loss has not fallen.",
                "clip_norm=1.0 bounds single steps; a lower learning rate or a warm-up keeps the first ones small.",
            )  # fmt: skip


def _comes_from_the_input(evidence: Evidence) -> bool:
    """Inputs of a large scale make large gradients in the first layer, which is input-scale's finding."""
    inputs = evidence.beginning.inputs
    if inputs is None or evidence.input_is_normed:
        return False
    return float(np.max(np.hypot(inputs.mean, inputs.std))) > LARGE_INPUT


def ratio_by_depth(gradients: Array) -> float | None:
    """The median relative gradient of the first third of the layers over that of the last third; None for too few."""
    n = len(gradients)
    if n < LEAST_LAYERS:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        of_layer = median(np.where(gradients > 0, gradients, np.nan), axis=1)
    first, last = median(of_layer[: n // 3 or 1]), median(of_layer[-(n // 3 or 1) :])
    return float(first / last) if last > 0 and np.isfinite(first) else None
