"""What the experiment on first weights measures: ways to begin, their scale through many layers, training, cures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import initializers
from fastnet.lab.measure import Probe, backpropagate, data, moments, train
from fastnet.layers import Activation as ActivationLayer
from fastnet.layers import BatchNorm, Conv2D, Dense, Flatten, GlobalAvgPool2D, LayerNorm, Residual
from fastnet.losses import SoftmaxCrossEntropy
from fastnet.network import Network
from fastnet.optimizers import SGD

if TYPE_CHECKING:
    from fastnet.lab.measure import Parts
    from fastnet.layers import Layer
    from fastnet.types import Array
from fastnet.unit_variance import lsuv


@dataclass(frozen=True)
class Scheme:
    """A row of the comparison: how weights start, and what else is done to the network before training."""

    name: str
    make: Callable[[], initializers.Initializer]
    text: str
    prepare: Callable[[Network, Array], object] | None = None  # of the network and training images


SCHEMES = (
    Scheme("zeros", initializers.Zeros, "all 0"),
    Scheme("constant", lambda: initializers.Constant(0.02), "all 0.02"),
    Scheme("too small", lambda: initializers.Normal(std=0.05), "normal, standard deviation 0.05"),
    Scheme("too large", lambda: initializers.Normal(std=0.4), "normal, standard deviation 0.4"),
    Scheme("Xavier", initializers.GlorotNormal, "normal, variance 2 / (fan_in + fan_out)"),
    Scheme("He", initializers.HeNormal, "normal, variance 2 / fan_in"),
    Scheme("orthogonal", initializers.Orthogonal, "a random rotation: every direction keeps its length"),
    Scheme(
        "LSUV",
        initializers.Orthogonal,
        "orthogonal, then each layer scaled until its sums vary by 1 on a batch of data",
        lsuv,
    ),
)
BY_NAME = {scheme.name: scheme for scheme in SCHEMES}

ACTIVATIONS = ("sigmoid", "tanh", "relu")
DEPTH, WIDTH = 30, 64
TRAINED_DEPTH, EPOCHS, BATCH = 20, 7, 64
LEARNING_RATE, MOMENTUM = 0.01, 0.9
CNN_DEPTH, FILTERS = 12, 8
CNN_SCHEMES = ("zeros", "too small", "too large", "Xavier", "He")
STARTS = ("too small", "too large")
CURES = ("nothing", "right scale (He)", "clipping", "batch norm", "layer norm", "residual")
CLIP = 1.0
SAMPLES = 512


def run(seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Spread by depth and training curves for each scheme and activation; symmetry; cures; a convolutional network."""
    epochs = 1 if quick else EPOCHS
    parts = data()
    (x, y), _ = parts
    trained = {
        activation: {
            scheme.name: _train(_dense(activation, scheme, TRAINED_DEPTH, seed), scheme, epochs, parts)
            for scheme in SCHEMES
        }
        for activation in ACTIVATIONS
    }
    return {
        "epochs": epochs,
        "spread": {
            activation: {
                scheme.name: _spread(partial(_dense, activation, scheme, DEPTH, seed), scheme, x, y)
                for scheme in SCHEMES
            }
            for activation in ACTIVATIONS
        },
        "training": {a: {s: found["curves"] for s, found in rows.items()} for a, rows in trained.items()},
        "difference": {a: {s: found["difference"] for s, found in rows.items()} for a, rows in trained.items()},
        "cures": {start: {cure: _cure(start, cure, seed, epochs, parts) for cure in CURES} for start in STARTS},
        "cnn": {name: _cnn(BY_NAME[name], seed, epochs, parts) for name in CNN_SCHEMES},
    }


def _dense(activation: str, scheme: Scheme, depth: int, seed: int,
           probe: Callable[[int], Layer] | None = None) -> Network:  # fmt: skip
    layers: list[Layer] = [Flatten()]
    for i in range(1, depth + 1):
        layers.append(Dense(WIDTH, activation=activation, init=scheme.make(), name=f"dense_{i}"))
        if probe is not None:
            layers.append(probe(i))
    return Network([*layers, Dense(10, init=scheme.make(), name="head")], input_shape=(8, 8, 1), seed=seed)


def _spread(make: Callable[[Callable[[int], Layer]], Network], scheme: Scheme, x: Array, y: Array) -> dict[str, Any]:
    """RMS of the values and of the gradients behind each layer, and how much values differ between images."""
    seen: dict[tuple[str, str], Array] = {}
    net = make(lambda i: Probe(str(i), seen))
    if scheme.prepare is not None:
        scheme.prepare(net, x[:SAMPLES])
    backpropagate(net, SoftmaxCrossEntropy(), x[:SAMPLES], y[:SAMPLES])
    depths = sorted({int(key) for key, _ in seen})
    values = [seen[str(i), "values"].astype(np.float64) for i in depths]
    return {
        "values": [moments(v)["rms"] for v in values],
        "differs": [float(np.sqrt(v.var(axis=0).mean())) for v in values],
        "gradients": [moments(seen[str(i), "gradients"])["rms"] for i in depths],
    }


def _train(net: Network, scheme: Scheme, epochs: int, parts: Parts, clip_norm: float | None = None) -> dict[str, Any]:
    if scheme.prepare is not None:
        scheme.prepare(net, parts[0][0][:SAMPLES])
    optimizer = SGD(LEARNING_RATE, momentum=MOMENTUM)
    curves = train(net, epochs=epochs, optimizer=optimizer, parts=parts, batch_size=BATCH, clip_norm=clip_norm)
    second = [p.value for p in net.parameters() if p.name.endswith("dense_2.weight")]
    difference = float(np.abs(second[0] - second[0][:, :1]).max()) if second else None
    return {"curves": curves, "difference": difference}


def _cure(start: str, cure: str, seed: int, epochs: int, parts: Parts) -> dict[str, Any]:
    """A deep relu network that starts badly, and one thing that may help."""
    scheme = BY_NAME["He"] if cure == "right scale (He)" else BY_NAME[start]
    (x, y), _ = parts

    def make(probe: Callable[[int], Layer] | None = None) -> Network:
        layers: list[Layer] = [Flatten(), Dense(WIDTH, activation="relu", init=scheme.make())]
        for i in range(1, TRAINED_DEPTH + 1):
            norms: dict[str, list[Layer]] = {"batch norm": [BatchNorm()], "layer norm": [LayerNorm()]}
            block = [Dense(WIDTH, init=scheme.make()), *norms.get(cure, []), ActivationLayer("relu")]
            layers += [Residual(block)] if cure == "residual" else block
            if probe is not None:
                layers.append(probe(i))
        return Network([*layers, Dense(10, init=scheme.make())], input_shape=(8, 8, 1), seed=seed)

    found = _train(make(), scheme, epochs, parts, clip_norm=CLIP if cure == "clipping" else None)
    return {"gradients": _spread(make, scheme, x, y)["gradients"], "curves": found["curves"]}


def _cnn(scheme: Scheme, seed: int, epochs: int, parts: Parts) -> dict[str, Any]:
    (x, y), _ = parts

    def make(probe: Callable[[int], Layer] | None = None) -> Network:
        layers: list[Layer] = []
        for i in range(1, CNN_DEPTH + 1):
            layers.append(Conv2D(FILTERS, 3, padding="same", activation="relu", init=scheme.make()))
            if probe is not None:
                layers.append(probe(i))
        head = [GlobalAvgPool2D(), Dense(10, init=scheme.make())]
        return Network([*layers, *head], input_shape=(8, 8, 1), seed=seed)

    return {**_spread(make, scheme, x, y), "curves": _train(make(), scheme, epochs, parts)["curves"]}
