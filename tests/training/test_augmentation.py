"""Augmentation in `fit`: same bits however the run is divided, which data it changes, losses and targets."""

import numpy as np
import pytest
import reference_augment

import fastnet as fn
from fastnet.augment import Brightness, Contrast, Cutout, Mixup, RandomCrop, RandomFlip
from fastnet.recording import program

ALL = [RandomCrop(1), RandomFlip(), Brightness(0.1), Contrast(0.1), Cutout(2), Mixup(0.4)]


def make_net(seed=0, dtype="float32", outputs=3):
    layers = [fn.Normalize(100, 60), fn.Flatten(), fn.Dense(12, activation="relu"), fn.Dropout(0.1), fn.Dense(outputs)]
    return fn.Network(layers, input_shape=(5, 6, 2), seed=seed, dtype=dtype)


def make_data(n=50):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 5, 6, 2), dtype=np.uint8), rng.integers(0, 3, n)


def bits(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


def fit(net, x, y, **options):
    settings = {"epochs": 2, "batch_size": 16, "loss": "softmax_cross_entropy", "optimizer": fn.SGD(0.05),
                "metrics": ["accuracy"], "augment": ALL, "verbose": 0} | options  # fmt: skip
    return net.fit(x, y, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr(program, "PARALLEL_OP", 0)
    monkeypatch.setattr(program, "PARALLEL_PROGRAM", 0)
    x, y = make_data()
    found = []
    for threads in (1, 2, 3):
        with fn.threads(threads):
            net = make_net(dtype=dtype)
            history = fit(net, x, y)
            found.append((bits(net), dict(history)))
    assert found[0] == found[1] == found[2]


class EachBatch(fn.Callback):
    def on_batch_end(self, trainer, logs): ...


def test_same_bits_whatever_the_replay_and_after_a_file(tmp_path):
    x, y = make_data()
    whole, stepwise, resumed = make_net(), make_net(), make_net()
    fit(whole, x, y)
    fit(stepwise, x, y, callbacks=[EachBatch()])
    fit(resumed, x, y, epochs=1)
    resumed.save(tmp_path / "net.safetensors")
    resumed = fn.load(tmp_path / "net.safetensors")
    fit(resumed, x, y, epochs=1)
    assert bits(whole) == bits(stepwise) == bits(resumed)


def test_an_empty_list_changes_nothing():
    x, y = make_data()
    plain, empty = make_net(), make_net()
    plain.fit(x, y, epochs=2, batch_size=16, loss="softmax_cross_entropy", optimizer=fn.SGD(0.05), verbose=0)
    fit(empty, x, y, augment=[])
    assert bits(plain) == bits(empty)


def test_a_step_is_one_on_the_augmented_batch():
    """The first step, in NumPy and by `train_on_batch`, which takes the batch as it is."""
    x, y = make_data(16)
    operations = [RandomCrop(2, "reflect"), RandomFlip(vertical=True), Contrast(0.3), Cutout((2, 3), 7.0)]
    by_fit, by_batch = make_net(dtype="float64"), make_net(dtype="float64")
    history = fit(by_fit, x, y, epochs=1, shuffle=False, augment=operations)
    changed = reference_augment.augment(operations, x, seed=0, count=1)
    trainer = fn.Trainer(by_batch, loss="softmax_cross_entropy", optimizer=fn.SGD(0.05))
    assert trainer.train_on_batch(changed, y)["loss"] == pytest.approx(history["loss"][0], rel=1e-12)
    for name, value in by_fit.state_dict().items():
        np.testing.assert_allclose(value, by_batch.state_dict()[name], rtol=1e-10, atol=1e-12)


def test_mixup_is_the_loss_of_mixed_rows():
    x, y = make_data(16)
    by_fit, by_batch = make_net(dtype="float64"), make_net(dtype="float64")
    weights = np.linspace(0.5, 2, 16)
    history = fit(by_fit, x, y, epochs=1, shuffle=False, augment=[Mixup(0.4)], sample_weight=weights)
    mixed, rows, w = reference_augment.mixup([x.astype(float), np.eye(3)[y], weights], 0.4, seed=0, count=1)
    trainer = fn.Trainer(by_batch, loss="softmax_cross_entropy", optimizer=fn.SGD(0.05), metrics=["accuracy"])
    found = trainer.train_on_batch(mixed, rows, w)
    assert found == pytest.approx({"loss": history["loss"][0], "accuracy": history["accuracy"][0]}, rel=1e-12)
    for name, value in by_fit.state_dict().items():
        np.testing.assert_allclose(value, by_batch.state_dict()[name], rtol=1e-10, atol=1e-12)


def test_mixup_of_probabilities_values_and_other_inputs():
    x, y = make_data()
    soft = np.eye(3, dtype="float32")[y]
    labels, rows = make_net(), make_net()
    fit(labels, x, y, augment=[Mixup()])
    fit(rows, x, soft, augment=[Mixup()])
    assert bits(labels) == bits(rows)
    net = fn.Network([fn.Dense(1)], input_shape=(4,), seed=0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    history = net.fit(x, x.sum(axis=1), epochs=40, loss="mse", augment=[Mixup()], optimizer=fn.Adam(0.05), verbose=0)
    assert history["loss"][-1] < 1e-3  # a linear relation holds for mixed samples too


def test_validation_data_are_not_augmented():
    x, y = make_data()
    net = make_net()
    history = fit(net, x, y, validation=(x, y), epochs=1)
    assert net.evaluate(x, y)["loss"] == history["val_loss"][0]
    history = fit(net, x, y, validation=0.2, epochs=1)
    assert np.isfinite(history["val_loss"][0])


def test_other_augmentations_make_other_recordings():
    x, y = make_data()
    net = make_net()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.0))
    losses = [
        trainer.fit(x, y, augment=augment, verbose=0, shuffle=False, batch_size=50)["loss"][-1]
        for augment in ([], [Brightness(1.0)], [Brightness(0.5)], [RandomFlip()], [])
    ]
    assert len(set(losses)) >= 4


def test_errors():
    x, y = make_data()
    net = make_net()
    before = bits(net)
    with pytest.raises(ValueError, match=r"padding must be at most 4"):
        fit(net, x, y, augment=[RandomCrop(5)])
    with pytest.raises(TypeError, match="augment must be a list"):
        fit(net, x, y, augment=RandomFlip())

    class Labels(fn.SoftmaxCrossEntropy):
        def takes_labels(self, y, output_shape):
            return True

    with pytest.raises(ValueError, match=r"Mixup makes targets of shape \(n, 3\), which the loss Labels does not take"):
        fit(net, x, y, loss=Labels())
    flat = fn.Network([fn.Dense(3)], input_shape=(60,), seed=0)
    with pytest.raises(ValueError, match="Cutout needs images"):
        fit(flat, x.reshape(50, 60), y, augment=[Cutout(2)])
    assert bits(net) == before
