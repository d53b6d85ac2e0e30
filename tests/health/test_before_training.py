"""Checks before training: they leave healthy networks alone, change nothing, and can be read."""

import numpy as np
import pytest
from PIL import Image
from preflight_networks import ENOUGH_TIME, SIGMOID, SOFTMAX, codes, mlp, quick, regression

import fastnet as fn
from fastnet.datasets import Images


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


# The report


def test_the_report_can_be_read(digits):
    x, y = digits
    report = fn.preflight(mlp((32,)), 255 * x, y, loss=SOFTMAX, seconds=ENOUGH_TIME)
    text = str(report)
    assert text.startswith("preflight: 1 problem, 1 warning (")
    for check in report.checks:
        assert check.name in text and check.sentence in text
    for finding in report.findings:
        assert finding.remedy in text
        assert all(np.isfinite(value) for value in finding.to_dict()["evidence"].values())
    assert [f.severity for f in report.findings] == ["problem", "warning"]
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
    with pytest.raises(TypeError, match="encode texts as class numbers"):
        fn.preflight(net, x, y.astype(str), loss=SOFTMAX)


def test_one_sample_is_enough_to_report(digits):
    x, y = digits
    report = quick(mlp(), x[:1], y[:1], loss=SOFTMAX)
    assert report["one batch"].result == "skipped"
