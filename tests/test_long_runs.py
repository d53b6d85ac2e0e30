"""Memory and the time of a step in runs that are a hundredth of those that docs/reliability.md has figures of."""

import sys

import pytest
from script_loading import load_script

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
long_runs = load_script("measure_long_runs")
# What a hundredth may leave behind: less than a byte a step, a network or a prediction that stayed would take more.
MOST_BYTES = 128 << 10


@pytest.mark.parametrize("name", long_runs.RUNS)
def test_memory_stays_where_it_is(name):
    run, total = long_runs.RUNS[name]
    run(100)  # what is made once
    _, memory = run(total // 100 if total > 10_000 else total // 10)
    assert memory[-1] - memory[0] < MOST_BYTES, [piece >> 10 for piece in memory]


def test_what_stays_is_noticed():
    kept = []
    _, memory = long_runs.in_pieces(100, lambda first, last: kept.extend(b"kept" * 25_000 for _ in range(first, last)))
    assert memory[-1] - memory[0] > MOST_BYTES
