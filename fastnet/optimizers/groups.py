"""Parameters that are updated with settings of their own."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fastnet import checks, schedules
from fastnet.files import register

if TYPE_CHECKING:
    from fastnet.parameters import Parameter
    from fastnet.types import LayerNames, Rate

__all__ = ["ParameterGroup", "checked_match", "matches", "names_of", "near_names"]


@register
class ParameterGroup:
    """Parameters with a learning rate or weight decay of their own.

    Parameters
    ----------
    match : str, Layer, or list of them
        Names of parameters or layers, with ``*`` for any letters ("residual_1.*", "*.bias", "head"), or layers, blocks and
        networks themselves.
    learning_rate : float or Schedule, optional
        In place of the optimizer's.
    weight_decay : float, optional
        In place of the optimizer's.

    Raises
    ------
    ValueError, TypeError
        Neither is given, or out of range; when a Trainer is made: `match` finds no parameter.

    Examples
    --------
    A trained body that learns more slowly than its new head:

    >>> import fastnet as fn
    >>> net = fn.Network([fn.Dense(8, name="body"), fn.Dense(2, name="head")], input_shape=(4,), seed=0)
    >>> optimizer = fn.Adam(1e-3, groups=[fn.ParameterGroup("body", learning_rate=1e-5)])
    """

    def __init__(self, match: LayerNames, *, learning_rate: Rate | None = None,
                 weight_decay: float | None = None) -> None:  # fmt: skip
        self.match = checked_match("match", match)
        if learning_rate is None and weight_decay is None:
            raise ValueError("a ParameterGroup needs a learning_rate or a weight_decay; got neither")
        self._learning_rate = None if learning_rate is None else schedules.get(learning_rate)
        self.weight_decay = None if weight_decay is None else checks.real_number("weight_decay", weight_decay, least=0)

    @property
    def learning_rate(self) -> Rate | None:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if self._learning_rate is None:
            raise ValueError("this group takes the optimizer's learning rate; make it with learning_rate=")
        self._learning_rate = schedules.get(value)

    def has(self, parameter: Parameter) -> bool:
        """Whether a parameter is in the group."""
        return matches(self.match, parameter)

    def named(self, parameters: Sequence[Parameter]) -> ParameterGroup:
        """The group by its parameters' names, for a copy of the network with whose layers it was made."""
        if all(isinstance(item, str) for item in self.match):
            return self
        names = [p.name for p in parameters if self.has(p)]
        return ParameterGroup(names, learning_rate=self.learning_rate, weight_decay=self.weight_decay)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        match = names_of(self.match, "a ParameterGroup")
        return {"match": match, "learning_rate": self.learning_rate, "weight_decay": self.weight_decay}

    def __repr__(self) -> str:
        return (
            f"ParameterGroup({self.match!r}, learning_rate={self.learning_rate!r}, weight_decay={self.weight_decay!r})"
        )


def checked_match(argument: str, match: LayerNames) -> list[Any]:
    """Names and layers that stand for parameters, as a list."""
    items = list(match) if isinstance(match, (list, tuple)) else [match]
    for item in items:
        if not isinstance(item, str) and not _is_layer(item):
            raise TypeError(f"{argument} must be names or layers; it has {checks.describe(item)}")
    return items


def matches(items: list[Any], parameter: Parameter) -> bool:
    """Whether one of these names and layers stands for a parameter."""
    place = parameter.name.rpartition(".")[0]
    for item in items:
        if not isinstance(item, str):
            if any(parameter is p for p in _parameters_in(item)):
                return True
        elif any(fnmatchcase(name, item) for name in (parameter.name, place)) or place.startswith(f"{item}."):
            return True
    return False


def near_names(items: list[Any], parameters: Sequence[Parameter]) -> str:
    """The name of a parameter or its layer that is near to the first of these names, as a question."""
    names = [name for p in parameters for name in (p.name, p.name.rpartition(".")[0])]
    return checks.nearest(next((item for item in items if isinstance(item, str)), ""), names)


def names_of(items: list[Any], what: str) -> list[Any]:
    """The items, if a file can hold them."""
    if not all(isinstance(item, str) for item in items):
        raise TypeError(f"a file can't hold {what} that was made with layers; name them instead")
    return items


def _is_layer(item: Any) -> bool:
    return callable(getattr(item, "parameters", None))


def _parameters_in(layer: Any) -> list[Parameter]:
    inner = layer.inner() if hasattr(layer, "inner") else []
    return [*layer.parameters(), *(p for part in inner for p in _parameters_in(part))]
