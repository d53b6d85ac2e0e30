"""Measures fastnet beside others on the same CPUs: the tables of docs/neighbours.md.

    python scripts/measure_neighbours.py [waits] [predict] [threads] [torch] [sklearn]

Each figure comes from a process of its own, with two threads for each library. The page's figures are of a machine
on which nothing else ran.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 1.0  # of each measurement
SETTINGS = ("OMP_", "GOMP_", "OPENBLAS_", "FASTNET_", "MKL_")


def child(function, *arguments, **environment):
    """What a function of this file returns (JSON) in a new process with these variables."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    variables |= {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, __file__, "--child", function.__name__, json.dumps(arguments)]
    return json.loads(subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout)


def of_three(function, *arguments):
    """The medians of what three processes return, each a list of numbers."""
    return [statistics.median(values) for values in zip(*(child(function, *arguments) for _ in range(3)), strict=True)]


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def table(*header):
    print()
    row(*header)
    row(*["---"] * len(header))


def network(sizes):
    import fastnet as fn

    layers = [fn.Dense(n, activation="relu") for n in sizes[1:-1]]
    return fn.Network([*layers, fn.Dense(sizes[-1])], input_shape=(sizes[0],), seed=0)


def data(sizes, n):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.random((n, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], n)


def force_regions():
    """Divide every op, however small."""
    from fastnet.recording import program

    program.PARALLEL_OP = program.PARALLEL_PROGRAM = 0


def rate(call, seconds=SECONDS):
    """Calls a second."""
    calls, begun = 0, time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds:
        call()
        calls += 1
    return calls / (now - begun)


# How long threads go on spinning, and what a barrier costs where threads share a CPU


def idle_spin(forced):
    """Milliseconds of CPU time that the process takes in the 100 ms after a prediction."""
    sizes = (64, 64, 10)
    net, (x, _) = network(sizes), data(sizes, 32)
    if forced:
        force_regions()
    found = []
    for _ in range(11):
        net.predict(x)
        before = time.process_time()
        time.sleep(0.1)
        found.append(1e3 * (time.process_time() - before))
    return statistics.median(found)


def shared_cpu(n_threads):
    """Microseconds a training step where all threads have to share one CPU."""
    import fastnet as fn

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    fn.set_num_threads(n_threads)
    force_regions()
    sizes, steps = (64, 64, 10), 2000
    trainer = fn.Trainer(network(sizes), loss="softmax_cross_entropy", optimizer="sgd")
    x, y = data(sizes, 16 * steps)
    found = []
    for _ in range(5):
        begun = time.perf_counter()
        trainer.fit(x, y, epochs=1, batch_size=16, verbose=0)
        found.append(1e6 * (time.perf_counter() - begun) / steps)
    return statistics.median(found)


def after_pauses(pause):
    """Microseconds of each of 60 products on two threads after a pause, the median of 15 such runs."""
    import numpy as np

    import fastnet as fn

    rng = np.random.default_rng(0)
    a, b = rng.random((1, 1024), dtype=np.float32), rng.random((1024, 4096), dtype=np.float32)
    c = np.empty((1, 4096), np.float32)
    taken = []
    for _ in range(16):
        time.sleep(pause)
        begun = time.perf_counter()
        for _ in range(60):
            fn.kernels.matmul(a, b, out=c)
        taken.append((time.perf_counter() - begun) / 60 * 1e6)
    return [statistics.median(taken[1:])]


def waits():
    table("after a prediction of 64-64-10, 32 samples", "CPU time in the 100 ms after it, ms")
    row("on one thread, as it is done", f"{child(idle_spin, False):.1f}")
    row("in a region of two", f"{child(idle_spin, True):.1f}")
    row("in a region of two, `OMP_WAIT_POLICY=passive`", f"{child(idle_spin, True, OMP_WAIT_POLICY='passive'):.1f}")
    table("1x1024 times 1024x4096 on two threads, 60 times", "each, us")
    row("without a pause", f"{of_three(after_pauses, 0)[0]:.0f}")
    row("after 150 ms without work", f"{of_three(after_pauses, 0.15)[0]:.0f}")
    table("threads that share one CPU", "a step of 64-64-10 with all ops divided, us")
    for n_threads in (1, 2, 4):
        row(n_threads, f"{child(shared_cpu, n_threads):.0f}")


# Small predictions beside NumPy


def multiply_for_ever():
    import numpy as np

    a = np.ones((256, 256), np.float32)
    print(flush=True)
    done = 0
    count = os.open(os.environ["COUNT"], os.O_WRONLY | os.O_CREAT)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        a @ a
        done += 1
        if done % 10 == 0:
            os.pwrite(count, done.to_bytes(8, "little"), 0)


def other_process(folder):
    """A process that multiplies with NumPy on one thread, and a function that says how often it has."""
    count = Path(folder, "count")
    variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "COUNT": str(count)}
    command = [sys.executable, __file__, "--child", "multiply_for_ever", "[]"]
    process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process, lambda: int.from_bytes(count.read_bytes(), "little")


def beside_a_process(predicts, forced):
    """Predictions a second, and products a second of another process."""
    import tempfile

    if forced:
        force_regions()
    sizes = (64, 64, 10)
    net, (x, _) = network(sizes), data(sizes, 32)
    net.predict(x)
    with tempfile.TemporaryDirectory() as folder:
        process, products = other_process(folder)
        time.sleep(0.3)  # until it multiplies
        before, begun = products(), time.perf_counter()
        calls = rate(lambda: net.predict(x)) if predicts else time.sleep(SECONDS) or 0
        found = (products() - before) / (time.perf_counter() - begun)
        process.stdin.close()
        process.wait()
    return calls, found


def in_turns_with_blas(predicts, forced):
    """Microseconds of a product on NumPy's two threads, in turns with predictions."""
    import numpy as np

    if forced:
        force_regions()
    sizes = (64, 64, 10)
    net, (x, _) = network(sizes), data(sizes, 32)
    a = np.ones((512, 512), np.float32)
    found, begun = [], time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        if predicts:
            net.predict(x)
        start = time.perf_counter()
        a @ a
        found.append(1e6 * (time.perf_counter() - start))
    return [statistics.median(found)]


def predict():
    table("64-64-10, 32 samples, beside a NumPy loop in another process", "predictions a second", "products a second")
    row("NumPy alone", "", f"{of_three(beside_a_process, False, False)[1]:,.0f}")
    for name, forced in (("on one thread, as it is done", False), ("in regions of two", True)):
        row(name, *(f"{n:,.0f}" for n in of_three(beside_a_process, True, forced)))
    table("in turns with NumPy's products 512x512x512 on two threads", "a product, us")
    row("NumPy alone", f"{of_three(in_turns_with_blas, False, False)[0]:,.0f}")
    row("on one thread, as it is done", f"{of_three(in_turns_with_blas, True, False)[0]:,.0f}")
    row("in regions of two", f"{of_three(in_turns_with_blas, True, True)[0]:,.0f}")


# Python threads on one network


def count():
    total = 0
    for i in range(150):
        total += i


def python_threads(sizes, n, workers, shared):
    """Calls a second of each of so many Python threads: predictions of one network or one each, or a loop of Python."""
    if sizes is None:
        calls = [count] * workers
    else:
        nets = [network(sizes)] * workers if shared else [network(sizes) for _ in range(workers)]
        x, _ = data(sizes, n)
        calls = [lambda net=net: net.predict(x) for net in nets]
    for call in calls:
        call()
    rates = [0.0] * workers
    start = threading.Barrier(workers)

    def work(i):
        start.wait()
        rates[i] = rate(calls[i])

    pool = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return sorted(rates)


def threads():
    table("calls a second", "one Python thread", "two, one network", "their sum", "two, a network each", "their sum")
    for sizes, n in ((None, 0), ((64, 64, 10), 1), ((784, 128, 10), 8), ((784, 512, 512, 10), 128)):
        (alone,) = of_three(python_threads, sizes, n, 1, True)
        cells = [f"{alone:,.0f}"]
        for shared in (True, False):
            both = of_three(python_threads, sizes, n, 2, shared)
            cells += [" and ".join(f"{r:,.0f}" for r in both), f"{sum(both):,.0f}"]
        row("a loop of Python" if sizes is None else "-".join(map(str, sizes)) + f", {n}", *cells)


# In a process with torch, and with scikit-learn


class Fastnet:
    sizes = (784, 128, 10)

    def __init__(self):
        import fastnet as fn

        fn.set_num_threads(2)
        self.trainer = fn.Trainer(network(self.sizes), loss="softmax_cross_entropy", optimizer=fn.Adam(1e-3))
        self.data = data(self.sizes, 128 * 20)

    def use(self):
        self.trainer.fit(*self.data, epochs=1, batch_size=128, verbose=0)


class Torch:
    def __init__(self):
        import torch

        torch.set_num_threads(2)
        self.torch, self.a = torch, torch.ones(512, 512)

    def use(self):
        for _ in range(10):
            (self.a @ self.a).relu_().sum()


class Sklearn:
    def __init__(self):
        from sklearn.datasets import make_classification
        from sklearn.ensemble import HistGradientBoostingClassifier

        self.model = HistGradientBoostingClassifier(max_iter=5, early_stopping=False)
        self.data = make_classification(3000, random_state=0)

    def use(self):
        self.model.fit(*self.data)


USES = {"fastnet": Fastnet, "torch": Torch, "sklearn": Sklearn}


def in_turns(imports, uses):
    """Milliseconds of each of `uses`, done in turns, after these imports in their order."""
    for name in imports:
        __import__({"sklearn": "sklearn.ensemble"}.get(name, name))
    made = {name: USES[name]() for name in uses}
    found = {name: [] for name in uses}
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        for name, one in made.items():
            start = time.perf_counter()
            one.use()
            found[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def beside(other, what):
    cases = {f"imported {a} before {b}, in turns": ([a, b], {}) for a, b in (("fastnet", other), (other, "fastnet"))}
    apart = {"FASTNET_SHARE_OPENMP": "0"}
    cases[f"imported {other} before fastnet, in turns, `FASTNET_SHARE_OPENMP=0`"] = [other, "fastnet"], apart
    alone, together = {"fastnet": [], other: []}, {name: [] for name in cases}
    for _ in range(3):
        for name, times in alone.items():
            times.append(child(in_turns, [name], [name])[name])
        for name, (imports, variables) in cases.items():
            together[name].append(child(in_turns, imports, ["fastnet", other], **variables))
    table("ms, two threads; the median of three processes", "20 steps of 784-128-10, 128", what)
    row("each in a process of its own", *(f"{statistics.median(times):.1f}" for times in alone.values()))
    for name, found in together.items():
        row(name, *(f"{statistics.median(one[library] for one in found):.1f}" for library in alone))


def torch():
    beside("torch", "10 times relu of a product 512x512x512")


def sklearn():
    beside("sklearn", "histogram boosting, 5 rounds of 3000 samples")


SECTIONS = {function.__name__: function for function in (waits, predict, threads, torch, sklearn)}


def main():
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(globals()[sys.argv[2]](*json.loads(sys.argv[3]))))
        return
    wanted = sys.argv[1:] or list(SECTIONS)
    if unknown := set(wanted) - set(SECTIONS):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    with open("/proc/cpuinfo") as file:
        model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    print(f"{os.cpu_count()} CPUs of {model}, Python {sys.version.split()[0]}")
    for name in wanted:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
