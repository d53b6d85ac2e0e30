"""A loss, gradient or weight that is NaN or infinite: where it appeared first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

REMEDY = (
    "Look at what this layer computes: a logarithm or division of one's own, a value beyond the dtype's range. If the loss grew "
    "before, lower the learning rate or give clip_norm; if it was bad from the start, look at the data's scale."
)


def find(evidence: Evidence) -> Iterator[Finding]:
    fault = evidence.fault
    if fault is not None:
        where = f" in layer {fault.layer!r}" if fault.layer else ""
        meaning = f"At step {fault.step} {fault.what} was not finite; the first such value appeared{where}."
        yield Finding("non-finite", "problem", fault.layer, fault.step, {"step": fault.step}, meaning, REMEDY)
        return
    for kind in ("activation", "weight"):
        for name in evidence.table.names(kind):
            bad = evidence.table.series(name, kind).values["bad"]
            seen = np.flatnonzero(bad > 0)
            if len(seen):
                step = int(evidence.steps[seen[0]])
                meaning = (
                    f"{int(bad[seen[0]])} values of the {kind} {name!r} are NaN or infinite, first seen at step {step}."
                )
                yield Finding("non-finite", "problem", name, step, {"bad": bad[seen[0]]}, meaning, REMEDY)
                return
