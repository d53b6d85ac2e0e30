"""What a case gives: a row, with the figures of each contender. The names of fields have the units."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field


@dataclass
class Figures:
    """One contender's. A ratio is its time over fastnet's, so that above 1 fastnet is faster; `low` and `high` bound 95%."""

    median_seconds: float | None = None
    median_low_seconds: float | None = None
    median_high_seconds: float | None = None
    quartile_1_seconds: float | None = None
    quartile_3_seconds: float | None = None
    best_seconds: float | None = None
    percentile_99_seconds: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    busy_cpus: float | None = None
    gflops_per_second: float | None = None
    fma_peak_percent: float | None = None
    gigabytes_per_second: float | None = None
    bandwidth_percent: float | None = None
    megabytes: float | None = None


@dataclass
class Row:
    """One case with one number of threads.

    `best` says which setting of a peer in several settings is its fastest. The two probes are of the machine, as they were measured
    beside the contenders, on as many threads. `series` and `position` place a row on an axis, for plots.
    """

    group: str
    case: str
    threads: int
    contenders: dict[str, Figures]
    best: dict[str, str] = field(default_factory=dict)
    fma_peak_gflops_per_second: float | None = None
    bandwidth_gigabytes_per_second: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: str | None = None
    position: float | None = None
    isa: str = ""

    @property
    def key(self) -> tuple:
        """What a row of another run must have in common with it to be compared."""
        return self.group, self.case, self.threads, self.isa

    def of(self, peer: str) -> Figures | None:
        """The figures of a peer, in its best setting."""
        return self.contenders.get(self.best.get(peer, peer))

    def ratio(self, peer: str) -> float | None:
        figures = self.of(peer)
        return None if figures is None else figures.ratio

    def to_json(self) -> dict:
        """Without what is not known, and with seven digits."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["contenders"] = {name: _known(vars(figures)) for name, figures in self.contenders.items()}
        return _known(fields)

    @classmethod
    def from_json(cls, fields: dict) -> Row:
        contenders = {name: Figures(**figures) for name, figures in fields["contenders"].items()}
        return cls(**{**fields, "contenders": contenders})


def _known(fields: dict) -> dict:
    return {name: _rounded(value) for name, value in fields.items() if value not in (None, {}, [], "")}


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return value


def text(row: Row) -> str:
    """A row as it is printed while the suite runs."""
    lines = [f"{row.group:<10} {row.case}, {row.threads} thread{'s' if row.threads > 1 else ''}"]
    for name, f in row.contenders.items():
        parts = []
        if f.median_seconds is not None:
            parts.append(f"{duration(f.median_seconds):>10}")
            if f.quartile_1_seconds is not None:
                parts.append(f"({duration(f.quartile_1_seconds)} to {duration(f.quartile_3_seconds)})")
        if f.percentile_99_seconds is not None:
            parts.append(f"99%: {duration(f.percentile_99_seconds)}")
        if f.megabytes is not None:
            parts.append(f"{f.megabytes:,.3g} MB")
        if f.ratio is not None:
            bounds = f" [{f.ratio_low:.2f}, {f.ratio_high:.2f}]" if f.ratio_low is not None else ""
            parts.append(
                f"{f.ratio:.2f}x{bounds}" + (" best" if len(row.contenders) > 2 and name in row.best.values() else "")
            )
        if f.gflops_per_second is not None:
            parts.append(f"{f.gflops_per_second:,.1f} GFLOP/s, {f.fma_peak_percent:.0f}% of the FMA peak")
        if f.gigabytes_per_second is not None:
            parts.append(f"{f.gigabytes_per_second:,.1f} GB/s, {f.bandwidth_percent:.0f}% of streaming")
        if f.busy_cpus is not None and f.busy_cpus > row.threads + 0.1:
            parts.append(f"{f.busy_cpus:.1f} busy CPUs")
        lines.append(f"    {name:<24} " + "  ".join(parts))
    if row.figures:
        lines.append("    " + ", ".join(f"{name} {value:,.4g}" for name, value in row.figures.items()))
    return "\n".join(lines + [f"    {note}" for note in row.notes])


def duration(seconds: float) -> str:
    """With three digits, in the unit that suits it."""
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if abs(seconds) >= pair[1]), ("us", 1e-6))
    value = seconds / size
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"
