"""What Keras' layers have for each of fastnet's; `RULES` is the table, by class.

Axes have fastnet's order but for what depthwise convolutions have: (window, channels, multiplier). Flattened images have it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import layers
from fastnet.graph import Graph, Node
from fastnet.io.weights.places import Place, Slot, own, rule_for
from fastnet.layers.base import type_name

if TYPE_CHECKING:
    from fastnet.parameters import Parameter
    from fastnet.types import Shape

__all__ = ["CLASSES", "canonical", "guessed", "places"]

#: Keras' classes, as its files write them.
CLASSES = (
    "batch_normalization", "conv1d", "conv2d", "conv2d_transpose", "dense", "depthwise_conv2d", "group_normalization",
    "layer_normalization", "normalization", "p_re_lu", "rms_normalization", "separable_conv2d",
)  # fmt: skip
#: Names that versions of Keras have given to the same array.
OTHER_NAMES = {"depthwise_conv2d": {"depthwise_kernel": "kernel"}, "rms_normalization": {"scale": "gamma"}}
LEAST_VARIANCE = 1e-14  # Keras divides by the greater of the deviation and 1e-7


def places(graph: Graph) -> list[Place]:
    """The places of a network, in the order of its layers."""
    found, seen = [], set()
    for node in graph.nodes:
        if node.layer.parameters() and id(node.layer) not in seen:
            seen.add(id(node.layer))
            found.append((rule_for(RULES, node.layer) or _own_names)(node))
    return found


def canonical(family: str, name: str) -> str:
    """An array's name without what differs among versions of Keras: "depthwise_kernel:0" is "kernel"."""
    name = name.partition(":")[0]
    return OTHER_NAMES.get(family, {}).get(name, name)


def guessed(shapes: list[tuple[int, ...]], names: list[str] | None) -> str:
    """The class of a layer of which only the arrays are known, so far as they tell it."""
    names = [name.partition(":")[0] for name in names or ()]
    for name, family in (
        ("pointwise_kernel", "separable_conv2d"),
        ("depthwise_kernel", "depthwise_conv2d"),
        ("moving_mean", "batch_normalization"),
        ("alpha", "p_re_lu"),
    ):
        if name in names:
            return family
    ranks = [len(shape) for shape in shapes]
    if ranks[:2] == [4, 4]:
        return "separable_conv2d"
    if ranks == [1] * len(ranks):
        return {1: "rms_normalization", 2: "layer_normalization", 4: "batch_normalization"}.get(len(ranks), "")
    return {2: "dense", 3: "conv1d", 4: "conv2d"}.get(ranks[0], "")


def _place(node: Node, family: str, slots: list[Slot], optional: bool = False) -> Place:
    return Place(node.name, node.layer, family, slots, optional)


def _present(layer: Any, **parameters: Parameter | None) -> list[Slot]:
    """Slots for the parameters, by Keras' names for them, that a layer has."""
    return [own(name, parameter) for name, parameter in parameters.items() if parameter is not None]


def _kernel(family: str) -> Callable[[Node], Place]:
    def place(node: Node) -> Place:
        layer: Any = node.layer
        return _place(node, family, _present(layer, kernel=layer.weight, bias=layer.bias))

    return place


def _depthwise(name: str, parameter: Parameter, channels: int) -> Slot:
    shape = (*parameter.shape[:-2], channels, parameter.shape[-1] // channels)
    return _reshaped(name, shape, parameter)


def _reshaped(name: str, shape: Shape, parameter: Parameter) -> Slot:
    return Slot(
        name, shape, parameter, lambda array: array.reshape(parameter.shape), lambda array: array.reshape(shape)
    )


def _depthwise_conv(node: Node) -> Place:
    layer: Any = node.layer
    slots = [_depthwise("kernel", layer.weight, layer.groups), *_present(layer, bias=layer.bias)]
    return _place(node, "depthwise_conv2d", slots)


def _separable_conv(node: Node) -> Place:
    layer: Any = node.layer
    channels = layer.depthwise_weight.shape[-1] // layer.multiplier
    depthwise = _depthwise("depthwise_kernel", layer.depthwise_weight, channels)
    return _place(
        node, "separable_conv2d", [depthwise, *_present(layer, pointwise_kernel=layer.weight, bias=layer.bias)]
    )


def _norm(family: str) -> Callable[[Node], Place]:
    def place(node: Node) -> Place:
        layer: Any = node.layer
        return _place(node, family, _present(layer, gamma=layer.weight, beta=layer.bias))

    return place


def _rms_norm(node: Node) -> Place:
    layer: Any = node.layer
    return _place(node, "rms_normalization", [own("gamma", layer.weight)])


def _batch_norm(node: Node) -> Place:
    layer: Any = node.layer
    slots = _present(
        layer, gamma=layer.weight, beta=layer.bias, moving_mean=layer.running_mean, moving_variance=layer.running_variance
    )  # fmt: skip
    return _place(node, "batch_normalization", slots)


def _prelu(node: Node) -> Place:
    layer: Any = node.layer
    parameter = layer.weight
    shape = (*(1,) * (len(node.shape) - 1), *parameter.shape)
    return _place(node, "p_re_lu", [_reshaped("alpha", shape, parameter)])


def _normalize(node: Node) -> Place:
    """Only where the file has such a layer, too: the figures are the user's."""
    layer: Any = node.layer
    mean = own("mean", layer.shift)
    variance = Slot("variance", layer.variance.shape, layer.variance, lambda array: np.maximum(array, LEAST_VARIANCE))
    count = Slot("count", (), value=np.int32(0), ignored=True)
    return _place(node, "normalization", [mean, variance, count], optional=True)


def _own_names(node: Node) -> Place:
    layer = node.layer
    return _place(node, type_name(type(layer)), [own(p.local_name, p) for p in layer.parameters()])


RULES = {
    layers.BatchNorm: _batch_norm,
    layers.Conv1D: _kernel("conv1d"),
    layers.Conv2D: _kernel("conv2d"),
    layers.Conv2DTranspose: _kernel("conv2d_transpose"),
    layers.Dense: _kernel("dense"),
    layers.DepthwiseConv2D: _depthwise_conv,
    layers.GroupNorm: _norm("group_normalization"),
    layers.LayerNorm: _norm("layer_normalization"),
    layers.Normalize: _normalize,
    layers.PReLU: _prelu,
    layers.RMSNorm: _rms_norm,
    layers.SeparableConv2D: _separable_conv,
}
