"""Layers and blocks of layers."""

from fastnet.layers.activation import Activation, PReLU
from fastnet.layers.base import Layer
from fastnet.layers.blocks import Concat, Multiply, Residual, Sequential
from fastnet.layers.conv import Conv1D, Conv2D
from fastnet.layers.conv_transpose import Conv2DTranspose
from fastnet.layers.dense import Dense
from fastnet.layers.dropout import Dropout, SpatialDropout2D
from fastnet.layers.merge import Add, Concatenate, Product
from fastnet.layers.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
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
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "Multiply",
    "PReLU",
    "Product",
    "RMSNorm",
    "Reshape",
    "Residual",
    "Sequential",
    "SpatialDropout2D",
]
