"""A directory of checkpoints of one training: their names, the newest whole one, and the removal of old ones."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

from fastnet import files

if TYPE_CHECKING:
    from fastnet.types import Array, Path

__all__ = ["make", "newest", "newest_checkpoint", "numbered", "path_of", "remove_old", "remove_temporaries", "run_in"]

NAME = re.compile(r"checkpoint-(\d{9,})\.safetensors")


def make(directory: Path) -> None:
    """Make the directory, if it isn't there."""
    try:
        files.make_directory(directory)
    except (FileExistsError, NotADirectoryError):
        raise _no_directory(directory) from None


def _no_directory(path: Path) -> NotADirectoryError:
    return NotADirectoryError(f"{os.fspath(path)} is no directory for checkpoints: there is a file of that name")


def path_of(directory: Path, batches: int) -> str:
    """The file for a checkpoint after so many batches of the network's life."""
    return os.path.join(os.fspath(directory), f"checkpoint-{batches:09}.safetensors")


def numbered(directory: Path) -> list[tuple[int, str]]:
    """The checkpoints of a directory by number, the newest last, whole or not; nothing where there is no directory."""
    directory = os.fspath(directory)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise _no_directory(directory) from None
    found = [(int(match[1]), os.path.join(directory, match[0])) for match in map(NAME.fullmatch, names) if match]
    return sorted(found)


def newest(directory: Path) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """The newest whole checkpoint: path, arrays and document. `newest_checkpoint` says what is raised."""
    problems = []
    for _, path in reversed(numbered(directory)):
        try:
            tensors, document = files.read_safetensors(path)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        if problems:
            warnings.warn(f"{'; '.join(problems)}. Taking the one before: {path}", RuntimeWarning, stacklevel=4)
        return path, tensors, document
    if problems:
        raise ValueError(f"no checkpoint in {os.fspath(directory)} is whole: {'; '.join(problems)}")
    raise FileNotFoundError(f"there is no checkpoint in {os.fspath(directory)} (checkpoint-....safetensors)")


def newest_checkpoint(directory: Path) -> str:
    """The path of the newest whole checkpoint that `ModelCheckpoint` has written into a directory.

    All of a file is read and compared with its checksum. Damaged ones are passed over, with a RuntimeWarning that names them.

    Parameters
    ----------
    directory : path

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        There is no checkpoint, or no such directory.
    ValueError
        There are checkpoints, but none is whole.

    Examples
    --------
    >>> import tempfile, numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     saving = fn.ModelCheckpoint(directory, every="1 epoch")
    ...     history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", epochs=3, callbacks=[saving], verbose=0)
    ...     fn.training.newest_checkpoint(directory).rpartition("/")[2]
    'checkpoint-000000003.safetensors'
    """
    return newest(directory)[0]


def run_in(directory: Path) -> str | None:
    """The id of the training whose checkpoints are in a directory; None where none can be read."""
    for _, path in reversed(numbered(directory)):
        try:
            return files.read_metadata(path).get("run")
        except (ValueError, OSError):
            continue
    return None


def remove_old(directory: Path, keep: int, newest_number: int) -> None:
    """Leave the newest `keep` checkpoints up to a number, that of the one which has just been written."""
    older = [path for number, path in numbered(directory) if number <= newest_number]
    for path in older[:-keep]:
        os.unlink(path)


def remove_temporaries(directory: Path) -> None:
    """Remove what a killed writer has left."""
    for name in os.listdir(directory):
        if re.fullmatch(r"\.fastnet-[0-9a-f]+\.tmp", name):
            os.unlink(os.path.join(directory, name))
