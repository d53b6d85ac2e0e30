"""Every loader keeps its promises for files of our own writers, for what fuzzing has found, and for changes that a seed decides.

`scripts/fuzz` goes on from here, guided by coverage.
"""

import mmap
import random
from pathlib import Path

import numpy as np
import pytest
from fuzz import harness
from fuzz.mutation import mutate_bytes
from fuzz.targets import NAMES, target

from fastnet.files import limits

CORPUS = Path(__file__).parent / "corpus"
CHANGES = 150  # of each target


@pytest.fixture(params=NAMES)
def chosen(request):
    if NAMES[request.param] is not None:
        pytest.importorskip(NAMES[request.param])
    return target(request.param)


def test_files_of_our_own_are_taken(chosen):
    for data in chosen.seeds():
        assert chosen.check(data)


def test_changed_files_are_taken_or_refused(chosen):
    rng, seeds = random.Random(chosen.__name__), chosen.seeds()
    taken = 0
    for _ in range(CHANGES):
        data = chosen.mutate(rng, rng.choice(seeds))
        taken += chosen.check(chosen.mutate(rng, data) if rng.random() < 0.3 else data)
    assert taken < CHANGES


def test_the_same_seed_makes_the_same_changes(chosen):
    data = chosen.seeds()[0]
    assert chosen.mutate(random.Random(1), data) == chosen.mutate(random.Random(1), data)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_fuzzing_has_found_is_mended(path):
    name = path.parent.name
    if NAMES[name] is not None:
        pytest.importorskip(NAMES[name])
    target(name).check(path.read_bytes())


def test_there_is_a_corpus_for_targets_alone():
    assert {path.name for path in CORPUS.iterdir()} <= set(NAMES)


# The harness


def test_errors_that_are_not_documented_are_seen():
    with pytest.raises(harness.Broken, match="KeyError is no documented error: 'a'"):
        harness.load(lambda: {}["a"], 10)
    with pytest.raises(harness.Broken, match="RecursionError"):
        harness.load(lambda: nested(0), 10)
    with pytest.raises(harness.Broken, match="ValueError without a message"):
        harness.load(refuse, 10, "")
    with pytest.raises(harness.Broken, match="does not name the file: it is damaged"):
        harness.load(lambda path: refuse("it is damaged"), 10, "/tmp/a")
    assert harness.load(lambda path: refuse(f"{path} is damaged"), 10, "/tmp/a") is harness.REFUSED
    assert harness.load(lambda path: refuse("it is damaged"), 10, "/tmp/a", named=False) is harness.REFUSED
    assert harness.load(len, 10, "abc") == 3


def nested(depth):
    return nested(depth + 1)


def refuse(message):
    raise ValueError(message)


def new_pages(size):
    """Memory that the system has to find: what earlier tests have freed would do for an array."""
    np.frombuffer(mmap.mmap(-1, size), np.uint8).fill(1)
    return size


def test_memory_beyond_the_bound_is_seen(monkeypatch):
    if not harness._reset_peak():
        pytest.skip("the system does not count it")
    monkeypatch.setattr(limits, "FLOOR", 10 << 20)
    monkeypatch.setattr(harness, "SMALL", 0)
    with pytest.raises(harness.Broken, match=r"it took [\d,]+ bytes of memory for a file of 1,000"):
        harness.load(new_pages, 1000, 40 << 20)
    assert harness.load(new_pages, 1000, 1 << 19) == 1 << 19
    assert harness.load(new_pages, 1 << 20, 40 << 20) == 40 << 20  # of a larger file


def test_time_beyond_the_bound_is_seen(monkeypatch):
    monkeypatch.setattr(harness, "SECONDS", 0.0)
    with pytest.raises(harness.Broken, match="it took"):
        harness.load(len, 10, "abc")


def test_changes_of_bytes_stay_below_a_length():
    rng, data = random.Random(0), bytes(range(200))
    assert all(len(data := mutate_bytes(rng, data, 300)) <= 300 for _ in range(500))
