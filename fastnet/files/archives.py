"""Members of zip archives, read into memory without being unpacked to files."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

from fastnet.files.limits import check_claim

__all__ = ["is_archive", "opened_archive"]

# What zipfile raises for archives that are none; OSError for offsets before the file's start, RuntimeError for
# encrypted members, and the others for fields of headers that make no sense.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
    OverflowError,
    IndexError,
)
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def is_archive(path: str) -> bool:
    """Whether a file ends as zip archives do, one that nobody can open among them."""
    try:
        return zipfile.is_zipfile(path)
    except DAMAGED:
        return True


@contextlib.contextmanager
def opened_archive(path: str, what: str) -> Iterator[zipfile.ZipFile]:
    """An archive whose members are stored or deflated, and together claim no more than the file's size bears out.

    Parameters
    ----------
    path : str
    what : str
        What the file should be, for errors: "an .npz file".

    Raises
    ------
    ValueError
        It is no such archive, or is damaged; also for what zipfile raises within the ``with`` block.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members, size = archive.infolist(), os.path.getsize(path)
            check_claim(path, sum(member.file_size for member in members), size)
            for member in members:
                if not 0 <= member.header_offset < size:
                    raise zipfile.BadZipFile(f"the member {member.filename!r} would lie outside of the file")
                if member.compress_type not in PACKINGS:
                    raise zipfile.BadZipFile(
                        f"the member {member.filename!r} is packed in a way that is not used there"
                    )
            yield archive
    except DAMAGED as error:
        raise ValueError(f"{path} is not {what}, or damaged or cut short: {error}") from None
