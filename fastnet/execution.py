"""Runs a graph on arrays: predictions, single forward and backward passes, activations."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import labels
from fastnet.allocation import shortage
from fastnet.graph import Graph
from fastnet.layers.base import is_numpy_layer
from fastnet.locks import NetworkLock
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace
from fastnet.recording.clock import Clock

if TYPE_CHECKING:
    from fastnet.types import ArrayLike

__all__ = ["Executor", "Programs"]

PREDICT_BATCH = 256


class Programs:
    """The programs last used, by key; all are dropped when a configuration has changed since."""

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._programs: OrderedDict[Any, Any] = OrderedDict()
        self._time = Clock.time

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        if self._time != Clock.time:
            self._programs.clear()
            self._time = Clock.time
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = make()
            if len(self._programs) > self.most:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(key)
        return program


class Pass:
    """A recorded pass over one batch size, with its input and output."""

    def __init__(self, executor: Executor, workspace: Workspace, control: ControlBlock, batch: int, training: bool,
                 names: Sequence[str] = ()) -> None:  # fmt: skip
        graph = executor.graph
        recording = Recording(executor.dtype)
        self.x = Memory("x")
        x = recording.outside(self.x, (batch, *graph.input_shape))
        with executor.lock.recording:
            self.y = recording.keep(graph.record_forward(recording, x, training, executor.seed))
            self.named = [recording.keep(graph.values[name]) for name in names]
            if training:
                recording.commit()
                recording.mark("backward")
                self.dy = Memory("dy")
                dy = recording.outside(self.dy, (batch, *graph.output_shape))
                self.dx = graph.record_backward(recording, dy)
                if self.dx is not None:
                    recording.keep(self.dx)
        self.program = Program(recording, workspace, control, f"a pass over {batch} samples")


class Predictions:
    """Programs and memory of one prediction at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.control = ControlBlock()
        self.programs = Programs()

    def run(self, executor: Executor, x: np.ndarray, names: Sequence[str] = ()) -> Pass:
        x = executor.as_inputs(x)
        n = len(x)
        run = self.programs.get((n, *names), lambda: Pass(executor, self.workspace, self.control, n, False, names))
        run.program.bind(run.x, x)
        run.program.run()
        return run


class Executor:
    """Owns the recordings of a graph outside of a Trainer.

    Predictions of several Python threads run at the same time, each with a `Predictions` of its own (a network with NumPy
    layers, whose objects all of them would use, does one at a time); all else is alone, under `lock`.
    `control.forward` counts the training forwards of the network's life.
    """

    def __init__(self, graph: Graph, dtype: str, seed: int) -> None:
        self.graph = graph
        self.dtype = dtype
        self.array_dtype = np.dtype(dtype)
        self.seed = seed
        self.lock = NetworkLock()
        self.control = ControlBlock()
        self.workspace = Workspace()
        self.training_workspace = Workspace()
        self.programs = Programs()
        self._free = [Predictions(self.workspace)]
        self._one_at_a_time = any(is_numpy_layer(node.layer) for node in graph.nodes)
        self._open: Pass | None = None  # the training forward that waits for its backward

    def _predict(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function with a `Predictions` that nobody else uses meanwhile."""
        if self._one_at_a_time:
            with self.lock:
                return function(self._free[0], self, *arguments)
        lock, mark = self.lock, object()
        try:
            lock.begin_prediction(mark)
            try:
                predictions = self._free.pop()
            except IndexError:
                predictions = Predictions(Workspace())
            try:
                return function(predictions, self, *arguments)
            finally:
                self._free.append(predictions)
        finally:
            lock.predicting.pop(mark, None)

    def predict(self, x: np.ndarray, batch_size: int | None, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of checked samples, a batch at a time."""
        y = self.empty_outputs(len(x)) if out is None else out
        return self._predict(_write_outputs, x, batch_size or PREDICT_BATCH, y)

    def as_inputs(self, x: np.ndarray) -> np.ndarray:
        """A batch of samples as the first layer reads them."""
        try:
            return np.ascontiguousarray(x, self.array_dtype)
        except MemoryError:
            size = x.size * self.array_dtype.itemsize
            raise shortage(size, f"{len(x):,} samples in {self.dtype}, the input of the network") from None

    def empty_outputs(self, n: int) -> np.ndarray:
        """An array for the outputs of so many samples."""
        shape = (n, *self.graph.output_shape)
        try:
            return np.empty(shape, self.array_dtype)
        except (MemoryError, ValueError):  # more than an array can have, to NumPy
            size = math.prod(shape) * self.array_dtype.itemsize
            raise shortage(size, f"the outputs of {n:,} samples, of layer {self.graph.output!r}") from None

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if len(x) == 0:
            return np.empty((0, *self.graph.output_shape), self.dtype)
        if not training:
            return self._predict(_output, x)
        with self.lock:
            x = self.as_inputs(x)
            run = self.programs.get(
                (len(x), "training"), lambda: Pass(self, self.training_workspace, self.control, len(x), True)
            )
            run.program.bind(run.x, x)
            self._open = None
            self.control.status = 0
            self.control.forward += 1
            try:
                run.program.run(stop="backward")
            except BaseException:
                self.control.forward -= 1
                raise
            self._open = run
            return run.program.view(run.y).copy()

    def backward(self, dy: ArrayLike) -> np.ndarray:
        with self.lock:
            run = self._open
            if run is None:
                raise RuntimeError("backward needs a forward(x, training=True) before it, each time")
            shape = (run.y.shape[0], *self.graph.output_shape)
            dy = labels.real_array("dy", dy)
            if dy.shape != shape:
                raise ValueError(f"dy must have the shape of the last forward's output, {shape}; got {dy.shape}")
            run.program.bind(run.dy, np.ascontiguousarray(dy, self.dtype))
            self.control.status = 0
            self._open = None
            self.control.weight = shape[0]  # regularizers per sample divide by it
            run.program.run(start="backward")
            self.control.status = 0
            if run.dx is None:
                return np.zeros((shape[0], *self.graph.input_shape), self.dtype)
            return run.program.view(run.dx).copy()

    def penalty(self, samples: float = 1) -> float:
        """What the graph's regularizers add to the loss of a batch of so many samples."""

        def make() -> Program:
            recording = Recording(self.dtype)
            self.graph.record_penalties(recording, gradients=False)
            return Program(recording, self.workspace, self.control, "the penalties")

        with self.lock:
            self.control.loss, self.control.weight, self.control.status = 0.0, samples, 0
            self.programs.get("penalty", make).run()
            return self.control.loss

    def activations(self, x: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        return self._predict(_activations, x, names)


def _write_outputs(predictions: Predictions, executor: Executor, x: np.ndarray, batch_size: int, y: np.ndarray) -> Any:
    for start in range(0, len(x), batch_size):
        run = predictions.run(executor, x[start : start + batch_size])
        y[start : start + batch_size] = run.program.view(run.y)
    return y


def _output(predictions: Predictions, executor: Executor, x: np.ndarray) -> np.ndarray:
    run = predictions.run(executor, x)
    return run.program.view(run.y).copy()


def _activations(predictions: Predictions, executor: Executor, x: np.ndarray, names: list[str]) -> Any:
    parts = []
    for start in range(0, len(x), PREDICT_BATCH):
        run = predictions.run(executor, x[start : start + PREDICT_BATCH], names)
        parts.append([run.program.view(tensor).copy() for tensor in run.named])
    if not parts:
        return {name: np.empty((0, *executor.graph.shape_of(name)), executor.dtype) for name in names}
    return {name: np.concatenate([p[i] for p in parts]) for i, name in enumerate(names)}
