"""A recording: symbolic tensors, and the list of kernel calls on them.

Nothing is computed while recording. A tensor has a shape and a storage; a storage lies in
the workspace, at a place that the layout decides later, or in a memory that exists
already (parameters, gradients, optimizer state, the caller's arrays). Each call names the
tensors that it reads, writes and updates, so that passes can drop, fuse and place them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnet.native.arena import Block
    from fastnet.parameters import Parameter
    from fastnet.types import Array, Shape


class Memory:
    """A place that pointers lead into: `block` (fixed), or bound to an array before each run."""

    def __init__(self, name: str, block: Block | None = None) -> None:
        self.name = name
        self.block = block

    def array(self, dtype: Any, count: int = -1, offset: int = 0) -> Array:
        """What its block holds, as a flat array."""
        block: Any = self.block
        return np.frombuffer(block, dtype, count, offset)

    def __repr__(self) -> str:
        return f"<memory {self.name}>"


class Storage:
    """Bytes that tensors share: in a memory at an offset, or in the workspace."""

    __slots__ = ("alias", "memory", "nbytes", "offset")

    def __init__(self, nbytes: int, memory: Memory | None = None, offset: int = 0) -> None:
        self.nbytes = nbytes
        self.memory = memory
        self.offset = offset
        self.alias: Storage | None = None

    @property
    def root(self) -> Storage:
        """The storage whose bytes these are, after in-place calls have been joined."""
        storage = self
        while storage.alias is not None:
            storage = storage.alias
        return storage


class Tensor:
    """A value of a recording: shape, dtype, storage, and where in the storage it starts (bytes)."""

    __slots__ = ("dtype", "shape", "start", "storage")

    def __init__(self, shape: Shape, dtype: Any, storage: Storage, start: int = 0) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.storage = storage
        self.start = start

    @property
    def address(self) -> tuple[Memory | None, int]:
        """Memory (None: the workspace) and offset, once laid out."""
        root = self.storage.root
        return root.memory, root.offset + self.start

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """All axes but the last."""
        return math.prod(self.shape[:-1])

    @property
    def columns(self) -> int:
        return self.shape[-1]

    def reshape(self, shape: Shape) -> Tensor:
        """The same bytes under another shape."""
        view = Tensor(shape, self.dtype, self.storage, self.start)
        if view.size != self.size:
            raise ValueError(f"cannot see {self.shape} as {tuple(shape)}")
        return view

    def shifted(self, elements: int) -> Tensor:
        """The same tensor, seen from a later element on: a range of its last axis."""
        return Tensor(self.shape, self.dtype, self.storage, self.start + elements * self.dtype.itemsize)

    def __repr__(self) -> str:
        where = self.storage.memory.name if self.storage.memory else "workspace"
        return f"<tensor {self.shape} {self.dtype} in {where}>"


@dataclass
class Node:
    """One kernel call, or one call into Python (`function`)."""

    kernel: str
    reads: dict[Any, Tensor]
    writes: dict[Any, Tensor]
    numbers: dict[str, float] = field(default_factory=dict)
    updates: dict[str, Tensor] = field(default_factory=dict)  # read and written
    optional: tuple[str, ...] = ()  # writes that may be left out where nobody reads them
    in_place: tuple[str, str] | None = None  # (read, write) that may share bytes
    work: float = 0.0
    place: str = ""  # path of the layer, for errors
    function: Callable[[list[Array], list[Array]], object] | Any = None
    effects: bool = False  # does something that no tensor shows
    collective: bool = False  # other processes wait for it: it is called after a fault, too

    def tensors(self) -> list[Tensor]:
        """All that it names, each once."""
        return [*self.reads.values(), *self.writes.values(), *self.updates.values()]

    def inputs(self) -> list[Tensor]:
        return [*self.reads.values(), *self.updates.values()]

    def outputs(self) -> list[Tensor]:
        return [*self.writes.values(), *self.updates.values()]


def _present(fields: Any) -> dict[Any, Tensor]:
    return {name: tensor for name, tensor in fields.items() if tensor is not None} if fields else {}


class Recording:
    """Nodes in order, over tensors of one real dtype.

    `control` is the memory of the plan's control block; `marks` name places in the list.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[Node] = []
        self.marks: dict[str, int] = {}
        self.control = Memory("control")
        self.kept: list[Tensor] = []
        self.gradients: dict[Parameter, Tensor] = {}  # parameter -> tensor
        # Of a batch in pieces: where a piece's gradients go that don't go into their segment, and the statistics of its batch
        # norms, which are committed for all pieces together.
        self.gradient_homes: dict[Memory, tuple[Memory, int]] = {}
        self.piece_statistics: list[tuple[Any, Tensor, Tensor, int]] | None = None
        self.watched: list[tuple[Tensor, list[Node]]] = []  # what looks at a value as soon as it is there
        self.place = ""
        self._control_fields: dict[Any, Tensor] = {}
        self._commits: list[Node] = []
        self._written: set[Storage] = set()

    def tensor(self, shape: Shape, dtype: Any = None) -> Tensor:
        """A new tensor in the workspace."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        return Tensor(shape, dtype, Storage(math.prod(shape) * dtype.itemsize))

    def outside(self, memory: Memory, shape: Shape, dtype: Any = None, offset: int = 0) -> Tensor:
        """A tensor in a memory that exists already."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        return Tensor(shape, dtype, Storage(math.prod(shape) * dtype.itemsize, memory, offset))

    def control_field(self, offset: int = 0, shape: Shape = (1,), dtype: str = "float64") -> Tensor:
        """A part of the control block: the same tensor for all that ask for it, as most calls of a step do."""
        key = offset, shape, dtype
        if key not in self._control_fields:
            self._control_fields[key] = self.outside(self.control, shape, dtype, offset)
        return self._control_fields[key]

    def keep(self, tensor: Tensor) -> Tensor:
        """Mark a workspace tensor as a result: it is read after the run."""
        self.kept.append(tensor)
        return tensor

    def watch(self, tensor: Tensor, nodes: list[Node]) -> None:
        """Have calls look at a value, if there is one after all passes: it changes nothing about the other calls."""
        self.watched.append((tensor, nodes))

    def mark(self, name: str) -> None:
        self.marks[name] = len(self.nodes)

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Calls recorded inside belong to this layer."""
        before, self.place = self.place, place
        try:
            yield
        finally:
            self.place = before

    def call(self, kernel: str, *, reads: Any = None, writes: Any = None, updates: Any = None,
             optional: Sequence[str] = (), in_place: tuple[str, str] | None = None, work: float = 0.0,
             effects: bool = False, deferred: bool = False, **numbers: Any) -> Node:  # fmt: skip
        """Record one kernel call; fields map to tensors, None is left out.

        `work` is in multiply-adds (or elements moved, times four). A deferred call waits
        for `commit`: running statistics change only when the step has proved good.
        """
        node = Node(
            kernel,
            _present(reads),
            _present(writes),
            numbers,
            _present(updates),
            tuple(optional),
            in_place,
            work,
            self.place,
            effects=effects,
        )
        (self._commits if deferred else self.nodes).append(node)
        return node

    def python(self, function: Callable[..., Any], reads: Any, writes: Any, effects: bool = True,
               collective: bool = False) -> None:  # fmt: skip
        """Record a call into Python: `function(views of reads, views of writes)`, outside of the parallel region.

        After a fault in the step it isn't called, unless it is `collective`: then other processes wait for it.
        """
        numbered = dict(enumerate(reads)), dict(enumerate(writes))
        self.nodes.append(
            Node("python", *numbered, place=self.place, function=function, effects=effects, collective=collective)
        )

    def commit(self) -> None:
        """Record the calls that were deferred."""
        self.nodes.extend(self._commits)
        self._commits = []

    def first_write(self, tensor: Tensor) -> bool:
        """True the first time that it is asked for a tensor: that writer sets, the others add."""
        if tensor.storage in self._written:
            return False
        self._written.add(tensor.storage)
        return True
