"""What PyTorch's modules have for each of fastnet's layers; `RULES` is the table, by class.

A rule is a function of a node and the `Features` of its graph that returns the node's places. An array's axes: Linear (out, in),
Conv (out, in / groups, window), ConvTranspose (in, out / groups, window).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import layers
from fastnet.graph import Graph, Node
from fastnet.io.weights.features import Features, equal, ours, theirs
from fastnet.io.weights.places import Place, Slot, constant, own, rule_for

if TYPE_CHECKING:
    from fastnet.parameters import Parameter
    from fastnet.types import Array, Shape

__all__ = ["family", "places"]

STATISTICS = ("running_mean", "running_var")


def family(ranks: dict[str, int]) -> str:
    """What the names of a module's arrays, and their numbers of axes, say of its kind."""
    if not ranks.keys() <= {"weight", "bias", *STATISTICS, "num_batches_tracked"}:
        return "arrays " + ", ".join(sorted(ranks))
    if ranks.keys() & set(STATISTICS):
        return "batch norm"
    axes = ranks.get("weight", 0)
    if axes < 2:
        return "norm" if "bias" in ranks else "one row"
    return f"norm of {axes} axes" if ranks.get("bias", 1) > 1 else f"weights of {axes} axes"


def places(graph: Graph) -> list[Place]:
    """The places of a network, in the order of its layers.

    Raises
    ------
    ValueError
        A layer has no counterpart in PyTorch.
    """
    features = Features(graph)
    found: list[Place] = []
    first: dict[int, Node] = {}
    for node in graph.nodes:
        if not node.layer.parameters():
            continue
        before = first.setdefault(id(node.layer), node)
        if before is node:
            found += (rule_for(RULES, node.layer) or _own_names)(node, features)
        elif not all(equal(order[node.name], order[before.name]) for order in (features.before, features.after)):
            raise ValueError(
                f"layer {before.name!r} is also {node.name!r}, where PyTorch has its features in another order"
            )
    return found


def _place(node: Node, slots: list[Slot], part: str = "") -> Place:
    present = {slot.name: len(slot.shape) for slot in slots if slot.written}
    return Place(f"{node.name}.{part}" if part else node.name, node.layer, family(present), slots)


def _channels_first(array: Array) -> Array:
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))


def _channels_last(array: Array) -> Array:
    return array.transpose(*range(2, array.ndim), 1, 0)


def _window(parameter: Parameter) -> Slot:
    shape = (*parameter.shape[:-3:-1], *parameter.shape[:-2])
    return Slot("weight", shape, parameter, _channels_last, _channels_first)


def _vector(name: str, parameter: Parameter, order: Array | None) -> Slot:
    return Slot(name, parameter.shape, parameter, partial(ours, order=order), partial(theirs, order=order))


def _dense(node: Node, features: Features) -> list[Place]:
    layer: Any = node.layer
    before, after = features.before[node.name], features.after[node.name]

    def rows_here(array: Array) -> Array:
        return ours(ours(array.T, before), after, 1)

    def columns_there(array: Array) -> Array:
        return theirs(theirs(array, before), after, 1).T

    slots = [Slot("weight", layer.weight.shape[::-1], layer.weight, rows_here, columns_there)]
    if layer.bias is not None:
        slots.append(_vector("bias", layer.bias, after))
    return [_place(node, slots)]


def _conv(node: Node, features: Features) -> list[Place]:
    layer: Any = node.layer
    slots = [_window(layer.weight)]
    if layer.bias is not None:
        slots.append(own("bias", layer.bias))
    return [_place(node, slots)]


def _separable_conv(node: Node, features: Features) -> list[Place]:
    layer: Any = node.layer
    (pointwise,) = _conv(node, features)
    pointwise.name += ".pointwise"
    return [_place(node, [_window(layer.depthwise_weight)], "depthwise"), pointwise]


def _prelu(node: Node, features: Features) -> list[Place]:
    layer: Any = node.layer
    order = None if layer.shared else features.before[node.name]
    return [_place(node, [_vector("weight", layer.weight, order)])]


def _affine(layer: Any, shape: Shape, slot: Callable[[str, Parameter], Slot]) -> list[Slot]:
    """weight and bias of a norm that has both or none there: what the layer does without is 1 or 0."""
    weight, bias = layer.weight, layer.bias
    return [
        constant("weight", shape, 1.0, bias is not None) if weight is None else slot("weight", weight),
        constant("bias", shape, 0.0, weight is not None) if bias is None else slot("bias", bias),
    ]


def _batch_norm(node: Node, features: Features) -> list[Place]:
    layer: Any = node.layer
    slot = partial(_vector, order=features.before[node.name])
    slots = _affine(layer, layer.running_mean.shape, slot)
    slots += [slot("running_mean", layer.running_mean), slot("running_var", layer.running_variance)]
    slots.append(Slot("num_batches_tracked", (), value=np.int64(0), ignored=True))
    return [_place(node, slots)]


def _group_norm(node: Node, features: Features) -> list[Place]:
    slot = partial(_vector, order=features.before[node.name])
    return [_place(node, _affine(node.layer, (node.shape[-1],), slot))]


def _layer_norm(node: Node, features: Features) -> list[Place]:
    shape, slot = _last_axes(node, features)
    slots = _affine(node.layer, shape, slot)
    return [_place(node, slots if slots[1].required else slots[:1])]


def _rms_norm(node: Node, features: Features) -> list[Place]:
    layer: Any = node.layer
    _, slot = _last_axes(node, features)
    return [_place(node, [slot("weight", layer.weight)])]


def _last_axes(node: Node, features: Features) -> tuple[Shape, Callable[[str, Parameter], Slot]]:
    """The shape that the arrays of a norm over an input's last axes have in PyTorch, and what makes a slot of that shape."""
    layer: Any = node.layer
    axes = layer.axes
    shape = node.shape[-axes:]
    if axes > 1 and axes == len(node.shape) and features.channels_first(node):
        moved = (shape[-1], *shape[:-1])
        return moved, lambda name, p: Slot(
            name, moved, p, lambda array: np.moveaxis(array, 0, -1), lambda array: np.moveaxis(array, -1, 0)
        )
    return shape, partial(_vector, order=features.before[node.name])


def _nothing(node: Node, features: Features) -> list[Place]:
    return []


def _own_names(node: Node, features: Features) -> list[Place]:
    return [_place(node, [own(p.local_name, p) for p in node.layer.parameters()])]


RULES = {
    layers.BatchNorm: _batch_norm,
    layers.Conv1D: _conv,
    layers.Conv2D: _conv,
    layers.Conv2DTranspose: _conv,
    layers.Dense: _dense,
    layers.DepthwiseConv2D: _conv,
    layers.GroupNorm: _group_norm,
    layers.LayerNorm: _layer_norm,
    layers.Normalize: _nothing,
    layers.PReLU: _prelu,
    layers.RMSNorm: _rms_norm,
    layers.SeparableConv2D: _separable_conv,
}
