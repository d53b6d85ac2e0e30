"""A rising rate in front of any schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from fastnet.files import register
from fastnet.schedules import base
from fastnet.schedules.base import Formula, Schedule

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["Warmup"]


@register(name="schedules.Warmup")
@dataclass(frozen=True, repr=False)
class Warmup(Formula):
    """From `start` along a straight line to the first rate of a schedule, which then begins (Goyal et al. 2017).

    start + (first - start) t / steps at counts t < steps, and from then on the schedule's rate at count t - steps: PyTorch's
    LinearLR and another one in SequentialLR, with ``start_factor = start / first``. Adam and deep networks without normalization
    start more steadily with it.

    Parameters
    ----------
    learning_rate : float or Schedule
    steps : int
        Counts until the schedule begins.
    start : float, default 0
        The rate at count 0. With 0 the first update changes no weight.
    by : {"step", "epoch"}, optional
        As the schedule counts; for a number "step" by default.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.Warmup(0.1, 4).rates(0, 6, 0)
    array([0.   , 0.025, 0.05 , 0.075, 0.1  , 0.1  ])
    >>> optimizer = fn.AdamW(fn.schedules.Warmup(fn.schedules.Cosine(3e-3, steps=950), steps=50))
    >>> optimizer.learning_rate(50)
    0.003
    """

    learning_rate: float | Schedule
    steps: int
    start: float = 0.0
    by: Literal["step", "epoch"] = field(default=cast(Any, None), kw_only=True)

    def check(self) -> None:
        object.__setattr__(self, "learning_rate", base.get(self.learning_rate))
        self.whole("steps")
        self.real(start={"least": 0})
        by = getattr(self.learning_rate, "by", self.by or "step")
        if self.by not in (None, by):
            raise ValueError(
                f"by={self.by!r} does not fit {self.learning_rate!r}, which counts by {by!r}: both must count the same"
            )
        object.__setattr__(self, "by", by)

    def formula(self, t: Array) -> Array:
        rates = np.empty(t.shape)
        rising = t < self.steps
        share = t[rising] / self.steps
        rates[rising] = self.start * (1 - share) + self._inner(np.zeros(1)) * share
        rates[~rising] = self._inner(t[~rising] - self.steps)
        return rates

    def _inner(self, counts: Array) -> Array:
        if isinstance(self.learning_rate, Schedule):
            return self.learning_rate.at(counts)
        return np.full(counts.shape, self.learning_rate)
