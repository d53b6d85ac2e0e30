"""Convolutional networks: training steps, prediction of one image, and the memory of a training process."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from bench import machine
from bench.conv_cases import compare, speeds
from bench.conv_nets import LENET, RESNET_20, VGG_SMALL, Net
from bench.timing import available, repeat, timed

BATCH = 64
BATCHES = 4
CHECKED_STEPS = 5
TOLERANCE = 1e-3  # of the losses of these steps
ADAM, SGD = 1e-3, 0.01  # learning rates
NETS = [
    Net("LeNet", LENET, (28, 28, 1), "Adam"),
    Net("VGG-small", VGG_SMALL, (32, 32, 3), "Adam"),
    Net("ResNet-20", RESNET_20, (32, 32, 3), "SGD with momentum"),
]


def data(net: Net):
    rng = np.random.default_rng(0)
    for _ in range(BATCHES):
        yield rng.random((BATCH, *net.input_shape), np.float32), rng.integers(0, net.classes, BATCH)


def train(threads: int):
    """Steps with the optimizer."""
    for net in NETS:
        yield f"{net.name} batch {BATCH}, {net.optimizer}", lambda seconds, net=net: step_case(net, seconds, threads)


def ways_of_torch() -> tuple[str, ...]:
    """Held to AVX2, what torch 2.13 compiles for these steps fails, or writes out of bounds: it reads int64 indices wrongly."""
    return ("eager",) if os.environ.get("FASTNET_ISA") == "avx2" else ("eager", "compiled")


def step_case(net: Net, seconds: float, threads: int) -> dict:
    peers = {
        f"torch {how} {layout}": lambda how=how, layout=layout: torch_steps(net, threads, how == "compiled", layout)
        for how in ways_of_torch()
        for layout in ("contiguous", "channels_last")
    }
    peers["jax"] = lambda: jax_steps(net)
    step, reference = fastnet_steps(net)
    contenders, refused = {"fastnet": repeat(step)}, {}
    for name, make in available(peers).items():
        call, first = make()
        if not np.allclose(first, reference, rtol=TOLERANCE):
            message = f"{name} computes something else: losses {first}, ours {reference}"
            if "compiled" not in name:
                raise AssertionError(message)
            # The same module agrees uncompiled, so it is the compiler that is wrong; its time would mean nothing.
            print(f"    not timed: {message}", flush=True)
            refused[name] = first
            continue
        contenders[name] = repeat(call)
    contenders["fma"], flops = machine.fma_probe()
    work = 2 * BATCH * net.multiply_adds[1]
    row = timed(
        contenders, seconds, lambda timing: speeds(timing, work, threads * flops / timing.median("fma")),
        best_of=("torch",),
    )  # fmt: skip
    return row | {"refused": refused, "reference losses": reference}


def stepper(step, batches):
    """A call that takes the next batch each time, and the losses of the first calls."""
    taken = [0]

    def call():
        loss = step(*batches[taken[0] % len(batches)])
        taken[0] += 1
        return loss

    return call, [float(call()) for _ in range(CHECKED_STEPS)]


def fastnet_steps(net: Net):
    import fastnet as fn
    from bench.conv_peers import fastnet_net

    optimizer = fn.Adam(ADAM) if net.optimizer == "Adam" else fn.SGD(SGD, momentum=0.9)
    trainer = fn.Trainer(fastnet_net(net), loss="softmax_cross_entropy", optimizer=optimizer)
    return stepper(lambda x, y: trainer.train_on_batch(x, y)["loss"], list(data(net)))


def torch_steps(net: Net, threads: int, compiled: bool, layout: str):
    import torch

    from bench.conv_peers import torch_net

    torch.set_num_threads(threads)
    layout = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    module = torch_net(net).to(memory_format=layout).train()
    if net.optimizer == "Adam":
        optimizer = torch.optim.Adam(module.parameters(), lr=ADAM, fused=True)
    else:
        optimizer = torch.optim.SGD(module.parameters(), lr=SGD, momentum=0.9, fused=True)

    def forward(x, y):
        return torch.nn.functional.cross_entropy(module(x), y)

    if compiled:
        torch._dynamo.reset()
        forward = torch.compile(forward)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    batches = [
        (torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=layout), torch.tensor(y)) for x, y in data(net)
    ]
    return stepper(step, batches)


def jax_steps(net: Net):
    import jax
    import jax.numpy as jnp

    from bench.conv_peers import jax_forward, norm_channels

    forward = jax_forward(net)

    def loss_of(weights, statistics, x, y):
        logits, updated = forward(weights, statistics, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean(), updated

    def step(state, x, y):
        weights, statistics, m, v, t = state
        (loss, statistics), g = jax.value_and_grad(loss_of, has_aux=True)(weights, statistics, x, y)
        t = t + 1
        if net.optimizer == "Adam":
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            scale = jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            epsilon = 1e-8 * jnp.sqrt(1 - 0.999**t)
            weights = jax.tree.map(lambda w, m, v: w - ADAM * scale * m / (jnp.sqrt(v) + epsilon), weights, m, v)
        else:
            m = jax.tree.map(lambda m, g: 0.9 * m + g, m, g)
            weights = jax.tree.map(lambda w, m: w - SGD * m, weights, m)
        return (weights, statistics, m, v, t), loss

    weights = [jnp.array(w) for w in net.weights()]
    statistics = [(jnp.zeros(n), jnp.ones(n)) for n in norm_channels(net)]
    m = jax.tree.map(jnp.zeros_like, weights)
    v = jax.tree.map(jnp.zeros_like, weights) if net.optimizer == "Adam" else []
    state = [(weights, statistics, m, v, jnp.zeros(()))]
    jitted = jax.jit(step, donate_argnums=0)

    def advance(x, y):
        state[0], loss = jitted(state[0], x, y)
        return loss.block_until_ready()

    return stepper(advance, [(jnp.array(x), jnp.array(y.astype(np.int32))) for x, y in data(net)])


def predict(threads: int):
    """One image at a time."""
    for net in (NETS[2], NETS[0]):
        yield f"{net.name} batch 1", lambda seconds, net=net: predict_case(net, seconds, threads)


def predict_case(net: Net, seconds: float, threads: int) -> dict:
    from bench.conv_peers import fastnet_net

    x = next(data(net))[0][:1]
    network = fastnet_net(net)
    peers = {
        "torch contiguous": lambda: torch_predict(net, x, threads, "contiguous_format"),
        "torch channels_last": lambda: torch_predict(net, x, threads, "channels_last"),
    }
    if os.environ.get("FASTNET_ISA") != "avx2":  # onnxruntime cannot be held to it
        peers["onnxruntime"] = lambda: onnxruntime_predict(net, x, threads)
    calls = {"fastnet": lambda: network.predict(x)} | {name: make() for name, make in available(peers).items()}
    compare({name: np.asarray(call()) for name, call in calls.items()})
    contenders = {name: repeat(call) for name, call in calls.items()}
    contenders["fma"], flops = machine.fma_probe()
    work = 2 * net.multiply_adds[0]
    return timed(
        contenders, seconds, lambda timing: speeds(timing, work, threads * flops / timing.median("fma")),
        best_of=("torch",),
    )  # fmt: skip


def torch_predict(net: Net, x: np.ndarray, threads: int, layout: str):
    import torch

    from bench.conv_peers import torch_net

    torch.set_num_threads(threads)
    layout = getattr(torch, layout)
    module = torch_net(net).to(memory_format=layout).eval()
    image = torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def call():
        with torch.no_grad():
            return module(image).numpy()

    return call


def onnxruntime_predict(net: Net, x: np.ndarray, threads: int):
    import onnxruntime

    from bench.conv_onnx import onnx_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(onnx_model(net), options, providers=["CPUExecutionProvider"])
    image = {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}
    return lambda: session.run(None, image)[0]


def memory(threads: int):
    """Of a training process, at its most, over what it takes to train a tiny network in the same way."""
    yield "VGG-small training", lambda seconds: memory_case(threads)


def memory_case(threads: int) -> dict:
    sides = available({"torch eager contiguous": None, "torch eager channels_last": None})
    figures = {}
    for side in ("fastnet", *sides):
        command = [sys.executable, "-m", "bench.conv_memory", side, str(threads)]
        figures[f"MB {side}"] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    best = min((figures[f"MB {side}"] for side in sides), default=None)
    if best is not None:
        figures["torch / fastnet"] = best / figures["MB fastnet"]
    return {"median": {}, "best": {}, "ratio": {}, "figures": figures}
