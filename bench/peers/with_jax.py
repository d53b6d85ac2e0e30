"""JAX' side: every function jitted, images NHWC, the weights those of `bench.nets`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bench.nets import ADAM, EPSILON, LEARNING_RATES, MOMENTUM, Net, Training


def forward_of(net: Net, training: bool = True):
    """`forward(weights, statistics, x)`: logits, and in training the batch norms' new running statistics from their old."""

    def forward(weights, statistics, x):
        weights, statistics, updated = iter(weights), iter(statistics), []

        def run(layers, x):
            for kind, *given in layers:
                if kind == "residual":
                    shortcut = run(given[1], x)
                    x = jax.nn.relu(run(given[0], x) + shortcut)
                elif kind == "pool":
                    window = (1, 2, 2, 1)
                    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
                elif kind == "global":
                    x = x.mean((1, 2))
                elif kind == "flatten":
                    x = x.reshape(len(x), -1)
                elif kind == "norm":
                    x = batch_norm(x, next(weights), next(weights))
                elif kind == "dense":
                    x = x @ next(weights) + next(weights)
                else:
                    stride, padding, bias = given[2:5]
                    x = jax.lax.conv_general_dilated(
                        x, next(weights), (stride, stride), [(padding, padding)] * 2,
                        dimension_numbers=("NHWC", "HWIO", "NHWC"),
                    )  # fmt: skip
                    x = x + next(weights) if bias else x
                if kind in ("norm", "conv", "dense") and given[-1]:
                    x = jax.nn.relu(x)
            return x

        def batch_norm(x, gamma, beta):
            if not training:
                mean, variance = next(statistics)
                return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * gamma + beta
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            samples = x.size // x.shape[-1]
            unbiased = variance * (samples / (samples - 1))
            for old, new in zip(next(statistics), (mean, unbiased), strict=True):
                updated.append((1 - MOMENTUM) * old + MOMENTUM * new)
            return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * gamma + beta

        return run(net.layers, x), list(zip(updated[::2], updated[1::2], strict=True))

    return forward


def norm_channels(net: Net) -> list[int]:
    """Of each batch norm, in the order of the walk."""
    channels = []

    def walk(layers, seen):
        for kind, *given in layers:
            if kind == "residual":
                walk(given[1], seen)
                seen = walk(given[0], seen)
            elif kind == "conv":
                seen = given[0]
            elif kind == "norm":
                channels.append(seen)
        return seen

    walk(net.layers, net.input_shape[-1])
    return channels


def statistics_of(net: Net):
    return [(jnp.zeros(n), jnp.ones(n)) for n in norm_channels(net)]


def start(net: Net):
    """Weights, running statistics, the optimizer's moments, and the count of steps."""
    weights = [jnp.array(w) for w in net.weights()]
    m = jax.tree.map(jnp.zeros_like, weights)
    v = jax.tree.map(jnp.zeros_like, weights) if net.optimizer == ADAM else []
    return weights, statistics_of(net), m, v, jnp.zeros(())


def step_of(net: Net):
    """`step(state, (x, y))`: the state after it, and the loss."""
    forward, rate = forward_of(net), LEARNING_RATES[net.optimizer]

    def loss_of(weights, statistics, x, y):
        logits, updated = forward(weights, statistics, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean(), updated

    def step(state, batch):
        weights, statistics, m, v, t = state
        (loss, statistics), g = jax.value_and_grad(loss_of, has_aux=True)(weights, statistics, *batch)
        t = t + 1
        if net.optimizer == ADAM:
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            scale = jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            epsilon = 1e-8 * jnp.sqrt(1 - 0.999**t)
            weights = jax.tree.map(lambda w, m, v: w - rate * scale * m / (jnp.sqrt(v) + epsilon), weights, m, v)
        else:
            m = jax.tree.map(lambda m, g: 0.9 * m + g, m, g)
            weights = jax.tree.map(lambda w, m: w - rate * m, weights, m)
        return (weights, statistics, m, v, t), loss

    return step


def steps(training: Training):
    """A jitted call for each step."""
    jitted = jax.jit(step_of(training.net), donate_argnums=0)
    batches = [(jnp.array(x), jnp.array(y.astype(np.int32))) for x, y in training.batches()]
    holder = [start(training.net)]

    def step(*batch):
        holder[0], loss = jitted(holder[0], batch)
        return loss

    first = training.first_losses(step, batches)

    def call(n):
        for i in range(n):
            loss = step(*batches[i % len(batches)])
        loss.block_until_ready()

    return call, first


def scanned(training: Training):
    """A jitted `lax.scan` over the batches of an epoch, which are not shuffled."""
    batches = training.batches()
    stacked = (
        jnp.array(np.stack([x for x, _ in batches])),
        jnp.array(np.stack([y.astype(np.int32) for _, y in batches])),
    )
    step = step_of(training.net)
    epoch = jax.jit(lambda state, data: jax.lax.scan(step, state, data), donate_argnums=0)
    state, losses = epoch(start(training.net), stacked)
    holder = [state]

    def call(n):
        count = max(1, round(n / len(batches)))
        for _ in range(count):
            holder[0], losses = epoch(holder[0], stacked)
        losses.block_until_ready()
        return count * len(batches)

    return call, np.asarray(losses)[: training.checked[0]].tolist()


def epochs(training: Training, count: int):
    """Shuffled epochs in `lax.scan`, the permutation and gather within; compiled before. And an unshuffled epoch's loss."""
    x, y = (jnp.array(a) for a in training.data())
    y = y.astype(jnp.int32)
    step, used = step_of(training.net), training.steps * training.batch

    def epoch(state, order):
        rows = order[:used].reshape(training.steps, training.batch)
        return jax.lax.scan(lambda state, rows: step(state, (x[rows], y[rows])), state, rows)

    @jax.jit
    def shuffled(state, key):
        return jax.lax.scan(
            lambda s, k: epoch(s, jax.random.permutation(k, len(x))), state, jax.random.split(key, count)
        )

    _, losses = jax.jit(epoch)(start(training.net), jnp.arange(len(x)))
    state, key = start(training.net), jax.random.key(0)
    return lambda: shuffled(state, key)[1].block_until_ready(), float(losses.mean())


def predictor(net: Net, x: np.ndarray):
    weights, statistics, image = [jnp.array(w) for w in net.weights()], statistics_of(net), jnp.array(x)
    forward = jax.jit(lambda x: forward_of(net, training=False)(weights, statistics, x)[0])
    return lambda: np.asarray(forward(image))
