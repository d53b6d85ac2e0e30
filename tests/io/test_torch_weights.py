"""Weights of PyTorch modules give networks of the same structure the same results, and the other way round."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import fastnet as fn  # noqa: E402

IMAGE = (8, 8, 3)


def double(net):
    """A network of the same structure in float64."""
    nodes = [fn.Node(n.name, type(n.layer)(**n.layer.config()), list(n.inputs)) for n in net.graph.nodes]
    return fn.Network.from_nodes(nodes, input_shape=net.input_shape, output=net.graph.output, dtype="float64", seed=1)


def randomized(module, seed=0):
    """The module in float64, with values that no array has by default."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            centered = name.endswith(("bias", "running_mean")) or tensor.ndim > 1
            scale = 5 * tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 1
            tensor.copy_((noise - 0.5 if centered else noise + 0.5) * scale)
    return module


def channels_first(x):
    return torch.tensor(np.moveaxis(x, -1, 1).copy()) if x.ndim > 2 else torch.tensor(x)


def agree(net, module, x, convert=channels_first):
    """Whether both have the same predictions, which depend on the input."""
    with torch.no_grad():
        expected = module(convert(x)).numpy()
    expected = np.moveaxis(expected, 1, -1) if expected.ndim > 2 and convert is channels_first else expected
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-8, atol=1e-10)


def loaded(layers, module, shape, convert=channels_first, names=None):
    """A network of layers with the module's weights, which agrees with it and gives them back."""
    module = randomized(module)
    net = fn.Network(layers, input_shape=shape, dtype="float64", seed=0)
    matched = fn.io.load_torch_state_dict(net, module.state_dict(), names=names)
    agree(net, module, np.random.default_rng(0).normal(size=(6, *shape)), convert)
    back = fn.io.torch_state_dict(net, names=matched)
    for name, tensor in module.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(back[name], tensor), name
    return net


@pytest.mark.parametrize("name", ["resnet20", "lenet", "vgg_small", "mobilenet_tiny"])
def test_models_agree_with_modules_of_their_structure(name):
    module = randomized(getattr(torch_models, name)())
    net = double(fn.models.MODELS[name](input_shape=IMAGE, classes=10))
    fn.io.load_torch_state_dict(net, module.state_dict())
    agree(net, module, np.random.default_rng(1).normal(size=(4, *IMAGE)))
    other = getattr(torch_models, name)().double()
    other.load_state_dict(fn.io.torch_state_dict(net, like=other.state_dict()))
    for key, tensor in module.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(other.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", ["resnet20", "lenet"])
def test_training_goes_on_as_there(name):
    module = getattr(torch_models, name)()
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    module = module.double().train()
    net = double(fn.models.MODELS[name](input_shape=IMAGE, classes=10))
    for layer in net.layers:
        if isinstance(layer, fn.Dropout):
            layer.rate = 0.0
    fn.io.load_torch_state_dict(net, module.state_dict())
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.05, momentum=0.9))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x, y = rng.normal(size=(8, *IMAGE)), rng.integers(0, 10, 8)
        loss = trainer.train_on_batch(x, y)["loss"]
        optimizer.zero_grad()
        expected = functional.cross_entropy(module(channels_first(x)), torch.tensor(y))
        expected.backward()
        optimizer.step()
        assert loss == pytest.approx(expected.item(), rel=1e-9)
    trained = fn.io.torch_state_dict(net, like=module.state_dict())
    for key, tensor in module.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(trained[key], tensor, rtol=1e-6, atol=1e-9, err_msg=key)


def test_float32_has_the_same_bits():
    torch.manual_seed(0)
    module = torch_models.lenet()
    net = fn.models.lenet(input_shape=IMAGE, classes=10, seed=0)
    matched = fn.io.load_torch_state_dict(net, module.state_dict())
    back = fn.io.torch_state_dict(net, names=matched)
    assert back.keys() == module.state_dict().keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in module.state_dict().items())
    again = fn.models.lenet(input_shape=IMAGE, classes=10, seed=1)
    fn.io.load_torch_state_dict(again, back)
    x = np.random.default_rng(0).normal(size=(3, *IMAGE))
    assert again.predict(x).tobytes() == net.predict(x).tobytes()


class Features(nn.Module):
    """All that may lie between flattened images and the next product, and branches."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 2, 3, stride=2, padding=1)
        self.bn, self.act, self.ln = nn.BatchNorm1d(256), nn.PReLU(256), nn.LayerNorm(256)
        self.rms = nn.RMSNorm(32, eps=1e-5)
        self.fc, self.out = nn.Linear(256 + 32, 5), nn.Linear(5, 2)

    def forward(self, x):
        a = self.ln(self.act(self.bn(self.a(x).flatten(1))))
        b = self.rms(torch.tanh(self.b(x)).flatten(1))
        return self.out(functional.gelu(self.fc(torch.cat([a, b], 1))))


def test_all_behind_flattened_images_is_permuted():
    a = [fn.Conv2D(4, 3, padding=1), fn.Flatten(), fn.BatchNorm(), fn.PReLU(), fn.LayerNorm()]
    b = [fn.Conv2D(2, 3, stride=2, padding=1), fn.Flatten(), fn.Dropout(0.3), fn.Activation("tanh")]
    branches = fn.Concat([a, [*b, fn.RMSNorm(epsilon=1e-5)]])
    loaded([branches, fn.Dense(5, activation="gelu"), fn.Dense(2)], Features(), IMAGE)


class Generator(nn.Module):
    """Features that become images: what makes them gives them with the channels first."""

    def __init__(self):
        super().__init__()
        self.fc, self.bn, self.act = nn.Linear(6, 128), nn.BatchNorm1d(128), nn.PReLU()
        self.t, self.o = nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=2), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return torch.tanh(self.o(functional.relu(self.t(self.act(self.bn(self.fc(x))).view(-1, 8, 4, 4)))))


def test_a_product_whose_features_become_images():
    layers = [fn.Dense(128), fn.BatchNorm(), fn.PReLU(shared=True), fn.Reshape((4, 4, 8))]
    layers += [fn.Conv2DTranspose(4, 4, stride=2, padding=1, groups=2, activation="relu")]
    loaded([*layers, fn.Conv2D(1, 3, padding=1, activation="tanh")], Generator(), (6,))


def test_flattened_images_that_become_images_again():
    layers = [fn.Conv2D(2, 1), fn.Flatten(), fn.BatchNorm(), fn.Reshape((4, 5, 2)), fn.Conv2D(3, 3)]
    module = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.Flatten(), nn.BatchNorm1d(40), nn.Unflatten(1, (2, 4, 5)), nn.Conv2d(2, 3, 3)
    )
    loaded(layers, module, (4, 5, 3))


class Separable(nn.Module):
    def __init__(self):
        super().__init__()
        self.gn, self.ln = nn.GroupNorm(3, 3), nn.LayerNorm([3, 8, 8])
        self.depthwise = nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False)
        self.pointwise = nn.Conv2d(6, 4, 1)
        self.bn = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 8, 3, stride=2, groups=4)
        self.fc = nn.Linear(8, 2, bias=False)

    def forward(self, x):
        x = functional.silu(self.bn(self.pointwise(self.depthwise(self.ln(self.gn(x))))))
        return self.fc(functional.adaptive_avg_pool2d(self.down(x), 1).flatten(1))


def test_a_separable_convolution_is_two_modules_and_pooled_features_keep_their_order():
    layers = [fn.GroupNorm(3), fn.LayerNorm(axes=3), fn.SeparableConv2D(4, 3, padding="same", multiplier=2)]
    layers += [fn.BatchNorm(), fn.Activation("silu"), fn.DepthwiseConv2D(3, stride=2, multiplier=2)]
    net = loaded([*layers, fn.GlobalAvgPool2D(), fn.Dense(2, use_bias=False)], Separable(), IMAGE)
    matched = fn.io.load_torch_state_dict(net, Separable().state_dict())
    assert matched["depthwise"] == "separable_conv2d_1.depthwise"
    assert matched["pointwise"] == "separable_conv2d_1.pointwise"
    assert list(matched.values())[4:] == ["batch_norm_1", "depthwise_conv2d_1", "dense_1"]


def test_sequences():
    module = nn.Sequential(
        nn.Conv1d(3, 5, 3, stride=2), nn.BatchNorm1d(5), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(25, 2)
    )
    layers = [fn.Conv1D(5, 3, stride=2), fn.BatchNorm(), fn.Activation("relu"), fn.MaxPool1D(2), fn.Flatten()]
    loaded([*layers, fn.Dense(2)], module, (21, 3))


def test_rows_of_features_at_each_place_are_flattened_as_they_are():
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm([5, 4]), nn.LayerNorm(4), nn.Flatten(), nn.Linear(20, 2))
    layers = [fn.Dense(4), fn.LayerNorm(axes=2), fn.LayerNorm(), fn.Flatten(), fn.Dense(2)]
    loaded(layers, module, (5, 3), convert=torch.tensor)


def test_features_that_become_rows_at_each_place():
    module = nn.Sequential(nn.Linear(6, 20), nn.Unflatten(1, (5, 4)), nn.LayerNorm([5, 4]), nn.Linear(4, 3))
    loaded([fn.Dense(20), fn.Reshape((5, 4)), fn.LayerNorm(axes=2), fn.Dense(3)], module, (6,), convert=torch.tensor)


class Added(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.bn, self.fc = (
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(3, 4, 1),
            nn.BatchNorm1d(256),
            nn.Linear(256, 2),
        )

    def forward(self, x):
        return self.fc(self.bn(torch.relu(self.a(x).flatten(1) + self.b(x).flatten(1))))


def test_flattened_images_that_are_added():
    branch = fn.Residual([fn.Conv2D(4, 1), fn.Flatten()], shortcut=[fn.Conv2D(4, 1), fn.Flatten()], activation="relu")
    loaded([branch, fn.BatchNorm(), fn.Dense(2)], Added(), IMAGE)


def test_norms_with_half_of_their_parameters():
    """PyTorch's norms have a weight and a bias: what is 1 and 0 may be there, and is written."""
    net = fn.Network([fn.BatchNorm(scale=False), fn.GroupNorm(2, center=False)], input_shape=(4,), seed=0)
    module = nn.Sequential(nn.BatchNorm1d(4), nn.GroupNorm(2, 4))
    module[0].bias.data[:], module[1].weight.data[:] = 3.0, 2.0
    fn.io.load_torch_state_dict(net, module.state_dict())
    back = fn.io.torch_state_dict(net, like=module.state_dict())
    assert all(torch.equal(back[key], tensor) for key, tensor in module.state_dict().items())
    assert fn.io.torch_state_dict(net).keys() == {
        f"{name}.{array}"
        for name, arrays in (("batch_norm_1", fn.io.torch_state_dict(net)), ("group_norm_1", {}))
        for array in ("weight", "bias", *(("running_mean", "running_var", "num_batches_tracked") if arrays else ()))
    }
    module[0].weight.data[1] = 2.0
    with pytest.raises(ValueError, match=r"value of 0.weight: not 1 everywhere.*'batch_norm_1'.*has no weight"):
        fn.io.load_torch_state_dict(net, module.state_dict())


def test_a_shared_layer_and_a_layer_of_ones_own():
    class Scale(fn.Layer):
        def build(self, shape):
            self.scale = self.add_parameter("scale", shape)
            return shape

        def forward(self, x, training=False):
            return x * self.scale.value

        def backward(self, dy):
            raise NotImplementedError

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(torch.tanh(self.fc(x))) * self.scale

    dense = fn.Dense(4)
    loaded([dense, fn.Activation("tanh"), dense, Scale()], Module(), (4,))


@pytest.mark.parametrize(
    "layers, shape, reason",
    [
        ([fn.Conv2D(4, 1), fn.Flatten(), fn.GroupNorm(2)], IMAGE, "group_norm_1.*its groups would be others"),
        (
            [fn.Residual([fn.Flatten(), fn.Dense(4)], shortcut=[fn.Conv2D(2, 1), fn.Flatten()])],
            (2, 1, 3),
            "residual_1.add_1.*different orders",
        ),
        ([fn.GlobalAvgPool2D(), fn.Reshape((2, 2, 3)), fn.Conv2D(2, 1)], (4, 4, 12), "reshape_1.*another order"),
        ([fn.Conv2D(4, 1), fn.Reshape((8, 16, 2)), fn.Conv2D(2, 1)], IMAGE, "reshape_1.*channels would be others"),
    ],
)
def test_what_has_no_counterpart_is_refused(layers, shape, reason):
    net = fn.Network(layers, input_shape=shape, seed=0)
    with pytest.raises(ValueError, match=reason):
        fn.io.load_torch_state_dict(net, {})
