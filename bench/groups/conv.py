"""Single convolutions: each pass called on arrays, results in fresh memory.

PyTorch gets tensors that already are in the memory format, contiguous (NCHW) or channels_last; the better one
is "torch best". Its gradients are asked for one at a time. Floating-point operations are those of the direct sum
with the taps outside of the image, whatever a contender does: leaving these taps out, and Winograd's products,
may exceed the peak of multiply-adds.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import numpy as np

from bench import machine
from bench.timing import available, repeat, timed

TOLERANCE = 1e-4  # of the largest result
LONGEST = 0.5  # seconds of one call, above which JAX is not interleaved but timed once
PASSES = ("forward", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Case:
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
CASES = [
    Case(64, 64, 3, 56, 8),
    Case(128, 128, 3, 56, 8),
    Case(64, 64, 3, 28, 32),
    Case(128, 128, 3, 28, 8),
    Case(32, 32, 3, 28, 64),
    Case(64, 64, 3, 14, 64),
    Case(128, 128, 3, 14, 32),
    Case(64, 64, 3, 8, 64),
    Case(16, 16, 3, 32, 64),
    Case(64, 64, 3, 28, 8, dtype="float64"),
    Case(32, 32, 3, 28, 16, dtype="float64"),
    Case(32, 64, 5, 14, 64),
    Case(64, 128, 3, 56, 8, stride=2),
    Case(32, 64, 3, 28, 64, stride=2),
    Case(3, 64, 7, 224, 2, stride=2, passes=FIRST),
    Case(3, 64, 3, 32, 64, passes=FIRST),
    Case(1, 32, 5, 28, 64, passes=FIRST),
    Case(256, 64, 1, 56, 8),
    Case(64, 64, 3, 56, 32, groups=64),
    Case(256, 256, 3, 14, 64, groups=256),
]


def passes(threads: int):
    """Every pass of every case."""
    for case in CASES:
        for direction in case.passes:
            yield (
                f"{case.name}, {direction}",
                lambda seconds, case=case, direction=direction: pass_case(case, direction, seconds, threads),
            )


def pass_case(case: Case, direction: str, seconds: float, threads: int) -> dict:
    peers = {
        "torch contiguous": lambda: torch_pass(case, direction, threads, "contiguous_format"),
        "torch channels_last": lambda: torch_pass(case, direction, threads, "channels_last"),
        "jax": lambda: jax_pass(case, direction),
    }
    calls = {"fastnet": fastnet_pass(case, direction), "precise": fastnet_pass(case, direction, precise=True)}
    calls |= {name: make() for name, make in available(peers).items()}
    compare({name: result() for name, (_, result) in calls.items()})
    once = {}
    if "jax" in calls:
        took = timed_once(calls["jax"][0])
        if took > LONGEST:
            once["jax ms, called once"] = took * 1e3
            del calls["jax"]
    contenders = {name: repeat(call) for name, (call, _) in calls.items()}
    contenders["fma"], flops = machine.fma_probe(case.dtype)

    def figures(timing):
        peak = threads * flops / timing.median("fma")
        return speeds(timing, case.flops, peak) | once

    return timed(contenders, seconds, figures, best_of=("torch",), ours=("fastnet", "precise"))


def speeds(timing, work: int, peak: float) -> dict[str, float]:
    """GFLOP/s of each contender, and its share of the peak of multiply-adds, from the medians."""
    rows = {}
    for name in timing.seconds:
        if name not in ("fma", "stream"):
            speed = work / timing.median(name)
            rows |= {f"GFLOP/s {name}": speed / 1e9, f"share of the FMA peak {name}": speed / peak}
    return rows | {"FMA peak GFLOP/s": peak / 1e9}


def timed_once(call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def compare(results: dict[str, np.ndarray], tolerance: float = TOLERANCE) -> None:
    """Refuse contenders that compute something else than fastnet."""
    ours = results["fastnet"]
    for name, theirs in results.items():
        difference, largest = np.abs(theirs - ours).max(), np.abs(ours).max()
        if theirs.shape != ours.shape or not difference <= tolerance * largest:
            raise AssertionError(f"{name} differs from fastnet by {difference:.3g}, where the largest is {largest:.3g}")


# Contenders: a call without arguments, and a function that gives the same result as an array (NHWC, or HWIO)


def fastnet_pass(case: Case, direction: str, precise: bool = False):
    import fastnet as fn

    x, w, dy = case.arrays()
    options = case.geometry | {"precise": precise}
    call = {
        "forward": lambda: fn.kernels.conv2d(x, w, **options),
        "input gradient": lambda: fn.kernels.conv2d_backward_data(dy, w, x.shape, **options),
        "weight gradient": lambda: fn.kernels.conv2d_backward_weights(x, dy, w.shape[:2], **options),
    }[direction]
    return call, call


def torch_pass(case: Case, direction: str, threads: int, memory_format: str):
    import torch

    torch.set_num_threads(threads)
    layout = getattr(torch, memory_format)
    x, w, dy = case.arrays()
    x, dy = (torch.tensor(a).permute(0, 3, 1, 2).contiguous(memory_format=layout) for a in (x, dy))
    w = torch.tensor(w).permute(3, 2, 0, 1).contiguous(memory_format=layout)
    stride, padding = [case.stride] * 2, [case.padding] * 2

    def gradient(*wanted):
        geometry = (stride, padding, [1, 1], False, [0, 0], case.groups)
        return torch.ops.aten.convolution_backward(dy, x, w, None, *geometry, list(wanted))

    call = {
        "forward": lambda: torch.nn.functional.conv2d(x, w, None, stride, padding, 1, case.groups),
        "input gradient": lambda: gradient(True, False, False)[0],
        "weight gradient": lambda: gradient(False, True, False)[1],
    }[direction]
    axes = (2, 3, 1, 0) if direction == "weight gradient" else (0, 2, 3, 1)
    return call, lambda: call().permute(axes).numpy()


def jax_pass(case: Case, direction: str):
    import jax

    def double():
        return jax.enable_x64(True) if case.dtype == "float64" else contextlib.nullcontext()

    def forward(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (case.stride,) * 2, ((case.padding,) * 2,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=case.groups,
        )  # fmt: skip

    with double():
        x, w, dy = map(jax.numpy.array, case.arrays())
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
