"""Data in batches: from lists, functions, iterators and data loaders, with the bits of `fit` without shuffling."""

import threading
import time
import traceback

import numpy as np
import pytest

import fastnet as fn

HOW = {"loss": "softmax_cross_entropy", "optimizer": "adam", "metrics": ["accuracy"], "verbose": 0}
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(330, 12)).astype("f4")
Y = GENERATOR.integers(0, 3, 330)
W = GENERATOR.uniform(0.1, 2, 330)
BATCHES = [(X[i : i + 32], Y[i : i + 32]) for i in range(0, 330, 32)]  # the last one has ten samples
WEIGHTED = [(x, y, W[32 * i :][: len(x)]) for i, (x, y) in enumerate(BATCHES)]


def make_net():
    layers = [fn.Dense(16, activation="relu"), fn.Dropout(0.2), fn.BatchNorm(), fn.Dense(3)]
    return fn.Network(layers, input_shape=(12,), seed=0)


def bits(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


def endless(batches=BATCHES):
    while True:
        yield from batches


def refilled():
    """The same array for each batch."""
    x = np.empty((32, 12), "f4")
    for part, y in BATCHES:
        x[: len(part)] = part
        yield x[: len(part)], y
        x[:] = np.nan


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("prefetch", [True, False])
def test_arrays_that_are_used_again_and_views_of_maps(tmp_path, prefetch, accumulate):
    np.save(tmp_path / "x.npy", X.astype(">f4"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    sources = [refilled, lambda: ((mapped[i : i + 32], Y[i : i + 32]) for i in range(0, 330, 32))]
    for source in (*sources, list(sources[1]())):
        one, other = make_net(), make_net()
        how = {"average": fn.SWA(start=1), "accumulate": accumulate, "epochs": 2}
        one.fit(X, Y, **HOW, **how, shuffle=False)
        other.fit(source, **HOW, **how, prefetch=prefetch)
        assert bits(one) == bits(other)


class Numbered:
    """As Keras' Sequence."""

    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, i):
        return BATCHES[range(len(BATCHES))[i]]


SOURCES = {
    "list": (lambda: BATCHES, {}),
    "list of lists": (lambda: [list(batch) for batch in BATCHES], {}),
    "function": (lambda: lambda: iter(BATCHES), {}),
    "function in this thread": (lambda: lambda: iter(BATCHES), {"prefetch": False}),
    "generator function": (lambda: refilled, {}),
    "numbered": (Numbered, {}),
    "endless iterator": (endless, {"steps_per_epoch": len(BATCHES)}),
    "list that goes round": (lambda: BATCHES, {"steps_per_epoch": len(BATCHES)}),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("options", [{}, {"accumulate": 4}, {"class_weight": {0: 2.0}}], ids=str)
def test_the_bits_are_those_of_arrays_without_shuffling(kind, options):
    make, how = SOURCES[kind]
    one, other = make_net(), make_net()
    expected = one.fit(X, Y, **HOW, **options, shuffle=False, epochs=3)
    history = other.fit(make(), **HOW, **options, **how, epochs=3)
    assert bits(one) == bits(other)
    assert history["loss"] == expected["loss"] and history["accuracy"] == expected["accuracy"]


def test_weights_validation_augmentation_and_averages():
    one, other = make_net(), make_net()
    how = {**HOW, "epochs": 3, "average": fn.SWA(start=1), "augment": [fn.augment.Mixup()]}
    expected = one.fit(X, Y, **how, sample_weight=W, validation=(X, Y, W), shuffle=False)
    history = other.fit(WEIGHTED, **how, validation=lambda: iter(WEIGHTED), health=True)
    assert bits(one) == bits(other)
    assert history["loss"] == expected["loss"]
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)
    assert one.evaluate(X, Y, sample_weight=W, batch_size=32) == other.evaluate(iter(WEIGHTED))


def test_a_data_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(dataset, batch_size=32)
    one, other = make_net(), make_net()
    one.fit(BATCHES, **HOW, epochs=2)
    other.fit(loader, **HOW, epochs=2, validation=loader)
    assert bits(one) == bits(other)
    assert np.array_equal(one.predict(X), other.predict(loader))
    with pytest.raises(ValueError, match="batch 1 is a single sample.*DataLoader"):
        other.fit(dataset, **HOW)


def test_an_endless_iterator_loses_no_batch():
    source = endless()
    trainer = fn.Trainer(make_net(), loss="softmax_cross_entropy", optimizer="adam")
    trainer.fit(source, steps_per_epoch=3, epochs=2, verbose=0)
    assert next(source)[0] is BATCHES[6][0]
    trainer.fit(source, steps_per_epoch=4, verbose=0)
    assert trainer.step == 10
    with pytest.raises(ValueError, match="ran out in epoch 2 after 3 of 4 batches"):
        trainer.fit(iter(BATCHES[:7]), steps_per_epoch=4, epochs=2, verbose=0)


def test_predictions():
    net = make_net()
    net.fit(BATCHES, **HOW)
    expected = net.predict(X)
    for source in (iter(BATCHES), (x for x, _ in BATCHES), lambda: (x for x, _ in refilled()), Numbered()):
        assert np.array_equal(net.predict(source), expected)
    out = np.empty_like(expected)
    assert net.predict(iter(BATCHES), out=out, prefetch=False) is out and np.array_equal(out, expected)
    assert np.array_equal(net.predict_class(iter(BATCHES)), net.predict_class(X))
    assert net.predict(iter([])).shape == (0, 3)
    with pytest.raises(ValueError, match="out has 300 rows; x has given 320 samples already|out has 300 rows"):
        net.predict(iter(BATCHES), out=out[:300])
    with pytest.raises(ValueError, match=r"x of batch 2 must have shape \(n, 12\)"):
        net.predict(iter([X, X[:, :3]]))


BAD_X = np.where(np.arange(12) == 4, np.nan, X[:32])


@pytest.mark.parametrize(
    "batch, text",
    [
        ((BAD_X, Y[:32]), r"batch 4: x has NaN at index \(0, 4\)"),
        ((X[:32], np.full(32, 7)), "batch 4: y has the label 7 at index 0; the network has 3 outputs"),
        ((X[:32, :5], Y[:32]), r"x of batch 4 must have shape \(n, 12\) for this network; got \(32, 5\)"),
        ((X[:0], Y[:0]), "x of batch 4 is empty"),
        ((X[:32], Y[:31]), "y of batch 4 .* must have the same length"),
        ((X[:32], Y[:32], -np.ones(32)), "sample_weight of batch 4 must not be negative"),
        (X[:32], r"batch 4 must be \(x, y\) or \(x, y, sample_weight\); got ndarray of shape \(32, 12\), without y"),
        ((X[:32],), "batch 4 must be .* got a tuple of 1"),
        (None, "batch 4 must be .* got NoneType None"),
    ],
)
def test_a_bad_batch_is_named_and_changes_nothing(batch, text):
    one, other = make_net(), make_net()

    def source():
        yield from [*BATCHES[:3], batch, *BATCHES]

    with pytest.raises((ValueError, TypeError), match=text):
        one.fit(source, **HOW)
    other.fit(BATCHES[:3], **HOW)
    assert bits(one) == bits(other)
    with pytest.raises((ValueError, TypeError), match=text.replace("batch 4", "validation batch 4")):
        one.fit(X, Y, **HOW, validation=source)


@pytest.mark.parametrize(
    "arguments, options, text",
    [
        ((X,), {}, "y is missing"),
        (([],), {}, "y is missing"),
        ((iter(BATCHES), Y), {}, "x gives batches .list_iterator., which have their targets: leave y out"),
        ((X, Y), {"steps_per_epoch": 3}, "steps_per_epoch is for x that gives batches"),
        ((BATCHES,), {"validation": 0.2}, "validation=0.2 holds samples out of arrays"),
        ((BATCHES,), {"sample_weight": W}, "sample_weight is for arrays"),
        ((BATCHES,), {"class_weight": "balanced"}, "needs all targets beforehand"),
        ((BATCHES,), {"steps_per_epoch": 0}, "steps_per_epoch must be at least 1"),
        ((lambda: 3,), {}, "x must give batches"),
        ((lambda: iter([]),), {}, "x gave no batch in epoch 1"),
        ((iter(BATCHES),), {"average": fn.SWA(start=1)}, "one more pass over the batches"),
        (((b for b in BATCHES),), {"epochs": 2}, "x is a generator, which can be gone through once, for 2 epochs"),
        ((X, Y), {"epochs": 2, "validation": (b for b in BATCHES)}, "validation is a generator"),
    ],
)
def test_what_cannot_work_is_said_before_anything_changes(arguments, options, text):
    net = make_net()
    before = bits(net)
    with pytest.raises((ValueError, TypeError), match=text):
        net.fit(*arguments, **HOW, **options)
    assert bits(net) == before


def test_an_iterator_that_is_used_up():
    with pytest.raises(ValueError, match="x gave no batch in epoch 2; an iterator can be gone through once"):
        make_net().fit(iter(BATCHES), **HOW, epochs=2)


def failing():
    yield from BATCHES[:2]
    raise LookupError("of my own")


@pytest.mark.parametrize("prefetch", [True, False])
def test_errors_of_a_source_are_raised_as_they_are(prefetch):
    one, other = make_net(), make_net()
    with pytest.raises(LookupError, match="of my own") as error:
        one.fit(failing, **HOW, prefetch=prefetch)
    assert "failing" in [frame.name for frame in traceback.extract_tb(error.value.__traceback__)]
    other.fit(BATCHES[:2], **HOW)
    assert bits(one) == bits(other)


def test_a_source_is_asked_by_one_thread_while_steps_run_and_the_thread_ends():
    asked, arrived = set(), []

    def source():
        for batch in BATCHES:
            asked.add(threading.current_thread().name)
            arrived.append(time.perf_counter())
            yield batch

    done = []
    slow = fn.LambdaCallback(on_batch_end=lambda trainer, logs: (time.sleep(0.005), done.append(time.perf_counter())))
    make_net().fit(source, **HOW, callbacks=[slow])
    assert len(asked) == 1 and asked != {threading.main_thread().name}
    assert arrived[3] < done[2]  # the fourth batch is there before the third is done
    asked.clear()
    make_net().fit(source, **HOW, prefetch=False)
    assert asked == {threading.main_thread().name}

    def interrupt(trainer, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_net().fit(endless, **HOW, callbacks=[fn.LambdaCallback(on_batch_end=interrupt)])
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("fastnet batches")]


@pytest.mark.parametrize("prefetch", [True, False])
def test_a_source_may_use_the_network(prefetch):
    net = make_net()

    def source():
        for x, y in BATCHES:
            net.predict(x)
            yield x, y

    net.fit(source, **HOW, prefetch=prefetch, validation=source, average=fn.SWA(start=1))
    net.evaluate(source)
    assert len(net.predict(source)) == 330
