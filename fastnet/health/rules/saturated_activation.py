"""Outputs at the flat ends of sigmoid, tanh and the like, where hardly any gradient passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.evidence import median
from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: Share of a layer's outputs at flat ends (flat_ends.FLAT_SLOPE).
SOME, MOST = 0.6, 0.85
#: One says how the network begins, not how it is trained.
LEAST_LOOKS = 2

FROM_START = "Scale the inputs to about 1 and the weights for the activation (glorot_uniform), start biases at 0."
LATER = "Lower the learning rate, which has driven the weights there."


def find(evidence: Evidence) -> Iterator[Finding]:
    if len(evidence.table) < LEAST_LOOKS:
        return
    found = []
    for name in evidence.table.names("activation"):
        saturated = evidence.table.series(name, "activation").values["saturated"]
        if not np.isfinite(saturated).any():
            continue
        typical = float(median(saturated[len(saturated) // 2 :]))
        if typical > SOME:
            found.append((typical, name, float(saturated[0])))
    if found:
        typical, name, at_first = max(found)
        from_start = at_first > SOME
        yield Finding(
            "saturated-activation", "problem" if typical > MOST else "warning", name,
            int(evidence.steps[0 if from_start else -1]), {"saturated": typical, "at_first": at_first},
            f"{typical:.0%} of the outputs of {name!r} lie where the activation is flat"
            f"{', from the start' if from_start else ''}: hardly any gradient passes.",
            f"{FROM_START if from_start else LATER} A norm layer in front of the activation keeps its inputs in range, relu or "
            "gelu have no flat end above.",
        )  # fmt: skip
