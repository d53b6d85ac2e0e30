"""Inputs whose scale is far from 1, or differs much from feature to feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.health.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence

REMEDY = (
    "Scale the inputs to mean 0 and standard deviation 1: a fn.Normalize(mean, std) layer in front keeps it with the network; "
    "pixels: divide by 255."
)


def find(evidence: Evidence) -> Iterator[Finding]:
    inputs = evidence.beginning.inputs
    if inputs is None or evidence.input_is_normed:
        return
    if inputs.severity_of_size is not None:
        yield Finding(
            "input-scale", inputs.severity_of_size, "input", 0, {"rms": inputs.rms, "largest": inputs.largest},
            f"The inputs' root mean square is {inputs.rms:.3g}; initialization and learning rates are made for about 1.",
            REMEDY,
        )  # fmt: skip
    elif inputs.severity_of_ratio is not None:
        yield Finding(
            "input-scale", inputs.severity_of_ratio, "input", 0, {"ratio": inputs.ratio},
            f"One feature varies {inputs.ratio:.3g} times as much as another: the network sees little but the large ones.",
            REMEDY,
        )  # fmt: skip
