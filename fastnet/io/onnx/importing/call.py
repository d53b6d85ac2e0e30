"""What a rule for an operator works with: its node's inputs and attributes, and the network that is made."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from fastnet import activations
from fastnet.io.onnx.importing.builder import Builder, Made
from fastnet.io.onnx.importing.graph import Graph, Operation, UnsupportedError
from fastnet.io.onnx.importing.values import Value, channels_first

if TYPE_CHECKING:
    from fastnet.layers import Layer
    from fastnet.types import ActivationLike, Array

__all__ = ["OPERATORS", "Call", "operator"]

#: A function of a `Call` that returns the result's `Value`.
Rule: TypeAlias = "Callable[[Call], Value]"
Default = TypeVar("Default")
#: Operator -> rule.
OPERATORS: dict[str, Rule] = {}

UNBOUNDED = 3e38  # what bounds of float32 are where there are none


def operator(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule."""

    def decorate(rule: Rule) -> Rule:
        OPERATORS.update(dict.fromkeys(names, rule))
        return rule

    return decorate


class Call:
    """One node of the graph, on its way into the network."""

    def __init__(self, graph: Graph, builder: Builder, values: dict[str, Value], operation: Operation,
                 shared: dict[Hashable, Made] | None = None) -> None:  # fmt: skip
        self.graph = graph
        self.builder = builder
        self.values = values
        self.operation = operation
        self.shared = shared  # layers that were made of the same weights, where other operations have them, too
        self.opset = graph.opset

    # Attributes

    def attribute(self, name: str, default: Default) -> Default:
        """An attribute, which must be of its default's type."""
        value = self.operation.attributes.get(name, default)
        kind: Any = {int: (int,), float: (int, float), str: (str,), list: (list,)}.get(type(default), (object,))
        if value is not default and not isinstance(value, kind):
            raise UnsupportedError(f"attribute {name!r} is {value!r}")
        return value

    def flag(self, name: str, default: int = 0) -> bool:
        """An attribute that is 0 or 1."""
        value = self.attribute(name, default)
        if value not in (0, 1):
            raise UnsupportedError(f"attribute {name!r} is {value!r}; it must be 0 or 1")
        return bool(value)

    def integers(self, name: str) -> list[int] | None:
        value = self.operation.attributes.get(name)
        if value is not None and (not isinstance(value, list) or not all(isinstance(n, int) for n in value)):
            raise UnsupportedError(f"attribute {name!r} is {value!r}, not a list of integers")
        return value

    def require(self, name: str, *allowed: object) -> None:
        """Refuse values of an attribute but some; the first is the default."""
        value = self.attribute(name, allowed[0])
        if value not in allowed:
            raise UnsupportedError(f"{name}={value!r} is not supported; {' or '.join(map(repr, allowed))} is")

    # Inputs

    @property
    def count(self) -> int:
        return len(self.operation.inputs)

    def has(self, i: int) -> bool:
        return bool(self.operation.input(i))

    def is_constant(self, i: int) -> bool:
        return self.operation.input(i) in self.graph.constants

    def value(self, i: int = 0) -> Value:
        """An input that the network computes."""
        name = self.operation.input(i)
        if name not in self.values:
            what = "is a constant" if name in self.graph.constants else "is missing"
            raise UnsupportedError(f"input {i} {what}; it must be computed by the network")
        return self.values[name]

    def constant(self, i: int) -> np.ndarray:
        """An input that is an array of weights."""
        name = self.operation.input(i)
        if name not in self.graph.constants:
            what = "is computed by the network" if name else "is missing"
            raise UnsupportedError(f"input {i} {what}; it must be a constant")
        array = self.graph.constants[name]
        if array.dtype.kind not in "fiub":
            raise UnsupportedError(f"input {i} is an array of {array.dtype}")
        return array

    def known(self, i: int) -> np.ndarray:
        """An input that says what to do, so that its numbers must be known."""
        array = self.constant(i)
        if self.operation.input(i) in self.graph.assumed:
            raise UnsupportedError(f"the numbers of input {i} are not known before the model is run")
        return array

    def numbers(self, i: int) -> list[Any]:
        return self.known(i).reshape(-1).tolist()

    def number(self, i: int) -> float:
        array = self.known(i)
        if array.size != 1:
            raise UnsupportedError(f"input {i} has the shape {array.shape}; it must be one number")
        return float(array.reshape(()))

    def axes(self, rank: int, since: int, i: int = 1) -> list[int] | None:
        """Axes: an attribute at first, an input since a version of the operators; None where there are none."""
        given = self.integers("axes") if self.opset < since else (self.numbers(i) if self.has(i) else None)
        return None if given is None else [self.axis(axis, rank) for axis in given]

    def axis(self, axis: float, rank: int) -> int:
        if not -rank <= axis < rank or axis != int(axis):
            raise UnsupportedError(f"axis {axis} of a tensor with {rank} axes")
        return int(axis) % rank

    def row_or_image(self, i: int = 0, ranks: tuple[int, ...] = (3, 4)) -> Value:
        """A value with the channels at axis 1, as most of ONNX' operators on images want it."""
        value = self.value(i)
        if value.rank not in ranks:
            raise UnsupportedError(
                f"its input has {value.rank} axes, the batch included; {' or '.join(map(str, ranks))} are supported"
            )
        if value.order != (channels_first(value.rank) if value.rank > 2 else (0, 1)):
            raise UnsupportedError(
                "its input has the channels elsewhere than at axis 1, where fastnet has them: a Transpose is missing"
            )
        return value

    def per_channel(self, value: Value, array: Array) -> Array:
        """A constant that is broadcast over a value: one number, or one for each of fastnet's channels."""
        if array.ndim > value.rank:
            raise UnsupportedError(f"a constant of shape {array.shape} gives the result more axes than its input has")
        if array.size == 1:
            return array.reshape(())
        shape = (1,) * (value.rank - array.ndim) + array.shape
        long = [i for i, size in enumerate(shape) if size != 1]
        if long != [value.channel_axis] or array.size != value.channels:
            raise UnsupportedError(f"a constant of shape {array.shape} is not one number, or one for each channel")
        return value.arranged(array.reshape(-1))

    def check_size(self, count: int) -> None:
        """Refuse weights that one number of the file would be spread over, if they are many more than the file has bytes."""
        if count > self.graph.largest:
            raise UnsupportedError(f"weights of {count:,} elements are too many for a file of this size")

    # What is made

    @property
    def name(self) -> str:
        """What to call the layer: "fc" where its weights are "fc.weight"."""
        for name in self.operation.inputs:
            if name.endswith(".weight") and name in self.graph.constants:
                return name.removesuffix(".weight")
        return ""

    def add(self, layer: Layer, inputs: Value | list[Value], weights: dict[str, Array] | None = None, *,
            trainable: bool = True) -> Made:  # fmt: skip
        """Add a layer to the network."""
        inputs = inputs if isinstance(inputs, list) else [inputs]
        form = type(layer), *((value.shape, value.parts) for value in inputs)
        if self.shared is not None and form in self.shared:
            return self.builder.again(self.shared[form], inputs)
        for key, array in (weights or {}).items():
            if not np.issubdtype(array.dtype, np.floating) and array.dtype.kind not in "iub":
                raise UnsupportedError(f"{key} is an array of {array.dtype}")
        made = self.builder.add(layer, inputs, weights, self.name, trainable)
        if self.shared is not None and weights:
            made.shared = True
            self.shared[form] = made
        for key, array in made.weights.items():
            wanted = getattr(layer, key).shape
            if array.shape != wanted:
                raise UnsupportedError(f"its {key} have the shape {array.shape} where {wanted} is needed")
        return made

    def behind(self, layer: Layer, value: Value, weights: dict[str, Array] | None = None, *,
               trainable: bool = True) -> Value:  # fmt: skip
        """Add a layer that treats all elements, or channels, alike."""
        return value.of(self.add(layer, value, weights, trainable=trainable).name)

    def sole(self, value: Value) -> Made | None:
        """The layer that made a value, if nobody else reads it, so that it may be changed."""
        made = self.builder.made.get(value.node)
        return made if made is not None and made.uses == 1 and not made.shared else None

    def activate(self, value: Value, activation: ActivationLike) -> Value:
        """Put an activation into the layer before, or else behind it."""
        from fastnet.layers import Activation

        activation = activations.get(activation)
        made = self.sole(value)
        if made is not None and type(made.layer) is not Activation:
            before = getattr(made.layer, "activation", None)
            if before is not None and before.name == "linear":
                made.change(activation=activation)
                return value
        return self.behind(Activation(activation), value)

    def leads_to(self, name: str, wanted: Iterable[str], through: Iterable[str]) -> bool:
        """Whether an operator in `wanted` is the first behind a tensor that is not in `through`."""
        return self.graph.leads_to(name, frozenset(wanted), frozenset(through))
