"""The search for a learning rate: what it suggests, and that it leaves no trace."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnet as fn

(X, Y), _ = fn.datasets.digits()


def make_mlp(seed=0):
    return fn.models.mlp(input_shape=(8, 8, 1), classes=10, seed=seed)


def make_cnn(seed=0):
    layers = [
        fn.Conv2D(16, 3, padding="same", activation="relu"), fn.MaxPool2D(2),
        fn.Conv2D(32, 3, padding="same", activation="relu"), fn.Flatten(), fn.Dense(10),
    ]  # fmt: skip
    return fn.Network(layers, input_shape=(8, 8, 1), seed=seed)


def search(net, x=X, y=Y, **options):
    return fn.find_learning_rate(net, x, y, **{"loss": "softmax_cross_entropy", **options})


OPTIMIZERS = {"sgd": fn.SGD, "momentum": lambda rate: fn.SGD(rate, momentum=0.9), "adam": fn.Adam}


@pytest.mark.parametrize("make_net", [make_mlp, make_cnn])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_suggestion_trains_well(make_net, name):
    make = OPTIMIZERS[name]
    last = {1 / 30: 0.0, 1: 0.0, 30: 0.0}
    for seed in (0, 2):
        suggestion = search(make_net(seed), optimizer=make(1.0)).suggestion
        for factor in last:
            history = make_net(seed).fit(
                X, Y, epochs=3, loss="softmax_cross_entropy", optimizer=make(factor * suggestion),
                on_nonfinite="continue", verbose=0,
            )  # fmt: skip
            last[factor] += history["loss"][-1] / 2
    assert last[1] < 0.8, "0.1 to 0.4 on one machine; 2.3 before training"
    assert last[1] < last[1 / 30] / 2, "a small rate is still on its way"
    assert last[1] < last[30] / 2, "and one that is too great gets nowhere"


def test_the_optimizer_decides():
    rates = [search(make_mlp(), optimizer=make(1.0)).suggestion for make in OPTIMIZERS.values()]
    assert rates[2] < rates[1] < rates[0], "momentum 0.9 makes ten times the steps, and Adam's are of one size"


def test_rates_losses_and_averages():
    found = search(make_mlp(), optimizer="sgd", lowest=1e-4, highest=1e-2, steps=50)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) == 50
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1e-2, 50), rtol=1e-13)
    weights = 0.9 ** np.arange(50)
    averages = [np.average(found.losses[: n + 1][::-1], weights=weights[: n + 1]) for n in range(50)]
    np.testing.assert_allclose(found.smoothed, averages, rtol=1e-13)
    # The updates are those of a training with this schedule.
    trainer = fn.Trainer(make_mlp(), loss="softmax_cross_entropy",
                         optimizer=fn.SGD(fn.schedules.Exponential(1e-4, 100, decay_steps=49)))  # fmt: skip
    watch = Losses()
    trainer.fit(X, Y, drop_last=True, callbacks=[watch], verbose=0, epochs=2)
    n_epoch = len(X) // 32
    assert watch.losses[: min(50, n_epoch)] == found.losses[:n_epoch].tolist()


class Losses(fn.Callback):
    def __init__(self):
        self.losses = []

    def on_batch_end(self, trainer, logs):
        self.losses.append(logs["loss"])


def test_ends_when_the_loss_has_grown():
    found = search(make_mlp(), optimizer="sgd", highest=1e4)
    assert len(found.rates) < 100
    ratios = found.smoothed / np.minimum.accumulate(found.smoothed)
    assert (ratios[:-1] <= 4).all()
    assert np.isfinite(found.losses).all() and found.suggestion < found.rates[int(np.argmin(found.smoothed))]


def noisy_net():
    layers = [fn.Flatten(), fn.Dense(20, activation="relu"), fn.BatchNorm(), fn.Dropout(0.5), fn.Dense(10)]
    return fn.Network(layers, input_shape=(8, 8, 1), seed=3)


def everything(net):
    state = {name: value.tobytes() for name, value in net.state_dict().items()}
    gradients = [p.grad.tobytes() for p in net.parameters()]
    return state, gradients, net.executor.control.forward, net.epochs, net.loss, net.metrics, copy.deepcopy(net.extra)


class Interrupting(fn.losses.SoftmaxCrossEntropy):
    """Ctrl-C, or an error, in the middle of a step."""

    error = None
    calls = 0

    def per_sample(self, y_predicted, y):
        Interrupting.calls += 1
        if Interrupting.calls == 30:
            raise self.error
        e = y_predicted - np.eye(10)[y.astype(int).ravel()]
        return (e**2).mean(axis=1), 2 * e / 10

    record = fn.Loss.record


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_leaves_no_trace(error):
    searched, other = noisy_net(), noisy_net()
    options = {"optimizer": "adam", "metrics": ["accuracy"], "verbose": 0, "epochs": 2}
    for net in (searched, other):
        net.fit(X, Y, loss="softmax_cross_entropy", **options)
    before = everything(searched)
    optimizer = fn.Adam(0.123)
    if error is None:
        assert search(searched, loss=None, optimizer=optimizer).suggestion is not None
    else:
        Interrupting.error, Interrupting.calls = error, 0
        with pytest.raises(error):
            search(searched, loss=Interrupting(), optimizer=optimizer)
        assert Interrupting.calls == 30
    assert everything(searched) == before and optimizer.learning_rate == 0.123
    histories = [net.fit(X, Y, **options) for net in (searched, other)]
    assert dict(histories[0]) == dict(histories[1])
    assert everything(searched)[:4] == everything(other)[:4]


def test_no_suggestion_without_a_fall():
    net = make_mlp()
    for layer in net.layers:
        layer.trainable = False
    found = search(net)
    assert found.suggestion is None and "did not fall" in found.reason and "no suggestion: the loss" in repr(found)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(640, 5)).astype("float32")
    linear = fn.Network([fn.Dense(1, init="zeros")], input_shape=(5,), seed=0)
    found = search(linear, noise, rng.normal(size=640), loss="mse", optimizer="sgd")
    assert found.suggestion is None, "there is nothing to learn"
    found = search(make_mlp(), optimizer="sgd", lowest=1e3, highest=1e6)
    assert found.suggestion is None and "take a smaller `lowest`" in found.reason


@pytest.mark.parametrize("n, batch_size", [(40, 32), (20, 32), (64, 64)])
def test_few_samples(n, batch_size):
    found = search(noisy_net(), X[:n], Y[:n], batch_size=batch_size)
    assert 20 <= len(found.rates) <= 100


def test_options_are_those_of_fit():
    weight = np.zeros(len(Y))
    weight[Y < 5] = 1.0
    found = search(
        make_cnn(), sample_weight=weight, class_weight="balanced", augment=[fn.augment.RandomCrop(1)], clip_norm=1.0
    )
    assert 1e-4 < found.suggestion < 0.1


@pytest.mark.parametrize("options, text", [
    ({"loss": None}, "loss is missing; one of"),
    ({"lowest": 0}, "lowest must be above 0"),
    ({"lowest": 1, "highest": 0.1}, "highest must be above 1; got 0.1"),
    ({"steps": 5}, "steps must be at least 20; got 5"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"optimizer": "adem"}, "did you mean 'adam'"),
    ({"x": X[:, :5]}, r"x must have shape \(n, 8, 8, 1\)"),
    ({"x": 3.0}, "x must"),
    ({"y": Y[:7]}, "y and x must have the same length"),
    ({"x": X[:0], "y": Y[:0]}, "x is empty"),
])  # fmt: skip
def test_bad_input(options, text):
    net = make_mlp()
    with pytest.raises((ValueError, TypeError), match=text):
        search(net, **options)
    assert net.executor.control.forward == net.epochs == 0


def test_plots(tmp_path):
    figure = pytest.importorskip("matplotlib.figure", reason="Matplotlib is not installed")
    found = search(make_mlp())
    for name, start in (("rates.png", b"\x89PNG"), ("rates.svg", b"<?xml"), ("rates.pdf", b"%PDF")):
        found.plot(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    axes = figure.Figure().add_subplot()
    assert found.plot(axes) is axes.figure and axes.get_xscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["batches", "smoothed", f"suggestion {found.suggestion:.2g}"]
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), np.column_stack([found.rates, found.smoothed]))
    assert len(found.plot().axes[0].lines) == 3
    nothing = search(make_mlp(), optimizer="sgd", lowest=1e3, highest=1e6)
    assert len(nothing.plot().axes[0].lines) == 2
    with pytest.raises(TypeError, match="target must be a path or axes"):
        found.plot(3)


def test_without_matplotlib_the_error_says_what_to_install():
    program = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.figure"] = None
import numpy as np, fastnet as fn
net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
found = fn.find_learning_rate(net, np.ones((40, 2)), np.ones(40), loss="mse")
try:
    found.plot("a.png")
except ModuleNotFoundError as error:
    assert 'pip install "fastnet-cpu[plot]"' in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                   check=True)  # fmt: skip


def test_groups_that_were_made_with_the_networks_layers():
    (x, y), _ = fn.datasets.digits()
    net = fn.Network(
        [fn.Flatten(), fn.Dense(16, activation="relu"), fn.Dense(10, name="head")], input_shape=(8, 8, 1), seed=0
    )
    found = []
    for head in (net["head"], "head.*"):
        groups = [fn.ParameterGroup(head, weight_decay=0.5)]
        for optimizer in (fn.SGD(0.1, groups=groups), fn.Muon(0.02, others=fn.AdamW(groups=groups), exclude=[head])):
            found.append(
                fn.find_learning_rate(net, x, y, loss="softmax_cross_entropy", optimizer=optimizer, steps=20).losses
            )
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])
