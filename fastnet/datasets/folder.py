"""A data set in a folder of images, with a folder for each class."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnet import checks
from fastnet.datasets import image_files
from fastnet.datasets.dataset import Dataset
from fastnet.datasets.encoder import ClassTarget, Encoder
from fastnet.datasets.images import Images
from fastnet.datasets.inputs import ImageInputs
from fastnet.datasets.split import split_rows

if TYPE_CHECKING:
    from fastnet.types import Array, Path

__all__ = ["image_folder"]

NAMED = 3  # files that a warning names


def image_folder(path: Path, *, size: int | tuple[int, int] | None = None, channels: int | None = None,
                 on_error: Literal["raise", "skip"] = "raise", test: float = 0.2, seed: int = 0,
                 cache: Path | None = None, progress: bool = False) -> Dataset:  # fmt: skip
    """Images in folders, one folder for each class, such as flowers/rose/1.jpg.

    Where there is a folder "train" with the classes below it, it is the training part, and "test" (or "val") beside it the
    test part; with all three, read the third by itself. Hidden files, and files that have no extension of an
    image, are left out.

    Pixels are numbers from 0 to 1, as those of `load`; they are kept as bytes. Nothing is decoded here:
    `fit` decodes in the background, in its first epoch, and ``data.x[:9]`` what it gives.

    Parameters
    ----------
    path : path
    size : int or (height, width), optional
        Images of another size are resized to it. By default all must have one size already.
    channels : 1, 3 or 4, optional
        Grey, colours, colours with transparency. By default 1 where all images are grey, 4 where all have transparency,
        else 3.
    on_error : {"raise", "skip"}
        What becomes of files that cannot be read: an error that names one; or they are left out with a warning, for
        which all images are decoded at once.
    test : float, default 0.2
        Share of the images for the test part where the folder has none; 0 for no test part.
    seed : int, default 0
        Of that division, which is stratified.
    cache : path, optional
        A folder, for a temporary file with the decoded images where they do not fit in memory.
    progress : bool, default False
        Show bars while sizes are read and, with "skip", while images are decoded.

    Returns
    -------
    Dataset
        `x` and `x_test` are `Images`; `classes` has the names of the folders, sorted. With
        ``net.extra["encoder"] = data.encoder.config()`` the network's file keeps them, for ``fastnet predict``.

    Raises
    ------
    ValueError, OSError
        No folders of classes, one without images, several sizes without a `size`, a file that cannot be read, a class of
        the test part that the training part does not have.
    ModuleNotFoundError
        Pillow is missing: ``pip install "fastnet-cpu[image]"``.

    Examples
    --------
    >>> import os, tempfile, numpy as np, fastnet as fn
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
    ...         os.makedirs(os.path.join(folder, name))
    ...         for i in range(5):
    ...             Image.new("RGB", (8, 6), colour).save(os.path.join(folder, name, f"{i}.png"))
    ...     data = fn.datasets.image_folder(folder)
    ...     first = data.x[0]
    >>> data.classes, data.x.shape, data.x_test.shape, first[0, 0].tolist()
    (['blue', 'red'], (8, 6, 8, 3), (2, 6, 8, 3), [0.0, 0.0, 1.0])
    """
    path = os.fspath(path)
    checks.choice("on_error", on_error, ("raise", "skip"))
    checks.flag("progress", progress)
    test = checks.real_number("test", test, least=0, below=1)
    seed = checks.whole_number("seed", seed)
    extent = None if size is None else checks.shape("size", size)
    if extent is not None:
        if len(extent) not in (1, 2):
            raise ValueError(f"size must be one number or (height, width); got {extent}")
        extent = extent * 2 if len(extent) == 1 else extent
    if channels is not None and checks.whole_number("channels", channels) not in image_files.MODES:
        raise ValueError(f"channels must be 1 (grey), 3 (colours) or 4 (with transparency); got {channels}")
    image_files.pillow()
    training, test_path = image_files.find_parts(path)
    classes, files, labels = image_files.find_classes(training, root=path)
    if len(classes) < 2:
        raise ValueError(f"{training} has one class only, {classes[0]!r}; there is nothing to learn")
    parts: list[tuple[Any, ...]] = [(files, labels)]
    if test_path is not None:
        parts.append(image_files.find_classes(test_path, classes, path)[1:])
    if extent is None or channels is None:
        parts = [_read_headers(files, labels, on_error, progress) for files, labels in parts]
        extent, channels = _common([header for part in parts for header in part[2].items()], extent, channels)
    if test_path is None and test:
        files, labels = parts[0][:2]
        parts = [([files[i] for i in rows], labels[rows]) for rows in split_rows(len(labels), labels, test, seed)]
    arrays: list[Any] = []
    for files, labels, *_ in parts:
        images = Images(files, (*extent, channels), cache)
        arrays += [images, labels] if on_error == "raise" else _without_broken(images, labels, progress)
    encoder = Encoder(ImageInputs((*extent, channels)), ClassTarget("class", classes))
    x, y, x_test, y_test = [*arrays, None, None][:4]
    return Dataset(x, y, x_test, y_test, encoder)


def _read_headers(files: list[str], labels: Array, on_error: str,
                  progress: bool) -> tuple[list[str], Array, dict[str, tuple[int, int, int]]]:  # fmt: skip
    """Files and labels of the images whose headers can be read, and the headers by file."""
    headers: dict[str, tuple[int, int, int]] = {}
    good = []
    for row, path in enumerate(_bar(files, "reading sizes", progress)):
        try:
            headers[path] = image_files.read_header(path)
            good.append(row)
        except ValueError:
            if on_error == "raise":
                raise
    _warn([path for path in files if path not in headers])
    return [files[i] for i in good], labels[good], headers


def _common(headers: list[Any], size: tuple[int, ...] | None, channels: int | None) -> tuple[tuple[int, ...], int]:
    """The size and channels of all images."""
    if not headers:
        raise ValueError("none of the images can be read")
    if size is None:
        sizes = {header[:2]: path for path, header in reversed(headers)}
        if len(sizes) > 1:
            (b, second), *_, (a, first) = sizes.items()
            raise ValueError(
                f"size: the images have {len(sizes)} sizes: {first} is {a[0]} x {a[1]} and {second} is "
                f"{b[0]} x {b[1]} (height x width); give the size that they shall have"
            )
        (size,) = sizes
    if channels is None:
        found = {header[2] for _, header in headers}
        channels = found.pop() if len(found) == 1 else 3
    return size, channels


def _without_broken(images: Images, labels: np.ndarray, progress: bool) -> tuple[Images, Array]:
    """All images decoded, without those that cannot be read."""
    with _bar(images.files, "decoding", progress) as bar:
        broken = images.broken(lambda done: bar.update(done - bar.n))
    if not broken:
        return images, labels
    _warn([images.files[row] for row in broken])
    good = np.setdiff1d(np.arange(len(images)), list(broken))
    if not len(good):
        raise ValueError("none of the images can be read")
    return images.take(good), labels[good]


def _warn(files: list[str]) -> None:
    if files:
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        warnings.warn(f"left out, as they cannot be read: {', '.join(files[:NAMED])}{more}", stacklevel=4)


def _bar(files: list[str], description: str, shown: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(files, description, unit=" images", disable=not shown)
