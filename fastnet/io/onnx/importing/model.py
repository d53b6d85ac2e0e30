"""Networks from ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import onnx

from fastnet import checks, files
from fastnet.io.onnx.importing.convert import convert, prepare
from fastnet.io.onnx.importing.graph import Graph, UnsupportedError
from fastnet.io.onnx.importing.reader import graph_of, read
from fastnet.io.onnx.importing.values import Value, channels_first, identity

if TYPE_CHECKING:
    from onnx import ModelProto

    from fastnet.network import Network
    from fastnet.types import Array, DType, Path, Sizes

__all__ = ["load"]

LAYOUTS = ("nhwc", "nchw")
HEADS = ("Softmax", "LogSoftmax", "Sigmoid")


def load(path: Path | ModelProto, *, logits: bool = False, layout: Literal["nhwc", "nchw"] | None = None,
         input_shape: Sizes | None = None, output: str | None = None, dtype: DType | None = None,
         seed: int | None = None, name: str | None = None) -> Network:  # fmt: skip
    """Read an ONNX file as a network that can be trained on.

    Images are (batch, height, width, channels) in the network, and sequences (batch, length, channels), wherever the file has
    the channels: weights are arranged for it, Transpose nodes go, and the rows of a `Dense` behind a `Flatten` are
    put in the order of the network's pixels. Activations become part of the layers before them. Where weights are called
    "fc.weight" the layer is called "fc".

    Parameters
    ----------
    path : path, or onnx.ModelProto
        Nothing outside of the file's directory is read, and no code is run.
    logits : bool, default False
        Leave out a softmax or sigmoid at the end, so that the network can be trained with a cross-entropy.
    layout : {"nhwc", "nchw"}, optional
        Of the file's input, where it has several axes. By default what fastnet wrote into the file, or what its first
        operators say.
    input_shape : tuple of int, optional
        One sample's, as the network shall have it, where the file leaves sizes open.
    output : str, optional
        The tensor that is the result, which need not be an output of the graph; by default its only output.
    dtype : {"float32", "float64"}, optional
        By default that of the file's input.
    seed : int, optional
        Of the network, for what is random in training.
    name : str, optional

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        The file is damaged, or has something that fastnet has no layer for: the node, its operator and the reason are said.
    OSError
        There is no such file, or it can't be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.digits()
    >>> layers = [fn.Conv2D(4, 3, activation="relu"), fn.Flatten(), fn.Dense(10)]
    >>> net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "digits.onnx"
    >>> fn.io.onnx.export(net, path)
    >>> other = fn.io.onnx.load(path)
    >>> bool(np.array_equal(other.predict(x), net.predict(x)))
    True
    >>> history = other.fit(x, y, loss="softmax_cross_entropy", verbose=0)
    """
    logits = checks.flag("logits", logits)
    if layout is not None:
        checks.choice("layout", layout, LAYOUTS)
    input_shape = None if input_shape is None else checks.shape("input_shape", input_shape)
    dtype = None if dtype is None else checks.dtype_name("dtype", dtype)
    if output is not None and not isinstance(output, str):
        raise TypeError(f"output must be the name of a tensor; got {checks.describe(output)}")
    arrays: dict[str, Array] = {}
    if isinstance(path, onnx.ModelProto):
        model, size, where = path, path.ByteSize(), "the model"
    else:
        model, arrays, size = read(path)
        where = str(path)
    with files.taken_up(f"{where} can't be loaded as a network"):
        graph = graph_of(model, arrays, size=size, output=output)
        if logits:
            _leave_out_head(graph)
        prepare(graph)
        converted = convert(graph, _orders(graph, layout or _stated_layout(model)), input_shape)
        _check_output(converted.output)
        return converted.builder.network(converted.input.shape, converted.output.node, dtype or graph.dtype, seed, name)


def _stated_layout(model: ModelProto) -> str | None:
    """What fastnet wrote into a file of its own."""
    layouts = [entry.value for entry in model.metadata_props if entry.key == "fastnet.layout"]
    return layouts[0] if layouts and layouts[0] in LAYOUTS else None


def _orders(graph: Graph, layout: str | None) -> list[tuple[int, ...]] | None:
    rank = len(graph.shape)
    if layout is None:
        return None
    return [channels_first(rank) if layout == "nchw" and rank > 2 else identity(rank)]


def _leave_out_head(graph: Graph) -> None:
    origin = {name: operation for operation in graph.operations for name in operation.outputs}
    last = origin.get(graph.output)
    while last is not None and last.operator == "Identity":
        last = origin.get(last.inputs[0])
    if last is not None and last.operator in HEADS:
        graph.output = last.inputs[0]
        graph.keep_needed()


def _check_output(value: Value) -> None:
    if value.parts is not None:
        raise UnsupportedError(
            "the output is an image that was flattened with the channels first; fastnet has them last, so its features would be in "
            "another order: choose the tensor before it with output="
        )
    if value.order[0] != 0:
        raise UnsupportedError("the output does not have the batch as its first axis")
