"""Predictions on data that is not in memory: memory maps, and batches from iterators."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, labels
from fastnet.training.ahead import Ahead
from fastnet.training.batches import DEPTH, batch_items, inputs_of
from fastnet.training.mapped import BLOCK_BYTES, SLOTS, Rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from fastnet.execution import Executor
    from fastnet.network import Network
    from fastnet.types import Array

__all__ = ["predict_batches", "predict_mapped"]


def predict_mapped(executor: Executor, x: np.ndarray, batch_size: int, out: np.ndarray) -> np.ndarray:
    """Outputs of samples in a memory map, which a thread reads while others are computed."""
    together = max(1, BLOCK_BYTES // max(1, x[:1].nbytes * batch_size)) * batch_size
    with closing(Ahead(_blocks(Rows(x), len(x), together), SLOTS - 1, "rows")) as blocks:
        for start, block in blocks:
            executor.predict(block, batch_size, out[start : start + len(block)])
    return out


def _blocks(source: Rows, n: int, together: int) -> Iterator[tuple[int, Array]]:
    slots = [source.empty(min(together, n)) for _ in range(SLOTS)]
    for number, start in enumerate(range(0, n, together)):
        stop = min(start + together, n)
        block = slots[number % SLOTS][: stop - start]
        source.read(slice(start, stop), block)
        yield start, block


def predict_batches(net: Network, source: Any, batch_size: int | None, out: Any, prefetch: bool) -> np.ndarray:
    """Outputs of batches x, or (x, y) as for training, one below the other."""
    output = net.output_shape
    if out is not None and (not isinstance(out, np.ndarray) or out.shape[1:] != output or out.dtype != net.dtype):
        raise ValueError(
            f"out must be an array of shape (n, {', '.join(map(str, output))}) and dtype {net.dtype}; got "
            f"{checks.describe(out)}"
        )
    items = _inputs(net, batch_items("x", source), prefetch)
    parts, n = [], 0
    with closing(Ahead(items, DEPTH, "batches") if prefetch else items) as batches:
        for x in batches:
            found = net.executor.predict(x, batch_size)
            if out is None:
                parts.append(found)
            elif n + len(x) > len(out):
                raise ValueError(f"out has {len(out)} rows; x has given {n + len(x)} samples already")
            else:
                out[n : n + len(x)] = found
            n += len(x)
    if out is None:
        return np.concatenate(parts) if parts else np.empty((0, *output), net.dtype)
    if n < len(out):
        raise ValueError(f"out has {len(out)} rows; x gave {n} samples")
    return out


def _inputs(net: Network, items: Iterator[Any], prefetch: bool) -> Generator[Array, None, None]:
    for number, item in enumerate(items, 1):
        x = labels.check_inputs(f"x of batch {number}", inputs_of(item), net.input_shape, may_be_empty=True)
        yield np.array(x, order="C") if prefetch else x  # the source may use its array again
