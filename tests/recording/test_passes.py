"""Passes over a recording: what is fused, what is not, and that the results stay the same bits."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import activations
from fastnet.kernels import activation as kernels
from fastnet.native.plan import ControlBlock
from fastnet.recording import Context, Memory, Program, Recording, Workspace, passes

SHAPE = (50, 40)


class Case:
    """A recording over arrays a and b, and what comes out of it."""

    def __init__(self):
        self.recording = Recording("float32")
        self.ctx = Context(self.recording, "here", True)
        rng = np.random.default_rng(0)
        self.arrays = {name: rng.normal(size=SHAPE).astype("float32") for name in "abc"}
        self.memories = {name: Memory(name) for name in "abc"}
        self.a, self.b, self.c = (self.recording.outside(memory, SHAPE) for memory in self.memories.values())

    def run(self, *results):
        for tensor in results:
            self.recording.keep(tensor)
        program = Program(self.recording, Workspace(), ControlBlock())
        for name, memory in self.memories.items():
            program.bind(memory, self.arrays[name])
        program.run()
        self.kernels = [node.kernel for node in program.recording.nodes]
        return [program.view(tensor).copy() for tensor in results]


@pytest.mark.parametrize("kind", ["relu", "gelu", "leaky_relu"])
def test_an_activation_moves_into_the_sum_before_it(kind):
    case = Case()
    y = case.ctx.activation(activations.get(kind), case.ctx.add(case.a, case.b))
    (found,) = case.run(y)
    assert case.kernels == ["add"]
    assert np.array_equal(found, kernels.activate(case.arrays["a"] + case.arrays["b"], kind))


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "hard_swish"])
def test_a_slope_moves_into_the_sum_before_it(kind):
    case = Case()
    dx = case.ctx.activation_backward(activations.get(kind), case.ctx.add(case.a, case.b), x=case.c, y=case.c)
    (found,) = case.run(dx)
    assert case.kernels == ["add"]
    expected = kernels.activate_backward(case.arrays["c"], case.arrays["a"] + case.arrays["b"], kind)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "silu", "softplus"])
def test_a_slope_that_shares_an_exponential_is_computed_with_the_output(kind):
    """And multiplied by in the store of the gradient before it; what was activated is not kept."""
    case = Case()
    activation = activations.get(kind)
    z = case.ctx.add(case.a, case.b)
    y = case.ctx.activation(activation, z)
    dx = case.ctx.activation_backward(activation, case.ctx.add(case.c, y), z, y)
    found_y, found_dx = case.run(y, dx)
    assert case.kernels == ["add", "activation", "add"]
    assert all(tensor.storage is not z.storage for tensor in case.recording.nodes[-1].inputs())
    a, b, c = case.arrays.values()
    assert np.array_equal(found_y, kernels.activate(a + b, kind))
    assert np.array_equal(found_dx, kernels.activate_backward(a + b, c + found_y, kind))


def test_what_is_read_elsewhere_stays():
    case = Case()
    z = case.ctx.add(case.a, case.b)
    y = case.ctx.activation(activations.get("relu"), z)
    twice = case.ctx.add(z, y)
    found = case.run(y, twice)
    assert case.kernels == ["add", "activation", "add"]
    total = case.arrays["a"] + case.arrays["b"]
    assert np.array_equal(found[0], np.maximum(total, 0)) and np.array_equal(found[1], total + np.maximum(total, 0))
    case = Case()
    z = case.ctx.add(case.a, case.b)
    y = case.ctx.activation(activations.get("relu"), z)
    assert np.array_equal(case.run(z, y)[0], total)
    assert case.kernels == ["add", "activation"]


def test_one_activation_to_a_store():
    case = Case()
    z = case.ctx.activation(activations.get("tanh"), case.ctx.add(case.a, case.b))
    (found,) = case.run(case.ctx.activation(activations.get("silu"), z))
    assert case.kernels == ["add", "activation"]
    total = case.arrays["a"] + case.arrays["b"]
    assert np.array_equal(found, kernels.silu(kernels.tanh(total)))


def test_a_slope_at_what_comes_later_or_is_overwritten_stays():
    case = Case()
    total = case.arrays["a"] + case.arrays["b"]
    dy = case.ctx.add(case.a, case.b)
    later = case.ctx.add(case.a, case.c)
    (found,) = case.run(case.ctx.activation_backward(activations.get("relu"), dy, later, later))
    assert case.kernels == ["add", "add", "activation_backward"]
    assert np.array_equal(found, np.where(case.arrays["a"] + case.arrays["c"] > 0, total, 0))
    case = Case()
    saved = case.ctx.add(case.a, case.b)
    dy = case.ctx.add(saved, case.c)
    (found,) = case.run(case.ctx.activation_backward(activations.get("relu"), dy, saved, saved))
    assert np.array_equal(found, np.where(total > 0, total + case.arrays["c"], 0))


def test_a_residual_block_is_one_call_more_than_its_products():
    """And its gradients at the input are added, and gated, by one."""
    net = fn.Network(
        [fn.Dense(8, activation="relu"), fn.Residual([fn.Dense(8)], activation="relu"), fn.Dense(3)],
        input_shape=(4,), seed=0,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    recording = Recording("float32")
    memory, dy = Memory("x"), Memory("dy")
    graph = net.graph
    recording.keep(graph.record_forward(recording, recording.outside(memory, x.shape), True, 0))
    forward = len(recording.nodes)
    graph.record_backward(recording, recording.outside(dy, (20, 3)))
    assert forward == 6
    program = Program(recording, Workspace(), ControlBlock())
    found = [node.kernel for node in program.recording.nodes]
    assert found.count("add") == 2 and set(found) == {"gemm", "add"}
    gated = [node for node in program.recording.nodes if "gate" in node.reads]
    assert [node.kernel for node in gated] == ["gemm", "add"]


def spy(monkeypatch):
    """The nodes of every program that is made from now on."""
    seen = []
    place = Program.__init__

    def spying(program, recording, *arguments):
        place(program, recording, *arguments)
        seen.append(program.recording.nodes)

    monkeypatch.setattr(Program, "__init__", spying)
    return seen


def residual_convolution(conv, channels, activation):
    """The kernels of both directions, and y, dx and the gradients of the weights."""
    net = fn.Network(
        [fn.Conv2D(channels, 1), fn.Residual([conv()], activation=activation)], input_shape=(9, 6, 3), seed=0
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(3, 9, 6, 3)).astype("float32")
    y = net.forward(x, training=True)
    net.backward(np.cos(np.arange(y.size, dtype="float32")).reshape(y.shape))
    return [y.copy(), *(parameter.grad.copy() for parameter in net.parameters())]


@pytest.mark.parametrize("channels", [16, 21, 35])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
@pytest.mark.parametrize(
    "kernel", [{"kernel_size": 3}, {"kernel_size": 5}, {"kernel_size": 3, "dilation": 2}, {"kernel_size": (1, 3)}]
)
def test_a_convolution_adds_the_shortcut_in_its_store(monkeypatch, channels, activation, kernel):
    """Forward the block's input, backward the gradient that the shortcut brings."""
    seen = spy(monkeypatch)

    def conv():
        return fn.Conv2D(channels, padding="same", **kernel)

    fused = residual_convolution(conv, channels, activation)
    kernels = [node.kernel for nodes in seen for node in nodes]
    assert any(name.startswith("conv_") for name in kernels) and "add" not in kernels
    seen.clear()
    for name, store in passes.STORES.items():
        monkeypatch.setitem(passes.STORES, name, store._replace(added=False))
    apart = residual_convolution(conv, channels, activation)
    assert [node.kernel for nodes in seen for node in nodes].count("add") == 2
    for one, other in zip(fused, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid"])
@pytest.mark.parametrize("pool", [{"pool_size": 2}, {"pool_size": 3, "stride": 2, "padding": 1}])
def test_slopes_are_applied_before_max_pooling_is_undone(monkeypatch, activation, pool):
    """Which needs neither a call of its own nor the pool's input."""

    def step():
        net = fn.Network(
            [fn.Conv2D(20, 3, activation=activation), fn.MaxPool2D(**pool), fn.Conv2D(5, 3), fn.Flatten(), fn.Dense(3)],
            input_shape=(11, 10, 2), seed=0,
        )  # fmt: skip
        x = np.random.default_rng(0).normal(size=(6, 11, 10, 2)).astype("float32")
        fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(1.0)).train_on_batch(x, np.arange(6) % 3)
        return [parameter.value.copy() for parameter in net.parameters()]

    seen = spy(monkeypatch)
    found = step()
    nodes = max(seen, key=len)
    kernels = [node.kernel for node in nodes]
    assert "activation_backward" not in kernels
    (pooling,) = (node for node in nodes if node.kernel == "max_pool")
    pooled = kernels.index("max_pool")
    storage = pooling.reads["x"].storage
    assert not any(tensor.storage is storage for node in nodes[pooled + 1 :] for tensor in node.inputs())
    seen.clear()
    monkeypatch.setattr(passes, "exchange", lambda recording: None)
    expected = step()
    assert "activation_backward" in [node.kernel for node in max(seen, key=len)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_gradient_takes_the_place_of_the_output_whose_slope_it_has(monkeypatch):
    """So a training step has one image less in memory."""
    seen = spy(monkeypatch)
    net = fn.Network(
        [fn.Conv2D(16, 3, activation="relu"), fn.Conv2D(16, 3), fn.Flatten(), fn.Dense(2)], input_shape=(9, 9, 1)
    )
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1))
    trainer.train_on_batch(np.ones((4, 9, 9, 1), "float32"), np.array([0, 1, 0, 1]))
    (gated,) = (
        node for nodes in seen for node in nodes if node.kernel == "conv_winograd_data" and "gate" in node.reads
    )
    assert gated.writes["dx"].storage.root is gated.reads["gate"].storage.root


CONVOLUTIONS = [
    (lambda: fn.Conv2D(19, 3, padding="same"), "conv_winograd"),
    (lambda: fn.Conv2D(19, 3, padding="same", use_bias=False, dilation=2), "conv_direct"),
    (lambda: fn.Conv2D(15, 3, padding="same", groups=3), "conv_direct"),
    (lambda: fn.DepthwiseConv2D(3, padding="same"), "depthwise"),
    (lambda: fn.Conv2D(19, 1), "gemm"),
]


@pytest.mark.parametrize("make, kernel", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_norm_is_folded_into_the_convolution_before_it(monkeypatch, make, kernel, dtype):
    layers = [fn.Conv2D(15, 1), make(), fn.BatchNorm(), fn.Activation("relu")]
    agree_without_folding(monkeypatch, layers, kernel, dtype, "batch_norm_inference")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_norm_with_a_shortcut_is_folded(monkeypatch, dtype):
    layers = [fn.Conv2D(15, 1), fn.Residual([fn.Conv2D(15, 3, padding="same"), fn.BatchNorm()], activation="relu")]
    agree_without_folding(monkeypatch, layers, "conv_winograd", dtype, "batch_norm_inference")


def agree_without_folding(monkeypatch, layers, kernel, dtype, dropped):
    """A prediction runs `kernel` with folded weights instead of `dropped`, and gives the same results."""
    rng = np.random.default_rng(0)
    net = fn.Network(layers, input_shape=(40, 41, 2), seed=0, dtype=dtype)
    for parameter in [*net.parameters(), *net.buffers()]:
        parameter.assign(rng.uniform(0.5, 1.5, parameter.shape))
    apart = net.copy()
    x = rng.normal(size=(3, 40, 41, 2)).astype(dtype)
    seen = spy(monkeypatch)
    found = net.predict(x)
    kernels = [node.kernel for nodes in seen for node in nodes]
    assert kernel in kernels and "batch_norm_fold" in kernels and dropped not in kernels
    seen.clear()
    monkeypatch.setattr(passes, "fold", lambda recording: None)
    expected = apart.predict(x)
    assert dropped in [node.kernel for nodes in seen for node in nodes]
    np.testing.assert_allclose(found, expected, rtol=0, atol=50 * np.finfo(dtype).eps * abs(expected).max())


def test_weights_that_outnumber_an_images_results_are_not_folded(monkeypatch):
    """Whatever the batch: an image's bits do not depend on the others."""
    seen = spy(monkeypatch)
    net = fn.Network([fn.Conv2D(32, 3), fn.BatchNorm()], input_shape=(5, 5, 16), seed=0)
    net.predict(np.ones((64, 5, 5, 16), "float32"))
    assert [node.kernel for nodes in seen for node in nodes].count("batch_norm_inference") == 1


@pytest.mark.parametrize("make, kernel", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolutions_collect_what_a_batch_norm_needs(monkeypatch, make, kernel, dtype):
    """Forward of its input, backward of the gradient of its result, and a training step stays the same."""

    def step():
        block = [make(), fn.BatchNorm(), fn.Activation("relu"), fn.Conv2D(15, 3, padding="same")]
        net = fn.Network(
            [fn.Conv2D(15, 3), fn.BatchNorm(), fn.Residual(block, shortcut=[fn.Conv2D(15, 1)]), fn.BatchNorm(),
             fn.GlobalAvgPool2D(), fn.Dense(3)], input_shape=(39, 40, 2), seed=0, dtype=dtype,
        )  # fmt: skip
        x = np.random.default_rng(0).normal(size=(3, 39, 40, 2)).astype(dtype)
        trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(1.0))
        for _ in range(2):
            trainer.train_on_batch(x, np.arange(3))
        return [array.value.copy() for array in [*net.parameters(), *net.buffers()]]

    seen = spy(monkeypatch)
    found = step()
    nodes = max(seen, key=len)
    forward = [node.kernel for node in nodes if "statistics" in node.writes and "statistics_x" not in node.reads]
    backward = [node.kernel for node in nodes if "statistics" in node.writes and "statistics_x" in node.reads]
    assert kernel in forward and len(forward) == 2 and "conv_winograd_data" in backward
    for pass_, collecting in (("forward", forward), ("backward", backward)):
        taking = [node for node in nodes if node.kernel == f"batch_norm_{pass_}" and "statistics" in node.reads]
        assert len(taking) == len(collecting)
    seen.clear()
    monkeypatch.setattr(passes, "collect", lambda recording: None)
    expected = step()
    assert not any("statistics" in node.writes for node in max(seen, key=len))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2000 * np.finfo(dtype).eps * max(1, abs(other).max()))


def test_a_product_of_other_columns_does_not_collect(monkeypatch):
    """The gradient of what was flattened has other columns for the product than for the batch norm before it."""
    seen = spy(monkeypatch)
    net = fn.Network([fn.Conv2D(4, 3), fn.BatchNorm(), fn.Flatten(), fn.Dense(2)], input_shape=(9, 9, 1))
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1))
    trainer.train_on_batch(np.ones((4, 9, 9, 1), "float32"), np.array([0, 1, 0, 1]))
    collecting = [node.kernel for node in max(seen, key=len) if "statistics" in node.writes]
    assert collecting == ["conv_direct"]
