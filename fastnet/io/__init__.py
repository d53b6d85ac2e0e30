"""Networks and weights from and for other programs; each format is imported when it is first used."""

import importlib

# Module -> names that it gives to the package.
_NAMES = {
    "fastnet.io.weights.keras": ["load_keras_weights", "save_keras_weights"],
    "fastnet.io.weights.pytorch": ["load_torch_state_dict", "save_torch_state_dict", "torch_state_dict"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ["onnx", "onnx_backend"]

__all__ = sorted([*_MODULE_OF, *_MODULES])  # noqa: PLE0605


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"fastnet.io.{name}")
    from fastnet.checks import nearest

    raise AttributeError(f"module 'fastnet.io' has no attribute {name!r}{nearest(name, __all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
