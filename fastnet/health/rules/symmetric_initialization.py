"""Units of a layer that are all equal: they compute the same, get the same gradients, and stay equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    for name, difference in evidence.symmetric.items():
        yield Finding(
            "symmetric-initialization", "problem", name, int(evidence.steps[-1]) if len(evidence.steps) else 0,
            {"difference": difference},
            f"All units of {name!r} have the same weights. They compute the same, get the same gradients and stay the same: the "
            "layer is worth a single unit.",
            "Initialize at random: leave out init= (the default suits the activation), or take he_normal or glorot_uniform. "
            "Zeros are for biases.",
        )  # fmt: skip
        return
