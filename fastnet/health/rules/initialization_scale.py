"""First weights that are too large or too small for their layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.health.findings import Finding
from fastnet.health.rules.saturated_activation import SOME as SATURATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.health.evidence import Evidence, Hidden

#: Root mean square of a weight times sqrt(fan_in): 1.41 for He normal, 1 for LeCun, about 1 for Glorot, 0.58 for PyTorch's default.
#: Beyond the inner bounds each layer changes the scale of what passes by a factor of three or more, beyond the outer ones of ten.
SMALL, LARGE = 0.2, 4.5
TINY, HUGE = 0.06, 14.0


def find(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.beginning.fresh:
        return
    found = []
    for layer in evidence.layers:
        gain = evidence.beginning.gains.get(layer.name)
        # A norm behind takes the scale away; a last layer that starts small or at zero predicts all classes alike, which is fine.
        if gain is None or layer.normed or (layer.last and gain < LARGE) or gain == 0:
            continue
        if not SMALL < gain < LARGE:
            found.append((max(gain, 1 / gain), gain, layer))
    if not found:
        return
    _, gain, layer = max(found, key=lambda item: item[0])
    severe = not TINY < gain < HUGE or _saturates(evidence, layer)
    size = "large" if gain > 1 else "small"
    yield Finding(
        "initialization-scale", "problem" if severe else "warning", layer.name, 0, {"gain": gain, "layers": len(found)},
        f"The first weights of {layer.name!r} are too {size}: their root mean square times sqrt(fan_in) is {gain:.2g}, where "
        f"{1.41 if layer.activation in ('relu', 'leaky_relu', 'relu6') else 1.0:.2g} keeps the scale of what passes"
        f" ({layer.activation or 'no activation'} behind it){_others(len(found))}.",
        "Leave out init= (the default suits the activation), take he_normal for relu and glorot_uniform for tanh and sigmoid, or "
        "let data decide: fn.lsuv(net, x).",
    )  # fmt: skip


def _saturates(evidence: Evidence, layer: Hidden) -> bool:
    """Whether the layer's activation is at its flat ends from the start."""
    if layer.name not in evidence.table.names("activation"):
        return False
    return bool(evidence.table.series(layer.name, "activation").values["saturated"][0] > SATURATED)


def _others(n: int) -> str:
    return f"; {n} layers are like this" if n > 1 else ""
