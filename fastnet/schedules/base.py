"""What a schedule is, and how its rates are evaluated ahead of a run of steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnet import checks

if TYPE_CHECKING:
    from dataclasses import Field

    from fastnet.types import Array, Rate

__all__ = ["Formula", "Schedule", "get"]


class Schedule:
    """Base class: a learning rate as a function of a count. A schedule of one's own defines `__call__`.

    It has no state, so that one schedule may serve several optimizers, and the rates are the same
    whether steps run one by one or many in a replay.

    Attributes
    ----------
    by : {"step", "epoch"}
        What is counted: updates of the Trainer done before this one (the default), or epochs that it has finished. A step that
        failed is no update. Batches of `Trainer.train_on_batch` make no epoch.

    Examples
    --------
    >>> import fastnet as fn
    >>> class InverseRoot(fn.schedules.Schedule):
    ...     by = "epoch"
    ...     def __call__(self, t):
    ...         return 0.1 / (1 + t) ** 0.5
    >>> optimizer = fn.SGD(InverseRoot())
    >>> optimizer.learning_rate(3)
    0.05
    """

    by = "step"

    def __call__(self, t: int) -> float:
        """The learning rate at count t, from 0."""
        raise TypeError(f"schedule {type(self).__name__} does not define __call__(t)")

    def at(self, counts: np.ndarray) -> np.ndarray:
        """The learning rates at some counts, as float64."""
        return np.array([checks.real_number(self._place(t), self(int(t)), least=0) for t in counts], np.float64)

    def rates(self, step: int, n: int, epoch: int) -> np.ndarray:
        """The learning rates of the next `n` updates.

        Parameters
        ----------
        step : int
            Updates done.
        n : int
        epoch : int
            Epochs finished.

        Returns
        -------
        ndarray (n,) of float64

        Raises
        ------
        ValueError, TypeError
            A rate is not a number, not finite or negative.
        """
        by_epoch = checks.choice("by", self.by, ["step", "epoch"]) == "epoch"
        counts = np.array([epoch]) if by_epoch else np.arange(step, step + n)
        rates = self.at(counts)
        good = (rates >= 0) & (rates < np.inf)
        if not good.all():
            bad = int(np.argmin(good))
            checks.real_number(self._place(counts[bad]), float(rates[bad]), least=0)
        return np.repeat(rates, n) if by_epoch else rates

    def _place(self, t: float) -> str:
        return f"the learning rate of {self!r} at {self.by} {int(t)}"

    def config(self) -> dict[str, Any]:
        """The constructor's arguments by name, from which an equal schedule can be made."""
        if dataclasses.is_dataclass(self):
            return {item.name: getattr(self, item.name) for item in _in_order(dataclasses.fields(self))}
        return dict(vars(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


def _in_order(fields: Iterable[Field[Any]]) -> list[Field[Any]]:
    return sorted(fields, key=lambda item: bool(item.kw_only))


@dataclass(frozen=True, repr=False)
class Formula(Schedule):
    """A schedule that computes the rates at all counts of an array at once, in `formula`."""

    by: Literal["step", "epoch"] = field(default="step", kw_only=True)

    def __post_init__(self) -> None:
        self.check()
        checks.choice("by", self.by, ["step", "epoch"])

    def check(self) -> None:
        """Refuse impossible arguments."""

    def formula(self, t: np.ndarray) -> np.ndarray:
        """The rates at counts t, which are float64."""
        raise NotImplementedError

    def __call__(self, t: float) -> float:
        return float(self.formula(np.array([checks.real_number("t", t, least=0)]))[0])

    def at(self, counts: Array) -> Array:
        if type(self).__call__ is not Formula.__call__:  # of a user's subclass
            return super().at(counts)
        return self.formula(np.asarray(counts, np.float64))

    def real(self, **bounds: Mapping[str, float]) -> None:
        """Check fields that are real numbers: ``gamma={"least": 0}``, with the bounds of `checks.real_number`."""
        for name, options in bounds.items():
            object.__setattr__(self, name, checks.real_number(name, getattr(self, name), **options))

    def whole(self, name: str) -> None:
        """Check a field that is a whole number of at least 1."""
        object.__setattr__(self, name, checks.whole_number(name, getattr(self, name), least=1))


def get(learning_rate: Rate, argument: str = "learning_rate") -> Rate:
    """A schedule as it is, or a number, checked."""
    if isinstance(learning_rate, Schedule):
        return learning_rate
    if isinstance(learning_rate, type) and issubclass(learning_rate, Schedule):
        raise TypeError(
            f"{argument} is the class {learning_rate.__name__}; make a schedule of it: {learning_rate.__name__}(...)"
        )
    if callable(learning_rate):
        raise TypeError(
            f"{argument} must be a number or a schedule; got {checks.describe(learning_rate)}: a function of the count "
            "is the __call__ of a subclass of fn.schedules.Schedule"
        )
    return checks.real_number(argument, learning_rate, least=0)
