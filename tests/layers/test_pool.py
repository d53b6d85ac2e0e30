"""Pooling and resampling layers: training beside PyTorch, what is recorded, and impossible shapes."""

import numpy as np
import pytest

import fastnet as fn


def steps_beside_torch(layers, modules, input_shape):
    """Train 1x1 products around the layers for some steps in both libraries; x and weights stay the same."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    net = fn.Network([fn.Dense(6, activation="tanh"), *layers, fn.Flatten(), fn.Dense(4)],
                     input_shape=input_shape, dtype="float64", seed=0)  # fmt: skip
    first = torch.nn.Conv2d(input_shape[-1], 6, 1)

    class ToRows(torch.nn.Module):
        def forward(self, x):
            return (x if x.dim() == 2 else x.permute(0, 2, 3, 1)).flatten(1)

    last = torch.nn.Linear(net[-1].weight.shape[0], 4)
    twin = torch.nn.Sequential(first, torch.nn.Tanh(), *modules(torch), ToRows(), last).double()
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            theirs[...] = torch.tensor(ours.value.T.copy()).reshape(theirs.shape)
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1, momentum=0.9))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for _ in range(4):
        x, y = rng.normal(size=(5, *input_shape)), rng.integers(0, 4, 5)
        found = trainer.train_on_batch(x, y)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(torch.tensor(x.transpose(0, 3, 1, 2))), torch.tensor(y))
        loss.backward()
        optimizer.step()
        assert np.isclose(found["loss"], loss.item(), rtol=1e-12)
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        their = theirs.detach().numpy()
        assert np.allclose(ours.value.T, their.reshape(ours.value.T.shape), rtol=1e-9, atol=1e-12), ours.name


@pytest.mark.parametrize(
    ("layers", "modules"),
    [
        (lambda: [fn.MaxPool2D(2)], lambda t: [t.nn.MaxPool2d(2)]),
        (
            lambda: [fn.MaxPool2D(3, stride=2, padding=1, ceil_mode=True)],
            lambda t: [t.nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)],
        ),
        (
            lambda: [fn.AvgPool2D(3, stride=2, padding=1, ceil_mode=True)],
            lambda t: [t.nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)],
        ),
        (
            lambda: [fn.AvgPool2D(3, padding=1, count_include_pad=False)],
            lambda t: [t.nn.AvgPool2d(3, padding=1, count_include_pad=False)],
        ),
        (lambda: [fn.GlobalAvgPool2D()], lambda t: [t.nn.AdaptiveAvgPool2d(1)]),
        (lambda: [fn.GlobalMaxPool2D(keep_dims=True)], lambda t: [t.nn.AdaptiveMaxPool2d(1)]),
        (lambda: [fn.UpSample2D(3), fn.MaxPool2D(2)], lambda t: [t.nn.Upsample(scale_factor=3), t.nn.MaxPool2d(2)]),
        (
            lambda: [fn.UpSample2D(interpolation="bilinear")],
            lambda t: [t.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)],
        ),
        (lambda: [fn.ReflectPad2D(((1, 2), (3, 0)))], lambda t: [t.nn.ReflectionPad2d((3, 0, 1, 2))]),
        (lambda: [fn.ZeroPad2D(((1, 2), (3, 0)))], lambda t: [t.nn.ZeroPad2d((3, 0, 1, 2))]),
        (lambda: [fn.Crop2D(((1, 2), (0, 3)))], lambda t: [t.nn.ZeroPad2d((0, -3, -1, -2))]),
    ],
)
def test_training_agrees_with_torch(layers, modules):
    steps_beside_torch(layers(), modules, (6, 7, 3))


@pytest.mark.parametrize("kind", ["max", "average"])
def test_series_agree_with_torch(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.random.default_rng(0).normal(size=(3, 11, 5))
    ours, theirs = (fn.MaxPool1D, torch.nn.MaxPool1d) if kind == "max" else (fn.AvgPool1D, torch.nn.AvgPool1d)
    net = fn.Network([ours(3, stride=2, padding=1, ceil_mode=True)], input_shape=(11, 5), dtype="float64", seed=0)
    source = torch.tensor(x.transpose(0, 2, 1), requires_grad=True)
    output = theirs(3, stride=2, padding=1, ceil_mode=True)(source)
    y = net.forward(x, training=True)
    assert np.allclose(y, output.detach().numpy().transpose(0, 2, 1), rtol=1e-12)
    dy = np.random.default_rng(1).normal(size=y.shape)
    output.backward(torch.tensor(dy.transpose(0, 2, 1)))
    assert np.allclose(net.backward(dy), source.grad.numpy().transpose(0, 2, 1), rtol=1e-12)


def calls_of_a_step(net, x, y):
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1))
    trainer.train_on_batch(x, y)
    return trainer


def test_a_first_layer_has_no_gradient_and_keeps_no_argmax(monkeypatch):
    """Nobody reads the gradient at the network's input in training."""
    from fastnet.recording import program

    recorded = []
    original = program.Program.__init__

    def keep(self, recording, *arguments, **options):
        original(self, recording, *arguments, **options)
        recorded.append(recording)

    monkeypatch.setattr(program.Program, "__init__", keep)
    x, y = np.zeros((3, 4, 4, 2), "float32"), np.zeros(3, int)
    head = [fn.Flatten(), fn.Dense(2)]
    calls_of_a_step(fn.Network([fn.MaxPool2D(2), *head], input_shape=(4, 4, 2), seed=0), x, y)
    nodes = {node.kernel: node for node in recorded[-1].nodes}
    assert "max_pool_backward" not in nodes and "argmax" not in nodes["max_pool"].writes
    calls_of_a_step(fn.Network([fn.Dense(2), fn.MaxPool2D(2), *head], input_shape=(4, 4, 2), seed=0), x, y)
    nodes = {node.kernel: node for node in recorded[-1].nodes}
    assert nodes["max_pool_backward"].reads["argmax"] is nodes["max_pool"].writes["argmax"]


def test_a_batch_of_another_size_and_a_shape_of_another_size():
    """One layer at two places of different sizes."""
    pool = fn.MaxPool2D(2)
    net = fn.Network([pool, pool, fn.Flatten(), fn.Dense(2)], input_shape=(8, 8, 3), seed=0)
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 3))
    assert fn.check_gradients(net, x, np.ones((5, 2)), loss="mse").ok
    assert net.predict(x[:2]).shape == (2, 2)


def test_errors():
    image = (5, 6, 3)
    for make, shape, error, match in [
        (lambda: fn.MaxPool2D(0), image, ValueError, "pool_size must be at least 1"),
        (lambda: fn.MaxPool1D((2, 2)), (5, 3), ValueError, "pool_size must be a whole number or 1 of them"),
        (lambda: fn.AvgPool2D(2, padding="vaild"), image, ValueError, "did you mean 'valid'"),
        (lambda: fn.MaxPool2D(7), image, ValueError, r"pool_size \(7, 7\) is larger than the padded input"),
        (lambda: fn.MaxPool2D(2, padding=2), image, ValueError, "padding must be smaller than pool_size"),
        (lambda: fn.AvgPool2D(2), (5,), ValueError, r"AvgPool2D needs inputs of shape \(height, width, channels\)"),
        (lambda: fn.MaxPool1D(2), image, ValueError, r"MaxPool1D needs inputs of shape \(length, channels\)"),
        (lambda: fn.GlobalAvgPool2D(), (5, 3), ValueError, "GlobalAvgPool2D needs inputs of shape"),
        (lambda: fn.GlobalMaxPool2D(keep_dims=0), image, TypeError, "keep_dims must be True or False"),
        (lambda: fn.UpSample2D(0), image, ValueError, "factor must be at least 1"),
        (lambda: fn.UpSample2D(interpolation="cubic"), image, ValueError, "interpolation 'cubic' is not one of"),
        (lambda: fn.ReflectPad2D(5), image, ValueError, r"smaller than the image that it reflects, \(5, 6\)"),
        (lambda: fn.ZeroPad2D(-1), image, ValueError, "padding must be at least 0"),
        (lambda: fn.Crop2D(3), image, ValueError, "leaves nothing"),
    ]:
        with pytest.raises(error, match=match):
            fn.Network([make()], input_shape=shape)
