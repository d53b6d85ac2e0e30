"""Findings: what is wrong with a training, in plain language, with the numbers that show it and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastnet import checks, files

__all__ = ["CODES", "SEVERITIES", "Finding", "ordered"]

#: From the least to the most severe.
SEVERITIES = ("info", "warning", "problem")

#: Every code that a finding may have, causes before what follows from them; each has a page, docs/findings/CODE.md.
CODES = (
    "symmetric-initialization",
    "input-scale",
    "exploding-gradients",
    "vanishing-gradients",
    "initialization-scale",
    "learning-rate-high",
    "saturated-activation",
    "dead-relu",
    "non-finite",
    "labels",
    "learning-rate-low",
    "overfitting",
    "underfitting",
    "plateau",
    "bias-before-norm",
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes
    ----------
    code : str
        One of `CODES`.
    severity : {"info", "warning", "problem"}
        "info" is worth knowing, "warning" likely costs quality or time, "problem" keeps the network from learning.
    layer : str or None
        The layer or parameter that shows it; None for the whole network.
    step : int or None
        The update at which it was first seen.
    evidence : dict of str to float
        The numbers.
    meaning, remedy : str
        What it means and what to try, with the numbers in words.
    """

    code: str
    severity: str
    layer: str | None
    step: int | None
    evidence: dict[str, Any] = field(hash=False)
    meaning: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        checks.choice("code", self.code, CODES)
        checks.choice("severity", self.severity, SEVERITIES)

    @property
    def page(self) -> str:
        """Where the code is explained, in the documentation."""
        return f"findings/{self.code}.md"

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold: a number that is not finite becomes None."""
        return files.plain({
            "code": self.code,
            "severity": self.severity,
            "layer": self.layer,
            "step": self.step,
            "evidence": {name: float(value) for name, value in self.evidence.items()},
            "meaning": self.meaning,
            "remedy": self.remedy,
        })  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Finding:
        """The finding of what `to_dict` gave; where it had no number, NaN stands."""
        evidence = {name: math.nan if value is None else value for name, value in values["evidence"].items()}
        return cls(**{**values, "evidence": evidence})

    def _repr_html_(self) -> str:
        """For notebooks."""
        from fastnet import notebook

        return notebook.block(notebook.note(self))

    def __str__(self) -> str:
        where = f" in {self.layer}" if self.layer else ""
        when = f" (step {self.step})" if self.step is not None else ""
        return f"{self.severity}: {self.code}{where}{when}\n  {self.meaning}\n  {self.remedy}"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The most severe first; among equals in the order of `CODES`, which goes from causes to what follows from them."""
    return sorted(findings, key=lambda f: (-SEVERITIES.index(f.severity), CODES.index(f.code), f.step or 0))
