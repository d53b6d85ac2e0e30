"""The command line: ``fastnet train``, ``fastnet predict``, ``fastnet info``."""

from fastnet.cli.command import main

__all__ = ["main"]
