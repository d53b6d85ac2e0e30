"""Depthwise and separable convolutions against PyTorch, and their errors."""

import numpy as np
import pytest

import fastnet as fn


def to_torch(torch, weight):
    return torch.tensor(np.ascontiguousarray(weight.transpose(3, 2, 0, 1)))


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("kernel, stride, dilation", [(3, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2)])
def test_agrees_with_torch_over_several_steps(kernel, stride, dilation, multiplier):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 9, 8, 5))
    options = {"stride": stride, "dilation": dilation, "padding": 1 + dilation}
    net = fn.Network(
        [
            fn.DepthwiseConv2D(kernel, **options, multiplier=multiplier, activation="relu"),
            fn.SeparableConv2D(4, 3, padding="same", multiplier=multiplier),
            fn.Flatten(),
        ],
        input_shape=x.shape[2:], seed=0, dtype="float64",
    )  # fmt: skip
    inner = 5 * multiplier
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(5, inner, kernel, **options, groups=5),
        torch.nn.ReLU(),
        torch.nn.Conv2d(inner, inner * multiplier, 3, padding=1, groups=inner, bias=False),
        torch.nn.Conv2d(inner * multiplier, 4, 1),
    ).double()
    with torch.no_grad():
        for theirs, ours in zip(twin.parameters(), net.parameters(), strict=True):
            theirs[...] = to_torch(torch, ours.value) if ours.value.ndim == 4 else torch.tensor(ours.value.copy())
    y = rng.normal(size=(4, 3, *net.output_shape))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.05))
    for step in range(4):
        optimizer.zero_grad()
        outputs = twin(torch.tensor(x[step]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1)
        loss = torch.nn.functional.mse_loss(outputs, torch.tensor(y[step]))
        loss.backward()
        optimizer.step()
        found = trainer.train_on_batch(x[step], y[step])
        assert np.isclose(found["loss"], loss.item(), rtol=1e-12)
    for theirs, ours in zip(twin.parameters(), net.parameters(), strict=True):
        right = theirs.detach().numpy()
        np.testing.assert_allclose(
            ours.value, right.transpose(2, 3, 1, 0) if right.ndim == 4 else right, rtol=1e-8, atol=1e-10
        )


def test_parameters():
    net = fn.Network(
        [fn.DepthwiseConv2D(3, multiplier=2), fn.SeparableConv2D(7, (1, 2), multiplier=3)],
        input_shape=(5, 5, 4),
        seed=0,
    )
    assert [(p.name.split(".")[1], p.shape) for p in net.parameters()] == [
        ("weight", (3, 3, 1, 8)), ("bias", (8,)),
        ("depthwise_weight", (1, 2, 1, 24)), ("weight", (1, 1, 24, 7)), ("bias", (7,)),
    ]  # fmt: skip
    assert net.output_shape == (3, 2, 7)


@pytest.mark.parametrize("make", [lambda **o: fn.DepthwiseConv2D(3, **o), lambda **o: fn.SeparableConv2D(4, 3, **o)])
@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"multiplier": 0}, ValueError, ["multiplier", "at least 1", "0"]),
        ({"multiplier": 1.5}, TypeError, ["multiplier", "whole number", "1.5"]),
        ({"stride": 0}, ValueError, ["stride", "at least 1"]),
        ({"padding": "sam"}, ValueError, ["padding", "did you mean 'same'"]),
        ({"use_bias": 1}, TypeError, ["use_bias"]),
    ],
)
def test_bad_arguments(make, options, error, words):
    with pytest.raises(error) as caught:
        make(**options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "layer, name",
    [(lambda: fn.DepthwiseConv2D(3), "DepthwiseConv2D"), (lambda: fn.SeparableConv2D(4, 3), "SeparableConv2D")],
)
def test_bad_inputs(layer, name):
    with pytest.raises(ValueError, match=rf"{name} takes inputs of shape \(height, width, channels\); got \(5, 4\)"):
        fn.Network([layer()], input_shape=(5, 4))
    with pytest.raises(ValueError, match="kernel_size.*larger"):
        fn.Network([layer()], input_shape=(2, 5, 4))
