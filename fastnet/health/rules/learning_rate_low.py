"""Steps so small that the weights hardly move while there is much left to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import median
from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: Norm of an update over that of the weights, at the median of the looks, in the layer that moves most.
SMALL, TINY = 1e-4, 1e-5
#: The loss after the run over that of its first step: little has been learned.
LITTLE = 0.75
#: Norm of a gradient over that of the weights: there is something to follow. Less is vanishing-gradients' finding.
GRADIENT = 1e-4
#: Fewer may be those of a warm-up.
LEAST_LOOKS = 4


def find(evidence: Evidence) -> Iterator[Finding]:
    losses, ratios = evidence.losses, evidence.update_ratios
    if len(losses) < LEAST_LOOKS or not evidence.layers or evidence.fault is not None or not np.isfinite(ratios).any():
        return
    moving = float(np.nanmax(median(ratios, axis=1)))
    now = evidence.epoch_losses[-1] if len(evidence.epoch_losses) else float(np.median(losses[-3:]))
    gradients = float(median(evidence.relative_gradients))
    if moving < SMALL and losses[0] > 0 and now > LITTLE * losses[0] and gradients > GRADIENT:
        yield Finding(
            "learning-rate-low", "problem" if moving < TINY else "warning", None, int(evidence.steps[-1]),
            {"ratio": moving, "first_loss": losses[0], "loss": now},
            f"An update changes the weights by {moving:.1e} of their size (a thousandth is common), and the loss has only gone "
            f"from {losses[0]:.3g} to {now:.3g}.",
            "Multiply the learning rate by 10 or more, or let fn.find_learning_rate(net, x, y) suggest one.",
        )  # fmt: skip
