"""A backend for ``onnx.backend.test``: graphs are run by networks that are imported from them.

What is compatible is a graph that becomes a network. The tests of operators have no weights: all inputs but one are taken as
constants when the model is run, and before that only their shapes are known, so that a graph which depends on their numbers
(the bounds of a Clip, the widths of a Pad) is not compatible.

Examples
--------
>>> import numpy as np
>>> from onnx import helper
>>> from fastnet.io import onnx_backend
>>> node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
>>> onnx_backend.run_node(node, [np.float32([[-2, 4]])])
Outputs(y=array([[-1.,  4.]], dtype=float32))
"""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import fastnet.io.onnx  # noqa: F401  which says what to install where onnx is missing

# isort: split

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from fastnet import checks
from fastnet.io.onnx.importing.convert import Converted, convert
from fastnet.io.onnx.importing.convert import prepare as prepare_graph
from fastnet.io.onnx.importing.graph import UnsupportedError
from fastnet.io.onnx.importing.reader import graph_of

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto

    from fastnet.network import Network
    from fastnet.types import Array, Shape

__all__ = [
    "FastnetBackend", "NotCompatibleError", "PreparedNetwork", "is_compatible", "prepare", "run_model", "run_node",
    "supports_device",
]  # fmt: skip

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


#: The input that is data, what the model was converted to, and the network.
Prepared: TypeAlias = "tuple[str, Converted, Network]"


class NotCompatibleError(ValueError, unittest.SkipTest):
    """The model is none that fastnet can run; the tests of backends skip it."""


class PreparedNetwork(BackendRep):
    """A model that can be run.

    The network is kept for further runs with inputs of the same shapes, if the graph has one input.
    """

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._kept: tuple[Any, Prepared] | None = None

    def convert(self, inputs: Any = None) -> Prepared:
        """What the model becomes for these inputs, or as far as it is known without them."""
        if inputs is None:
            return _converted(self._model)
        arrays = self._by_name(inputs)
        key = tuple((name, array.shape) for name, array in arrays.items())
        if self._kept and self._kept[0] == key:
            return self._kept[1]
        found = _converted(self._model, arrays)
        if len(arrays) == 1:
            self._kept = key, found
        return found

    def _by_name(self, inputs: Any) -> dict[str, Array]:
        names = [value.name for value in _data(self._model)]
        inputs = [inputs] if isinstance(inputs, np.ndarray) else inputs
        arrays = dict(inputs) if isinstance(inputs, dict) else dict(zip(names, inputs, strict=False))
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"inputs are missing: {', '.join(missing)}")
        for name, array in arrays.items():
            if not isinstance(array, (np.ndarray, np.generic, TensorProto)):
                raise NotCompatibleError(f"input {name!r} is a {type(array).__name__}; it must be an array")
        return {name: _array(array) for name, array in arrays.items()}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The model's output, in a named tuple.

        Parameters
        ----------
        inputs : list of arrays in the order of the graph's inputs, dict of them by name, or one array
        """
        name, converted, net = self.convert(inputs)
        y = _to_graph(converted, net.predict(_from_graph(converted, self._by_name(inputs)[name])))
        return namedtupledict("Outputs", [self._model.graph.output[0].name])(y)


def _array(value: Any) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def _from_graph(converted: Converted, x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(np.argsort(converted.input.order)))


def _to_graph(converted: Converted, y: np.ndarray) -> np.ndarray:
    value = converted.output
    if value.parts is not None:
        y = y[:, value.places()]
    return np.ascontiguousarray(y.transpose(value.order))


def _data(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs that are no initializers."""
    constant = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constant]


def _converted(model: ModelProto, arrays: dict[str, Array] | None = None) -> Prepared:
    """The input that is data, what the model was converted to, and the network; the first input for which it can be done.

    Without arrays the constants' numbers are not known.
    """
    inputs = _data(model)
    errors: list[Exception] = []
    for value in inputs:
        if value.type.tensor_type.elem_type not in FLOATS:
            errors.append(UnsupportedError(f"input {value.name!r} is not of float32 or float64"))
            continue
        if model.graph.output and model.graph.output[0].type.tensor_type.elem_type not in (
            value.type.tensor_type.elem_type, TensorProto.UNDEFINED,
        ):  # fmt: skip
            errors.append(UnsupportedError(f"the output has another type than input {value.name!r}"))
            continue
        others = [other for other in inputs if other is not value]
        try:
            constants = {other.name: _assumed(other) if arrays is None else arrays[other.name] for other in others}
            graph = graph_of(
                model, constants, size=model.ByteSize(), inputs=value.name, assumed=constants if arrays is None else ()
            )
            if arrays is not None:
                graph.shape = arrays[value.name].shape
            prepare_graph(graph)
            converted = convert(graph)
            net = converted.builder.network(converted.input.shape, converted.output.node, graph.dtype, 0, None)
            return value.name, converted, net
        except (ValueError, TypeError) as error:
            errors.append(error)
    raise NotCompatibleError(str(errors[0]) if errors else "the graph has no input")


def _assumed(value: ValueInfoProto) -> Array:
    """An array for an input of which only the shape is known: it takes no memory."""
    kind = value.type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if not value.type.HasField("tensor_type") or any(not dim.HasField("dim_value") for dim in kind.shape.dim):
        raise UnsupportedError(f"input {value.name!r} has no fixed shape")
    return np.broadcast_to(np.ones((), helper.tensor_dtype_to_np_dtype(kind.elem_type)), sizes)


class FastnetBackend(Backend):
    """The interface that ``onnx.backend`` describes."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the model can be run, by all that is known before; ``inputs=`` makes those of a run known."""
        try:
            cls.prepare(model, device, **kwargs)
        except NotCompatibleError:
            return False
        return True

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> PreparedNetwork:
        """A model made ready to run.

        Parameters
        ----------
        model : onnx.ModelProto
        device : str
        inputs : optional
            Those of the first run, as `PreparedNetwork.run` takes them: what the graph does with them is known then.

        Raises
        ------
        NotCompatibleError
            It has something that fastnet has no layer for.
        """
        if not cls.supports_device(device):
            raise NotCompatibleError(f"device {device!r} is not supported; 'CPU' is")
        if not isinstance(model, ModelProto):
            raise TypeError(f"model must be an onnx.ModelProto; got {checks.describe(model)}")
        prepared = PreparedNetwork(model)
        prepared.convert(kwargs.get("inputs"))
        return prepared

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of a model."""
        return cls.prepare(model, device, **{**kwargs, "inputs": inputs}).run(inputs)

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, Shape]] | None = None, **kwargs: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """The outputs of one operator; ``opset_version=`` says of which version."""
        super().run_node(node, inputs, device, outputs_info, **kwargs)
        names = [name for name in node.input if name]
        arrays = {name: np.asarray(array) for name, array in zip(names, inputs, strict=True)}
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in arrays.items()
        ]
        outputs = [helper.make_tensor_value_info(node.output[0], infos[0].type.tensor_type.elem_type, None)]
        graph = helper.make_graph([node], "node", infos, outputs)
        opset = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        return PreparedNetwork(model).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """CPU alone."""
        return str(device).partition(":")[0] == "CPU"


is_compatible = FastnetBackend.is_compatible
prepare = FastnetBackend.prepare
run_model = FastnetBackend.run_model
run_node = FastnetBackend.run_node
supports_device = FastnetBackend.supports_device
