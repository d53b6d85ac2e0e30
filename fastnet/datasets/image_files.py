"""Image files: finding them in folders of classes, and decoding one with Pillow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnet.files import check_claim, check_inside, existing_file, missing_file

__all__ = ["EXTENSIONS", "decode", "find_classes", "find_images", "find_parts", "read_header"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TRAINING, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")

#: Pillow's names of the formats that these are. It knows others, of which some run another program to be read.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
ORIENTATION = 0x0112  # the EXIF tag; from 5 on height and width are exchanged
#: Bytes that Pillow takes for a row or column of an image that it resizes: pointers to rows, and weights, which are doubles.
OF_A_SIDE = 32
ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


def pillow() -> tuple[Any, Any]:
    """The modules Image and ImageOps."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        message = 'reading images needs Pillow: pip install "fastnet-cpu[image]"'
        raise ModuleNotFoundError(message, name="PIL") from None
    return Image, ImageOps


# Folders


def subfolders(path: str) -> list[str]:
    """Names, sorted; hidden ones are left out."""
    with os.scandir(path) as entries:
        found = sorted((entry.name, entry.is_symlink()) for entry in entries if entry.is_dir() and entry.name[0] != ".")
    for name in (name for name, is_link in found if is_link):
        check_inside(path, name, f"{path} has a link to")
    return [name for name, _ in found]


def find_images(path: str, root: str | None = None) -> list[str]:
    """Files with the extension of an image in a folder and those below it, sorted; hidden ones are left out.

    Links lead to places in the folder `root`, by default `path`, or are an error.
    """
    found = []
    for folder, below, names in os.walk(path):  # which does not follow links to folders
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [
            os.path.join(folder, name)
            for name in sorted(names)
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    for file in filter(os.path.islink, found):
        check_inside(path if root is None else root, os.path.abspath(file), f"{path} has a link to")
    return found


def find_parts(path: str) -> tuple[str, str | None]:
    """The folder of the training part, and that of the test part: train/ and test/ (or val/), or `path` alone."""
    if not os.path.isdir(path):
        raise missing_file(path)
    names = {name.lower(): name for name in reversed(subfolders(path))}
    training = next((names[name] for name in TRAINING if name in names), None)
    if training is None or not subfolders(os.path.join(path, training)):
        return path, None
    test = next((names[name] for name in TEST if name in names), None)
    return os.path.join(path, training), None if test is None else os.path.join(path, test)


def find_classes(path: str, known: list[str] | None = None,
                 root: str | None = None) -> tuple[list[str], list[str], np.ndarray]:  # fmt: skip
    """Files of a folder that has a folder for each class.

    Parameters
    ----------
    known : list of str, optional
        The classes of the training part; others are an error.
    root : str, optional
        The data set's folder, which links don't leave; `path` by default.

    Returns
    -------
    classes : list of str
        Sorted.
    files : list of str
    labels : ndarray of int64
    """
    classes = subfolders(path)
    unknown = [name for name in classes if known is not None and name not in known]
    if unknown:
        raise ValueError(f"{path} has the class {unknown[0]!r}, which the training part does not have")
    files, labels = [], []
    for name in classes:
        found = find_images(os.path.join(path, name), root or path)
        if not found:
            raise ValueError(
                f"{os.path.join(path, name)} is the folder of a class, but has no images ({', '.join(EXTENSIONS)})"
            )
        files += found
        labels += [(classes if known is None else known).index(name)] * len(found)
    if not files:
        raise ValueError(
            f"{path} must have a folder of images for each class, such as cat/1.jpg, or train/ and test/ with such folders"
        )
    return classes, files, np.array(labels, np.int64)


# Files


def unreadable(path: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{path} cannot be read as an image: {reason.replace(repr(path), 'it')}")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """An image whose pixels have not been decoded; what is wrong with it, there or later, becomes one sentence."""
    image_module, _ = pillow()
    try:
        with image_module.open(existing_file(path), formats=FORMATS) as image:
            yield image
    except Exception as error:  # Pillow's plugins raise all kinds for damaged files
        raise unreadable(path, error) from None


def _check_size(path: str, image: Any, converted: bool, columns: int) -> None:
    """Refuse pixels that take much more memory than the file: Pillow has 4 bytes for one of several channels.

    An image of few columns takes more for its rows than for its pixels, and the more where it is resized to `columns` first.
    """
    channels = len(image.getbands())
    stored = 4 if channels > 1 or image.mode[0] in "IF" else 1
    copies = 1 + (_has_exif(image) and image.getexif().get(ORIENTATION, 1) > 1)
    width, height = image.size
    claimed = width * height * (stored * copies + 4 * converted) + OF_A_SIDE * (width + height) + 4 * columns * height
    check_claim(path, claimed, os.path.getsize(path), "if it is right, store it with fewer pixels")


def _has_exif(image: Any) -> bool:
    """Of a PNG without the tag in its header, getexif would decode the pixels to look for it behind them."""
    return image.format != "PNG" or "exif" in image.info


def read_header(path: str) -> tuple[int, int, int]:
    """Height, width (as the image is to be looked at) and channels: 1 for grey, 3 for colours, 4 with transparency."""
    with _opened(path) as image:
        width, height = image.size
        if _has_exif(image) and image.getexif().get(ORIENTATION, 1) >= 5:
            width, height = height, width
        if image.mode in ALPHA or "transparency" in image.info:
            return height, width, 4
        return height, width, 1 if image.mode[0] in "1LIF" and image.mode != "LAB" else 3


def decode(path: str, out: np.ndarray) -> None:
    """The pixels of a file, upright, in an array of uint8 (height, width, channels); resized where the sizes differ."""
    image_module, image_ops = pillow()
    height, width, channels = out.shape
    with _opened(path) as image:
        most = 2 * max(height, width)
        image.draft(None, (most, most))  # a JPEG much larger than wanted is decoded at a fraction of its size
        _check_size(path, image, image.mode != MODES[channels], width)
        image_ops.exif_transpose(image, in_place=True)
        pixels = _bytes_of(image_module, image, MODES[channels])
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), image_module.Resampling.BILINEAR)
        out[...] = np.asarray(pixels).reshape(out.shape)


def _bytes_of(image_module: Any, image: Any, mode: str) -> Any:
    """The image with 8 bits for each channel."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if not image.mode.startswith("I"):
        return image if image.mode == mode else image.convert(mode)
    values = np.clip(np.asarray(image), 0, 65535)  # 16 bits, of which `convert` would clip the upper ones
    return image_module.fromarray((values >> 8).astype(np.uint8)).convert(mode)
