"""Gradients against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks, losses
from fastnet.network import Network

if TYPE_CHECKING:
    from fastnet.parameters import Parameter
    from fastnet.types import Array, ArrayLike, LossLike

__all__ = ["GradientCheck", "check_gradients"]

ENTRIES = 40  # of each array that are compared


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` found.

    Attributes
    ----------
    ok : bool
        No error is above the tolerance.
    errors : dict of str to float
        Greatest error of each parameter and of "x", relative to the greatest slope of that array (but at
        least to a ten-thousandth of the greatest of all, so that gradients that are zero count as right).
    worst : str
        The name with the greatest error.
    """

    ok: bool
    errors: dict[str, float]
    worst: str

    def __bool__(self) -> bool:
        return self.ok


def check_gradients(net: Network, x: ArrayLike, y: ArrayLike, *, loss: LossLike, step: float = 1e-5,
                    tolerance: float = 1e-5) -> GradientCheck:  # fmt: skip
    """Compare the gradients of a loss, by backpropagation, with central differences.

    The check works on a float64 copy; the network is as before. Dropout keeps one mask. Where a kink (relu at
    0) lies within a step of an entry the difference is wrong, not the gradient: take other data.

    Parameters
    ----------
    net : Network
    x, y : arrays
        A small batch.
    loss : str or Loss
    step : float, default 1e-5
        By which entries are moved up and down.
    tolerance : float, default 1e-5
        Greatest relative error that is still ok.

    Returns
    -------
    GradientCheck

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(3, activation="tanh"), fn.Dense(2)], input_shape=(4,), seed=1)
    >>> x = np.random.default_rng(0).normal(size=(5, 4))
    >>> fn.check_gradients(net, x, np.array([0, 1, 1, 0, 1]), loss="softmax_cross_entropy").ok
    True
    """
    loss = losses.get(loss)
    step = checks.real_number("step", step, above=0)
    tolerance = checks.real_number("tolerance", tolerance, above=0)
    double = _in_float64(net)
    x = np.array(x, np.float64)
    count = double.executor.control.forward

    def value(x: Array) -> float:
        double.executor.control.forward = count
        return loss.value(double.forward(x, training=True), y)

    double.executor.control.forward = count
    _, dy = loss.gradient(double.forward(x, training=True), y)
    dx = double.backward(dy)
    frozen = {id(p) for p in double.parameters()} - {id(p) for p in double.graph.trainable_parameters()}
    slopes = {}
    for parameter in double.parameters():
        if id(parameter) in frozen:
            continue
        gradient = parameter.grad.copy()
        original = parameter.value.copy()

        def moved(flat: Array, parameter: Parameter = parameter, original: Array = original) -> float:
            parameter.assign(flat.reshape(original.shape))
            return value(x)

        slopes[parameter.name] = _slopes(original, gradient, moved, step)
        parameter.assign(original)
    slopes["x"] = _slopes(x, dx, lambda flat: value(flat.reshape(x.shape)), step)
    greatest = {name: max(np.abs(a).max(), np.abs(b).max()) for name, (a, b) in slopes.items()}
    least = 1e-4 * max(greatest.values()) or 1.0
    errors = {name: float(np.abs(a - b).max() / max(greatest[name], least)) for name, (a, b) in slopes.items()}
    worst = max(errors, key=errors.__getitem__)
    return GradientCheck(errors[worst] <= tolerance, errors, worst)


def _in_float64(net: Network) -> Network:
    double = net.copy()
    state = double.__getstate__()
    output, input_shape, _, seed, name = state["settings"]
    state["settings"] = output, input_shape, "float64", seed, name
    other = Network.__new__(Network)
    other.__setstate__(state)
    return other


def _slopes(array: Array, gradient: Array, value_at: Callable[[Array], float], step: float) -> tuple[Array, Array]:
    """Central differences at some entries spread evenly, and the gradient there."""
    flat = array.ravel().copy()
    entries = np.unique(np.linspace(0, flat.size - 1, min(ENTRIES, flat.size)).astype(int))
    slopes = []
    for i in entries:
        kept = flat[i]
        h = step * max(1.0, abs(kept))
        flat[i] = kept + h
        above = value_at(flat)
        flat[i] = kept - h
        below = value_at(flat)
        flat[i] = kept
        slopes.append((above - below) / (2 * h))
    return np.array(slopes), gradient.ravel()[entries]
