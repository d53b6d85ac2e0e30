"""The names of `__init__.py`, for type checkers and editors: written by scripts/make_stubs.py."""

from fastnet.io import onnx as onnx
from fastnet.io import onnx_backend as onnx_backend
from fastnet.io.weights.keras import load_keras_weights as load_keras_weights
from fastnet.io.weights.keras import save_keras_weights as save_keras_weights
from fastnet.io.weights.pytorch import load_torch_state_dict as load_torch_state_dict
from fastnet.io.weights.pytorch import save_torch_state_dict as save_torch_state_dict
from fastnet.io.weights.pytorch import torch_state_dict as torch_state_dict

__all__: list[str]
