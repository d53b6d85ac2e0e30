"""Labels that don't belong to the inputs, or classes that are missing or rare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import NOTHING_LEARNED, median
from fastnet.health.findings import Finding
from fastnet.health.rules.underfitting import HEAVY_PENALTY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: Epochs and steps after which any pattern shows.
EPOCHS, STEPS = 3, 60
#: Level of the validation loss at which nothing is learned: where labels are learned by heart it soon rises above 1.
HELD_OUT = 0.98
#: Weights that move at this rate would have learned something if there were something in the data.
MOVING = 3e-4
#: A network with fewer hidden units, or a greater dropout, may be too weak for any labels.
FEW_UNITS, GREAT_DROPOUT = 4, 0.8
#: Of the greatest relative gradient of a layer: the least must be this much, or the network is at fault. Early layers that get a
#: thousandth are vanishing-gradients' finding, and still learn.
ARRIVES = 1e-4
#: Signal over noise of a batch's gradient, at the median of layers and looks: what batches agree on. A dense network on the digits
#: has 0.35 to 0.56 in the second half of twelve epochs, and 0.00 to 0.30 with shuffled labels.
AGREES = 0.3
#: Share of the classes that occur: so few look like labels of another task.
HALF_OF_CLASSES = 0.5
#: The largest class over the smallest: worth knowing, and likely to cost the small ones.
KNOWN_IMBALANCE, IMBALANCE = 10, 50


def find(evidence: Evidence) -> Iterator[Finding]:
    yield from _classes(evidence)
    yield from _nothing_in_them(evidence)


def _classes(evidence: Evidence) -> Iterator[Finding]:
    counts = evidence.beginning.classes
    if counts is None or len(counts) < 2:
        return
    present = counts[counts > 0]
    if len(present) < len(counts):
        missing = [int(i) for i in np.flatnonzero(counts == 0)]
        severity = (
            "problem" if len(present) == 1 else "warning" if len(present) <= HALF_OF_CLASSES * len(counts) else "info"
        )
        start = "Labels that count from 1 leave class 0 empty. " if missing == [0] else ""
        base = evidence.beginning.base_loss
        where = "" if base is None else (
            f" At step 0 the loss is ln {len(counts)} = {math.log(len(counts)):.2f} where {base:.2f} needs no input at all."
        )  # fmt: skip
        yield Finding(
            "labels", severity, None, 0, {"classes": len(counts), "present": len(present)},
            f"The network has {len(counts)} outputs, but only {len(present)} classes occur in the training labels: none of "
            f"class {', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}.{where}",
            f"{start}Compare the labels with the number of outputs, and look whether a file or a filter has lost classes.",
        )  # fmt: skip
    ratio = present.max() / present.min()
    if ratio > KNOWN_IMBALANCE:
        yield Finding(
            "labels", "warning" if ratio > IMBALANCE else "info", None, 0, {"ratio": ratio},
            f"The largest class has {ratio:.0f} times as many samples as the smallest: a network may do well on average and "
            "never predict the small one.",
            'Look at figures of each class; class_weight="balanced" weighs them alike.',
        )  # fmt: skip


def _nothing_in_them(evidence: Evidence) -> Iterator[Finding]:
    """The training loss never fell below that of a constant prediction, or validation's never did while training's fell."""
    losses = evidence.epoch_losses
    if len(losses) < EPOCHS or not len(evidence.steps) or evidence.steps[-1] < STEPS or evidence.fault is not None:
        return
    level = evidence.level(float(np.min(losses)))
    moving = median(evidence.update_ratios[:, evidence.later]) if evidence.layers else 0.0
    if level is None or not moving > MOVING:
        return
    if (
        level >= NOTHING_LEARNED
        and _gradients_disagree(evidence)
        and _gradients_arrive(evidence)
        and _can_learn(evidence)
    ):
        yield _finding("training", level)
    elif "val_loss" in evidence.history:
        held_out = evidence.level(min(evidence.history["val_loss"]) - evidence.penalty)
        if held_out is not None and held_out >= HELD_OUT and level < NOTHING_LEARNED:
            yield _finding("validation", held_out)


def _can_learn(evidence: Evidence) -> bool:
    """Whether the network could fit more than a line: it has hidden units, which aren't nearly all dropped or held at zero."""
    hidden = [layer.weight.shape[-1] for layer in evidence.layers if not layer.last]
    rates = [getattr(node.layer, "rate", 0.0) for node in evidence.graph.nodes]
    base = evidence.beginning.base_loss
    held = base is not None and evidence.penalty > HEAVY_PENALTY * base
    return bool(hidden) and min(hidden) >= FEW_UNITS and max(rates) < GREAT_DROPOUT and not held


def _gradients_arrive(evidence: Evidence) -> bool:
    """All layers get gradients, so that it is not the network that can't learn."""
    gradients = evidence.relative_gradients[:, evidence.later]
    return bool(np.nanmin(median(gradients, axis=1)) > ARRIVES * np.nanmax(median(gradients, axis=1)))


def _gradients_disagree(evidence: Evidence) -> bool:
    """What one batch's gradient wants is not what the next one's does: there is nothing that all samples agree on."""
    signal = evidence.column("signal_to_noise", "gradient")[:, evidence.later]
    return bool(np.isfinite(signal).any() and median(signal) < AGREES)


def _finding(part: str, level: float) -> Finding:
    return Finding(
        "labels", "problem", None, None, {"level": level},
        f"The {part} loss never fell below {level:.0%} of what a constant prediction reaches, though weights moved and "
        "gradients arrived: the targets don't follow from the inputs.",
        "Look at a few samples with their labels. Are inputs and labels in the same order (shuffled together, from the "
        "same file)? Are the labels those of this task?",
    )  # fmt: skip
