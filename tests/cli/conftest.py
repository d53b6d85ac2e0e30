"""Running commands in the process, and small data for them."""

import os
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from fastnet.cli import main


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Run a command in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return run_command


@pytest.fixture
def error(run):
    """Run a command that must fail with one line on stderr and exit code 2; returns that line."""

    def run_command(*arguments):
        result = run(*arguments)
        assert result.code == 2, result
        assert result.out == "" and result.err.startswith("fastnet: error: ") and result.err.count("\n") == 1, result
        return result.err

    return run_command


@pytest.fixture
def environment():
    """For subprocesses: the fastnet that the tests import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture
def flowers(tmp_path):
    """A CSV file for classification: three kinds, told apart by length and colour."""
    rng = np.random.default_rng(0)
    lines = ["length,colour,kind"]
    for i in range(150):
        kind = i % 3
        lines.append(f"{rng.normal(2 * kind, 0.3):.3f},{['red', 'blue'][kind == 1]},{'abc'[kind]}")
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def houses(tmp_path):
    """A CSV file for regression: a price of 1000 x size, doubled in one city."""
    rng = np.random.default_rng(0)
    lines = ["size,city,price"]
    for i in range(200):
        size, city = rng.uniform(20, 200), ["Oslo", "Rome"][i % 2]
        lines.append(f"{size:.2f},{city},{1000 * size * (1 + (city == 'Oslo')):.2f}")
    path = tmp_path / "houses.csv"
    path.write_text("\n".join(lines))
    return path
