"""The outputs of activations at which a unit is off, or its slope is so small that it hardly learns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fastnet.layers import Layer

__all__ = ["FLAT_SLOPE", "Ends", "activation_of", "ends_of"]

#: Of the greatest slope: an update moves a unit 20 times less there.
FLAT_SLOPE = 0.05

SELU_FLOOR = -1.7580993408473766


class Ends(NamedTuple):
    """Of an activation's outputs: at most `floor` means that a unit is off; at `low` and below, or `high` and above, it is flat."""

    floor: float
    low: float
    high: float

    @property
    def has_flat(self) -> bool:
        return math.isfinite(self.low) or math.isfinite(self.high)


def activation_of(layer: Layer) -> str:
    """The name of a layer's activation; "linear" if it has none."""
    return getattr(getattr(layer, "activation", None), "name", "linear")


def ends_of(activation: Any) -> Ends | None:
    """Those of an activation that has some.

    Slopes by outputs y: of sigmoid y (1 - y), of tanh 1 - y^2, of elu and selu below zero y - floor.
    """
    bend = 1 - FLAT_SLOPE
    match getattr(activation, "name", None):
        case "relu":
            return Ends(0.0, -math.inf, math.inf)
        case "relu6":
            return Ends(0.0, -math.inf, 6.0)
        case "sigmoid":
            end = (1 - math.sqrt(bend)) / 2
            return Ends(-math.inf, end, 1 - end)
        case "tanh":
            return Ends(-math.inf, -math.sqrt(bend), math.sqrt(bend))
        case "elu":
            # The slope above zero is 1.
            return Ends(-math.inf, min(FLAT_SLOPE * max(1.0, activation.alpha) - activation.alpha, 0.0), math.inf)
        case "selu":
            return Ends(-math.inf, bend * SELU_FLOOR, math.inf)
    return None
