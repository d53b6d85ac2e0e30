"""Each layer is in the tables of what PyTorch and Keras have for it."""

import inspect

from fastnet import layers
from fastnet.io.weights import features, keras_layers, pytorch_layers
from fastnet.layers.blocks import Block


def all_layers():
    found = {getattr(layers, name) for name in layers.__all__}
    return {cls for cls in found if not issubclass(cls, Block) and cls is not layers.Layer}


def adds_parameters(cls):
    parents = [parent for parent in cls.__mro__ if issubclass(parent, layers.Layer) and parent is not layers.Layer]
    return any("add_parameter(" in inspect.getsource(parent) for parent in parents)


def test_the_tables_have_all_layers():
    assert set(features.KINDS) == all_layers()
    with_parameters = {cls for cls in all_layers() if adds_parameters(cls)}
    assert set(pytorch_layers.RULES) == with_parameters
    assert set(keras_layers.RULES) == with_parameters
