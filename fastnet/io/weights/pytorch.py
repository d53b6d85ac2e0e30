"""Weights from and for PyTorch: state dicts, in memory or in files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastnet import checks
from fastnet.io.weights import pytorch_files
from fastnet.io.weights.matching import match, refuse, take_over, told_modules
from fastnet.io.weights.places import Names, Place
from fastnet.io.weights.pytorch_layers import places
from fastnet.network import Network, check_network

if TYPE_CHECKING:
    from fastnet.types import Array, Path

__all__ = ["load_torch_state_dict", "save_torch_state_dict", "torch_state_dict"]

#: A state dict, or the file of one.
State: TypeAlias = "Mapping[str, Any] | Path"


def load_torch_state_dict(net: Network, source: State, *, names: Names | None = None) -> dict[str, str | None]:
    """Load the weights of a PyTorch module into a network of the same structure.

    Axes are brought into fastnet's order, and the rows of a `Dense` behind flattened images, too. Modules are matched with
    layers in their order, those of a kind among themselves: what has running statistics, weights of four axes, of two, and so on.

    Parameters
    ----------
    net : Network
    source : dict or path
        A state dict (of tensors or arrays), a ``.safetensors`` file, or one of torch.save (``.pt``, ``.pth``, ``.bin``,
        ``.ckpt``; it needs torch, is read with ``weights_only=True`` and runs no code). It may lie under "state_dict",
        "model" and the like in a larger dict; the prefix "module." of DataParallel is left out.
    names : dict or function, optional
        Names of modules ("layer1.0.conv1") -> names of layers ("residual_1.conv2d_1"), or None for those to leave out; for
        modules whose definition has another order than the computation. A dict needs not have them all. A `SeparableConv2D` is
        two modules: "separable_conv2d_1.depthwise" and "separable_conv2d_1.pointwise".

    Returns
    -------
    dict
        What was matched, in the form of `names`.

    Raises
    ------
    ValueError, TypeError
        Something is missing, unexpected, or of another shape or type: all is listed, and the network has not changed.
    OSError, ModuleNotFoundError
        The file can't be read.

    Warns
    -----
    UserWarning
        A safetensors file of another program, which has no order, has modules of equal shapes whose names leave it open.
    RuntimeWarning
        There are NaN or infinite values; they are loaded.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Flatten(), fn.Dense(3)], input_shape=(2, 2, 5), seed=0)
    >>> weight = np.arange(60.0).reshape(3, 20)  # its columns: 5 channels of 2 x 2 pixels
    >>> fn.io.load_torch_state_dict(net, {"fc.weight": weight, "fc.bias": np.zeros(3)})
    {'fc': 'dense_1'}
    >>> net["dense_1"].weight.value[:6, 0]  # 5 channels of the first pixel, then the second pixel
    array([ 0.,  4.,  8., 12., 16.,  1.], dtype=float32)
    """
    expected = places(check_network(net).graph)
    title, arrays, order, ordered = pytorch_files.read(source)
    return take_over(net, expected, pytorch_files.modules_of(arrays, order, ordered), names, title)


def torch_state_dict(
    net: Network, *, names: Mapping[str, str | None] | None = None, like: State | None = None
) -> dict[str, Any]:
    """A state dict for a PyTorch module of the network's structure: ``module.load_state_dict(torch_state_dict(net))``.

    Parameters
    ----------
    net : Network
    names : dict, optional
        Names of modules -> names of layers, as `load_torch_state_dict` takes and returns them. A layer that is not mentioned
        keeps its own name, "conv2d_1.weight".
    like : dict, optional
        A state dict of the module, whose names and order are taken; layers are matched with it as they are when it is loaded.

    Returns
    -------
    dict
        Of torch tensors, copies. Without torch, `save_torch_state_dict` writes the same to a file.

    Raises
    ------
    ValueError, TypeError
        `names` or `like` does not fit.
    ModuleNotFoundError
        torch is not installed.

    Examples
    --------
    >>> import torch, fastnet as fn
    >>> net = fn.Network([fn.Dense(4, activation="relu"), fn.Dense(2)], input_shape=(3,), seed=0)
    >>> {name: tuple(tensor.shape) for name, tensor in fn.io.torch_state_dict(net).items()}
    {'dense_1.weight': (4, 3), 'dense_1.bias': (4,), 'dense_2.weight': (2, 4), 'dense_2.bias': (2,)}
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> module.load_state_dict(fn.io.torch_state_dict(net, like=module.state_dict()))
    <All keys matched successfully>
    """
    torch = pytorch_files.import_torch("torch_state_dict")
    arrays, _ = _arrays(net, names, like)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def save_torch_state_dict(
    net: Network, path: Path, *, names: Mapping[str, str | None] | None = None, like: State | None = None
) -> None:
    """Write a state dict for a PyTorch module of the network's structure, at once or not at all.

    Parameters
    ----------
    net : Network
    path : path
        ``.safetensors``, which needs no torch, or ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` for torch.load.
    names, like
        As of `torch_state_dict`.

    Raises
    ------
    ValueError, TypeError
        `path`, `names` or `like` does not fit.
    OSError, ModuleNotFoundError
        The file can't be written.

    Examples
    --------
    >>> import fastnet as fn, os, tempfile
    >>> net = fn.Network([fn.Dense(4), fn.Dense(2)], input_shape=(3,), seed=0)
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> fn.io.save_torch_state_dict(net, path, names={"encoder": "dense_1", "head": "dense_2"})
    >>> fn.io.load_torch_state_dict(net, path)
    {'encoder': 'dense_1', 'head': 'dense_2'}
    """
    path = checks.path("path", path)
    pytorch_files.format_of(path)
    arrays, order = _arrays(net, names, like)
    pytorch_files.write(path, arrays, order)


def _arrays(
    net: Network, names: Mapping[str, str | None] | None, like: State | None
) -> tuple[dict[str, Array], list[str]]:
    """Arrays by their names in PyTorch, and the modules' names in their order."""
    found = places(check_network(net).graph)
    if like is not None:
        if names is not None:
            raise ValueError("names and like can't be given both")
        return _arrays_like(net, found, like)
    inner = {place.name: place.name for place in found}
    inner |= told_modules(names, list(inner), "modules' names")
    modules = list(inner.values())
    twice = {module for module in modules if modules.count(module) > 1}
    if twice:
        raise ValueError(f"names: {min(twice)!r} would be the name of two modules; give both layers a name")
    arrays = {
        f"{module}.{slot.name}" if module else slot.name: slot.array(net.dtype)
        for module, place in zip(modules, found, strict=True)
        for slot in place.slots
        if slot.written
    }
    return arrays, modules


def _arrays_like(net: Network, found: list[Place], like: State) -> tuple[dict[str, Array], list[str]]:
    title, stored_arrays, order, ordered = pytorch_files.read(like)
    modules = pytorch_files.modules_of(stored_arrays, order, ordered)
    pairs, problems, _ = match(found, modules)
    refuse(problems, f"like, {title}, does not fit the network")
    slots = {id(module): {slot.name: slot for slot in place.slots} for place, module in pairs}
    arrays = {
        stored.name: slots[id(module)][name].array(net.dtype)
        for module in modules
        for name, stored in module.arrays.items()
    }
    return arrays, [module.name for module in modules]
