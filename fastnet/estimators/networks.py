"""The network that an estimator's parameters describe, and its first weights."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnet as fn
from fastnet import checks

if TYPE_CHECKING:
    from fastnet.estimators.base import BaseNet
    from fastnet.types import Shape

__all__ = ["build", "weighted_layers"]

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}  # scikit-learn's names for ours


def build(estimator: BaseNet, input_shape: Shape, outputs: int, dtype: str, random_state: Any) -> fn.Network:
    """A network for samples of a shape, with `outputs` outputs, which are not activated.

    Without `layers` and `initializer` the first weights are those that scikit-learn draws: the same numbers.
    """
    first = None
    if estimator.layers is not None:
        layers = given_layers(estimator, input_shape, dtype)
    else:
        sizes = hidden_sizes(estimator.hidden_layer_sizes)
        layers = hidden_layers(estimator, sizes)
        if estimator.initializer is None:
            (width,) = input_shape
            first = glorot(estimator, [width, *sizes, outputs], random_state)
    layers.append(fn.Dense(outputs, init=estimator.initializer, name="output"))
    # Drawn after the weights, and only where it is used, so that scikit-learn's shuffles come next.
    seed = 0 if first is not None and not np.any(estimator.dropout) else int(random_state.randint(2**31 - 1))
    regularizer = fn.L2(estimator.alpha / 2, per_sample=True) if estimator.alpha else None
    net = fn.Network(layers, input_shape=input_shape, dtype=dtype, seed=seed, regularizer=regularizer)
    if first is not None:
        for layer, (weight, bias) in zip(weighted_layers(net), first, strict=True):
            layer.weight.assign(weight)
            layer.bias.assign(bias)
    return net


def hidden_sizes(given: Any) -> list[int]:
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def hidden_layers(estimator: BaseNet, sizes: list[int]) -> list[fn.Layer]:
    """Dense, batch norm, activation, dropout: for each size."""
    activation: Any = ACTIVATIONS.get(estimator.activation, estimator.activation) if is_name(estimator.activation) else (
        estimator.activation
    )  # fmt: skip
    rates = rates_of(estimator.dropout, len(sizes))
    layers: list[fn.Layer] = []
    for size, rate in zip(sizes, rates, strict=True):
        if estimator.batch_norm:
            layers += [fn.Dense(size, init=estimator.initializer), fn.BatchNorm(), fn.Activation(activation)]
        else:
            layers.append(fn.Dense(size, activation=activation, init=estimator.initializer))
        if rate:
            layers.append(fn.Dropout(rate))
    return layers


def is_name(value: Any) -> bool:
    return isinstance(value, str)


def rates_of(dropout: Any, layers: int) -> list[float]:
    """The rate behind each hidden layer."""
    if np.ndim(dropout) == 0:
        return [float(dropout)] * layers
    if len(dropout) != layers:
        raise ValueError(f"dropout must be a rate or one for each of the {layers} hidden layers; got {len(dropout)}")
    return [float(rate) for rate in dropout]


def given_layers(estimator: BaseNet, input_shape: Shape, dtype: str) -> list[fn.Layer]:
    """Copies of the layers that the user gave, and what makes one row of a sample's values."""
    if estimator.batch_norm or np.any(estimator.dropout):
        raise ValueError("batch_norm and dropout are for hidden_layer_sizes; put such layers into `layers`")
    for layer in estimator.layers:
        if isinstance(layer, type) or not isinstance(layer, fn.Layer):
            raise TypeError(f"layers must be a list of layers; it has {checks.describe(layer)}")
        if layer.is_built:
            raise ValueError(f"layers must be fresh; {checks.describe(layer)} is part of a network already")
    layers = copy.deepcopy(list(estimator.layers))
    shape = input_shape
    if layers:
        shape = fn.Network(copy.deepcopy(layers), input_shape=input_shape, dtype=dtype, seed=0).output_shape
    return [*layers, fn.Flatten()] if len(shape) > 1 else layers


def glorot(estimator: BaseNet, units: list[int], random_state: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases, uniform within scikit-learn's bounds, which are the same for both (Glorot & Bengio 2010)."""
    factor = 2.0 if is_name(estimator.activation) and estimator.activation in ("logistic", "sigmoid") else 6.0
    drawn = []
    for fan_in, fan_out in pairwise(units):
        bound = np.sqrt(factor / (fan_in + fan_out))
        weight = random_state.uniform(-bound, bound, (fan_in, fan_out))
        drawn.append((weight, random_state.uniform(-bound, bound, fan_out)))
    return drawn


def weighted_layers(net: fn.Network) -> list[Any]:
    """The layers of a network that have weights, in order."""
    return [layer for layer in net.layers if layer.has_weights and getattr(layer, "weight", None) is not None]
