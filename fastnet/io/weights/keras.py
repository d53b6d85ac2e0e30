"""Weights from and for Keras: ``.weights.h5``, ``.keras``, and Keras 2's ``.h5`` files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks, files
from fastnet.io.weights import keras_files, keras_layers
from fastnet.io.weights.matching import some, take_over, told_modules
from fastnet.io.weights.places import Names
from fastnet.network import Network, check_network

if TYPE_CHECKING:
    from fastnet.types import Path

__all__ = ["load_keras_weights", "save_keras_weights"]

SUFFIXES = (".weights.h5", ".keras", ".h5", ".hdf5")


def load_keras_weights(net: Network, path: Path, *, names: Names | None = None) -> dict[str, str | None]:
    """Load the weights of a Keras model into a network of the same structure.

    Layers are matched with those of their class in their order. A ``.keras`` file says the order of all layers; a
    ``.weights.h5`` file that of the layers of a class in one model: attributes of a model of one's own, and models in models,
    have none there.

    Parameters
    ----------
    net : Network
    path : path
        ``.weights.h5`` or ``.keras`` of Keras 3, ``.h5`` of Keras 2. Needs h5py (``pip install 'fastnet-cpu[keras]'``), not Keras.
    names : dict or function, optional
        Keras' layers, as they are called in the file ("layers/conv2d_1"; in files of Keras 2 the layers' names) -> names of layers
        here, or None for those to leave out. A dict needs not have them all.

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
        Layers of equal shapes whose order the file leaves open; a norm whose epsilon is another one in the file (``.keras``,
        and ``.h5`` of a whole model: other files don't say it).
    RuntimeWarning
        There are NaN or infinite values; they are loaded.

    Examples
    --------
    >>> import fastnet as fn, os, tempfile
    >>> net = fn.Network([fn.Conv2D(4, 3), fn.BatchNorm(epsilon=1e-3), fn.Flatten(), fn.Dense(2)], input_shape=(8, 8, 1))
    >>> path = os.path.join(tempfile.mkdtemp(), "model.weights.h5")
    >>> fn.io.save_keras_weights(net, path)
    >>> fn.io.load_keras_weights(net, path)
    {'layers/batch_normalization': 'batch_norm_1', 'layers/conv2d': 'conv2d_1', 'layers/dense': 'dense_1'}
    """
    found = keras_layers.places(check_network(net).graph)
    path = files.existing_file(checks.path("path", path))
    if not path.lower().endswith(SUFFIXES):
        raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}; got {path}")
    file, contents = keras_files.read(path)
    with file:
        matched = take_over(net, found, contents.modules, names, path)
    _compare_epsilons(net, matched, contents.epsilons, path)
    return matched


def save_keras_weights(net: Network, path: Path, *, names: Mapping[str, str | None] | None = None) -> None:
    """Write weights for a Keras 3 model of the network's structure: ``model.load_weights(path)``.

    Parameters
    ----------
    net : Network
    path : path
        It must end in ``.weights.h5``, as Keras wants it. Needs h5py (``pip install 'fastnet-cpu[keras]'``), not Keras.
    names : dict, optional
        Where Keras' layers lie in the file ("layers/conv2d_1") -> names of layers, as `load_keras_weights` takes and returns
        them. By default layers are those of one Sequential or functional model, in which each class has the order that it has here.

    Raises
    ------
    ValueError, TypeError
        `path` or `names` does not fit.
    OSError, ModuleNotFoundError
        The file can't be written.

    Examples
    --------
    >>> import fastnet as fn, os, tempfile
    >>> net = fn.Network([fn.Dense(4, name="hidden"), fn.Dense(2)], input_shape=(3,))
    >>> path = os.path.join(tempfile.mkdtemp(), "model.weights.h5")
    >>> fn.io.save_keras_weights(net, path, names={"encoder/dense": "hidden"})
    >>> fn.io.load_keras_weights(net, path, names={"encoder/dense": "hidden"})
    {'encoder/dense': 'hidden', 'layers/dense_1': 'dense_2'}
    """
    path = checks.path("path", path)
    if not path.endswith(".weights.h5"):
        raise ValueError(f"path must end in .weights.h5; got {path}")
    found = keras_layers.places(check_network(net).graph)
    paths = told_modules(names, [place.name for place in found], "Keras' layers")
    counts: dict[str, int] = {}
    layers = {}
    for place in found:
        number = counts[place.family] = counts.get(place.family, -1) + 1
        module = f"layers/{place.family}_{number}" if number else f"layers/{place.family}"
        module = paths.get(place.name, module)
        if module in layers:
            raise ValueError(f"names: {module!r} would be the place of two layers; give both a name")
        layers[module] = place.name, [slot.array(net.dtype) for slot in place.slots]
    keras_files.write(path, layers)


def _compare_epsilons(net: Network, matched: dict[str, str | None], epsilons: dict[str, float], path: str) -> None:
    different = []
    for module, name in matched.items():
        if name is None or module not in epsilons:
            continue
        here, there = net[name].epsilon, epsilons[module]
        here = float(np.finfo(net.dtype).eps) if here is None else here
        if not math.isclose(here, there, rel_tol=1e-3):
            different.append(f"{name} has {here:g} instead of {there:g}")
    if different:
        warnings.warn(
            f"the results will differ from those of {path}, whose norms have another epsilon: {some(different)}",
            UserWarning,
            stacklevel=3,
        )
