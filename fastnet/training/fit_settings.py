"""The settings of one call of `fit`, and what a second call that goes on with it may say of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, files

if TYPE_CHECKING:
    from fastnet.augment import Operation

__all__ = ["FitSettings"]

DATA = "data"  # in the place of arrays, which are given again


@dataclass(frozen=True)
class FitSettings:
    """The arguments of `Trainer.fit` that decide what is learned, but for the data.

    Attributes
    ----------
    validation : float, "data" or None
        The share that is held out, or that there are data for it.
    sample_weight : "data" or None
    steps_per_epoch : int or None
        Of x that gives batches.
    """

    epochs: int = 1
    batch_size: int = 32
    shuffle: bool = True
    drop_last: bool = False
    on_nonfinite: str = "raise"
    class_weight: Any = None
    augment: tuple[Operation, ...] = field(default=())
    steps_per_epoch: int | None = None
    validation: Any = None
    sample_weight: Any = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> FitSettings:
        """Checked, from the arguments that are not None."""
        settings = cls(**_told(given))
        checks.whole_number("epochs", settings.epochs, least=0)
        checks.whole_number("batch_size", settings.batch_size, least=1)
        checks.flag("shuffle", settings.shuffle)
        checks.flag("drop_last", settings.drop_last)
        checks.choice("on_nonfinite", settings.on_nonfinite, ["raise", "stop", "continue"])
        return settings

    def confirm(self, given: dict[str, Any]) -> None:
        """Refuse arguments that are others than those of the fit that goes on.

        Raises
        ------
        ValueError
            All of them are named.
        """
        told = _told(given)
        problems = [
            f"{name} is {_shown(value)}, it was {_shown(getattr(self, name))}"
            for name, value in told.items()
            if not _same(value, getattr(self, name))
        ]
        problems += [
            f"{name} is missing, it had one"
            for name in ("validation", "sample_weight")
            if getattr(self, name) == DATA and name not in told
        ]
        if problems:
            raise ValueError(
                f"this fit goes on with the one that the checkpoint interrupted: {'; '.join(problems)}. What is left out "
                "is as it was; trainer.unfinished = None begins another fit instead"
            )

    def config(self) -> dict[str, Any]:
        """What `from_config` takes, of numbers, texts and arrays."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**values, "augment": [files.to_config(operation) for operation in self.augment]}

    @classmethod
    def from_config(cls, values: dict[str, Any]) -> FitSettings:
        return cls.of({**values, "augment": tuple(files.from_config(item) for item in values["augment"])})


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that are not left out, in the forms that are compared and kept."""
    told = {name: value for name, value in given.items() if value is not None}
    if "augment" in told and isinstance(told["augment"], list):
        told["augment"] = tuple(told["augment"])
    for name in ("validation", "sample_weight"):
        if name in told and not isinstance(told[name], (str, float)):
            told[name] = DATA
    return told


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (dict, str)) or isinstance(b, (dict, str)) or a is None or b is None:
        return type(a) is type(b) and a == b
    if isinstance(a, tuple) and not np.isscalar(b):
        return a == tuple(b)
    return np.array_equal(a, b)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return checks.describe(value)
    return DATA if isinstance(value, str) and value == DATA else repr(value)
