"""What the compiler makes of the products' tiles: their sums stay in registers, on each instruction set.

In memory they are right as well, and take 2.5 to 3 times as long. Measured as a part of what a core can multiply and add, by turns
until it is enough: a busy machine makes the test longer, and does not fail it.
"""

import sys
from pathlib import Path

import pytest
from subprocesses import run

from fastnet import targets
from fastnet.native import dispatch

ROOT = str(Path(__file__).parents[1])
sys.path.append(ROOT)
pytest.importorskip("bench", reason="only in a checkout")

ENOUGH = 0.4  # of the multiply-adds of a core; whole ones have 0.46 to 0.95 of them, those in memory at most 0.36

MEASURE = """
import sys, time
sys.path.append({root!r})
import numpy as np, fastnet as fn
from bench.machine import fma_probe

dtype, enough = {dtype!r}, {enough}
rng = np.random.default_rng(0)
def array(*shape): return rng.standard_normal(shape).astype(dtype)
M, N, K = 192, 256, 256
a, at, b, bt, c = array(M, K), array(K, M), array(K, N), array(N, K), np.empty((M, N), dtype)
x, w = array(4, 15, 15, 64), array(3, 3, 64, 64)
y = fn.kernels.conv2d(x, w, stride=2, padding=1)
of_windows = 2 * y.size * 9 * 64
products = {{
    "along rows": (lambda: fn.kernels.matmul(a, b, out=c), 2 * M * N * K),
    "along columns": (lambda: fn.kernels.matmul(at, b, trans_a=True, out=c), 2 * M * N * K),
    "by a transposed matrix": (lambda: fn.kernels.matmul(a, bt, trans_b=True, out=c), 2 * M * N * K),
    "of windows": (lambda: fn.kernels.conv2d(x, w, stride=2, padding=1, out=y), of_windows),
    "of their weights": (lambda: fn.kernels.conv2d_backward_weights(x, y, 3, stride=2, padding=1), of_windows),
}}
fn.set_num_threads(1)
probe, most = fma_probe(1, dtype)

def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start

for name, (product, operations) in products.items():
    shortest = shortest_probe = 1e9
    for turn in range(400):
        shortest_probe = min(shortest_probe, seconds(probe))
        shortest = min(shortest, *(seconds(product) for _ in range(3)))
        share = operations / shortest / (most / shortest_probe)
        if turn >= 20 and share > enough:
            break
    assert share > enough, f"a {{dtype}} product {{name}} has {{share:.2f}} of what a core can multiply and add"
"""


@pytest.mark.parametrize("dtype", targets.DTYPES)
@pytest.mark.parametrize("isa", dispatch.supported_targets())
def test_sums_of_tiles_stay_in_registers(isa, dtype):
    run(MEASURE.format(root=ROOT, dtype=dtype, enough=ENOUGH), FASTNET_ISA=isa)
