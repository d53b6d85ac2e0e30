"""ONNX files, read by `fn.io.onnx.load`."""

from __future__ import annotations

import os
import random

import numpy as np
import onnx
from fuzz import harness
from fuzz.mutation import TEXTS, mutate_bytes, mutate_number
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper, numpy_helper

import fastnet as fn
from fastnet.io.onnx import to_model
from fastnet.io.onnx.importing.call import OPERATORS
from fastnet.io.onnx.importing.folding import FOLDED

KINDS = sorted({*OPERATORS, *FOLDED})
DICTIONARY = [name.encode() for name in KINDS]
PATH = os.path.join(harness.folder(), "model.onnx")
LARGEST = 1 << 16


def seeds() -> list[bytes]:
    found = [to_model(net).SerializeToString() for net in _networks()]
    return [*found, _computed_shapes()]


def _networks() -> list[fn.Network]:
    image = [
        fn.Conv2D(2, 3, padding="same", activation="relu"),
        fn.BatchNorm(),
        fn.MaxPool2D(2),
        fn.Flatten(),
        fn.Dense(2, activation="softmax"),
    ]
    row = [
        fn.Dense(3, activation="gelu"),
        fn.LayerNorm(),
        fn.Residual([fn.Dense(3), fn.PReLU()]),
        fn.Dropout(0.5),
        fn.Dense(1),
    ]
    return [fn.Network(image, input_shape=(4, 4, 1), seed=0), fn.Network(row, input_shape=(2,), seed=0)]


def _computed_shapes() -> bytes:
    """A graph that computes its shapes, and a weight, of constants, as exporters write them."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["r"]),
        helper.make_node("ConstantOfShape", ["sizes"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        helper.make_node("Range", ["start", "limit", "one"], ["range"]),
        helper.make_node("Expand", ["range", "sizes"], ["wide"]),
        helper.make_node("Mul", ["ones", "wide"], ["w"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    constants = {
        "zero": np.int64(0),
        "axes": np.int64([0]),
        "rest": np.int64([-1]),
        "sizes": np.int64([4, 3]),
        "start": np.float32(0),
        "limit": np.float32(3),
        "one": np.float32(1),
    }
    graph = helper.make_graph(
        nodes,
        "shapes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Other fields of the model's messages; of what is no model other bytes."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        if rng.random() < 0.1 or not model.graph.node:
            return mutate_bytes(rng, data)
        for _ in range(rng.choice([1, 1, 2, 4])):
            rng.choice([_mutate_field, _mutate_field, _mutate_node, _mutate_constant])(rng, model)
        changed = model.SerializeToString()
    except (DecodeError, UnicodeDecodeError):  # texts are decoded when they are looked at
        return mutate_bytes(rng, data)
    return changed if len(changed) < LARGEST else mutate_bytes(rng, data)


def _mutate_node(rng: random.Random, model: onnx.ModelProto) -> None:
    """Another operator, another input, a node more or less."""
    nodes = model.graph.node
    if not nodes:
        return
    names = [name for node in nodes for name in (*node.input, *node.output)] + [
        tensor.name for tensor in model.graph.initializer
    ]
    at = rng.randrange(len(nodes))
    node, kind = nodes[at], rng.randrange(5)
    if kind == 0:
        node.op_type = rng.choice(KINDS)
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 2:
        node.input.extend(rng.choice(names) for _ in range(rng.choice([1, 2, 20])))
    elif kind == 3:
        del nodes[at]
    elif node.output:
        _insert(rng, nodes, at, names)


def _insert(rng: random.Random, nodes, at: int, names: list[str]) -> None:
    """Nodes in the place where one was read, one behind the other."""
    last = nodes[at].output[0]
    inner = f"{last}.{rng.randrange(1 << 30)}"
    nodes[at].output[0] = inner
    later = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes[at + 1 :]]
    del nodes[at + 1 :]
    count = rng.choice([1, 1, 3, 12])
    operator = rng.choice(KINDS)
    for i in range(count):
        result = last if i == count - 1 else f"{inner}.{i}"
        second = rng.choice([[inner], [inner, inner], [inner, rng.choice(names)]])
        nodes.append(helper.make_node(operator, second, [result]))
        inner = result
    nodes.extend(later)


def _mutate_constant(rng: random.Random, model: onnx.ModelProto) -> None:
    """Another array in the place of an initializer."""
    tensors = model.graph.initializer
    if not tensors:
        return
    tensor = rng.choice(tensors)
    kind = rng.randrange(4)
    if kind == 0:
        values = [mutate_number(rng, 2) for _ in range(rng.choice([0, 1, 2, 4]))]
        array = np.array([value % 2**63 if value >= 0 else max(value, -(2**63)) for value in values], np.int64)
    elif kind == 1:
        array = np.array(rng.choice([0.0, 1.0, -1.0, np.nan, np.inf, 1e30]), rng.choice([np.float32, np.float64]))
    elif kind == 2:
        array = np.array([b"abc" * rng.choice([1, 100])] * rng.choice([1, 4]), object)
    else:
        array = np.ones(
            rng.choice([(), (1,), (2, 2), (4, 3), (0, 3), (3, 1, 3, 3), (64, 64)]),
            rng.choice([np.float32, np.int64, np.bool_, np.float16]),
        )
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def _mutate_field(rng: random.Random, message: Message) -> None:
    """Another value of a field somewhere in a message."""
    while True:
        fields = [(field, value) for field, value in message.ListFields()]
        if not fields:
            return
        field, value = rng.choice(fields)
        parts = list(value) if field.is_repeated else [value]
        if field.message_type is not None and parts and rng.random() < 0.85:
            message = rng.choice(parts)
            continue
        break
    if field.message_type is not None:
        if not field.is_repeated:
            message.ClearField(field.name)
        elif rng.random() < 0.5:
            del value[rng.randrange(len(value))]
        else:
            value.add().CopyFrom(rng.choice(parts))
        return
    if field.is_repeated:
        at = rng.randrange(len(value))
        if rng.random() < 0.3:
            del value[at]
        else:
            _set(lambda other: value.__setitem__(at, other), rng, value[at])
    else:
        _set(lambda other: setattr(message, field.name, other), rng, value)


def _set(assign, rng: random.Random, value) -> None:
    if isinstance(value, bytes):
        other = mutate_bytes(rng, value)
    elif isinstance(value, str):
        other = rng.choice([*TEXTS[:5], value + "1", value[:-1], *KINDS[:3]])
    elif isinstance(value, float):
        other = rng.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])
    else:
        other = rng.choice([mutate_number(rng, int(value)), rng.randrange(30)])
    try:
        assign(other)
    except (ValueError, TypeError):  # out of the field's range
        assign(type(value)())


def check(data: bytes) -> bool:
    return harness.load(fn.io.onnx.load, len(data), harness.write(PATH, data)) is not harness.REFUSED
