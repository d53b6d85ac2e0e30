"""``fastnet lab``: experiments that show what weights do, as pages."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastnet import checks
from fastnet.cli.options import whole_number
from fastnet.cli.run_directory import make_directory

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "run experiments on weights, gradients and training, and write pages that explain them"
ALL = "all"


def _names() -> list[str]:
    from fastnet import lab

    return [*lab.EXPERIMENTS, ALL]


DESCRIPTION = (
    "Run an experiment on the digits that fastnet ships, and write one HTML page with plots and explanations, and the "
    "numbers as JSON. NAME is one of: neuron, gradient-descent, activations, init, learning-rate, optimizers, "
    "regularization, filters, depth; or all, which also writes index.html."
)


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of ``fastnet lab``."""
    parser.add_argument("name", metavar="NAME", help="an experiment, or all")
    parser.add_argument("--out", metavar="DIR", default="fastnet-lab", help="where the pages go (default: %(default)s)")
    parser.add_argument("--seed", type=whole_number(least=0), default=0, metavar="N", help="default: %(default)s")


def run(arguments: Namespace) -> int:
    """Run and write."""
    from fastnet import lab

    checks.choice("NAME", arguments.name, _names())
    make_directory(arguments.out)
    begun = time.perf_counter()
    written: Iterable[list[str]]
    if arguments.name == ALL:
        written = lab.write_all(arguments.out, seed=arguments.seed)
    else:
        written = [lab.write(arguments.name, arguments.out, seed=arguments.seed)]
    pages = 0
    for paths in written:
        print("\n".join(paths), flush=True)
        pages += any(path.endswith(".html") for path in paths)
    print(f"done in {time.perf_counter() - begun:.1f} s")
    if not pages:
        print('pages need matplotlib, which is not installed: pip install "fastnet-cpu[plot]"')
    return 0
