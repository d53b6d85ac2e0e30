"""Products called on NumPy arrays, the result in an array that is there: C = A B, row-major."""

from __future__ import annotations

import numpy as np

from bench import machine
from bench.agreement import check
from bench.settings import Case
from bench.timing import measure, repeat

#: Rows and columns of C, and the depth; a single sample's product reads its weights once.
SHAPES = [
    (32, 64, 64, "float32"),
    (1024, 1024, 1024, "float32"),
    (128, 512, 512, "float32"),
    (2048, 2048, 2048, "float32"),
    (1, 4096, 1024, "float32"),
    (512, 512, 512, "float64"),
]


def cases(setup):
    for m, n, k, dtype in setup.some(SHAPES, 2):
        name = f"{m}x{n}x{k}" + (f" {dtype}" if dtype != "float32" else "")
        yield Case(name, lambda m=m, n=n, k=k, dtype=dtype: product(setup, m, n, k, dtype))


def product(setup, m: int, n: int, k: int, dtype: str):
    import fastnet as fn

    rng = np.random.default_rng(0)
    a, b = rng.random((m, k), dtype), rng.random((k, n), dtype)
    c, d = np.empty((m, n), dtype), np.empty((m, n), dtype)
    calls = {"fastnet": lambda: fn.kernels.matmul(a, b, out=c)}
    calls |= setup.make(
        {
            "numpy": lambda: lambda: np.matmul(a, b, out=d),
            "torch": lambda: torch_product(setup, a, b),
            "jax": lambda: jax_product(a, b),
        }
    )
    check({name: call() for name, call in calls.items()})
    contenders = {name: repeat(call) for name, call in calls.items()}
    moved = (a.nbytes + b.nbytes + c.nbytes) if m == 1 else 0
    return measure(
        setup, contenders, flops=2 * m * n * k, fma=machine.fma_probe(setup.threads, dtype), moved=moved,
        stream=machine.stream_probe(setup.threads, moved, dtype) if moved else None,
    )  # fmt: skip


def torch_product(setup, a, b):
    import torch

    torch.set_num_threads(setup.threads)
    a, b = torch.tensor(a), torch.tensor(b)
    c = torch.empty(len(a), b.shape[1], dtype=a.dtype)
    return lambda: torch.mm(a, b, out=c)


def jax_product(a, b):
    """JAX takes no array for its result, and makes a new one each time."""
    import jax

    with jax.enable_x64(a.dtype == np.float64):
        a, b = jax.numpy.array(a), jax.numpy.array(b)
        compiled = jax.jit(lambda a, b: a @ b).lower(a, b).compile()
    return lambda: compiled(a, b).block_until_ready()
