"""State dicts, in memory and in files, as modules.

Files may come from anywhere: no code in them is run, and memory is taken in proportion to their size.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, files
from fastnet.io.weights.places import Module, Stored
from fastnet.io.weights.pytorch_layers import family
from fastnet.io.weights.pytorch_pickles import check_torch_file

if TYPE_CHECKING:
    from types import ModuleType

    from fastnet.types import Array, Path, Shape

__all__ = ["SUFFIXES", "format_of", "import_torch", "modules_of", "read", "write"]

SUFFIXES = {".safetensors": "safetensors", ".pt": "torch", ".pth": "torch", ".bin": "torch", ".ckpt": "torch"}
#: Keys under which training scripts put the state dict of a model in a larger dict.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network")
#: What DataParallel and compiled modules put before all names.
PREFIXES = ("module.", "_orig_mod.")
AVERAGED = "n_averaged"  # torch.optim.swa_utils.AveragedModel's count, beside "module."
ORDER = "order"  # the modules' names in a safetensors file of ours, which else says nothing of their order
FLOATS = {"torch.float16", "torch.float32", "torch.float64"}


def format_of(path: str) -> str:
    """ "safetensors" or "torch", by the file's name."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}; got {path}")
    return SUFFIXES[suffix]


def import_torch(what: str) -> ModuleType:
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(f"{what} needs torch, which is not installed", name="torch") from None
    return torch


def read(source: Mapping[str, Any] | Path) -> tuple[str, dict[str, Stored], list[str] | None, bool]:
    """A state dict's arrays by name.

    Returns
    -------
    title : str
    arrays : dict of str to Stored
    order : list of str or None
        The modules' names in their order, where a file says it.
    ordered : bool
        Whether the dict's order is that of the modules.
    """
    if isinstance(source, Mapping):
        return "the state dict", _stored(_unwrapped("the dict", source)), None, True
    if hasattr(source, "state_dict"):
        raise TypeError(f"source must be a path or a state dict: module.state_dict(); got a {type(source).__name__}")
    path = files.existing_file(checks.path("source", source))
    if format_of(path) == "torch":
        return path, _stored(_unwrapped(path, _load(path))), None, True
    arrays, order = _read_safetensors(path)
    return path, arrays, order, False


def modules_of(arrays: dict[str, Stored], order: list[str] | None, ordered: bool) -> list[Module]:
    """Arrays as modules, in their order; without the prefix that all have from DataParallel or a compiled module."""
    names = {name: name for name in arrays if name != AVERAGED}
    for prefix in PREFIXES:
        if names and all(name.startswith(prefix) for name in names.values()):
            names = {full: name.removeprefix(prefix) for full, name in names.items()}
    groups: dict[str, dict[str, Stored]] = {}
    for full, name in names.items():
        module, _, local = name.rpartition(".")
        groups.setdefault(module, {})[local] = arrays[full]
    if order is not None and sorted(order) == sorted(groups):
        groups, ordered = {name: groups[name] for name in order}, True
    elif not ordered:
        groups = dict(sorted(groups.items(), key=lambda item: _natural(item[0])))
    return [
        Module(name, family({local: len(stored.shape) for local, stored in found.items()}), found,
               order="" if ordered else re.sub(r"\d+", "#", name))
        for name, found in groups.items()
    ]  # fmt: skip


def write(path: str, arrays: dict[str, np.ndarray], order: list[str]) -> None:
    """Write a state dict, at once or not at all."""
    if format_of(path) == "safetensors":
        from safetensors.numpy import save

        data = save(arrays, {"format": "pt", ORDER: json.dumps(order)})
    else:
        torch = import_torch(f"writing {path}")
        buffer = io.BytesIO()
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, buffer)
        data = buffer.getvalue()
    files.write_bytes(path, data)


def _natural(name: str) -> list[list[tuple[bool, int, str]]]:
    """A key that sorts "layer10" behind "layer2"."""
    return [[(not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in re.split(r"(\d+)", part) if p]
            for part in name.split(".")]  # fmt: skip


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _unwrapped(what: str, state: Any, levels: int = 4) -> Mapping[str, Any]:
    """The state dict in what a training script has saved, that many dicts deep: one may hold itself."""
    if not isinstance(state, Mapping):
        raise ValueError(f"{what} must have a dict of arrays; it has a {type(state).__name__}")
    if all(isinstance(name, str) and _is_array(value) for name, value in state.items()):
        return state
    inside = [key for key in WRAPPERS if isinstance(state.get(key), Mapping)]
    if len(inside) != 1 or not levels:
        keys = ", ".join(f"{key!r} ({type(value).__name__})" for key, value in list(state.items())[:10])
        found = f"several: {', '.join(inside)}" if inside else "none of them is a state dict by its name"
        raise ValueError(f"{what} is not a state dict, it has {keys}: {found}; load the right one with torch.load")
    return _unwrapped(f"{what}[{inside[0]!r}]", state[inside[0]], levels - 1)


def _load(path: str) -> Any:
    torch = import_torch(f"reading {path}")
    check_torch_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise files.clear_error(error, f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        if "weights_only" in str(error):
            raise ValueError(
                f"{path} holds more than tensors, and fastnet runs no code from files: "
                "save module.state_dict(), not the module"
            ) from None
        raise ValueError(f"{path} can't be read as a file of torch.save: {str(error)[:200]}") from None


def _stored(state: Mapping[str, Any]) -> dict[str, Stored]:
    return {name: _of_tensor(name, value) for name, value in state.items()}


def _of_tensor(name: str, value: Any) -> Stored:
    if not hasattr(value, "detach"):
        array = np.asarray(value)
        return Stored(name, array.shape, lambda: array, _fault_of(array.dtype))
    fault = ""
    if value.device.type == "meta":
        fault = "a tensor without data (of the device meta)"
    elif str(value.layout) != "torch.strided":
        fault = f"a tensor of the layout {value.layout}"
    elif not value.is_floating_point():
        fault = str(value.dtype)

    def numpy() -> Array:
        tensor = value.detach().cpu()
        return (tensor if str(tensor.dtype) in FLOATS else tensor.float()).numpy()

    return Stored(name, tuple(value.shape), numpy, fault)


def _fault_of(dtype: np.dtype) -> str:
    return "" if dtype.kind == "f" or dtype.name == "bfloat16" else str(dtype)


def _read_safetensors(path: str) -> tuple[dict[str, Stored], list[str] | None]:
    from safetensors import SafetensorError, safe_open

    arrays = {}
    try:
        with safe_open(path, framework="np") as file:
            order = (file.metadata() or {}).get(ORDER)
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                dtype, shape = part.get_dtype(), tuple(part.get_shape())
                if dtype in ("F16", "F32", "F64"):
                    arrays[name] = _of_tensor(name, file.get_tensor(name))
                else:  # of which only bfloat16 is read
                    fault = "" if dtype == "BF16" else dtype
                    arrays[name] = Stored(name, shape, partial(_bfloat16, path, name, shape), fault)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or damaged or cut short ({error})") from None
    except OSError as error:
        raise files.clear_error(error, f"cannot read {path}: {error.strerror or error}") from None
    return arrays, _order(order)


def _order(text: str | None) -> list[str] | None:
    try:
        order = files.parse_json(text or "null")
    except ValueError:
        return None
    return order if isinstance(order, list) and all(isinstance(name, str) for name in order) else None


def _bfloat16(path: str, name: str, shape: Shape) -> Array:
    """A tensor of the upper halves of float32, which NumPy has no type for; the header was checked before."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start, end = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + start)
        upper = np.frombuffer(file.read(end - start), "<u2")
    return (upper.astype(np.uint32) << 16).view(np.float32).reshape(shape)
