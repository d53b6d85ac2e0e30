"""What docs/reproducibility.md promises, for each model: the same bits for any threads, path, stop, batch and process."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from small_models import BATCH, LOSS, SAMPLES, STEPS_OF_EPOCH, all_threads, data, digest, make, models  # noqa: F401 (a fixture)

import fastnet as fn

EPOCHS = 20


def trainer_of(net, optimizer=None):
    return fn.Trainer(net, loss=LOSS, optimizer=optimizer or fn.Adam(1e-3))


def batches(net):
    """Endlessly the batches of `fit`, in its orders."""
    x, y = data()
    while True:
        net.epochs += 1
        order = fn.kernels.random.permutation(SAMPLES, seed=net.seed, path="shuffle", count=net.epochs)
        for start in range(0, SAMPLES, BATCH):
            rows = order[start : start + BATCH]
            yield x[rows], y[rows]


def by_fit(trainer, epochs):
    return trainer.fit(*data(), epochs=epochs, batch_size=BATCH, verbose=0)


def by_batch(trainer, x, y):
    trainer.train_on_batch(x, y)


def by_hand(trainer, x, y):
    _, dy = trainer.loss.gradient(trainer.net.forward(x, training=True), y)
    trainer.net.backward(dy)
    trainer.apply_gradients()


@functools.cache
def after_a_hundred_steps(name):
    """The digest of the weights that `fit` on one thread leaves."""
    net = make(name)
    with fn.threads(1):
        trainer = trainer_of(net)
        by_fit(trainer, EPOCHS)
    assert trainer.step == STEPS_OF_EPOCH * EPOCHS == 100
    assert digest(net) != digest(make(name))
    return digest(net)


@models
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_a_hundred_steps_of_fit_have_the_same_bits_on_any_threads(name, threads):
    net = make(name)
    with fn.threads(threads):
        assert fn.get_num_threads() == threads, "more than there are cores, too"
        by_fit(trainer_of(net), EPOCHS)
    assert digest(net) == after_a_hundred_steps(name)


@models
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("step", [by_batch, by_hand])
def test_a_hundred_single_steps_have_the_bits_of_fit(name, threads, step):
    net = make(name)
    trainer = trainer_of(net)
    with fn.threads(threads):
        for _, (x, y) in zip(range(100), batches(net), strict=False):
            step(trainer, x, y)
    assert digest(net) == after_a_hundred_steps(name)


@models
@pytest.mark.parametrize("stop", [1, 7, 19])
def test_a_trainer_that_goes_on_after_an_epoch_has_the_bits_of_one_that_never_stopped(name, stop):
    net = make(name)
    trainer = trainer_of(net)
    by_fit(trainer, stop)
    net.predict(data()[0])
    with fn.threads(3):
        by_fit(trainer, EPOCHS - stop)
    assert digest(net) == after_a_hundred_steps(name)


@models
@pytest.mark.filterwarnings("ignore::fastnet.health.monitor.HealthWarning")
def test_training_that_is_looked_at_and_mixed_of_all_paths_has_the_same_bits(name):
    net = make(name)
    trainer = trainer_of(net)
    order = batches(net)
    for step in (by_batch, by_hand) * 5:
        step(trainer, *next(order))
    x, y = data()
    trainer.fit(x, y, epochs=EPOCHS - 2, batch_size=BATCH, validation=(x, y), callbacks=[fn.HealthMonitor()], verbose=0)
    assert digest(net) == after_a_hundred_steps(name)


@models
@pytest.mark.parametrize("stop", [1, 8, 13])
def test_a_saved_network_goes_on_at_any_step_with_a_rule_that_has_no_state(name, stop, tmp_path):
    whole = make(name)
    trainer, order = trainer_of(whole, fn.SGD(0.01)), batches(whole)
    for _ in range(stop):
        by_batch(trainer, *next(order))
    rest = [next(order) for _ in range(10)]
    whole.save(tmp_path / "stopped.safetensors")
    for x, y in rest:
        by_batch(trainer, x, y)
    resumed = fn.load(tmp_path / "stopped.safetensors")
    trainer = trainer_of(resumed, fn.SGD(0.01))
    for x, y in rest:
        by_hand(trainer, x, y)
    assert digest(resumed) == digest(whole)


@models
def test_a_saved_network_goes_on_in_fit_with_the_orders_and_masks_that_come_next(name, tmp_path):
    whole, stopped = make(name), make(name)
    by_fit(trainer_of(whole, fn.SGD(0.01)), 5)
    by_fit(trainer_of(stopped, fn.SGD(0.01)), 2)
    stopped.save(tmp_path / "stopped.safetensors")
    resumed = fn.load(tmp_path / "stopped.safetensors")
    by_fit(trainer_of(resumed, fn.SGD(0.01)), 3)
    assert digest(resumed) == digest(whole)


@models
def test_a_prediction_has_the_same_bits_in_any_batch_and_on_any_threads(name):
    net = make(name)
    by_fit(trainer_of(net), 1)
    x, _ = data()
    together = net.predict(x)
    for threads in (1, 2, 3, 4):
        with fn.threads(threads):
            for size in (1, 2, 3, 7, SAMPLES):
                assert net.predict(x, batch_size=size).tobytes() == together.tobytes()
            order = np.random.default_rng(threads).permutation(SAMPLES)
            assert net.predict(x[order]).tobytes() == together[order].tobytes()
    assert net.forward(x).tobytes() == together.tobytes()
    alone = net.activations(x[5:6])
    for layer, values in net.activations(x).items():
        assert values[5:6].tobytes() == alone[layer].tobytes(), layer


def test_another_process_has_the_same_bits_whatever_its_hashes_and_threads():
    code = """
import test_reproducibility as tests
net = tests.make("resnet20")
tests.by_fit(tests.trainer_of(net), tests.EPOCHS)
print(tests.fn.get_num_threads(), tests.digest(net))
"""
    for threads in ("1", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": threads, "FASTNET_NUM_THREADS": threads, "PYTHONSAFEPATH": ""}
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120,
                                cwd=os.path.dirname(os.path.abspath(__file__)))  # fmt: skip
        assert result.returncode == 0, result.stderr[-2000:]
        assert result.stdout.split() == [threads, after_a_hundred_steps("resnet20")]
