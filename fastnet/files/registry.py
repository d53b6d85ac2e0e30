"""The classes that files may name, and objects as JSON."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import numpy as np

from fastnet import checks

__all__ = ["class_name", "find_class", "from_config", "register", "to_config"]

C = TypeVar("C", bound=type)
_classes: dict[str, type] = {}
_names: dict[type, str] = {}


@overload
def register(cls: C, *, name: str | None = None) -> C: ...
@overload
def register(cls: None = None, *, name: str | None = None) -> Callable[[C], C]: ...
def register(cls: type[Any] | None = None, *, name: str | None = None) -> Any:
    """Let files name a class: networks that use it are loaded without `custom_objects`.

    For layers, losses, metrics, initializers, activations, optimizers, callbacks. Used as a decorator. The class
    has a method ``config() -> dict`` with the constructor's arguments; these may be
    what JSON can hold, arrays, and other objects with `config`.

    Parameters
    ----------
    cls : class
    name : str, optional
        What files call it; by default the class's name.

    Raises
    ------
    ValueError
        The name belongs to another class.

    Examples
    --------
    >>> from fastnet.files import register, to_config, from_config
    >>> @register
    ... class Scale:
    ...     def __init__(self, factor):
    ...         self.factor = factor
    ...     def config(self):
    ...         return {"factor": self.factor}
    >>> to_config(Scale(2.0))
    {'class': 'Scale', 'config': {'factor': 2.0}}
    >>> from_config(to_config(Scale(2.0))).factor
    2.0
    """
    if cls is None:
        return lambda decorated: register(decorated, name=name)
    if not isinstance(cls, type):
        raise TypeError(f"register takes a class; got {checks.describe(cls)}")
    if not callable(getattr(cls, "config", None)):
        raise TypeError(
            f"register: class {cls.__name__} needs a method config() -> dict of its constructor's arguments"
        )
    name = cls.__name__ if name is None else name
    if not isinstance(name, str) or not name:
        raise TypeError(f"name must be a text; got {checks.describe(name)}")
    # fastnet's own classes are registered while their modules are imported: nothing else may be imported then.
    other = _classes.get(name) if cls.__module__.startswith("fastnet.") else _lookup(name)
    if other is not None and not _same_definition(other, cls):
        raise ValueError(
            f"name {name!r} belongs to the class {_full_name(other)}; "
            f"give {_full_name(cls)} another: register(name=...)"
        )
    _classes[name] = cls
    _names[cls] = name
    return cls


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _same_definition(a: type, b: type) -> bool:
    """Whether two classes come from the same statement, run twice (in a notebook)."""
    return a is b or _full_name(a) == _full_name(b)


def _lookup(name: str) -> type | None:
    """The registered class; a public one of fastnet is imported if it has not been yet."""
    if name not in _classes:
        package = sys.modules.get("fastnet")
        public = name.partition(".")[0]  # a class, or the module of "schedules.Cosine"
        if public in getattr(package, "__all__", ()):
            getattr(package, public, None)
    return _classes.get(name)


def to_config(obj: Any) -> Any:
    """What JSON can hold for `obj`; `from_config` makes an equal object of it.

    Numbers, texts, None, lists, tuples (which become lists), dicts with texts as keys, and arrays stand for themselves.
    An object becomes ``{"class": name, "config": {...}}``, of its ``config()``; where that is a text instead
    of a dict (the name of a built-in activation or initializer), the text. An initializer that holds an array
    is a text too, "from_array": what it gave is among the weights of the file.

    Raises
    ------
    TypeError
        Something else, such as a function.
    ValueError
        A class that is not registered and has the name of one that is.
    """
    if obj is None or isinstance(obj, (bool, int, str)):
        return obj
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise ValueError(f"a file can't hold the number {obj}")
        return obj
    if isinstance(obj, np.generic) and obj.dtype.kind in "fiub":
        return to_config(obj.item())
    if isinstance(obj, np.ndarray):
        return _array_to_config(obj)
    if isinstance(obj, (list, tuple)):
        return [to_config(item) for item in obj]
    if isinstance(obj, dict):
        return _dict_to_config(obj)
    if isinstance(obj, type) or not callable(getattr(obj, "config", None)):
        raise TypeError(
            f"a file can't hold {checks.describe(obj)}: it holds numbers, texts, lists, dicts, arrays, and objects "
            "of classes with a method config() -> dict of the constructor's arguments"
        )
    config = obj.config()
    if isinstance(config, str):
        return config
    if not isinstance(config, dict):
        raise TypeError(f"{type(obj).__name__}.config() must return a dict; it returned {checks.describe(config)}")
    return {"class": class_name(type(obj)), "config": _dict_to_config(config)}


def class_name(cls: type) -> str:
    """What files call a class."""
    if cls in _names:
        return _names[cls]
    other = _lookup(cls.__name__)
    if other is not None and not _same_definition(other, cls):
        raise ValueError(
            f"class {_full_name(cls)} would be loaded as {_full_name(other)}, which has the same name; "
            "rename it, or decorate it with @fn.register(name=...)"
        )
    return cls.__name__


OBJECT_KEYS = {"class", "config"}
ARRAY_KEYS = {"array", "dtype", "shape"}


def _dict_to_config(data: dict[str, Any]) -> dict[str, Any]:
    for key in data:
        if not isinstance(key, str):
            raise TypeError(f"a file can't hold a dict with the key {checks.describe(key)}: keys must be texts")
    if data.keys() in (OBJECT_KEYS, ARRAY_KEYS):
        raise ValueError(f"a file can't hold a dict with just the keys {', '.join(sorted(data))}: they mark an object")
    return {key: to_config(value) for key, value in data.items()}


def _array_to_config(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"a file can't hold an array of dtype {array.dtype}")
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    text = base64.b64encode(array.tobytes()).decode()
    return {"array": text, "dtype": array.dtype.name, "shape": list(array.shape)}


def from_config(data: Any, custom_objects: Mapping[str, type] | None = None) -> Any:
    """The object that `to_config` described.

    Parameters
    ----------
    data
        What came from JSON.
    custom_objects : dict of str to class, optional
        Classes that are not registered, by the names that the file uses. They go before registered ones.
        No name in a file is ever imported.

    Raises
    ------
    ValueError
        A class is not known, or its constructor refuses what the file says.
    """
    custom_objects = {} if custom_objects is None else custom_objects
    if not isinstance(custom_objects, dict) or not all(isinstance(cls, type) for cls in custom_objects.values()):
        raise TypeError('custom_objects must be a dict of names to classes: {"MyLayer": MyLayer}')
    try:
        return _object(data, custom_objects)
    except RecursionError:
        raise ValueError("the file's configuration is nested too deeply") from None


def _object(data: Any, custom_objects: Mapping[str, type] | None) -> Any:
    if isinstance(data, list):
        return [_object(item, custom_objects) for item in data]
    if not isinstance(data, dict):
        return data
    if data.keys() == ARRAY_KEYS:
        return _array_from_config(data)
    if data.keys() != OBJECT_KEYS:
        return {key: _object(value, custom_objects) for key, value in data.items()}
    name, config = data["class"], data["config"]
    if not isinstance(name, str) or not isinstance(config, dict):
        raise ValueError(f"the file's configuration is damaged: {checks.describe(data)} describes no object")
    cls = find_class(name, custom_objects)
    arguments = {key: _object(value, custom_objects) for key, value in config.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(f"class {name!r} does not take the arguments that the file has for it: {error}") from error


def find_class(name: str, custom_objects: Mapping[str, type] | None = None) -> type:
    """The class that a file calls `name`, of `custom_objects` or registered; one of fastnet is imported for it.

    Raises
    ------
    ValueError
        There is none.
    """
    cls = (custom_objects or {}).get(name) or _lookup(name)
    if cls is None:
        raise ValueError(
            f"the file uses the class {name!r}, which is not known here: define it and decorate it with @fn.register, "
            f"or pass custom_objects={{{name!r}: {name}}}{checks.nearest(name, [*(custom_objects or ()), *_classes])}"
        )
    return cls


def _array_from_config(data: dict[str, Any]) -> np.ndarray:
    try:
        dtype = checks.plain_dtype(data["dtype"])
        if dtype.kind not in "fiub":
            raise ValueError(f"dtype {dtype}")
        content = base64.b64decode(data["array"], validate=True)
        return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(data["shape"])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"the file's configuration is damaged: it holds an array that can't be read ({error})"
        ) from None
