"""The command line: ``fastnet train``, ``fastnet predict``, ``fastnet lab``, ``fastnet info``."""

from fastnet.cli.command import main

__all__ = ["main"]
