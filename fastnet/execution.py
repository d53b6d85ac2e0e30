"""Runs a graph on arrays: predictions, single forward and backward passes, activations."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from fastnet import labels
from fastnet.graph import Graph
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace
from fastnet.recording.clock import Clock

__all__ = ["Executor", "Programs"]

PREDICT_BATCH = 256


class Programs:
    """The programs last used, by key; all are dropped when a configuration has changed since."""

    def __init__(self, most: int = 16):
        self.most = most
        self._programs: OrderedDict = OrderedDict()
        self._time = Clock.time

    def get(self, key, make):
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

    def __init__(self, executor: Executor, batch: int, training: bool, names=()):
        graph = executor.graph
        recording = Recording(executor.dtype)
        self.x = Memory("x")
        x = recording.outside(self.x, (batch, *graph.input_shape))
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
        workspace = executor.training_workspace if training else executor.workspace
        self.program = Program(recording, workspace, executor.control, f"a pass over {batch} samples")


class Executor:
    """Owns the recordings of a graph outside of a Trainer. Re-entrant under `lock`.

    `control.forward` counts the training forwards of the network's life.
    """

    def __init__(self, graph: Graph, dtype: str, seed: int):
        self.graph = graph
        self.dtype = dtype
        self.seed = seed
        self.lock = threading.RLock()
        self.control = ControlBlock()
        self.workspace = Workspace()
        self.training_workspace = Workspace()
        self.programs = Programs()
        self._open: Pass | None = None  # the training forward that waits for its backward

    def predict(self, x: np.ndarray, batch_size: int | None, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of checked samples, a batch at a time."""
        n = len(x)
        y = np.empty((n, *self.graph.output_shape), self.dtype) if out is None else out
        batch_size = batch_size or PREDICT_BATCH
        with self.lock:
            for start in range(0, n, batch_size):
                part = x[start : start + batch_size]
                y[start : start + batch_size] = self._forward(part, False)
        return y

    def _forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        """A view of the output in the workspace."""
        x = np.ascontiguousarray(x, self.dtype)
        run = self.programs.get((len(x), training), lambda: Pass(self, len(x), training))
        run.program.bind(run.x, x)
        if training:
            self._open = None
            self.control.forward += 1
            self.control.status = 0
            run.program.run(stop="backward")
            self._open = run
        else:
            run.program.run()
        return run.program.view(run.y)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if len(x) == 0:
            return np.empty((0, *self.graph.output_shape), self.dtype)
        with self.lock:
            return self._forward(x, training).copy()

    def backward(self, dy: np.ndarray) -> np.ndarray:
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
            run.program.run(start="backward")
            self.control.status = 0
            if run.dx is None:
                return np.zeros((shape[0], *self.graph.input_shape), self.dtype)
            return run.program.view(run.dx).copy()

    def penalty(self) -> float:
        """What the graph's regularizers add to the loss."""

        def make():
            recording = Recording(self.dtype)
            self.graph.record_penalties(recording, gradients=False)
            return Program(recording, self.workspace, self.control, "the penalties")

        with self.lock:
            self.control.loss, self.control.status = 0.0, 0
            self.programs.get("penalty", make).run()
            return self.control.loss

    def activations(self, x: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        with self.lock:
            parts = []
            for start in range(0, len(x), PREDICT_BATCH):
                part = np.ascontiguousarray(x[start : start + PREDICT_BATCH], self.dtype)
                n = len(part)
                run = self.programs.get((n, *names), lambda n=n: Pass(self, n, False, names))
                run.program.bind(run.x, part)
                run.program.run()
                parts.append([run.program.view(tensor).copy() for tensor in run.named])
            if not parts:
                return {name: np.empty((0, *self.graph.shape_of(name)), self.dtype) for name in names}
            return {name: np.concatenate([p[i] for p in parts]) for i, name in enumerate(names)}
