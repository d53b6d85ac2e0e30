"""A bias that the norm layer behind it takes away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.health.evidence import weight_layers
from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence
    from fastnet.layers import Layer


def find(evidence: Evidence) -> Iterator[Finding]:
    found = [
        hidden.name
        for hidden in weight_layers(evidence.graph)
        if hidden.normed and getattr(evidence.graph.by_name[hidden.name].layer, "bias", None) is not None
        and _subtracts_mean(evidence.graph.readers(hidden.name)[0].layer)
    ]  # fmt: skip
    if found:
        yield Finding(
            "bias-before-norm", "info", found[0], 0, {"layers": len(found)},
            f"The bias of {', '.join(map(repr, found[:3]))}{', ...' if len(found) > 3 else ''} does nothing: the norm layer behind "
            "subtracts the mean, and has an offset of its own.",
            "use_bias=False saves the parameters and their gradients.",
        )  # fmt: skip


def _subtracts_mean(norm: Layer) -> bool:
    """Batch norm subtracts the mean of each channel, and so any constant of a channel."""
    return type(norm).__name__ == "BatchNorm"
