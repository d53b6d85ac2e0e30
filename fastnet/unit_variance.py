"""Layer-sequential unit-variance initialization, from data."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import activations, checks, initializers, labels
from fastnet.graph import INPUT, draw
from fastnet.kernels import random

if TYPE_CHECKING:
    from fastnet.graph import Node
    from fastnet.layers.base import Layer
    from fastnet.network import Network
    from fastnet.types import Array, ArrayLike

__all__ = ["LayerScale", "lsuv"]


@dataclass(frozen=True)
class LayerScale:
    """What `lsuv` did to one layer: standard deviations of its outputs before the activation, and how often it was scaled."""

    layer: str
    before: float
    after: float
    iterations: int


def lsuv(net: Network, x: ArrayLike, *, tolerance: float = 0.1, iterations: int = 10) -> list[LayerScale]:
    """Initialize a network's weights so that on a batch of data each layer's outputs have variance 1.

    Weights are drawn orthogonal; then, from the first layer to the last, ``W /= std(z)`` until ``|var(z) - 1| < tolerance``, where
    z is the layer's output before its activation. Layers work as in prediction: dropout leaves all units, norms have their
    running statistics. Biases and other parameters keep their values.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        A batch that stands for the data; some hundred samples are enough.
    tolerance : float, default 0.1
        Of the variance.
    iterations : int, default 10
        The most scalings of a layer; without a bias one is enough.

    Returns
    -------
    list of LayerScale
        One for each layer with weights that are trainable, in their order.

    Raises
    ------
    ValueError
        A layer's outputs are all equal for this batch, so that no scale gives them a variance: nothing has changed.

    References
    ----------
    Mishkin, Matas (2016), All you need is a good init. Saxe, McClelland, Ganguli (2014), Exact solutions to the nonlinear dynamics
    of learning in deep linear neural networks.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> (x, y), _ = fn.datasets.digits()
    >>> net = fn.Network([fn.Flatten(), *(fn.Dense(64, activation="relu") for _ in range(20))], input_shape=(8, 8, 1), seed=0)
    >>> scales = fn.lsuv(net, x[:256])
    >>> len(scales), all(abs(scale.after - 1) < 0.1 for scale in scales)
    (20, True)
    """
    tolerance = checks.real_number("tolerance", tolerance, above=0)
    iterations = checks.whole_number("iterations", iterations, least=1)
    x = labels.check_inputs("x", x, net.input_shape)
    labels.scan_inputs("x", x)
    before = net.state_dict()
    done, found = set(), []
    try:
        for node in net.graph.nodes:
            layer: Any = node.layer
            if id(layer) in done or not layer.trainable or not _has_weight(layer):
                continue
            done.add(id(layer))
            init = initializers.get("orthogonal", "init")
            draw(layer.weight, random.key(net.seed, f"{node.stream}.lsuv"), init)
            found.append(_scale(net, node, x, tolerance, iterations))
    except BaseException:
        net.load_state_dict(before)
        raise
    return found


def _has_weight(layer: Layer) -> bool:
    weight = getattr(layer, "weight", None)
    return hasattr(layer, "activation") and weight is not None and len(getattr(weight, "shape", ())) > 1


def _scale(net: Network, node: Node, x: Array, tolerance: float, iterations: int) -> LayerScale:
    """Scale one layer's weights; those before it have been."""
    inputs = x if node.inputs == [INPUT] else net.activations(x, node.inputs)[node.inputs[0]]
    layer: Any = node.layer
    linear = copy.copy(layer)
    linear.__dict__.pop("_alone", None)
    linear.activation = activations.get(None)
    before = std = float(np.std(linear.forward(inputs), dtype=np.float64))
    count = 0
    while abs(std**2 - 1) >= tolerance and count < iterations:
        if not std > 0:
            raise ValueError(
                f"layer {node.name!r}: its outputs are all equal for this x, so no scale of its weights gives them a variance"
            )
        layer.weight.assign(layer.weight.value / std)
        std = float(np.std(linear.forward(inputs), dtype=np.float64))
        count += 1
    return LayerScale(node.name, before, std, count)
