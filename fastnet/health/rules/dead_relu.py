"""Units behind relu that are off for every sample: no gradient reaches their weights, so they stay off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

#: Share of a layer's units. Some dead units are common and harmless, half a layer is lost capacity.
SOME, MOST = 0.5, 0.8
#: A unit that is off in two looks may be rare.
LEAST_LOOKS = 3


def find(evidence: Evidence) -> Iterator[Finding]:
    if len(evidence.table) < LEAST_LOOKS:
        return
    found = []
    for name in evidence.table.names("activation"):
        active = evidence.table.series(name, "activation").active
        if active is None:
            continue
        # Off in all samples of all looks of the second half.
        dead = float(np.mean((active[len(active) // 2 :] == 0).all(axis=0)))
        if dead > SOME:
            found.append((dead, name))
    if found:
        dead, name = max(found)
        yield Finding(
            "dead-relu", "problem" if dead > MOST else "warning", name, int(evidence.steps[-1]),
            {"dead": dead, "layers": len(found)},
            f"{dead:.0%} of the units of {name!r} are off for every sample: relu gives 0, its slope is 0, and no gradient reaches "
            f"their weights{f'; {len(found)} layers have this' if len(found) > 1 else ''}.",
            "Lower the learning rate (a large step may have pushed them there), start biases at 0, or take leaky_relu, elu or "
            "gelu, which let some gradient through.",
        )  # fmt: skip
