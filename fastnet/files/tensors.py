"""safetensors files with one JSON document: what networks and checkpoints are saved in."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.files.atomic import clear_error, existing_file, write_bytes
from fastnet.files.documents import parse_json

if TYPE_CHECKING:
    from fastnet.types import Path

__all__ = ["read_metadata", "read_safetensors", "write_safetensors"]

FORMAT = "fastnet"
VERSION = 1
RESERVED = {"format", "version", "crc32"}  # keys of the document that are the format's own
# safetensors refuses headers above 100 MB; the rest of the header describes the tensors.
LARGEST_DOCUMENT = 64 << 20
# As safetensors names what `write_safetensors` writes.
DTYPES = {"BOOL", "F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"}


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Write arrays and one JSON document, at once or not at all.

    Parameters
    ----------
    path : path
    tensors : dict of str to array
        Booleans, integers and floats of 16, 32 or 64 bits.
    metadata : dict
        What JSON can hold: NaN, Inf and objects are refused. In the file it is the metadata "fastnet", together with
        the format's name and version and a checksum of everything.

    Raises
    ------
    TypeError, ValueError
        An array or the metadata can't be written; the old file is whole.
    OSError
        As `write_bytes`.
    """
    from safetensors.numpy import save

    path = os.fspath(path)
    arrays = {name: _plain_array(name, array) for name, array in tensors.items()}
    document = _json_document(metadata)
    document["crc32"] = _checksum(arrays, document)
    text = json.dumps(document)
    if len(text) > LARGEST_DOCUMENT:
        raise ValueError(
            f"cannot write {path}: its metadata would have {len(text):,} bytes of JSON, more than {LARGEST_DOCUMENT:,}"
        )
    write_bytes(path, save(arrays, {FORMAT: text}))


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and the JSON document of a file that `write_safetensors` wrote.

    Takes memory in proportion to the file's size, whatever its header says.

    Returns
    -------
    tensors : dict of str to ndarray
    metadata : dict

    Raises
    ------
    ValueError
        The file is damaged, cut short, of another program or of a newer version.
    OSError
        There is no such file, or it can't be read.
    """
    path = existing_file(path)
    with _opened(path) as file:
        document = _checked_document(path, file.metadata())
        names = sorted(file.keys())
        # With JAX in the process NumPy knows types of its own, and safetensors reads them.
        unknown = {file.get_slice(name).get_dtype() for name in names} - DTYPES
        if unknown:
            raise TypeError(", ".join(sorted(unknown)))
        tensors = {name: file.get_tensor(name) for name in names}
    if document.pop("crc32", None) != _checksum(tensors, document):
        raise ValueError(f"{path} is damaged: its content does not have the checksum that was written with it")
    del document["format"], document["version"]
    return tensors, document


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON document alone of a file that `write_safetensors` wrote, without a look at its arrays and checksum.

    Raises
    ------
    ValueError, OSError
        As `read_safetensors`.
    """
    path = existing_file(path)
    with _opened(path) as file:
        document = _checked_document(path, file.metadata())
    return {key: value for key, value in document.items() if key not in RESERVED}


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The file for reading; what is wrong with it becomes one sentence."""
    from safetensors import SafetensorError, safe_open

    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} is empty")
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or damaged or cut short ({error})") from None
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} holds a tensor of a type that fastnet does not read ({error})") from None
    except OSError as error:
        raise clear_error(error, f"cannot read {path}: {error.strerror or error}") from None


def _plain_array(name: str, array: Any) -> np.ndarray:
    """`array` contiguous and little-endian (the format's order), of a dtype that the format has."""
    if not isinstance(name, str) or not name or name == "__metadata__":
        raise ValueError(f"tensors: {checks.describe(name)} can't be the name of a tensor")
    array = np.asarray(array)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"tensors: {name!r} must be an array of real numbers; got dtype {array.dtype}")
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _json_document(metadata: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict; got {checks.describe(metadata)}")
    reserved = RESERVED & metadata.keys()
    if reserved:
        raise ValueError(f"metadata must not have the key {min(reserved)!r}, which the format uses")
    try:
        # What comes back is what a reader will see: lists for tuples, texts as keys.
        document = parse_json(json.dumps(metadata, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"metadata can't be written as JSON: {error}") from None
    return {"format": FORMAT, "version": VERSION, **document}


def _checked_document(path: str, metadata: dict[str, Any] | None) -> dict[str, Any]:
    text = (metadata or {}).get(FORMAT)
    if text is None:
        raise ValueError(f"{path} is a safetensors file of another program: it has no fastnet metadata")
    try:
        document = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its fastnet metadata is not JSON that fastnet reads: {error}") from None
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or version < 1 or document.get("format") != FORMAT:
        raise ValueError(f"{path} is damaged: its fastnet metadata names no format version")
    if version > VERSION:
        raise ValueError(
            f"{path} has format version {version}, written by a newer fastnet; this one reads version {VERSION}"
        )
    return document


@functools.cache
def _dtype_name(dtype: np.dtype) -> str:
    return dtype.name


def _checksum(tensors: dict[str, np.ndarray], document: dict[str, Any]) -> int:
    """CRC-32 of the document and of every tensor's name, dtype, shape and bytes, in the order of names."""
    crc = zlib.crc32(json.dumps(document, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        crc = zlib.crc32(f"{name} {_dtype_name(array.dtype)} {array.shape}".encode("utf-8", "surrogatepass"), crc)
        if sys.byteorder == "big":
            array = array.byteswap()
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return crc
