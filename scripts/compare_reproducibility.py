"""Which bits stay the same in fastnet, torch, JAX and scikit-learn: the table of docs/reproducibility.md.

    python scripts/compare_reproducibility.py

Each library trains the same two networks on the same numbers for 20 steps of 64 samples with Adam, from weights of its
own, and is compared with itself: each training is a process of its own. Two or three minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STEPS, BATCH, RATE = 20, 64, 1e-3
SETTINGS = ("OMP_", "OPENBLAS_", "MKL_", "FASTNET_")
LIBRARIES = ("fastnet", "torch", "jax", "sklearn")
NETWORKS = {"dense": "784-512-512-10", "conv": "LeNet, 28x28x1"}


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(STEPS * BATCH, 28, 28, 1)).astype("float32"), rng.integers(0, 10, STEPS * BATCH)


def batches(x, y):
    for start in range(0, len(x), BATCH):
        yield x[start : start + BATCH], y[start : start + BATCH]


# A library's training: returns weights, and a function that predicts


def train_fastnet(kind, compiled):
    import fastnet as fn

    if kind == "dense":
        layers = [fn.Flatten(), *[fn.Dense(512, activation="relu") for _ in range(2)], fn.Dense(10)]
    else:
        layers = [layer for n in (32, 64) for layer in (fn.Conv2D(n, 5, padding=2, activation="relu"), fn.MaxPool2D(2))]
        layers += [fn.Flatten(), fn.Dense(128, activation="relu"), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(28, 28, 1), seed=0)
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(RATE))
    if compiled:
        trainer.fit(*data(), epochs=1, batch_size=BATCH, shuffle=False, verbose=0)
    else:
        for x, y in batches(*data()):
            _, dy = trainer.loss.gradient(net.forward(x, training=True), y)
            net.backward(dy)
            trainer.apply_gradients()
    return list(net.state_dict().values()), net.predict


def train_torch(kind, compiled):
    import torch
    from torch import nn

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    if kind == "dense":
        layers = [nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    else:
        layers = [
            nn.Conv2d(1, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
        ]
        layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)]
    net = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)

    def loss(x, y):
        return nn.functional.cross_entropy(net(x), y)

    if compiled:
        loss = torch.compile(loss)
    for x, y in batches(*data()):
        optimizer.zero_grad()
        loss(torch.from_numpy(x.reshape(-1, 1, 28, 28)), torch.from_numpy(y)).backward()
        optimizer.step()

    def predict(x):
        with torch.no_grad():
            return net(torch.from_numpy(x.reshape(-1, 1, 28, 28))).numpy()

    return [parameter.detach().numpy() for parameter in net.parameters()], predict


def train_jax(kind, compiled):
    import jax
    from jax import lax
    from jax import numpy as jnp

    rng = np.random.default_rng(1)

    def start(*shape):
        return jnp.asarray(
            rng.normal(size=shape).astype("float32") * np.sqrt(2 / np.prod(shape[:-1])).astype("float32")
        )

    shapes = (
        [(784, 512), (512, 512), (512, 10)]
        if kind == "dense"
        else [(5, 5, 1, 32), (5, 5, 32, 64), (3136, 128), (128, 10)]
    )
    weights = [[start(*shape), jnp.zeros(shape[-1])] for shape in shapes]

    def forward(weights, x):
        for i, (w, b) in enumerate(weights):
            if w.ndim == 4:
                x = jax.nn.relu(
                    lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b
                )
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            else:
                x = x.reshape(len(x), -1) @ w + b
                x = jax.nn.relu(x) if i < len(weights) - 1 else x
        return x

    def loss(weights, x, y):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(forward(weights, x)), y[:, None], 1))

    def step(weights, m, v, t, x, y):
        g = jax.grad(loss)(weights, x, y)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

        def update(w, m, v):
            return w - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return jax.tree.map(update, weights, m, v), m, v

    if compiled:
        step, forward_once = jax.jit(step), jax.jit(forward)
    else:
        forward_once = forward
    m = v = jax.tree.map(jnp.zeros_like, weights)
    for t, (x, y) in enumerate(batches(*data()), 1):
        weights, m, v = step(weights, m, v, jnp.float32(t), x, y)
    return [np.asarray(a) for pair in weights for a in pair], lambda x: np.asarray(forward_once(weights, x))


def train_sklearn(kind, compiled):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((512, 512), batch_size=BATCH, learning_rate_init=RATE, alpha=0, shuffle=False, random_state=0)
    x, y = data()
    model.partial_fit(x.reshape(len(x), -1), y, classes=range(10))
    return [*model.coefs_, *model.intercepts_], lambda x: model.predict_proba(x.reshape(len(x), -1))


def train(library, kind, compiled, path):
    weights, predict = globals()[f"train_{library}"](kind, compiled)
    x = data()[0][:BATCH]
    alone = np.concatenate([predict(x[i : i + 1]) for i in range(BATCH)])
    np.savez(path, weights=np.concatenate([np.ravel(w) for w in weights]), together=predict(x), alone=alone)


def trained(library, kind, threads, compiled, run, folder):
    """Weights and predictions of a training in a process of its own."""
    path = Path(folder, f"{library}-{kind}-{threads}-{compiled}-{run}.npz")
    if not path.exists():
        environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        # JAX takes as many threads as there are CPUs that it may use.
        cpus = sorted(os.sched_getaffinity(0))[:threads]
        command = [sys.executable, __file__, "--child", library, kind, str(int(compiled)), str(path)]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus)
        )
        if result.returncode:
            raise SystemExit(f"{library}, {kind}:\n{result.stderr}")
    return np.load(path)


def verdict(a, b):
    if a.tobytes() == b.tobytes():
        return "same"
    return f"{np.mean(a != b):.0%} differ, by {np.abs(a - b).max() / np.abs(a).max():.0e}"


def versions():
    import jax
    import sklearn
    import torch

    import fastnet

    found = {"fastnet": fastnet, "torch": torch, "jax": jax, "scikit-learn": sklearn, "numpy": np}
    return ", ".join(f"{name} {module.__version__}" for name, module in found.items())


def main():
    if sys.argv[1:2] == ["--child"]:
        library, kind, compiled, path = sys.argv[2:]
        train(library, kind, bool(int(compiled)), path)
        return
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two CPUs are needed")
    with open("/proc/cpuinfo") as file:
        model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    print(f"{model}; {versions()}\n")
    print(f"| network | comparison | {' | '.join(LIBRARIES)} |", "|---" * (2 + len(LIBRARIES)) + "|", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in NETWORKS.items():
            libraries = [library for library in LIBRARIES if kind == "dense" or library != "sklearn"]

            def show(text, compare, among=libraries, name=name):
                cells = [compare(library) if library in among else "" for library in LIBRARIES]
                print(f"| {name} | {text} | {' | '.join(cells)} |", flush=True)

            def of(library, threads, compiled=None, run=1, kind=kind):
                # torch's usual way is eager.
                compiled = library != "torch" if compiled is None else compiled
                return trained(library, kind, threads, compiled, run, folder)

            show("two runs on two threads", lambda one: verdict(of(one, 2)["weights"], of(one, 2, run=2)["weights"]))
            show("one thread, two threads", lambda one: verdict(of(one, 1)["weights"], of(one, 2)["weights"]))
            show("eager, compiled", lambda one: verdict(of(one, 1, False)["weights"], of(one, 1, True)["weights"]),
                 [library for library in libraries if library != "sklearn"])  # fmt: skip
            show("predicted alone, in a batch of 64", lambda one: verdict(of(one, 1)["alone"], of(one, 1)["together"]))


if __name__ == "__main__":
    main()
