"""ONNX files: written of networks, and read as networks that can be trained.

The package needs ``onnx``: ``pip install 'fastnet-cpu[onnx]'``.
"""

try:
    import onnx  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise
    message = "fastnet.io.onnx needs onnx, which is not installed: pip install 'fastnet-cpu[onnx]'"
    raise ModuleNotFoundError(message, name="onnx") from None

from fastnet.io.onnx.exporting.model import export, to_model
from fastnet.io.onnx.importing.model import load

__all__ = ["export", "load", "to_model"]
