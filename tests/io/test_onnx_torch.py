"""Modules that PyTorch exports become networks with the same predictions, which train."""

import importlib.util
import io
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import fastnet as fn  # noqa: E402


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.c2, self.b2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = functional.relu(self.b1(self.c1(x)))
        x = functional.relu(x + self.b2(self.c2(x)))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Gated(nn.Module):
    """Squeeze-and-excitation by convolutions, and `view` by the input's size."""

    def __init__(self):
        super().__init__()
        self.c, self.f1, self.f2 = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.fc = nn.Linear(8 * 4 * 4, 3)

    def forward(self, x):
        x = functional.hardswish(self.c(x))
        gate = x.mean((2, 3), keepdim=True)
        x = functional.max_pool2d(x * torch.sigmoid(self.f2(functional.silu(self.f1(gate)))), 2)
        return self.fc(x.view(x.size(0), -1))


class GatedByRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f1, self.f2, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 2), nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = functional.elu(self.c(x))
        gate = torch.sigmoid(self.f2(functional.relu(self.f1(x.mean((2, 3)))))).view(x.shape[0], 8, 1, 1)
        return self.fc((x * gate).mean((2, 3)))


class Generator(nn.Module):
    """Features that become images: the layers before give them in another order."""

    def __init__(self):
        super().__init__()
        self.fc, self.bn = nn.Linear(6, 8 * 4 * 4), nn.BatchNorm1d(128)
        self.t, self.u, self.o = (
            nn.ConvTranspose2d(8, 4, 4, 2, 1),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4, 1, 3, padding=1),
        )

    def forward(self, x):
        x = functional.relu(self.bn(self.fc(x))).view(-1, 8, 4, 4)
        return torch.tanh(self.o(self.u(functional.relu(self.t(x)))))


class Branches(nn.Module):
    """Flattened images joined, batch norm among them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.dw = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(9, 9, 3, groups=9)
        self.bn, self.d = nn.BatchNorm1d(9 * 36), nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(9 * 36 + 2 * 64, 3)

    def forward(self, x):
        y = torch.cat([functional.leaky_relu(self.a(x), 0.2), functional.gelu(self.b(x))], 1)
        y = self.bn(torch.flatten(functional.relu6(self.dw(y)), 1))
        return functional.log_softmax(self.fc(torch.cat([y, torch.flatten(self.d(x), 1)], 1)), 1)


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.p, self.gn = nn.Conv1d(4, 6, 3, padding=1), nn.MaxPool1d(2), nn.GroupNorm(3, 6)
        self.ln, self.l1, self.l2, self.fc = nn.LayerNorm(6), nn.Linear(6, 12), nn.Linear(12, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.gn(self.p(functional.relu(self.c(x)))).transpose(1, 2)
        x = x + self.l2(functional.gelu(self.l1(self.ln(x)), approximate="tanh"))
        return self.fc(x.mean(1))


class Shared(nn.Module):
    """A layer at two places, and a scale for each channel."""

    def __init__(self):
        super().__init__()
        self.i, self.h, self.o = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2, bias=False)
        self.scale = nn.Parameter(torch.linspace(0.1, 2, 6))

    def forward(self, x):
        x = torch.tanh(self.i(x))
        x = x + self.scale * functional.relu(self.h(x))
        x = x + torch.sigmoid(self.h(x))
        return self.o(x) * 0.5


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.n, self.c, self.p = nn.InstanceNorm2d(3, affine=True), nn.Conv2d(3, 4, 3), nn.PReLU(4)
        self.r, self.z, self.a = nn.ReflectionPad2d(1), nn.ZeroPad2d((1, 0, 2, 1)), nn.AvgPool2d(3, 2, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = self.a(self.z(self.r(self.p(self.c(self.n((x - 0.5) / 0.25))))))
        x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = functional.softplus(functional.adaptive_max_pool2d(x, 1)).squeeze(-1).squeeze(-1)
        return self.fc(functional.selu(x))


class Patches(nn.Module):
    """Patches of an image as a sequence."""

    def __init__(self):
        super().__init__()
        self.e, self.n, self.l, self.fc = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.e(x).flatten(2).transpose(1, 2)
        x = x + self.l(functional.gelu(self.n(x)))
        return self.fc(x.mean(dim=1))


def perceptron():
    hidden = [nn.Flatten(), nn.Linear(3 * 8 * 8, 20), nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 5), nn.Softmax(1)]
    return nn.Sequential(*hidden)


#: Module, shape of a sample.
MODULES = {
    "residual": (Residual, (3, 16, 16)),
    "gated": (Gated, (3, 16, 16)),
    "gated-by-rows": (GatedByRows, (3, 8, 8)),
    "generator": (Generator, (6,)),
    "branches": (Branches, (3, 8, 8)),
    "sequence": (Sequence, (4, 10)),
    "shared": (Shared, (5,)),
    "norms": (Norms, (3, 8, 8)),
    "patches": (Patches, (3, 16, 16)),
    "perceptron": (perceptron, (3, 8, 8)),
}


def module(name):
    make, shape = MODULES[name]
    torch.manual_seed(0)
    made = make().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for buffer in made.buffers():
            if buffer.dtype.is_floating_point:
                buffer.uniform_(0.5, 1.5)
    return made, torch.randn(4, *shape)


def exported(made, x, dynamic):
    """As the exporter that traces writes it."""
    file = io.BytesIO()
    axes = {"x": {0: "n"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(made, (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    return onnx.load_from_string(file.getvalue())


def last(array):
    """Channels last."""
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


def check(net, made, x):
    with torch.no_grad():
        expected = last(made(x).numpy())
    np.testing.assert_allclose(net.predict(last(x.numpy())), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("name", MODULES)
def test_predictions_are_equal(name, dynamic):
    made, x = module(name)
    net = fn.io.onnx.load(exported(made, x, dynamic), seed=0)
    check(net, made, x)
    if name != "residual":  # whose batch norms the exporter puts into the convolutions
        assert sum(p.size for p in net.parameters()) == sum(p.numel() for p in made.parameters())
    back = fn.io.onnx.load(fn.io.onnx.to_model(net), seed=0)
    check(back, made, x)


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="needs onnxscript")
@pytest.mark.parametrize("name", ["gated", "generator", "norms"])
def test_predictions_are_equal_by_the_other_exporter(name):
    made, x = module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(made, (x,), dynamo=True, verbose=False)
    check(fn.io.onnx.load(program.model_proto), made, x)


@pytest.mark.parametrize("name", ["residual", "gated", "branches", "sequence", "shared"])
def test_they_train(name):
    made, x = module(name)
    net = fn.io.onnx.load(exported(made, x, True), logits=name == "branches", seed=0)
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(64, *net.input_shape)).astype("float32")
    labels = rng.integers(0, net.output_shape[0], 64)
    before = {p.name: p.value.copy() for p in net.parameters()}
    history = net.fit(samples, labels, epochs=40, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2), verbose=0)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert all((p.value != before[p.name]).any() for p in net.parameters())


def test_layers_have_the_names_of_the_modules():
    made, x = module("gated")
    net = fn.io.onnx.load(exported(made, x, True))
    assert {"c", "f1", "f2", "fc"} <= set(net.graph.by_name)
    np.testing.assert_array_equal(net["c"].weight.value, made.c.weight.detach().numpy().transpose(2, 3, 1, 0))
    # The rows of a matrix behind flattened pixels are in our order of the pixels.
    rows = made.fc.weight.detach().numpy().reshape(3, 8, 4, 4).transpose(0, 2, 3, 1).reshape(3, -1).T
    np.testing.assert_array_equal(net["fc"].weight.value, rows)
