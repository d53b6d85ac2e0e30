"""An ONNX graph as it is read: operations in their order, and what is constant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Graph", "Operation", "UnsupportedError"]


class UnsupportedError(ValueError):
    """What fastnet has no layer for; the message is a sentence about it."""


@dataclass
class Operation:
    """A node of the graph."""

    operator: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict = field(default_factory=dict)

    def title(self) -> str:
        return f"node {self.name or self.outputs[0]!r} ({self.operator})"

    def input(self, i: int) -> str:
        """The i-th input's name, "" where there is none."""
        return self.inputs[i] if i < len(self.inputs) else ""


@dataclass
class Graph:
    """Operations, each after those that it reads.

    ``constants`` are arrays by name; of those in ``assumed`` only the shape is known. ``shape`` is the input's, with None
    for sizes that are not fixed.
    """

    operations: list[Operation]
    constants: dict[str, np.ndarray]
    input: str
    shape: tuple[int | None, ...]
    output: str
    opset: int
    dtype: str = "float32"
    assumed: frozenset[str] = frozenset()
    largest: int = 1 << 16  # elements that a constant which is computed may have
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of tensors, where the file says them
    computed: int = 0  # elements of the constants that were computed so far

    def __post_init__(self):
        self.count_uses()

    def count_uses(self) -> None:
        """Who reads a tensor; again after the operations have changed."""
        self.readers: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in set(operation.inputs):
                self.readers.setdefault(name, []).append(operation)
        self.uses = Counter(name for operation in self.operations for name in operation.inputs if name)
        self.uses[self.output] += 1

    def keep_needed(self) -> None:
        """Forget the operations that the output does not depend on."""
        needed, kept = {self.output}, []
        for operation in reversed(self.operations):
            if needed.intersection(operation.outputs):
                needed.update(operation.inputs)
                kept.append(operation)
        self.operations = kept[::-1]
        self.count_uses()
