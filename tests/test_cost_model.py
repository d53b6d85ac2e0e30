"""The model of what training on many nodes costs, and the page that it makes the tables of."""

import sys
from pathlib import Path

import pytest
from script_loading import load_script

sys.path.append(str(Path(__file__).parents[1]))
pytest.importorskip("bench", reason="only in a checkout")

from bench import cost_model
from bench.cost_model import NETWORKS, Network, Workload

PAGE = Path(__file__).parents[1] / "docs" / "distributed.md"


def test_the_fit_finds_what_the_numbers_were_made_of():
    sizes = [64, 4096, 1 << 18, 1 << 24]
    latency, bandwidth = cost_model.fitted(sizes, [2e-5 + size / 3e9 for size in sizes])
    assert latency == pytest.approx(2e-5) and bandwidth == pytest.approx(3e9)


def test_an_all_reduce_has_its_two_limits():
    network = Network("", 1e-5, 1e9)
    assert cost_model.all_reduce(8, 1024, network) == pytest.approx(2 * 10 * 1e-5, rel=1e-3)  # latency alone
    large = cost_model.all_reduce(1e9, 1024, network)
    assert large == pytest.approx(2 + 1e9 * cost_model.ADD, rel=1e-2)  # each byte is sent twice
    assert cost_model.all_reduce(1e9, 1, network) == 0


def test_efficiency_falls_with_nodes_and_rises_with_the_network():
    workload = Workload("", 1e6, 1e9)
    slow, fast = NETWORKS[0], NETWORKS[-1]
    found = [cost_model.efficiency(workload, n, slow, 1e-4, each=32) for n in (1, 2, 16, 1024)]
    assert found[0] == 1 and found == sorted(found, reverse=True)
    assert cost_model.efficiency(workload, 1024, fast, 1e-4, each=32) > found[-1]
    assert cost_model.efficiency(workload, 64, slow, 1e-4, batch=64) < cost_model.efficiency(
        workload, 64, slow, 1e-4, each=64
    )


def test_the_rule_of_the_page_is_the_model():
    """A quarter of the step is communication where samples times multiply-adds over parameters has the page's number."""
    page = PAGE.read_text(encoding="utf-8")
    for network, told in zip(NETWORKS, (3900, 1700, 610, 420), strict=True):
        assert f"{told:,}" in page
        parameters, samples = 1e8, 32
        workload = Workload("", parameters, told * parameters / samples)
        compute = 3 * workload.multiply_adds * samples / cost_model.NODE
        communication = cost_model.all_reduce(4 * parameters, 1 << 20, network)
        assert communication / (compute + communication) == pytest.approx(0.25, rel=0.02)


def test_the_tables_of_the_page_are_those_of_the_measurements():
    script = load_script("make_cost_model")
    text = PAGE.read_text(encoding="utf-8")
    assert script.rewritten(text, script.Run.read(script.MEASURED)) == text
