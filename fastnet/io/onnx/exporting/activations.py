"""Activations as ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from fastnet.io.onnx.exporting.writer import FIRST, Value, Writer

__all__ = ["ACTIVATIONS", "activate"]

Write: TypeAlias = Callable[[Writer, Any, str, str, int], str]


def _simple(operator: str, **attributes: Any) -> Write:
    def write(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
        return writer.node(operator, [x], name=name, **attributes)

    return write


def _with_alpha(operator: str) -> Write:
    def write(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
        return writer.node(operator, [x], name=name, alpha=activation.alpha)

    return write


def _over_channels(operator: str) -> Write:
    def write(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
        return writer.node(operator, [x], name=name, axis=axis)

    return write


def _relu6(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
    return writer.node("Clip", [x, writer.number(0.0), writer.number(6.0)], name=name)


def _silu(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
    return writer.node("Mul", [x, writer.node("Sigmoid", [x], name=f"{name}.sigmoid")], name=name)


def _gelu(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
    if writer.opset >= 20:
        return writer.node("Gelu", [x], name=name)
    scaled = writer.node("Mul", [x, writer.number(math.sqrt(0.5))], name=f"{name}.scaled")
    return _half_of_one_plus(writer, x, writer.node("Erf", [scaled], name=f"{name}.erf"), name)


def _gelu_tanh(writer: Writer, activation: Any, x: str, name: str, axis: int) -> str:
    if writer.opset >= 20:
        return writer.node("Gelu", [x], name=name, approximate="tanh")
    cube = writer.node("Pow", [x, writer.number(3.0)], name=f"{name}.cube")
    small = writer.node("Mul", [writer.number(0.044715), cube], name=f"{name}.small")
    inner = writer.node("Add", [x, small], name=f"{name}.inner")
    scaled = writer.node("Mul", [writer.number(math.sqrt(2 / math.pi)), inner], name=f"{name}.scaled")
    return _half_of_one_plus(writer, x, writer.node("Tanh", [scaled], name=f"{name}.tanh"), name)


def _half_of_one_plus(writer: Writer, x: str, part: str, name: str) -> str:
    """x (1 + part) / 2."""
    whole = writer.node("Add", [part, writer.number(1.0)], name=f"{name}.plus_one")
    half = writer.node("Mul", [x, writer.number(0.5)], name=f"{name}.half")
    return writer.node("Mul", [half, whole], name=name)


#: Name of the activation -> function of (writer, activation, tensor, name of the result, axis of the channels).
ACTIVATIONS: dict[str, Write] = {
    "relu": _simple("Relu"),
    "leaky_relu": _with_alpha("LeakyRelu"),
    "elu": _with_alpha("Elu"),
    "selu": _simple("Selu"),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "softplus": _simple("Softplus"),
    "relu6": _relu6,
    "hard_swish": _simple("HardSwish"),
    "softmax": _over_channels("Softmax"),
    "log_softmax": _over_channels("LogSoftmax"),
}


def activate(writer: Writer, activation: Any, value: Value, name: str) -> Value:
    """The value behind an activation, in the layout that it has."""
    if activation.name == "linear":
        return value
    axis = 1 if value.layout == FIRST else -1
    return value.like(ACTIVATIONS[activation.name](writer, activation, value.tensor, name, axis))
