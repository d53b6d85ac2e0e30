"""Steps that have changed nothing, because their data, loss or gradients were bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnet.native.plan import ControlBlock
    from fastnet.recording import Program

__all__ = ["BAD_DATA", "BAD_GRADIENT", "BAD_LOSS", "Fault", "find_fault"]

# Status (native/abi.pxd) -> what a step's data was refused for
BAD_DATA = {
    1: "x or y has NaN or Inf",
    2: "y has a label outside of the classes",
    3: "the sample weights of a batch are negative, not finite, or all zero",
}
BAD_LOSS, BAD_GRADIENT = 4, 5


@dataclass(frozen=True)
class Fault:
    """A step whose loss or gradients were not finite: what, when, and the first layer with such a value, if one was found."""

    what: str
    step: int
    layer: str | None
    kernel: str | None

    def __str__(self) -> str:
        place = f": the first value that is not finite is in {self.layer!r} ({self.kernel})" if self.layer else ""
        return (
            f"{self.what} is not finite at step {self.step}{place}; no weight has changed. A smaller learning_rate or "
            "clip_norm may help"
        )


def find_fault(program: Program, control: ControlBlock) -> Fault:
    """Run the bad step again, looking at every result, to name the first layer."""
    what = "the loss" if control.status == BAD_LOSS else "a gradient"
    before = control.status, control.step, control.forward, control.cursor
    control.run_step = 0
    found = program.first_bad_place(stop="update")
    control.status, control.step, control.forward, control.cursor = before
    return Fault(what, control.step + 1, *(found or (None, None)))
