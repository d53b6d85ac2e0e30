"""Memory in runs that are a hundredth of those that docs/reliability.md has figures of."""

import json
import sys

import pytest
from script_loading import SCRIPTS, load_script
from subprocesses import run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
long_runs = load_script("measure_long_runs")
# What a hundredth may leave behind: allocators move some hundred KB around. A hundred bytes of each step, or six KB of a
# network, would be more.
MOST_BYTES = 512 << 10

# In a process of its own: what other tests have freed would take up what stays.
PROGRAM = f"""
import json, sys
sys.path.insert(0, {str(SCRIPTS)!r})
import measure_long_runs as long_runs
work = long_runs.RUNS[{{name!r}}][0] if {{name!r}} in long_runs.RUNS else keep
work(100)  # what is made once
print(json.dumps(work({{count}})[1]))
"""

KEEP = """
kept = []
def keep(total):
    return long_runs.in_pieces(total, lambda first, last: kept.extend(bytes(100) for _ in range(first, last)))
"""


def growth(name, count):
    memory = json.loads(run(KEEP + PROGRAM.format(name=name, count=count)))
    return memory[-1] - memory[0]


@pytest.mark.parametrize("name", long_runs.RUNS)
def test_memory_stays_where_it_is(name):
    total = long_runs.RUNS[name][1]
    assert growth(name, total // 100 if total > 10_000 else total // 10) < MOST_BYTES


def test_a_hundred_bytes_of_each_step_are_noticed():
    assert growth("keep", 10_000) > MOST_BYTES
