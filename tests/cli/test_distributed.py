"""``fastnet train`` as several processes that mpiexec has started."""

import re

import pytest
from subprocesses import mpiexec

from fastnet.cli import main

PROCESSES = "import sys; from fastnet.cli import main; sys.exit(main(sys.argv[1:]))"


def test_several_processes_train_as_one(tmp_path):
    """With exact sums they leave the files that one process leaves; the first one speaks for all."""
    options = [
        "train",
        "--model",
        "mlp",
        "--hidden",
        "16",
        "--epochs",
        "2",
        "--microbatch",
        "16",
        "--validation",
        "0.2",
    ]
    several, one = tmp_path / "several", tmp_path / "one"
    result = mpiexec(2, PROCESSES, *options, "--distributed", "mpi", "--reduction", "exact", "--out", several)
    assert result.stdout.count("model saved in") == 1
    assert re.search(r"2 processes: rank 0 \(process \d+ on .*\), rank 1 \(process \d+ on .*\)", result.stdout)
    assert main([*options, "--out", str(one)]) == 0
    assert (several / "model.safetensors").read_bytes() == (one / "model.safetensors").read_bytes()
    result = mpiexec(2, PROCESSES, *options, "--distributed", "mpi", "--out", several, check=False)
    assert result.returncode == 2 and result.stderr.count("has a finished run already") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--distributed", "slurm"], "expected one of mpi; got 'slurm'"),
        (["--reduction", "exact"], "--reduction exact is for several processes"),
        (["--distributed", "mpi", "--reduction", "exact"], "--microbatch N"),
        (["--data", "part-{rank}.npz"], "{rank} stands for the number of a process"),
        (["--microbatch", "7"], "batch_size=64 must be a multiple of microbatch=7"),
    ],
)
def test_bad_options_of_several_processes(options, message, tmp_path, capsys):
    assert main(["train", *options, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


#: The second process gets SIGTERM as soon as there is a checkpoint.
STOPPED = """
import os, signal, sys, threading, time
from mpi4py import MPI
from fastnet.cli import main
def stop(directory):
    while not any(name.endswith(".safetensors") for name in os.listdir(directory)):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
if MPI.COMM_WORLD.Get_rank() == 1 and "--resume" not in sys.argv:
    threading.Thread(target=stop, args=[sys.argv[sys.argv.index("--checkpoint") + 1]], daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_to_one_process_stops_all_and_the_training_goes_on(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    options = ["train", "--model", "mlp", "--hidden", "8", "--distributed", "mpi", "--reduction", "exact", "--microbatch", "16",
               "--checkpoint", kept, "--checkpoint-every", "5 batches"]  # fmt: skip
    epochs = ["--epochs", "20"]
    result = mpiexec(2, STOPPED, *options, *epochs, "--out", tmp_path / "run", check=False)
    assert result.returncode == 143
    assert result.stderr.count("the same command with --resume goes on from") == 1
    assert "run.json" not in [path.name for path in (tmp_path / "run").iterdir()]
    place = int(max(kept.iterdir()).stem.split("-")[1])
    assert 5 <= place < 20 * 23
    again = mpiexec(3, STOPPED, *options, *epochs, "--out", tmp_path / "run", "--resume")
    assert "going on from" in again.stdout and "model saved in" in again.stdout
