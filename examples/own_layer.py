"""A layer and a loss in NumPy, with their gradients checked; they train beside compiled ones, and are saved with the network."""

import tempfile
from pathlib import Path

import numpy as np

import fastnet as fn


@fn.register
class SoftThreshold(fn.Layer):
    """y = sign(x) max(|x| - t, 0), with a learned threshold t for each feature: small inputs are taken for noise."""

    def build(self, shape):
        self.threshold = self.add_parameter("threshold", shape, init=fn.initializers.Constant(0.1))
        return shape

    def forward(self, x, training=False):
        self.passes = np.abs(x) > self.threshold.value
        self.sign = np.sign(x)
        return np.where(self.passes, x - self.sign * self.threshold.value, 0).astype(x.dtype)

    def backward(self, dy):
        self.threshold.add_gradient(-(dy * self.sign * self.passes).sum(axis=0))
        return dy * self.passes


@fn.register
class LogCosh(fn.Loss):
    """log cosh of the error: squared for small ones, absolute for large ones."""

    def per_sample(self, y_predicted, y):
        error = y_predicted - y
        size = np.abs(error)
        losses = (size + np.log1p(np.exp(-2 * size)) - np.log(2)).mean(axis=1)
        return losses, np.tanh(error) / error.shape[1]


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 20)).astype("float32")
    y = np.abs(x[:, :3]).sum(axis=1, keepdims=True) + rng.standard_t(2, size=(2000, 1)).astype("float32") * 0.1

    def make(dtype):
        layers = [fn.Dense(32), SoftThreshold(), fn.Dense(32, activation="relu"), fn.Dense(1)]
        return fn.Network(layers, input_shape=(20,), dtype=dtype, seed=0)

    check = fn.check_gradients(make("float64"), x[:16].astype("float64"), y[:16].astype("float64"), loss=LogCosh())
    print(f"gradients differ from differences by {max(check.errors.values()):.0e} at most, at {check.worst}")

    net = make("float32")
    history = net.fit(x, y, epochs=30, loss=LogCosh(), optimizer=fn.Adam(3e-3), verbose=0)
    print(f"loss {history['loss'][0]:.3f}, after {history.epochs} epochs {history['loss'][-1]:.3f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        net.save(path)
        print("loaded with the same predictions:", np.array_equal(fn.load(path).predict(x), net.predict(x)))


if __name__ == "__main__":
    main()
