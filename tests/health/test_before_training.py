"""Checks before training: they find what is broken, leave healthy networks alone, and change nothing."""

import numpy as np
import pytest
from PIL import Image

import fastnet as fn
from fastnet import initializers
from fastnet.datasets import Images
from fastnet.health import preflight_trial

SOFTMAX, SIGMOID = "softmax_cross_entropy", "sigmoid_cross_entropy"
ENOUGH_TIME = 60  # seconds: a trial always ends by its steps, so that what is found does not depend on the machine


@pytest.fixture(scope="module")
def digits():
    return fn.datasets.digits()[0]


@pytest.fixture(scope="module")
def table():
    """Ten standardized columns, and a smooth function of them with some noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 10))
    y = np.tanh(x @ rng.normal(size=10) / 3) + np.sin(x[:, 0]) + 0.1 * rng.normal(size=1000)
    return x, y


def mlp(hidden=(32,), activation="relu", *, input_shape=(8, 8, 1), outputs=10, seed=0, last=None, **arguments):
    flat = [fn.Flatten()] if len(input_shape) > 1 else []
    layers = [fn.Dense(units, activation=activation, **arguments) for units in hidden]
    return fn.Network([*flat, *layers, last or fn.Dense(outputs, name="head")], input_shape=input_shape, seed=seed)


def regression(hidden=(32,), activation="relu", **arguments):
    return mlp(hidden, activation, input_shape=(10,), outputs=1, **arguments)


def quick(net, x, y, **options):
    """All checks, with hardly any time for trials."""
    return fn.preflight(net, x, y, seconds=1e-3, **options)


def codes(report, least="warning"):
    order = ("info", "warning", "problem")
    return [f.code for f in report.findings if order.index(f.severity) >= order.index(least)]


def found(report, check, code, severity=None):
    """The one finding of a check that has this code."""
    some = [f for f in report[check].findings if f.code == code]
    assert some, str(report)
    if severity:
        assert some[0].severity == severity, str(report)
    assert some[0].meaning and some[0].remedy
    assert all(np.isfinite(value) for value in some[0].to_dict()["evidence"].values())
    return some[0]


class Blind(fn.Layer):
    """A layer that forgets its input."""

    def forward(self, x, training=False):
        return np.zeros_like(x)

    def backward(self, dy):
        return np.zeros_like(dy)


class Sign(fn.Layer):
    """A layer that leaves one bit of its input."""

    def forward(self, x, training=False):
        return np.broadcast_to(np.sign(x.sum(axis=1, keepdims=True)), x.shape)

    def backward(self, dy):
        return np.zeros_like(dy)


# Healthy networks


def _healthy():
    def normalized(activation):
        inner = [part for _ in range(2) for part in (fn.Dense(64), fn.BatchNorm(), fn.Activation(activation))]
        return fn.Network([fn.Flatten(), *inner, fn.Dropout(0.5), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)

    def cnn():
        residual = [fn.Conv2D(16, 3, padding="same", activation="relu"), fn.Conv2D(16, 3, padding="same")]
        return fn.Network(
            [
                fn.Conv2D(16, 3, padding="same", activation="relu"), fn.BatchNorm(), fn.Residual(residual, activation="relu"),
                fn.MaxPool2D(2), fn.Flatten(), fn.Dropout(0.25), fn.Dense(10),
            ],
            input_shape=(8, 8, 1), seed=0,
        )  # fmt: skip

    def logits(**arguments):
        return mlp((16, 16), input_shape=(10,), outputs=1, **arguments)

    return {
        "dense, relu": (mlp((64, 32)), "digits", SOFTMAX, "adam"),
        "dense, tanh": (mlp((64, 32), "tanh"), "digits", SOFTMAX, "adam"),
        "dense, gelu, sgd": (mlp((64, 32), "gelu"), "digits", SOFTMAX, fn.SGD(0.1)),
        "dense, sigmoid": (mlp((64, 32), "sigmoid"), "digits", SOFTMAX, "adam"),
        "three sigmoids": (mlp((64,) * 3, "sigmoid"), "digits", SOFTMAX, "adam"),
        "eight relus": (mlp((64,) * 8), "digits", SOFTMAX, "adam"),
        "narrow": (mlp((8, 8)), "digits", SOFTMAX, "adam"),
        "linear": (mlp(()), "digits", SOFTMAX, fn.SGD(0.01)),
        "a last layer that starts at 0": (mlp((32,), last=fn.Dense(10, init="zeros")), "digits", SOFTMAX, "adam"),
        "batch norm, relu": (normalized("relu"), "digits", SOFTMAX, "adam"),
        "batch norm, sigmoid, sgd": (normalized("sigmoid"), "digits", SOFTMAX, "sgd"),
        "convolutions": (cnn(), "digits", SOFTMAX, "adam"),
        "resnet20": (fn.models.resnet20(input_shape=(8, 8, 1), classes=10, seed=0), "digits", SOFTMAX, "adam"),
        "lenet": (fn.models.lenet(input_shape=(8, 8, 1), classes=10, seed=0), "digits", SOFTMAX, fn.SGD(0.01, momentum=0.9)),
        "pixels to 16": (mlp((64, 32)), "digits * 16", SOFTMAX, "adam"),
        "normalized digits": (mlp((64, 32)), "normalized digits", SOFTMAX, fn.SGD(0.1)),
        "bytes": (None, "bytes", SOFTMAX, "adam"),
        "regression, relu": (regression((32, 32)), "table", "mse", "adam"),
        "regression, tanh, sgd": (regression((32,), "tanh"), "table", "mse", fn.SGD(0.01)),
        "regression, noise": (regression((16,), "silu"), "noise", "huber", "adamw"),
        "regression, linear": (regression(()), "noise", "mse", fn.SGD(0.01)),
        "binary": (logits(), "binary", SIGMOID, "adam"),
        "counts": (regression((32,), "gelu"), "counts", "poisson", "adam"),
        "xor": (mlp((8,), "tanh", input_shape=(2,), outputs=1), "xor", SIGMOID, fn.Adam(0.05)),
        "warmup": (mlp((64,)), "digits", SOFTMAX, fn.SGD(fn.schedules.Exponential(1e-9, 1.01))),
    }  # fmt: skip


HEALTHY = _healthy()


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_networks_are_left_alone(name, digits, table):
    net, data, loss, optimizer = HEALTHY[name]
    (x, y), (columns, target) = digits, table
    rng = np.random.default_rng(1)
    if data == "bytes":
        x = (255 * x).astype(np.uint8)
        net = fn.Network([fn.Normalize.of(x), fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dense(10)],
                         input_shape=(8, 8, 1), seed=0)  # fmt: skip
    x, y = {
        "digits": lambda: (x, y),
        "digits * 16": lambda: (16 * x, y),
        "normalized digits": lambda: ((x - x.mean()) / x.std(), y),
        "bytes": lambda: (x, y),
        "table": lambda: (columns, target),
        "noise": lambda: (columns, 0.2 * target + rng.normal(size=1000)),
        "binary": lambda: (columns, (target > 0).astype(int)),
        "counts": lambda: (columns, rng.poisson(np.exp(target))),
        "xor": lambda: (np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])),
    }[data]()
    report = fn.preflight(net, x, y, loss=loss, optimizer=optimizer, seconds=ENOUGH_TIME)
    assert codes(report) == [], str(report)
    assert report.ok
    assert report["one batch"].result == "good"
    assert report["use of the inputs"].result == "good"


def test_a_new_head_on_a_frozen_body_is_healthy(digits):
    body = mlp((64, 32)).up_to("dense_2")
    body.trainable = False
    net = fn.Network([body, fn.Dense(10, name="head")], input_shape=(8, 8, 1), seed=1)
    optimizer = fn.Adam(1e-2, groups=[fn.ParameterGroup(net["head"], weight_decay=0.01)])
    report = fn.preflight(net, *digits, loss=SOFTMAX, optimizer=optimizer, seconds=ENOUGH_TIME)
    assert codes(report, "info") == []


def test_images_in_files(digits, tmp_path):
    x, y = digits
    for i in range(40):
        Image.fromarray((255 * x[i, :, :, 0]).astype(np.uint8)).save(tmp_path / f"{i:02}.png")
    images = Images([tmp_path / f"{i:02}.png" for i in range(40)], (8, 8, 1))
    report = fn.preflight(mlp((32,)), images, y[:40], loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert codes(report) == []
    assert report["inputs"].numbers["rms"] == pytest.approx(np.sqrt((x[:40] ** 2).mean()), abs=1 / 255)


def test_a_trained_network_is_healthy(digits):
    net = mlp((64,))
    net.fit(*digits, epochs=5, loss=SOFTMAX, verbose=0)
    report = quick(net, *digits)
    assert codes(report, "info") == []
    assert "trained already" in report["first loss"].sentence


# The network stays as it is


def state_of(net):
    return (
        {name: value.tobytes() for name, value in net.state_dict().items()},
        {p.name: p.grad.tobytes() for p in net.parameters()},
        (net.epochs, net.executor.control.forward, net.loss, list(net.metrics), dict(net.extra)),
        [
            (layer.trainable, layer.regularizer, getattr(layer, "rate", 0), getattr(layer, "momentum", 0))
            for layer in net
        ],
    )


def changing_network():
    """Everything that a training step changes: running statistics, dropout's counter, penalties, gradients."""
    return fn.Network(
        [
            fn.Flatten(), fn.Dense(16, regularizer=fn.L2(1e-3)), fn.BatchNorm(), fn.Activation("relu"), fn.Dropout(0.3),
            fn.Dense(10),
        ],
        input_shape=(8, 8, 1), seed=5,
    )  # fmt: skip


def test_the_network_is_as_before_and_a_fit_has_the_same_bits(digits):
    x, y = digits
    nets = [changing_network() for _ in range(2)]
    for net in nets:
        net.fit(x[:200], y[:200], loss=SOFTMAX, metrics=["accuracy"], verbose=0)
    optimizer = fn.Adam(1e-2, groups=[fn.ParameterGroup(nets[0].layers[1], learning_rate=1e-3)])
    before = state_of(nets[0])
    assert fn.preflight(nets[0], x, y, optimizer=optimizer).ok
    assert state_of(nets[0]) == before
    for net in nets:
        net.fit(x, y, epochs=2, loss=SOFTMAX, verbose=0)
    assert state_of(nets[0])[:2] == state_of(nets[1])[:2]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("calls", [1, 4, 9])
def test_the_network_is_as_before_when_checks_are_interrupted(digits, failure, calls):
    class Broken(fn.Loss):
        done = 0

        def per_sample(self, y_predicted, y):
            Broken.done += 1
            if Broken.done > calls:
                raise failure
            error = y_predicted - y
            return (error**2).sum(axis=1), 2 * error

    x, y = digits
    net = changing_network()
    net.fit(x[:200], y[:200], loss=SOFTMAX, verbose=0)
    before = state_of(net)
    with pytest.raises(failure):
        fn.preflight(net, x, np.eye(10)[y], loss=Broken())
    assert Broken.done == calls + 1
    assert state_of(net) == before


def test_the_same_findings_each_time(digits):
    reports = [fn.preflight(mlp(), 255 * digits[0], digits[1], loss=SOFTMAX, seconds=ENOUGH_TIME) for _ in range(2)]
    assert reports[0].checks == reports[1].checks
    assert [c.numbers for c in reports[0].checks] == [c.numbers for c in reports[1].checks]


# Inputs


def test_values_that_are_not_finite(digits):
    x, y = digits
    x = x.reshape(-1, 64).copy()
    x[17, 3], x[40, 5] = np.nan, np.inf
    report = quick(mlp(input_shape=(64,)), x, y, loss=SOFTMAX)
    finding = found(report, "finite values", "non-finite", "problem")
    assert finding.evidence == {"samples": 2, "first": 17}
    assert "sample 17, column 3" in finding.meaning
    assert not report.ok and len(report.checks) == 2


def test_targets_that_are_not_finite(table):
    x, y = table
    y = y.copy()
    y[9] = -np.inf
    report = quick(regression(), x, y, loss="mse")
    assert "sample 9" in found(report, "finite values", "non-finite", "problem").meaning


def test_weights_that_are_not_finite(digits):
    net = mlp()
    with net["dense_1"].weight.edit() as w:
        w[0, 0] = np.nan
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert found(report, "activations by depth", "non-finite", "problem").layer == "dense_1"
    found(report, "first loss", "non-finite", "problem")
    found(report, "one batch", "non-finite", "problem")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x * np.where(np.arange(10) == 3, 200, 1), "column 3"),  # one large column
        (lambda x: x * np.where(np.arange(10) < 4, 1e-3, 1), "very different scales"),  # some small ones
        (lambda x: x * np.where(np.arange(10) == 3, 20, 1), None),
        (lambda x: x + np.where(np.arange(10) == 7, 2000, 0), "mean of column 7"),
        (lambda x: x + 5, None),
        (lambda x: 100 * x, "large"),
        (lambda x: 1e-3 * x, "tiny"),
        (lambda x: 0.1 * x, None),
        # Columns that are 0 but for few samples: counts, margins of images.
        (lambda x: np.where((np.arange(10) < 5) & (x < 2.5), 0, x) * np.where(np.arange(10) < 5, 0.001, 1), None),
    ],
)
def test_scales_of_inputs(table, change, words):
    x, y = table
    report = quick(regression(), change(x), y, loss="mse")
    if words is None:
        assert report["inputs"].findings == ()
    else:
        assert words in found(report, "inputs", "input-scale", "warning").meaning


def test_pixels_as_bytes_are_large(digits):
    x, y = digits
    assert "large" in found(quick(mlp(), 255 * x, y, loss=SOFTMAX), "inputs", "input-scale", "warning").meaning
    norm_first = fn.Network([fn.BatchNorm(), fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    report = quick(norm_first, 255 * x, y, loss=SOFTMAX)
    assert report["inputs"].findings == ()
    assert "normalizes" in report["inputs"].sentence


def test_normalize_is_looked_behind(table):
    x, y = table
    x = 1000 * x + 3000
    layers = [fn.Dense(16, activation="relu"), fn.Dense(1)]
    net = fn.Network([fn.Normalize.of(x), *layers], input_shape=(10,), seed=0)
    assert quick(net, x, y, loss="mse")["inputs"].findings == ()
    wrong = fn.Network([fn.Normalize(0, 1), *[fn.Dense(16, activation="relu"), fn.Dense(1)]], input_shape=(10,), seed=0)
    assert "behind normalize_1" in found(quick(wrong, x, y, loss="mse"), "inputs", "input-scale").meaning


def test_constant_columns_are_worth_knowing(digits):
    x, y = digits
    flat = x.reshape(-1, 64)
    expected = int((flat == flat[0]).all(axis=0).sum())
    assert expected > 0
    finding = found(quick(mlp(input_shape=(64,)), flat, y, loss=SOFTMAX), "inputs", "input-scale", "info")
    assert finding.evidence["constant"] == expected


def test_samples_that_are_all_the_same(digits):
    x, y = digits
    report = quick(mlp(), np.ones_like(x), y, loss=SOFTMAX)
    found(report, "inputs", "input-scale", "problem")


def test_repeated_samples(digits):
    x, y = digits
    twice, labels = np.concatenate([x, x[:300]]), np.concatenate([y, y[:300]])
    report = quick(mlp(), twice, labels, loss=SOFTMAX)
    assert found(report, "repeated samples", "labels", "info").evidence["repeated"] == pytest.approx(600 / len(twice))
    assert quick(mlp(), x, y, loss=SOFTMAX)["repeated samples"].numbers["repeated"] < 0.01


def test_the_same_samples_with_other_labels(digits):
    x, y = digits
    twice, labels = np.concatenate([x, x[:300]]), np.concatenate([y, (y[:300] + 1) % 10])
    report = fn.preflight(mlp(), twice, labels, loss=SOFTMAX, seconds=ENOUGH_TIME)
    finding = found(report, "repeated samples", "labels", "warning")
    assert finding.evidence["contradicting"] == pytest.approx(600 / len(twice))
    assert finding.evidence["best accuracy"] == pytest.approx(1 - 300 / len(twice), abs=0.01)
    assert report["one batch"].result == "good"  # which is made of different samples


def test_few_different_samples_repeat_as_a_matter_of_course():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (500, 3)), rng.integers(0, 2, 500)
    report = fn.preflight(mlp((16,), input_shape=(3,), outputs=2), x, y, loss=SOFTMAX, seconds=ENOUGH_TIME)
    found(report, "repeated samples", "labels", "info")
    assert codes(report) == []


# Targets


def test_classes_of_different_sizes(digits):
    x, y = digits
    rare = np.flatnonzero(y == 3)
    keep = np.setdiff1d(np.arange(len(y)), rare[5:])
    finding = found(quick(mlp(), x[keep], y[keep], loss=SOFTMAX), "classes", "labels", "warning")
    assert "Class 3" not in finding.meaning and "class 3 has 5" in finding.meaning
    binary = (y == 3).astype(int)[np.concatenate([np.flatnonzero(y != 3), rare[:20]])]
    x = x[np.concatenate([np.flatnonzero(y != 3), rare[:20]])]
    found(quick(mlp(outputs=1), x, binary, loss=SIGMOID), "classes", "labels", "warning")


def test_classes_that_never_occur(digits):
    x, y = digits
    report = quick(mlp(outputs=12), x, y, loss=SOFTMAX)
    assert "10, 11" in found(report, "classes", "labels", "warning").meaning
    report = quick(mlp(outputs=11), x, y + 1, loss=SOFTMAX)
    assert "count from 0" in found(report, "classes", "labels", "warning").remedy
    report = quick(mlp(), x, np.full_like(y, 4), loss=SOFTMAX)
    found(report, "classes", "labels", "problem")


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (lambda y: 1e4 * y, "input-scale", "warning"),
        (lambda y: 1e-4 * y, "input-scale", "warning"),
        (lambda y: 10 * y, None, None),
        (lambda y: y + 1000, "input-scale", "warning"),
        (lambda y: y + 50, "input-scale", "info"),
        (lambda y: 0 * y + 3, "labels", "problem"),
    ],
)
def test_scales_of_targets(table, change, code, severity):
    report = quick(regression(), table[0], change(table[1]), loss="mse")
    if code is None:
        assert report["targets"].findings == ()
    else:
        found(report, "targets", code, severity)


# Loss and output


def test_softmax_twice(digits):
    net = mlp(last=fn.Dense(10, activation="softmax", name="head"))
    report = quick(net, *digits, loss=SOFTMAX)
    finding = found(report, "loss and output", "saturated-activation", "problem")
    assert finding.layer == "head" and "softmax" in finding.meaning and "activation=None" in finding.remedy
    assert not report.ok


@pytest.mark.parametrize(
    ("outputs", "loss", "change", "words"),
    [
        (10, SIGMOID, lambda y: y, "softmax_cross_entropy"),
        (10, "mse", lambda y: y, "softmax_cross_entropy"),
        (1, SOFTMAX, lambda y: y % 2, "sigmoid_cross_entropy"),
        (10, SOFTMAX, lambda y: y.astype(float), "astype(int)"),
        (10, SOFTMAX, lambda y: y + 1, "y - 1"),
        (8, SOFTMAX, lambda y: y, "10 units"),
        (1, SIGMOID, lambda y: y, "softmax_cross_entropy"),
        (1, SIGMOID, lambda y: 2 * (y % 2) - 1, "(y + 1) / 2"),
        (1, "poisson", lambda y: y - 5, "mse"),
        (3, "mse", lambda y: np.zeros((len(y), 2)), "(n, 3)"),
    ],
)
def test_losses_that_do_not_fit_the_targets(digits, outputs, loss, change, words):
    x, y = digits
    report = quick(mlp(outputs=outputs), x, change(y), loss=loss)
    assert words in found(report, "loss and output", "labels", "problem").remedy


def test_probabilities_that_do_not_sum_to_1(digits):
    x, y = digits
    report = quick(mlp(), x, np.eye(10)[y] / 2, loss=SOFTMAX)
    found(report, "loss and output", "labels", "warning")
    assert codes(fn.preflight(mlp(), x, np.eye(10)[y], loss=SOFTMAX, seconds=ENOUGH_TIME)) == []


@pytest.mark.parametrize(
    ("activation", "change", "severity"),
    [
        ("relu", lambda y: y, "problem"),
        ("relu", abs, None),
        ("sigmoid", lambda y: y, "problem"),
        ("tanh", lambda y: 3 * y, "problem"),
        ("tanh", lambda y: y / abs(y).max(), None),
        (fn.ELU(0.5), lambda y: y, "problem"),
        (fn.ELU(5), lambda y: y, None),
        ("softplus", lambda y: np.where(np.arange(len(y)) % 50, abs(y), -1), "warning"),  # 2 % of the targets
        (None, lambda y: y, None),
    ],
)
def test_outputs_that_cannot_reach_the_targets(table, activation, change, severity):
    net = regression(last=fn.Dense(1, activation=activation, name="head"))
    y = change(table[1])
    report = quick(net, table[0], y, loss="mse")
    if severity is None:
        assert report["range of the output"].result == "good"
    else:
        finding = found(report, "range of the output", "saturated-activation", severity)
        assert finding.layer == "head" and getattr(activation, "name", activation) in finding.meaning
        assert finding.evidence["least target"] == pytest.approx(y.min())


@pytest.mark.parametrize(
    ("activation", "loss", "severity"),
    [("tanh", SOFTMAX, "warning"), ("sigmoid", SOFTMAX, "problem"), ("relu", SOFTMAX, "warning"), ("relu", SIGMOID, "problem"),
     ("gelu", SOFTMAX, None)],
)  # fmt: skip
def test_logits_in_a_narrow_range(digits, activation, loss, severity):
    x, y = digits
    outputs = 10 if loss == SOFTMAX else 1
    net = mlp(last=fn.Dense(outputs, activation=activation, name="head"))
    report = quick(net, x, y if loss == SOFTMAX else y % 2, loss=loss)
    if severity is None:
        assert report["range of the output"].result == "good"
    else:
        found(report, "range of the output", "saturated-activation", severity)


@pytest.mark.parametrize("loss", [SOFTMAX, SIGMOID, "mse"])
def test_the_first_loss_is_compared_with_that_of_outputs_of_0(digits, table, loss):
    x, y = digits if loss != "mse" else table
    y = y % 2 if loss == SIGMOID else y
    expected = {SOFTMAX: np.log(10), SIGMOID: np.log(2), "mse": np.mean(y**2)}[loss]
    shape = x.shape[1:]

    def report(std):
        last = fn.Dense(10 if loss == SOFTMAX else 1, init=initializers.Normal(std=std))
        return quick(mlp(input_shape=shape, last=last), x, y, loss=loss)

    check = report(0.01)["first loss"]
    assert check.result == "good"
    # Of the table 256 samples are looked at: their mean square deviates by about 1 / sqrt(256).
    assert check.numbers["expected"] == pytest.approx(expected, rel=1e-6 if loss != "mse" else 0.3)
    assert check.numbers["loss"] == pytest.approx(check.numbers["expected"], rel=0.05)
    found(report(20), "first loss", "initialization-scale", "warning")
    if loss != "mse":
        found(report(2), "first loss", "initialization-scale", "info")


# The network


def test_vanishing_gradients(digits):
    report = fn.preflight(mlp((32,) * 10, "sigmoid"), *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    finding = found(report, "gradients by depth", "vanishing-gradients")
    assert finding.layer == "dense_1"
    assert finding.evidence["first / last"] < 1e-3 and finding.evidence["rate"] < 0.5


def test_exploding_gradients(digits):
    net = mlp((64,) * 40, "tanh", init=initializers.Normal(std=4 / 8))
    finding = found(quick(net, *digits, loss=SOFTMAX), "gradients by depth", "exploding-gradients")
    assert finding.evidence["first / last"] > 1e3


@pytest.mark.parametrize(("gain", "word"), [(0.4, "shrinks"), (4, "grows")])
def test_signals_that_change_with_depth(digits, gain, word):
    net = mlp((64,) * 12, init=initializers.Normal(std=gain * np.sqrt(2 / 64)))
    finding = found(quick(net, *digits, loss=SOFTMAX), "activations by depth", "initialization-scale")
    assert word in finding.meaning
    assert finding.evidence["rate"] == pytest.approx(gain, rel=0.2)


def test_batch_norm_keeps_the_signal(digits):
    inner = [part for _ in range(12) for part in (fn.Dense(64, init=initializers.Normal(std=30)), fn.BatchNorm(),
                                                  fn.Activation("tanh"))]  # fmt: skip
    net = fn.Network([fn.Flatten(), *inner, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    report = quick(net, *digits, loss=SOFTMAX)
    assert report["activations by depth"].result == "good"
    assert report["units"].result == "good"  # as the batch is normalized, not as first running statistics have it


def test_small_branches_and_last_layers_are_no_fault(digits):
    small = initializers.Normal(std=1e-5)
    branches = [fn.Residual([fn.Dense(64, activation="relu"), fn.Dense(64, init=small)]) for _ in range(2)]
    net = fn.Network([fn.Flatten(), fn.Dense(64), *branches, fn.Dense(10, init=small)], input_shape=(8, 8, 1), seed=0)
    assert codes(fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME), "info") == []


def test_signals_that_grow_from_block_to_block(digits):
    large = initializers.Normal(std=6 / 8)
    blocks = [fn.Residual([fn.Dense(64, activation="relu"), fn.Dense(64, init=large)]) for _ in range(8)]
    net = fn.Network([fn.Flatten(), *blocks, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    finding = found(quick(net, *digits, loss=SOFTMAX), "activations by depth", "initialization-scale")
    assert "grows" in finding.meaning and "std of residual_8.add_1" in finding.evidence


def test_one_layer_of_another_scale(digits):
    net = mlp((64, 64, 64))
    weight = net["dense_2"].weight
    weight.assign(50 * weight.value)
    finding = found(quick(net, *digits, loss=SOFTMAX), "activations by depth", "initialization-scale")
    assert finding.layer == "dense_2" and 25 < finding.evidence["gain"] < 100


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_units_that_are_all_the_same(digits, value):
    init = initializers.Constant(value)
    net = mlp((16,), "tanh", last=fn.Dense(10, init=init, name="head"), init=init)
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert found(report, "units", "symmetric-initialization", "problem").layer == "dense_1"
    convolution = fn.Network(
        [fn.Conv2D(4, 3, init=init), fn.Flatten(), fn.Dense(10, init=init)], input_shape=(8, 8, 1), seed=0
    )
    found(quick(convolution, *digits, loss=SOFTMAX), "units", "symmetric-initialization", "problem")


def test_equal_units_that_others_tell_apart(digits):
    net = mlp((16,), "tanh", init=initializers.Constant(0.01))
    assert report_codes(net, digits, "units") == []


def report_codes(net, data, check):
    return [f.code for f in quick(net, *data, loss=SOFTMAX)[check].findings]


def test_dead_units(digits):
    net = mlp((32, 32), bias_init=initializers.Constant(-10.0))
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert found(report, "units", "dead-relu", "problem").layer == "dense_1"
    assert not report.ok
    bias = np.where(np.arange(32) < 20, -10, 0)
    half = mlp((32,), bias_init=bias)
    assert found(quick(half, *digits, loss=SOFTMAX), "units", "dead-relu", "warning").evidence["share"] >= 20 / 32


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_saturated_units(digits, activation):
    x, y = digits
    net = mlp((32,), activation)
    assert report_codes(net, (x, y), "units") == []
    assert report_codes(net, (1000 * x, y), "units") == ["saturated-activation"]


# Trials on one batch


def test_a_network_that_ignores_its_inputs(digits):
    net = fn.Network(
        [fn.Flatten(), Blind(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0
    )
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    finding = found(report, "use of the inputs", "underfitting", "problem")
    assert finding.evidence["ratio"] == pytest.approx(1, abs=0.05)
    found(report, "one batch", "underfitting", "problem")


def test_a_network_that_loses_most_of_its_inputs(digits):
    net = fn.Network([fn.Flatten(), fn.Dense(16), Sign(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1),
                     seed=0)  # fmt: skip
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert "underfitting" in [f.code for f in report["one batch"].findings]


def test_dropout_and_penalties_do_not_hide_what_can_be_learned(digits):
    layers = [fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dropout(0.95), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0, regularizer=fn.L2(10))
    report = fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)
    assert report["one batch"].result == "good"
    assert report["one batch"].numbers["first loss"] == pytest.approx(report["first loss"].numbers["loss"], rel=0.1)


def test_frozen_networks(digits):
    net = mlp((32,))
    net["dense_1"].trainable = False
    assert codes(fn.preflight(net, *digits, loss=SOFTMAX, seconds=ENOUGH_TIME)) == []
    net["head"].trainable = False
    found(quick(net, *digits, loss=SOFTMAX), "one batch", "underfitting", "problem")


@pytest.mark.parametrize(
    ("optimizer", "code"),
    [
        (fn.SGD(1e4), "learning-rate-high"),
        (fn.Adam(30.0), "learning-rate-high"),
        (fn.SGD(1e-7), "learning-rate-low"),
        (fn.SGD(0.0), "learning-rate-low"),
        (fn.SGD(1e-2), None),
        (fn.Adam(1e-2), None),
    ],
)
def test_learning_rates(digits, optimizer, code):
    report = fn.preflight(mlp((32,)), *digits, loss=SOFTMAX, optimizer=optimizer, seconds=ENOUGH_TIME)
    assert [f.code for f in report["optimizer"].findings] == ([code] if code else [])
    assert report["one batch"].result == "good"


def test_trials_end_in_time(digits, monkeypatch):
    steps = []

    def passes(self, x, y):
        steps.append(len(x))
        return {"loss": 2.3}

    monkeypatch.setattr(preflight_trial.Trainer, "train_on_batch", passes)
    clock = iter(np.arange(0, 1e6, 0.05))
    monkeypatch.setattr(preflight_trial.time, "perf_counter", lambda: next(clock))
    report = fn.preflight(mlp(), *digits, loss=SOFTMAX, seconds=1.0)
    # Each step takes a twentieth of a second at least.
    assert 10 <= len(steps) <= 20 and set(steps) == {32}
    assert report["one batch"].result == "skipped"
    assert report["use of the inputs"].result == "skipped"


def test_batches_have_different_samples_of_all_classes(digits):
    x, y = digits
    data = np.concatenate([x[:5]] * 400 + [x[:100]])
    labels = np.concatenate([y[:5]] * 400 + [y[:100]])
    net = mlp((32,))
    targets = fn.health.before_training.labels.form_of(fn.SoftmaxCrossEntropy(), labels, (10,))
    order = np.random.default_rng(0).permutation(len(data))
    rows = preflight_trial.choose_batch(net, fn.SoftmaxCrossEntropy(), data, targets, order, 32)
    assert len(rows) == 32
    assert len(np.unique(data[rows].reshape(32, -1), axis=0)) == 32
    assert np.bincount(labels[rows], minlength=10).min() >= 2
    assert len(preflight_trial.choose_batch(net, fn.SoftmaxCrossEntropy(), data, targets, order, 16)) == 16


# The report


def test_the_report_can_be_read(digits):
    x, y = digits
    report = fn.preflight(mlp((32,)), 255 * x, y, loss=SOFTMAX, seconds=ENOUGH_TIME)
    text = str(report)
    assert text.startswith("preflight: 2 warnings (")
    for check in report.checks:
        assert check.name in text and check.sentence in text
    for finding in report.findings:
        assert finding.remedy in text
        assert all(np.isfinite(value) for value in finding.to_dict()["evidence"].values())
    assert [f.severity for f in report.findings] == sorted((f.severity for f in report.findings), reverse=True)
    with pytest.raises(KeyError, match="use of the inputs"):
        report["inpts"]


def test_wrong_arguments_are_refused(digits):
    x, y = digits
    net = mlp()
    with pytest.raises(ValueError, match="loss is missing"):
        fn.preflight(net, x, y)
    with pytest.raises(ValueError, match="softmax_cross_entropy"):
        fn.preflight(net, x, y, loss="softmax_crossentropy")
    with pytest.raises(ValueError, match="x must have shape"):
        fn.preflight(net, x.reshape(-1, 64), y, loss=SOFTMAX)
    with pytest.raises(ValueError, match="same length"):
        fn.preflight(net, x, y[:-1], loss=SOFTMAX)
    with pytest.raises(ValueError, match="seconds"):
        fn.preflight(net, x, y, loss=SOFTMAX, seconds=0)
    with pytest.raises(ValueError, match="batch_size"):
        fn.preflight(net, x, y, loss=SOFTMAX, batch_size=0)
    with pytest.raises(TypeError, match="class numbers 0, 1, 2"):
        fn.preflight(net, x, y.astype(str), loss=SOFTMAX)


def test_one_sample_is_enough_to_report(digits):
    x, y = digits
    report = quick(mlp(), x[:1], y[:1], loss=SOFTMAX)
    assert report["one batch"].result == "skipped"
