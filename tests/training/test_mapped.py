"""Memory maps: the bits of the same array in memory, in little memory, checked as they are read."""

import os
import sys
import threading

import numpy as np
import pytest
from subprocesses import run

import fastnet as fn

HOW = {"loss": "softmax_cross_entropy", "optimizer": "adam", "metrics": ["accuracy"], "verbose": 0}


def make_net(width=12, **options):
    layers = [fn.Dense(16, activation="relu"), fn.Dropout(0.2), fn.BatchNorm(), fn.Dense(3)]
    return fn.Network(layers, input_shape=(width,), seed=0, **options)


def bits(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(700, 12)).astype("f4"), generator.integers(0, 3, 700)


@pytest.fixture
def mapped(tmp_path):
    """A function that gives an array as a memory map."""

    def save(array, mode="r"):
        path = tmp_path / f"{len(os.listdir(tmp_path))}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode=mode)

    return save


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks where usually all would be one."""
    monkeypatch.setattr("fastnet.training.mapped.BLOCK_BYTES", 5000)
    monkeypatch.setattr("fastnet.training.prediction.BLOCK_BYTES", 5000)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fastnet rows")]


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 3},
        {"epochs": 2, "validation": 0.2, "batch_size": 33},
        {"epochs": 2, "shuffle": False, "drop_last": True, "batch_size": 33},
        {"epochs": 2, "accumulate": 3, "class_weight": "balanced"},
        {"epochs": 2, "sample_weight": np.linspace(0.1, 2, 700), "validation": 0.3, "health": True},
        {"epochs": 3, "average": fn.SWA(start=1)},
    ],
    ids=lambda options: ",".join(options),
)
def test_the_bits_are_those_of_the_array_in_memory(data, mapped, small_blocks, options):
    x, y = data
    nets, found = (make_net(), make_net()), []
    for net, arrays in zip(nets, ((x, y), (mapped(x), mapped(y))), strict=True):
        history = net.fit(*arrays, **HOW, **options)
        found.append((bits(net), {name: history[name] for name in ("loss", "accuracy")}))
    assert found[0] == found[1]
    assert threads() == []


@pytest.mark.parametrize(
    "view", ["x[:, ::-1]", "x[::-2]", "x[:, :5]", "x.astype('>f4')", "x.astype('f8')", "x * 9 // 1", "x.T.copy().T"]
)
def test_views_and_dtypes(data, mapped, small_blocks, view):
    x, y = data
    if "astype" in view or "copy" in view or "//" in view:
        x = eval(view)
        whole = mapped(x)
    else:
        whole = eval(view, {"x": mapped(x)})
        x = eval(view)
    y = y[: len(x)]
    one, other = make_net(x.shape[1]), make_net(x.shape[1])
    one.fit(x, y, **HOW)
    other.fit(whole, y, **HOW)
    assert bits(one) == bits(other)
    assert one.evaluate(x, y) == other.evaluate(np.asarray(whole), y)
    assert np.array_equal(one.predict(x), other.predict(whole))


def test_augmented_images_and_autoencoders(mapped, small_blocks):
    x = np.random.default_rng(0).integers(0, 255, (90, 8, 8, 1)).astype(np.uint8)
    found = []
    for images in (x, mapped(x)):
        net = fn.Network([fn.Flatten(), fn.Dense(64), fn.Reshape((8, 8, 1))], input_shape=(8, 8, 1), seed=0)
        net.fit(images, images, loss="mse", augment=[fn.augment.RandomFlip(), fn.augment.RandomCrop(2)], epochs=2,
                batch_size=8, verbose=0)  # fmt: skip
        found.append(bits(net))
    assert found[0] == found[1]


@pytest.mark.parametrize("validation", [None, 0.3])
def test_nan_is_found_as_it_is_read_and_its_batch_changes_nothing(data, mapped, small_blocks, validation):
    x, y = data
    x[650, 4] = np.nan
    net = make_net()
    with pytest.raises(
        ValueError, match=r"x has NaN at index \(650, 4\); no weight has changed by this batch"
    ) as error:
        net.fit(mapped(x), y, **HOW, shuffle=False, validation=validation)
    assert "updates before it stay" in str(error.value)
    assert all(np.isfinite(value).all() for value in net.state_dict().values())
    before = bits(net)
    with pytest.raises(ValueError, match=r"x has NaN at index \(650, 4\)$"):
        net.evaluate(mapped(x), y)
    assert bits(net) == before
    assert threads() == []


def test_labels_and_validation_are_named(data, mapped):
    x, y = data
    y[600] = 3
    with pytest.raises(ValueError, match="y has the label 3 at index 600; the network has 3 outputs"):
        make_net().fit(x, mapped(y), **HOW)
    with pytest.raises(ValueError, match="validation y has the label 3 at index 600"):
        make_net().fit(x, y % 3, validation=(mapped(x), mapped(y)), **HOW)


def test_whatever_ends_a_training_ends_the_thread(data, mapped, small_blocks):
    x, y = data
    for error in (KeyboardInterrupt, ZeroDivisionError):

        def fail(trainer, logs, error=error):
            assert threads() or trainer.step > 15  # it reads while steps run
            raise error

        with pytest.raises(error):
            make_net().fit(mapped(x), y, **HOW, callbacks=[fn.LambdaCallback(on_batch_end=fail)])
        assert threads() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps mapped files from being cut")
def test_a_file_that_is_cut_short_is_an_error(data, mapped, small_blocks):
    x, y = data
    whole = mapped(x)

    def cut(trainer, logs):
        os.truncate(whole.filename, 5000)

    with pytest.raises(OSError, match=r"has 5,000 bytes; the array that is mapped from it needs .* cut short"):
        make_net().fit(whole, y, **HOW, epochs=2, callbacks=[fn.LambdaCallback(on_epoch_end=cut)])
    with pytest.raises(OSError, match="cut short"):
        make_net().predict(whole)
    assert threads() == []


def test_changes_of_a_copy_on_write_map_are_kept(data, mapped, small_blocks, monkeypatch):
    monkeypatch.setattr("fastnet.training.mapped.RELEASE_BYTES", 1000)
    x, y = data
    whole = mapped(x, "c")
    whole[:] = x[::-1]
    one, other = make_net(), make_net()
    one.fit(x[::-1], y, **HOW)
    other.fit(whole, y, **HOW)
    assert bits(one) == bits(other)
    assert np.array_equal(whole, x[::-1])


MEMORY = """
import numpy as np, fastnet as fn
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10
x = fn.datasets.load({path!r})
y = np.arange(len(x)) % 3
net = fn.Network([fn.Dense(4, activation="relu"), fn.Dense(3)], input_shape=x.shape[1:], seed=0)
how = dict(loss="softmax_cross_entropy", batch_size=128, verbose=0)
net.fit(x[:1000], y[:1000], **how)
before = peak()
net.fit(x, y, validation=0.2, **how)
net.fit(x[:, ::-1], y, shuffle=False, **how)
net.evaluate(x, y)
net.predict(x)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process's memory is read from /proc")
def test_a_large_file_takes_little_memory(tmp_path):
    path = tmp_path / "large.npy"
    shape = 100_000, 784
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 4 * shape[0] * shape[1])
    grown = int(run(MEMORY.format(path=str(path))))
    assert grown < 150  # MiB, of a file of 299
