"""Single convolutions: each pass called on arrays, results in fresh memory.

PyTorch gets tensors that already are in the memory format, contiguous (NCHW) or channels_last; the better one
counts. Its gradients are asked for one at a time. Floating-point operations are those of the direct sum
with the taps outside of the image, whatever a contender does: leaving these taps out, and Winograd's products,
may exceed the peak of multiply-adds.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from bench import machine
from bench.agreement import check
from bench.settings import Case
from bench.timing import fast_enough, measure, repeat

LONGEST = 0.5  # seconds of a call
PASSES = ("forward", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Convolution:
    channels: int
    filters: int
    kernel: int
    size: int  # height and width
    batch: int
    stride: int = 1
    groups: int = 1
    dtype: str = "float32"
    passes: tuple[str, ...] = PASSES

    @property
    def name(self) -> str:
        kind = "depthwise " if self.groups > 1 else ""
        kind += f"{self.kernel}x{self.kernel}" + (f" stride {self.stride}" if self.stride > 1 else "")
        shape = f"{self.channels}->{self.filters} {self.size}x{self.size} batch {self.batch}"
        return f"{kind} {shape}" + (f" {self.dtype}" if self.dtype != "float32" else "")

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def output(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def geometry(self) -> dict:
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}

    @property
    def flops(self) -> int:
        """Of one pass, as a direct sum."""
        taps = self.kernel**2 * self.channels // self.groups
        return 2 * self.batch * self.output**2 * self.filters * taps

    def arrays(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.size, self.size, self.channels), self.dtype)
        w = rng.standard_normal((self.kernel, self.kernel, self.channels // self.groups, self.filters), self.dtype)
        return x, w, rng.standard_normal((self.batch, self.output, self.output, self.filters), self.dtype)


FIRST = ("forward", "weight gradient")
QUICK = (5, 15)  # places of the cases of --quick
CONVOLUTIONS = [
    Convolution(64, 64, 3, 56, 8),
    Convolution(128, 128, 3, 56, 8),
    Convolution(64, 64, 3, 28, 32),
    Convolution(128, 128, 3, 28, 8),
    Convolution(32, 32, 3, 28, 64),
    Convolution(64, 64, 3, 14, 64),
    Convolution(128, 128, 3, 14, 32),
    Convolution(64, 64, 3, 8, 64),
    Convolution(16, 16, 3, 32, 64),
    Convolution(64, 64, 3, 28, 8, dtype="float64"),
    Convolution(32, 32, 3, 28, 16, dtype="float64"),
    Convolution(32, 64, 5, 14, 64),
    Convolution(64, 128, 3, 56, 8, stride=2),
    Convolution(32, 64, 3, 28, 64, stride=2),
    Convolution(3, 64, 7, 224, 2, stride=2, passes=FIRST),
    Convolution(3, 64, 3, 32, 64, passes=FIRST),
    Convolution(1, 32, 5, 28, 64, passes=FIRST),
    Convolution(256, 64, 1, 56, 8),
    Convolution(64, 64, 3, 56, 32, groups=64),
    Convolution(256, 256, 3, 14, 64, groups=256),
]


def cases(setup):
    """Every pass of every convolution."""
    for convolution in setup.some(CONVOLUTIONS, QUICK):
        for direction in convolution.passes:
            yield Case(
                f"{convolution.name}, {direction}",
                lambda convolution=convolution, direction=direction: pass_of(setup, convolution, direction),
            )


def pass_of(setup, convolution: Convolution, direction: str):
    peers = {
        "torch contiguous": lambda: torch_pass(convolution, direction, setup.threads, "contiguous"),
        "torch channels_last": lambda: torch_pass(convolution, direction, setup.threads, "channels_last"),
        "jax": lambda: jax_pass(convolution, direction),
    }
    calls = {"fastnet": fastnet_pass(convolution, direction)}
    precise = () if setup.quick else ("fastnet precise",)
    calls |= {name: fastnet_pass(convolution, direction, precise=True) for name in precise}
    calls |= setup.make(peers)
    check({name: result() for name, (_, result) in calls.items()})
    notes: list[str] = []
    row = measure(
        setup, fast_enough({name: repeat(call) for name, (call, _) in calls.items()}, LONGEST, notes),
        flops=convolution.flops, fma=machine.fma_probe(setup.threads, convolution.dtype), ours=("fastnet", *precise),
    )  # fmt: skip
    row.notes = notes
    return row


# Contenders: a call without arguments, and a function that gives the same result as an array (NHWC, or HWIO)


def fastnet_pass(convolution: Convolution, direction: str, precise: bool = False):
    import fastnet as fn

    x, w, dy = convolution.arrays()
    options = convolution.geometry | {"precise": precise}
    call = {
        "forward": lambda: fn.kernels.conv2d(x, w, **options),
        "input gradient": lambda: fn.kernels.conv2d_backward_data(dy, w, x.shape, **options),
        "weight gradient": lambda: fn.kernels.conv2d_backward_weights(x, dy, w.shape[:2], **options),
    }[direction]
    return call, call


def torch_pass(convolution: Convolution, direction: str, threads: int, layout: str):
    import torch

    from bench.peers.with_torch import LAYOUTS, images

    torch.set_num_threads(threads)
    x, w, dy = convolution.arrays()
    x, dy = images(x, layout), images(dy, layout)
    w = torch.tensor(w).permute(3, 2, 0, 1).contiguous(memory_format=LAYOUTS[layout])
    stride, padding = [convolution.stride] * 2, [convolution.padding] * 2

    def gradient(*wanted):
        geometry = (stride, padding, [1, 1], False, [0, 0], convolution.groups)
        return torch.ops.aten.convolution_backward(dy, x, w, None, *geometry, list(wanted))

    call = {
        "forward": lambda: torch.nn.functional.conv2d(x, w, None, stride, padding, 1, convolution.groups),
        "input gradient": lambda: gradient(True, False, False)[0],
        "weight gradient": lambda: gradient(False, True, False)[1],
    }[direction]
    axes = (2, 3, 1, 0) if direction == "weight gradient" else (0, 2, 3, 1)
    return call, lambda: call().permute(axes).numpy()


def jax_pass(convolution: Convolution, direction: str):
    import jax

    def double():
        return jax.enable_x64(True) if convolution.dtype == "float64" else contextlib.nullcontext()

    def forward(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (convolution.stride,) * 2, ((convolution.padding,) * 2,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=convolution.groups,
        )  # fmt: skip

    with double():
        x, w, dy = map(jax.numpy.array, convolution.arrays())
    function, operands = {
        "forward": (forward, (x, w)),
        "input gradient": (lambda x, w, dy: jax.vjp(lambda x: forward(x, w), x)[1](dy)[0], (x, w, dy)),
        "weight gradient": (lambda x, w, dy: jax.vjp(lambda w: forward(x, w), w)[1](dy)[0], (x, w, dy)),
    }[direction]
    jitted = jax.jit(function)

    def call():
        with double():
            return jitted(*operands).block_until_ready()

    return call, lambda: np.asarray(call())
