"""The cases, one group after the other, printed as they are measured."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import numpy as np

from bench import conv_cases, conv_networks, health, machine, networks
from bench.networks import Case
from bench.timing import available, repeat, timed

NETWORKS = [
    Case((64, 64, 10), 32, 1600),
    Case((784, 128, 10), 32, 6400),
    Case((784, 128, 10), 128, 6400),
    Case((784, 512, 512, 10), 128, 6400),
]
TOLERANCE = 2e-3  # of the losses of the first steps, in float32


def run(threads: int, filtered: str, seconds: float) -> list[dict]:
    import fastnet

    fastnet.set_num_threads(threads)
    limit_jax(threads)
    rows: list[dict] = []
    print(f"\n{threads} thread{'s' if threads > 1 else ''}: {machine_line()}", flush=True)
    for group, function in GROUPS.items():
        for name, make in function(threads):
            if filtered in f"{group} {name}":
                row = {"group": group, "case": name, "threads": threads, **make(seconds)}
                rows.append(row)
                print_row(row)
    return rows


def limit_jax(threads: int) -> None:
    """Let JAX make its thread pool while the process may use so many CPUs: it asks for nothing else."""
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        import jax

        jax.devices()
    except ImportError:
        pass
    finally:
        os.sched_setaffinity(0, allowed)


def machine_line() -> str:
    import fastnet

    versions = [f"fastnet {fastnet.__version__} ({fastnet.config.isa()})", f"numpy {np.__version__}"]
    for package in ("torch", "jax", "sklearn", "onnxruntime"):
        try:
            versions.append(f"{package} {__import__(package).__version__}")
        except ImportError:
            versions.append(f"no {package}")
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    return f"{model}; " + ", ".join(versions)


def print_row(row: dict) -> None:
    times = "  ".join(f"{name} {value * 1e6:,.1f} us" for name, value in row["median"].items())
    ratios = "  ".join(f"{name} {r:.2f}x [{lo:.2f}, {hi:.2f}]" for name, (r, lo, hi) in row["ratio"].items())
    cpus = "  ".join(f"{name} {value:.1f}" for name, value in row.get("cpus", {}).items() if value > 1.1)
    extra = "  ".join(f"{name} {value:.3g}" for name, value in row.get("figures", {}).items())
    print(f"{row['group']:<10} {row['case']}\n    {times}\n    ratio: {ratios}", flush=True)
    print(f"    busy CPUs: {cpus or 'one each'}\n    {extra}", flush=True)


def train(threads: int):
    """Steps inside of fit, and through train_on_batch, against the peers' loops."""
    for case in NETWORKS:
        yield (
            f"{case.name} fit",
            lambda seconds, case=case: step_case(case, networks.fastnet_fit, seconds, threads, True),
        )
        yield (
            f"{case.name} train_on_batch",
            lambda seconds, case=case: step_case(case, networks.fastnet_batches, seconds, threads, False),
        )


def step_case(case: Case, ours, seconds, threads, whole: bool) -> dict:
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(threads)
    peers = {"torch": networks.torch_eager, "torch compiled": networks.torch_compiled, "jax": networks.jax_steps}
    if whole:
        peers |= {"jax scan": networks.jax_scan, "sklearn": networks.sklearn_epochs}
    _, reference = networks.fastnet_batches(case)
    contenders = {"fastnet": ours(case)[0]}
    for name, make in available(peers).items():
        call, first = make(case)
        if first is not None and not np.allclose(first, reference, rtol=TOLERANCE):
            raise AssertionError(f"{name} computes something else: losses {first[-3:]}, ours {reference[-3:]}")
        contenders[name] = call
    fma, flops = machine.fma_probe()
    stream, moved = machine.stream_probe(case.parameters)
    contenders |= {"fma": fma, "stream": stream}

    def figures(timing):
        peak = flops / timing.best("fma")
        bandwidth = moved / timing.best("stream")
        bound = case.flops / peak + 28 * case.parameters / bandwidth
        return {
            "GFLOP/s": case.flops / timing.median("fastnet") / 1e9,
            "FMA peak GFLOP/s": peak / 1e9,
            "GB/s": bandwidth / 1e9,
            "time/bound (medians)": timing.median("fastnet")
            / (case.flops * timing.median("fma") / flops + 28 * case.parameters * timing.median("stream") / moved),
            "time/bound (bests)": timing.best("fastnet") / bound,
        }

    return timed(contenders, seconds, figures)


def gemm(threads: int):
    """Products called from Python on arrays."""
    for m, n, k in ((1024, 1024, 1024), (2048, 2048, 2048), (32, 64, 64), (128, 512, 512)):
        yield f"{m}x{n}x{k}", lambda seconds, m=m, n=n, k=k: gemm_case(m, n, k, seconds, threads)


def gemm_case(m, n, k, seconds, threads):
    import fastnet as fn

    rng = np.random.default_rng(0)
    a, b = rng.random((m, k), dtype=np.float32), rng.random((k, n), dtype=np.float32)
    c, d = np.empty((m, n), np.float32), np.empty((m, n), np.float32)
    contenders = {
        "fastnet": repeat(lambda: fn.kernels.matmul(a, b, out=c)),
        "numpy": repeat(lambda: np.matmul(a, b, out=d)),
    }
    if available({"torch": None}):
        import torch

        torch.set_num_threads(threads)
        ta, tb, tc = torch.tensor(a), torch.tensor(b), torch.empty(m, n)
        contenders["torch"] = repeat(lambda: torch.mm(ta, tb, out=tc))
    fn.kernels.matmul(a, b, out=c)
    np.matmul(a, b, out=d)
    assert np.allclose(c, d, rtol=1e-4)
    fma, flops = machine.fma_probe()
    contenders["fma"] = fma

    def figures(timing):
        work = 2 * m * n * k
        return {
            "GFLOP/s": work / timing.median("fastnet") / 1e9,
            "share of the FMA peak (medians)": work
            / timing.median("fastnet")
            / (flops / timing.median("fma"))
            / threads,
            "share of the FMA peak (bests)": work / timing.best("fastnet") / (flops / timing.best("fma")) / threads,
        }

    return timed(contenders, seconds, figures)


#: Rule -> kernel, its state, and PyTorch's class with its fastest settings.
UPDATES = {
    "Adam": ("adam_update", "mv", ("Adam", {"fused": True})),
    "NAdam": ("nadam_update", "mvc", ("NAdam", {})),
    "RAdam": ("radam_update", "mv", ("RAdam", {})),
    "Adamax": ("adamax_update", "mu", ("Adamax", {})),
    "Adadelta": ("adadelta_update", "vd", ("Adadelta", {})),
    "Lion": ("lion_update", "m", None),
}


def optimizers(threads: int):
    """Updates of flat memory."""
    for rule in UPDATES:
        for n in (100_000, 10_000_000):
            yield f"{rule}, {n:,} parameters", lambda seconds, rule=rule, n=n: update_case(rule, n, seconds, threads)


def update_case(rule, n, seconds, threads):
    from fastnet import kernels

    name, state_names, peer = UPDATES[rule]
    update = getattr(kernels, name)
    rng = np.random.default_rng(0)
    w, g = rng.random(n, dtype=np.float32), rng.random(n, dtype=np.float32)
    state = [np.zeros(1) if key == "c" else np.zeros(n, np.float32) for key in state_names]
    step = [0]

    def ours():
        step[0] += 1
        update(w, g, *state, step=step[0])

    contenders = {"fastnet": repeat(ours)}
    if peer is not None and available({"torch": None}):
        import torch

        torch.set_num_threads(threads)
        parameter = torch.nn.Parameter(torch.tensor(w))
        parameter.grad = torch.tensor(g)
        optimizer = getattr(torch.optim, peer[0])([parameter], **peer[1])
        for _ in range(3):
            ours()
            optimizer.step()
        assert np.allclose(w, parameter.detach().numpy(), rtol=1e-5, atol=1e-6)
        contenders["torch"] = repeat(optimizer.step)
    stream, moved = machine.stream_probe(n, parallel=threads > 1)
    contenders["stream"] = stream
    touched = 4 * n * (3 + 2 * sum(array.size == n for array in state))

    def figures(timing):
        return {
            "Gparameters/s": n / timing.median("fastnet") / 1e9,
            "share of streaming": timing.median("stream") / timing.median("fastnet") * touched / moved,
        }

    return timed(contenders, seconds, figures)


def imports(threads: int):
    """Start of a process: import fastnet over import numpy."""
    if threads == 1:
        yield "import fastnet", lambda seconds: import_case()


def import_case(rounds: int = 15):
    def start(code):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begun

    codes = {"fastnet": "import numpy, fastnet", "numpy": "import numpy"}
    taken = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            taken[name].append(start(code))
    medians = {name: float(np.median(values)) for name, values in taken.items()}
    over = float(np.median(np.array(taken["fastnet"]) - np.array(taken["numpy"])))
    return {"median": medians, "best": {}, "ratio": {}, "figures": {"ms over numpy": over * 1e3}}


GROUPS = {
    "gemm": gemm,
    "optimizers": optimizers,
    "train": train,
    "conv": conv_cases.passes,
    "conv train": conv_networks.train,
    "conv predict": conv_networks.predict,
    "conv memory": conv_networks.memory,
    "health": health.cases,
    "import": imports,
}
