"""Where memory is short: the error names what needs it, its size and the layer, and nothing has changed."""

import re
import sys

import numpy as np
import pytest
import subprocesses

import fastnet as fn
from fastnet import allocation
from fastnet.allocation import allocate, available_memory, in_bytes

limited = pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")

# Networks of 64 x 64 pixels whose first layer makes 1 MiB of a sample, and a limit of a few hundred samples' memory.
SETUP = """
import hashlib, re, resource
import numpy as np, fastnet as fn
rng = np.random.default_rng(0)
x, y = rng.random((1200, 64, 64, 1), dtype=np.float32), np.arange(1200) % 3
def make():
    return fn.Network([fn.Conv2D(64, 3, padding="same", activation="relu", name="wide"), fn.MaxPool2D(8), fn.BatchNorm(),
                       fn.Dropout(0.3), fn.Flatten(), fn.Dense(3)], input_shape=(64, 64, 1), seed=0)
def state(net):
    arrays = b"".join(value.tobytes() for value in net.state_dict().values())
    return (hashlib.sha256(arrays).hexdigest(), net.epochs, net.executor.control.forward, net.executor.control.step,
            net.loss, list(net.metrics))
def limit(bytes):
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + bytes, resource.RLIM_INFINITY))
def unlimited():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
def refused(function, *words):
    try:
        function()
    except MemoryError as error:
        text = str(error)
        assert all(re.search(word, text) for word in words), text
    else:
        raise AssertionError(f"no MemoryError with {words}")
SETTINGS = dict(loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2), epochs=2, batch_size=4, metrics=["accuracy"], verbose=0)
few = slice(0, 10)
"""


def test_sizes_in_words():
    assert [in_bytes(n) for n in (0, 1023, 1024, 1 << 20, 3 << 29, 1 << 42, 5 << 50, 1 << 75)] == [
        "0 B", "1,023 B", "1.0 KiB", "1.0 MiB", "1.5 GiB", "4.0 TiB", "5.0 PiB", "32,768.0 EiB",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1 << 60, 1 << 63, 1 << 80])
def test_a_block_that_no_machine_has(size):
    with pytest.raises(
        MemoryError, match=rf"^cannot allocate {in_bytes(size)} for a test: because(; .* are available)?$"
    ):
        allocate(size, "a test", lambda: "because")


def test_a_layer_that_is_too_large():
    kept = fn.Dense(4)
    with pytest.raises(
        MemoryError, match=r"5\.0 PiB for the parameters: 4\.0 PiB of it for parameter 'dense_2.weight'"
    ):
        fn.Network([kept, fn.Dense(2**48)], input_shape=(3,), seed=0)
    net = fn.Network([kept, fn.Dense(2)], input_shape=(3,), seed=0)
    fresh = fn.Network([fn.Dense(4), fn.Dense(2)], input_shape=(3,), seed=0)
    x = np.ones((2, 3))
    np.testing.assert_array_equal(net.predict(x), fresh.predict(x))


def test_the_outputs_of_too_many_samples():
    net = fn.Network([fn.Dense(2**20, name="wide")], input_shape=(1,), seed=0)
    x = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (2**40, 1), (4, 4))
    with pytest.raises(
        MemoryError, match=re.escape("4.0 EiB for the outputs of 1,099,511,627,776 samples, of layer 'wide'")
    ):
        net.predict(x)
    assert net.predict(np.ones((2, 1))).shape == (2, 2**20)


@limited
def test_batches_that_are_too_large_for_a_network():
    subprocesses.run(SETUP + """
net, twin = make(), make()
net.predict(x[few]), twin.predict(x[few])
before = state(net)
limit(700 << 20)
size = r"cannot allocate [\\d.]+ GiB for ", r"[\\d.]+ [GM]iB of it for layer 'wide'; a smaller batch needs less"
refused(lambda: net.predict(x, batch_size=len(x)), "a pass over 1200 samples", *size)
refused(lambda: net.forward(x, training=True), "a pass over 1200 samples", *size)
refused(lambda: net.evaluate(x, y, loss="softmax_cross_entropy", batch_size=len(x)), "evaluation with batches of 1200", *size)
refused(lambda: net.activations(x, "wide"), "GiB|MiB")
refused(lambda: net.fit(x, y, **SETTINGS | dict(batch_size=len(x))), "training with batches of 1200", *size)
assert state(net) == before
net.fit(x[few], y[few], **SETTINGS)
twin.fit(x[few], y[few], **SETTINGS)
assert state(net)[:4] == state(twin)[:4] != before[:4]
""")  # fmt: skip


@limited
def test_batches_that_are_too_large_for_a_trainer():
    subprocesses.run(SETUP + """
def trained(failing):
    net = make()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2))
    trainer.fit(x[few], y[few], epochs=1, batch_size=4, verbose=0)
    if failing:
        before = state(net), trainer.step
        limit(700 << 20)
        for function in (lambda: trainer.fit(x, y, batch_size=len(x), verbose=0), lambda: trainer.train_on_batch(x, y)):
            refused(function, "training with batches of 1200", "layer 'wide'")
        assert (state(net), trainer.step) == before
    trainer.train_on_batch(x[few], y[few])
    trainer.fit(x[few], y[few], epochs=2, batch_size=5, verbose=0)
    return state(net), trainer.step, trainer.history["loss"]
assert trained(False) == trained(True)
""")  # fmt: skip


@limited
def test_an_optimizer_whose_arrays_are_too_large():
    subprocesses.run(SETUP + """
def make():
    return fn.Network([fn.Dense(4096, name="great"), fn.Dense(3)], input_shape=(4096,), seed=0)
x, y = rng.random((10, 4096), dtype=np.float32), np.arange(10) % 3
net, twin = make(), make()
sgd = SETTINGS | dict(optimizer="sgd")
before = state(net)
limit(100 << 20)
refused(lambda: net.fit(x, y, **SETTINGS), r"64\\.\\d MiB for the optimizer's v: 64\\.0 MiB of it for parameter 'great.weight'$")
unlimited()
assert state(net) == before
net.fit(x, y, **sgd)
twin.fit(x, y, **sgd)
assert state(net)[:4] == state(twin)[:4] != before[:4]
""")  # fmt: skip


def memory_files(folder, available, swap, mount, own):
    """The files of a process in a control group, in kB of the system's memory."""
    (folder / "meminfo").write_text(f"MemTotal: 16777216 kB\nMemAvailable: {available} kB\nSwapFree: {swap} kB\n")
    (folder / "cgroup").write_text(own)
    (folder / "mountinfo").write_text(mount)
    return folder, folder / "meminfo"


def test_available_memory_is_the_systems_or_the_groups(tmp_path):
    mount, job = tmp_path / "groups", tmp_path / "groups" / "job"
    job.mkdir(parents=True)
    files = memory_files(tmp_path, 4096, 100, f"30 23 0:26 / {mount} rw - cgroup2 cgroup2 rw\n", "0::/job\n")
    assert available_memory(*files) == 4196 << 10
    (job / "memory.max").write_text("max\n")
    assert available_memory(*files) == 4196 << 10
    (mount / "memory.max").write_text(f"{3 << 20}\n")
    (mount / "memory.current").write_text(f"{2 << 20}\n")
    (mount / "memory.stat").write_text("anon 5\ninactive_file 7000\nactive_file 192\ntotal_active_file 9\n")
    assert available_memory(*files) == (1 << 20) + 7192 + (100 << 10)
    (mount / "memory.current").write_text(f"{5 << 20}\n")
    assert available_memory(*files) == 100 << 10


def test_available_memory_in_groups_of_version_1(tmp_path):
    files = memory_files(
        tmp_path, 4096, 0, f"30 23 0:26 / {tmp_path} rw - cgroup cgroup rw,memory\n", "4:memory:/\n3:cpu:/\n"
    )
    (tmp_path / "memory.limit_in_bytes").write_text("2000000\n")
    (tmp_path / "memory.usage_in_bytes").write_text("1500000\n")
    (tmp_path / "memory.stat").write_text("inactive_file 3\ntotal_inactive_file 400\ntotal_active_file 20\n")
    assert available_memory(*files) == 500_420
    assert available_memory(tmp_path / "nothing", tmp_path / "nothing") == float("inf")


def test_memory_that_the_system_would_only_promise(monkeypatch):
    net = fn.Network([fn.Dense(2**12, name="wide")], input_shape=(1,), seed=0)
    x = np.ones((2**10, 1), np.float32)
    before = net.predict(x[:1])
    monkeypatch.setattr(allocation, "LARGE", 1 << 20)
    monkeypatch.setattr(allocation, "available_memory", lambda: 10 << 20)
    message = "16.0 MiB of it for layer 'wide'; a smaller batch needs less; 10.0 MiB are available"
    with pytest.raises(MemoryError, match=re.escape(f"16.0 MiB for a pass over 1024 samples: {message}")):
        net.predict(x, batch_size=len(x))
    np.testing.assert_array_equal(net.predict(x)[:1], before)
