"""Python processes that tests start."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

#: Defines `train(n)`, whose steps divide their work among threads.
TRAIN = """
import numpy as np, fastnet as fn
def train(n=512):
    net = fn.Network([fn.Dense(n, activation="relu"), fn.Dense(10)], input_shape=(n,), seed=0)
    rng = np.random.default_rng(0)
    net.fit(rng.random((256, n), dtype=np.float32), rng.integers(0, 10, 256), loss="softmax_cross_entropy",
            batch_size=128, epochs=3, verbose=0)
    return net
"""


def run(code, timeout=120, prefix=(), **environment):
    """What a new Python process prints; it knows nothing of this one's settings of threads."""
    result = finished(code, timeout, prefix, **environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def finished(code, timeout=120, prefix=(), **environment):
    """The same process, however it ended."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "FASTNET_NUM", "FASTNET_SHARE"))}
    return subprocess.run([*prefix, sys.executable, "-c", code], env={**variables, **environment}, capture_output=True,
                          text=True, timeout=timeout, cwd=os.path.dirname(os.path.abspath(__file__)))  # fmt: skip


def mpiexec(ranks, code, *arguments, timeout=120, check=True):
    """What so many processes of MPI print and how they end, each of which runs the code with one thread."""
    program = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if program is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip('mpi4py and an MPI are missing: pip install "fastnet-cpu[mpi]" mpich')
    here = os.path.dirname(os.path.abspath(__file__))
    paths = [here, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    result = subprocess.run(
        [program, "-n", str(ranks), sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}, timeout=timeout,
    )  # fmt: skip
    if check:
        assert result.returncode == 0, result.stdout[-500:] + result.stderr[-3000:]
    return result
