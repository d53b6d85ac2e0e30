"""Training by several processes of MPI on this machine: a step against the number of ranks, and how long their sums take.

A step is one of `fit`, of a batch that the ranks share; communication is the time in calls that all ranks make, with waiting for
the slowest of them. Each rank has one thread. Where there are more ranks than CPUs they take turns, which a note says.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys

from bench.processes import limited
from bench.rows import Figures, Row
from bench.settings import Case

RANKS = (1, 2, 4)
SMALL = ("64-64-10", 32)
STEPS = [("LeNet", 64), SMALL, ("784-512-512-10", 128), ("ResNet-20", 64)]
SIZES = [64, 1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 22, 1 << 24]


def cases(setup):
    if not setup.first or mpiexec() is None:
        return
    for ranks in setup.some(list(RANKS), (1,)):
        for name, batch in setup.some(STEPS, 1):
            for what in ("step", "step in buckets")[: 1 if setup.quick or ranks == 1 else 2]:
                case = f"{what}, {name} batch {batch}, {plural(ranks)}"
                yield Case(case, lambda n=ranks, w=what, a=(name, batch): step(setup, n, w, *a))
    if not setup.quick:  # what it takes to record a step as several ranks do, without others
        name, batch = SMALL
        yield Case(
            f"step in one piece, {name} batch {batch}, 1 rank", lambda: step(setup, 1, "step in one piece", *SMALL)
        )
    for ranks in setup.some(list(RANKS[1:]), 1):
        for size in setup.some(SIZES, (0, 4)):
            yield Case(
                f"all-reduce of {size:,} bytes, {plural(ranks)}", lambda n=ranks, s=size: all_reduce(setup, n, s)
            )


def plural(ranks: int) -> str:
    return f"{ranks} rank{'s' if ranks > 1 else ''}"


def mpiexec() -> str | None:
    """The program, where there are an MPI and mpi4py."""
    if importlib.util.find_spec("mpi4py") is None:
        return None
    return shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


def measured(setup, ranks: int, *arguments) -> dict:
    code = "from bench import distributed_child; distributed_child.main()"
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-c", code, *map(str, arguments), str(setup.seconds)]
    environment = limited(1, setup.isa)
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return json.loads(printed)


def notes(ranks: int) -> list[str]:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [f"{ranks} ranks take turns on {cpus} CPUs"] if ranks > cpus else []


def step(setup, ranks: int, what: str, name: str, batch: int) -> Row:
    found = measured(setup, ranks, what, name, batch)
    figures = {
        "ranks": ranks,
        "communication percent": 100 * found["communication"] / found["seconds"],
        "of the best step": 100 * found["best communication"] / found["best"],
        "parameters": found["parameters"],
    }
    contenders = {"fastnet": Figures(median_seconds=found["seconds"], best_seconds=found["best"])}
    return Row("", "", 1, contenders, figures=figures, notes=notes(ranks), isa=setup.isa)


def all_reduce(setup, ranks: int, size: int) -> Row:
    found = measured(setup, ranks, "all-reduce", size)
    contenders = {"fastnet": Figures(median_seconds=found["seconds"], best_seconds=found["best"])}
    figures = {"ranks": ranks, "bytes": size, "microseconds of a small call": 1e6 * found["gather"]}
    return Row("", "", 1, contenders, figures=figures, notes=notes(ranks), isa=setup.isa)
