"""The names of `__init__.py`, for type checkers and editors: written by scripts/make_stubs.py."""

from fastnet.io import onnx as onnx
from fastnet.io import onnx_backend as onnx_backend

__all__: list[str]
