"""A recording made ready: its plan, its memories, and the calls into Python between its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import config
from fastnet.allocation import allocate, largest
from fastnet.native.arena import GUARD_PAGES, Block
from fastnet.native.plan import Call, ControlBlock, Plan
from fastnet.recording import layout, passes
from fastnet.recording.recording import Memory, Node, Recording, Storage, Tensor

if TYPE_CHECKING:
    from fastnet.training.steps import Feed
    from fastnet.types import Array

# Multiply-adds from which an op is worth the barriers around it, and a whole program the start
# of a parallel region (docs/ARCHITECTURE.md, "Threads", has the measurements).
PARALLEL_OP = 100_000
PARALLEL_PROGRAM = 1_500_000


class Workspace:
    """The memory that the programs of one owner share: it grows to the largest need, and never shrinks."""

    def __init__(self) -> None:
        self.block = Block(0)

    def require(self, size: int, purpose: str, shares: Callable[[], dict[str, int]]) -> None:
        """Have at least `size` bytes; a MemoryError names the purpose, and the layer with the largest of the shares."""
        if self.block.size < size:
            self.block = allocate(size, purpose, lambda: f"{largest(shares(), 'layer')}; a smaller batch needs less")


class Program:
    """Runs a recording, as often as wanted.

    Parameters
    ----------
    recording : Recording
        It belongs to the program afterwards.
    workspace : Workspace
        Shared with other programs whose values need not live at the same time.
    control : ControlBlock
        The values that change from step to step.
    purpose : str
        What the program does, for an error about memory.
    """

    feed: Feed  # of a step: which arrays its samples come from

    def __init__(self, recording: Recording, workspace: Workspace, control: ControlBlock,
                 purpose: str = "a program") -> None:  # fmt: skip
        passes.eliminate(recording)
        passes.exchange(recording)
        passes.fold(recording)
        passes.fuse(recording)
        passes.collect(recording)
        passes.join_in_place(recording)
        passes.watch(recording)
        self.recording = recording
        self.workspace = workspace
        self.control = control
        recording.control.block = control.block
        dtype = recording.dtype.name
        calls: list[Call | None] = []
        shared: dict[int, Storage] = {}
        for index, node in enumerate(recording.nodes):
            if node.function is not None:
                calls.append(None)
                continue
            kernel = config.kernel(node.kernel, dtype)
            present = [*node.reads, *node.writes, *node.updates]
            if "shared" in kernel.pointers:
                present.append("shared")
            call = Call(kernel, present, node.numbers)
            if call.shared_bytes:
                shared[index] = Storage(call.shared_bytes)
            calls.append(call)
        self.shared = shared  # node -> working memory of its call
        self.workspace_bytes, guards = layout.lay_out(recording, shared), None
        if GUARD_PAGES:
            # Guards lie where this program has them: it has a workspace of its own.
            self.workspace = workspace = Workspace()
            self.workspace_bytes, guards = layout.lay_out_apart(recording, shared)
        workspace.require(self.workspace_bytes, purpose, lambda: layout.shares(recording, shared))
        if guards is not None:
            workspace.block.divide(guards)
        self._number_memories()
        self._build_plan(calls, shared)
        self._bound_block: Block | None = None
        self._arrays: dict[Memory, np.ndarray] = {}

    def _number_memories(self) -> None:
        """Memory 1 of the plan is the workspace; 2 and on are those that the nodes name."""
        self._indices: dict[Memory, int] = {}
        for node in self.recording.nodes:
            for tensor in node.tensors():
                memory = tensor.storage.memory
                if memory is not None and memory not in self._indices:
                    self._indices[memory] = len(self._indices) + 2

    def _build_plan(self, calls: Any, shared: Any) -> None:
        nodes = self.recording.nodes
        parallel = sum(node.work for node in nodes if node.work >= PARALLEL_OP) >= PARALLEL_PROGRAM
        self.plan = Plan(len(self._indices) + 1, self.control)
        # Parts: (first op, end of ops) or a node that calls Python; node -> number of ops before it.
        self._op_of_node = []
        for index, (node, call) in enumerate(zip(nodes, calls, strict=True)):
            self._op_of_node.append(len(self.plan))
            if call is None:
                continue
            fields = node.reads | node.writes | node.updates
            pointers = {name: self._pointer(*tensor.address) for name, tensor in fields.items()}
            if index in shared:
                pointers["shared"] = (1, shared[index].offset)
            self.plan.append(call, pointers, parallel and node.work >= PARALLEL_OP, node.work)
        self._op_of_node.append(len(self.plan))
        self._python_nodes = [i for i, node in enumerate(nodes) if node.function is not None]
        for memory, index in self._indices.items():
            if memory.block is not None:
                self.plan.bind(index, memory.block)

    def _pointer(self, memory: Memory | None, offset: int) -> tuple[int, int]:
        return (1 if memory is None else self._indices[memory], offset)

    def bind(self, memory: Memory, array: Array) -> None:
        """Lead a memory's pointers, if any call has one, to an array; most of a step's are bound since the step before."""
        if self._arrays.get(memory) is array:
            return
        index = self._indices.get(memory)
        if index is not None:
            self.plan.bind_buffer(index, array)
        self._arrays[memory] = array

    def _bind_workspace(self) -> None:
        block = self.workspace.block
        if block is not self._bound_block:
            self.plan.bind(1, block)
            self._bound_block = block

    def view(self, tensor: Tensor) -> np.ndarray:
        """A tensor's bytes as they are now; the view keeps its memory alive."""
        memory, offset = tensor.address
        if memory is not None and memory.block is None:
            return self._arrays[memory].reshape(tensor.shape)
        count = tensor.size
        if count == 0:
            return np.empty(tensor.shape, tensor.dtype)
        block: Any = self.workspace.block if memory is None else memory.block
        return np.frombuffer(block, tensor.dtype, count, offset).reshape(tensor.shape)

    def run(self, start: str | None = None, stop: str | None = None, n_steps: int = 1) -> None:
        """Replay from one mark to another, `n_steps` times or until the control's status is bad."""
        self._bind_workspace()
        if start is None and stop is None and not self._python_nodes:
            self.plan.run(n_steps)
            return
        marks = self.recording.marks
        first = 0 if start is None else marks[start]
        end = len(self.recording.nodes) if stop is None else marks[stop]
        for _ in range(n_steps):
            self._run_nodes(first, end)
            if self.control.status:
                return

    def replayable(self, memories: list[Memory]) -> tuple[Plan, list[int]] | None:
        """The plan, and which of its memories these are, if replaying it is all that `run` does.

        That holds as long as the workspace has the block that it has now.
        """
        self._bind_workspace()
        if self._python_nodes or any(memory not in self._indices for memory in memories):
            return None
        return self.plan, [self._indices[memory] for memory in memories]

    def _run_nodes(self, first: int, end: int) -> None:
        for index in self._python_nodes:
            if first <= index < end:
                self._run_ops(first, index)
                node = self.recording.nodes[index]
                if self.control.status == 0 or node.collective:
                    self._run_python(node)
                first = index + 1
        self._run_ops(first, end)

    def _run_ops(self, first: int, end: int) -> None:
        ops = self._op_of_node[first], self._op_of_node[end]
        if ops[0] < ops[1]:
            self.plan.run(1, *ops)

    def _run_python(self, node: Node) -> None:
        def views(tensors: dict[Any, Tensor], writeable: bool) -> list[Array]:
            arrays = []
            for tensor in tensors.values():
                array = self.view(tensor)
                array.flags.writeable = writeable
                arrays.append(array)
            return arrays

        node.function(views(node.reads, False), views(node.writes, True))

    def first_bad_place(self, stop: str | None = None) -> tuple[str, str] | None:
        """Replay call by call and look at every result: (layer, kernel) of the first that is not finite.

        Where other processes wait for calls, all of them are made.
        """
        end = len(self.recording.nodes) if stop is None else self.recording.marks[stop]
        alone = not any(node.collective for node in self.recording.nodes)
        found = None
        for index in range(end):
            node = self.recording.nodes[index]
            self.control.status = 0
            self._run_nodes(index, index + 1)
            for tensor in node.outputs():
                if found is None and tensor.dtype.kind == "f" and not np.isfinite(self.view(tensor)).all():
                    found = node.place, node.kernel
            if found is not None and alone:
                break
        return found
