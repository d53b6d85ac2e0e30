"""Fingerprints of data: what tells that a training goes on with those that it began with."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.training.batches import BatchFeed

if TYPE_CHECKING:
    from fastnet.datasets.images import Images
    from fastnet.training.steps import Feed

__all__ = ["differences", "of_feed"]

#: Bytes of an array that are looked at: all, or evenly spaced pieces of more, the first and the last among them.
MOST_BYTES, PIECES = 64 << 20, 256
MOST_FILES = 64  # of images whose contents are looked at


def of_feed(feed: Feed | BatchFeed, name: str = "") -> dict[str, dict[str, Any]]:
    """By "x", "y" and "sample_weight" what tells the arrays (or files of images) of a feed from others.

    Parameters
    ----------
    feed : Feed
    name : str
        What stands before these names: "validation ".
    """
    if isinstance(feed, BatchFeed):  # what they are is known when they have come
        return {f"{name}x": {"shape": [], "dtype": "batches", "values": 0}}
    found = {
        "x": of_array(feed.x) if feed.images is None else of_images(feed.images),
        "y": of_array(feed.targets.array),
    }
    if feed.weights is not None:
        found["sample_weight"] = of_array(feed.weights)
    return {name + key: value for key, value in found.items()}


def of_array(array: np.ndarray) -> dict[str, Any]:
    """Shape, dtype, and a checksum of the values, or for more than 64 MB of samples of them."""
    rows = array.reshape(-1) if array.ndim == 0 else array
    whole = array.nbytes <= MOST_BYTES
    together = max(1, (MOST_BYTES if whole else MOST_BYTES // PIECES) * len(rows) // max(array.nbytes, 1))
    last = max(len(rows) - together, 0)
    starts = range(0, len(rows), together) if whole else np.unique(np.linspace(0, last, PIECES).astype(np.int64))
    crc = 0
    for start in starts:
        crc = zlib.crc32(np.ascontiguousarray(rows[start : start + together]).reshape(-1).view(np.uint8).data, crc)
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": crc}


def of_images(images: Images) -> dict[str, Any]:
    """Shape, the names of the files below their common folder, their sizes, and the contents of some."""
    files = images.files
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in files]) if files else ""
    names = sizes = content = 0
    looked_at = {int(i) for i in np.linspace(0, len(files) - 1, MOST_FILES)} if files else set()
    for i, path in enumerate(files):
        names = zlib.crc32(
            os.path.relpath(os.path.abspath(path), root).encode("utf-8", "surrogateescape") + b"\0", names
        )
        sizes = zlib.crc32(b"%d " % os.path.getsize(path), sizes)
        if i in looked_at:
            with open(path, "rb") as file:
                content = zlib.crc32(file.read(), content)
    return {"shape": list(images.shape), "dtype": "images", "names": names, "sizes": sizes, "values": content}


def differences(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """What differs between two sets of fingerprints, in words."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        was, given = before.get(name), now.get(name)
        if was is None or given is None:
            found.append(f"{name} is {'missing' if given is None else 'new'}")
            continue
        key = next((key for key in was if was[key] != given.get(key)), None)
        if key in ("shape", "dtype"):
            shown = tuple if key == "shape" else str
            found.append(f"{name} has {key} {shown(given[key])}, it was {shown(was[key])}")
        elif key is not None:
            what = {"names": "files of other names", "sizes": "files of other sizes"}.get(key, "other values")
            found.append(f"{name} has {what}")
    return found
