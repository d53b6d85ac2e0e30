"""Predictions: how long one sample takes, how many samples a second a batch gives, and what the first call costs."""

from __future__ import annotations

import time

import numpy as np

from bench import machine
from bench.agreement import check
from bench.nets import NETS, Net, mlp
from bench.rows import Figures, Row
from bench.settings import Case
from bench.timing import Latencies, measure, repeat

MODELS = [mlp(784, 128, 10), NETS["LeNet"], NETS["ResNet-20"]]
BATCH = 256
TARGET_SECONDS = 0.050  # of the first step, besides two later ones
FIRST_ROUNDS = 5


def cases(setup):
    for net in setup.some(MODELS, (0, 2)):
        yield Case(f"{net.name}, one sample", lambda net=net: predictions(setup, net, 1))
    for net in setup.some(MODELS, 1):
        yield Case(f"{net.name} batch {BATCH}", lambda net=net: predictions(setup, net, BATCH))
    from fastnet import models

    for name in setup.some(sorted(models.MODELS), 2) if setup.first else ():
        yield Case(f"{name}, first calls", lambda name=name: first_calls(setup, name))


def predictions(setup, net: Net, batch: int) -> Row:
    """Arrays in, arrays out; batch norms have constant statistics. With one sample the slowest of a hundred calls counts, too."""
    from bench.peers import ours

    x = np.random.default_rng(0).random((batch, *net.input_shape), np.float32)
    calls = {"fastnet": ours.predictor(net, x)}
    if setup.has("torch"):
        from bench.peers import with_torch

        for name, how, layout in with_torch.ways(net, setup, compiled=not setup.quick):
            calls[name] = with_torch.predictor(net, x, setup.threads, how, layout)
    if setup.has("jax"):
        from bench.peers import with_jax

        calls["jax"] = with_jax.predictor(net, x)
    if setup.has("onnxruntime") and not setup.isa:  # it cannot be held to an instruction set
        from bench.peers import with_onnxruntime

        calls["onnxruntime"] = with_onnxruntime.predictor(net, x, setup.threads)
    if setup.has("sklearn") and not net.of_images:
        from bench.peers import with_sklearn

        calls["sklearn"] = with_sklearn.predictor(net, x)
    check({name: call() for name, call in calls.items()})
    kind = Latencies if batch == 1 else repeat
    row = measure(
        setup, {name: kind(call) for name, call in calls.items()},
        flops=2 * batch * net.multiply_adds[0], fma=machine.fma_probe(setup.threads),
    )  # fmt: skip
    if batch > 1:
        row.figures["samples a second"] = batch / row.contenders["fastnet"].median_seconds
    return row


def first_calls(setup, name: str) -> Row:
    """A new network's first prediction, and its first training step: building and recording included.

    What a process does once (imports, tables of kernels) is done before. The first step should take at most 50 ms and two
    later steps: a figure below zero is within that.
    """
    import fastnet as fn

    shape = (28, 28, 1) if name in ("mlp", "lenet") else (32, 32, 3)
    rng = np.random.default_rng(0)
    x, y = rng.random((64, *shape), np.float32), rng.integers(0, 10, 64)
    predicted, trained, later = [], [], []
    rounds = 2 if setup.quick else FIRST_ROUNDS
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        net = fn.models.MODELS[name](input_shape=shape, classes=10, seed=0)
        net.predict(x[:1])
        predicted.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        net = fn.models.MODELS[name](input_shape=shape, classes=10, seed=0)
        trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam")
        trainer.train_on_batch(x, y)
        trained.append(time.perf_counter() - begun)
        for _ in range(3):
            begun = time.perf_counter()
            trainer.train_on_batch(x, y)
            later.append(time.perf_counter() - begun)
    names = ("fastnet", "fastnet first step", "fastnet later steps")
    contenders = {
        key: Figures(median_seconds=float(np.median(taken)), best_seconds=min(taken))
        for key, taken in zip(names, (predicted[1:], trained[1:], later), strict=True)
    }
    step = contenders["fastnet later steps"].median_seconds
    over = contenders["fastnet first step"].median_seconds - 2 * step - TARGET_SECONDS
    return Row(
        "", "", setup.threads, contenders, figures={"milliseconds over 50 and two steps": 1e3 * over}, isa=setup.isa
    )
