"""Steps that are too large: the loss rises far above where it began, or the weights are thrown about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import median
from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence
    from fastnet.types import Array, Figures

#: The loss at its worst over that of the first step, and over that of a constant prediction; and where it has fallen again since.
WORSE, MUCH_WORSE = 3.0, 10.0
#: Norm of an update over that of the weights, in the later looks. A thousandth is common, a tenth replaces them in ten steps.
LARGE, HUGE = 0.03, 0.1
#: From which level of the loss the network does not learn well.
BAD = 0.5
#: Two would compare the first step with the second.
LEAST_LOOKS = 3


def find(evidence: Evidence) -> Iterator[Finding]:
    losses = evidence.losses
    if not evidence.layers or (len(losses) < LEAST_LOOKS and evidence.fault is None):
        return
    first = max(losses[0], evidence.beginning.base_loss or 0.0)
    worst = int(np.nanargmax(np.where(np.isfinite(losses), losses, -np.inf)))
    ratios = evidence.update_ratios
    with np.errstate(invalid="ignore"):
        typical = median(ratios, axis=0) if np.isfinite(ratios).any() else np.zeros(ratios.shape[1])
    largest, later = float(np.nanmax(typical, initial=0.0)), _median(typical[evidence.later])
    level = evidence.present_level
    bad = evidence.fault is not None or level is None or level > BAD
    rise = losses[worst] / first if worst > 0 and first > 0 else 0.0
    if rise > (WORSE if bad else MUCH_WORSE) and largest > LARGE:
        numbers = {"loss": losses[worst], "first_loss": losses[0], "ratio": largest}
        step = int(evidence.steps[worst])
        yield _finding("problem" if bad else "warning", step, numbers,
                       f"The loss rose from {losses[0]:.3g} to {losses[worst]:.3g} at step {step}, with updates of up to "
                       f"{largest:.2g} of the weights")  # fmt: skip
    elif later > LARGE and bad:
        yield _finding("problem" if later > HUGE else "warning", int(evidence.steps[-1]), {"ratio": later},
                       f"Updates are {later:.2g} of the weights (a thousandth is common) and the loss stays at "
                       f"{'a high level' if level is None else f'{level:.0%} of what a constant prediction reaches'}")  # fmt: skip
    elif evidence.fault is not None and largest > HUGE:
        yield _finding("problem", evidence.fault.step, {"ratio": largest},
                       f"Before the loss stopped being finite, updates were up to {largest:.2g} of the weights")  # fmt: skip


def _median(values: Array) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else 0.0


def _finding(severity: str, step: int, evidence: Figures, meaning: str) -> Finding:
    return Finding(
        "learning-rate-high", severity, None, step, evidence, f"{meaning}: the steps are too large.",
        "Divide the learning rate by 10, or let fn.find_learning_rate(net, x, y) suggest one; a warm-up "
        "(fn.schedules.Warmup) keeps the first steps small.",
    )  # fmt: skip
