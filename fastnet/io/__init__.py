"""Networks and weights from and for other programs; each format is imported when it is first used."""

import importlib

__all__ = [
    "load_keras_weights", "load_torch_state_dict", "onnx", "onnx_backend", "save_keras_weights", "save_torch_state_dict",
    "torch_state_dict",
]  # fmt: skip

FUNCTIONS = {
    "load_keras_weights": "keras",
    "load_torch_state_dict": "pytorch",
    "save_keras_weights": "keras",
    "save_torch_state_dict": "pytorch",
    "torch_state_dict": "pytorch",
}


def __getattr__(name):
    if name not in __all__:
        from fastnet.checks import nearest

        raise AttributeError(f"module 'fastnet.io' has no attribute {name!r}{nearest(name, __all__)}")
    if name in FUNCTIONS:
        return getattr(importlib.import_module(f"fastnet.io.weights.{FUNCTIONS[name]}"), name)
    return importlib.import_module(f"fastnet.io.{name}")


def __dir__():
    return sorted([*globals(), *__all__])
