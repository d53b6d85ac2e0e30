"""A training loss that has come to rest at a high level: the network can't fit even its training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import median
from fastnet.health.findings import Finding
from fastnet.health.rules.learning_rate_low import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: Level of the loss (1 is a constant prediction), and how much it may still fall in the last third of the epochs.
HIGH, FLAT, EPOCHS = 0.5, 0.08, 8
#: The regularizers' penalty over the loss of a constant prediction: no longer small beside what there is to learn.
HEAVY_PENALTY = 0.1


def at_rest(evidence: Evidence, flat: float = FLAT) -> bool:
    """Whether the training loss has stopped falling in the last third of at least eight epochs."""
    losses = evidence.epoch_losses
    if len(losses) < EPOCHS or evidence.fault is not None:
        return False
    third = max(2, len(losses) // 3)
    before, now = float(np.mean(losses[-2 * third : -third])), float(np.mean(losses[-third:]))
    return now > (1 - flat) * before


def find(evidence: Evidence) -> Iterator[Finding]:
    level, base = evidence.present_level, evidence.beginning.base_loss
    if level is None or base is None or level < HIGH or not at_rest(evidence) or not evidence.layers:
        return
    moving = median(evidence.update_ratios[:, evidence.later]) if np.isfinite(evidence.update_ratios).any() else 0.0
    if not moving > SMALL:
        return
    penalty = evidence.penalty / base
    remedy = (
        "The regularizers weigh much: make them smaller."
        if penalty > HEAVY_PENALTY
        else "More units or layers, less dropout or weight decay, features that say more; or the targets hold noise that nothing "
        "can predict, and this is all there is."
    )
    certain = evidence.loss.head is not None  # a regression's noise may be as large
    yield Finding(
        "underfitting", "warning" if certain else "info", None, None, {"level": level, "penalty": evidence.penalty},
        f"The training loss has come to rest at {level:.0%} of what a constant prediction reaches: the network can't fit its own "
        "training data.",
        remedy,
    )  # fmt: skip
