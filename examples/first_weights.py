"""What first weights do to signals and gradients on their way through a deep network."""

import numpy as np

import fastnet as fn

INITIALIZERS = {
    "zeros": "zeros",
    "normal, deviation 0.01": fn.initializers.Normal(std=0.01),
    "normal, deviation 1": fn.initializers.Normal(std=1.0),
    "Glorot (Xavier)": "glorot_normal",
    "He": "he_normal",
}


def deviation(array) -> float:
    return float(np.std(array, dtype=np.float64))


def main(depth: int = 10, width: int = 128) -> None:
    (x, y), _ = fn.datasets.digits()
    x, y = x[:256], y[:256]
    loss = fn.SoftmaxCrossEntropy()
    print(f"{depth} hidden layers of {width} with relu: size of signals forward, of gradients backward\n")
    for name, init in INITIALIZERS.items():
        layers = [fn.Dense(width, activation="relu", init=init, name=f"hidden_{i}") for i in range(1, depth + 1)]
        net = fn.Network([fn.Flatten(), *layers, fn.Dense(10, init=init)], input_shape=(8, 8, 1), seed=0)
        signals = net.activations(x)
        _, dy = loss.gradient(net.forward(x, training=True), y)
        net.backward(dy)
        forward = [deviation(signals[f"hidden_{i}"]) for i in (1, depth // 2, depth)]
        backward = [deviation(net[f"hidden_{i}"].weight.grad) for i in (1, depth // 2, depth)]
        print(f"{name:24} " + "  ".join(f"{value:8.1e}" for value in (*forward, *backward)))


if __name__ == "__main__":
    main()
