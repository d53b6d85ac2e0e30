"""A training that is stopped in the middle of an epoch goes on from its checkpoint, to the bits of one that never stopped."""

import tempfile

import numpy as np

import fastnet as fn


class StopAt(fn.Callback):
    """What Ctrl-C or a power cut would do."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer, logs):
        if trainer.step == self.step:
            raise KeyboardInterrupt


def make_trainer() -> fn.Trainer:
    layers = [fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dropout(0.3), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    return fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-3))


def main() -> None:
    (x, y), _ = fn.datasets.digits()
    whole = make_trainer()
    whole.fit(x, y, epochs=5, verbose=0)

    with tempfile.TemporaryDirectory() as directory:
        stopped = make_trainer()
        try:
            stopped.fit(x, y, epochs=5, callbacks=[fn.ModelCheckpoint(directory, every=20), StopAt(110)], verbose=0)
        except KeyboardInterrupt:
            print(f"stopped after {stopped.step} steps")
        # StopAt has no config: as every callback that cannot be made anew it is given.
        resumed = fn.Trainer.resume(directory, callbacks=[StopAt(None)])
        print(f"goes on after {resumed.step} steps")
        resumed.fit(x, y, verbose=0)

    pairs = zip(whole.net.parameters(), resumed.net.parameters(), strict=True)
    print("the same bits:", all(np.array_equal(a.value, b.value) for a, b in pairs))


if __name__ == "__main__":
    main()
