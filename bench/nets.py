"""The networks of the benchmarks, described once, and built alike in fastnet and its peers.

A network is a list of layers: tuples of a kind, and what it needs. Weights are drawn in the order of the walk
through that list, as fastnet has them: kernels (height, width, channels, filters), matrices (inputs, outputs).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

EPSILON = 1e-5
PATIENCE = 10.0  # seconds for the steps that are compared
MOMENTUM = 0.1  # of running statistics
ADAM, SGD = "Adam", "SGD with momentum"
LEARNING_RATES = {ADAM: 1e-3, SGD: 0.01}


def conv(filters, kernel, *, stride=1, padding=None, bias=True, relu=False):
    return ("conv", filters, kernel, stride, kernel // 2 if padding is None else padding, bias, relu)


def norm(relu=False):
    return ("norm", relu)


def dense(units, relu=False):
    return ("dense", units, relu)


def residual(filters, stride):
    """He et al. 2016; a shortcut that changes the shape is a convolution by 1x1 (their option B)."""
    inner = [conv(filters, 3, stride=stride, bias=False), norm(relu=True), conv(filters, 3, bias=False), norm()]
    return ("residual", inner, [conv(filters, 1, stride=stride, bias=False), norm()] if stride > 1 else [])


POOL, GLOBAL, FLATTEN = ("pool",), ("global",), ("flatten",)
LENET = [
    conv(32, 5, relu=True), POOL, conv(64, 5, relu=True), POOL, FLATTEN, dense(128, relu=True), dense(10),
]  # fmt: skip
VGG_SMALL = [
    conv(64, 3, relu=True), conv(64, 3, relu=True), POOL, conv(128, 3, relu=True), conv(128, 3, relu=True), POOL,
    FLATTEN, dense(256, relu=True), dense(10),
]  # fmt: skip
RESNET_20 = [
    conv(16, 3, bias=False), norm(relu=True),
    *[residual(16, 1)] * 3, residual(32, 2), *[residual(32, 1)] * 2, residual(64, 2), *[residual(64, 1)] * 2,
    GLOBAL, dense(10),
]  # fmt: skip


@dataclass(frozen=True)
class Net:
    name: str
    layers: list
    input_shape: tuple[int, ...]
    optimizer: str = ADAM
    classes: int = 10
    seed: int = 1  # of the weights

    @property
    def of_images(self) -> bool:
        return len(self.input_shape) == 3

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of a dense network's hidden layers."""
        return tuple(layer[1] for layer in self.layers[:-1])

    def weights(self) -> list[np.ndarray]:
        return self._walk()[0]

    @property
    def parameters(self) -> int:
        return sum(w.size for w in self.weights())

    @property
    def multiply_adds(self) -> tuple[int, int]:
        """Of one sample's direct sums, forward and in a whole step: the first layer needs no input gradient."""
        products = self._walk()[1]
        return sum(products), 3 * sum(products) - products[0]

    def _walk(self):
        rng, arrays, products = np.random.default_rng(self.seed), [], []

        def add(fan_in, shape):
            arrays.append(rng.normal(0, math.sqrt(2 / fan_in), shape).astype(np.float32))

        def walk(layers, shape):
            for kind, *given in layers:
                if kind == "conv":
                    filters, kernel, stride, padding, bias, _ = given
                    height, width, channels = shape
                    add(kernel * kernel * channels, (kernel, kernel, channels, filters))
                    if bias:
                        arrays.append(np.zeros(filters, np.float32))
                    shape = (*((size + 2 * padding - kernel) // stride + 1 for size in (height, width)), filters)
                    products.append(math.prod(shape) * kernel * kernel * channels)
                elif kind == "norm":
                    arrays.extend([np.ones(shape[-1], np.float32), np.zeros(shape[-1], np.float32)])
                elif kind == "residual":
                    walk(given[1], shape)
                    shape = walk(given[0], shape)
                elif kind == "dense":
                    add(math.prod(shape), (math.prod(shape), given[0]))
                    arrays.append(np.zeros(given[0], np.float32))
                    products.append(math.prod(shape) * given[0])
                    shape = (given[0],)
                else:
                    shape = {"pool": (shape[0] // 2, shape[1] // 2, shape[-1]), "global": shape[-1:]}.get(
                        kind, (math.prod(shape),)
                    )
            return shape

        walk(self.layers, self.input_shape)
        return arrays, products


def mlp(*sizes: int) -> Net:
    """Of dense layers with relu, named by its sizes from input to output."""
    layers = [*(dense(units, relu=True) for units in sizes[1:-1]), dense(sizes[-1])]
    return Net("-".join(map(str, sizes)), layers, sizes[:1], ADAM, sizes[-1])


NETS = {
    "LeNet": Net("LeNet", LENET, (28, 28, 1), ADAM),
    "VGG-small": Net("VGG-small", VGG_SMALL, (32, 32, 3), ADAM),
    "ResNet-20": Net("ResNet-20", RESNET_20, (32, 32, 3), SGD),
}


@dataclass(frozen=True)
class Training:
    """A network, and the batches on which it is trained: softmax cross-entropy, in float32."""

    net: Net
    batch: int
    samples: int

    @property
    def name(self) -> str:
        return f"{self.net.name} batch {self.batch}"

    @property
    def steps(self) -> int:
        """Of an epoch; what is left over makes no batch."""
        return self.samples // self.batch

    @property
    def flops(self) -> int:
        """Of the products of a step, as direct sums."""
        return 2 * self.batch * self.net.multiply_adds[1]

    @property
    def checked(self) -> tuple[int, float]:
        """How many steps' losses must agree before anything is timed, and within what: rounding grows with depth."""
        deep = self.net.of_images or len(self.net.layers) > 4
        return (5 if deep else 20), 1e-3 if self.net.of_images else 2e-3

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.random((self.samples, *self.net.input_shape), np.float32)
        return x, rng.integers(0, self.net.classes, self.samples)

    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        x, y = self.data()
        return [(x[i : i + self.batch], y[i : i + self.batch]) for i in range(0, self.steps * self.batch, self.batch)]

    def first_losses(self, step, batches) -> list[float]:
        """Of the first steps, by which contenders are compared: of two at least, where a step takes seconds."""
        losses = [float(step(*batches[0]))]  # compiles
        begun = time.perf_counter()
        while len(losses) < self.checked[0] and (len(losses) < 2 or time.perf_counter() - begun < PATIENCE):
            losses.append(float(step(*batches[len(losses) % len(batches)])))
        return losses
