"""The compiled kernels as functions on NumPy arrays, with checks. Modules are imported on first use."""

import importlib

# Module -> names that it gives to the package.
_NAMES = {
    "activation": [
        "activate", "activate_backward", "elu", "gelu", "hard_swish", "leaky_relu", "log_softmax", "log_softmax_backward",
        "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softmax_backward", "softplus", "tanh",
    ],
    "batch": ["gather", "gather_labels"],
    "conv": ["conv2d", "conv2d_backward_data", "conv2d_backward_weights"],
    "elementwise": [
        "accumulate", "add", "copy_2d", "multiply", "multiply_rows", "multiply_rows_backward", "scale",
    ],
    "linear": ["matmul"],
    "loss": ["regression_loss", "sigmoid_cross_entropy", "softmax_cross_entropy"],
    "math": ["elementary"],
    "metric": ["count_correct", "regression_sums"],
    "norm": [
        "batch_norm", "batch_norm_backward", "batch_norm_inference", "batch_norm_inference_backward", "layer_norm",
        "layer_norm_backward",
    ],
    "random": [
        "beta", "dropout", "normal", "orthogonal", "permutation", "random_bits", "spatial_dropout", "truncated_normal",
        "uniform",
    ],
    "rectifier": ["prelu", "prelu_backward"],
    "sample_norm": ["group_norm", "group_norm_backward", "rms_norm", "rms_norm_backward"],
    "pool": ["avg_pool", "avg_pool_backward", "max_pool", "max_pool_backward"],
    "resample": ["crop", "crop_backward", "pad", "pad_backward", "upsample", "upsample_backward"],
    "update": [
        "adadelta_update", "adagrad_update", "adam_update", "adamax_update", "gradient_norm", "lion_update",
        "nadam_update", "radam_update", "rmsprop_update", "sgd_update",
    ],
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name):
    if name not in _MODULE_OF:
        from fastnet.checks import nearest

        raise AttributeError(f"module 'fastnet.kernels' has no attribute {name!r}{nearest(name, __all__)}")
    value = getattr(importlib.import_module(f"fastnet.kernels.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
