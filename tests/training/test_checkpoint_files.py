"""Checkpoints as files: versions, damage, other kinds."""

from pathlib import Path

import numpy as np
import pytest
from stopping import LOSS, StopAfter, Stopped, make_net, resume, stopped

import fastnet as fn
from fastnet import files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


FIXTURE = Path(__file__).with_name("checkpoint-version-1.safetensors")


def of_fixture():
    """A trainer as the one in the fixture, and its data: numbers that every machine has."""
    x = (np.arange(80, dtype=np.float32).reshape(16, 5) % 7) / 7
    net = fn.Network(
        [fn.Dense(4, activation="tanh"), fn.BatchNorm(), fn.Dropout(0.25), fn.Dense(2)], input_shape=(5,), seed=7
    )
    settings = {"metrics": ["accuracy"], "accumulate": 2, "average": fn.EMA(0.9)}
    return fn.Trainer(net, loss=LOSS, optimizer=fn.Adam(0.05), **settings), x, np.arange(16) % 2


def test_a_checkpoint_of_version_1_is_read():
    """Made by `stop` below: ``stop(FIXTURE)``."""
    trainer = fn.Trainer.resume(FIXTURE, callbacks=[StopAfter()])
    net, place = trainer.net, trainer.unfinished.place
    assert (trainer.batches, trainer.step, trainer.control.batches, net.epochs) == (4, 2, 1, 2)
    assert (place.epoch, place.stage, place.done) == (1, "batches", 4)
    assert list(trainer.history) == ["loss", "accuracy", "val_loss", "val_accuracy"] and trainer.history.epochs == 1
    assert isinstance(trainer.optimizer, fn.Adam) and trainer.update.average.rule.decay == 0.9
    assert {name for _, _, name in trainer.update.states} == {"m", "v", "sum of gradients"}
    assert [type(callback) for callback in trainer.unfinished.callbacks] == [fn.EarlyStopping, StopAfter]
    assert np.isfinite(trainer.history["loss"][0])
    fresh, x, y = of_fixture()
    assert not np.array_equal(net[0].weight.value, fresh.net[0].weight.value)
    assert np.allclose(net[0].weight.value, fresh.net[0].weight.value, atol=0.3)
    trainer.fit(x, y, validation=0.25, verbose=0)
    fresh.fit(x, y, epochs=3, batch_size=4, validation=0.25, callbacks=[fn.EarlyStopping(patience=5)], verbose=0)
    # Instruction sets round differently.
    assert trainer.history.epochs == 3 and np.allclose(trainer.history["loss"], fresh.history["loss"], rtol=1e-4)


def stop(path):
    trainer, x, y = of_fixture()
    with pytest.raises(Stopped):
        trainer.fit(x, y, epochs=3, batch_size=4, validation=0.25, verbose=0,
                    callbacks=[fn.EarlyStopping(patience=5), StopAfter(path, 4)])  # fmt: skip


def test_the_present_version_is_that_of_the_fixture_or_there_is_another_one():
    assert files.read_metadata(FIXTURE)["checkpoint"] == 1 and FIXTURE.stat().st_size < 20_000


def rewritten(path, change):
    tensors, document = files.read_safetensors(path)
    change(tensors, document)
    files.write_safetensors(path, tensors, document)


def test_a_newer_version_is_refused(path):
    stopped(path)
    rewritten(path, lambda tensors, document: document.update(checkpoint=2))
    with pytest.raises(
        ValueError, match=r"is a checkpoint of version 2, written by a newer fastnet; this one reads version 1$"
    ):
        resume(path)


DAMAGES = {
    "a weight": lambda tensors, document: tensors.pop("weights/dense_1.weight"),
    "a shape": lambda tensors, document: tensors.update({"weights/dense_1.bias": np.zeros(3, np.float32)}),
    "a state": lambda tensors, document: tensors.update({"optimizer/0/arrays/dense_1.bias": np.zeros(3, np.float32)}),
    "a number": lambda tensors, document: document.pop("rate_factor"),
    "a kind": lambda tensors, document: document.update(counts=[]),
    "a place": lambda tensors, document: document["fit"]["place"].update(nowhere=1),
    "no version": lambda tensors, document: document.update(checkpoint="one"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_file_lacks_is_one_error(damage, path):
    stopped(path)
    rewritten(path, DAMAGES[damage])
    with pytest.raises(ValueError, match="cannot be read as a checkpoint|names no version") as caught:
        resume(path)
    assert str(caught.value).startswith(str(path))


def test_files_of_another_kind(path, tmp_path):
    make_net().save(path)
    with pytest.raises(ValueError, match="is not a checkpoint: it holds a 'network'; fn.load reads it"):
        fn.Trainer.resume(path)
    stopped(tmp_path / "c")
    with pytest.raises(ValueError, match="holds a 'checkpoint', not a network; fn.Trainer.resume reads it"):
        fn.load(tmp_path / "c")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        fn.Trainer.resume(tmp_path / "nowhere")


def test_damage_anywhere_is_noticed_and_a_header_that_claims_more_than_there_is(path):
    stopped(path)
    content = path.read_bytes()
    for position in np.linspace(8, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
        with pytest.raises(ValueError, match=str(path)):
            resume(path)
    for end in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=str(path)):
            resume(path)
    path.write_bytes((len(content) * 1000).to_bytes(8, "little") + content[8:])
    with pytest.raises(ValueError, match="damaged or cut short"):
        resume(path)
