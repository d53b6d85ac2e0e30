"""Numbers too small for full precision, which take a CPU a hundred times as long, are zero in kernels and nowhere else."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.recording import program

TINY = np.finfo("float32").tiny
threads = pytest.mark.parametrize("threads", [1, 2, 3])


@pytest.fixture(autouse=True)
def all_threads(monkeypatch):
    """Every op that can be divided is, however small."""
    monkeypatch.setattr(program, "PARALLEL_OP", 0)
    monkeypatch.setattr(program, "PARALLEL_PROGRAM", 0)


def mode_is_kept():
    """Whether NumPy, on this thread, has numbers below TINY."""
    return np.float32(1e-40) * np.float32(0.5) > 0


def denormal(array):
    return (array != 0) & (np.abs(array) < TINY)


@threads
def test_products_are_flushed_and_the_callers_mode_is_kept(threads):
    a = np.full((256, 256), 1e-20, "float32")
    assert mode_is_kept()
    assert denormal(a * a).all(), "NumPy's are"
    with fn.threads(threads):
        assert (fn.kernels.matmul(a, a) == 0).all()
        assert (fn.kernels.matmul(np.full_like(a, 1e-40), np.full_like(a, 1e30)) == 0).all(), "and what is read"
    assert mode_is_kept()


@threads
def test_a_network_whose_values_die_away_computes_with_no_denormals(threads):
    """Weights, activations, gradients and Adam's means become ever smaller, and step over the range of denormals."""
    net = fn.Network([fn.Dense(64), fn.Dense(64), fn.Dense(64)], input_shape=(64,), seed=0)
    optimizer = fn.AdamW(0.5, beta_1=0.5, beta_2=0.5, epsilon=1.0, weight_decay=1.875)
    trainer = fn.Trainer(net, loss="mse", optimizer=optimizer)
    x, y = np.random.default_rng(0).normal(size=(32, 64)).astype("float32"), np.zeros((32, 64), "float32")
    weights = net[0].weight.value
    largest = []
    with fn.threads(threads):
        for _ in range(150):
            trainer.train_on_batch(x, y)
            largest.append(np.abs(weights).max())
            state = [np.frombuffer(memory.block, "float32") for memory in trainer.update.states.values()]
            found = [
                *net.state_dict().values(),
                *(p.grad for p in net.parameters()),
                *net.activations(x).values(),
                *state,
            ]
            assert len(state) == 2 and not any(denormal(array).any() for array in found)
    assert largest[-1] == 0 and (net.predict(x) == 0).all()
    assert TINY <= min(value for value in largest if value > 0) < 16 * TINY
    assert mode_is_kept()
