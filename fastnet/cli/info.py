"""``fastnet info``: versions, instruction set, threads."""

from __future__ import annotations

from fastnet import config

HELP = "show versions, the instruction set, threads and OpenMP runtimes"
DESCRIPTION = "Show versions, the instruction set in use, the number of threads, and the OpenMP runtimes."


def add_arguments(parser) -> None:
    """None."""


def run(arguments) -> int:
    """Print the configuration."""
    config.show_config()
    return 0
