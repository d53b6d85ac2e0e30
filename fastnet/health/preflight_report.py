"""What the checks before training report: each check in one line, and what they found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastnet.health.findings import SEVERITIES, Finding, ordered

__all__ = ["Check", "Preflight"]

GOOD, SKIPPED = "good", "skipped"


@dataclass(frozen=True)
class Check:
    """One check before training.

    Attributes
    ----------
    name : str
    result : {"good", "skipped", "info", "warning", "problem"}
        The severity of the worst finding; "skipped" where the check had no sense, or no time.
    numbers : dict of str to float
        What was measured, whether it is good or not.
    sentence : str
        What it says.
    findings : tuple of Finding
    """

    name: str
    result: str
    numbers: dict[str, Any] = field(hash=False)
    sentence: str
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, name: str, sentence: str, numbers: dict[str, Any] | None = None,
           findings: Iterable[Finding] = ()) -> Check:  # fmt: skip
        """A check that was made; of findings the first, most severe, one is its sentence."""
        findings = tuple(ordered(findings))
        if findings:
            return cls(name, findings[0].severity, dict(numbers or {}), findings[0].meaning, findings)
        return cls(name, GOOD, dict(numbers or {}), sentence)

    @classmethod
    def skipped(cls, name: str, why: str, numbers: dict[str, Any] | None = None) -> Check:
        return cls(name, SKIPPED, dict(numbers or {}), why)


@dataclass(frozen=True)
class Preflight:
    """What `preflight` found.

    Attributes
    ----------
    checks : list of Check
        In the order in which they were made.
    seconds : float
        How long they took.
    findings : list of Finding
        The most severe first.
    ok : bool
        Nothing keeps the network from learning: no finding is a "problem".
    """

    checks: list[Check]
    seconds: float

    @property
    def findings(self) -> list[Finding]:
        return ordered(finding for check in self.checks for finding in check.findings)

    @property
    def ok(self) -> bool:
        return all(finding.severity != "problem" for finding in self.findings)

    def __getitem__(self, name: str) -> Check:
        """A check by its name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {name!r}; there are {', '.join(check.name for check in self.checks)}")

    def _counts(self) -> str:
        """What was found, in a few words."""
        counts = {severity: sum(f.severity == severity for f in self.findings) for severity in reversed(SEVERITIES)}
        words = [f"{n} {severity}{'s' if n > 1 and severity != 'info' else ''}" for severity, n in counts.items() if n]
        return f"{', '.join(words) or 'nothing found'} ({self.seconds:.1f} s)"

    def _repr_html_(self) -> str:
        """The checks as a table and the findings below, for notebooks."""
        from fastnet import notebook

        rows = [(check.result, check.name, check.sentence) for check in self.checks]
        table = notebook.table(("result", "check", "what it says"), rows, 3)
        notes = [notebook.note(finding) for finding in self.findings]
        return notebook.block(notebook.lines("Preflight", self._counts()), table, *notes)

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [f"preflight: {self._counts()}"]
        lines += [f"  {check.result:8}{check.name:{width}}  {check.sentence}" for check in self.checks]
        return "\n\n".join(["\n".join(lines), *map(str, self.findings)])

    def __repr__(self) -> str:
        return (
            f"<preflight of {len(self.checks)} checks: {'ok' if self.ok else 'not ok'}, {len(self.findings)} findings>"
        )
