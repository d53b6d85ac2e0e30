"""The table of builds: instruction set x dtype, with compiler flags and blocking.

`setup.py` loads this file by its path and compiles every kernel once for each
row and dtype; `fastnet.native.dispatch` reads it at run time to choose the
best row that the CPU supports. It therefore imports nothing from fastnet.

Blocking, in elements of the dtype (the letters are those of `gemm.pxi`):

``height``   height of a tile of C in registers
``narrow``   its height where C is at most two vectors wide
``vectors``  its width in vectors
``kc``       depth of a block of a product
``packed``   bytes of B that are packed at a time: they stay in L2

A tile wants enough sums to hide the latency of a multiply-add (8 to 10) and as few
loads for each of them as the registers allow: 6 x 4 vectors with 32 registers, 6 x 2 with 16.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

DTYPES = {"float32": "f32", "float64": "f64"}


@dataclass(frozen=True)
class Blocking:
    height: int
    narrow: int
    vectors: int
    kc: int
    packed: int


@dataclass(frozen=True)
class Target:
    """One instruction set.

    `name` is what ``FASTNET_ISA`` takes; `machine` the architecture;
    `level` what `dispatch.cpu_level()` must at least return for it to run.
    """

    name: str
    machine: str
    level: int
    vector_bytes: int
    flags: tuple[str, ...]
    float32: Blocking
    float64: Blocking

    def blocking(self, dtype: str) -> Blocking:
        return self.float32 if dtype == "float32" else self.float64


# From the plainest to the best of each architecture.
TARGETS = (
    Target("baseline", "x86_64", 1, 16, ("-march=x86-64",),
           Blocking(height=6, narrow=6, vectors=2, kc=1024, packed=128 << 10),
           Blocking(height=6, narrow=6, vectors=2, kc=512, packed=128 << 10)),
    Target("avx2", "x86_64", 3, 32, ("-march=x86-64-v3",),
           Blocking(height=6, narrow=6, vectors=2, kc=1024, packed=256 << 10),
           Blocking(height=6, narrow=6, vectors=2, kc=512, packed=256 << 10)),
    Target("avx512", "x86_64", 4, 64, ("-march=x86-64-v4", "-mprefer-vector-width=512"),
           Blocking(height=6, narrow=12, vectors=4, kc=1024, packed=512 << 10),
           Blocking(height=6, narrow=12, vectors=4, kc=512, packed=512 << 10)),
    Target("neon", "aarch64", 1, 16, ("-march=armv8-a",),
           Blocking(height=6, narrow=12, vectors=4, kc=1024, packed=256 << 10),
           Blocking(height=6, narrow=12, vectors=4, kc=512, packed=256 << 10)),
)  # fmt: skip


def machine() -> str:
    """The architecture under the name that the table uses."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}.get(name, name)


def targets_of(architecture: str | None = None) -> tuple[Target, ...]:
    """The rows of one architecture, plainest first."""
    architecture = architecture or machine()
    rows = tuple(row for row in TARGETS if row.machine == architecture)
    if not rows:
        known = sorted({row.machine for row in TARGETS})
        raise RuntimeError(f"fastnet has no kernels for {architecture!r}; it has them for {known}")
    return rows


def module_name(target: str, dtype: str) -> str:
    """Name of the compiled module that holds one (ISA x dtype) table."""
    return f"_kernels_{target}_{DTYPES[dtype]}"
