"""What an initializer is, and the fans of a shape."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from fastnet import checks

if TYPE_CHECKING:
    from fastnet.types import Array, Shape, Sizes

__all__ = ["Initializer", "fans"]


def fans(shape: Sizes) -> tuple[int, int]:
    """Inputs of one output and outputs of one input, for weights of this shape.

    Dense weights are (in, out), convolution kernels (height, width, in, out), where a window counts as height x width
    inputs. A vector of n has (n, n). With groups, a kernel's `in` is already that of one group; its fan_out here
    counts all outputs, as PyTorch's does.

    Parameters
    ----------
    shape : tuple of ints

    Returns
    -------
    fan_in, fan_out : ints

    Examples
    --------
    >>> from fastnet.initializers import fans
    >>> fans((784, 128)), fans((3, 3, 16, 32))
    ((784, 128), (144, 288))
    """
    shape = checks.shape("shape", shape)
    if len(shape) < 2:
        return (math.prod(shape),) * 2
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


class Initializer:
    """Base of all initializers. A subclass defines :meth:`draw`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.initializers import Initializer
    >>> class Ramp(Initializer):
    ...     def draw(self, shape, dtype, key, fan_in=None, fan_out=None):
    ...         return np.linspace(0, 1, np.prod(shape), dtype=dtype).reshape(shape)
    >>> Ramp().draw((3,), "float32", (0, 0))
    array([0. , 0.5, 1. ], dtype=float32)
    """

    def draw(self, shape: Shape, dtype: str, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        """The first values of one parameter.

        Parameters
        ----------
        shape : tuple of ints
        dtype : {"float32", "float64"}
        key : tuple of two ints
            Stream of random numbers, from ``fastnet.kernels.random.key(seed, path)``.
        fan_in, fan_out : int, optional
            From the shape (:func:`fans`) where not given.

        Returns
        -------
        ndarray of `shape` and `dtype`
        """
        raise NotImplementedError(f"{type(self).__name__} must define draw(shape, dtype, key, fan_in, fan_out)")

    def config(self) -> dict[str, Any]:
        """The constructor's arguments by name, from which an equal initializer can be made."""
        if dataclasses.is_dataclass(self):
            return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dict(vars(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config().items())})"


def set_fields(self: Initializer, **values: Any) -> None:
    """Checked values into the fields of a frozen initializer."""
    for name, value in values.items():
        object.__setattr__(self, name, value)
