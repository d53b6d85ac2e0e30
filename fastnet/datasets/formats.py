"""What kind of data a file holds, by its first bytes, and what to do about kinds that fastnet does not read."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING

from fastnet.files import existing_file

if TYPE_CHECKING:
    from fastnet.types import Path

__all__ = ["kind_of", "other_format"]

#: First bytes -> what to do
MAGIC = {
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file: read arrays with h5py, h5py.File({path!r})['x'][:], and pass (x, y); tables with "
    "pandas.read_hdf, and pass the DataFrame",
    b"PAR1": "is a Parquet file: fastnet.datasets.load(pandas.read_parquet({path!r}), target=...)",
    b"ARROW1": "is an Arrow file: fastnet.datasets.load(pandas.read_feather({path!r}), target=...)",
    b"MATLAB": "is a MATLAB file: scipy.io.loadmat({path!r}) has its arrays; pass (x, y)",
    b"SQLite format 3": "is a database: fastnet.datasets.load(pandas.read_sql(query, connection), target=...)",
    b"\x80\x04\x95": "is a pickle, which could run any program: save arrays with numpy.savez",
    b"\x80\x05\x95": "is a pickle, which could run any program: save arrays with numpy.savez",
}
#: Ends of names, of formats whose first bytes say less
ENDS = {
    (".xlsx", ".xls", ".ods"): "is a spreadsheet: fastnet.datasets.load(pandas.read_excel({path!r}), target=...)",
    (".json", ".jsonl"): "is JSON: fastnet.datasets.load(pandas.read_json({path!r}), target=...)",
    (".pt", ".pth"): "is a file of PyTorch: torch.load({path!r}) has its tensors; pass (x, y)",
    (".pkl", ".pickle", ".joblib"): "is a pickle, which could run any program: save arrays with numpy.savez",
    (".mat",): "is a MATLAB file: scipy.io.loadmat({path!r}) has its arrays; pass (x, y)",
    (".bz2", ".xz", ".zst"): "is compressed; unpack it first, or compress it with gzip",
}


def first_bytes(path: str, n: int = 16) -> bytes:
    """The beginning of a file; of what it holds where it is gzipped."""
    with open(path, "rb") as file:
        start = file.read(n)
    if start[:2] != b"\x1f\x8b":
        return start
    try:
        with gzip.open(path) as file:
            return file.read(n)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short: {error}") from None


def kind_of(path: Path) -> str:
    """ "npy", "idx", or "text" for anything else."""
    start = first_bytes(existing_file(path))
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if len(start) >= 4 and start[:2] == b"\0\0" and 0x08 <= start[2] <= 0x0E and 0 < start[3] <= 4:
        return "idx"
    return "text"


def other_format(path: Path) -> str | None:
    """For a file of a format that is not read here: what it is, and how its data comes to fastnet."""
    path = os.fspath(path)
    start = first_bytes(existing_file(path))
    found = next((text for magic, text in MAGIC.items() if start.startswith(magic)), None)
    if found is None:
        found = next((text for ends, text in ENDS.items() if path.lower().endswith(ends)), None)
    return None if found is None else f"{path} {found.format(path=path)}"
