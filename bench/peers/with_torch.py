"""A network of `conv_nets` in fastnet, PyTorch, JAX and ONNX, with the same weights.

PyTorch's and ONNX' images are NCHW, so their kernels are OIHW, and the matrix behind Flatten has its rows in the
order of channels first.
"""

from __future__ import annotations

import numpy as np

from bench.conv_nets import EPSILON, MOMENTUM, Net


def fastnet_net(net: Net):
    import fastnet as fn

    weighted = []

    def build(layers):
        built = []
        for kind, *given in layers:
            if kind == "residual":
                shortcut = build(given[1])
                built.append(fn.Residual(build(given[0]), shortcut=shortcut, activation="relu"))
            elif kind == "pool":
                built.append(fn.MaxPool2D(2))
            elif kind == "global":
                built.append(fn.GlobalAvgPool2D())
            elif kind == "flatten":
                built.append(fn.Flatten())
            elif kind == "norm":
                built.append(fn.BatchNorm(momentum=MOMENTUM, epsilon=EPSILON))
                weighted.append(built[-1])
                built += [fn.Activation("relu")] if given[0] else []
            else:
                activation = "relu" if given[-1] else None
                if kind == "dense":
                    built.append(fn.Dense(given[0], activation=activation))
                else:
                    filters, kernel, stride, padding, bias, _ = given
                    geometry = {"stride": stride, "padding": padding}
                    built.append(fn.Conv2D(filters, kernel, **geometry, use_bias=bias, activation=activation))
                weighted.append(built[-1])
        return built

    network = fn.Network(build(net.layers), input_shape=net.input_shape, seed=0)
    weights = iter(net.weights())
    for layer in weighted:
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                parameter.assign(next(weights))
    return network


def channels_first(w: np.ndarray, channels: int | None) -> np.ndarray:
    """A kernel as OIHW; a matrix as (outputs, inputs), its inputs in channels of images if `channels` says how many."""
    if w.ndim == 4:
        return np.ascontiguousarray(w.transpose(3, 2, 0, 1))
    if channels:
        w = w.reshape(-1, channels, w.shape[1]).transpose(1, 0, 2).reshape(w.shape)
    return np.ascontiguousarray(w.T)


def torch_net(net: Net):
    import torch
    from torch import nn

    weights = iter(net.weights())
    seen = {"channels": net.input_shape[-1], "flattened": None}

    class Residual(nn.Module):
        def __init__(self, inner, shortcut):
            super().__init__()
            self.inner, self.shortcut = inner, shortcut

        def forward(self, x):
            return torch.relu(self.inner(x) + self.shortcut(x))

    def assign(module):
        for parameter in (module.weight, module.bias):
            if parameter is not None:
                w = next(weights)
                parameter.data[:] = torch.tensor(w if w.ndim == 1 else channels_first(w, seen["flattened"]))
        return module

    def build(layers):
        modules = []
        for kind, *given in layers:
            channels = seen["channels"]
            if kind == "residual":
                shortcut = build(given[1])
                seen["channels"] = channels
                modules.append(Residual(build(given[0]), shortcut))
            elif kind == "pool":
                modules.append(nn.MaxPool2d(2))
            elif kind == "global":
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            elif kind == "flatten":
                modules.append(nn.Flatten())
                seen["flattened"] = channels
            elif kind == "norm":
                modules.append(assign(nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)))
            elif kind == "conv":
                filters, kernel, stride, padding, bias, _ = given
                modules.append(assign(nn.Conv2d(channels, filters, kernel, stride, padding, bias=bias)))
                seen["channels"] = filters
            else:
                inputs = inputs_of_dense.pop(0)
                modules.append(assign(nn.Linear(inputs, given[0])))
                seen["flattened"] = None
            if kind in ("norm", "conv", "dense") and given[-1]:
                modules.append(nn.ReLU())
        return nn.Sequential(*modules)

    inputs_of_dense = [w.shape[0] for w in net.weights() if w.ndim == 2]
    return build(net.layers)


def jax_forward(net: Net):
    """`forward(weights, x)` in training: logits, and the batch norms' new running statistics from their old."""
    import jax
    import jax.numpy as jnp

    def forward(weights, statistics, x):
        weights, statistics, updated = iter(weights), iter(statistics), []

        def run(layers, x):
            for kind, *given in layers:
                if kind == "residual":
                    shortcut = run(given[1], x)
                    x = jax.nn.relu(run(given[0], x) + shortcut)
                elif kind == "pool":
                    window = (1, 2, 2, 1)
                    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
                elif kind == "global":
                    x = x.mean((1, 2))
                elif kind == "flatten":
                    x = x.reshape(len(x), -1)
                elif kind == "norm":
                    x = batch_norm(x, next(weights), next(weights))
                elif kind == "dense":
                    x = x @ next(weights) + next(weights)
                else:
                    stride, padding, bias = given[2:5]
                    x = jax.lax.conv_general_dilated(
                        x, next(weights), (stride, stride), [(padding, padding)] * 2,
                        dimension_numbers=("NHWC", "HWIO", "NHWC"),
                    )  # fmt: skip
                    x = x + next(weights) if bias else x
                if kind in ("norm", "conv", "dense") and given[-1]:
                    x = jax.nn.relu(x)
            return x

        def batch_norm(x, gamma, beta):
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            samples = x.size // x.shape[-1]
            unbiased = variance * (samples / (samples - 1))
            for old, new in zip(next(statistics), (mean, unbiased), strict=True):
                updated.append((1 - MOMENTUM) * old + MOMENTUM * new)
            return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * gamma + beta

        return run(net.layers, x), list(zip(updated[::2], updated[1::2], strict=True))

    return forward


def norm_channels(net: Net) -> list[int]:
    """Of each batch norm, in the order of the walk."""
    channels = []

    def walk(layers, seen):
        for kind, *given in layers:
            if kind == "residual":
                walk(given[1], seen)
                seen = walk(given[0], seen)
            elif kind == "conv":
                seen = given[0]
            elif kind == "norm":
                channels.append(seen)
        return seen

    walk(net.layers, net.input_shape[-1])
    return channels
