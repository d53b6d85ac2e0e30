"""An ONNX graph as it is read: operations in their order, and what is constant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Graph", "Operation", "UnsupportedError"]

SHARE = 16  # elements that may be worked on before the network is there, for each byte of the file


class UnsupportedError(ValueError):
    """What fastnet has no layer for; the message is a sentence about it."""


@dataclass
class Operation:
    """A node of the graph."""

    operator: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

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
    computed: int = 0  # elements that were worked on so far

    def __post_init__(self) -> None:
        self.count_uses()

    def spend(self, elements: int) -> None:
        """Count work on elements, of constants or of parts of rows, against what a file of this size may ask for."""
        self.computed += elements
        if self.computed > SHARE * self.largest:
            raise ValueError("what is computed of constants is too large for a file of this size")

    def leads_to(self, name: str, wanted: frozenset[str], through: frozenset[str]) -> bool:
        """Whether an operator in `wanted` is the first behind a tensor that is not in `through`.

        It is found for all tensors at once: many ask, and each may have a long way to go.
        """
        key = wanted, through
        if key not in self._leading:
            leading: set[str] = set()
            for operation in reversed(self.operations):
                passes = operation.operator in through and not leading.isdisjoint(operation.outputs)
                if operation.operator in wanted or passes:
                    leading.update(operation.inputs)
            self._leading[key] = leading
        return name in self._leading[key]

    def count_uses(self) -> None:
        """Who reads a tensor; again after the operations have changed."""
        self.readers: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in set(operation.inputs):
                self.readers.setdefault(name, []).append(operation)
        self.uses = Counter(name for operation in self.operations for name in operation.inputs if name)
        self.uses[self.output] += 1
        self._leading: dict[tuple[frozenset[str], frozenset[str]], set[str]] = {}

    def keep_needed(self) -> None:
        """Forget the operations that the output does not depend on."""
        needed, kept = {self.output}, []
        for operation in reversed(self.operations):
            if needed.intersection(operation.outputs):
                needed.update(operation.inputs)
                kept.append(operation)
        self.operations = kept[::-1]
        self.count_uses()
