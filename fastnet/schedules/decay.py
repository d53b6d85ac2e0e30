"""Schedules that only fall: in steps, or along a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.schedules.base import Formula

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["Constant", "Exponential", "InverseTime", "Piecewise", "Polynomial", "Step"]


@register(name="schedules.Constant")  # the bare name is an initializer's
@dataclass(frozen=True, repr=False)
class Constant(Formula):
    """The same rate at every count.

    Parameters
    ----------
    learning_rate : float
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.Constant(0.1).rates(0, 3, 0)
    array([0.1, 0.1, 0.1])
    """

    learning_rate: float

    def check(self) -> None:
        self.real(learning_rate={"least": 0})

    def formula(self, t: Array) -> Array:
        return np.full(t.shape, self.learning_rate)


@register(name="schedules.Step")
@dataclass(frozen=True, repr=False)
class Step(Formula):
    """learning_rate gamma^floor(t / step_size): PyTorch's StepLR, and Keras' ExponentialDecay with `staircase`.

    Parameters
    ----------
    learning_rate : float
        The first one.
    step_size : int
        Counts between two changes.
    gamma : float, default 0.1
        What the rate is multiplied by.
    by : {"step", "epoch"}, default "step"
        What is counted; PyTorch's examples count epochs.

    Examples
    --------
    >>> import fastnet as fn
    >>> schedule = fn.schedules.Step(1.0, 30, gamma=0.5, by="epoch")
    >>> schedule(29), schedule(30), schedule(60)
    (1.0, 0.5, 0.25)
    """

    learning_rate: float
    step_size: int
    gamma: float = 0.1

    def check(self) -> None:
        self.real(learning_rate={"least": 0}, gamma={"least": 0})
        self.whole("step_size")

    def formula(self, t: Array) -> Array:
        return _power(self.learning_rate, self.gamma, t // self.step_size)


@register(name="schedules.Piecewise")
@dataclass(frozen=True, repr=False)
class Piecewise(Formula):
    """values[i] from count boundaries[i - 1] on, until boundaries[i].

    PyTorch's MultiStepLR, with any values. The rate at a boundary is the new one already; in Keras'
    PiecewiseConstantDecay it is still the old one.

    Parameters
    ----------
    boundaries : list of int
        Rising counts, the first at least 1.
    values : list of float
        Learning rates, one more than boundaries.
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.Piecewise([2, 4], [0.1, 0.01, 0.001]).rates(0, 5, 0)
    array([0.1  , 0.1  , 0.01 , 0.01 , 0.001])
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def check(self) -> None:
        boundaries = checks.shape("boundaries", self.boundaries)
        if any(a >= b for a, b in pairwise(boundaries)):
            raise ValueError(f"boundaries must rise; got {list(boundaries)}")
        if isinstance(self.values, str) or not isinstance(self.values, (Sequence, np.ndarray)):
            raise TypeError(f"values must be a list of learning rates; got {checks.describe(self.values)}")
        if len(self.values) != len(boundaries) + 1:
            raise ValueError(
                f"values must have one rate more than there are boundaries: {len(boundaries) + 1}; got {len(self.values)}"
            )
        values = tuple(checks.real_number(f"values[{i}]", value, least=0) for i, value in enumerate(self.values))
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "values", values)

    def formula(self, t: Array) -> Array:
        return np.array(self.values)[np.searchsorted(self.boundaries, t, side="right")]


@register(name="schedules.Exponential")
@dataclass(frozen=True, repr=False)
class Exponential(Formula):
    """learning_rate gamma^(t / decay_steps): PyTorch's ExponentialLR, and Keras' ExponentialDecay.

    Parameters
    ----------
    learning_rate : float
        The first one.
    gamma : float
        What the rate is multiplied by in `decay_steps` counts (Keras: decay_rate). Above 1 it rises.
    decay_steps : float, default 1
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.Exponential(0.1, 0.25, decay_steps=1000)(500)
    0.05
    """

    learning_rate: float
    gamma: float
    _: KW_ONLY
    decay_steps: float = 1.0

    def check(self) -> None:
        self.real(learning_rate={"least": 0}, gamma={"above": 0}, decay_steps={"above": 0})

    def formula(self, t: Array) -> Array:
        return _power(self.learning_rate, self.gamma, t / self.decay_steps)


@register(name="schedules.InverseTime")
@dataclass(frozen=True, repr=False)
class InverseTime(Formula):
    """learning_rate / (1 + decay_rate t / decay_steps): Keras' InverseTimeDecay.

    Parameters
    ----------
    learning_rate : float
        The first one.
    decay_rate : float
    decay_steps : float, default 1
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.InverseTime(0.1, 0.5, decay_steps=100)(200)
    0.05
    """

    learning_rate: float
    decay_rate: float
    _: KW_ONLY
    decay_steps: float = 1.0

    def check(self) -> None:
        self.real(learning_rate={"least": 0}, decay_rate={"least": 0}, decay_steps={"above": 0})

    def formula(self, t: Array) -> Array:
        return self.learning_rate / (1 + self.decay_rate * t / self.decay_steps)


@register(name="schedules.Polynomial")
@dataclass(frozen=True, repr=False)
class Polynomial(Formula):
    """end + (learning_rate - end) (1 - t / steps)^power, and `end` from count `steps` on.

    PyTorch's PolynomialLR, where `end` is always 0; Keras' PolynomialDecay has it 1e-4 by default. A power of 1 is a
    straight line.

    Parameters
    ----------
    learning_rate : float
        The first one.
    steps : int
        Counts until `end` (PyTorch: total_iters, Keras: decay_steps).
    power : float, default 1
    end : float, default 0
    by : {"step", "epoch"}, default "step"

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.schedules.Polynomial(1.0, 4, power=2).rates(0, 6, 0)
    array([1.    , 0.5625, 0.25  , 0.0625, 0.    , 0.    ])
    """

    learning_rate: float
    steps: int
    _: KW_ONLY
    power: float = 1.0
    end: float = 0.0

    def check(self) -> None:
        self.real(learning_rate={"least": 0}, power={"above": 0}, end={"least": 0})
        self.whole("steps")

    def formula(self, t: Array) -> Array:
        left = 1 - np.minimum(t, self.steps) / self.steps
        return self.end + (self.learning_rate - self.end) * left**self.power


def _power(rate: float, gamma: float, exponents: np.ndarray) -> np.ndarray:
    # One that overflows is refused where it is used, with its place.
    with np.errstate(over="ignore"):
        return rate * gamma**exponents
