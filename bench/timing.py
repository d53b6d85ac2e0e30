"""Interleaved timing: A B A B, so that a noisy machine is noisy for both."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from bench.rows import Figures, Row

#: Contenders that measure the machine, and have no ratio.
PROBES = ("fma", "stream")


@dataclass
class Timing:
    """Seconds of one call of each contender, round by round, and how many CPUs it kept busy meanwhile."""

    seconds: dict[str, np.ndarray]
    cpus: dict[str, float] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return float(np.median(self.seconds[name]))

    def median_interval(self, name: str) -> tuple[float, float]:
        return _interval(self.seconds[name])

    def ratio(self, name: str, ours: str = "fastnet") -> tuple[float, float, float]:
        """Median over the rounds of peer / ours, with its interval: both sides of a round had the same machine."""
        ratios = self.seconds[name] / self.seconds[ours]
        return float(np.median(ratios)), *_interval(ratios)

    def figures(self, name: str) -> Figures:
        low, high = self.median_interval(name)
        first, third = np.percentile(self.seconds[name], [25, 75]).tolist()
        return Figures(
            self.median(name), low, high, first, third, float(self.seconds[name].min()), busy_cpus=self.cpus.get(name)
        )


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Bounds of the median, 95%, from resampling the rounds."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (500, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5]).tolist()
    return low, high


def interleave(
    contenders: dict, *, seconds: float = 3.0, slice_seconds: float = 0.02, least: int = 9, settled: bool = False
) -> Timing:
    """Time each contender in turn, in slices, until `seconds` have gone.

    Parameters
    ----------
    contenders : dict of str to callable
        ``call(n)`` does the work about n times, and returns how often (None: n times).
    settled : bool
        Before each slice wait until the process is idle, and then make a call that is not timed: the idle threads of the
        contender before spin on the cores that this one needs (libgomp's for 8 ms, onnxruntime's for 45, OpenBLAS' for 100).
    """
    counts = {}
    for name, call in contenders.items():
        call(1)
        n = 1
        while True:
            begun = time.perf_counter()
            done = call(n) or n
            took = time.perf_counter() - begun
            if took >= slice_seconds / 2:
                counts[name] = max(1, round(done * slice_seconds / took))
                break
            n *= 2
    for call in contenders.values():
        if isinstance(call, Latencies):
            call.seconds.clear()
    rounds = {name: [] for name in contenders}
    wall, busy = dict.fromkeys(contenders, 0.0), dict.fromkeys(contenders, 0.0)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(next(iter(rounds.values()))) < least:
        for name, call in contenders.items():
            if settled:
                settle()
                call(1)
            begun, busy_before = time.perf_counter(), time.process_time()
            done = call(counts[name]) or counts[name]
            took = time.perf_counter() - begun
            latencies = call.seconds[-done:] if isinstance(call, Latencies) else ()
            rounds[name].append(float(np.median(latencies)) if latencies else took / done)
            wall[name] += took
            busy[name] += time.process_time() - busy_before
    return Timing(
        {name: np.array(values) for name, values in rounds.items()}, {name: busy[name] / wall[name] for name in wall}
    )


def settle(most: float = 0.5) -> None:
    """Sleep until this process has used hardly any CPU for some milliseconds, or `most` seconds have gone."""
    deadline = time.perf_counter() + most
    while time.perf_counter() < deadline:
        busy = time.process_time()
        time.sleep(0.004)
        if time.process_time() - busy < 0.0005:
            return


def repeat(function):
    """A contender from a function that does its work once."""

    def call(n):
        for _ in range(n):
            function()

    return call


def fast_enough(contenders: dict, longest: float, notes: list[str]) -> dict:
    """Without peers whose call takes more than `longest` seconds: they would take most of the time; a note has it."""
    kept = {}
    for name, call in contenders.items():
        begun = time.perf_counter()
        done = call(1) or 1
        took = time.perf_counter() - begun
        if took > longest and not name.startswith("fastnet"):
            notes.append(f"not interleaved: {name} took {took / done:.3g} s, once")
        else:
            kept[name] = call
    return kept


class Latencies:
    """A contender whose slowest calls are of interest: a round counts with its median call, and all are kept."""

    def __init__(self, function):
        self.function = function
        self.seconds: list[float] = []

    def __call__(self, n):
        for _ in range(n):
            begun = time.perf_counter()
            self.function()
            self.seconds.append(time.perf_counter() - begun)


def measure(
    setup,
    contenders: dict,
    *,
    fma=None,
    stream=None,
    flops: float = 0,
    moved: float = 0,
    ours=("fastnet",),
    figures=None,
) -> Row:
    """Time contenders, probes among them, and make a row of it; the caller names it.

    Parameters
    ----------
    setup : Setup
        How long, and on how many threads.
    contenders : dict of str to callable
        As `interleave` takes them; "fastnet" among them. A name begins with its peer's: of several settings of a peer
        the one with the least median is its best.
    fma, stream : (callable, float), optional
        Probes of `machine`, with the operations, or bytes, of a call.
    flops, moved : float
        Floating-point operations, and bytes, that a call of a contender is said to need.
    ours : tuple of str
        Our settings; figures have each peer's best over all but the first.
    figures : callable, optional
        ``figures(timing)`` gives further numbers by name.
    """
    probes = {name: probe for name, probe in (("fma", fma), ("stream", stream)) if probe is not None}
    timing = interleave(
        contenders | {name: call for name, (call, _) in probes.items()},
        seconds=setup.seconds, slice_seconds=setup.slice_seconds, least=setup.least, settled=setup.threads > 1,
    )  # fmt: skip
    speeds = {name: amount / timing.median(name) / 1e9 for name, (_, amount) in probes.items()}
    row = Row("", "", setup.threads, {name: timing.figures(name) for name in contenders}, isa=setup.isa)
    row.fma_peak_gflops_per_second, row.bandwidth_gigabytes_per_second = speeds.get("fma"), speeds.get("stream")
    for name, f in row.contenders.items():
        if name != "fastnet":
            f.ratio, f.ratio_low, f.ratio_high = timing.ratio(name)
        if flops and fma:
            f.gflops_per_second = flops / f.median_seconds / 1e9
            f.fma_peak_percent = 100 * f.gflops_per_second / speeds["fma"]
        if moved and stream:
            f.gigabytes_per_second = moved / f.median_seconds / 1e9
            f.bandwidth_percent = 100 * f.gigabytes_per_second / speeds["stream"]
        if isinstance(contenders[name], Latencies):
            f.percentile_99_seconds = float(np.percentile(contenders[name].seconds, 99))
    for name in contenders:
        peer = name.split()[0]
        settings = [other for other in contenders if other.split()[0] == peer and other not in ours]
        if settings and settings != [peer]:
            row.best[peer] = min(settings, key=timing.median)
    for base in ours[1:]:
        for peer in {name.split()[0] for name in contenders if name not in ours}:
            row.figures[f"{peer} over {base}"] = timing.ratio(row.best.get(peer, peer), base)[0]
    row.figures |= figures(timing) if figures else {}
    return row
