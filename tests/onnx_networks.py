"""Networks that between them have every layer and every way in which layouts meet, with nothing left at its first value."""

import copy

import numpy as np

import fastnet as fn
from fastnet.kernels.activation import ACTIVATIONS

IMAGE, SERIES, ROW = (8, 7, 4), (9, 4), (6,)


def gate(channels):
    return [fn.GlobalAvgPool2D(), fn.Dense(2, activation="relu"), fn.Dense(channels, activation="sigmoid")]


def wide_gate(channels):
    return [fn.GlobalMaxPool2D(keep_dims=True), fn.Conv2D(channels, 1, activation="sigmoid")]


#: Name -> layers, input shape.
CASES = {
    "dense": ([fn.Dense(5, activation="relu"), fn.Dense(3, use_bias=False)], ROW),
    "dense-on-series": ([fn.Dense(5, activation="tanh"), fn.Dense(3, use_bias=False, activation="softmax")], SERIES),
    "conv": ([fn.Conv2D(6, 3, stride=2, padding="same", activation="relu"), fn.Conv2D(3, (1, 3), use_bias=False)], IMAGE),
    "conv-dilated": ([fn.Conv2D(6, (3, 2), dilation=2, groups=2, padding=((1, 0), (2, 1)))], IMAGE),
    "conv1d": ([fn.Conv1D(6, 3, stride=2, padding="same", activation="elu"), fn.Conv1D(4, 2, groups=2, padding=(1, 0))], SERIES),
    "depthwise": ([fn.DepthwiseConv2D(3, multiplier=2, padding="same"), fn.DepthwiseConv2D(2, use_bias=False)], IMAGE),
    "separable": ([fn.SeparableConv2D(5, 3, multiplier=2, activation="relu"), fn.SeparableConv2D(5, 2, use_bias=False)], IMAGE),
    "transposed": ([fn.Conv2DTranspose(6, 3, stride=2, padding=1, output_padding=1), fn.Conv2DTranspose(4, 2, groups=2)], IMAGE),
    "transposed-same": ([fn.Conv2DTranspose(6, 4, stride=2, padding="same"), fn.Conv2DTranspose(4, 2, stride=3, padding="same")],
                        IMAGE),
    "max-pool": ([fn.MaxPool2D(3, stride=2, padding="same"), fn.MaxPool2D(2, stride=(1, 2), padding=1, ceil_mode=True)], IMAGE),
    "max-pool-ceil": ([fn.MaxPool2D(3, stride=2, ceil_mode=True), fn.MaxPool2D(3, stride=3, padding=1, ceil_mode=True)], IMAGE),
    "average-pool": ([fn.AvgPool2D(3, stride=2, padding=1), fn.AvgPool2D(2, stride=1)], IMAGE),
    "average-pool-ceil": ([fn.AvgPool2D(3, stride=2, padding=1, ceil_mode=True)], (8, 8, 2)),
    "average-pool-uneven": ([fn.AvgPool2D((3, 2), stride=2, padding=((0, 2), (1, 0)))], IMAGE),
    "average-pool-of-image": ([fn.AvgPool2D(3, stride=2, padding="same", count_include_pad=False)], IMAGE),
    "average-pool-of-image-ceil": ([fn.AvgPool2D(4, stride=3, padding=1, ceil_mode=True, count_include_pad=False)], IMAGE),
    "pool1d": ([fn.MaxPool1D(3, stride=2, padding=1), fn.AvgPool1D(2, stride=2, ceil_mode=True)], SERIES),
    "average-pool1d-uneven": ([fn.AvgPool1D(3, stride=2, padding=(0, 1))], SERIES),
    "global-pools": ([fn.Concat([[fn.GlobalAvgPool2D()], [fn.GlobalMaxPool2D()]]), fn.Dense(3)], IMAGE),
    "global-pools-kept": ([fn.GlobalAvgPool2D(keep_dims=True), fn.Conv2D(3, 1)], IMAGE),
    "batch-norm": ([fn.BatchNorm(), fn.Conv2D(5, 2), fn.BatchNorm(epsilon=0.01, momentum=0.3), fn.Activation("relu")], IMAGE),
    "batch-norm-of-rows": ([fn.Dense(5), fn.BatchNorm(scale=False, center=False)], ROW),
    "batch-norm-flattened": ([fn.Conv2D(5, 2), fn.Flatten(), fn.BatchNorm(), fn.PReLU(), fn.Dropout(0.3), fn.Dense(3)], IMAGE),
    "layer-norm": ([fn.LayerNorm(), fn.Conv2D(5, 2), fn.LayerNorm(epsilon=0.01, center=False)], IMAGE),
    "layer-norm-whole": ([fn.Conv2D(5, 2), fn.LayerNorm(axes=3), fn.LayerNorm(axes=2, scale=False)], IMAGE),
    "layer-norm-of-rows": ([fn.Dense(5), fn.LayerNorm(), fn.Dense(4)], ROW),
    "group-norm": ([fn.GroupNorm(2), fn.Conv2D(6, 2), fn.GroupNorm(6), fn.GroupNorm(3, scale=False, center=False)], IMAGE),
    "group-norm-of-rows": ([fn.GroupNorm(2, center=False)], ROW),
    "rms-norm": ([fn.RMSNorm(), fn.RMSNorm(axes=2, scale=False, epsilon=0.1), fn.Conv2D(4, 1)], IMAGE),
    "normalize": ([fn.Normalize([1, 2, 3, 4], [2, 3, 4, 5]), fn.Conv2D(4, 2), fn.Normalize(1, 2)], IMAGE),
    "normalize-flattened": ([fn.Conv2D(2, 2), fn.Flatten(), fn.Normalize(list(range(84)), 2), fn.Dense(2)], IMAGE),
    "prelu": ([fn.PReLU(), fn.Conv2D(3, 2), fn.PReLU(), fn.Flatten(), fn.Dense(4), fn.PReLU(), fn.PReLU(shared=True)], IMAGE),
    "dropout": ([fn.SpatialDropout2D(0.5), fn.Conv2D(2, 3), fn.Flatten(), fn.Dropout(0.5), fn.Dense(3)], IMAGE),
    "upsample": ([fn.UpSample2D((2, 3)), fn.Conv2D(3, 2), fn.UpSample2D((3, 2), interpolation="bilinear")], IMAGE),
    "pads": ([fn.ZeroPad2D(((1, 0), (2, 3))), fn.Conv2D(3, 2), fn.ReflectPad2D(((1, 2), (0, 3))), fn.Crop2D(((0, 1), (2, 1)))],
             IMAGE),
    "crop": ([fn.Crop2D(1), fn.Flatten(), fn.Dense(2)], IMAGE),
    "flatten": ([fn.Flatten(), fn.Dense(3)], IMAGE),
    "flatten-last": ([fn.Conv2D(3, 2), fn.Flatten()], IMAGE),
    "reshape": ([fn.Conv2D(3, 2), fn.Reshape((14, 9)), fn.Conv1D(4, 3), fn.Reshape((4, 12)), fn.Flatten()], IMAGE),
    "generator": ([fn.Dense(36), fn.Reshape((3, 4, 3)), fn.Conv2DTranspose(2, 2, stride=2)], ROW),
    "residual": ([fn.Residual([fn.Conv2D(4, 3, padding="same")], activation="relu"),
                  fn.Residual([fn.Conv2D(6, 3, stride=2, padding="same")], shortcut=[fn.Conv2D(6, 1, stride=2)])], IMAGE),
    "concat": ([fn.Concat([[fn.Conv2D(3, 3, padding="same")], fn.Activation("silu"), []]), fn.Conv2D(2, 1)], IMAGE),
    "concat-flattened": ([fn.Conv2D(3, 2), fn.Concat([[fn.Flatten()], [fn.GlobalAvgPool2D()]]), fn.Dense(3)], IMAGE),
    "gates": ([fn.Conv2D(5, 2), fn.Multiply([[], gate(5)]), fn.Multiply([wide_gate(5), [], gate(5)])], IMAGE),
    "gate-before": ([fn.Multiply([[], gate(4)]), fn.Dense(3)], IMAGE),
    "product": ([fn.Multiply([[fn.Dense(3)], [fn.Dense(3, activation="sigmoid")]])], ROW),
    "flattened-sum": ([fn.Conv2D(3, 2), fn.Flatten(), fn.Residual([fn.Activation("tanh")]), fn.Dense(2)], IMAGE),
    "flattened-branches": ([fn.Conv2D(2, 2), fn.Flatten(), fn.Residual([fn.Dense(84)]), fn.Dense(2)], IMAGE),
    "attention": ([fn.LayerNorm(), fn.Residual([fn.Dense(8, activation="gelu"), fn.Dense(4)]), fn.Flatten(), fn.Dense(2)], SERIES),
    "nothing": ([fn.Activation("linear")], IMAGE),
}  # fmt: skip
CASES |= {
    f"activation-{name}": (
        [fn.Conv2D(3, 2, activation=name), fn.Activation(name), fn.Flatten(), fn.Dense(3, activation=name)],
        IMAGE,
    )
    for name in [*ACTIVATIONS, "softmax", "log_softmax"]
}
CASES |= {
    "activation-configured": ([fn.Dense(5, activation=fn.LeakyReLU(0.3)), fn.Activation(fn.ELU(0.7))], ROW),
}


def filled(net, seed=0):
    """The network with random values for all that it learns or keeps."""
    rng = np.random.default_rng(seed)
    for parameter in net.graph.parameters.values():
        name = parameter.local_name
        if name in ("mean", "variance"):  # of Normalize: part of its constructor's arguments
            continue
        if name == "running_variance":
            parameter.assign(rng.uniform(0.5, 2, parameter.shape))
        elif len(parameter.shape) == 1:
            parameter.assign(rng.normal(0.3, 0.5, parameter.shape))
    return net


def network(name, dtype="float32"):
    layers, shape = CASES[name]
    # Copies: layers that a network has built have its dtype.
    return filled(fn.Network(copy.deepcopy(layers), input_shape=shape, seed=0, dtype=dtype))


def batch(net, n, seed=1):
    return np.random.default_rng(seed).normal(0.2, 1, (n, *net.input_shape)).astype(net.dtype)
