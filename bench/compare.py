"""Two runs of the suite: what got faster or slower beyond the noise.

A row has changed if the intervals of its two medians (95%, by resampling) lie apart, and if it changed by more than what
hasn't: the probes, and the peers of equal versions, ran beside it both times, and how far their times moved between the runs
is what the machine alone does. The drift is the median of these movements, and is divided out; the noise is what 95% of them
stay below after that. A row is a slowdown if it exceeds `--max-slowdown`, too: what is certain may be small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.results import Run
from bench.rows import Figures, Row

#: Peer -> distribution whose version must be the same.
DISTRIBUTIONS = {"numpy": "numpy", "torch": "torch", "jax": "jax", "sklearn": "scikit-learn", "skorch": "skorch",
                 "onnxruntime": "onnxruntime"}  # fmt: skip
LEAST_NOISE = 0.03  # where nothing else was measured beside


@dataclass
class Change:
    """Of one of our contenders: its new time over its old, or its new memory."""

    row: Row
    contender: str
    factor: float
    certain: bool

    def __str__(self):
        what = "times the memory" if self.row.contenders[self.contender].median_seconds is None else "times as long"
        name = "" if self.contender == "fastnet" else f" ({self.contender})"
        return f"{self.factor:6.2f} {what}: {self.row.group}, {self.row.case}{name}, {self.row.threads} thread(s) {self.row.isa}"


def changes(old: Run, new: Run) -> tuple[list[Change], float, float]:
    """All changes of what is ours, the machine's drift as a factor, and the noise as a logarithm."""
    before = {row.key: row for row in old.rows}
    pairs = [(before[row.key], row) for row in new.rows if row.key in before]
    yardsticks = np.array(_movements(pairs, old.machine["versions"], new.machine["versions"]))
    drift = float(np.median(yardsticks)) if yardsticks.size else 0.0
    noise = float(np.percentile(np.abs(yardsticks - drift), 95)) if yardsticks.size else 0.0
    noise = max(noise, LEAST_NOISE)
    found = []
    for was, row in pairs:
        for name, f in row.contenders.items():
            g = was.contenders.get(name)
            if g is None or not (name == "fastnet" or name.startswith("fastnet ")):
                continue
            if f.median_seconds is not None and g.median_seconds is not None:
                moved = float(np.log(f.median_seconds / g.median_seconds)) - drift
                found.append(Change(row, name, float(np.exp(moved)), _apart(g, f, drift) and abs(moved) > noise))
            elif f.megabytes and g.megabytes and f.megabytes > 0 and g.megabytes > 0:
                factor = f.megabytes / g.megabytes
                found.append(Change(row, name, factor, abs(np.log(factor)) > LEAST_NOISE))
    return found, float(np.exp(drift)), noise


def _movements(pairs, old_versions: dict, new_versions: dict) -> list[float]:
    """Logarithms of new over old time of what has not changed between two runs."""
    found = []
    for was, row in pairs:
        for name, f in row.contenders.items():
            g = was.contenders.get(name)
            version = DISTRIBUTIONS.get(name.split()[0])
            same = version is not None and old_versions.get(version) == new_versions.get(version)
            if same and g is not None and f.median_seconds and g.median_seconds:
                found.append(float(np.log(f.median_seconds / g.median_seconds)))
        for name in ("fma_peak_gflops_per_second", "bandwidth_gigabytes_per_second"):
            if getattr(was, name) and getattr(row, name):
                found.append(float(np.log(getattr(was, name) / getattr(row, name))))
    return found


def _apart(old: Figures, new: Figures, drift: float) -> bool:
    """Whether the intervals of two medians don't overlap; where there are none, noise alone decides."""
    if None in (old.median_low_seconds, new.median_low_seconds):
        return True
    scale = float(np.exp(drift))
    return (
        new.median_low_seconds > scale * old.median_high_seconds
        or new.median_high_seconds < scale * old.median_low_seconds
    )


def report(old: Run, new: Run, max_slowdown: float) -> int:
    """Print the comparison; returns 1 if something got slower (or larger) by more than `max_slowdown`, beyond the noise."""
    found, drift, noise = changes(old, new)
    if old.machine["cpu_model"] != new.machine["cpu_model"]:
        print(f"other machines: {old.machine['cpu_model']}, now {new.machine['cpu_model']}")
    print(
        f"{len(found)} figures compared; what has not changed took {drift:.3f} times as long, within {100 * noise:.0f}%"
    )
    certain = sorted((change for change in found if change.certain), key=lambda change: change.factor)
    for title, part in (
        ("faster:", [change for change in certain if change.factor < 1]),
        ("slower:", [change for change in certain if change.factor > 1]),
    ):
        if part:
            print(title, *(f"  {change}" for change in part), sep="\n")
    failed = [change for change in certain if change.factor > max_slowdown]
    print(
        f"{len(failed)} slower by more than {max_slowdown:g}"
        if failed
        else f"nothing is slower by more than {max_slowdown:g}"
    )
    return 1 if failed else 0
