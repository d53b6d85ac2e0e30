"""Layers and blocks of layers."""

from fastnet.layers.activation import Activation
from fastnet.layers.base import Layer
from fastnet.layers.blocks import Concat, Residual, Sequential
from fastnet.layers.conv import Conv1D, Conv2D
from fastnet.layers.conv_transpose import Conv2DTranspose
from fastnet.layers.dense import Dense
from fastnet.layers.dropout import Dropout
from fastnet.layers.merge import Add, Concatenate
from fastnet.layers.norm import BatchNorm, LayerNorm
from fastnet.layers.shape import Flatten, Reshape

__all__ = [
    "Activation",
    "Add",
    "BatchNorm",
    "Concat",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "Dropout",
    "Flatten",
    "Layer",
    "LayerNorm",
    "Reshape",
    "Residual",
    "Sequential",
]
