"""The network that is being made: layers with their weights, and what may still be changed about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import activations
from fastnet.graph import INPUT, Node
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.values import Part, Value
from fastnet.layers.base import Layer, type_name
from fastnet.network import Network

if TYPE_CHECKING:
    from fastnet.types import Array, Shape

__all__ = ["Builder", "Made"]


@dataclass
class Made:
    """A layer at its place, with its weights by name."""

    name: str
    layer: Layer
    inputs: list[str]
    shapes: Any  # of the inputs: a list where the layer takes many
    shape: tuple[int, ...]
    weights: dict[str, Array] = field(default_factory=dict)
    shared: bool = False
    uses: int = 1  # who reads its tensor, and those that are the same

    def change(self, weights: dict[str, Array] | None = None, **arguments: Any) -> None:
        """Make the layer anew, with other arguments and more weights."""
        frozen = not self.layer.trainable
        layer = type(self.layer)(**{**self.layer.config(), **arguments})
        self.shape = tuple(layer.build_once(self.shapes))
        if frozen:
            layer.trainable = False
        self.layer = layer
        self.weights |= weights or {}


class Builder:
    """Collects nodes, in their order."""

    def __init__(self) -> None:
        self.made: dict[str, Made] = {}
        self._counts: Counter[str] = Counter()

    def add(self, layer: Layer, inputs: Sequence[Value], weights: dict[str, Array] | None = None, name: str = "",
            trainable: bool = True) -> Made:  # fmt: skip
        """Add a layer behind values; `name` is what to call it, if no other is called so."""
        shapes: Any = [value.shape for value in inputs]
        shapes = shapes if layer.many_inputs else shapes[0]
        shape = tuple(layer.build_once(shapes))
        if not trainable:
            layer.trainable = False
        made = Made(self._name(layer, name), layer, [value.node for value in inputs], shapes, shape, weights or {})
        self.made[made.name] = made
        return made

    def again(self, other: Made, inputs: Sequence[Value]) -> Made:
        """Add a layer that is in the network already at another place."""
        shapes: Any = [value.shape for value in inputs]
        shapes = shapes if other.layer.many_inputs else shapes[0]
        shape = tuple(other.layer.build_once(shapes))
        made = Made(self._name(other.layer, ""), other.layer, [value.node for value in inputs], shapes, shape, {}, True)
        other.shared = True
        self.made[made.name] = made
        return made

    def _name(self, layer: Layer, wanted: str) -> str:
        kind = type_name(type(layer))
        name = wanted
        while not name or name in self.made or name == INPUT:
            self._counts[kind] += 1
            name = f"{kind}_{self._counts[kind]}"
        return name

    def read_again(self, name: str) -> None:
        """A node has one reader more than the graph says."""
        if name in self.made:
            self.made[name].uses += 1

    def permute_features(self, name: str, part: Part) -> None:
        """Have a node give the features of a tensor in the order of an array: the i-th is to be the `part.places()[i]`-th.

        Changes the weights of the layer that makes them, and of what lies between.
        """
        chain = []
        while True:
            made = self.made.get(name)
            if made is None or made.shared or made.uses > 1 or made.layer.many_inputs:
                raise UnsupportedError(
                    "features are reshaped to images with the channels first, and no layer alone makes them"
                )
            chain.append(made)
            kind = type_name(type(made.layer))
            if kind == "dense":
                break
            if kind not in ("activation", "dropout", "batch_norm", "prelu"):
                raise UnsupportedError(
                    f"features behind a {type(made.layer).__name__} are reshaped to images with the channels first"
                )
            name = made.inputs[0]
        places = part.places()
        for made in chain:
            for key, array in made.weights.items():
                if array.shape[-1] == len(places):
                    moved = np.empty_like(array)
                    moved[..., places] = array
                    made.weights[key] = moved

    def network(self, input_shape: Shape, output: str, dtype: str, seed: int | None, name: str | None) -> Network:
        """The network, with its weights."""
        self._forget_unread(output)
        nodes = [Node(made.name, made.layer, made.inputs) for made in self.made.values()]
        if not nodes:
            nodes, output = [Node("activation_1", _linear(), [INPUT])], "activation_1"
        net = Network.from_nodes(nodes, input_shape=input_shape, output=output, dtype=dtype, seed=seed, name=name)
        for made in self.made.values():
            for key, array in made.weights.items():
                getattr(made.layer, key).assign(array)
        return net

    def _forget_unread(self, output: str) -> None:
        needed = {output}
        for name, made in reversed(list(self.made.items())):
            if name in needed:
                needed.update(made.inputs)
            else:
                del self.made[name]


def _linear() -> Layer:
    from fastnet.layers import Activation

    return Activation(activations.get(None))
