"""Keras' files of weights as modules.

Keras 3 writes HDF5 files whose groups are called by the layers' classes and numbers, ``layers/conv2d_1/vars/0``; ``.keras``
files are zip archives with one of these and a description of the model, which has the order of the layers. Keras 2 wrote HDF5
files with names of layers and arrays.

Files may come from anywhere: no code in them is run, links are not followed, and an array is read only when its shape is
the expected one, so that memory is in proportion to the file and the network.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import files
from fastnet.io.weights.keras_layers import CLASSES, canonical, guessed
from fastnet.io.weights.places import Module, Stored

if TYPE_CHECKING:
    from types import ModuleType
    from zipfile import ZipFile, ZipInfo

    from fastnet.types import Array

__all__ = ["Contents", "import_h5py", "read", "write"]

SKIPPED = ("optimizer", "metrics", "optimizer_weights")
LARGEST_DESCRIPTION = 64 << 20
LARGEST_ATTRIBUTE = 1 << 20  # bytes; HDF5 itself writes up to 64 KB
EXPANSION = 32  # of a compressed file in an archive: weights hardly shrink
SMALL_CHUNK = 1 << 20  # elements that a chunk of an array may have beyond the array itself
NORMS = ("batch_normalization", "layer_normalization", "group_normalization")


@dataclass
class Described:
    """What the description of a model says of one layer."""

    path: str  # in a file of Keras 3
    name: str
    family: str
    arrays: list[str] | None  # their names, where the description tells them
    epsilon: float | None


@dataclass
class Contents:
    """A file's modules, and the epsilons of norms, by module, where the file has them."""

    modules: list[Module]
    epsilons: dict[str, float]


def import_h5py(what: str) -> ModuleType:
    try:
        import h5py
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        message = f"{what} needs h5py, which is not installed: pip install 'fastnet-cpu[keras]'"
        raise ModuleNotFoundError(message, name="h5py") from None
    return h5py


def read(path: str) -> tuple[Any, Contents]:
    """Open a file; returns the HDF5 file, to be closed when its arrays have been read, and its contents."""
    h5py = import_h5py(f"reading {path}")
    source: str | io.BytesIO = path
    description: list[Described] | None = None
    if path.lower().endswith(".keras"):
        source, description = _unpacked(path)
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise ValueError(f"{path} is not an HDF5 file, or damaged or cut short ({error})") from None
    try:
        root = _inside(h5py, file, "model_weights") if "model_weights" in file else file
        if "layer_names" in root.attrs or "layer_names0" in root.attrs:
            description = description or _parsed(_attribute(file.attrs, "model_config", None))
            return file, _by_names(h5py, root, description)
        return file, _by_classes(h5py, file, description)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, OSError) as error:
        file.close()
        raise ValueError(f"{path} can't be read as a file of Keras' weights ({error})") from None
    except BaseException:
        file.close()
        raise


def write(path: str, layers: dict[str, tuple[str, list[np.ndarray]]]) -> None:
    """Write a ``.weights.h5`` file as Keras 3 does: layers' paths -> their names and arrays. At once or not at all."""
    h5py = import_h5py(f"writing {path}")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("vars")
        for layer, (name, arrays) in layers.items():
            group = file.create_group(f"{layer}/vars")
            group.attrs["name"] = name
            for i, array in enumerate(arrays):
                group[str(i)] = array
    files.write_bytes(path, buffer.getvalue())


def _unpacked(path: str) -> tuple[io.BytesIO, list[Described] | None]:
    """The weights of a ``.keras`` file, and what it says of the model."""
    with files.opened_archive(path, "a file of Keras 3") as archive:
        members = {name: _member(path, archive, name) for name in ("model.weights.h5", "config.json")}
        weights, config = members["model.weights.h5"], members["config.json"]
        if weights.file_size > EXPANSION * os.path.getsize(path) + (1 << 20):
            raise ValueError(f"{path} has weights of {weights.file_size:,} bytes in {os.path.getsize(path):,}")
        if config.file_size > LARGEST_DESCRIPTION:
            raise ValueError(f"{path} has a description of {config.file_size:,} bytes")
        return io.BytesIO(archive.read(weights)), _parsed(archive.read(config))


def _member(path: str, archive: ZipFile, name: str) -> ZipInfo:
    try:
        return archive.getinfo(name)
    except KeyError:
        raise ValueError(f"{path} is not a file of Keras 3: there is no item named {name!r} in it") from None


def _parsed(text: str | bytes | None) -> list[Described] | None:
    """The layers of a description in the order in which they are computed, or None if it is none of a list of layers."""
    try:
        return list(_described(files.parse_json(text), "")) if text is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _described(model: dict[str, Any], path: str) -> Iterator[Described]:
    counts: dict[str, int] = {}
    for layer in model["config"]["layers"]:
        family, config = _snake_case(layer["class_name"]), layer["config"]
        number = counts[family] = counts.get(family, -1) + 1
        inner = f"{path}layers/{family}_{number}" if number else f"{path}layers/{family}"
        if isinstance(config.get("layers"), list):
            yield from _described(layer, f"{inner}/")
            continue
        epsilon = config.get("epsilon")
        known = isinstance(epsilon, (int, float)) and not isinstance(epsilon, bool)
        yield Described(inner, config["name"], family, _arrays_of(family, config), float(epsilon) if known else None)


def _arrays_of(family: str, config: dict[str, Any]) -> list[str] | None:
    """The names of a norm's arrays, which have one shape, so that nothing else tells which one is left out."""
    if family not in NORMS or not {"scale", "center"} <= config.keys():
        return None
    statistics = ["moving_mean", "moving_variance"] if family == "batch_normalization" else []
    return ["gamma"] * bool(config["scale"]) + ["beta"] * bool(config["center"]) + statistics


def _snake_case(name: str) -> str:
    """A class as Keras writes it: "p_re_lu" for PReLU."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _by_classes(h5py: ModuleType, file: Any, description: list[Described] | None) -> Contents:
    groups: dict[str, dict[int, Any]] = {}

    def visit(path: str, item: Any) -> None:
        *layer, container, number = ["", *path.split("/")] if path.count("/") else ["", "", path]
        inner = "/".join(layer[1:])
        if (
            isinstance(item, h5py.Dataset) and container == "vars" and number.isdecimal()
            and inner.split("/")[0] not in SKIPPED and not inner.endswith("seed_generator")
        ):  # fmt: skip
            groups.setdefault(inner, {})[int(number)] = item

    file.visititems(visit)  # which visits each object once, and follows no links
    known = {layer.path: (i, layer) for i, layer in enumerate(description or ())}
    certain = bool(groups) and groups.keys() <= known.keys()
    modules, epsilons = [], {}
    for path in sorted(groups, key=(lambda p: known[p][0]) if certain else _path_key):
        arrays = [groups[path][i] for i in sorted(groups[path])]
        told = known[path][1] if certain else None
        names = told.arrays if told and told.arrays and len(told.arrays) == len(arrays) else None
        shapes = [item.shape for item in arrays]
        family = _stem(path.rpartition("/")[2])
        if family not in CLASSES and "layers" not in path.split("/")[-2:]:
            name = _attribute(file[f"{path}/vars" if path else "vars"].attrs, "name", "")
            family = _stem(_text(name)) if _stem(_text(name)) in CLASSES else guessed(shapes, names)
        order = "" if certain else "/".join(_stem(part) for part in path.split("/"))
        module = Module(path, family, by_position=names is None, order=order)
        for i, item in enumerate(arrays):
            module.arrays[names[i] if names else str(i)] = _stored(h5py, f"{path}/vars/{i}", item)
        modules.append(module)
        if told and told.epsilon is not None:
            epsilons[path] = told.epsilon
    return Contents(modules, epsilons)


def _by_names(h5py: ModuleType, root: Any, description: list[Described] | None) -> Contents:
    known = {layer.name: layer for layer in description or ()}
    modules: dict[str, Module] = {}
    epsilons = {}
    for layer in _texts(root.attrs, "layer_names"):
        found: dict[str, dict[str, Any]] = {}
        group = _inside(h5py, root, layer)
        for name in _texts(group.attrs, "weight_names"):
            inner, _, local = name.rpartition("/")
            found.setdefault(inner, {})[local] = _inside(h5py, group, name)
        for inner, arrays in found.items():
            # Of a model in the model the group has the weights of all its layers.
            name = layer if len(found) == 1 else inner
            told = known.get(name.rpartition("/")[2])
            family = told.family if told else _stem(name.rpartition("/")[2])
            if family not in CLASSES:
                family = guessed([item.shape for item in arrays.values()], list(arrays))
            stored = {
                canonical(family, local): _stored(h5py, f"{name}/{local}", item) for local, item in arrays.items()
            }
            modules[name] = Module(name, family, stored)
            if told and told.epsilon is not None:
                epsilons[name] = told.epsilon
    return Contents(list(modules.values()), epsilons)


def _inside(h5py: ModuleType, group: Any, path: str) -> Any:
    """What lies at a path of a group, without following links."""
    item = group
    for part in path.split("/"):
        if not isinstance(item, h5py.Group) or not isinstance(item.get(part, getlink=True), h5py.HardLink):
            raise KeyError(f"there is no {path} in {group.name}")
        item = item[part]
    return item


def _stored(h5py: ModuleType, name: str, item: Any) -> Stored:
    fault = ""
    bfloat16 = _text(_attribute(item.attrs, "dtype", "")) == "bfloat16" and item.dtype.itemsize == 2
    if item.shape is None or item.is_virtual or item.external:
        fault = "an array that lies elsewhere"
    elif item.chunks and math.prod(item.chunks) > math.prod(item.shape) + SMALL_CHUNK:
        fault = f"chunks of {item.chunks} elements"
    elif item.dtype.kind != "f" and not bfloat16:
        fault = str(item.dtype)

    def array() -> Array:
        try:
            values = item[()]
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{name} can't be read: the file is damaged ({error})") from None
        if not bfloat16:
            return np.asarray(values)
        upper = np.asarray(values).view(np.uint16).astype(np.uint32)
        return (upper << 16).view(np.float32)

    return Stored(name, tuple(item.shape or ()), array, fault)


def _stem(name: str) -> str:
    """ "conv2d" of "conv2d_12"."""
    return re.sub(r"_\d+$", "", name)


def _path_key(path: str) -> list[tuple[str, int]]:
    """Sorts "conv2d", "conv2d_1", ..., "conv2d_10"."""
    return [(_stem(part), int(part[len(_stem(part)) + 1 :] or -1)) for part in path.split("/")]


def _texts(attributes: Any, name: str) -> list[str]:
    """A list of texts, which Keras 2 splits into several attributes if it is long."""
    if name in attributes:
        return [_text(item) for item in _attribute(attributes, name)]
    parts, found = 0, []
    while f"{name}{parts}" in attributes:
        found += [_text(item) for item in _attribute(attributes, f"{name}{parts}")]
        parts += 1
    return found


def _attribute(attributes: Any, name: str, default: str | None = None) -> Any:
    """An attribute's value, if it claims no more than the file bears out: HDF5 would take its word for it."""
    if name not in attributes:
        return default
    h5py = import_h5py("reading attributes")
    found = attributes.get_id(name)
    count = 0 if found.shape is None else math.prod(found.shape)
    if count * found.dtype.itemsize > LARGEST_ATTRIBUTE:
        raise ValueError(f"its attribute {name!r} claims {count * found.dtype.itemsize:,} bytes")
    if count > 1 and found.dtype.kind == "O":  # references to texts, each of which may be as long as the file
        size = h5py.h5i.get_file_id(found).get_filesize()
        hint = f"store the texts of {name!r} with a fixed length, as Keras does"
        files.check_claim("its attribute", count * size, size, hint)
    return attributes[name]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
