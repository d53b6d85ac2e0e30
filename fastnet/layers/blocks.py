"""Blocks: they are not computed themselves, but become nodes of the network's graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastnet import activations
from fastnet.files import register
from fastnet.layers.base import Layer
from fastnet.layers.merge import Add, Concatenate, Product

if TYPE_CHECKING:
    from fastnet.graph import Builder
    from fastnet.types import ActivationLike, Layers

__all__ = ["Block", "Concat", "Multiply", "Residual", "Sequential"]


def layer_list(argument: str, layers: Any) -> list[Layer]:
    """`layers` as a list, each a layer; one layer stands for a list of one."""
    if isinstance(layers, Layer):
        return [layers]
    if isinstance(layers, type):
        raise TypeError(f"{argument} has the class {layers.__name__}; make a layer of it: {layers.__name__}(...)")
    try:
        layers = list(layers)
    except TypeError:
        raise TypeError(f"{argument} must be a list of layers; got {type(layers).__name__}") from None
    for i, layer in enumerate(layers):
        if isinstance(layer, type):
            raise TypeError(f"{argument}[{i}] is the class {layer.__name__}; make a layer of it: {layer.__name__}(...)")
        if not isinstance(layer, Layer):
            raise TypeError(f"{argument}[{i}] must be a layer; got {type(layer).__name__}")
    return layers


class Block(Layer):
    """Base class: `expand` adds the block's nodes to a graph."""

    def expand(self, graph: Builder, x: str) -> str:
        """Add nodes behind node `x` with ``graph.add(layer, inputs)`` and ``graph.chain(layers, x)``; return the last."""
        raise TypeError(f"block {type(self).__name__} does not define expand")

    def inner(self) -> list[Layer]:
        """The layers directly inside."""
        return []

    @property
    def trainable(self) -> bool:
        """Whether any layer inside is trainable; setting it sets them all."""
        return any(layer.trainable for layer in self.inner())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.inner():
            layer.trainable = value

    def _rule(self, argument: str, value: Any, get: Callable[[str, Any], Any]) -> Any:
        raise ValueError(f"{argument}: a block has no weights of its own; give it to the layers inside")


@register
class Sequential(Block):
    """Layers one after the other, under one name."""

    def __init__(self, layers: Layers, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.layers = layer_list("layers", layers)

    def expand(self, graph: Builder, x: str) -> str:
        return graph.chain(self.layers, x)

    def inner(self) -> list[Layer]:
        return self.layers

    def config(self) -> dict[str, Any]:
        return {"layers": self.layers, **super().config()}


@register
class Residual(Block):
    """y = activation(F(x) + shortcut(x)) (He et al. 2016).

    Parameters
    ----------
    layers : list of Layer
        F.
    shortcut : list of Layer, optional
        Default: x itself, which needs F to keep the shape.
    activation : str, optional
    """

    def __init__(self, layers: Layers, *, shortcut: Layers | None = None, activation: ActivationLike | None = None,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(name=name)
        self.layers = layer_list("layers", layers)
        self.shortcut = [] if shortcut is None else layer_list("shortcut", shortcut)
        self.activation = activations.get(activation)

    def expand(self, graph: Builder, x: str) -> str:
        y = graph.chain(self.layers, x)
        return graph.add(Add(activation=self.activation), [y, graph.chain(self.shortcut, x)])

    def inner(self) -> list[Layer]:
        return [*self.layers, *self.shortcut]

    def config(self) -> dict[str, Any]:
        return {
            "layers": self.layers,
            "shortcut": self.shortcut,
            "activation": self.activation,
            **super().config(),
        }


class Branches(Block):
    """Branches on the same input, whose outputs one layer merges."""

    merge: type[Layer]

    def __init__(self, branches: Sequence[Layers], *, name: str | None = None) -> None:
        super().__init__(name=name)
        if isinstance(branches, Layer) or len(branches) == 0:
            raise ValueError("branches must be a list of branches, each a layer or a list of layers")
        self.branches = [layer_list(f"branches[{i}]", branch) for i, branch in enumerate(branches)]

    def expand(self, graph: Builder, x: str) -> str:
        return graph.add(self.merge(), [graph.chain(branch, x) for branch in self.branches])

    def inner(self) -> list[Layer]:
        return [layer for branch in self.branches for layer in branch]

    def config(self) -> dict[str, Any]:
        return {"branches": self.branches, **super().config()}


@register
class Concat(Branches):
    """Branches on the same input, their outputs side by side along the last axis.

    Parameters
    ----------
    branches : list of (Layer or list of Layer)
        An empty list is the input itself (DenseNet).
    """

    merge = Concatenate


@register
class Multiply(Branches):
    """Branches on the same input, their outputs multiplied element by element.

    Parameters
    ----------
    branches : list of (Layer or list of Layer)
        An empty list is the input itself. Outputs have one shape, but that some may be a row for each sample,
        (channels,) or (1, 1, channels), which multiplies all pixels (squeeze-and-excitation, Hu, Shen & Sun 2018).

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> gate = [fn.Flatten(), fn.Dense(2, activation="relu"), fn.Dense(3, activation="sigmoid")]
    >>> net = fn.Network([fn.Multiply([[], gate])], input_shape=(4, 4, 3), seed=0)
    >>> net.predict(np.ones((5, 4, 4, 3))).shape
    (5, 4, 4, 3)
    """

    merge = Product
