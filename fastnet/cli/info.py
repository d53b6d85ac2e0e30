"""``fastnet info``: versions, instruction set, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet import config

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "show versions, the instruction set, threads and OpenMP runtimes"
DESCRIPTION = "Show versions, the instruction set in use, the number of threads, and the OpenMP runtimes."


def add_arguments(parser: ArgumentParser) -> None:
    """None."""


def run(arguments: Namespace) -> int:
    """Print the configuration."""
    config.show_config()
    return 0
