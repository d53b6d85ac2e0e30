"""What a network expects of another program's weights, and what a file has of them.

A layer of fastnet is a `Place` (or two) for a `Module` of the other program; a place has a `Slot` for each of the module's
arrays, which are `Stored`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from fastnet.layers.base import Layer
from fastnet.parameters import Parameter

if TYPE_CHECKING:
    from fastnet.types import Shape

__all__ = ["Module", "Names", "Place", "Slot", "Stored", "constant", "own", "rule_for"]

#: Which layers another program's modules are, or None for those that are left out.
Names: TypeAlias = Mapping[str, str | None] | Callable[[str], str | None]
Rule = TypeVar("Rule")


def _same(array: np.ndarray) -> np.ndarray:
    return array


@dataclass
class Slot:
    """One array of a module, as the other program has it."""

    name: str
    shape: tuple[int, ...]
    parameter: Parameter | None = None
    to_ours: Callable[[np.ndarray], np.ndarray] = _same
    to_theirs: Callable[[np.ndarray], np.ndarray] = _same
    value: float | np.integer = 0.0  # of all elements, where fastnet has no parameter
    ignored: bool = False  # whatever a file has there is not looked at
    written: bool = True

    @property
    def required(self) -> bool:
        return self.parameter is not None

    def array(self, dtype: str) -> np.ndarray:
        """What is written of a network of this dtype."""
        if self.parameter is not None:
            return np.array(self.to_theirs(self.parameter.value), order="C")
        return np.full(self.shape, self.value, None if self.ignored else dtype)


@dataclass
class Place:
    """Where a network takes up a module's weights."""

    name: str  # of the layer, with a part where it is two modules: "separable_conv2d_1.pointwise"
    layer: Layer
    family: str  # what can be told of a module's kind without knowing its class
    slots: list[Slot]
    optional: bool = False

    @property
    def title(self) -> str:
        return f"layer {self.name!r} ({type(self.layer).__name__})"

    def contents(self) -> str:
        return ", ".join(f"{slot.name} {slot.shape}" for slot in self.slots if slot.written) or "no arrays"


@dataclass
class Stored:
    """An array of a file or dict; it is read when its shape has been found right."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]
    fault: str = ""  # why it can't be weights


@dataclass
class Module:
    """The arrays that another program's layer has."""

    name: str
    family: str
    arrays: dict[str, Stored] = field(default_factory=dict)
    by_position: bool = False  # the arrays have numbers for names
    order: str = ""  # the order of two modules is known if both have the same text here

    def contents(self) -> str:
        return ", ".join(f"{name} {stored.shape}" for name, stored in self.arrays.items())


def own(name: str, parameter: Parameter) -> Slot:
    """A slot that has a parameter as it is."""
    return Slot(name, parameter.shape, parameter)


def constant(name: str, shape: Shape, value: float, written: bool) -> Slot:
    """A slot for what fastnet does without: a file may have it, if all its elements are `value`."""
    return Slot(name, tuple(shape), value=value, written=written)


def rule_for(rules: Mapping[type[Layer], Rule], layer: Layer) -> Rule | None:
    """The rule for a layer by its class, or None. A subclass has its parent's, unless it computes something else."""
    for cls in type(layer).__mro__:
        if cls in rules:
            return rules[cls]
        if {"record_forward", "forward", "build"} & vars(cls).keys():
            return None
    return None
