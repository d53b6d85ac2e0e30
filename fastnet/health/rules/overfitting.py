"""The validation loss rises while the training loss goes on falling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: The last validation losses over the best one, their distance as a share of the loss of a constant prediction, how many times
#: the training loss they are; and the epochs since the best.
RISE, DISTANCE, GAP, SINCE = 1.3, 0.15, 2.0, 3
#: A gap of accuracy that is as telling, where the training samples are fitted so many times better; and one that is by itself.
ACCURACY_GAP, BY_HEART, WIDE_GAP = 0.1, 20.0, 0.22
#: Epochs whose median counts, as single ones waver; the best one must lie before them.
LAST, LEAST_EPOCHS = 3, 4


def find(evidence: Evidence) -> Iterator[Finding]:
    history = evidence.history
    if "val_loss" not in history or len(history["val_loss"]) < LEAST_EPOCHS:
        return
    held_out, training = np.array(history["val_loss"]) - evidence.penalty, evidence.epoch_losses
    best = int(np.nanargmin(held_out))
    now, fitted = float(np.median(held_out[-LAST:])), float(np.median(training[-LAST:]))
    fallen = training[-1] < training[best]
    base = evidence.beginning.base_loss
    far = base is None or now - held_out[best] > DISTANCE * base
    rises = len(held_out) - 1 - best >= SINCE and now > RISE * held_out[best] and far and now > GAP * fitted and fallen
    gap = 0.0
    if "accuracy" in history and "val_accuracy" in history:
        gap = float(np.median(history["accuracy"][-LAST:]) - np.median(history["val_accuracy"][-LAST:]))
    if not rises and not (gap > ACCURACY_GAP and now > (GAP if gap > WIDE_GAP else BY_HEART) * fitted):
        return
    evidence_ = {"val_loss": now, "best_val_loss": float(held_out[best]), "loss": fitted, "accuracy_gap": gap}
    if rises:
        meaning = (
            f"The validation loss was best after epoch {best + 1} ({held_out[best]:.3g}) and has risen to {now:.3g}, while the "
            f"training loss fell to {fitted:.3g}: the network learns the training samples by heart."
        )
    else:
        meaning = (
            f"Training samples are classified {gap:.0%} better than validation samples (losses {fitted:.3g} and {now:.3g}): the "
            "network learns the training samples by heart."
        )
    yield Finding(
        "overfitting", "warning", None, None, evidence_, meaning,
        "More data or augmentation (augment=), Dropout, weight decay (fn.AdamW) or a regularizer (fn.L2), a smaller network; "
        "EarlyStopping() goes back to the best epoch.",
    )  # fmt: skip
