"""Choosing commands: one line for every mistake, exit codes, help."""

import subprocess
import sys

import pytest

import fastnet
from fastnet.cli import command


def test_help_and_version(run):
    result = run("--help")
    assert result.code == 0 and all(name in result.out for name in ("train", "predict", "info"))
    assert run("--version").out == f"fastnet {fastnet.__version__}\n"
    for name in command.COMMANDS:
        result = run(name, "--help")
        assert result.code == 0 and result.out.startswith(f"usage: fastnet {name}")
        assert "None" not in result.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "a command is missing: one of train, predict, inspect, compare, lab, info"),
        (["trian"], "command 'trian' is not one of train, predict, inspect, compare, lab, info; did you mean 'train'?"),
        (["train", "--epoch", "3"], "unknown option --epoch; did you mean '--epochs'?"),
        (["train", "--epoch=3"], "unknown option --epoch; did you mean '--epochs'?"),
        (["--verbose", "train"], "unknown option --verbose"),
        (["train", "digits"], "'digits' is one argument too many"),
        (["train", "--epochs"], "argument --epochs: expected one argument"),
        (["train", "--epochs", "x"], "argument --epochs: expected a whole number of at least 1; got 'x'"),
        (["train", "--epochs", "0"], "argument --epochs: expected a whole number of at least 1; got '0'"),
        (["train", "--batch-size", "-1"], "argument --batch-size: expected a whole number of at least 1; got '-1'"),
        (["train", "--seed", "0.5"], "argument --seed: expected a whole number of at least 0; got '0.5'"),
        (["train", "--threads", "0"], "argument --threads: expected a whole number of at least 1; got '0'"),
        (["train", "--learning-rate", "0"], "argument --learning-rate: expected a number above 0; got '0'"),
        (["train", "--learning-rate", "nan"], "argument --learning-rate: expected a number above 0; got 'nan'"),
        (["train", "--dropout", "1"], "argument --dropout: expected a share in [0, 1); got '1'"),
        (["train", "--validation", "-0.1"], "argument --validation: expected a share in [0, 1); got '-0.1'"),
        (["train", "--hidden", "128,x"], "argument --hidden: expected sizes of layers such as 128,64; got '128,x'"),
        (["train", "--hidden", "0"], "argument --hidden: expected sizes of layers such as 128,64; got '0'"),
        (["train", "--optimizer", "adan"], "got 'adan'; did you mean 'adam'?"),
        (["train", "--task", "regress"], "got 'regress'; did you mean 'regression'?"),
        (["predict"], "the following arguments are required: MODEL, DATA"),
        (["info", "--all"], "unknown option --all"),
    ],
)
def test_mistakes(error, arguments, expected):
    assert expected in error(*arguments)


def test_mistakes_change_nothing(error, tmp_path):
    error("train", "--data", "nothing.csv")
    assert list(tmp_path.iterdir()) == []


def test_info(run):
    result = run("info")
    assert result.code == 0 and result.err == ""
    for name in ("fastnet", "isa", "threads", "openmp"):
        assert any(line.startswith(name) for line in result.out.splitlines())


def test_as_a_module(environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fastnet", "info"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("fastnet")
    done = subprocess.run(
        [sys.executable, "-m", "fastnet", "tran"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("fastnet: error: command 'tran'")


def test_an_instruction_set_that_does_not_exist(environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fastnet", "info"],
        env={**environment, "FASTNET_ISA": "avx9"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("fastnet: error: FASTNET_ISA 'avx9' is not one of")


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (ValueError("two\nlines"), 2, "fastnet: error: two lines\n"),
        (MemoryError(), 2, "fastnet: error: not enough memory\n"),
        (OSError("disk"), 2, "fastnet: error: disk\n"),
        (FloatingPointError("loss"), 2, "fastnet: error: loss\n"),
        (KeyboardInterrupt(), 130, "fastnet: interrupted\n"),
    ],
)
def test_exit_codes(run, monkeypatch, raised, code, line):
    def fail(_):
        raise raised

    monkeypatch.setattr(command.info, "run", fail)
    result = run("info")
    assert (result.code, result.err) == (code, line)


def test_faults_of_the_program_are_not_hidden(run, monkeypatch):
    def fail(_):
        raise TypeError("a bug")

    monkeypatch.setattr(command.info, "run", fail)
    with pytest.raises(TypeError, match="a bug"):
        run("info")
