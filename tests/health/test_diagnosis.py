"""Healthy trainings have no finding above "info"; of broken ones the right finding comes first."""

import sys
from pathlib import Path

import pytest

from fastnet.health import CODES

sys.path.insert(0, str(Path(__file__).parent))
import runs

pytestmark = pytest.mark.filterwarnings("ignore::fastnet.health.HealthWarning")


def test_the_sets_are_large_and_whole():
    assert len(runs.HEALTHY) >= 20
    assert len(runs.BROKEN) >= 20
    assert {code for code, _ in runs.BROKEN.values()} == set(CODES) - {"bias-before-norm"}


@pytest.mark.parametrize("name", runs.HEALTHY)
def test_healthy(name):
    assert [str(finding) for finding in runs.HEALTHY[name]() if finding.severity != "info"] == []


@pytest.mark.parametrize("name", runs.BROKEN)
def test_broken(name):
    code, train = runs.BROKEN[name]
    findings = train()
    assert [finding.code for finding in findings][:1] == [code]
    first = findings[0]
    assert first.severity != "info"
    assert first.meaning.endswith(".") and first.remedy.endswith((".", "?")) and first.evidence
