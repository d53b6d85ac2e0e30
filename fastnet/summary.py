"""The table of a graph's layers: shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnet.allocation import in_bytes
from fastnet.graph import Graph

__all__ = ["summarize", "summarize_html"]

HEADINGS = ("layer", "type", "output", "parameters", "multiply-adds", "memory")
LEFT = 3  # columns of text; the others are numbers


def summarize(graph: Graph, dtype: str) -> str:
    """One line a layer, and the totals.

    Multiply-adds are those of the products and convolutions of one sample (of a direct sum, where Winograd's method needs
    fewer), forward; training takes three times as many. The memory is that of the layer's parameters and of its output
    for one sample.
    """
    rows, totals = _table(graph, dtype)
    rows = [HEADINGS, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([f"input {graph.input_shape}", lines[0], rule, *lines[1:], rule, totals])


def summarize_html(graph: Graph, dtype: str, title: str) -> str:
    """The same table for a notebook, under a title."""
    from fastnet import notebook

    rows, totals = _table(graph, dtype)
    table = notebook.table(HEADINGS, rows, LEFT)
    return notebook.block(notebook.lines(title), table, notebook.text(totals))


def _table(graph: Graph, dtype: str) -> tuple[list[Any], str]:
    """A row of texts for each layer, and the line of the totals."""
    itemsize = np.dtype(dtype).itemsize
    rows = []
    seen = set()
    multiply_adds = activations = 0
    for node in graph.nodes:
        layer = node.layer
        parameters = [] if id(layer) in seen else layer.parameters()
        count = "(shared)" if id(layer) in seen and layer.parameters() else f"{sum(p.size for p in parameters):,}"
        seen.add(id(layer))
        shapes = [graph.shape_of(name) for name in node.inputs]
        cost = layer.multiply_adds(shapes if layer.many_inputs else shapes[0], node.shape)
        output = math.prod(node.shape)
        size = (sum(p.size for p in parameters) + output) * itemsize
        multiply_adds += cost
        activations += output
        rows.append((node.name, type(layer).__name__, str(node.shape), count, f"{cost:,}", in_bytes(size)))
    return rows, _totals(graph, dtype, itemsize, multiply_adds, activations)


def _totals(graph: Graph, dtype: str, itemsize: int, multiply_adds: int, activations: int) -> str:
    learned = sum(p.size for p in graph.parameters.values() if p.trainable)
    frozen = learned - sum(p.size for p in graph.trainable_parameters())
    buffers = sum(p.size for p in graph.parameters.values() if not p.trainable)
    parts = [f"parameters {learned:,}" + (f" ({frozen:,} frozen)" if frozen else "")]
    if buffers:
        parts.append(f"buffers {buffers:,}")
    parts.append(f"{in_bytes((learned + buffers) * itemsize)} of {dtype}")
    return (
        f"{', '.join(parts)}; a sample: multiply-adds {multiply_adds:,}, activations {in_bytes(activations * itemsize)}"
    )
