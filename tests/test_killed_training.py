"""Trainings that are killed at random moments; `scripts/kill_training.py` does it."""

import signal

import pytest
from script_loading import load_script


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are POSIX's here")
@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_a_training_that_is_killed_again_and_again_ends_as_one_that_is_not(kills):
    found = load_script("kill_training").kill_again_and_again(kills, seed=kills)
    assert found["same"] and found["kills"] == kills and found["steps"] == kills * 240
