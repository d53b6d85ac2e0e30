"""Layers of one's own in NumPy, for tests."""

import fastnet as fn


@fn.register
class ScaleChannels(fn.Layer):
    """Multiplies each element of a sample by a weight."""

    def build(self, shape):
        self.weight = self.add_parameter("weight", shape, init="ones")
        return shape

    def forward(self, x, training=False):
        self.x = x
        return x * self.weight.value

    def backward(self, dy):
        self.weight.add_gradient((dy * self.x).sum(axis=0))
        return dy * self.weight.value
