"""Schedules along cosines: annealing, warm restarts, one cycle."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.schedules.base import Formula

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["Cosine", "CosineRestarts", "OneCycle"]


@register(name="schedules.Cosine")
@dataclass(frozen=True, repr=False)
class Cosine(Formula):
    """end + (learning_rate - end) (1 + cos(pi t / steps)) / 2 (Loshchilov & Hutter 2017, without restarts).

    At count `steps` the rate is `end`; then it climbs again, as in PyTorch's CosineAnnealingLR. (Keras' CosineDecay
    stays there.) So count all steps or epochs of the training.

    Parameters
    ----------
    learning_rate : float
        The first one.
    steps : int
        Counts until `end` (PyTorch: T_max, Keras: decay_steps).
    end : float, default 0
        PyTorch: eta_min. In Keras `alpha` is a share of the first rate.
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.Cosine(0.1, 4).rates(0, 5, 0).round(4)
    array([0.1   , 0.0854, 0.05  , 0.0146, 0.    ])
    """

    learning_rate: float
    steps: int
    _: KW_ONLY
    end: float = 0.0

    def check(self) -> None:
        self.real(learning_rate={"least": 0}, end={"least": 0})
        self.whole("steps")

    def formula(self, t: Array) -> Array:
        return _half_cosine(self.learning_rate, self.end, t / self.steps)


@register(name="schedules.CosineRestarts")
@dataclass(frozen=True, repr=False)
class CosineRestarts(Formula):
    """Cosine annealing with warm restarts, SGDR (Loshchilov & Hutter 2017).

    In cycle i = 0, 1, ... of T_i = period multiplier^i counts, s counts after its start:
    end + (learning_rate - end) decay^i (1 + cos(pi s / T_i)) / 2. PyTorch's CosineAnnealingWarmRestarts; the decay of the peaks is
    that of Keras' CosineDecayRestarts (m_mul).

    Parameters
    ----------
    learning_rate : float
        The first one.
    period : int
        Counts of the first cycle (PyTorch: T_0, Keras: first_decay_steps).
    multiplier : float, default 1
        How much longer each cycle is than the one before (PyTorch: T_mult; Keras: t_mul, by default 2). At least 1.
    decay : float, default 1
        What the peak's height above `end` is multiplied by at each restart. At most 1.
    end : float, default 0
        PyTorch: eta_min. In Keras `alpha` is a share of the first rate.
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> schedule = fn.schedules.CosineRestarts(0.1, 10, multiplier=2, decay=0.5)
    >>> schedule(0), schedule(10), schedule(30)
    (0.1, 0.05, 0.025)
    """

    learning_rate: float
    period: int
    _: KW_ONLY
    multiplier: float = 1.0
    decay: float = 1.0
    end: float = 0.0

    def check(self) -> None:
        self.real(learning_rate={"least": 0}, multiplier={"least": 1}, decay={"least": 0, "most": 1}, end={"least": 0})
        self.whole("period")

    def formula(self, t: Array) -> Array:
        cycle = self._cycle(t)
        begin = self._begin(cycle)
        share = (t - begin) / (self._begin(cycle + 1) - begin)
        peak = self.end + (self.learning_rate - self.end) * self.decay**cycle
        return _half_cosine(peak, self.end, share)

    def _cycle(self, t: Array) -> Array:
        """The number of the cycle that each count is in."""
        if self.multiplier == 1:
            return t // self.period
        grown = np.log1p(t * (self.multiplier - 1) / self.period) / math.log(self.multiplier)
        # A logarithm may be rounded across a restart.
        cycle = np.round(grown)
        return np.where(self._begin(cycle) <= t, cycle, cycle - 1)

    def _begin(self, cycle: Array) -> Array:
        """The count at which each cycle begins: the sum of the periods before it."""
        if self.multiplier == 1:
            return self.period * cycle
        return self.period * (self.multiplier**cycle - 1) / (self.multiplier - 1)


@register(name="schedules.OneCycle")
@dataclass(frozen=True, repr=False)
class OneCycle(Formula):
    """Up from a small rate to the greatest one and down to almost nothing (Smith & Topin 2018).

    PyTorch's OneCycleLR with its defaults, without its cycle of the momentum. With S = `steps` the rate is

    - max_learning_rate / start_divisor at count 0,
    - max_learning_rate at count peak_share S - 1,
    - max_learning_rate / start_divisor / end_divisor at count S - 1, and from there on

    and between them goes along half a cosine, or a straight line. With `three_phases` it is back at the first rate at count
    2 peak_share S - 2, and only then falls to the last one.

    Parameters
    ----------
    max_learning_rate : float
        PyTorch: max_lr.
    steps : int
        Counts of the whole training (PyTorch: total_steps).
    peak_share : float, default 0.3
        Between 0 and 1, with `three_phases` at most 0.5 (PyTorch: pct_start).
    start_divisor : float, default 25
        PyTorch: div_factor.
    end_divisor : float, default 1e4
        PyTorch: final_div_factor.
    anneal : {"cosine", "linear"}
    three_phases : bool, default False
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> schedule = fn.schedules.OneCycle(0.5, 100)
    >>> schedule(0), schedule(29), schedule(99)
    (0.02, 0.5, 2e-06)
    """

    max_learning_rate: float
    steps: int
    _: KW_ONLY
    peak_share: float = 0.3
    start_divisor: float = 25.0
    end_divisor: float = 1e4
    anneal: Literal["cosine", "linear"] = "cosine"
    three_phases: bool = False

    def check(self) -> None:
        most = 0.5 if checks.flag("three_phases", self.three_phases) else 1
        self.real(max_learning_rate={"least": 0}, peak_share={"least": 0, "most": most},
                  start_divisor={"above": 0}, end_divisor={"above": 0})  # fmt: skip
        self.whole("steps")
        checks.choice("anneal", self.anneal, ["cosine", "linear"])

    def formula(self, t: Array) -> Array:
        start = self.max_learning_rate / self.start_divisor
        last = self.steps - 1
        up = self.peak_share * self.steps - 1
        turns = [(up, self.max_learning_rate), (last, start / self.end_divisor)]
        if self.three_phases:
            turns.insert(1, (2 * self.peak_share * self.steps - 2, start))
        rates = np.full(t.shape, turns[-1][1])
        between = _half_cosine if self.anneal == "cosine" else _line
        # From the last phase to the first, each on the counts up to its end: the first that holds a count decides.
        begins = [(0.0, start), *turns[:-1]]
        for (begin, first), (end, second) in zip(reversed(begins), reversed(turns), strict=True):
            inside = t <= end
            share = (t[inside] - begin) / (end - begin) if end != begin else np.ones(int(inside.sum()))
            rates[inside] = between(first, second, share)
        return rates


def _half_cosine(first: Any, second: Any, share: Array) -> Array:
    """From `first` at share 0 to `second` at 1, both exactly."""
    return _line(first, second, (1 - np.cos(np.pi * share)) / 2)


def _line(first: Any, second: Any, share: Array) -> Array:
    return first * (1 - share) + second * share
