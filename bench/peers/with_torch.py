"""PyTorch's side, in all of its ways: eager and compiled, contiguous and channels_last, fused optimizers.

Its images are NCHW, so its kernels are OIHW, and the matrix behind Flatten has its rows in the order of channels first.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bench.nets import ADAM, EPSILON, LEARNING_RATES, MOMENTUM, Net, Training
from bench.peers.channels import channels_first

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def ways(net: Net, setup, compiled: bool = True) -> list[tuple[str, str, str]]:
    """Names of contenders, how they run, and their memory format: of images there are two."""
    hows = ["eager"]
    # Held to AVX2, what torch 2.13 compiles of pools fails, or writes out of bounds: it reads int64 indices wrongly.
    if compiled and not (net.of_images and setup.isa == "avx2"):
        hows.append("compiled")
    layouts = list(LAYOUTS) if net.of_images else [""]
    return [(f"torch {how} {layout}".strip(), how, layout) for how in hows for layout in layouts]


def images(x: np.ndarray, layout: str) -> torch.Tensor:
    """Images in a memory format; other samples as they are."""
    if x.ndim != 4:
        return torch.tensor(x)
    return torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=LAYOUTS[layout])


class Residual(nn.Module):
    def __init__(self, inner, shortcut):
        super().__init__()
        self.inner, self.shortcut = inner, shortcut

    def forward(self, x):
        return torch.relu(self.inner(x) + self.shortcut(x))


def build(net: Net, layout: str = "") -> nn.Module:
    weights = iter(net.weights())
    inputs_of_dense = [w.shape[0] for w in net.weights() if w.ndim == 2]
    seen = {"channels": net.input_shape[-1], "flattened": None}

    def assign(module):
        for parameter in (module.weight, module.bias):
            if parameter is not None:
                w = next(weights)
                parameter.data[:] = torch.tensor(w if w.ndim == 1 else channels_first(w, seen["flattened"]))
        return module

    def made(layers):
        modules = []
        for kind, *given in layers:
            channels = seen["channels"]
            if kind == "residual":
                shortcut = made(given[1])
                seen["channels"] = channels
                modules.append(Residual(made(given[0]), shortcut))
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
                modules.append(assign(nn.Linear(inputs_of_dense.pop(0), given[0])))
                seen["flattened"] = None
            if kind in ("norm", "conv", "dense") and given[-1]:
                modules.append(nn.ReLU())
        return nn.Sequential(*modules)

    return made(net.layers).to(memory_format=LAYOUTS[layout or "contiguous"])


def stepper(net: Net, how: str, layout: str):
    """A function that does a step on a batch, and returns the loss."""
    module, rate = build(net, layout).train(), LEARNING_RATES[net.optimizer]
    if net.optimizer == ADAM:
        optimizer = torch.optim.Adam(module.parameters(), lr=rate, fused=True)
    else:
        optimizer = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9, fused=True)

    run = module
    if how == "compiled":
        # Without the loss: what torch 2.13 makes of one with int64 labels writes outside of its memory, for 10 classes say.
        torch._dynamo.reset()
        run = torch.compile(module)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(run(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def steps(training: Training, threads: int, how: str = "eager", layout: str = ""):
    """As `ours.steps`; the batches are tensors in the memory format before."""
    torch.set_num_threads(threads)
    step = stepper(training.net, how, layout)
    batches = [(images(x, layout), torch.tensor(y)) for x, y in training.batches()]
    first = training.first_losses(step, batches)

    def call(n):
        for i in range(n):
            step(*batches[i % len(batches)])

    return call, first


def epochs(training: Training, count: int, threads: int, how: str = "eager"):
    """As `ours.epochs`: each batch is picked by its part of a permutation."""
    torch.set_num_threads(threads)
    x, y = training.data()
    x, y = images(x, "contiguous"), torch.tensor(y)
    step = stepper(training.net, how, "contiguous" if training.net.of_images else "")

    def epoch(order):
        return [step(x[rows], y[rows]) for rows in order.split(training.batch)[: training.steps]]

    first = float(torch.stack(epoch(torch.arange(len(x)))).mean())
    return lambda: [epoch(torch.randperm(len(x))) for _ in range(count)], first


def predictor(net: Net, x: np.ndarray, threads: int, how: str = "eager", layout: str = ""):
    torch.set_num_threads(threads)
    module, samples = build(net, layout).eval(), images(x, layout)
    if how == "compiled":
        torch._dynamo.reset()
        module = torch.compile(module)

    def call():
        with torch.inference_mode():
            return module(samples).numpy()

    call()
    return call
