"""Files as graphs. They may come from anywhere: nothing outside of the model's directory is read, and nothing is believed
that would take more memory than a multiple of the files' sizes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from fastnet import checks, files
from fastnet.io.onnx.importing.graph import Graph, Operation, UnsupportedError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

    from fastnet.types import Array, Path, Shape

__all__ = ["OLDEST_OPSET", "graph_of", "read"]

OLDEST_OPSET = 6  # Reshape has its shape as an input
FLOATS = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.FLOAT16: "float32",
          TensorProto.BFLOAT16: "float32"}  # fmt: skip
DOMAINS = ("", "ai.onnx")


def read(path: Path) -> tuple[ModelProto, dict[str, Array], int]:
    """The model of a file, the arrays that lie in files beside it, by name, and the bytes of all these files."""
    path = files.existing_file(path)
    model = onnx.ModelProto()
    with open(path, "rb") as file:
        content = file.read()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ValueError(f"{path} is not an ONNX file, or damaged or cut short") from None
    if not model.graph.node and not model.graph.input:
        raise ValueError(f"{path} is not an ONNX file: it has no graph")
    outside = [t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    try:
        arrays, size = _external(outside, os.path.dirname(os.path.realpath(path)))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None
    return model, arrays, len(content) + size


def _external(tensors: Iterable[TensorProto], directory: str) -> tuple[dict[str, Array], int]:
    """The arrays of tensors whose bytes lie in files of the directory."""
    sizes: dict[str, int] = {}
    arrays, total = {}, 0
    for tensor in tensors:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _inside(directory, entries.get("location", ""), tensor.name)
        sizes[file] = os.path.getsize(file)
        dtype = _dtype(tensor)
        length = math.prod(tensor.dims) * dtype.itemsize
        offset = _natural(entries.get("offset", "0"), tensor.name)
        stated = _natural(entries.get("length", str(length)), tensor.name)
        total += length
        if stated != length or offset + length > sizes[file]:
            raise ValueError(
                f"tensor {tensor.name!r} of shape {tuple(tensor.dims)} does not fit bytes {offset} to {offset + stated} of "
                f"{os.path.basename(file)}, which has {sizes[file]}"
            )
        if total > sum(sizes.values()):
            raise ValueError(f"tensor {tensor.name!r}: its file's bytes are those of other tensors already")
        with open(file, "rb") as handle:
            handle.seek(offset)
            arrays[tensor.name] = np.frombuffer(handle.read(length), dtype).reshape(tuple(tensor.dims))
    return arrays, sum(sizes.values())


def _inside(directory: str, location: str, name: str) -> str:
    """The file that a tensor names, if it lies in the model's directory."""
    if not location or os.path.isabs(location):
        raise ValueError(f"tensor {name!r} lies in {location!r}, which is not in the model's directory")
    return files.existing_file(files.check_inside(directory, location, f"tensor {name!r} lies in"))


def _natural(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"tensor {name!r}: {text!r} is no number of bytes")
    return int(text)


def _dtype(tensor: TensorProto) -> np.dtype:
    if any(size < 0 for size in tensor.dims):
        raise ValueError(f"tensor {tensor.name!r} has the shape {tuple(tensor.dims)}")
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).newbyteorder("<")
    except (KeyError, ValueError, TypeError):
        raise ValueError(f"tensor {tensor.name!r} has the unknown type {tensor.data_type}") from None


def graph_of(model: ModelProto, arrays: dict[str, Array] | None = None, *, size: int = 0, output: str | None = None,
             inputs: str | None = None, assumed: Iterable[str] = ()) -> Graph:  # fmt: skip
    """The graph of a model.

    Parameters
    ----------
    model : onnx.ModelProto
    arrays : dict of str to ndarray, optional
        Initializers that were read from other files; and, for tests of operators, inputs that are taken as constant.
    size : int
        Bytes of the files, which bounds what is computed of constants.
    output : str, optional
        The tensor that is the result: by default the graph's only output.
    inputs : str, optional
        The graph's input that is data, where there are several.
    assumed : names
        Those among `arrays` of which only the shape is known.
    """
    graph, arrays = model.graph, arrays or {}
    if graph.sparse_initializer:
        raise UnsupportedError("the graph has sparse initializers, which are not supported")
    constants = {t.name: arrays[t.name] if t.name in arrays else _array(t) for t in graph.initializer}
    constants |= {name: array for name, array in arrays.items() if name not in constants}
    data = [value for value in graph.input if value.name not in constants and inputs in (None, value.name)]
    if len(data) != 1:
        names = ", ".join(value.name for value in data) or "none"
        raise UnsupportedError(f"a network has one input; the graph has {len(data)} that are no constants: {names}")
    if not data[0].type.HasField("tensor_type") or not data[0].type.tensor_type.HasField("shape"):
        raise UnsupportedError(f"input {data[0].name!r} has no shape")
    kind = data[0].type.tensor_type.elem_type
    if kind not in FLOATS:
        raise UnsupportedError(f"input {data[0].name!r} has the type {_type_name(kind)}; a network takes floats")
    operations = [_operation(node) for node in graph.node]
    known = {value.name: _shape(value) for value in (*graph.output, *graph.value_info)}
    found = Graph(
        operations,
        constants,
        data[0].name,
        _shape(data[0]),
        _output(graph, operations, output),
        _opset(model),
        FLOATS[kind],
        frozenset(assumed),
        max(size, 1 << 16),
        {name: cast("Shape", shape) for name, shape in known.items() if None not in shape},
    )
    found.keep_needed()
    _check_order(found)
    return found


def _opset(model: ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    opset = versions[0] if versions else 1
    if opset < OLDEST_OPSET:
        raise UnsupportedError(
            f"the model has opset {opset}; from {OLDEST_OPSET} on they are supported: export it anew"
        )
    return opset


def _shape(value: ValueInfoProto) -> tuple[int | None, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in dims)


def _type_name(kind: int) -> str:
    return TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else str(kind)


def _array(tensor: TensorProto) -> Array:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise UnsupportedError(f"tensor {tensor.name!r} lies in another file; load the model from its file")
    _dtype(tensor)
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"tensor {tensor.name!r} is damaged: {error}") from None
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


def _operation(node: NodeProto) -> Operation:
    operator = node.op_type if node.domain in DOMAINS else f"{node.domain}.{node.op_type}"
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        try:
            value = helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ValueError(f"node {node.name!r} ({operator}): attribute {attribute.name!r}: {error}") from None
        if isinstance(value, TensorProto):
            value = _array(value)
        attributes[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return Operation(operator, node.name, list(node.input), list(node.output), attributes)


def _output(graph: GraphProto, operations: list[Operation], wanted: str | None) -> str:
    names = [value.name for value in graph.output]
    tensors = {name for operation in operations for name in operation.outputs if name}
    if wanted is not None:
        if wanted not in tensors:
            raise ValueError(f"output {wanted!r} is not a tensor of the graph{checks.nearest(wanted, sorted(tensors))}")
        return wanted
    if len(names) != 1:
        raise UnsupportedError(
            f"a network has one output; say which with output=: the graph has {', '.join(names) or 'none'}"
        )
    return names[0]


def _check_order(graph: Graph) -> None:
    """Each tensor has one origin, which comes before who reads it."""
    known = {graph.input, "", *graph.constants}
    for operation in graph.operations:
        missing = [name for name in operation.inputs if name not in known]
        if missing:
            raise ValueError(f"{operation.title()} reads {missing[0]!r}, which nothing before it computes")
        if not operation.outputs or known.intersection(filter(None, operation.outputs)):
            raise ValueError(f"{operation.title()} has no output of its own")
        known.update(operation.outputs)
    if graph.output not in known:
        raise ValueError(f"nothing computes the output {graph.output!r}")
