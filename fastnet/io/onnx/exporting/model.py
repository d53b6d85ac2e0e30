"""Whole networks as ONNX models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import onnx
from onnx import TensorProto, helper

import fastnet
from fastnet import checks, files
from fastnet.graph import INPUT
from fastnet.io.onnx.exporting.activations import activate
from fastnet.io.onnx.exporting.layers import RULES, rule_for
from fastnet.io.onnx.exporting.writer import FIRST, LAST, Value, Writer
from fastnet.network import check_network

if TYPE_CHECKING:
    from fastnet.graph import Graph, Node
    from fastnet.network import Network
    from fastnet.types import DType, Path, Shape

__all__ = ["OLDEST_OPSET", "export", "to_model"]

OLDEST_OPSET = 18  # ReduceMean, Resize and Pad have their present inputs
OPSET = 21  # has Gelu and GroupNormalization; ONNX 1.16 and its contemporaries read it
LAYOUTS = ("nhwc", "nchw")
LARGEST = 2**31 - 1  # bytes, of what a protocol buffer can be
BATCH = "batch"


def export(net: Network, path: Path, *, probabilities: bool = False, layout: Literal["nhwc", "nchw"] = "nhwc",
           opset: int | None = None, dtype: DType | None = None, doc: str = "") -> None:  # fmt: skip
    """Write a network as an ONNX file for other programs to predict with.

    Dropout is left out and batch norms use their running statistics. The batch may have any size. The file is checked by
    ``onnx.checker`` before it is written, at once or not at all.

    Parameters
    ----------
    net : Network
        Of any layers but those written in NumPy.
    path : path
        Usually "....onnx".
    probabilities : bool, default False
        Append the softmax or sigmoid that `net.loss` says, so that the output is that of `predict_proba`.
    layout : {"nhwc", "nchw"}
        Of images (and sequences: "nhwc" has the channels last) at the model's input and output: "nhwc" as fastnet has
        them, "nchw" as other programs may.
    opset : int, optional
        Version of ONNX' operators, from 18; by default 21, which ONNX 1.16 (2024) introduced. Lower ones are
        read by older programs, higher ones say RMSNorm in one operator.
    dtype : {"float32", "float64"}, optional
        That of the network by default. (onnxruntime has no convolutions of float64.)
    doc : str, optional
        A description, which is kept in the file.

    Raises
    ------
    ValueError, TypeError
        A layer has no form in ONNX (its name is said), or an argument is out of its range. Nothing is written.
    OSError
        The file can't be written; an old one is whole.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import fastnet as fn
    >>> net = fn.models.lenet(input_shape=(28, 28, 1), classes=10, seed=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "lenet.onnx"
    >>> fn.io.onnx.export(net, path)
    >>> fn.io.onnx.load(path).output_shape
    (10,)
    """
    model = to_model(net, probabilities=probabilities, layout=layout, opset=opset, dtype=dtype, doc=doc)
    files.write_bytes(path, model.SerializeToString())


def to_model(net: Network, *, probabilities: bool = False, layout: Literal["nhwc", "nchw"] = "nhwc",
             opset: int | None = None, dtype: DType | None = None, doc: str = "") -> onnx.ModelProto:  # fmt: skip
    """The model that `export` writes, as an object of the package ``onnx``.

    Parameters
    ----------
    net, probabilities, layout, opset, dtype, doc
        As for `export`.

    Returns
    -------
    onnx.ModelProto
    """
    check_network(net)
    probabilities = checks.flag("probabilities", probabilities)
    channels = FIRST if checks.choice("layout", layout, LAYOUTS) == "nchw" else LAST
    opset = _checked_opset(opset)
    dtype = checks.dtype_name("dtype", net.dtype if dtype is None else dtype)
    if not isinstance(doc, str):
        raise TypeError(f"doc must be a text; got {checks.describe(doc)}")
    head = _head(net) if probabilities else None
    nodes = _needed(net.graph)
    _refuse_unknown(nodes)

    writer = Writer(opset, dtype)
    with net.lock:
        graph = _graph(net, nodes, writer, channels, head, doc)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        graph, opset_imports=opsets, producer_name="fastnet", producer_version=fastnet.__version__, doc_string=doc,
        ir_version=helper.find_min_ir_version_for(opsets),
    )  # fmt: skip
    helper.set_model_props(model, {"fastnet.layout": layout})
    if model.ByteSize() > LARGEST:
        raise ValueError(f"the model would have {model.ByteSize():,} bytes; an ONNX file has at most {LARGEST:,}")
    onnx.checker.check_model(model, full_check=True)
    return model


def _checked_opset(opset: int | None) -> int:
    newest = onnx.defs.onnx_opset_version()
    if opset is None:
        return min(OPSET, newest)
    opset = checks.whole_number("opset", opset, least=OLDEST_OPSET)
    if opset > newest:
        raise ValueError(f"opset must be at most {newest}, the newest that onnx {onnx.__version__} knows; got {opset}")
    return opset


def _head(net: Network) -> Any:
    """The activation that makes probabilities of the network's outputs."""
    from fastnet import activations

    if net.loss is None:
        raise ValueError("probabilities=True needs to know the loss: call fit first, or set net.loss")
    if net.loss.head is None:
        raise ValueError(f"probabilities=True: {net.loss!r} has no probabilities; leave it out")
    return activations.get(net.loss.head)


def _needed(graph: Graph) -> list[Node]:
    """The nodes that the output depends on, in their order."""
    needed, found = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
            found.append(node)
    return found[::-1]


def _refuse_unknown(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if rule_for(node.layer) is None:
            known = ", ".join(sorted(cls.__name__ for cls in RULES))
            raise ValueError(
                f"layer {node.name!r}: a {type(node.layer).__name__} can't be written as ONNX, since it computes in code of its "
                f"own; what can be written: {known}"
            )


def _graph(net: Network, nodes: Iterable[Node], writer: Writer, layout: str, head: Any, doc: str) -> Any:
    source, target = writer.unique("input"), writer.unique("output")
    values = {INPUT: _outside(net.input_shape, source, layout)}
    for node in nodes:
        inputs = [values[name] for name in node.inputs]
        rule = rule_for(node.layer)
        assert rule is not None, "an unknown layer was refused before"
        values[node.name] = rule(writer, node, inputs if node.layer.many_inputs else inputs[0])
    value = values[net.graph.output]
    if head is not None:
        value = activate(writer, head, value, "probabilities")
    # Only images have layouts at the outside; a row of features is always in fastnet's order.
    result = writer.layout(value, layout) if len(value.shape) > 1 else writer.last(value)
    if result == source:
        result = writer.node("Identity", [source], name="identity")
    for node in writer.nodes:
        node.output[:] = [target if name == result else name for name in node.output]
        node.input[:] = [target if name == result else name for name in node.input]
    kind = TensorProto.DOUBLE if writer.dtype.itemsize == 8 else TensorProto.FLOAT
    return helper.make_graph(
        writer.nodes,
        net.name or "network",
        [helper.make_tensor_value_info(source, kind, [BATCH, *_sizes(net.input_shape, layout)])],
        [helper.make_tensor_value_info(target, kind, [BATCH, *_sizes(value.shape, layout)])],
        writer.initializers(),
        doc_string=doc,
    )


def _outside(shape: Shape, tensor: str, layout: str) -> Value:
    """The model's input."""
    if len(shape) == 1:
        return Value(tuple(shape), {LAST: tensor, FIRST: tensor})
    return Value(tuple(shape), {layout: tensor})


def _sizes(shape: Shape, layout: str) -> tuple[int, ...]:
    return (shape[-1], *shape[:-1]) if layout == FIRST and len(shape) > 1 else tuple(shape)
