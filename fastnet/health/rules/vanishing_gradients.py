"""Gradients that hardly reach the early layers, or none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import NOTHING_LEARNED, median
from fastnet.health.findings import Finding
from fastnet.health.rules.exploding_gradients import ratio_by_depth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: How much less the first third of the layers gets than the last third: at a thousandth they learn a thousand times more slowly.
BY_DEPTH, MUCH_BY_DEPTH = 1e-3, 10**-4.5
#: Norm of the gradient over that of the weights, in all hidden layers, while the loss is still far from fitted.
SMALL, TINY = 1e-5, 1e-7
FAR = 0.5

REMEDY = (
    "Use relu, gelu or silu in place of sigmoid or tanh in deep networks; initialize for the activation (the default init "
    "does), or by data (fn.lsuv); put norm layers or residual connections in between."
)


def find(evidence: Evidence) -> Iterator[Finding]:
    gradients = evidence.relative_gradients
    if len(evidence.layers) < 2 or gradients.shape[1] < 2:
        return
    # The first look may have exact zeros behind a last layer that starts at zero; what has been mended since is no finding.
    later = gradients[:, 1:]
    ratios = [ratio for look in later.T if (ratio := ratio_by_depth(look[:, None])) is not None]
    lasting = len(ratios) and np.mean(np.array(ratios) < BY_DEPTH) > 0.5 and np.median(ratios[-3:]) < BY_DEPTH
    level = evidence.present_level
    if lasting:
        ratio = float(np.median(ratios))
        nothing_learned = level is not None and level > NOTHING_LEARNED
        yield Finding(
            "vanishing-gradients", "problem" if ratio < MUCH_BY_DEPTH or nothing_learned else "warning",
            evidence.layers[0].name, int(evidence.steps[1]), {"first_over_last": ratio},
            f"Gradients fade towards the input: relative to their weights those of the first layers are {ratio:.1e} times "
            "those of the last ones, so the first layers hardly learn.",
            REMEDY,
        )  # fmt: skip
        return
    hidden = [i for i, layer in enumerate(evidence.layers) if not layer.last]
    if hidden and level is not None and level > FAR:
        typical = float(np.median(median(later[hidden], axis=1)))
        if 0 < typical < SMALL:
            yield Finding(
                "vanishing-gradients", "problem" if typical < TINY else "warning", evidence.layers[hidden[0]].name,
                int(evidence.steps[1]), {"gradient_over_weights": typical},
                f"In the hidden layers gradients are {typical:.1e} of the weights (a network that starts well: about 0.1), while "
                f"the loss is still at {level:.0%} of what a constant prediction reaches.",
                REMEDY,
            )  # fmt: skip
