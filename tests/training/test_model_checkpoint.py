"""Directories of checkpoints: when they are saved, which is the newest, disks that are full."""

import errno
import functools
import os
import shutil
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from stopping import (
    StopAfter,
    Stopped,
    X,
    Y,
    fit,
    make_trainer,
    numbers,
    outcome,
    resume,
    saving,
    stopped,
    whole,
)

import fastnet as fn
from fastnet.files import atomic
from fastnet.training import checkpoint_directory, progress


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


@pytest.mark.parametrize(
    ("every", "keep", "expected"),
    [
        (4, 9, [4, 8, 12, 15]),
        (1, 2, [14, 15]),
        ("7 batches", 1, [15]),
        ("epoch", 9, [5, 10, 15]),
        ("2 epochs", 9, [10, 15]),
        ("1 hour", 9, [15]),
        (100, 9, [15]),
    ],
)
def test_when_checkpoints_are_saved_and_how_many_are_kept(every, keep, expected, tmp_path):
    trainer = make_trainer()
    callback = saving(tmp_path / "a" / "b", every=every, keep=keep)
    fit(trainer, callbacks=[callback])
    assert numbers(tmp_path / "a" / "b") == expected and outcome(trainer) == whole()
    fit(trainer, callbacks=[callback], epochs=1)
    assert numbers(tmp_path / "a" / "b")[-1] == 20, "the same training may go on there"


def test_a_checkpoint_in_the_middle_does_not_slow_the_steps(tmp_path, monkeypatch):
    runs = []
    trainer = make_trainer()
    run = trainer.run
    monkeypatch.setattr(trainer, "run", lambda program, steps: (runs.append(steps), run(program, steps)))
    fit(trainer, epochs=1)
    runs.clear()
    x, y = np.tile(X, (30, 1)), np.tile(Y, 30)
    monkeypatch.setattr(progress, "RUN_SECONDS", 1e9)
    trainer.fit(x, y, batch_size=4, callbacks=[saving(tmp_path, every=60, keep=5)], verbose=0)
    assert runs == [1, 59, 60, 30] and numbers(tmp_path) == [65, 125, 155]


def test_times(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Clock(fn.Callback):
        def on_batch_end(self, trainer, logs):
            now[0] += 7

    fit(make_trainer(), callbacks=[saving(tmp_path, every="20 seconds", keep=9), Clock()])
    assert numbers(tmp_path) == [3, 6, 9, 12, 15]


def test_the_plan_of_saving_goes_on(tmp_path, path):
    stopped(path, batches=7, callbacks=[saving(tmp_path / "c", every=3, keep=9)])
    trainer = resume(path)
    fit(trainer)
    assert numbers(tmp_path / "c") == [3, 6, 9, 12, 15] and outcome(trainer) == whole()


def test_a_directory_is_for_one_training(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path)])
    trainer = make_trainer()
    with pytest.raises(
        FileExistsError, match=r"has checkpoints of another training: fn.Trainer.resume\(.*\) goes on with it"
    ):
        fit(trainer, callbacks=[saving(tmp_path)])
    assert trainer.step == 0
    with pytest.raises(FileExistsError):
        fit(trainer, callbacks=[saving(tmp_path, on_save_error="warn")])


def test_the_newest_whole_one_is_found(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path, every=5)])
    (tmp_path / "checkpoint-99.safetensors").write_bytes(b"of somebody else")
    (tmp_path / ".fastnet-0123456789abcdef.tmp").write_bytes(b"of a killed writer")
    five, ten, fifteen = (path for _, path in checkpoint_directory.numbered(tmp_path))
    assert fn.training.newest_checkpoint(tmp_path) == fifteen
    shutil.copyfile(five, tmp_path / "whole")
    Path(fifteen).write_bytes(Path(fifteen).read_bytes()[:-1])
    Path(ten).write_bytes(b"")
    with pytest.warns(RuntimeWarning, match=f"{fifteen} is not .*; {ten} is empty. Taking the one before: {five}"):
        trainer = fn.Trainer.resume(tmp_path)
    assert trainer.resumed_from == five and trainer.batches == 5
    fit(trainer)
    assert outcome(trainer) == whole()
    assert not list(tmp_path.glob(".fastnet*"))
    assert fn.training.newest_checkpoint(tmp_path) == fifteen, "written anew"
    for _, path in checkpoint_directory.numbered(tmp_path):
        Path(path).write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* is whole: .* is empty; .* is empty"):
        fn.Trainer.resume(tmp_path)


def test_nothing_to_go_on_from(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        fn.Trainer.resume(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        fn.training.newest_checkpoint(tmp_path / "nowhere")


def test_what_is_written_is_not_taken_for_old_beside_checkpoints_with_greater_numbers(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path, every=1, keep=9)])
    newer = saving(tmp_path, every=1, keep=2)
    trainer = fn.Trainer.resume(
        checkpoint_directory.path_of(tmp_path, 8), callbacks=[newer, StopAfter(tmp_path / "c", 10)]
    )
    with pytest.raises(Stopped):
        fit(trainer)
    assert numbers(tmp_path) == [9, 10, 11, 12, 13, 14, 15]


def test_an_older_checkpoint_may_be_gone_on_from(tmp_path):
    fit(make_trainer(), callbacks=[saving(tmp_path, every=1, keep=9)])
    trainer = fn.Trainer.resume(checkpoint_directory.path_of(tmp_path, 8))
    fit(trainer)
    assert outcome(trainer) == whole() and numbers(tmp_path) == list(range(7, 16))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"every": 0}, "every must be at least 1"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"every": "often"}, "every must be a number of batches, or a text such as"),
        ({"every": "0 epochs"}, "every must be"),
        ({"every": 2, "keep": 0}, "keep must be at least 1"),
        ({"keep": 2}, "keep is a number of checkpoints: it needs every="),
        ({"every": 2, "monitor": "loss"}, "monitor chooses networks to save"),
        ({"every": 2, "best_only": True}, "best_only chooses networks"),
        ({"every": 2, "mode": "min"}, "mode chooses networks"),
        ({"every": 2, "on_save_error": "ignore"}, "on_save_error 'ignore' is not one of raise, warn"),
    ],
)
def test_settings_of_saving_are_checked(settings, text):
    with pytest.raises((TypeError, ValueError)) as caught:
        fn.ModelCheckpoint("somewhere", **settings)
    assert text in str(caught.value)


def test_an_interruption_saves_first(tmp_path):
    callback = saving(tmp_path, every="1 hour")

    class Signal(fn.Callback):
        def on_batch_end(self, trainer, logs):
            if trainer.batches == 7:
                callback.interrupt(SystemExit(143))

    with pytest.raises(SystemExit):
        fit(make_trainer(), callbacks=[callback, Signal()])
    assert numbers(tmp_path) == [7]
    trainer = fn.Trainer.resume(tmp_path, callbacks=[Signal()])
    fit(trainer)
    assert outcome(trainer) == whole()
    with pytest.raises(ValueError, match="needs a ModelCheckpoint with every="):
        fn.ModelCheckpoint("somewhere").interrupt(SystemExit())


# Files that can't be written


def failing(monkeypatch, function, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, function, fail)


FAILURES = [
    ("fsync", errno.ENOSPC, "the disk is full"),
    ("open", errno.EACCES, "no permission to write there"),
    ("replace", errno.EIO, os.strerror(errno.EIO)),
]


class FailFrom(fn.Callback):
    """Lets writing fail from a batch on."""

    def __init__(self, batch, start):
        self.batch, self.start = batch, start

    def on_batch_end(self, trainer, logs):
        if trainer.batches == self.batch:
            self.start()


@pytest.mark.parametrize(("function", "number", "text"), FAILURES)
def test_a_failing_write_is_one_error_or_a_warning_and_older_files_stay(function, number, text, tmp_path):
    for mode in ("raise", "warn"):
        trainer, directory = make_trainer(), tmp_path / mode
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            start = functools.partial(failing, patch, function, number)
            callbacks = [saving(directory, every=2, keep=1, on_save_error=mode), FailFrom(5, start)]
            if mode == "raise":
                with pytest.raises(OSError, match=f"cannot write .*checkpoint-000000006.*: {text}"):
                    fit(trainer, callbacks=callbacks)
            else:
                fit(trainer, callbacks=callbacks)
                assert outcome(trainer) == whole()
                told = [str(warning.message) for warning in warned if warning.category is RuntimeWarning]
                assert len(told) == 6 and all(text in message and "training goes on" in message for message in told)
        assert sorted(os.listdir(directory)) == ["checkpoint-000000004.safetensors"]
        other = fn.Trainer.resume(directory, callbacks=[FailFrom(0, None)])
        fit(other)
        assert outcome(other) == whole()


def test_networks_that_cannot_be_written(tmp_path):
    callback = fn.ModelCheckpoint(tmp_path / "nowhere" / "net.safetensors", "loss", on_save_error="warn")
    trainer = make_trainer()
    with pytest.warns(RuntimeWarning, match="there is no directory .*nowhere; training goes on"):
        fit(trainer, callbacks=[callback])
    assert outcome(trainer) == whole()
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        fit(make_trainer(), callbacks=[fn.ModelCheckpoint(tmp_path / "nowhere" / "net.safetensors", "loss")])


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="there is a file of that name"):
        fit(make_trainer(), callbacks=[saving(tmp_path / "file")])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 80 KB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mounted = (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", place], capture_output=True).returncode
            == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_gets_full(small_disk):
    trainer = make_trainer()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(trainer, callbacks=[saving(small_disk, every=1, keep=100, on_save_error="warn")])
    told = [str(warning.message) for warning in warned]
    assert told and all("the disk is full; training goes on" in message for message in told)
    assert outcome(trainer) == whole() and not list(small_disk.glob(".fastnet*"))
    kept = checkpoint_directory.numbered(small_disk)
    assert kept and len(kept) + len(told) == 16
    for _, file in kept:
        other = fn.Trainer.resume(file)
        other.unfinished.callbacks = []
        fit(other)
        assert outcome(other) == whole()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="no permission to write there"):
            fit(make_trainer(), callbacks=[saving(tmp_path)])
    finally:
        tmp_path.chmod(0o755)
