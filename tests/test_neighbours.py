"""What docs/neighbours.md promises: fastnet beside other libraries, processes and threads, and within limits."""

import gc
import itertools
import os
import shutil
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from subprocesses import TRAIN, run

import fastnet as fn
from fastnet.processors import cgroup_quota

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
COUNT = "import fastnet as fn; print(fn.get_num_threads())"

# Other libraries in the process

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


@linux
@pytest.mark.parametrize("order", list(itertools.permutations(LIBRARIES)), ids="-".join)
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
print(alone, min(mixed))
"""
    alone, mixed = map(float, run(code, OMP_NUM_THREADS="2").split())
    # Two runtimes that spin against each other take milliseconds for each region: a hundred times as long.
    assert mixed < 5 * alone + 0.02


@linux
def test_threadpoolctl_sees_the_runtime_and_its_limits_hold():
    pytest.importorskip("threadpoolctl")
    code = f"""
import os
{TRAIN}
from threadpoolctl import threadpool_info, threadpool_limits
fn.set_num_threads(2)
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
ours = [pool for pool in threadpool_info() if pool["filepath"] in map(os.path.realpath, fn.config.openmp_runtimes())]
with threadpool_limits(1, user_api="openmp"):
    limited = fn.get_num_threads()
    train()
    started = threads() - before
free = fn.get_num_threads()
train()
print(len(ours), ours[0]["user_api"], limited, started, free, threads() - before)
"""
    assert run(code, OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1").split() == ["1", "openmp", "1", "0", "2", "1"]


def test_signals_stay_as_they_were():
    code = f"""
import signal
def handlers():
    return [signal.getsignal(number) for number in signal.valid_signals()]
before = handlers()
{TRAIN}
train(64)
assert handlers() == before
"""
    run(code)


# Waiting


@linux
def test_small_predictions_start_no_threads_and_large_ones_do():
    code = """
import os, numpy as np, fastnet as fn
def threads_started(width, n):
    with fn.threads(1):
        net = fn.Network([fn.Dense(width), fn.Dense(10)], input_shape=(width,), seed=0)
    before = len(os.listdir("/proc/self/task"))
    net.predict(np.ones((n, width), "f4"))
    return len(os.listdir("/proc/self/task")) - before
print(threads_started(128, 32), threads_started(512, 256))
"""
    assert run(code, OMP_NUM_THREADS="2").split() == ["0", "1"]


@linux
def test_threads_that_move_apart_keep_their_affinity():
    """Threads that wake on one CPU go to different ones; what they may use stays as it was."""
    found = run(
        """
import os, time
import numpy as np, fastnet as fn
fn.set_num_threads(2)
a, b = np.ones((1, 1024), np.float32), np.ones((1024, 4096), np.float32)
for _ in range(20):
    time.sleep(0.02)
    fn.kernels.matmul(a, b)
print(len(os.listdir("/proc/self/task")))
print(*{str(sorted(os.sched_getaffinity(int(task)))) for task in os.listdir("/proc/self/task")}, sep="\\n")
print(sorted(os.sched_getaffinity(0)))
""",
        OPENBLAS_NUM_THREADS="1",
    ).splitlines()
    assert int(found[0]) >= 2
    assert found[1:] == [found[-1]] * 2


@linux
def test_threads_that_share_a_cpu_give_it_to_one_another():
    code = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, fastnet as fn
from fastnet.recording import program
program.PARALLEL_OP = program.PARALLEL_PROGRAM = 0
fn.set_num_threads(2)
net = fn.Network([fn.Dense(16, activation="relu"), fn.Dense(4)], input_shape=(16,), seed=0)
x, y = np.ones((4000, 16), "f4"), np.arange(4000) % 4
begun = time.process_time()
net.fit(x, y, epochs=1, batch_size=4, loss="softmax_cross_entropy", verbose=0)
print(time.process_time() - begun)
"""
    # A thousand steps have some 20,000 barriers. To spin until the scheduler intervenes would take milliseconds at each.
    assert float(run(code)) < 5


# Processes


@forks
def test_a_forked_child_of_a_process_that_trained_trains_too():
    code = f"""
{TRAIN}
import os, sys
fn.set_num_threads(2)
parent = train().predict(np.ones((300, 512)))
sys.stdout.flush()
child = os.fork()
if child == 0:
    mine = train().predict(np.ones((300, 512)))
    fn.set_num_threads(2)
    os._exit(0 if (mine == parent).all() and fn.get_num_threads() == 1 else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
train()
print("good")
"""
    assert "good" in run(code, timeout=60)


@forks
def test_a_child_forked_while_another_thread_trains_uses_the_same_network():
    code = """
import os, threading, time
import numpy as np, fastnet as fn
fn.set_num_threads(2)
net = fn.Network([fn.Dense(2048, activation="relu"), fn.Dense(10)], input_shape=(2048,), seed=0)
x, y = np.ones((4096, 2048), "f4"), np.arange(4096) % 10
trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="sgd")
done = threading.Event()
def work():
    while not done.is_set():
        trainer.fit(x, y, epochs=1, batch_size=1024, verbose=0)
thread = threading.Thread(target=work)
thread.start()
while not net.lock._owner:
    time.sleep(1e-4)
child = os.fork()
if child == 0:
    net.predict(x[:8])
    fn.Trainer(net, loss="softmax_cross_entropy", optimizer="sgd").train_on_batch(x[:8], y[:8])
    os._exit(0)
try:
    for _ in range(300):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        raise SystemExit("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
finally:
    done.set()
    thread.join()
"""
    run(code)


WORKERS = f"""
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
{TRAIN}
at_import = fn.get_num_threads()
def work(_):
    return float(train(512).predict(np.ones((1, 512)))[0, 0]), at_import, fn.get_num_threads()
if __name__ == "__main__":
    fn.set_num_threads(2)
    expected = float(train().predict(np.ones((1, 512)))[0, 0])
    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        found = pool.map(work, range(3))
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found += pool.map(work, range(3))
    assert {{bits for bits, _, _ in found}} == {{expected}}, found
    print(*{{now for _, _, now in found}}, *{{then for _, then, _ in found}})
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_pool_compute_the_same_on_one_thread_each(method, tmp_path):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method}")
    script = tmp_path / "work.py"
    script.write_text(WORKERS)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "FASTNET_NUM"))}

    def in_workers(**environment):
        return subprocess.run([sys.executable, str(script), method], env=variables | environment, check=True, timeout=120,
                              capture_output=True, text=True).stdout.split()  # fmt: skip

    if method == "spawn":
        assert in_workers() == ["1", "1"], "also while a worker imports the main module"
        assert in_workers(FASTNET_NUM_THREADS="2")[0] == "2", "what is asked for is done"
    else:
        assert in_workers()[0] == "1"


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_of_joblib_share_the_cpus(backend, tmp_path):
    pytest.importorskip("joblib")
    script = tmp_path / "work.py"
    script.write_text(f"""
import joblib
{TRAIN}
def work(_):
    return fn.get_num_threads(), float(train().predict(np.ones((1, 512)))[0, 0])
if __name__ == "__main__":
    train()
    found = joblib.Parallel(n_jobs=2, backend="{backend}")(joblib.delayed(work)(i) for i in range(4))
    assert len({{bits for _, bits in found}}) == 1
    print(max(threads for threads, _ in found))
""")
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "FASTNET_NUM"))}
    result = subprocess.run(
        [sys.executable, str(script)], env=variables, check=True, timeout=120, capture_output=True, text=True
    )
    allowed = max(1, len(os.sched_getaffinity(0)) // 2) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= int(result.stdout) <= allowed


# Limits


def test_variables_set_the_number_of_threads():
    assert run(COUNT, OMP_NUM_THREADS="1").split() == ["1"]
    assert run(COUNT, OMP_NUM_THREADS="3").split() == ["3"]
    assert run(COUNT, FASTNET_NUM_THREADS="5", OMP_NUM_THREADS="1").split() == ["5"]
    result = subprocess.run([sys.executable, "-c", COUNT], env={**os.environ, "FASTNET_NUM_THREADS": "many"},
                            capture_output=True, text=True)  # fmt: skip
    assert "FASTNET_NUM_THREADS=many" in result.stderr


@pytest.mark.skipif(shutil.which("taskset") is None, reason="there is no taskset")
def test_affinity_is_respected():
    cpu = str(min(os.sched_getaffinity(0)))
    assert run(COUNT, prefix=["taskset", "-c", cpu]).split() == ["1"]


def process_files(folder, cgroup, *mounts):
    process = folder / "process"
    process.mkdir()
    (process / "cgroup").write_text(cgroup)
    (process / "mountinfo").write_text("".join(f"{mount}\n" for mount in mounts))
    return process


def test_the_least_quota_of_the_groups_around_the_process_counts(tmp_path):
    mount = tmp_path / "cgroup"
    inner = mount / "user.slice" / "job.scope"
    inner.mkdir(parents=True)
    process = process_files(
        tmp_path, "0::/user.slice/job.scope\n", f"30 23 0:26 / {mount} rw - cgroup2 cgroup2 rw,nsdelegate"
    )
    assert cgroup_quota(process) == np.inf
    (inner / "cpu.max").write_text("max 100000\n")
    assert cgroup_quota(process) == np.inf
    (mount / "user.slice" / "cpu.max").write_text("150000 100000\n")
    assert cgroup_quota(process) == 1.5
    (inner / "cpu.max").write_text("100000 100000\n")
    assert cgroup_quota(process) == 1
    (inner / "cpu.max").write_text("what is this\n")
    assert cgroup_quota(process) == 1.5


@pytest.mark.parametrize(
    "root, path", [("/", "/"), ("/docker/abc", "/docker/abc"), ("/", "/../../elsewhere"), ("/a", "/b")]
)
def test_quota_in_a_container(root, path, tmp_path):
    """What is mounted there begins with the container's own group."""
    mount = tmp_path / "cgroup"
    mount.mkdir()
    (mount / "cpu.max").write_text("300000 100000\n")
    process = process_files(tmp_path, f"0::{path}\n", f"30 23 0:26 {root} {mount} ro - cgroup2 cgroup rw")
    assert cgroup_quota(process) == 3


def test_quota_of_version_1(tmp_path):
    mount, other = tmp_path / "cpu,cpuacct", tmp_path / "memory"
    for folder in (mount / "jobs", other):
        folder.mkdir(parents=True)
        (folder / "cpu.cfs_quota_us").write_text("50000\n")
        (folder / "cpu.cfs_period_us").write_text("20000\n")
    (mount / "cpu.cfs_quota_us").write_text("-1\n")
    process = process_files(
        tmp_path, "5:memory:/\n4:cpu,cpuacct:/jobs\n0::/\n", f"30 23 0:26 / {other} rw - cgroup cgroup rw,memory",
        f"31 23 0:27 / {mount} rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
    )  # fmt: skip
    assert cgroup_quota(process) == 2.5
    assert cgroup_quota(tmp_path / "nothing") == np.inf


@pytest.mark.parametrize("quota, cpus", [(0.5, 1), (1.5, 2), (64, 4), (np.inf, 4)])
def test_available_cpus_are_those_of_affinity_and_quota(quota, cpus, monkeypatch):
    from fastnet import processors

    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setattr(processors, "cgroup_quota", lambda: quota)
    assert processors.available_cpus() == cpus


# Python threads


def together(*functions):
    """Run functions in Python threads at the same time; what one raises is raised."""
    start, errors = threading.Barrier(len(functions)), []

    def call(function):
        start.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("width", [8, 700], ids=["holding the GIL", "releasing it"])
def test_python_threads_may_predict_on_one_network(width):
    net = fn.Network([fn.Dense(width, activation="relu"), fn.Dense(3)], input_shape=(width,), seed=0)
    x = np.random.default_rng(0).normal(size=(40, width)).astype("float32")
    expected = {part: net.predict(x[:part]) for part in range(1, 41)}
    hidden = net.activations(x)

    def work():
        for n in range(150):
            part = 1 + n % 40
            assert np.array_equal(net.predict(x[:part]), expected[part])
            assert np.array_equal(net.forward(x[:part]), expected[part])
            assert np.array_equal(net.activations(x[:part], ["dense_1"])["dense_1"], hidden["dense_1"][:part])

    with fn.threads(2):
        together(*[work] * 4)


def test_one_predicts_while_another_trains_and_neither_gets_other_bits():
    x, y = np.random.default_rng(0).normal(size=(64, 300)).astype("float32"), np.arange(64) % 3

    def make():
        net = fn.Network([fn.Dense(300, activation="relu"), fn.Dense(3)], input_shape=(300,), seed=0)
        return net, fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(1e-3))

    net, trainer = make()
    allowed = {net.predict(x).tobytes()}
    for _ in range(40):
        trainer.train_on_batch(x, y)
        allowed.add(net.predict(x).tobytes())
    weights = net.state_dict()

    net, trainer = make()
    done = threading.Event()

    def train():
        for _ in range(40):
            trainer.train_on_batch(x, y)
        done.set()

    def predict():
        while not done.is_set():
            assert net.predict(x).tobytes() in allowed, "the weights between two steps, never half of an update"

    with fn.threads(2):
        together(train, predict, predict)
    assert all(np.array_equal(value, weights[key]) for key, value in net.state_dict().items())


def test_what_is_alone_waits_for_predictions_and_they_for_it():
    net = fn.Network([fn.Dense(1)], input_shape=(1,), seed=0)
    lock = net.lock
    seen, inside = [], threading.Event()

    def change():
        inside.wait()
        with lock, lock:
            seen.append("changed")

    def predict():
        lock.begin_prediction("outer")
        inside.set()
        while lock._owner is None:
            pass
        lock.begin_prediction("inner")  # of the same thread, which the other waits for
        seen.append("predicted")
        del lock.predicting["inner"], lock.predicting["outer"]

    def interrupted(predictions, executor):
        raise RuntimeError("interrupted")

    together(change, predict)
    assert seen == ["predicted", "changed"]
    with lock:
        lock.begin_prediction("own")
        del lock.predicting["own"]
    assert lock._owner is None
    with pytest.raises(RuntimeError, match="interrupted"):
        net.executor._predict(interrupted)
    assert not lock.predicting and len(net.executor._free) == 1


def test_layers_in_numpy_predict_one_at_a_time():
    inside = []

    class Alone(fn.Layer):
        def forward(self, x, training=False):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(1e-4)
            inside.pop()
            return x + 1

    most = []
    net = fn.Network([Alone()], input_shape=(3,), seed=0)
    x = np.ones((2, 3), "f4")
    together(*[lambda: [net.predict(x) for _ in range(20)]] * 3)
    assert max(most) == 1 and len(most) == 60


def test_a_network_that_nobody_keeps_frees_its_memory_at_once():
    net = fn.Network([fn.Dense(4), fn.BatchNorm(), fn.Dense(2)], input_shape=(3,), seed=0)
    x, y = np.ones((8, 3), "f4"), np.zeros((8, 2), "f4")
    net.fit(x, y, loss="mse", verbose=0)
    together(*[lambda net=net: net.predict(x)] * 3)
    net.activations(x)
    kept = weakref.ref(net.executor)
    gc.disable()
    try:
        del net
        assert kept() is None
    finally:
        gc.enable()
