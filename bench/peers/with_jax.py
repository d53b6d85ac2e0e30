"""The same training step in fastnet and its peers: an MLP with relu, softmax cross-entropy and Adam.

Each function returns `call(n)`, which does about n steps on batches of the same data and returns how
many, and the losses of the first steps from the same weights (or None), by which the contenders are
compared before anything is timed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEARNING_RATE = 1e-3
CHECKED_STEPS = 20


@dataclass(frozen=True)
class Case:
    sizes: tuple[int, ...]
    batch: int
    samples: int

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes)) + f" batch {self.batch}"

    @property
    def parameters(self) -> int:
        return sum(a * b + b for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def flops(self) -> int:
        """Of the products of one step: forward, weight gradients, and input gradients but for the first layer."""
        products = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * self.batch * (3 * sum(products) - products[0])

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.random((self.samples, self.sizes[0]), dtype=np.float32)
        y = rng.integers(0, self.sizes[-1], self.samples)
        return x, y

    def weights(self):
        rng = np.random.default_rng(1)
        return [
            (rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32))
            for a, b in zip(self.sizes, self.sizes[1:], strict=False)
        ]


def _fastnet_trainer(case: Case):
    import fastnet as fn

    layers = [fn.Dense(n, activation="relu") for n in case.sizes[1:-1]] + [fn.Dense(case.sizes[-1])]
    net = fn.Network(layers, input_shape=(case.sizes[0],), seed=0)
    for layer, (w, b) in zip(net.layers, case.weights(), strict=True):
        layer.weight.assign(w)
        layer.bias.assign(b)
    return fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(LEARNING_RATE))


def fastnet_fit(case: Case):
    """Steps inside of `fit`: at least five whole epochs, shuffled, with the checks of all data before the first."""
    x, y = case.data()
    trainer = _fastnet_trainer(case)
    steps = case.samples // case.batch

    def call(n):
        epochs = max(5, round(n / steps))
        trainer.fit(x, y, epochs=epochs, batch_size=case.batch, verbose=0)
        return epochs * steps

    return call, None


def fastnet_batches(case: Case):
    """Steps through `train_on_batch`, with its checks."""
    x, y = case.data()
    trainer = _fastnet_trainer(case)
    batches = _batches(case, x, y)
    first = [trainer.train_on_batch(*batches[i % len(batches)])["loss"] for i in range(CHECKED_STEPS)]

    def call(n):
        for i in range(n):
            trainer.train_on_batch(*batches[i % len(batches)])

    return call, first


def _batches(case, x, y):
    return [(x[i : i + case.batch], y[i : i + case.batch]) for i in range(0, case.samples - case.batch + 1, case.batch)]


def torch_eager(case: Case, compiled: bool = False):
    import torch

    x, y = case.data()
    layers = []
    for i, (w, b) in enumerate(case.weights()):
        linear = torch.nn.Linear(*w.shape)
        linear.weight.data[:] = torch.tensor(w.T)
        linear.bias.data[:] = torch.tensor(b)
        layers += [linear] if i == len(case.sizes) - 2 else [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    batches = [(torch.tensor(a), torch.tensor(b)) for a, b in _batches(case, x, y)]

    def forward(a, b):
        return torch.nn.functional.cross_entropy(net(a), b)

    if compiled:
        forward = torch.compile(forward)

    def step(i):
        optimizer.zero_grad(set_to_none=True)
        loss = forward(*batches[i % len(batches)])
        loss.backward()
        optimizer.step()
        return loss

    first = [float(step(i)) for i in range(CHECKED_STEPS)]

    def call(n):
        for i in range(n):
            step(i)

    return call, first


def torch_compiled(case: Case):
    return torch_eager(case, compiled=True)


def jax_steps(case: Case, scanned: bool = False):
    import jax
    import jax.numpy as jnp

    x, y = case.data()
    parameters = [(jnp.array(w), jnp.array(b)) for w, b in case.weights()]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.float32))

    def loss_of(parameters, a, b):
        for i, (w, bias) in enumerate(parameters):
            a = a @ w + bias
            if i < len(parameters) - 1:
                a = jax.nn.relu(a)
        return -jnp.take_along_axis(jax.nn.log_softmax(a), b[:, None], axis=1).mean()

    def step(state, batch):
        parameters, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(parameters, *batch)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        correction_1, correction_2 = 1 - 0.9**t, 1 - 0.999**t
        parameters = jax.tree.map(
            lambda p, m, v: p - LEARNING_RATE * (m / correction_1) / (jnp.sqrt(v / correction_2) + 1e-8),
            parameters, m, v,
        )  # fmt: skip
        return (parameters, m, v, t), loss

    batches = [(jnp.array(a), jnp.array(b.astype(np.int32))) for a, b in _batches(case, x, y)]
    if not scanned:
        jitted = jax.jit(step, donate_argnums=0)
        first = []
        for i in range(CHECKED_STEPS):
            state, loss = jitted(state, batches[i % len(batches)])
            first.append(float(loss))
        holder = [state]

        def call(n):
            state = holder[0]
            for i in range(n):
                state, loss = jitted(state, batches[i % len(batches)])
            loss.block_until_ready()
            holder[0] = state

        return call, first
    stacked = (jnp.stack([a for a, _ in batches]), jnp.stack([b for _, b in batches]))
    epoch = jax.jit(lambda state, data: jax.lax.scan(step, state, data), donate_argnums=0)
    holder = [state]

    def call(n):
        state = holder[0]
        epochs = max(1, round(n / len(batches)))
        for _ in range(epochs):
            state, losses = epoch(state, stacked)
        losses.block_until_ready()
        holder[0] = state
        return epochs * len(batches)

    return call, None


def jax_scan(case: Case):
    return jax_steps(case, scanned=True)


def sklearn_epochs(case: Case):
    import warnings

    from sklearn.neural_network import MLPClassifier

    x, y = case.data()
    net = MLPClassifier(case.sizes[1:-1], batch_size=case.batch, learning_rate_init=LEARNING_RATE, alpha=0.0)
    warnings.simplefilter("ignore")
    net.partial_fit(x, y, classes=np.arange(case.sizes[-1]))
    steps = case.samples // case.batch

    def call(n):
        epochs = max(1, round(n / steps))
        for _ in range(epochs):
            net.partial_fit(x, y)
        return epochs * steps

    return call, None
