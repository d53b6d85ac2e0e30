"""First values that are not random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.initializers.base import Initializer, set_fields

if TYPE_CHECKING:
    from fastnet.types import Array, DType, Shape

__all__ = ["Constant", "FromArray", "Identity", "Ones", "Zeros"]


def _full(shape: Shape, dtype: DType, value: float) -> Array:
    return np.full(checks.shape("shape", shape), value, checks.dtype_name("dtype", dtype))


@register
@dataclass(frozen=True, repr=False)
class Zeros(Initializer):
    """All zeros: the default of biases.

    Weights that start at zero never differ from each other: their gradients are the same.

    Examples
    --------
    >>> from fastnet.initializers import Zeros
    >>> Zeros().draw((2,), "float32", (0, 0))
    array([0., 0.], dtype=float32)
    """

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int] | None = None, fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        return _full(shape, dtype, 0)


@register
@dataclass(frozen=True, repr=False)
class Ones(Initializer):
    """All ones: the default of a normalization's scale.

    Examples
    --------
    >>> from fastnet.initializers import Ones
    >>> Ones().draw((2,), "float32", (0, 0))
    array([1., 1.], dtype=float32)
    """

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int] | None = None, fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        return _full(shape, dtype, 1)


@register
@dataclass(frozen=True, repr=False)
class Constant(Initializer):
    """One value everywhere.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> from fastnet.initializers import Constant
    >>> Constant(0.5).draw((2,), "float32", (0, 0))
    array([0.5, 0.5], dtype=float32)
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        set_fields(self, value=checks.real_number("value", self.value))

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int] | None = None, fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        return _full(shape, dtype, self.value)


@register
@dataclass(frozen=True, repr=False)
class Identity(Initializer):
    """The identity matrix times `gain`: the first outputs repeat the inputs. For weights with two axes.

    Parameters
    ----------
    gain : float

    References
    ----------
    Le, Jaitly, Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units".

    Examples
    --------
    >>> from fastnet.initializers import Identity
    >>> Identity().draw((2, 3), "float32", (0, 0))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        set_fields(self, gain=checks.real_number("gain", self.gain))

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int] | None = None, fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        y = _full(shape, dtype, 0)
        if y.ndim != 2:
            raise ValueError(f"the identity initializer needs a shape with two axes; got {y.shape}")
        np.fill_diagonal(y, self.gain)
        return y


@register
@dataclass(frozen=True, repr=False, eq=False)
class FromArray(Initializer):
    """Given values.

    Parameters
    ----------
    array : array of finite real numbers
        Of the parameter's shape; cast to its dtype. It is copied.

    Raises
    ------
    TypeError, ValueError
        Not real numbers, or not finite; in :meth:`draw`, a parameter of another shape.

    Notes
    -----
    Files don't hold the array, since they hold the weights that it gave: in a loaded network
    this initializer has ``array=None``, and draws nothing.

    Examples
    --------
    >>> from fastnet.initializers import FromArray
    >>> FromArray([1, 2]).draw((2,), "float32", (0, 0))
    array([1., 2.], dtype=float32)
    """

    array: Any

    def __post_init__(self) -> None:
        if self.array is None:
            return
        array = np.array(self.array)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"an array as initializer must hold real numbers; got dtype {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError("an array as initializer must be finite; got one with NaN or Inf")
        array.setflags(write=False)
        set_fields(self, array=array)

    def draw(self, shape: Shape, dtype: DType, key: tuple[int, int] | None = None, fan_in: int | None = None,
             fan_out: int | None = None) -> Array:  # fmt: skip
        shape = checks.shape("shape", shape)
        if self.array is None:
            raise ValueError("the array of this initializer was not kept in the file that it was loaded from")
        if self.array.shape != shape:
            raise ValueError(f"an array as initializer must have the parameter's shape {shape}; got {self.array.shape}")
        with np.errstate(over="ignore"):
            y = np.array(self.array, checks.dtype_name("dtype", dtype), order="C")
        if not np.isfinite(y).all():
            raise ValueError(f"an array as initializer must be within the range of {y.dtype}; got one beyond it")
        return y

    def config(self) -> Any:
        """ "from_array", under which :func:`fastnet.initializers.get` gives one without an array."""
        return "from_array"

    def __repr__(self) -> str:
        if self.array is None:
            return "FromArray(None)"
        return f"FromArray(<{self.array.dtype} array of shape {self.array.shape}>)"
