"""Layers and blocks of layers."""

from fastnet.layers.activation import Activation, PReLU
from fastnet.layers.base import Layer
from fastnet.layers.blocks import Concat, Multiply, Residual, Sequential
from fastnet.layers.conv import Conv1D, Conv2D
from fastnet.layers.conv_depthwise import DepthwiseConv2D, SeparableConv2D
from fastnet.layers.conv_transpose import Conv2DTranspose
from fastnet.layers.dense import Dense
from fastnet.layers.dropout import Dropout, SpatialDropout2D
from fastnet.layers.merge import Add, Concatenate, Product
from fastnet.layers.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from fastnet.layers.normalize import Normalize
from fastnet.layers.pool import AvgPool1D, AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool1D, MaxPool2D
from fastnet.layers.resample import Crop2D, ReflectPad2D, UpSample2D, ZeroPad2D
from fastnet.layers.shape import Flatten, Reshape

__all__ = [
    "Activation",
    "Add",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNorm",
    "Concat",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Crop2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "MaxPool1D",
    "MaxPool2D",
    "Multiply",
    "Normalize",
    "PReLU",
    "Product",
    "RMSNorm",
    "ReflectPad2D",
    "Reshape",
    "Residual",
    "SeparableConv2D",
    "Sequential",
    "SpatialDropout2D",
    "UpSample2D",
    "ZeroPad2D",
]
