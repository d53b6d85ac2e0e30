"""A network from data to file: fit with early stopping, test, look at mistakes, save and load."""

import argparse

import numpy as np

import fastnet as fn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", default="digits.safetensors", help="where the network goes (default: %(default)s)")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.digits()
    net = fn.Network(
        [
            fn.Conv2D(32, 3, padding="same", activation="relu"),
            fn.MaxPool2D(2),
            fn.Flatten(),
            fn.Dropout(0.2),
            fn.Dense(10, name="head"),
        ],
        input_shape=(8, 8, 1),
        seed=0,
    )
    print(net.summary())
    history = net.fit(
        x,
        y,
        epochs=arguments.epochs,
        loss="softmax_cross_entropy",
        optimizer=fn.Adam(1e-3),
        metrics=["accuracy"],
        validation=0.1,
        callbacks=[fn.EarlyStopping(patience=5)],
    )
    print(f"{history.epochs} epochs; on {len(x_test)} images that it has not seen: {net.evaluate(x_test, y_test)}")

    probabilities = net.predict_proba(x_test)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y_test)
    for i in sorted(wrong, key=lambda i: -probabilities[i].max())[:3]:
        print(f"image {i} is a {y_test[i]}, taken for a {probabilities[i].argmax()} with {probabilities[i].max():.0%}")

    net.save(arguments.out)
    assert np.array_equal(fn.load(arguments.out).predict(x_test), net.predict(x_test))
    print(f"saved in {arguments.out}")


if __name__ == "__main__":
    main()
