"""Runs the cases of one number of threads, in this process."""

from __future__ import annotations

import gc

from bench import machine
from bench.groups import GROUPS, cases_of
from bench.peers import choose
from bench.results import Run
from bench.rows import Row, text
from bench.settings import Setup

#: Of --quick: seconds for each case, of a slice, and the least number of rounds.
QUICK = {"seconds": 0.2, "slice_seconds": 0.008, "least": 5, "quick": True}


def setup_of(arguments) -> Setup:
    options = dict(QUICK) if arguments.quick else {}
    if arguments.seconds is not None:
        options["seconds"] = arguments.seconds
    return Setup(
        int(arguments.threads), choose(arguments.peers)[0], isa=arguments.isa, first=arguments.first, **options
    )


def child(arguments, command: list[str]) -> None:
    """Measure, print, and leave the results in the file that the parent reads."""
    import fastnet

    setup = setup_of(arguments)
    fastnet.set_num_threads(setup.threads)
    if "jax" in setup.peers:
        machine.limit_jax(setup.threads)
    described = machine.describe(command[: command.index("--child")])
    print(f"\n{setup.threads} thread{'s' if setup.threads > 1 else ''}: {described['cpu_model']}, {described['isa']}; "
          + ", ".join(f"{name} {version}" for name, version in described["versions"].items()), flush=True)  # fmt: skip
    Run(described, rows(setup, *arguments.filter)).write(arguments.child)


def rows(setup: Setup, *texts: str) -> list[Row]:
    """The rows of all cases; or of those whose group and name, with a space between, have one of the texts."""
    found = []
    for group in GROUPS:
        for case in cases_of(group, setup):
            if not texts or any(part in f"{group} {case.name}" for part in texts):
                row = case.run()
                row.group, row.case = group, case.name
                print(text(row), flush=True)
                found.append(row)
                gc.collect()
    return found
