"""A loss that fell and then stopped falling far from its end, because the steps have become too small, or stayed too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import median
from fastnet.health.findings import Finding
from fastnet.health.rules.underfitting import HIGH, at_rest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: Level of the loss from which there is something left to learn, and what counts as flat.
LEFT, FLAT = 0.15, 0.02
#: Updates over weights at which nothing moves any more, relative to the run's typical ones and as such.
STOPPED, SMALL = 0.02, 1e-4
#: With fewer the last two are half of all.
LEAST_LOOKS = 4


def find(evidence: Evidence) -> Iterator[Finding]:
    level = evidence.present_level
    if level is None or level < LEFT or not at_rest(evidence, FLAT) or not evidence.layers:
        return
    ratios = evidence.update_ratios
    if not np.isfinite(ratios).any() or ratios.shape[1] < LEAST_LOOKS:
        return
    typical = median(ratios, axis=0)
    now, before = float(median(typical[-2:])), float(np.nanmax(typical))
    stopped = now < SMALL and now < STOPPED * before
    if not stopped and level >= HIGH:
        return  # underfitting says so
    certain = stopped and evidence.loss.head is not None
    cause = (
        f"Updates have become {now:.1e} of the weights, {now / before:.1e} of what they were: the learning rate has gone to "
        "nothing too early"
        if stopped
        else "The loss doesn't fall any more, though weights still move"
    )
    yield Finding(
        "plateau", "warning" if certain else "info", None, int(evidence.steps[-1]), {"level": level, "ratio": now},
        f"The training loss rests at {level:.0%} of what a constant prediction reaches. {cause}.",
        "Stretch the schedule over more steps, or give it an end above 0."
        if stopped
        else "Lower the learning rate for the last part (fn.ReduceLROnPlateau, fn.schedules.Cosine): noise of single batches may "
        "keep the loss up.",
    )  # fmt: skip
