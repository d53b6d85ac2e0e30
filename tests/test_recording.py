"""What the passes make of a recording: which calls a network's programs consist of."""

import numpy as np

import fastnet as fn
from fastnet.recording import layout, passes
from fastnet.recording.recording import Memory, Recording


def kernels_of(net, training):
    """The kernels of a forward and, in training, a backward pass, after the passes."""
    recording = Recording("float32")
    x = recording.outside(Memory("x"), (4, *net.input_shape))
    y = net.graph.record_forward(recording, x, training, net.seed)
    if training:
        net.graph.record_backward(recording, recording.outside(Memory("dy"), y.shape))
    else:
        recording.keep(y)
    recording.commit()
    passes.eliminate(recording)
    passes.fuse(recording)
    return [node.kernel for node in recording.nodes]


def block(activation="relu"):
    inner = [fn.Conv2D(16, 3, padding="same"), fn.BatchNorm(), fn.Activation("relu"), fn.Conv2D(16, 3, padding="same")]
    return fn.Network([fn.Residual([*inner, fn.BatchNorm()], activation=activation)], input_shape=(8, 8, 16), seed=0)


def test_a_residual_block_is_two_convolutions_and_two_norms():
    expected = ["conv_winograd", "batch_norm_inference"] * 2
    assert kernels_of(block(), training=False) == expected


def test_slopes_move_into_the_gradients_before_them():
    kernels = kernels_of(block(), training=True)
    assert kernels[:4] == ["conv_winograd", "batch_norm_forward"] * 2
    assert kernels.count("activation_backward") == 1  # of the network's last relu: its gradient comes from outside
    assert "activation" not in kernels and kernels.count("add") == 0


def test_a_fused_block_is_the_sum_of_its_parts():
    net = block()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 16)).astype("float32")
    net.forward(x, training=True)
    y = net.predict(x)
    values = net.activations(x)
    total = values["residual_1.batch_norm_2"] + x
    np.testing.assert_array_equal(y, np.maximum(total, 0))


def test_lifetimes_reach_from_the_first_use_to_the_last():
    recording = Recording("float32")
    x = recording.outside(Memory("x"), (8,))
    values = [recording.tensor((8,)) for _ in range(3)]
    for source, target in zip([x, *values], values, strict=False):
        recording.call("activation", reads={"x": source}, writes={"y": target}, n=8, kind=passes.RELU, alpha=0.0)
    recording.keep(values[2])
    found = layout.lifetimes(recording, {})
    assert [found[tensor.storage] for tensor in values] == [(0, 1), (1, 2), (2, 3)]
    assert x.storage not in found
