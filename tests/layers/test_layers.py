"""Every layer: gradients, agreement with PyTorch, saving; driven by one table."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers as layer_module
from fastnet.kernels import random

# type -> (makers of layers that get an input shape, one sample's shape)
CASES = {
    "Dense": [(lambda: [fn.Dense(3)], (5,)), (lambda: [fn.Dense(3, activation="gelu", use_bias=False)], (2, 5))],
    "Activation": [
        (lambda name=name: [fn.Dense(4), fn.Activation(name)], (3,))
        for name in ("leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus",
                     "relu6", "hard_swish", "softmax", "log_softmax")
    ],
    "Dropout": [(lambda: [fn.Dense(6), fn.Dropout(0.5), fn.Dense(2)], (4,))],
    "BatchNorm": [
        (lambda: [fn.Dense(4), fn.BatchNorm(), fn.Dense(2)], (3,)),
        (lambda: [fn.BatchNorm(scale=False, center=False), fn.Dense(2)], (3, 4)),
    ],
    "LayerNorm": [
        (lambda: [fn.Dense(4), fn.LayerNorm(), fn.Dense(2)], (3,)),
        (lambda: [fn.LayerNorm(axes=2, center=False)], (3, 4)),
    ],
    "GroupNorm": [
        (lambda: [fn.Dense(6), fn.GroupNorm(3), fn.Dense(2)], (3,)),
        (lambda: [fn.GroupNorm(1, scale=False), fn.Dense(2)], (3, 2, 4)),
        (lambda: [fn.Dense(4), fn.GroupNorm(4, center=False), fn.Dense(2)], (3, 2, 4)),
    ],
    "RMSNorm": [
        (lambda: [fn.Dense(4), fn.RMSNorm(), fn.Dense(2)], (3,)),
        (lambda: [fn.Dense(4), fn.RMSNorm(axes=2, epsilon=0.1), fn.Dense(2)], (3, 4)),
        (lambda: [fn.RMSNorm(scale=False), fn.Dense(2)], (3,)),
    ],
    "PReLU": [
        (lambda: [fn.Dense(5), fn.PReLU(), fn.Dense(2)], (3, 4)),
        (lambda: [fn.Dense(5), fn.PReLU(init=-0.5, shared=True), fn.Dense(2)], (3,)),
    ],
    "SpatialDropout2D": [(lambda: [fn.Dense(6), fn.SpatialDropout2D(0.5), fn.Dense(2)], (3, 2, 4))],
    "Multiply": [
        (lambda: [fn.Multiply([[], [fn.Flatten(), fn.Dense(4, activation="sigmoid")]]), fn.Dense(2)], (3, 2, 4)),
        (lambda: [fn.Multiply([[fn.Flatten(), fn.Dense(4)], fn.Dense(4)]), fn.Dense(2)], (3, 2, 4)),
        (lambda: [fn.Multiply([[fn.Flatten(), fn.Dense(4), fn.Reshape((1, 1, 4))], [fn.Flatten(), fn.Dense(4)], []])],
         (3, 2, 4)),
        (lambda: [fn.Dense(3), fn.Multiply([[], fn.Dense(3, activation="tanh"), []])], (4,)),
    ],
    "Product": [(lambda: [fn.Dense(3), fn.Multiply([[], []])], (4,))],
    "Conv2D": [
        (lambda: [fn.Conv2D(4, 3, padding="same", activation="tanh"), fn.Flatten(), fn.Dense(2)], (5, 4, 3)),
        (lambda: [fn.Conv2D(16, 3, padding="same", activation="silu"), fn.Conv2D(16, 3, padding="same")], (6, 7, 16)),
        (lambda: [fn.Conv2D(6, (2, 3), stride=2, padding=((1, 0), (0, 2)), groups=2), fn.Conv2D(3, 1)], (5, 6, 4)),
        (lambda: [fn.Conv2D(3, 3, dilation=2, padding="same", use_bias=False)], (5, 5, 2)),
    ],
    "Conv1D": [(lambda: [fn.Conv1D(4, 3, padding="same", stride=2, activation="tanh"), fn.Conv1D(2, 2)], (9, 3))],
    "Conv2DTranspose": [
        (lambda: [fn.Conv2DTranspose(4, 3, stride=2, output_padding=1, padding=1, activation="tanh")], (4, 3, 3)),
        (lambda: [fn.Conv2DTranspose(16, 3, padding="same"), fn.Conv2DTranspose(2, 4, stride=2, padding="same")], (5, 5, 16)),
        (lambda: [fn.Conv2D(4, 1), fn.Conv2DTranspose(6, 2, groups=2, dilation=2)], (3, 3, 3)),
    ],
    "Normalize": [(lambda: [fn.Normalize([0.5, 1.0], [2.0, 0.5]), fn.Dense(3)], (4, 2))],
    "Flatten": [(lambda: [fn.Flatten(), fn.Dense(2)], (2, 3))],
    "Reshape": [(lambda: [fn.Reshape((3, 2)), fn.Dense(2)], (6,))],
    "Sequential": [(lambda: [fn.Sequential([fn.Dense(4, activation="tanh"), fn.Dense(3)])], (2,))],
    "Residual": [
        (lambda: [fn.Residual([fn.Dense(4, activation="tanh"), fn.Dense(3)], activation="silu")], (3,)),
        (lambda: [fn.Residual([fn.Dense(4)], shortcut=[fn.Dense(4)])], (3,)),
        (lambda: [fn.Dense(3), fn.Residual([fn.Residual([fn.Dense(3)])])], (3,)),
    ],
    "Concat": [
        (lambda: [fn.Concat([fn.Dense(2), [], [fn.Dense(3), fn.Dense(4)]]), fn.Dense(2)], (5,)),
        (lambda: [fn.Concat([[], []])], (2, 3)),
    ],
    "Add": [(lambda: [fn.Residual([], activation="tanh")], (4,))],
    "MaxPool2D": [(lambda: [fn.MaxPool2D(2)], (5, 6, 3)), (lambda: [fn.Dense(3), fn.MaxPool2D(3, stride=2, padding=1)], (5, 6, 2))],
    "MaxPool1D": [(lambda: [fn.MaxPool1D(3, stride=2, padding="same"), fn.Dense(2)], (7, 3))],
    "AvgPool2D": [
        (lambda: [fn.AvgPool2D(2, ceil_mode=True)], (5, 6, 3)),
        (lambda: [fn.Dense(3), fn.AvgPool2D(3, stride=1, padding=((1, 0), (2, 1)), count_include_pad=False)], (5, 6, 2)),
    ],
    "AvgPool1D": [(lambda: [fn.AvgPool1D(3, padding=(1, 2))], (7, 3))],
    "GlobalAvgPool2D": [
        (lambda: [fn.GlobalAvgPool2D(), fn.Dense(2)], (3, 4, 5)),
        (lambda: [fn.GlobalAvgPool2D(keep_dims=True)], (3, 4, 5)),
    ],
    "GlobalMaxPool2D": [
        (lambda: [fn.GlobalMaxPool2D(), fn.Dense(2)], (3, 4, 5)),
        (lambda: [fn.GlobalMaxPool2D(keep_dims=True)], (17, 16, 2)),
    ],
    "UpSample2D": [
        (lambda: [fn.UpSample2D((2, 3))], (3, 4, 2)),
        (lambda: [fn.Dense(3), fn.UpSample2D(interpolation="bilinear")], (3, 4, 2)),
    ],
    "ZeroPad2D": [(lambda: [fn.Dense(3), fn.ZeroPad2D(((1, 0), (2, 3)))], (3, 4, 2))],
    "ReflectPad2D": [(lambda: [fn.Dense(3), fn.ReflectPad2D(((1, 2), (3, 0)))], (3, 4, 2))],
    "Crop2D": [(lambda: [fn.Dense(3), fn.Crop2D((1, 0))], (3, 4, 2))],
    "DepthwiseConv2D": [
        (lambda: [fn.DepthwiseConv2D(3, padding="same", activation="tanh"), fn.DepthwiseConv2D((2, 3), stride=2)], (5, 6, 3)),
        (lambda: [fn.DepthwiseConv2D(3, padding=1, multiplier=2, dilation=2, use_bias=False)], (4, 3, 2)),
        (lambda: [fn.DepthwiseConv2D(3, padding="same", activation="silu")], (1, 1, 19)),
    ],
    "SeparableConv2D": [
        (lambda: [fn.SeparableConv2D(4, 3, padding="same", stride=2, activation="gelu")], (5, 4, 3)),
        (lambda: [fn.SeparableConv2D(2, (2, 3), multiplier=3, use_bias=False), fn.SeparableConv2D(1, 2)], (4, 5, 2)),
    ],
    "Concatenate": [(lambda: [fn.Concat([fn.Dense(17), fn.Dense(1)]), fn.Dense(2)], (3,))],
}  # fmt: skip
FLAT = [
    pytest.param(make, shape, id=f"{kind}-{i}") for kind, rows in CASES.items() for i, (make, shape) in enumerate(rows)
]


def test_every_public_layer_has_a_case():
    assert set(CASES) == set(layer_module.__all__) - {"Layer"}


@pytest.mark.parametrize("make, shape", FLAT)
def test_gradients(make, shape):
    net = fn.Network(make(), input_shape=shape, seed=3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, *shape))
    y = rng.normal(size=(5, *net.output_shape))
    found = fn.check_gradients(net, x, y, loss="mse")
    assert found.ok, found.errors


@pytest.mark.parametrize("make, shape", FLAT)
def test_saved_and_loaded_networks_compute_the_same(make, shape, tmp_path):
    net = fn.Network(make(), input_shape=shape, seed=3)
    x = np.random.default_rng(0).normal(size=(7, *shape)).astype("float32")
    net.forward(x, training=True)
    net.save(tmp_path / "net.safetensors")
    loaded = fn.load(tmp_path / "net.safetensors")
    assert np.array_equal(net.predict(x), loaded.predict(x))
    assert np.array_equal(net.forward(x, training=True), loaded.forward(x, training=True))
    assert list(loaded.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize("make, shape", FLAT)
def test_one_sample_is_computed_as_in_a_batch(make, shape):
    net = fn.Network(make(), input_shape=shape, seed=3)
    x = np.random.default_rng(0).normal(size=(5, *shape)).astype("float32")
    whole = net.predict(x)
    assert whole.shape == (5, *net.output_shape)
    for i in range(5):
        assert np.allclose(net.predict(x[i : i + 1]), whole[i : i + 1], rtol=1e-5, atol=1e-6)
    assert net.predict(x[:0]).shape == (0, *net.output_shape)


def test_dropout_scales_keeps_its_mask_for_backward_and_changes_it_each_time():
    net = fn.Network([fn.Dropout(0.25)], input_shape=(1000,), seed=1)
    x = np.ones((8, 1000), np.float32)
    first = net.forward(x, training=True)
    assert np.array_equal(net.backward(x), first)
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert abs((first == 0).mean() - 0.25) < 0.02
    second = net.forward(x, training=True)
    assert not np.array_equal(first, second)
    assert np.array_equal(net.predict(x), x)
    again = fn.Network([fn.Dropout(0.25)], input_shape=(1000,), seed=1)
    assert np.array_equal(again.forward(x, training=True), first)
    net[0].rate = 0.0
    assert np.array_equal(net.forward(x, training=True), x)


def test_spatial_dropout_drops_whole_channels_and_the_same_in_backward():
    net = fn.Network([fn.SpatialDropout2D(0.25)], input_shape=(5, 3, 100), seed=1)
    x = np.ones((20, 5, 3, 100), np.float32)
    first = net.forward(x, training=True)
    assert np.array_equal(first, np.broadcast_to(first[:, :1, :1], first.shape))
    assert np.array_equal(net.backward(x), first)
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert abs((first == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)
    second = net.forward(x, training=True)
    assert not np.array_equal(first, second)
    assert np.array_equal(net.predict(x), x)
    net[0].rate = 0.0
    assert np.array_equal(net.forward(x, training=True), x)


def test_the_mask_of_spatial_dropout_is_that_of_dropout_on_the_channels():
    x = np.ones((6, 3, 3, 50), np.float32)
    key = random.key(3, "here")
    mask = random.dropout(x[:, 0, 0], 0.5, key=key, count=2)
    assert np.array_equal(random.spatial_dropout(x, 0.5, key=key, count=2), x * mask[:, None, None])


@pytest.mark.parametrize("make, shape, message", [
    (lambda: fn.GroupNorm(32), (4, 4, 48), "groups=32 must divide the 48 channels; the nearest that do are 24 and 48"),
    (lambda: fn.GroupNorm(), (4, 4, 16), "groups=32 must divide the 16 channels; the nearest that does is 16"),
    (lambda: fn.GroupNorm(6), (6,), "groups=6: inputs of shape .* have one value in a group"),
    (lambda: fn.RMSNorm(axes=3), (4, 4), "axes=3: inputs of shape .* have 2 axes"),
    (lambda: fn.SpatialDropout2D(0.5), (4, 4), r"needs inputs of shape \(height, width, channels\); got \(4, 4\)"),
    (lambda: fn.Multiply([[], [fn.Flatten(), fn.Dense(3)]]), (4, 4, 2), r"one shape, or be a row \(2,\); got .*\(3,\)"),
    (lambda: fn.Multiply([[], fn.Reshape((4, 2, 4))]), (4, 4, 2), "must have one shape"),
])  # fmt: skip
def test_shapes_that_do_not_fit(make, shape, message):
    with pytest.raises(ValueError, match=message):
        fn.Network([make()], input_shape=shape, seed=0)


def test_arguments_that_do_not_fit():
    for make, message in [
        (lambda: fn.GroupNorm(0), "groups must be at least 1"),
        (lambda: fn.GroupNorm(2, epsilon=0), "epsilon must be above 0"),
        (lambda: fn.RMSNorm(epsilon=-1.0), "epsilon must be above 0"),
        (lambda: fn.PReLU(init=np.nan), "init must be finite"),
        (lambda: fn.PReLU(init="zeroes"), "did you mean 'zeros'"),
        (lambda: fn.SpatialDropout2D(1.0), "rate must be"),
        (lambda: fn.Multiply([]), "branches must be a list"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    for make, message in [
        (lambda: fn.GroupNorm(2.5), "groups must be a whole number"),
        (lambda: fn.PReLU(shared=1), "shared must be True or False"),
        (lambda: fn.PReLU(init=True), "init must be"),
    ]:
        with pytest.raises(TypeError, match=message):
            make()


def test_names_of_types_with_capitals():
    net = fn.Network([fn.Dense(4), fn.PReLU(), fn.RMSNorm(), fn.GroupNorm(2)], input_shape=(3,), seed=0)
    assert list(net.state_dict())[2:] == [
        "prelu_1.weight",
        "rms_norm_1.weight",
        "group_norm_1.weight",
        "group_norm_1.bias",
    ]
    he = fn.Network([fn.Dense(4, activation="relu")], input_shape=(3,), seed=0)
    assert np.array_equal(net[0].weight.value, he[0].weight.value), "initialized as before another rectifier"


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("kind", ["GroupNorm", "RMSNorm", "PReLU", "SpatialDropout2D", "Multiply", "Residual"])
def test_threads_do_not_change_a_training_step(kind, threads):
    layer = {
        "GroupNorm": lambda: fn.GroupNorm(8), "RMSNorm": fn.RMSNorm, "PReLU": lambda: fn.PReLU(shared=True),
        "SpatialDropout2D": lambda: fn.SpatialDropout2D(0.3),
        "Multiply": lambda: fn.Multiply([[], [fn.Flatten(), fn.Dense(48, activation="sigmoid")]]),
        "Residual": lambda: fn.Residual([fn.Dense(48)], activation="hard_swish"),
    }[kind]  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(21, 9, 8, 20)), rng.normal(size=(21, 9, 8, 2))
    states = []
    for n in (1, threads):
        net = fn.Network([fn.Dense(48), layer(), fn.Dense(2)], input_shape=(9, 8, 20), seed=0)
        with fn.threads(n):
            net.fit(x, y, loss="mse", batch_size=21, epochs=2, verbose=0)
        states.append(net.state_dict())
    for name, value in states[0].items():
        assert np.array_equal(value, states[1][name]), name


def test_batch_norm_running_statistics_and_freezing():
    net = fn.Network([fn.BatchNorm(momentum=0.5)], input_shape=(2,), seed=0, dtype="float64")
    x = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]])
    net.forward(x, training=True)
    state = net.state_dict()
    assert np.allclose(state["batch_norm_1.running_mean"], 0.5 * x.mean(0))
    assert np.allclose(state["batch_norm_1.running_variance"], 0.5 + 0.5 * x.var(0, ddof=1))
    net[0].trainable = False
    y = net.forward(x, training=True)
    assert np.allclose(y, net.predict(x))
    assert all(np.array_equal(a, b) for a, b in zip(state.values(), net.state_dict().values(), strict=True))
    assert net.backward(np.ones_like(x)).shape == x.shape


def test_batch_norm_refuses_one_value_a_channel():
    net = fn.Network([fn.BatchNorm()], input_shape=(2,), seed=0)
    with pytest.raises(ValueError, match="at least 2 values.*batch_norm_1|batch_norm_1.*at least 2 values"):
        net.forward(np.ones((1, 2)), training=True)


def test_layers_called_alone():
    layer = fn.Dense(3, activation="relu")
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    y = layer.forward(x, training=True)
    assert np.allclose(y, np.maximum(x @ layer.weight.value + layer.bias.value, 0), atol=1e-6)
    dx = layer.backward(np.ones_like(y))
    assert np.allclose(dx, (y > 0) @ layer.weight.value.T, atol=1e-6)
    assert np.allclose(layer.bias.grad, (y > 0).sum(0))


def test_shared_layers_add_their_gradients():
    shared = fn.Dense(3, activation="tanh")
    net = fn.Network([shared, shared, fn.Dense(1)], input_shape=(3,), seed=0)
    assert [p.name for p in net.parameters()] == ["dense_1.weight", "dense_1.bias", "dense_3.weight", "dense_3.bias"]
    rng = np.random.default_rng(0)
    assert fn.check_gradients(net, rng.normal(size=(4, 3)), rng.normal(size=(4, 1)), loss="mse").ok


def test_agrees_with_torch_over_several_steps():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 8, 6)), rng.integers(0, 4, (5, 8))
    net = fn.Network(
        [fn.Dense(7, use_bias=False), fn.BatchNorm(), fn.Activation("gelu"),
         fn.Dense(5, activation="leaky_relu"), fn.LayerNorm(), fn.Dense(4)],
        input_shape=(6,), dtype="float64", seed=0,
    )  # fmt: skip
    twin = torch.nn.Sequential(
        torch.nn.Linear(6, 7, bias=False), torch.nn.BatchNorm1d(7), torch.nn.GELU(), torch.nn.Linear(7, 5), torch.nn.LeakyReLU(),
        torch.nn.LayerNorm(5), torch.nn.Linear(5, 4),
    ).double()  # fmt: skip
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            theirs[...] = torch.tensor(ours.value.T.copy())
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.AdamW(0.01))
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01)
    for step in range(5):
        found = trainer.train_on_batch(x[step], y[step])
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(torch.tensor(x[step])), torch.tensor(y[step]))
        loss.backward()
        optimizer.step()
        assert np.isclose(found["loss"], loss.item(), rtol=1e-12)
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert np.allclose(ours.value.T, theirs.detach().numpy(), rtol=1e-9, atol=1e-12), ours.name
    running = [b.numpy() for b in twin.buffers() if b.dim()]
    assert all(np.allclose(a.value, b, rtol=1e-12) for a, b in zip(net.buffers(), running, strict=True))


@pytest.mark.parametrize("shared", [False, True])
def test_images_agree_with_torch_over_several_steps(shared):
    """GroupNorm, PReLU, hard_swish, RMSNorm and a gate, on (batch, height, width, channels)."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 6, 3, 2, 5)), rng.normal(size=(4, 6, 3, 2, 3))
    gate = [fn.Flatten(), fn.Dense(4, activation="relu6"), fn.Dense(8, activation="sigmoid")]
    net = fn.Network(
        [fn.Dense(8), fn.GroupNorm(4), fn.PReLU(shared=shared), fn.Multiply([[], gate]),
         fn.Residual([fn.Dense(8), fn.RMSNorm()], activation="hard_swish"), fn.Dense(3)],
        input_shape=(3, 2, 5), dtype="float64", seed=0,
    )  # fmt: skip
    linear = torch.nn.Linear
    twin = torch.nn.ModuleList([
        linear(5, 8), torch.nn.GroupNorm(4, 8), torch.nn.PReLU(1 if shared else 8), linear(48, 4), linear(4, 8),
        linear(8, 8), torch.nn.RMSNorm(8), linear(8, 3),
    ]).double()  # fmt: skip

    def forward(x):
        channels_first = torch.movedim(twin[0](x), -1, 1)
        z = torch.movedim(twin[2](twin[1](channels_first)), 1, -1)
        w = torch.sigmoid(twin[4](torch.nn.functional.relu6(twin[3](z.reshape(6, 48)))))
        z = z * w[:, None, None]
        return twin[7](torch.nn.functional.hardswish(z + twin[6](twin[5](z))))

    ours, theirs = net.parameters(), list(twin.parameters())
    with torch.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            b[...] = torch.tensor(a.value.T.copy())
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Adam(0.01))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    for step in range(4):
        found = trainer.train_on_batch(x[step], y[step])
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(forward(torch.tensor(x[step])), torch.tensor(y[step]))
        loss.backward()
        optimizer.step()
        assert np.isclose(found["loss"], loss.item(), rtol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a.value.T, b.detach().numpy(), rtol=1e-9, atol=1e-12), a.name
