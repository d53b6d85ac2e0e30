"""The names of `__init__.py`, for type checkers and editors; a test compares both."""

from fastnet.io import onnx as onnx
from fastnet.io import onnx_backend as onnx_backend

__all__: list[str]
