"""The directory of a training run: model, history, and, written last, what marks it as finished."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from fastnet import files
from fastnet.files.runs import FINDINGS, HEALTH, HISTOGRAMS, HISTORY, INTERRUPTED_HISTORY, MARK, MODEL

if TYPE_CHECKING:
    from fastnet.network import Network
    from fastnet.training import History

__all__ = ["RunDirectory", "make_directory"]


def make_directory(path: str) -> None:
    """Make the directory of --out, if it isn't there."""
    try:
        files.make_directory(path)
    except OSError as error:
        raise type(error)(f"--out: {error}") from None


class RunDirectory:
    """A directory for one run; `make` it before the training begins.

    Parameters
    ----------
    path : str
    overwrite : bool
        A finished run may be replaced. It stays as it is until the new one has finished.

    Raises
    ------
    OSError
        There is a finished run already.
    """

    def __init__(self, path: str, overwrite: bool) -> None:
        self.path = path
        if not overwrite:
            for name in (MARK, MODEL):
                if os.path.lexists(self.file(name)):
                    what = "a finished run" if name == MARK else "a model"
                    raise FileExistsError(
                        f"--out: {path} has {what} already ({name}); choose another directory, or --overwrite"
                    )

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def make(self) -> None:
        """Make the directory and try to write there: better now than after hours of training."""
        make_directory(self.path)
        probe = self.file(f".fastnet-{os.getpid()}.tmp")
        files.write_bytes(probe, b"")
        os.unlink(probe)

    def save(self, net: Network, history: History, description: dict[str, Any]) -> None:
        """Write everything; the mark goes first and comes last, so that it never stands beside half a run."""
        text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if os.path.exists(self.file(MARK)):
            os.unlink(self.file(MARK))
        net.save(self.file(MODEL))
        history.save(self.file(HISTORY))
        self._save_health(history)
        files.write_bytes(self.file(MARK), text.encode())

    def _save_health(self, history: History) -> None:
        """What a monitor has seen and found; files of an older run would be those of another network."""
        if history.health is None:
            for name in (HEALTH, HISTOGRAMS, FINDINGS):
                if os.path.exists(self.file(name)):
                    os.unlink(self.file(name))
            return
        history.health.table.save(self.file(HEALTH))
        history.health.table.save_histograms(self.file(HISTOGRAMS))
        files.write_json(self.file(FINDINGS), [finding.to_dict() for finding in history.findings], indent=2)

    def save_interrupted(self, history: History) -> str:
        """Write the history of a run that was interrupted, beside an older finished run; returns its path."""
        path = self.file(INTERRUPTED_HISTORY if os.path.exists(self.file(MARK)) else HISTORY)
        history.save(path)
        return path
