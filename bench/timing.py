"""Interleaved timing: A B A B, so that a noisy machine is noisy for both."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np


@dataclass
class Timing:
    """Seconds of one call of each contender, round by round, and how many CPUs it kept busy meanwhile."""

    seconds: dict[str, np.ndarray]
    cpus: dict[str, float]

    def median(self, name: str) -> float:
        return float(np.median(self.seconds[name]))

    def best(self, name: str) -> float:
        return float(self.seconds[name].min())

    def ratio(self, name: str, ours: str = "fastnet") -> tuple[float, float, float]:
        """Median over the rounds of peer / ours, with a 95% interval from resampling the rounds."""
        ratios = self.seconds[name] / self.seconds[ours]
        rng = np.random.default_rng(0)
        medians = np.median(rng.choice(ratios, (500, len(ratios))), axis=1)
        return float(np.median(ratios)), *np.percentile(medians, [2.5, 97.5]).tolist()


def interleave(
    contenders: dict, *, seconds: float = 3.0, slice_seconds: float = 0.02, least: int = 9, pause: float = 0.0
) -> Timing:
    """Time each contender in turn, in slices, until `seconds` have gone.

    Parameters
    ----------
    contenders : dict of str to callable
        ``call(n)`` does the work about n times, and returns how often (None: n times).
    pause : float
        Seconds of sleep before each slice, and then a call that is not timed: the idle threads of the
        contender before (OpenBLAS' for 20 ms) spin on the cores that this one needs.
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
    rounds = {name: [] for name in contenders}
    wall, busy = dict.fromkeys(contenders, 0.0), dict.fromkeys(contenders, 0.0)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(next(iter(rounds.values()))) < least:
        for name, call in contenders.items():
            if pause:
                time.sleep(pause)
                call(1)
            begun, busy_before = time.perf_counter(), time.process_time()
            done = call(counts[name]) or counts[name]
            took = time.perf_counter() - begun
            rounds[name].append(took / done)
            wall[name] += took
            busy[name] += time.process_time() - busy_before
    return Timing(
        {name: np.array(values) for name, values in rounds.items()}, {name: busy[name] / wall[name] for name in wall}
    )


def repeat(function):
    """A contender from a function that does its work once."""

    def call(n):
        for _ in range(n):
            function()

    return call


def timed(contenders: dict, seconds: float, figures=None, *, best_of=(), ours=("fastnet",)) -> dict:
    """A row of the results.

    Parameters
    ----------
    figures : callable, optional
        ``figures(timing)`` gives further numbers by name.
    best_of : tuple of str
        Peers in several settings ("torch" for all names that begin so), of which the one with the least median
        counts as "torch best", over each of `ours`.
    """
    import fastnet

    timing = interleave(contenders, seconds=seconds, pause=0.05 if fastnet.get_num_threads() > 1 else 0.0)
    ratios = {name: timing.ratio(name) for name in timing.seconds if name not in ("fastnet", "fma", "stream")}
    for peer in best_of:
        settings = [name for name in timing.seconds if name.startswith(peer)]
        if settings:
            best = min(settings, key=timing.median)
            for base in ours:
                ratios[f"{peer} best" + ("" if base == "fastnet" else f" over {base}")] = timing.ratio(best, base)
    return {
        "median": {name: timing.median(name) for name in timing.seconds},
        "best": {name: timing.best(name) for name in timing.seconds},
        "ratio": ratios,
        "cpus": timing.cpus,
        "figures": figures(timing) if figures else {},
    }


def available(peers: dict) -> dict:
    """The peers that are installed."""
    packages = {"torch": "torch", "jax": "jax", "sklearn": "sklearn", "onnxruntime": "onnxruntime"}
    found = {}
    for name, make in peers.items():
        package = next((p for key, p in packages.items() if name.startswith(key)), None)
        try:
            if package:
                __import__(package)
            found[name] = make
        except ImportError:
            print(f"    {name}: {package} is not installed")
    return found
