"""Training by single steps: forward, loss, backward, update. The weights are those of fit, bit for bit."""

import numpy as np

import fastnet as fn


def make() -> fn.Network:
    return fn.Network(
        [fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dropout(0.2), fn.Dense(10)], input_shape=(8, 8, 1), seed=0
    )


def main(epochs: int = 3, batch_size: int = 32) -> None:
    (x, y), _ = fn.datasets.digits()
    net = make()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1, momentum=0.9))
    for epoch in range(epochs):
        losses = []
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            logits = net.forward(x[batch], training=True)
            value, dy = trainer.loss.gradient(logits, y[batch])
            net.backward(dy)
            trainer.apply_gradients()
            losses.append(value)
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")

    other = make()
    other.fit(
        x, y, epochs=epochs, batch_size=batch_size, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1, momentum=0.9),
        shuffle=False, verbose=0,
    )  # fmt: skip
    same = all(np.array_equal(a.value, b.value) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    print("the same bits as fit:", same)


if __name__ == "__main__":
    main()
