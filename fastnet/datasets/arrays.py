"""Arrays from files: NumPy's .npz and .npy without pickle, and IDX (the format of MNIST), plain or gzipped.

Nothing is allocated because a header says so: sizes are checked against the file first.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import sys
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.datasets.npy_header import read_npy_header
from fastnet.files import check_claim, check_inside, existing_file, missing_file, opened_archive

if TYPE_CHECKING:
    from fastnet.types import Array, Path

__all__ = ["read_idx", "read_idx_folder", "read_npy", "read_npz"]

CHUNK = 1 << 20
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


# npz


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file that hold numbers, booleans or text.

    Raises
    ------
    ValueError
        The file is damaged, has arrays of Python objects, or headers that its size does not bear out.
    """
    path = existing_file(path)
    with opened_archive(path, "an .npz file") as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        return {info.filename.removesuffix(".npy"): _read_member(path, archive, info) for info in members}


def read_npy(path: Path) -> np.memmap:
    """The array of an .npy file, as a memory map that is read where it is used: it may be larger than the memory.

    `fit`, `evaluate` and `predict` read it a block at a time, in a thread, and slices of it are such maps, too.

    Raises
    ------
    ValueError
        The file is no .npy file, is cut short, or has Python objects.
    """
    path = existing_file(path)
    with open(path, "rb") as file:
        shape, by_columns, dtype = _read_header(path, file, "the file")
        start = file.tell()
    _check_numbers(dtype, path)
    size, needed = os.path.getsize(path), start + math.prod(shape) * dtype.itemsize
    if size < needed:
        raise ValueError(
            f"{path} is cut short: it has {size:,} bytes, its array of shape {shape} and dtype {dtype} needs {needed:,}"
        )
    if not math.prod(shape):
        raise ValueError(f"{path} is empty: its array has shape {shape}")
    try:
        array = np.memmap(path, dtype, "r", start, shape, "F" if by_columns else "C")
    except (ValueError, OverflowError):
        raise ValueError(f"{path} is damaged: no array can have its shape, {shape}") from None
    _check_texts(path, array.reshape(-1, order="A"))
    return array


def _read_header(path: str, file: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order (whether by columns) and dtype of an array in NumPy's format."""
    try:
        shape, by_columns, dtype = read_npy_header(file)
        if dtype.itemsize == 0:
            raise ValueError(f"items of {dtype} have no bytes")
        return shape, by_columns, dtype
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {what} has no readable header of NumPy's format: {error}") from None


def _check_numbers(dtype: np.dtype, what: str) -> None:
    if dtype.kind not in "fiubUS":
        raise ValueError(
            f"{what} has dtype {dtype}; fastnet reads numbers, booleans and text "
            "(arrays of Python objects could run any program)"
        )


def _check_texts(what: str, array: np.ndarray) -> None:
    """Refuse texts with numbers that no character has: NumPy can't make Python's texts of them."""
    if array.dtype.kind != "U":
        return
    characters = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    if characters.size and characters.max() > sys.maxunicode:
        raise ValueError(f"{what} is damaged: it holds a text with the character number {characters.max():,}")


def _filled(file: Any, size: int) -> np.ndarray:
    """Up to `size` bytes of a file, unpacked into their array: memory is taken once, and as there is something for it."""
    content = np.empty(size, np.uint8)
    view, at = content.data, 0
    while at < size and (count := file.readinto(view[at : at + CHUNK])):
        at += count
    return content[:at]


def _read_member(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as file:
        shape, by_columns, dtype = _read_header(path, file, f"the array {name!r}")
        _check_numbers(dtype, f"{path}: the array {name!r}")
        if math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
            raise ValueError(f"{path} is damaged: the array {name!r} of shape {shape} does not have its bytes")
        size = info.file_size - file.tell()
        content = _filled(file, size)
    if len(content) < size:
        raise ValueError(f"{path} is damaged: the array {name!r} is cut short")
    array = content.view(dtype)
    _check_texts(f"{path}: the array {name!r}", array)
    try:
        return array.reshape(shape, order="F" if by_columns else "C")
    except ValueError:
        raise ValueError(f"{path} is damaged: the array {name!r} can't have the shape {shape}") from None


# IDX


def read_idx(path: Path) -> Array:
    """The array of an IDX file, gzipped or not.

    Raises
    ------
    ValueError
        The file is no IDX file, or is cut short or damaged.
    """
    path = existing_file(path)
    packed = os.path.getsize(path)
    with open(path, "rb") as file:
        is_gzipped = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_gzipped else open(path, "rb") as file:
            return _read_idx(path, file, packed, is_gzipped)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged or cut short: {error}") from None


def _read_idx(path: str, file: Any, packed: int, is_gzipped: bool) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_DTYPES or magic[3] == 0:
        raise ValueError(f"{path} is not an IDX file" if magic else f"{path} is empty")
    dtype, axes = np.dtype(IDX_DTYPES[magic[2]]), magic[3]
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise ValueError(f"{path} is cut short")
    shape = struct.unpack(f">{axes}I", sizes)
    claimed = math.prod(shape) * dtype.itemsize
    if is_gzipped:
        check_claim(path, claimed, packed)
    elif claimed != packed - 4 - 4 * axes:
        raise ValueError(f"{path} is damaged: its header says {shape}, which its {packed:,} bytes do not hold")
    content = _filled(file, claimed)
    if len(content) < claimed or file.read(1):
        raise ValueError(f"{path} is damaged: its header says {shape}, which its content does not have")
    try:
        array = content.view(dtype).reshape(shape)
    except ValueError:
        raise ValueError(
            f"{path} is damaged: no array can have the {axes} axes that its header says, {shape}"
        ) from None
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def read_idx_folder(path: Path) -> dict[str, Array]:
    """The images and labels of a folder of IDX files, as MNIST and its relatives are published.

    Returns
    -------
    dict
        "x" and "y", and "x_test" and "y_test" where the folder has a test part: files
        whose names contain "images" or "labels", and "t10k" or "test" for the test part.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise missing_file(path)
    files: dict[str, str] = {}
    for name in sorted(os.listdir(path)):
        kind = next((kind for kind in ("images", "labels") if kind in name.lower()), None)
        if kind is None or "idx" not in name.lower():
            continue
        key = {"images": "x", "labels": "y"}[kind] + ("_test" if _is_test(name) else "")
        other = files.get(key)
        if other is not None and other.removesuffix(".gz") != name.removesuffix(".gz"):
            raise ValueError(f"{path} has several data sets ({other} and {name}); put each in a folder of its own")
        files.setdefault(key, name)  # a file comes before the same one gzipped
    for needed in ("x", "y"):
        if needed not in files:
            kind = {"x": "train-images-idx3-ubyte.gz", "y": "train-labels-idx1-ubyte.gz"}[needed]
            raise ValueError(f"{path} is a folder without a file such as {kind}; it must hold images and labels")
    if ("x_test" in files) != ("y_test" in files):
        raise ValueError(f"{path} has only half of a test part: {files.get('x_test') or files.get('y_test')}")
    return {key: read_idx(check_inside(path, name, f"{path} has a link to")) for key, name in files.items()}


def _is_test(name: str) -> bool:
    return re.search(r"(^|[^a-z])(t10k|test)", name.lower()) is not None


def named_parts(path: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays "x", "y" and, where there are both, "x_test", "y_test" among the arrays of an .npz file."""
    by_name = {name.lower(): array for name, array in arrays.items()}
    found: dict[str, np.ndarray] = {part: by_name[part] for part in ("x", "y", "x_test", "y_test") if part in by_name}
    for part in ("x", "y"):
        if f"{part}_train" in by_name:
            found.setdefault(part, by_name[f"{part}_train"])
    if "x" not in found:
        raise ValueError(
            f"{path} has no array x or x_train; it has {', '.join(arrays) or 'none'}{checks.nearest('x_train', arrays)}"
        )
    return found
