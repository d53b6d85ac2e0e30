"""Writes the tables of docs/distributed.md from the group `distributed` of a run of the suite, and from the model of costs.

python -m bench --threads 1 --filter distributed --json bench/measured/distributed.json
python scripts/make_cost_model.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind the installed packages

from bench import cost_model  # noqa: E402
from bench.groups import distributed  # noqa: E402
from bench.results import Run  # noqa: E402
from bench.rows import duration  # noqa: E402

MEASURED = ROOT / "bench" / "measured" / "distributed.json"
PAGE = ROOT / "docs" / "distributed.md"
BLOCK = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
EACH, BATCH = 32, 4096  # samples of a node; of all of them


def main() -> None:
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), Run.read(MEASURED)), encoding="utf-8")


def rewritten(text: str, run: Run) -> str:
    """The page with the tables of a run."""
    return BLOCK.sub(lambda match: match[1] + TABLES[match[2]](run) + match[3], text)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def best(run: Run, case: str) -> float:
    return run.find("distributed", case).contenders["fastnet"].best_seconds


def sums(run: Run, ranks: int) -> dict[int, float]:
    """Size -> seconds."""
    return {n: best(run, f"all-reduce of {n:,} bytes, {distributed.plural(ranks)}") for n in distributed.SIZES}


def here(run: Run) -> tuple[cost_model.Network, float, float]:
    """This machine as a network, as the model has it; and the latency and bandwidth of the fit itself."""
    found = sums(run, 2)
    latency, bandwidth = cost_model.fitted(list(found), list(found.values()))
    # Two ranks: two messages, and each byte sent once and half of them added.
    per_byte = 1 / bandwidth - cost_model.ADD / 2
    return cost_model.Network("this machine", latency / 2, 1 / max(per_byte, 1e-12)), latency, bandwidth


def overhead(run: Run) -> float:
    """What a step takes besides where it is recorded as for several ranks: calls into Python, and one to the others."""
    case = "{} batch {}, 1 rank".format(*distributed.SMALL)
    row = run.find("distributed", f"all-reduce of {distributed.SIZES[0]:,} bytes, 2 ranks")
    small = 1e-6 * row.figures["microseconds of a small call"]
    return best(run, f"step in one piece, {case}") - best(run, f"step, {case}") + small


def all_reduce_table(run: Run) -> str:
    of_two, of_four = sums(run, 2), sums(run, 4)
    _, latency, bandwidth = here(run)
    rows = [
        [f"{size:,}", duration(of_two[size]), duration(latency + size / bandwidth), duration(of_four[size])]
        for size in distributed.SIZES
    ]
    return table(["bytes", "2 ranks", "fitted", "4 ranks on 2 CPUs"], rows)


def fit_table(run: Run) -> str:
    _, latency, bandwidth = here(run)
    rows = [["an all-reduce of nothing", duration(latency)], ["bytes of it a second", f"{bandwidth / 1e9:.2f} GB"],
            ["o, of a step of several ranks", duration(overhead(run))]]  # fmt: skip
    return table(["", "fitted"], rows)


def steps_table(run: Run) -> str:
    network, beside = here(run)[0], overhead(run)
    rows = []
    for name, batch in distributed.STEPS:
        case = f"{name} batch {batch}"
        row = run.find("distributed", f"step, {case}, 2 ranks")
        seconds = {n: best(run, f"step, {case}, {distributed.plural(n)}") for n in distributed.RANKS}
        parameters = row.figures["parameters"]
        update = cost_model.UPDATE * parameters
        model = cost_model.step((seconds[1] - update) / 2, parameters, 2, network, beside)
        rows.append([
            f"{name}, batch {batch}", f"{parameters:,.0f}", duration(seconds[1]), duration(seconds[2]), duration(model),
            duration(best(run, f"step in buckets, {case}, 2 ranks")), f"{row.figures['of the best step']:.0f}%",
            f"{seconds[1] / seconds[2]:.2f}", duration(seconds[4]),
        ])  # fmt: skip
    header = [
        "step",
        "parameters",
        "1 rank",
        "2 ranks",
        "model",
        "in buckets",
        "communication",
        "speedup",
        "4 ranks on 2 CPUs",
    ]
    return table(header, rows)


def networks_table(run: Run) -> str:
    rows = [[n.name, f"{n.latency * 1e6:g} us", f"{n.bandwidth / 1e9:g} GB/s"] for n in cost_model.NETWORKS]
    return table(["network (assumed)", "a message", "bandwidth"], rows)


def _nodes(run: Run, least: float, **samples: float) -> str:
    beside = overhead(run)
    rows = []
    for workload in cost_model.WORKLOADS:
        found = [cost_model.most_nodes(workload, n, beside, least, **samples) for n in cost_model.NETWORKS]
        rows.append([workload.name, f"{workload.parameters / 1e6:g} M", f"{workload.multiply_adds / 1e6:,g} M",
                     *("4,096 or more" if n == cost_model.MOST else f"{n:,}" for n in found)])  # fmt: skip
    return table(["network", "parameters", "multiply-adds", *(n.name for n in cost_model.NETWORKS)], rows)


TABLES = {
    "all-reduce": all_reduce_table,
    "fit": fit_table,
    "steps": steps_table,
    "networks": networks_table,
    "weak": lambda run: _nodes(run, 0.8, each=EACH),
    "strong": lambda run: _nodes(run, 0.5, batch=BATCH),
}

if __name__ == "__main__":
    main()
