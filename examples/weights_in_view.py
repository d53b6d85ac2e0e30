"""A training that goes wrong on purpose, what the monitor says about it, and the same one mended."""

import warnings

import fastnet as fn


def make(scale: float) -> fn.Network:
    init = fn.initializers.Normal(std=scale)
    hidden = [fn.Dense(64, activation="tanh", init=init) for _ in range(6)]
    return fn.Network([fn.Flatten(), *hidden, fn.Dense(10)], input_shape=(8, 8, 1), seed=0)


def main() -> None:
    (x, y), test = fn.datasets.digits()
    warnings.simplefilter("ignore", fn.health.HealthWarning)  # they are printed at the end
    for scale in (0.01, 0.125):
        net = make(scale)
        history = net.fit(
            x, y, epochs=10, loss="softmax_cross_entropy", optimizer="adam", metrics=["accuracy"],
            health=True, verbose=0,
        )  # fmt: skip
        print(f"weights of standard deviation {scale}: accuracy {net.evaluate(*test)['accuracy']:.0%}")
        names, norms = history.health.table.by_depth("norm", "gradient")
        weights = [i for i, name in enumerate(names) if name.endswith("weight")]
        print("  first gradients, from the first layer on:", ", ".join(f"{norms[0, i]:.1e}" for i in weights))
        print(*history.findings or ["nothing found"], sep="\n", end="\n\n")


if __name__ == "__main__":
    main()
