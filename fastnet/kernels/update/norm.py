"""The norm of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.kernels.update.arrays import BLOCK, RANGE
from fastnet.native.plan import ControlBlock

if TYPE_CHECKING:
    from fastnet.types import ArrayLike

__all__ = ["gradient_norm"]


def gradient_norm(g: ArrayLike, *, clip_norm: float | None = None) -> tuple[float, float]:
    """The Euclidean norm of `g`, summed in double, and the factor that clips it.

    The factor is ``min(1, clip_norm / (norm + 1e-6))``, or 1 without `clip_norm` and where the norm is not finite.
    In float64 an element beyond 1.3e154 makes the norm infinite.

    Parameters
    ----------
    g : array_like
        Any shape; float32 or float64, other real numbers are taken as float32.
    clip_norm : float, optional
        Above 0.

    Returns
    -------
    norm, scale : float

    Raises
    ------
    TypeError, ValueError
        `g` is not an array of real numbers; `clip_norm` is not positive.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels.update import gradient_norm
    >>> norm, scale = gradient_norm(np.array([3.0, 4.0]), clip_norm=1.0)
    >>> norm, round(scale, 6)
    (5.0, 0.2)
    """
    g = call.real_array("g", g)
    clip_norm = 0.0 if clip_norm is None else checks.real_number("clip_norm", clip_norm, above=0)
    control, partials = ControlBlock(), np.empty(-(-g.size // BLOCK))
    dtype = call.REAL_NAMES[g.dtype]
    ranges = np.array([(0, g.size, 0, 0, 0.0, np.inf, 0.0, 1.0)], RANGE)
    call.run("squares", dtype, {"g": g, "ranges": ranges}, {"partials": partials}, {"n_ranges": 1}, 2 * g.size)
    numbers = {"n_ranges": 1, "each": 0, "clip_norm": clip_norm}
    call.run("clip", dtype, {"partials": partials}, {"ranges": ranges, "control": control.block}, numbers, 0)
    return control.gradient_norm, float(ranges["scale"][0])
