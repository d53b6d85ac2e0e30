"""Training with several processes gives what one process gives."""

import functools
import json

import numpy as np
import pytest
from distributed_trainings import BATCH, EXACT, data, network, train, train_exactly
from subprocesses import mpiexec

import fastnet as fn

RUN = "import distributed_trainings; distributed_trainings.main()"
RANKS = [1, 2, 4]


@functools.cache
def trained(ranks, again=0):
    return json.loads(mpiexec(ranks, RUN).stdout)


@functools.cache
def one_process(name):
    return train_exactly(lambda batch_norm: fn.distributed.OneProcess(batch_norm=batch_norm), **EXACT[name])


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("name", EXACT)
def test_exact_sums_give_the_bits_of_one_process(ranks, name):
    found, expected = trained(ranks)[name], one_process(name)
    assert found["weights"] == expected["weights"]
    assert found == expected  # the history, too


def test_the_same_number_of_ranks_gives_the_same_bits():
    assert trained(2) == trained(2, again=1)


def test_one_rank_gives_the_bits_of_a_training_without():
    assert trained(1)["mean local"] == train(None)
    assert trained(1)["mean local weighted"] == train(None, weighted=True)


def test_gradients_in_buckets_have_the_sum_of_those_in_one():
    for ranks in RANKS:
        found = trained(ranks)
        assert np.allclose(found["in buckets"]["loss"], found["mean local"]["loss"], rtol=1e-4)
    # Of two numbers the sum doesn't depend on how they are sent.
    assert trained(2)["in buckets"] == trained(2)["mean local"]


MEAN = """
import numpy as np, fastnet as fn
from distributed_trainings import data
ranks = fn.distributed.MPI(batch_norm="synchronized")
net = fn.Network([fn.Flatten(), fn.Dense(8), fn.BatchNorm(), fn.Activation("tanh"), fn.Dense(3)], input_shape=(6, 6, 2),
                 seed=1 + ranks.rank, dtype="float64")
trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.5, momentum=0.9), distributed=ranks)
x, y = data(74)  # the last batch has two samples: of three ranks one has none
weights = np.random.default_rng(1).uniform(0.5, 2, len(x))
trainer.fit(x, y, epochs=3, batch_size=24, sample_weight=weights, verbose=0)
if ranks.writes:
    print(repr([p.value.tolist() for p in net.parameters()]))
"""


@pytest.mark.parametrize("ranks", [2, 3])
def test_shares_with_the_statistics_of_the_batch_are_the_batch(ranks):
    """In float64 it is the training of one process with whole batches, whatever seeds the other ranks had."""
    found = eval(mpiexec(ranks, MEAN).stdout)
    layers = [fn.Flatten(), fn.Dense(8), fn.BatchNorm(), fn.Activation("tanh"), fn.Dense(3)]
    net = fn.Network(layers, input_shape=(6, 6, 2), seed=1, dtype="float64")
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.5, momentum=0.9))
    x, y = data(74)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(x))
    trainer.fit(x, y, epochs=3, batch_size=24, sample_weight=weights, verbose=0)
    for parameter, value in zip(net.parameters(), found, strict=True):
        # Running variances are unbiased by the rows of the batch in both.
        assert np.allclose(parameter.value, value, rtol=1e-9, atol=1e-11), parameter.name


def test_pieces_of_one_process_are_the_batch():
    """Without random draws and batch norms it doesn't matter where a batch is cut, but for rounding."""

    def weights(**settings):
        layers = [fn.Flatten(), fn.Dense(8, activation="tanh"), fn.Dense(3)]
        net = fn.Network(layers, input_shape=(6, 6, 2), seed=1, dtype="float64", regularizer=fn.L2(1e-2))
        trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(0.01), **settings)
        x, y = data()
        trainer.fit(x, y, epochs=2, batch_size=BATCH, class_weight={0: 1, 1: 2, 2: 3}, verbose=0)
        return np.concatenate([p.value.ravel() for p in net.parameters()])

    whole = weights()
    for microbatch in (1, 6, 8, 24):
        assert np.allclose(weights(microbatch=microbatch), whole, rtol=1e-9, atol=1e-11)


def test_pieces_need_the_memory_of_one():
    def workspace(**settings):
        net = fn.Network([fn.Conv2D(16, 3, padding="same"), fn.Flatten(), fn.Dense(3)], input_shape=(6, 6, 2), seed=0)
        trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="sgd", **settings)
        trainer.fit(*data(96), batch_size=96, verbose=0)
        return trainer.workspace.block.size

    assert workspace(microbatch=8) < workspace() / 4


@pytest.mark.parametrize("batch_norm", ["local", "synchronized"])
def test_threads_do_not_change_the_bits(batch_norm):
    def weights(threads):
        with fn.threads(threads):
            return train_exactly(lambda _: fn.distributed.OneProcess(batch_norm=batch_norm))["weights"]

    assert weights(1) == weights(3)


def test_train_on_batch_is_a_step_of_fit():
    x, y = data(48)

    def trainer():
        return fn.Trainer(network(), loss="softmax_cross_entropy", optimizer="adam", metrics=["accuracy"], microbatch=4)

    fitted, stepped = trainer(), trainer()
    fitted.fit(x, y, epochs=1, batch_size=24, shuffle=False, verbose=0)
    figures = [stepped.train_on_batch(x[i : i + 24], y[i : i + 24]) for i in (0, 24)]
    for one, other in zip(fitted.net.parameters(), stepped.net.parameters(), strict=True):
        assert (one.value == other.value).all()
    assert np.isclose(np.mean([f["accuracy"] for f in figures]), fitted.history["accuracy"][0])


def test_bad_settings_are_refused():
    net = network()

    def trainer(**settings):
        return fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam", **settings)

    with pytest.raises(TypeError, match="distributed must be"):
        trainer(distributed="mpi")
    with pytest.raises(ValueError, match="batch_size=10 must be a multiple of microbatch=4"):
        trainer(microbatch=4).fit(*data(), batch_size=10, verbose=0)
    with pytest.raises(ValueError, match="batch_norm"):
        fn.distributed.OneProcess(batch_norm="global")
