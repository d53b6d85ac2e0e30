"""``fastnet train`` with --checkpoint and --resume: signals, what it goes on from, and what it refuses."""

import csv
import errno
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnet as fn
from fastnet.training import checkpoint, checkpoint_directory

OPTIONS = ["--epochs", "12", "--validation", "0.1", "--augment", "crop", "--health", "--seed", "3"]
posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's here")


def result(directory):
    """The weights and the history of a finished run."""
    weights = fn.load(directory / "model.safetensors").state_dict()
    with open(directory / "history.csv") as file:
        return {name: value.tobytes() for name, value in weights.items()}, list(csv.reader(file))


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_that_is_stopped_by_a_signal_saves_and_goes_on(number, code, run, environment, tmp_path):
    command = ["train", *OPTIONS, "--checkpoint", "kept"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fastnet", *command], env=environment, cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    seen = b""
    while b"epoch 2/" not in seen:
        assert process.poll() is None, seen
        seen += process.stderr.read1(4096)
    sent = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and time.monotonic() - sent < 5, "one second, on a machine that does nothing else"
    told = err.decode().splitlines()[-1]
    assert re.fullmatch(
        r"fastnet: interrupted; the history of \d+ epochs? is in fastnet-run/history\.csv; the same command with --resume goes "
        "on from kept",
        told,
    )
    numbers = checkpoint_directory.numbered(tmp_path / "kept")
    assert len(numbers) == 1 and 0 < numbers[0][0] < 12 * 21

    resumed = run(*command, "--resume", "--threads", 1)
    assert resumed.code == 0, resumed
    assert re.search(
        r"^going on from kept/checkpoint-\d+\.safetensors, behind .*epoch \d+ of 12$",
        resumed.out,
        re.MULTILINE,
    )
    before = fn.get_num_threads()
    fn.set_num_threads(2)
    try:
        assert run("train", *OPTIONS, "--out", "whole").code == 0
    finally:
        fn.set_num_threads(before)
    assert result(tmp_path / "fastnet-run") == result(tmp_path / "whole")
    for name in ("health.csv", "findings.json"):
        assert (tmp_path / "fastnet-run" / name).read_text() == (tmp_path / "whole" / name).read_text()


def short(run, *more, out="fastnet-run"):
    options = ["--model", "mlp", "--hidden", "8", "--epochs", 4, "--checkpoint", "kept", "--out", out]
    return run("train", *options, *more)


def test_the_end_is_saved_and_can_be_come_back_to(run, tmp_path):
    assert short(run).code == 0
    assert [number for number, _ in checkpoint_directory.numbered(tmp_path / "kept")] == [92]
    again = short(run, "--resume", out="again")
    assert again.code == 0 and "behind epoch 4 of 4" in again.out
    assert result(tmp_path / "again") == result(tmp_path / "fastnet-run")
    trainer = fn.Trainer.resume(tmp_path / "kept")
    assert trainer.batches == 92 and isinstance(trainer.unfinished.callbacks[0], fn.ModelCheckpoint)


def test_intervals(run, tmp_path):
    assert short(run, "--checkpoint-every", "30 batches").code == 0
    assert [number for number, _ in checkpoint_directory.numbered(tmp_path / "kept")] == [60, 90, 92]


def test_nothing_to_go_on_from_begins_anew(run, tmp_path):
    first = short(run, "--resume")
    assert first.code == 0 and "no checkpoint in kept: the training begins anew" in first.out
    assert "begins anew" not in run("train", "--model", "mlp", "--epochs", 1, "--checkpoint", "other", "--out", "b").out


def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(run, tmp_path):
    assert short(run, "--checkpoint-every", "1 epoch").code == 0
    newest = checkpoint_directory.path_of("kept", 92)
    (tmp_path / newest).write_bytes((tmp_path / newest).read_bytes()[:-5])
    again = short(run, "--resume", "--checkpoint-every", "1 epoch", out="again")
    assert again.code == 0 and "going on from kept/checkpoint-000000069.safetensors, behind epoch 3 of 4" in again.out
    assert f"fastnet: warning: {newest} is not a safetensors file, or damaged" in again.err
    assert result(tmp_path / "again") == result(tmp_path / "fastnet-run")


def test_what_is_refused(run, error, tmp_path):
    assert "--resume goes on from a checkpoint; --checkpoint DIR says where they are" in error("train", "--resume")
    assert "expected an interval such as" in error("train", "--checkpoint", "a", "--checkpoint-every", "often")
    (tmp_path / "file").write_text("")
    assert "there is a file of that name" in error("train", "--checkpoint", "file")
    assert short(run).code == 0
    told = error("train", "--checkpoint", "kept", "--out", "b")
    assert (
        "--checkpoint: kept has checkpoints of a training; --resume goes on with it, else choose another directory"
        in told
    )
    for options, text in [
        (["--epochs", 5], "--epochs is 5; in the training that goes on it was 4"),
        (["--hidden", "9,9"], "--hidden is 9,9; in the training that goes on it was 8"),
        (["--health"], "--health is given; in the training that goes on it was left out"),
        (["--optimizer", "sgd"], "--optimizer is sgd; in the training that goes on it was adam"),
    ]:
        refused = short(run, "--resume", *options, out="c")
        assert refused.code == 2 and f"--resume: {text}" in refused.err
    assert not (tmp_path / "c" / "model.safetensors").exists()
    saving = fn.ModelCheckpoint(tmp_path / "library", every="epoch")
    net = fn.Network([fn.Dense(1)], input_shape=(2,))
    net.fit(np.ones((4, 2)), np.ones(4), loss="mse", callbacks=[saving], verbose=0)
    refused = run("train", "--checkpoint", "library", "--resume", "--out", "d")
    assert refused.code == 2 and "is not of a training by `fastnet train`" in refused.err


def test_other_data_are_refused(run, tmp_path, flowers, houses):
    options = ["train", "--epochs", 2, "--hidden", 4, "--checkpoint", "kept", "--data", flowers, "--target", "kind"]
    assert run(*options).code == 0
    flowers.write_text(flowers.read_text().replace("red", "pink", 1))
    refused = run(*options, "--resume", "--out", "b")
    assert refused.code == 2
    flowers.write_text(flowers.read_text().replace("pink", "red", 1).replace("blue", "red", 1))
    refused = run(*options, "--resume", "--out", "b")
    assert (
        refused.code == 2 and "the data are not those that the training began with: x has other values" in refused.err
    )


def test_checkpoints_that_cannot_be_written_are_told_and_the_training_ends_well(run, tmp_path, monkeypatch):
    def full(trainer, path):
        raise OSError(errno.ENOSPC, f"cannot write {path}: the disk is full")

    monkeypatch.setattr(checkpoint, "save", full)
    done = short(run, "--checkpoint-every", "1 epoch")
    assert done.code == 0 and (tmp_path / "fastnet-run" / "model.safetensors").exists()
    told = [line for line in done.err.splitlines() if "fastnet: warning" in line]
    assert len(told) == 4 and all("the disk is full" in line and line.endswith("training goes on") for line in told)


@posix
def test_handlers_of_signals_are_those_of_before(run):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert short(run).code == 0
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@posix
def test_a_second_signal_does_not_wait_for_the_checkpoint(run, monkeypatch):
    begun = []

    def interrupted_save(trainer, path):
        begun.append(path)
        os.kill(
            os.getpid(), signal.SIGINT
        )  # while the first checkpoint is written, and again while that for this signal is
        begun.append("ended")

    monkeypatch.setattr(checkpoint, "save", interrupted_save)
    stopped = short(run, "--checkpoint-every", "30 batches")
    assert stopped.code == 130 and "interrupted" in stopped.err
    assert begun[1] == "ended" and len(begun) == 3
