"""The scale of inputs: how large they are, how much their columns differ, from where on that is wrong, and what takes it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet.graph import INPUT
from fastnet.health.flat_ends import activation_of
from fastnet.layers import Normalize

if TYPE_CHECKING:
    from fastnet.graph import Graph, Node

__all__ = ["Scale", "first_scalings"]

# First weights are drawn for inputs of size 1. From inputs with a root mean square of 0.5 or 8 a dense network learns the digits in
# ten epochs of Adam to 95 %, from 31 to 91 %, from 124 (pixels from 0 to 255) to 90 %; plain gradient descent with a rate of
# 0.01 to 84, 95, 93 and 25 %.
LARGE, HUGE = 10, 30
# Of the greatest input, as also sparse or one-hot inputs have single values near 1. Adam comes to 81 % where it is 0.025, to 30 %
# where it is 0.0025.
SMALL, TINY = 0.03, 0.003
# Plain gradient descent needs about as many steps as the ratio of the greatest to the least curvature of the loss. Both a
# ratio of 100 between the columns' deviations and a mean 100 times its deviation make this ratio 10,000; 10 make it 100. With
# columns that differ by 3000 a network sees little but the large ones.
NOTABLE_RATIO, SLOW_RATIO, GREAT_RATIO = 10, 100, 3000


@dataclass(frozen=True)
class Scale:
    """Figures of some samples' columns (of images: channels).

    Attributes
    ----------
    mean, std : ndarray (columns,)
    rms, largest : float
        Root mean square and greatest size of all values.
    constant : ndarray of bool (columns,)
    dense : ndarray of bool (columns,)
        Neither constant nor sparse. Where more than half of a column's values are the same (a margin's pixels, counts,
        one-hot codes) its deviation says how rare the others are, not how large.
    """

    mean: np.ndarray
    std: np.ndarray
    rms: float
    largest: float
    constant: np.ndarray
    dense: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Scale:
        columns = x.reshape(-1, x.shape[-1] if x.ndim > 1 else 1).astype(np.float64)
        size = np.abs(columns).max(axis=0)
        mean, std = columns.mean(axis=0), columns.std(axis=0)
        constant = std <= 1e-6 * size  # a few units in the last place of float32 are no variation
        sparse = (columns == np.median(columns, axis=0)).mean(axis=0) > 0.5
        return cls(mean, std, float(np.sqrt(np.mean(columns**2))), float(size.max()), constant, ~sparse & ~constant)

    @property
    def ratio(self) -> float:
        """The greatest deviation over the smallest of a dense column."""
        return float(self.std.max() / self.std[self.dense].min()) if self.dense.any() else 1.0

    @property
    def is_large(self) -> bool:
        return self.rms > LARGE

    @property
    def severity_of_size(self) -> str | None:
        if self.is_large or 0 < self.largest < SMALL:
            return "problem" if self.rms > HUGE or self.largest < TINY else "warning"
        return None

    @property
    def severity_of_ratio(self) -> str | None:
        return "problem" if self.ratio > GREAT_RATIO else "warning" if self.ratio > SLOW_RATIO else None


def first_scalings(graph: Graph) -> list[Node]:
    """The nodes that scale the inputs, norm layers or `Normalize`, if each way from the input meets one before weights see it.

    Returns
    -------
    list of Node
        In the order of the network; empty where inputs reach weights, an activation or the output as they are.
    """
    found: dict[str, Node] = {}
    raw = {INPUT}
    for node in graph.nodes:  # an order in which inputs come first
        if raw.isdisjoint(node.inputs):
            continue
        layer = node.layer
        if layer.is_norm or isinstance(layer, Normalize):
            found[node.name] = node
        elif layer.parameters() or activation_of(layer) != "linear" or node.name == graph.output:
            return []
        else:
            raw.add(node.name)
    return list(found.values())
