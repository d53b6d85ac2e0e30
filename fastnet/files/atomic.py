"""Files that are written at once or not at all, or grow at their end, and clear errors where a file can't be read."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastnet import checks

if TYPE_CHECKING:
    from fastnet.types import Path

__all__ = [
    "append_bytes", "csv_text", "end_last_line", "existing_file", "holds_something", "make_directory", "missing_file",
    "write_bytes", "write_csv",
]  # fmt: skip


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` as the whole content of the file `path`, at once or not at all.

    The bytes go to a temporary file in the same directory, which is synced and then renamed, so that a
    writer that is interrupted or killed leaves the old file whole. (One that is killed also leaves its
    temporary, named ``.fastnet-*.tmp``.) A link stays a link: what it points to is replaced. The
    file's permissions are kept; a new file has those of the process's umask.

    Raises
    ------
    OSError
        The disk is full, the directory does not exist, ...: FileNotFoundError, IsADirectoryError, PermissionError
        and so on, with one sentence that names the file. The old file is whole and the temporary gone.
    """
    path = os.fspath(path)
    target = os.path.realpath(path)
    try:
        _replace(target, data)
    except OSError as error:
        raise _writing_error(path, target, error) from None


def _replace(target: str, data: bytes) -> None:
    try:
        old = os.stat(target)
    except FileNotFoundError:
        old = None
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(old.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "")
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f".fastnet-{os.urandom(8).hex()}.tmp")
    binary = getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, 0o666)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            if old is not None:
                _copy_owner_and_mode(handle, old)
            os.fsync(handle)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _copy_owner_and_mode(handle: int, old: os.stat_result) -> None:
    if not hasattr(os, "fchmod"):
        return
    if (old.st_uid, old.st_gid) != (os.fstat(handle).st_uid, os.fstat(handle).st_gid):
        with contextlib.suppress(PermissionError):  # then the file becomes ours, as with any editor
            os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, stat.S_IMODE(old.st_mode))


def _sync_directory(directory: str) -> None:
    """Make the renaming last through a power failure, on systems where a directory can be synced."""
    if os.name == "nt":
        return
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    with contextlib.suppress(OSError):  # some network file systems can't
        os.fsync(handle)
    os.close(handle)


def append_bytes(path: Path, data: bytes) -> None:
    """Write `data` behind what is in the file `path`, which is made if it isn't there.

    The system has all of it when this returns, so that it lasts whatever becomes of the process.

    Raises
    ------
    OSError
        As of `write_bytes`.
    """
    path = os.fspath(path)
    try:
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:
        raise _writing_error(path, os.path.realpath(path), error) from None


def holds_something(path: Path) -> bool:
    """Whether there is a file with anything in it."""
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def end_last_line(path: Path) -> None:
    """End the last line of a text file that isn't empty, if it isn't, and so try whether the file can be written."""
    with open(existing_file(path), "rb") as file:
        file.seek(-1, os.SEEK_END)
        ended = file.read() == b"\n"
    append_bytes(path, b"" if ended else b"\n")


def make_directory(path: Path) -> None:
    """Make a directory and those around it, if it isn't there; one clear OSError where that can't be."""
    path = os.fspath(path)
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        raise clear_error(error, f"{path} is a file, not a directory") from None
    except OSError as error:
        raise clear_error(error, f"cannot make the directory {path}: {error.strerror}") from None


def _writing_error(path: str, target: str, error: OSError) -> OSError:
    directory = os.path.dirname(target)
    if isinstance(error, IsADirectoryError):
        reason = "it is a directory"
    elif isinstance(error, (FileNotFoundError, NotADirectoryError)):
        reason = f"there is no directory {directory}"
    elif isinstance(error, PermissionError):
        reason = "no permission to write there"
    elif error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        reason = "the disk is full"
    else:
        reason = error.strerror or str(error)
    return clear_error(error, f"cannot write {path}: {reason}")


def clear_error(error: OSError, message: str) -> OSError:
    """An error of the same class and number whose text is `message` alone."""
    clear = type(error)(message)
    clear.errno = error.errno
    return clear


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV text, lines ended by a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table as a UTF-8 CSV file, at once or not at all."""
    write_bytes(path, csv_text(header, rows).encode())


def existing_file(path: Path) -> str:
    """`path` as a string, if it is a file that can be read; otherwise one clear error.

    Raises
    ------
    OSError
        There is no such file (with the nearest name in its directory), it is a directory or another
        thing that is not a file, or there is no permission to read it.
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise _missing_error(path, error) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise OSError(f"{path} is not a regular file")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"no permission to read {path}")
    return path


def missing_file(path: Path) -> FileNotFoundError:
    """The error for a path that does not exist, with the nearest name in its directory."""
    path = os.fspath(path)
    directory = os.path.dirname(path) or "."
    try:
        names = os.listdir(directory)
    except OSError:
        return FileNotFoundError(f"there is no file {path}: there is no directory {directory}")
    return FileNotFoundError(f"there is no file {path}{checks.nearest(os.path.basename(path), names)}")


def _missing_error(path: str, error: OSError) -> OSError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return missing_file(path)
    return clear_error(error, f"cannot read {path}: {error.strerror}")
