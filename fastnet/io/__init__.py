"""Networks from and for other programs, a format a module; each is imported when it is first used."""

import importlib

__all__ = ["onnx", "onnx_backend"]


def __getattr__(name):
    if name not in __all__:
        from fastnet.checks import nearest

        raise AttributeError(f"module 'fastnet.io' has no attribute {name!r}{nearest(name, __all__)}")
    return importlib.import_module(f"fastnet.io.{name}")


def __dir__():
    return sorted([*globals(), *__all__])
