"""The machine: what it is, and what it can do at most, measured beside each case."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

FMA_ROUNDS = 20_000
STREAM_BLOCK = 4096  # elements that a thread of the streaming probe takes at once
DISTRIBUTIONS = ("numpy", "torch", "jax", "jaxlib", "scikit-learn", "skorch", "onnxruntime")


def fma_probe(threads: int, dtype: str = "float32"):
    """A contender in which each thread does 12 x FMA_ROUNDS vector multiply-adds, and the operations of all threads."""
    from fastnet import config, targets
    from fastnet.native.arena import Block
    from fastnet.native.plan import Call, Plan

    block = Block(4096)
    plan = Plan(1)
    plan.append(Call(config.kernel("probe_fma", dtype), ["y"], {"n": FMA_ROUNDS}), {"y": (1, 0)}, threads > 1)
    plan.bind(1, block)
    row = next(row for row in targets.targets_of() if row.name == config.isa())
    lanes = row.vector_bytes // np.dtype(dtype).itemsize
    return plan.run, 2 * 12 * FMA_ROUNDS * lanes * threads


def stream_probe(threads: int, n_bytes: int, dtype: str = "float32"):
    """A contender that walks through four arrays of `n_bytes` together, and the bytes that it moves.

    It reads all four and writes three of them in place: 7 bytes are counted for 4 of memory. A line that is written has been
    read, so that no bytes move which are not counted.
    """
    from fastnet import config
    from fastnet.native.arena import Block
    from fastnet.native.plan import Call, Plan

    itemsize = np.dtype(dtype).itemsize
    n = max(STREAM_BLOCK * threads, round(n_bytes / 4 / itemsize) // STREAM_BLOCK * STREAM_BLOCK)
    plan = Plan(4)
    pointers = {name: (i + 1, 0) for i, name in enumerate("wgmv")}
    plan.append(Call(config.kernel("probe_stream", dtype), list(pointers), {"n": n}), pointers, threads > 1)
    for i in range(4):
        plan.bind(i + 1, Block(n * itemsize))
    return plan.run, 7 * n * itemsize


def describe(command: list[str]) -> dict:
    """What a reader must know of a run; the names have the units."""
    from fastnet import config, targets

    return {
        "cpu_model": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches_kilobytes": caches(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "isa": config.isa(),
        "isa_vector_bytes": next(row.vector_bytes for row in targets.targets_of() if row.name == config.isa()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "bench", *command]),
    }


def cpu_model() -> str:
    """With the microarchitecture's numbers: virtual machines often leave the model's out."""
    found = dict(line.split(":", 1) for line in (_read("/proc/cpuinfo") or "").splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in found.items()}
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    return f"{fields['model name']} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def caches() -> dict[str, int]:
    """Of the first CPU, by level and kind."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        if level and kind and size and size.endswith("K"):
            found[f"L{level} {kind}"] = int(size[:-1])
    return found


def versions() -> dict[str, str]:
    import fastnet

    found = {"fastnet": fastnet.__version__}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def resident_megabytes(field: str = "VmRSS") -> float:
    """Memory of this process: VmRSS now, VmHWM at its most (getrusage's ru_maxrss has the parent's from before exec)."""
    lines = (_read("/proc/self/status") or "").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), float("nan"))


def limit_jax(threads: int) -> None:
    """Let JAX make its thread pool while the process may use so many CPUs: it asks for nothing else."""
    if "jax" in sys.modules or not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        import jax

        jax.devices()
    finally:
        os.sched_setaffinity(0, allowed)


def _read(path) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
