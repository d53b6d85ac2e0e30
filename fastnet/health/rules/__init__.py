"""Diagnoses, one a file: each looks at the evidence of a run and yields findings. docs/findings has a page for each."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from fastnet.health.findings import ordered
from fastnet.health.rules import (
    bias_before_norm,
    dead_relu,
    exploding_gradients,
    initialization_scale,
    input_scale,
    labels,
    learning_rate_high,
    learning_rate_low,
    non_finite,
    overfitting,
    plateau,
    saturated_activation,
    symmetric_initialization,
    underfitting,
    vanishing_gradients,
)

if TYPE_CHECKING:
    from fastnet.health.evidence import Evidence
    from fastnet.health.findings import Finding

__all__ = ["RULES", "diagnose"]

RULES = (
    non_finite, labels, exploding_gradients, vanishing_gradients, symmetric_initialization, initialization_scale, input_scale,
    dead_relu, saturated_activation, learning_rate_high, learning_rate_low, overfitting, underfitting, plateau,
    bias_before_norm,
)  # fmt: skip


def diagnose(evidence: Evidence) -> list[Finding]:
    """All findings, the most severe first."""
    with warnings.catch_warnings():
        # Medians of figures that nobody has seen are not a number, which no comparison takes for a fault.
        warnings.simplefilter("ignore", RuntimeWarning)
        return ordered(finding for rule in RULES for finding in rule.find(evidence))
