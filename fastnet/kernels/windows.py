"""How windows (of convolutions and pools) lie on the axes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from fastnet import checks

__all__ = ["Axis", "axes", "borders", "padding", "pair"]

PADDINGS = ("same", "valid")


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `kernel` taps, `dilation` apart, moving by `stride` over a padded input.

    ``before`` and ``after`` are the elements of padding; ``output`` is the number of windows.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    output: int

    @property
    def extent(self) -> int:
        """Elements from a window's first to its last tap."""
        return (self.kernel - 1) * self.dilation + 1


def pair(argument: str, value: Any, *, count: int = 2, least: int = 1) -> tuple[int, ...]:
    """A whole number for every axis, or one for each of the `count` axes."""
    if isinstance(value, (tuple, list)):
        if len(value) != count:
            raise ValueError(f"{argument} must be a whole number or {count} of them; got {value!r}")
        return tuple(checks.whole_number(argument, part, least=least) for part in value)
    return (checks.whole_number(argument, value, least=least),) * count


def padding(value: Any, count: int = 2) -> Literal["same", "valid"] | tuple[tuple[int, ...], ...]:
    """`padding` checked: "same", "valid", or (before, after) for each of the `count` axes.

    It is given as one of those, as a whole number, or as one for each axis.
    """
    if isinstance(value, str):
        return cast(Any, checks.choice("padding", value, PADDINGS))
    return borders("padding", value, count)


def borders(argument: str, value: Any, count: int = 2) -> tuple[tuple[int, ...], ...]:
    """(before, after) for each of the `count` axes, from that, a whole number, or one for each axis."""
    if isinstance(value, (tuple, list)):
        if len(value) == count and all(isinstance(part, (tuple, list)) for part in value):
            return tuple(pair(argument, part, least=0) for part in value)
        if count == 1 and len(value) == 2:
            return (pair(argument, value, least=0),)
    return tuple((n, n) for n in pair(argument, value, count=count, least=0))


def axes(sizes: Sequence[int], kernel: tuple[int, ...], stride: tuple[int, ...], padded: Any, dilation: tuple[int, ...],
         *, ceil: bool = False, argument: str = "kernel_size") -> tuple[Axis, ...]:  # fmt: skip
    """The windows along each axis of an image of these sizes.

    Parameters
    ----------
    sizes, kernel, stride, dilation : tuples of int
        One for each axis.
    padded : str or tuple of (int, int)
        What `padding` returned. "same" gives ceil(size / stride) windows; where its padding is odd the extra element is at
        the end. That is Keras', TensorFlow's and ONNX' (SAME_UPPER) rule; PyTorch, which has "same" for stride 1
        only, agrees there.
    ceil : bool
        Round the number of windows up: a last window may reach beyond the padding, if it starts before it.
    argument : str
        What the caller calls `kernel`, for the error.

    Raises
    ------
    ValueError
        A window is larger than the padded input.
    """
    result = []
    for i, size in enumerate(sizes):
        extent = (kernel[i] - 1) * dilation[i] + 1
        if padded == "same":
            output = -(-size // stride[i])
            total = max((output - 1) * stride[i] + extent - size, 0)
            before, after = total // 2, total - total // 2
        else:
            before, after = (0, 0) if padded == "valid" else padded[i]
            room = size + before + after - extent
            if room < 0:
                raise ValueError(
                    f"{argument} {tuple(kernel)}" + (f" with dilation {tuple(dilation)}" if max(dilation) > 1 else "")
                    + f" is larger than the padded input: axis {i} has {size} + {before} + {after} elements, the window "
                    f"needs {extent}; use padding='same', or a larger input"
                )  # fmt: skip
            output = (-(-room // stride[i]) if ceil else room // stride[i]) + 1
            if ceil and (output - 1) * stride[i] >= size + before:
                output -= 1
        result.append(Axis(size, kernel[i], stride[i], dilation[i], before, after, output))
    return tuple(result)
