"""Trainings that are killed at random moments; `scripts/kill_training.py` does it."""

import importlib.util
import signal
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "kill_training.py"


def load():
    spec = importlib.util.spec_from_file_location("kill_training", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are POSIX's here")
@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_a_training_that_is_killed_again_and_again_ends_as_one_that_is_not(kills):
    found = load().kill_again_and_again(kills, seed=kills)
    assert found["same"] and found["kills"] == kills and found["steps"] == kills * 240
