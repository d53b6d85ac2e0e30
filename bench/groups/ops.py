"""What a network does between products: a pass forward and one backward, in memory that fits into a cache, and that doesn't.

"fastnet" calls the kernels on arrays, with results in fresh memory, as the peers do. "fastnet recorded" is what training runs: the
layer's two passes, or the loss with its gradient, as one program, whose results lie in a workspace that is used again.

The bandwidth that a share refers to is that of `machine.stream_probe`, which walks through as many bytes at the same time.
Counted is each array once for each pass that must read or write it, whether a contender keeps it in a cache or reads it more often:

- activations: x and y forward; one array that was kept, dy and dx backward: five arrays of x's size,
- batch norm: eight, as its sums over x, and over x and dy backward, have to be known before the first result,
- pools: x and y forward, dy and dx backward; the places of the maxima are not counted,
- softmax and cross-entropy: logits read, their gradient written, by one kernel.

Lines that are read only because they are about to be written (fresh memory) are counted on neither side, and neither is what the
system does to give fresh memory, which takes most of the time where arrays are larger than what malloc keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench import machine
from bench.agreement import check
from bench.nets import EPSILON, MOMENTUM
from bench.settings import Case
from bench.timing import measure, repeat

#: Batch, height, width, channels: an array of 0.5 MB, which fits into L2 with its gradient, and of 51 MB, more than any L3 here.
INSIDE, OUTSIDE = (16, 16, 8, 64), (64, 56, 56, 64)
LOGITS = (128, 10), (16384, 1000)
ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid")
IMAGE_OPS = ("batch norm", "max pool 2x2", "avg pool 2x2", *ACTIVATIONS)


@dataclass(frozen=True)
class Op:
    kind: str
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.kind} {'x'.join(map(str, self.shape))}"

    @property
    def moved(self) -> int:
        """Bytes, as the module's docstring counts them."""
        arrays = {"softmax cross-entropy": 2, "batch norm": 8, "max pool 2x2": 2.5, "avg pool 2x2": 2.5}.get(
            self.kind, 5
        )
        return round(arrays * 4 * np.prod(self.shape))

    @property
    def output(self) -> tuple[int, ...]:
        n, *size, channels = self.shape
        return (n, *(s // 2 for s in size), channels) if "pool" in self.kind else self.shape

    def arrays(self):
        rng = np.random.default_rng(0)
        if self.kind == "softmax cross-entropy":
            return rng.standard_normal(self.shape, np.float32), rng.integers(0, self.shape[1], self.shape[0])
        return rng.standard_normal(self.shape, np.float32), rng.standard_normal(self.output, np.float32)


def cases(setup):
    ops = [Op(kind, shape) for shape in (INSIDE, OUTSIDE) for kind in IMAGE_OPS]
    ops += [Op("softmax cross-entropy", shape) for shape in LOGITS]
    for op in setup.some(ops, (0, 1, 4, -2)):
        yield Case(op.name, lambda op=op: both_passes(setup, op))


def both_passes(setup, op: Op):
    recorded = recorded_loss if op.kind == "softmax cross-entropy" else recorded_layer
    calls = {"fastnet": fastnet_kernels(op), "fastnet recorded": recorded(op)}
    layouts = ("contiguous", "channels_last") if len(op.shape) == 4 else ("contiguous",)
    calls |= setup.make(
        {
            f"torch {how} {layout}": lambda how=how, layout=layout: torch_passes(setup, op, how, layout)
            for how in hows_of_torch(setup, op)
            for layout in layouts
        }
        | {"jax": lambda: jax_passes(op)}
    )
    results = {name: result() for name, (_, result) in calls.items()}
    for i in range(2):  # what comes out, and its gradient
        check({name: pair[i] for name, pair in results.items()})
    return measure(
        setup, {name: repeat(call) for name, (call, _) in calls.items()}, moved=op.moved,
        stream=machine.stream_probe(setup.threads, op.moved), ours=("fastnet", "fastnet recorded"),
    )  # fmt: skip


# Contenders: a call without arguments, and a function that gives the output and the gradient of the input as arrays


def fastnet_kernels(op: Op):
    from fastnet import kernels
    from fastnet.kernels.activation import ACTIVATIONS as KINDS

    x, dy = op.arrays()
    if op.kind == "batch norm":
        gamma = np.ones(op.shape[-1], np.float32)

        def call():
            y, statistics = kernels.batch_norm(x, gamma, np.zeros_like(gamma), epsilon=EPSILON)
            return y, kernels.batch_norm_backward(x, dy, statistics.mean, statistics.inverse_std, gamma)[0]
    elif op.kind == "max pool 2x2":

        def call():
            y, argmax = kernels.max_pool(x, 2, return_argmax=True)
            return y, kernels.max_pool_backward(dy, argmax, x.shape, 2)
    elif op.kind == "avg pool 2x2":

        def call():
            return kernels.avg_pool(x, 2), kernels.avg_pool_backward(dy, x.shape, 2)
    elif op.kind == "softmax cross-entropy":

        def call():
            return kernels.softmax_cross_entropy(x, dy)
    else:

        def call():
            y = kernels.activate(x, op.kind)
            return y, kernels.activate_backward(y if KINDS[op.kind].saves == "output" else x, dy, op.kind)

    return call, call


def recorded_layer(op: Op):
    import fastnet as fn
    from fastnet.execution import Pass

    x, dy = op.arrays()
    layer = {
        "batch norm": lambda: fn.BatchNorm(momentum=MOMENTUM, epsilon=EPSILON),
        "max pool 2x2": lambda: fn.MaxPool2D(2),
        "avg pool 2x2": lambda: fn.AvgPool2D(2),
    }.get(op.kind, lambda: fn.Activation(op.kind))()
    net = fn.Network([layer], input_shape=op.shape[1:], seed=0)
    recorded = Pass(net.executor, net.executor.training_workspace, net.executor.control, len(x), True)
    inputs = bind(recorded.program, {recorded.x: x, recorded.dy: dy})

    def call(kept=(net, inputs)):  # what the program reads
        recorded.program.run()

    def result():
        call()
        return tuple(recorded.program.view(tensor).copy() for tensor in (recorded.y, recorded.dx))

    return call, result


def recorded_loss(op: Op):
    import fastnet as fn
    from fastnet.native.plan import ControlBlock
    from fastnet.recording import Memory, Program, Recording, Workspace

    logits, labels = op.arrays()
    recording = Recording("float32")
    x, y = Memory("logits"), Memory("labels")
    target = recording.outside(y, labels.shape, "int32")
    gradient = fn.SoftmaxCrossEntropy().record(recording, recording.outside(x, logits.shape), target, None, True)
    recording.keep(gradient)
    control = ControlBlock()
    program = Program(recording, Workspace(), control)
    inputs = bind(program, {x: logits, y: labels.astype(np.int32)})

    def call(kept=inputs):
        program.run()

    def result():
        call()
        return np.float32(control.loss), program.view(gradient).copy()

    return call, result


def bind(program, arrays: dict) -> list:
    """Bind the arrays as the workspace has them: in huge pages, and every row at a multiple of a vector's size."""
    from fastnet.native.arena import Block

    blocks = []
    for memory, values in arrays.items():
        blocks.append(Block(values.nbytes))
        array = np.frombuffer(blocks[-1], values.dtype).reshape(values.shape)
        array[...] = values
        program.bind(memory, array)
    return blocks


def hows_of_torch(setup, op: Op) -> tuple[str, ...]:
    """Compiled, too, where that can be had: what torch 2.13 makes of these damages the heap (glibc.malloc.check=3 shows it).

    With AVX2 what it makes of max pooling fails, too: it reads int64 indices wrongly.
    """
    damaged = ("relu", "softmax cross-entropy", *(["max pool 2x2"] if setup.isa == "avx2" else []))
    return ("eager",) if setup.quick or op.kind in damaged else ("eager", "compiled")


def torch_passes(setup, op: Op, how: str, layout: str):
    import torch
    from torch.nn import functional

    from bench.peers.with_torch import images

    torch.set_num_threads(setup.threads)
    x, dy = op.arrays()
    x = images(x, layout).requires_grad_()
    if op.kind == "softmax cross-entropy":
        labels, dy = torch.tensor(dy), None
    else:
        dy = images(dy, layout)
    channels = op.shape[-1]
    statistics = torch.zeros(channels), torch.ones(channels)
    gamma, beta = torch.ones(channels, requires_grad=True), torch.zeros(channels, requires_grad=True)
    forward = {
        "batch norm": lambda x: functional.batch_norm(x, *statistics, gamma, beta, True, MOMENTUM, EPSILON),
        "max pool 2x2": lambda x: functional.max_pool2d(x, 2),
        "avg pool 2x2": lambda x: functional.avg_pool2d(x, 2),
        "softmax cross-entropy": lambda x: functional.cross_entropy(x, labels),
        "relu": torch.relu, "gelu": functional.gelu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    }[op.kind]  # fmt: skip
    if how == "compiled":
        torch._dynamo.reset()
        forward = torch.compile(forward)

    def call():
        x.grad = gamma.grad = beta.grad = None
        y = forward(x)
        y.backward(dy)
        return y

    def result():
        found = call().detach(), x.grad
        return tuple((t.permute(0, 2, 3, 1) if t.ndim == 4 else t).numpy() for t in found)

    return call, result


def jax_passes(op: Op):
    import jax
    import jax.numpy as jnp

    x, dy = op.arrays()
    x, dy = jnp.array(x), jnp.array(dy.astype(np.int32) if dy.ndim == 1 else dy)

    def batch_norm(x, gamma, beta):
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * gamma + beta

    def pool(x, start, function):
        return jax.lax.reduce_window(x, start, function, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def both(x, dy):
        if op.kind == "softmax cross-entropy":
            return jax.value_and_grad(
                lambda x: -jnp.take_along_axis(jax.nn.log_softmax(x), dy[:, None], axis=1).mean()
            )(x)
        if op.kind == "batch norm":
            y, backward = jax.vjp(batch_norm, x, jnp.ones(x.shape[-1]), jnp.zeros(x.shape[-1]))
            return y, backward(dy)
        forward = {
            "max pool 2x2": lambda x: pool(x, -jnp.inf, jax.lax.max),
            "avg pool 2x2": lambda x: pool(x, 0.0, jax.lax.add) / 4,
            "relu": jax.nn.relu,
            "gelu": lambda x: jax.nn.gelu(x, approximate=False),
            "tanh": jnp.tanh,
            "sigmoid": jax.nn.sigmoid,
        }[op.kind]
        y, backward = jax.vjp(forward, x)
        return y, backward(dy)[0]

    jitted = jax.jit(both)

    def call():
        return jax.block_until_ready(jitted(x, dy))

    def result():
        y, dx = call()
        return np.asarray(y), np.asarray(dx[0] if isinstance(dx, tuple) else dx)

    return call, result
