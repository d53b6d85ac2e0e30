"""Runs the cases of one number of threads, in this process."""

from __future__ import annotations

import gc
import traceback

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
    failed: list[str] = []
    found = rows(setup, *arguments.filter, failed=failed)
    for name in failed:
        print(f"failed: {name}, {setup.threads} thread(s)", flush=True)
    Run(described, found, failed).write(arguments.child)


def rows(setup: Setup, *texts: str, failed: list[str] | None = None) -> list[Row]:
    """The rows of all cases; or of those whose group and name, with a space between, have one of the texts.

    A case that raises ends all; with a list `failed` it is told, its name is appended, and the next one runs.
    """
    found = []
    for group in GROUPS:
        for case in cases_of(group, setup):
            name = f"{group} {case.name}"
            if texts and not any(part in name for part in texts):
                continue
            try:
                row = case.run()
            except Exception:
                if failed is None:
                    raise
                traceback.print_exc()
                failed.append(name)
                continue
            row.group, row.case = group, case.name
            print(text(row), flush=True)
            found.append(row)
            gc.collect()
    return found
