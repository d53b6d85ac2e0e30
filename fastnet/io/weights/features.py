"""In which order PyTorch has the features of a row that fastnet has as flattened images.

PyTorch's images have their channels first, and are flattened so: channels, height, width. fastnet flattens height, width,
channels. All that lies between the images and the next product (its rows, too), and between a product and the images that
a row is reshaped to, has its weights in that order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastnet import layers
from fastnet.graph import INPUT, Graph, Node
from fastnet.io.weights.places import rule_for

if TYPE_CHECKING:
    from fastnet.layers import Layer
    from fastnet.types import Array, Shape

__all__ = ["Features", "equal", "ours", "theirs"]

ELEMENTWISE = "elementwise"  # and what treats each feature by itself
KINDS: dict[type[Layer], str] = {
    layers.Activation: ELEMENTWISE,
    layers.Add: "merge",
    layers.BatchNorm: ELEMENTWISE,
    layers.Concatenate: "concatenate",
    layers.Dense: "dense",
    layers.Dropout: ELEMENTWISE,
    layers.Flatten: "reshape",
    layers.GroupNorm: "group norm",
    layers.LayerNorm: "norm",
    layers.Normalize: ELEMENTWISE,
    layers.PReLU: ELEMENTWISE,
    layers.Product: "merge",
    layers.RMSNorm: "norm",
    layers.Reshape: "reshape",
    **dict.fromkeys(
        (
            layers.AvgPool1D, layers.AvgPool2D, layers.Conv1D, layers.Conv2D, layers.Conv2DTranspose, layers.Crop2D,
            layers.DepthwiseConv2D, layers.GlobalAvgPool2D, layers.GlobalMaxPool2D, layers.MaxPool1D, layers.MaxPool2D,
            layers.ReflectPad2D, layers.SeparableConv2D, layers.SpatialDropout2D, layers.UpSample2D, layers.ZeroPad2D,
        ),
        "image",
    ),
}  # fmt: skip


def ours(array: Array, order: Array | None, axis: int = 0) -> Array:
    """PyTorch's features in fastnet's order: its i-th is our ``order[i]``-th; None is the same order."""
    if order is None:
        return array
    moved = np.empty_like(array)
    moved[(slice(None),) * axis + (order,)] = array
    return moved


def theirs(array: Array, order: Array | None, axis: int = 0) -> Array:
    """fastnet's features in PyTorch's order."""
    return array if order is None else array.take(order, axis)


class Features:
    """The orders of a graph's rows of features, and where images have their channels first in PyTorch.

    Attributes
    ----------
    before, after : dict of node's name to array or None
        Of the features that a node reads (the first of its inputs) and gives.

    Raises
    ------
    ValueError
        A layer has no counterpart in PyTorch that would see its features in another order.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.before: dict[str, Array | None] = {}
        self.after: dict[str, Array | None] = {INPUT: None}
        self._first: dict[str, bool] = {INPUT: self._becomes_images(INPUT)}  # images' channels first
        self._wanted: dict[str, Array | None] = {}
        for node in graph.nodes:
            if self._makes_images(node) and self._becomes_images(node.name):
                self._ask_for(node.inputs[0], _flattened(node.shape))
        for node in graph.nodes:
            self.before[node.name] = self.after[node.inputs[0]]
            self._first[node.name] = any(self._first[name] for name in node.inputs)
            self.after[node.name] = self._order_behind(node)

    def channels_first(self, node: Node) -> bool:
        """Whether the node's input is an image (or sequence) that has its channels first in PyTorch."""
        return self._first[node.inputs[0]] and len(self.graph.shape_of(node.inputs[0])) > 1

    def _order_behind(self, node: Node) -> Array | None:
        layer: Any = node.layer
        kind, before = rule_for(KINDS, layer), self.before[node.name]
        shape = self.graph.shape_of(node.inputs[0])
        if kind == "dense":
            self._first[node.name] = False
            return self._wanted.get(node.name)
        if kind == "image":
            self._first[node.name] = True
            return None
        if kind == "reshape":
            return self._reshaped(node, shape, before)
        if kind == "merge":
            return self._merged(node)
        if kind == "concatenate":
            return self._concatenated(node)
        if kind == "norm" and len(shape) > 1 and layer.axes < len(shape):
            self._first[node.name] = False
        if kind == "group norm" and before is not None and layer.groups > 1:
            _refuse(node, "its groups would be others there")
        if kind is None and before is not None and (node.shape != shape or layer.parameters()):
            _refuse(node, "what it does with the features is not known")
        return before

    def _reshaped(self, node: Node, shape: Shape, before: Array | None) -> Array | None:
        first, target = self._first[node.inputs[0]], node.shape
        if len(shape) == 1 and len(target) == 1:
            return before
        if len(target) == 1:
            return _flattened(shape) if first else None
        self._first[node.name] = self._becomes_images(node.name)
        if len(shape) > 1:
            if first and shape[-1] != target[-1]:
                _refuse(node, "the channels would be others there")
        elif not equal(before, _flattened(target) if self._first[node.name] else None):
            _refuse(node, "the features come in another order there, and no Dense layer alone makes them")
        return None

    def _merged(self, node: Node) -> Array | None:
        orders = [self.after[name] for name in node.inputs if self.graph.shape_of(name) == node.shape]
        if not all(equal(order, orders[0]) for order in orders):
            _refuse(node, "its inputs would have their features in different orders there")
        return orders[0]

    def _concatenated(self, node: Node) -> Array | None:
        orders = [self.after[name] for name in node.inputs]
        if all(order is None for order in orders):
            return None
        sizes = [self.graph.shape_of(name)[0] for name in node.inputs]
        starts = np.cumsum([0, *sizes[:-1]])
        parts = zip(orders, sizes, starts, strict=True)
        return np.concatenate([start + (np.arange(size) if order is None else order) for order, size, start in parts])

    def _makes_images(self, node: Node) -> bool:
        makes = rule_for(KINDS, node.layer) == "reshape" and len(node.shape) > 1
        return makes and len(self.graph.shape_of(node.inputs[0])) == 1

    def _becomes_images(self, name: str) -> bool:
        """Whether what reads a tensor treats it as images, not as rows of features at each place."""
        for reader in self.graph.readers(name):
            layer: Any = reader.layer
            kind, shape = rule_for(KINDS, layer), self.graph.shape_of(name)
            if kind == "dense" or (kind == "norm" and layer.axes < len(shape)):
                return False
            if kind in (ELEMENTWISE, "merge", "concatenate", "norm"):
                return self._becomes_images(reader.name)
        return True

    def _ask_for(self, name: str, order: Array | None) -> None:
        """Have the product that makes a row give it in this order, or the network's input come so."""
        while name != INPUT:
            node = self.graph.by_name[name]
            kind = rule_for(KINDS, node.layer)
            if kind == "dense" and len(node.shape) == 1:
                if not equal(self._wanted.get(name, order), order):
                    _refuse(node, "its features would have to come in two orders there")
                self._wanted[name] = order
                return
            if kind not in (ELEMENTWISE, "norm", "group norm"):
                return
            name = node.inputs[0]
        self.after[INPUT] = order


def _flattened(shape: Shape) -> Array | None:
    """The order of an image's elements when it is flattened with its channels first; None where that is ours."""
    if shape[-1] == 1 or math.prod(shape[:-1]) == 1:
        return None
    axes = (len(shape) - 1, *range(len(shape) - 1))
    return np.arange(math.prod(shape)).reshape(shape).transpose(axes).reshape(-1)


def equal(a: Array | None, b: Array | None) -> bool:
    """Whether two orders are the same."""
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def _refuse(node: Node, reason: str) -> NoReturn:
    raise ValueError(
        f"layer {node.name!r} ({type(node.layer).__name__}) has no counterpart in PyTorch, which flattens images with their "
        f"channels first: {reason}"
    )
