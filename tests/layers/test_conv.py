"""Convolutions as layers: agreement with PyTorch over several steps, shapes, errors."""

import numpy as np
import pytest

import fastnet as fn

torch = pytest.importorskip("torch")

# layer, the same in PyTorch, one sample's shape
PAIRS = {
    "same": (fn.Conv2D(16, 3, padding="same"), lambda: torch.nn.Conv2d(16, 16, 3, padding="same"), (9, 8, 16)),
    "precise": (fn.Conv2D(16, 3, padding=1, precise=True), lambda: torch.nn.Conv2d(16, 16, 3, padding=1), (9, 8, 16)),
    "stride": (fn.Conv2D(7, 3, stride=2, padding=1), lambda: torch.nn.Conv2d(3, 7, 3, stride=2, padding=1), (8, 9, 3)),
    "groups": (fn.Conv2D(6, (3, 2), groups=3, dilation=2), lambda: torch.nn.Conv2d(3, 6, (3, 2), groups=3, dilation=2), (8, 9, 3)),
    "5x5": (fn.Conv2D(20, 5, padding=2), lambda: torch.nn.Conv2d(18, 20, 5, padding=2), (11, 11, 18)),
    "1x1": (fn.Conv2D(5, 1, use_bias=False), lambda: torch.nn.Conv2d(4, 5, 1, bias=False), (3, 4, 4)),
    "sequence": (fn.Conv1D(5, 3, padding=1, stride=2), lambda: torch.nn.Conv1d(4, 5, 3, padding=1, stride=2), (9, 4)),
    "transposed": (
        fn.Conv2DTranspose(5, 3, stride=2, padding=1, output_padding=1),
        lambda: torch.nn.ConvTranspose2d(4, 5, 3, stride=2, padding=1, output_padding=1),
        (4, 5, 4),
    ),
    "transposed groups": (
        fn.Conv2DTranspose(6, 2, groups=2, dilation=2),
        lambda: torch.nn.ConvTranspose2d(4, 6, 2, groups=2, dilation=2),
        (4, 5, 4),
    ),
}  # fmt: skip


def first(array):
    """Channels last to channels first."""
    return torch.tensor(np.moveaxis(array, -1, 1))


def weights_for_torch(layer, w):
    if isinstance(layer, fn.Conv2DTranspose):
        # (height, width, filters / groups, channels) to (channels, filters / groups, height, width)
        return w.transpose(3, 2, 0, 1)
    return np.moveaxis(w, (-1, -2), (0, 1))


@pytest.mark.parametrize("kind", PAIRS)
def test_agrees_with_torch_over_several_steps(kind):
    layer, make, shape = PAIRS[kind]
    torch.manual_seed(0)
    theirs = make().double()
    net = fn.Network([type(layer)(**layer.config())], input_shape=shape, dtype="float64", seed=0)
    ours = net.layers[0]
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(weights_for_torch(layer, ours.weight.value)))
        if ours.bias is not None:
            theirs.bias.zero_()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, *shape))
    target = rng.normal(size=(3, *net.output_shape))
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1, momentum=0.9))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        ours_loss = trainer.train_on_batch(x, target)["loss"]
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(theirs(first(x)), first(target))
        loss.backward()
        optimizer.step()
        assert ours_loss == pytest.approx(loss.item(), rel=1e-9)
    np.testing.assert_allclose(
        weights_for_torch(layer, ours.weight.value), theirs.weight.detach().numpy(), rtol=1e-8, atol=1e-11
    )
    if ours.bias is not None:
        np.testing.assert_allclose(ours.bias.value, theirs.bias.detach().numpy(), rtol=1e-8, atol=1e-11)


def test_fused_activations_have_the_gradients_of_separate_ones():
    """A convolution's activation, and the slope of the one before it, are applied in stores."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 8, 16)), rng.normal(size=(2, 8, 8, 4))
    for activation in ("relu", "gelu"):
        nets = []
        for fused in (True, False):
            layers = []
            for filters in (16, 20, 4):
                layer = fn.Conv2D(filters, 3, padding="same", activation=activation if fused else None)
                layers += [layer] if fused else [layer, fn.Activation(activation)]
            nets.append(fn.Network(layers, input_shape=(8, 8, 16), dtype="float64", seed=0))
        for parameter, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            parameter.assign(other.value)
        results = []
        for net in nets:
            out = net.forward(x, training=True)
            dx = net.backward(out - y)
            results.append([dx, *(p.grad for p in net.parameters())])
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_fans_count_the_channels_of_a_group():
    net = fn.Network([fn.Conv2D(64, 3, groups=4, init="he_normal")], input_shape=(8, 8, 64), seed=0)
    assert np.std(net.layers[0].weight.value) == pytest.approx(np.sqrt(2 / (9 * 16)), rel=0.03)


@pytest.mark.parametrize(
    "make, shape, words",
    [
        (lambda: fn.Conv2D(4, 3), (2, 5, 1), ["layer 'conv2d_1'", "kernel_size (3, 3)", "larger", "padding='same'"]),
        (lambda: fn.Conv2D(4, 3, groups=2), (5, 5, 3), ["layer 'conv2d_1'", "groups=2", "channels, 3", "is 1"]),
        (lambda: fn.Conv2D(4, 3), (5, 5), ["layer 'conv2d_1'", "(height, width, channels)", "(5, 5)"]),
        (lambda: fn.Conv1D(4, 3), (5, 5, 1), ["layer 'conv1d_1'", "(length, channels)"]),
        (lambda: fn.Conv2DTranspose(4, 3, padding=9), (5, 5, 1), ["layer 'conv2d_transpose_1'", "padding", "nothing"]),
        (lambda: fn.Conv2DTranspose(4, 3, output_padding=1), (5, 5, 1), ["output_padding", "less than the stride"]),
        (lambda: fn.Conv2D(0, 3), (5, 5, 1), ["filters", "at least 1"]),
        (lambda: fn.Conv2D(4, (3, 3, 3)), (5, 5, 1), ["kernel_size", "2 of them"]),
        (lambda: fn.Conv2D(4, 3, padding="vald"), (5, 5, 1), ["padding", "did you mean 'valid'"]),
    ],
)
def test_bad_geometry(make, shape, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        fn.Network([make()], input_shape=shape)
    for word in words:
        assert word in str(caught.value)
