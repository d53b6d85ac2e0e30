"""fastnet beside others in a process, and in forked and limited ones: each test is a process of its own."""

import itertools
import os
import subprocess
import sys

import pytest

TRAIN = """
import numpy as np, fastnet as fn
def train(n=512):
    net = fn.Network([fn.Dense(n, activation="relu"), fn.Dense(10)], input_shape=(n,), seed=0)
    rng = np.random.default_rng(0)
    net.fit(rng.random((256, n), dtype=np.float32), rng.integers(0, 10, 256), loss="softmax_cross_entropy",
            batch_size=128, epochs=3, verbose=0)
    return net
"""


def run(code, timeout=120, **environment):
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "FASTNET_NUM", "FASTNET_SHARE"))}
    result = subprocess.run([sys.executable, "-c", code], env={**variables, **environment}, capture_output=True, text=True,
                            timeout=timeout, cwd=os.path.dirname(os.path.abspath(__file__)))  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


LIBRARIES = {
    "fastnet": TRAIN,
    "sklearn": """
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.datasets import make_classification
def boost():
    HistGradientBoostingClassifier(max_iter=5).fit(*make_classification(3000))
""",
    "torch": """
import torch
def multiply():
    a = torch.ones(600, 600)
    return (a @ a + torch.randn(600, 600)).exp().sum()
""",
}
USES = {"fastnet": "train()", "sklearn": "boost()", "torch": "multiply()"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="runtimes are united on Linux")
@pytest.mark.parametrize("order", itertools.permutations(LIBRARIES), ids="-".join)
def test_one_openmp_runtime_in_any_import_order_with_torch_and_sklearn(order):
    for name in order:
        pytest.importorskip(name)
    code = "import time\n" + "".join(LIBRARIES[name] for name in order)
    code += "".join(f"{USES[name]}\n" for name in order)
    code += """
def seconds():
    begun = time.perf_counter()
    train()
    return time.perf_counter() - begun
alone = min(seconds() for _ in range(5))
mixed = []
for _ in range(8):
    boost(); multiply()
    mixed.append(seconds())
import threadpoolctl
pools = [m for m in threadpoolctl.threadpool_info() if m["user_api"] == "openmp"]
print(alone, min(mixed), len(pools))
"""
    alone, mixed, _ = map(float, run(code, OMP_NUM_THREADS="2").split())
    # Two runtimes that spin against each other take milliseconds for each region: a hundred times as long.
    assert mixed < 5 * alone + 0.02


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_of_a_process_that_trained_trains_too():
    code = TRAIN + """
import os, sys
fn.set_num_threads(2)
parent = train().predict(np.ones((300, 512)))
sys.stdout.flush()
child = os.fork()
if child == 0:
    mine = train().predict(np.ones((300, 512)))
    os._exit(0 if (mine == parent).all() and fn.get_num_threads() == 1 else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
train()
print("good")
"""
    assert "good" in run(code, timeout=60)


def test_multiprocessing_workers_by_fork_and_by_spawn(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(TRAIN + """
import multiprocessing as mp
def work(i):
    return float(train(64).predict(np.ones((1, 64)))[0, 0])
if __name__ == "__main__":
    train()
    results = set()
    for method in ("fork", "spawn"):
        with mp.get_context(method).Pool(2) as pool:
            results |= set(pool.map(work, range(3)))
    assert len(results) == 1, results
""")
    subprocess.run([sys.executable, str(script)], check=True, timeout=120)


def test_denormals_are_flushed_in_kernels_and_nowhere_else():
    code = """
import numpy as np, fastnet as fn
tiny = np.float32(1e-40)
a = np.full((64, 64), np.float32(1e-20)); b = np.full((64, 64), np.float32(1e-20))
assert tiny * np.float32(0.5) > 0
c = fn.kernels.matmul(a, b)
assert (c == 0).all(), c[0, 0]
with fn.threads(2):
    fn.kernels.matmul(np.full((512, 512), 1e-20, "f4"), np.full((512, 512), 1e-20, "f4"))
assert tiny * np.float32(0.5) > 0, "the caller's FPU mode is as before"
"""
    run(code)


def test_limits_are_obeyed():
    count = "import fastnet as fn; print(fn.get_num_threads())"
    assert run(count, OMP_NUM_THREADS="1").split() == ["1"]
    assert run(count, OMP_NUM_THREADS="3").split() == ["3"]
    assert run(count, FASTNET_NUM_THREADS="5", OMP_NUM_THREADS="1").split() == ["5"]
    if hasattr(os, "sched_setaffinity"):
        code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + count
        assert run(code).split() == ["1"]
    code = """
import fastnet as fn
from threadpoolctl import threadpool_limits
fn.set_num_threads(2)
with threadpool_limits(1, user_api="openmp"):
    inside = fn.get_num_threads()
print(inside, fn.get_num_threads())
"""
    if os.cpu_count() > 1:
        assert run(code).split() == ["1", "2"]
    with_bad = subprocess.run([sys.executable, "-c", "import fastnet as fn; fn.get_num_threads()"],
                              env={**os.environ, "FASTNET_NUM_THREADS": "many"}, capture_output=True, text=True)  # fmt: skip
    assert "FASTNET_NUM_THREADS=many" in with_bad.stderr


def test_instruction_sets_are_forced_or_refused():
    from fastnet.native import dispatch

    code = "import fastnet as fn, numpy as np; fn.kernels.matmul(np.eye(3), np.eye(3)); print(fn.config.isa())"
    for name in dispatch.supported_targets():
        assert run(code, FASTNET_ISA=name).split() == [name]
    for name, text in (("avx3", "did you mean 'avx2'"), ("neon", "is not one of") if "avx2" in dispatch.supported_targets() else ("avx2", "")):
        result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "FASTNET_ISA": name}, capture_output=True, text=True)
        assert result.returncode and text in result.stderr and "FASTNET_ISA" in result.stderr


def test_a_cpu_that_lacks_the_instructions_is_told(monkeypatch):
    from fastnet import config
    from fastnet.native import dispatch

    monkeypatch.setattr(dispatch, "supported_targets", lambda: ["baseline"])
    monkeypatch.setenv("FASTNET_ISA", "avx512")
    config.isa.cache_clear()
    try:
        if "avx512" in [row.name for row in config.targets.targets_of()]:
            with pytest.raises(ValueError, match="FASTNET_ISA=avx512: this CPU lacks these instructions"):
                config.isa()
    finally:
        config.isa.cache_clear()


def test_import_is_lazy():
    code = """
import sys, fastnet
loaded = [name for name in sys.modules if name.startswith("fastnet.")]
assert all(name.startswith("fastnet.native") for name in loaded), loaded
assert "tqdm" not in sys.modules and "safetensors" not in sys.modules
fastnet.Dense(3), fastnet.Network
assert "safetensors" not in sys.modules
print(len(dir(fastnet)) > 40)
"""
    assert "True" in run(code)


def test_public_names_exist_and_the_registry_knows_the_classes():
    import fastnet as fn
    from fastnet.files import registry

    for name in fn.__all__:
        value = getattr(fn, name)
        if isinstance(value, type) and issubclass(value, (fn.Layer, fn.Loss, fn.Optimizer)):
            base = value in (fn.Layer, fn.Loss, fn.Optimizer, fn.Network)
            assert base or registry._names.get(value), f"{name} is not registered"
