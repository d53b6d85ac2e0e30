"""One training step, and one evaluation step, as recordings: from the gather of a batch to the update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastnet import labels
from fastnet.kernels.batch import KINDS
from fastnet.native.arena import Block
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording
from fastnet.training.faults import BAD_GRADIENT
from fastnet.training.passes import ArrayPass
from fastnet.training.pieces import Pieces

if TYPE_CHECKING:
    from fastnet.augment import Augmentation
    from fastnet.datasets.images import Images
    from fastnet.execution import Executor
    from fastnet.graph import Graph
    from fastnet.labels import Targets
    from fastnet.losses import Loss
    from fastnet.metrics import Metric
    from fastnet.recording import Tensor
    from fastnet.training.passes import Pass
    from fastnet.training.trainer import Trainer
    from fastnet.types import Array, Figures, Shape

__all__ = ["Feed", "Probe", "Sums", "evaluation_step", "training_step"]


class Feed:
    """Where a step's samples come from: arrays, and the order in which they are gathered.

    Parameters
    ----------
    x : ndarray
        Checked samples; rows are contiguous.
    targets : labels.Targets
    weights : ndarray (n,) or None
    ordered : bool
        Whether an order (int64) is bound besides, else samples are taken as they lie.
    checked : bool
        Whether NaN, Inf and labels are looked for while gathering, because nobody has yet.
    augmentation : augment.Augmentation, optional
        How samples and targets are changed at random.
    images : datasets.Images, optional
        What decodes `x`, its bytes, while it is used.
    """

    names: tuple[str, str] = ("x", "y")  # in errors

    def __init__(self, x: Array, targets: Targets, weights: Array | None, *, ordered: bool, checked: bool,
                 augmentation: Augmentation | None = None, images: Images | None = None) -> None:  # fmt: skip
        self.x, self.targets, self.weights = x, targets, weights
        self.ordered, self.checked = ordered, checked
        self.augmentation = augmentation
        self.images = images
        self.memories = {name: Memory(name) for name in ("x", "y", "weights", "order")}

    @property
    def samples(self) -> int:
        return len(self.x)

    def begin(self, batch_size: int, order: Array | None = None, end: int | None = None, done: int = 0) -> Pass:
        """A pass over the samples, by default all of them, behind those that are done."""
        return ArrayPass(self, batch_size, order, len(self.x) if end is None else end, done)

    def batches(self, batch_size: int) -> Iterator[Array]:
        """The inputs of all whole batches, or of all samples where these are less than one."""
        n = len(self.x)
        for start in range(0, n - n % batch_size or n, batch_size):
            yield self.x[start : start + batch_size]

    def find_fault(self, batch: slice, rows: Sequence[int] | Array) -> str | None:
        """What is wrong with the values of a batch, whose samples have the numbers `rows` for the user."""
        targets = labels.Targets(self.targets.array[batch], self.targets.classes, self.targets.shape)
        return labels.find_fault(self.x[batch], targets, rows, self.names)

    @property
    def scale(self) -> float:
        """What samples are multiplied by while they are gathered."""
        return 1.0 if self.images is None else self.images.scale

    def key(self) -> tuple[Any, ...]:
        """What a recording depends on: forms, not contents."""
        augmentation = None if self.augmentation is None else self.augmentation.key()
        return self._forms, self.checked, augmentation, self.scale

    @cached_property
    def _forms(self) -> str:
        """A text, which is hashed once; a tuple would be for each run of steps."""
        x, y = self.x, self.targets.array
        return repr((
            x.dtype, x.shape[1:], x.strides[0], y.dtype, y.shape[1:], y.strides[0], self.targets.classes,
            None if self.weights is None else self.weights.strides[0], self.ordered,
        ))  # fmt: skip

    def record(self, recording: Recording, batch: int, start: int = 0,
               piece: int = 0) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
        """Record the gather of `batch` samples; returns x, target and weights as tensors.

        Of a batch in pieces `start` says where this one begins, and `piece` is its number.
        """
        augmentation = self.augmentation
        if augmentation is not None and augmentation.on_images:
            source = self._source(recording, "x", self.x, start)
            x = augmentation.record_gather(recording, source, (batch, *self.x.shape[1:]), piece,
                                           **self._numbers(self.x, self.checked, start, self.scale))  # fmt: skip
        else:
            x = self._gather(recording, "x", self.x, batch, self.x.shape[1:], self.checked, start, self.scale)
        if self.targets.is_labels:
            target = recording.tensor((batch,), np.int32)
            array = self.targets.array
            recording.call(
                "gather_labels", **self._source(recording, "y", array, start), writes={"y": target}, work=4 * batch,
                rows=batch, stride=_stride(array), kind=KINDS[array.dtype.name],
                classes=self.targets.classes, start=start,
            )  # fmt: skip
        else:
            target = self._gather(recording, "y", self.targets.array, batch, self.targets.shape, self.checked, start)
        weights = None
        if self.weights is not None:
            weights = self._gather(recording, "weights", self.weights, batch, (), self.checked, start)
        if augmentation is not None:
            return augmentation.record_mix(recording, x, target, self.targets.classes, weights, piece)
        return x, target, weights

    def _source(self, recording: Recording, name: str, array: Array, start: int) -> dict[str, Any]:
        source = recording.outside(self.memories[name], array.shape, array.dtype)
        order = recording.outside(self.memories["order"], (1,), np.int64, 8 * start) if self.ordered else None
        return {
            "reads": {"source": source, "order": order},
            "updates": {"control": recording.control_field()},
        }

    @staticmethod
    def _numbers(array: Array, check: bool, start: int, scale: float) -> dict[str, Any]:
        return {
            "stride": _stride(array),
            "kind": KINDS[array.dtype.name],
            "check": int(check),
            "start": start,  # where there is no order, which is shifted instead
            "scale": scale,
        }

    def _gather(self, recording: Recording, name: str, array: Array, batch: int, shape: Shape, check: bool, start: int,
                scale: float = 1.0) -> Tensor:  # fmt: skip
        y = recording.tensor((batch, *shape))
        recording.call(
            "gather", **self._source(recording, name, array, start), writes={"y": y}, work=4 * y.size,
            rows=batch, width=y.size // batch, **self._numbers(array, check, start, scale),
        )  # fmt: skip
        return y

    def bind(self, program: Program, order: Array | None = None) -> None:
        """Lead a program made from a feed of the same key to this feed's arrays."""
        memories = program.feed.memories
        program.bind(memories["x"], self.x)
        program.bind(memories["y"], self.targets.array)
        if self.weights is not None:
            program.bind(memories["weights"], self.weights)
        if order is not None:
            program.bind(memories["order"], order)


def _stride(array: np.ndarray) -> int:
    return array.strides[0] // array.itemsize


class Sums:
    """Running sums (float64) of the loss and of metrics, in one block; result() turns them into figures."""

    control: ControlBlock  # of an evaluation

    def __init__(self, metrics: Sequence[Metric], output_shape: Shape) -> None:
        self.metrics = metrics
        self.counts = [2, *(metric.n_sums(output_shape) for metric in metrics)]
        self.memory = Memory("sums", Block(8 * sum(self.counts)))
        self.array = self.memory.array(np.float64)

    def clear(self) -> None:
        self.array.fill(0)

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
               head: str | None) -> None:  # fmt: skip
        """Record the calls that add a batch's loss and metrics; they do nothing after a bad step."""
        self.record_loss(recording)
        self.record_metrics(recording, prediction, target, weights, head)

    def record_loss(self, recording: Recording) -> None:
        recording.call(
            "add_result",
            reads={"result": recording.control_field(ControlBlock.offset("loss"), shape=(2,)),
                   "control": recording.control_field()},
            updates={"totals": recording.outside(self.memory, (2,), np.float64)},
        )  # fmt: skip

    def record_metrics(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
                       head: str | None) -> None:  # fmt: skip
        start = 2
        for metric, count in zip(self.metrics, self.counts[1:], strict=True):
            sums = recording.outside(self.memory, (count,), np.float64, 8 * start)
            metric.record(recording, prediction, target, weights, sums, head)
            start += count

    def result(self) -> Figures:
        loss, weight = self.array.item(0), self.array.item(1)
        figures = {"loss": loss / weight if weight else float("nan")}
        start = 2
        for metric, count in zip(self.metrics, self.counts[1:], strict=True):
            figures[metric.name] = metric.result(self.array[start : start + count])
            start += count
        return figures


def record_checks(recording: Recording, graph: Graph) -> None:
    """Look for NaN and Inf in the gradients that no product has looked at while it wrote them."""
    checked = {
        tensor.storage
        for node in recording.nodes
        if node.kernel == "gemm" and "control" in node.updates
        for tensor in node.writes.values()
    }
    for parameter in graph.trainable_parameters():
        gradient = recording.gradients.get(parameter)
        if gradient is not None and gradient.storage not in checked:
            recording.call("check_finite", reads={"x": gradient}, updates={"control": recording.control_field()},
                           n=gradient.size, code=BAD_GRADIENT, work=gradient.size)  # fmt: skip


class Probe:
    """What looks at a step from inside: calls that are recorded into a program of its own, which is run for chosen steps.

    They may read what they want, and write memories of their own: a step with probes changes the network as one without.
    """

    def record_forward(self, recording: Recording, graph: Graph) -> None:
        """Behind the forward pass; `graph.values` has its values, which `Recording.watch` looks at."""

    def record_gradients(self, recording: Recording, graph: Graph) -> None:
        """Behind the backward pass, before the update."""

    def record_update(self, recording: Recording, graph: Graph) -> None:
        """Behind the update."""


def training_step(trainer: Trainer, feed: Feed, batch: int, probes: tuple[Probe, ...] = (),
                  shares: tuple[int, ...] | None = None) -> Program:  # fmt: skip
    """Gather, forward, loss, backward, update, running statistics, metrics.

    With `shares`, the samples that each rank has of the batch, what is between the gather and the update is in pieces.
    """
    graph, loss = trainer.net.graph, trainer.loss
    recording = Recording(trainer.net.dtype)
    parts = trainer.update.record_begin(recording, trainer.learning_rates)
    if shares is None:
        x, target, weights = feed.record(recording, batch)
        y = graph.record_forward(recording, x, True, trainer.net.seed)
        for probe in probes:
            probe.record_forward(recording, graph)
        with recording.at("loss"):
            dy = cast("Tensor", loss.record(recording, y, target, weights, gradient=True))
        graph.record_backward(recording, dy)
        outputs: list[tuple[Any, Any, Any]] = [(y, target, weights)]
    else:
        outputs = Pieces(trainer, recording, feed, shares).record(probes)
    record_checks(recording, graph)
    for probe in probes:
        probe.record_gradients(recording, graph)
    trainer.update.record(recording, parts, batch)
    for probe in probes:
        probe.record_update(recording, graph)
    recording.commit()
    with recording.at("metrics"):
        trainer.sums.record_loss(recording)
        for output in outputs:
            trainer.sums.record_metrics(recording, *output, loss.head)
    recording.call("step_end", updates={"control": recording.control_field()}, batch=batch)
    program = Program(recording, trainer.workspace, trainer.control, f"training with batches of {batch}")
    program.feed = feed
    return program


def evaluation_step(executor: Executor, loss: Loss, sums: Sums, feed: Feed, batch: int) -> Program:
    """Gather, forward, loss, metrics."""
    recording = Recording(executor.dtype)
    x, target, weights = feed.record(recording, batch)
    y = executor.graph.record_forward(recording, x, False, executor.seed)
    with recording.at("loss"):
        loss.record(recording, y, target, weights, gradient=False)
    executor.graph.record_penalties(recording, gradients=False)
    with recording.at("metrics"):
        sums.record(recording, y, target, weights, loss.head)
    recording.call("step_end", updates={"control": recording.control_field()}, batch=batch)
    program = Program(recording, executor.workspace, sums.control, f"evaluation with batches of {batch}")
    program.feed = feed
    return program
