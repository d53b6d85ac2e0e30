"""Losses in scikit-learn's units: summed over the outputs, as alpha, tol and the loss curves take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

from fastnet import labels, losses
from fastnet.losses import RESULT
from fastnet.native.arena import Block
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace

if TYPE_CHECKING:
    from fastnet.recording import Tensor
    from fastnet.types import Array, Shape

__all__ = ["Objective", "SetLoss"]


class Objective(losses.Loss):
    """A loss whose figure and gradient are those of another one, each times a factor.

    fastnet's losses are means over the outputs. scikit-learn adds the gradients of the outputs up, and so the figures of its
    cross-entropy and Poisson loss; its squared error is the mean over the outputs, of halves.

    The gradient is scaled in the step. The figure is scaled when it is reported: `data_loss` is the mean of the samples' losses
    without penalties since `clear`, and `reported` makes of a figure with penalties what scikit-learn would say.

    Parameters
    ----------
    loss : Loss
        What `net.loss` is, too: the network is saved with it.
    figure_factor, gradient_factor : float
    """

    def __init__(self, loss: losses.Loss, figure_factor: float = 1.0, gradient_factor: float = 1.0) -> None:
        self.loss, self.head = loss, loss.head
        self.figure_factor, self.gradient_factor = figure_factor, gradient_factor
        self.offset = 0.0
        self.memory = Memory("data losses", Block(16))
        self.sums = self.memory.array(np.float64)

    def takes_labels(self, y: Array, output_shape: Shape) -> bool:
        return self.loss.takes_labels(y, output_shape)

    def check_output(self, output_shape: Shape) -> None:
        self.loss.check_output(output_shape)

    def config(self) -> dict[str, Any]:
        return {"loss": self.loss, "figure_factor": self.figure_factor, "gradient_factor": self.gradient_factor}

    def __reduce__(self) -> tuple[Any, ...]:
        return Objective, (self.loss, self.figure_factor, self.gradient_factor)

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
               gradient: bool) -> Tensor | None:  # fmt: skip
        dy = self.loss.record(recording, prediction, target, weights, gradient)
        recording.call(
            "add_result",
            reads={"result": recording.control_field(RESULT, shape=(2,)), "control": recording.control_field()},
            updates={"totals": recording.outside(self.memory, (2,), np.float64)},
        )
        if dy is None or self.gradient_factor == 1:
            return dy
        scaled = recording.tensor(dy.shape)
        recording.call("scale", reads={"x": dy}, writes={"y": scaled}, in_place=("x", "y"), work=4 * dy.size, n=dy.size,
                       factor=self.gradient_factor)  # fmt: skip
        return scaled

    def clear(self) -> None:
        self.sums.fill(0)

    @property
    def data_loss(self) -> float:
        return float(self.sums[0] / self.sums[1])

    def reported(self, figure: float) -> float:
        """An epoch's loss with penalties, in scikit-learn's units."""
        return figure + (self.figure_factor - 1) * self.data_loss + self.offset

    def set_offset(self, y: Array, sample_weight: Array | None) -> None:
        """For the samples that are trained on."""
        self.offset = deviance_offset(self.loss, y, sample_weight)


class SetLoss:
    """The loss of one set of samples by the outputs for them, without penalties, in scikit-learn's units: recorded once."""

    def __init__(self, objective: Objective, outputs: Array, y: Array, sample_weight: Array | None) -> None:
        loss, dtype = objective.loss, outputs.dtype.name
        self.factor, self.offset = objective.figure_factor, deviance_offset(loss, y, sample_weight)
        arrays = {"outputs": outputs, "targets": labels.cast(labels.form_of(loss, y, outputs.shape[1:]), dtype)}
        if sample_weight is not None:
            arrays["weights"] = labels.weights(sample_weight, len(outputs), dtype)
        self.memories = {name: Memory(name) for name in arrays}
        recording, self.control = Recording(dtype), ControlBlock()
        tensors = {name: recording.outside(self.memories[name], a.shape, a.dtype) for name, a in arrays.items()}
        loss.record(recording, tensors["outputs"], tensors["targets"], tensors.get("weights"), gradient=False)
        self.program = Program(recording, Workspace(), self.control, "the loss of a set")
        for name, array in arrays.items():
            self.program.bind(self.memories[name], array)

    def __call__(self, outputs: Array) -> float:
        self.program.bind(self.memories["outputs"], outputs)
        self.control.begin(0)
        self.program.run()
        return self.factor * self.control.loss + self.offset


def deviance_offset(loss: losses.Loss, y: Array, sample_weight: Array | None) -> float:
    """What half of the Poisson deviance has more than exp(z) - y z: it depends on the targets alone."""
    if not isinstance(loss, losses.Poisson):
        return 0.0
    return float(np.average(xlogy(y, y) - y, weights=sample_weight, axis=0).sum())
