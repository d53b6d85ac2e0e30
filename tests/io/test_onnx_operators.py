"""Each operator that is read, made by hand, gives what onnx.reference gives."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import fastnet as fn  # noqa: E402
from fastnet.io import onnx_backend  # noqa: E402
from fastnet.io.onnx.importing.call import OPERATORS  # noqa: E402
from fastnet.io.onnx.importing.patterns import PSEUDO  # noqa: E402

ort = pytest.importorskip("onnxruntime")
errors = ort.capi.onnxruntime_pybind11_state
NO_KERNEL = errors.NotImplemented, errors.InvalidGraph, errors.Fail

RNG = np.random.default_rng(0)
IMAGE, SERIES, ROW = ("n", 4, 6, 7), ("n", 4, 9), ("n", 6)


def w(*shape):
    return RNG.normal(0.2, 0.6, shape).astype("float32")


def positive(*shape):
    return RNG.uniform(0.4, 2, shape).astype("float32")


def op(operator, *inputs, **attributes):
    """A node; None is the output of the node before, or the graph's input."""
    return operator, list(inputs), attributes


def model(nodes, shape, constants=None, opset=21, dtype=TensorProto.FLOAT):
    """A model from "input" to the last node's output; the i-th node's is "ti"."""
    made, last = [], "input"
    for i, (operator, inputs, attributes) in enumerate(nodes):
        inputs = [last if name is None else name for name in inputs]
        last = f"t{i}"
        made.append(helper.make_node(operator, inputs, [last], name=f"node_{i}", **attributes))
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(
        made, "graph", [helper.make_tensor_value_info("input", dtype, shape)],
        [helper.make_tensor_value_info(last, dtype, None)], weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def one(operator, shape, *constants, opset=21, **attributes):
    names = {f"c{i}": array for i, array in enumerate(constants) if array is not None}
    inputs = [None, *(f"c{i}" if array is not None else "" for i, array in enumerate(constants))]
    return model([(operator, inputs, attributes)], shape, names, opset)


def ints(*numbers):
    return np.array(numbers, np.int64)


def number(value):
    return np.float32(value)


SWAP = op("Transpose", None, perm=[0, 2, 1])
#: Name -> model.
CASES = {
    "Gemm": one("Gemm", ROW, w(6, 3), w(3)),
    "Gemm-transposed": one("Gemm", ROW, w(3, 6), w(1, 3), transB=1, alpha=0.5, beta=2.0),
    "Gemm-scalar": one("Gemm", ROW, w(6, 3), w(1)),
    "Gemm-alone": one("Gemm", ROW, w(6, 3)),
    "MatMul": one("MatMul", ("n", 5, 6), w(6, 3)),
    "MatMul-bias": model([op("MatMul", None, "w"), op("Add", "b", None)], ROW, {"w": w(6, 3), "b": w(3)}),
    "Conv": one("Conv", IMAGE, w(5, 4, 3, 2), w(5), strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    "Conv-groups": one("Conv", IMAGE, w(6, 2, 3, 3), group=2),
    "Conv-depthwise": one("Conv", IMAGE, w(8, 1, 3, 3), w(8), group=4),
    "Conv-upper": one("Conv", IMAGE, w(3, 4, 4, 2), auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv-lower": one("Conv", IMAGE, w(3, 4, 4, 2), auto_pad="SAME_LOWER", strides=[2, 2]),
    "Conv-valid": one("Conv", IMAGE, w(3, 4, 2, 2), auto_pad="VALID"),
    "Conv-series": one("Conv", SERIES, w(5, 4, 3), w(5), strides=[2], pads=[1, 2]),
    "ConvTranspose": one("ConvTranspose", IMAGE, w(4, 3, 3, 3), w(3), strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0]),
    "ConvTranspose-groups": one("ConvTranspose", IMAGE, w(4, 3, 2, 3), group=2, dilations=[2, 1]),
    "ConvTranspose-shape": one("ConvTranspose", IMAGE, w(4, 3, 3, 3), strides=[2, 2], output_shape=[12, 14]),
    "ConvTranspose-upper": one("ConvTranspose", IMAGE, w(4, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    "MaxPool": one("MaxPool", IMAGE, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 1]),
    "MaxPool-ceil": one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "MaxPool-upper": one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "MaxPool-series": one("MaxPool", SERIES, kernel_shape=[3], strides=[3]),
    "AveragePool": one("AveragePool", IMAGE, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 1]),
    "AveragePool-counted": one("AveragePool", IMAGE, kernel_shape=[3, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    "AveragePool-ceil": one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "AveragePool-series": one("AveragePool", SERIES, kernel_shape=[2]),
    "GlobalAveragePool": one("GlobalAveragePool", IMAGE),
    "GlobalAveragePool-series": one("GlobalAveragePool", SERIES),
    "GlobalMaxPool": one("GlobalMaxPool", IMAGE),
    "GlobalMaxPool-series": one("GlobalMaxPool", SERIES),
    "ReduceMean": one("ReduceMean", IMAGE, ints(2, 3), keepdims=0),
    "ReduceMean-old": one("ReduceMean", IMAGE, opset=13, axes=[-2, -1], keepdims=1),
    "ReduceMax": one("ReduceMax", SERIES, ints(2), keepdims=0),
    "ReduceMean-last": model([op("Transpose", None, perm=[0, 2, 3, 1]), op("ReduceMean", None, "a")], IMAGE, {"a": ints(1, 2)}),
    "BatchNormalization": one("BatchNormalization", IMAGE, w(4), w(4), w(4), positive(4), epsilon=0.01, momentum=0.7),
    "BatchNormalization-old": one("BatchNormalization", ROW, w(6), w(6), w(6), positive(6), opset=9),
    "LayerNormalization": one("LayerNormalization", ("n", 5, 6), w(6), w(6), epsilon=0.01),
    "LayerNormalization-whole": one("LayerNormalization", IMAGE, w(4, 6, 7), axis=1),
    "RMSNormalization": one("RMSNormalization", ("n", 5, 6), w(6), opset=23, epsilon=0.01),
    "InstanceNormalization": one("InstanceNormalization", IMAGE, w(4), w(4)),
    "GroupNormalization": one("GroupNormalization", IMAGE, w(4), w(4), num_groups=2),
    "Relu": one("Relu", IMAGE),
    "LeakyRelu": one("LeakyRelu", IMAGE, alpha=0.3),
    "Elu": one("Elu", ROW, alpha=0.6),
    "Celu": one("Celu", ROW),
    "Selu": one("Selu", ROW),
    "Gelu": one("Gelu", ROW),
    "Gelu-tanh": one("Gelu", ROW, approximate="tanh"),
    "Sigmoid": one("Sigmoid", ROW),
    "Tanh": one("Tanh", ROW),
    "Softplus": one("Softplus", ROW),
    "HardSwish": one("HardSwish", ROW),
    "Swish": one("Swish", ROW, opset=24),
    "Clip": one("Clip", IMAGE, number(0), number(6)),
    "Clip-low": one("Clip", IMAGE, number(0)),
    "Clip-open": one("Clip", IMAGE),
    "Clip-old": one("Clip", IMAGE, opset=6, min=0.0, max=6.0),
    "PRelu": one("PRelu", IMAGE, w(4, 1, 1)),
    "PRelu-shared": one("PRelu", IMAGE, w(1)),
    "PRelu-row": one("PRelu", ROW, w(6)),
    "Softmax": one("Softmax", IMAGE, axis=1),
    "Softmax-last": one("Softmax", ("n", 5, 6), axis=-1),
    "Softmax-old": one("Softmax", ROW, opset=11),
    "LogSoftmax": one("LogSoftmax", ROW),
    "Identity": one("Identity", IMAGE),
    "Cast": one("Cast", IMAGE, to=TensorProto.FLOAT),
    "Dropout": one("Dropout", IMAGE, number(0.3)),
    "Dropout-old": one("Dropout", IMAGE, opset=10, ratio=0.3),
    "Add": model([op("Relu", None), op("Add", None, "input")], IMAGE),
    "Add-constant": one("Add", IMAGE, w(4, 1, 1)),
    "Add-scalar": one("Add", IMAGE, number(0.3)),
    "Sum": model([op("Relu", None), op("Sum", None, "input", "input")], IMAGE),
    "Mul": model([op("Sigmoid", None), op("Relu", "input"), op("Mul", "t0", "t1")], IMAGE),
    "Mul-constant": one("Mul", IMAGE, w(1, 4, 1, 1)),
    "Mul-row": one("Mul", ROW, w(6)),
    "Mul-series": one("Mul", SERIES, w(4, 1)),
    "Mul-scalar": one("Mul", IMAGE, number(0.3)),
    "Mul-negative": one("Mul", IMAGE, number(-0.3)),
    "Mul-gate": model([op("GlobalAveragePool", "input"), op("Sigmoid", None), op("Mul", "input", None)], IMAGE),
    "Mul-gate-of-rows": model(
        [op("ReduceMean", None, "axis", keepdims=0), op("MatMul", None, "w"), op("Sigmoid", None), op("Unsqueeze", None, "axis"),
         op("Mul", None, "input"), op("LayerNormalization", None, "g")],
        ("n", 5, 6), {"axis": ints(1), "w": w(6, 6), "g": w(6)},
    ),
    "Unsqueeze-channel": model([op("Unsqueeze", None, "a"), op("Conv", None, "w")], ("n", 9), {"a": ints(1), "w": w(3, 1, 2)}),
    "Sub": one("Sub", IMAGE, w(4, 1, 1)),
    "Sub-from": model([op("Sub", "c", None)], ROW, {"c": w(6)}),
    "Div": one("Div", IMAGE, positive(4, 1, 1)),
    "Div-signed": one("Div", ROW, w(6)),
    "Normalized": model([op("Sub", None, "m"), op("Div", None, "s")], IMAGE, {"m": w(4, 1, 1), "s": positive(4, 1, 1)}),
    "Neg": one("Neg", ROW),
    "Concat": model([op("Relu", "input"), op("Concat", "input", None, axis=1)], IMAGE),
    "Concat-rows": model([op("Relu", "input"), op("Concat", "input", None, axis=-1)], ROW),
    "Flatten": one("Flatten", IMAGE),
    "Reshape-flat": one("Reshape", IMAGE, ints(-1, 168)),
    "Reshape-kept": one("Reshape", IMAGE, ints(0, 4, -1)),
    "Reshape-sequence": one("Reshape", ("n", 6, 4), ints(0, 3, 8)),
    "Reshape-wide": one("Reshape", ROW, ints(0, 2, 3)),
    "Squeeze": model([op("GlobalMaxPool", None), op("Squeeze", None, "a")], IMAGE, {"a": ints(2, 3)}),
    "Squeeze-all": one("Squeeze", ("n", 1, 4, 1)),
    "Squeeze-old": one("Squeeze", ("n", 4, 1, 6), opset=11, axes=[2]),
    "Unsqueeze": one("Unsqueeze", SERIES, ints(2)),
    "Unsqueeze-old": one("Unsqueeze", ("n", 5), opset=11, axes=[1, 3]),
    "Transpose": one("Transpose", IMAGE, perm=[0, 2, 3, 1]),
    "Transpose-twice": model([SWAP, op("MatMul", None, "w"), SWAP],
                             SERIES, {"w": w(4, 3)}),
    "Pad": one("Pad", IMAGE, ints(0, 0, 1, 2, 0, 0, 3, 0)),
    "Pad-axes": one("Pad", IMAGE, ints(1, 2), None, ints(3)),
    "Pad-reflect": one("Pad", IMAGE, ints(0, 0, 1, 2, 0, 0, 3, 0), mode="reflect"),
    "Pad-series": one("Pad", SERIES, ints(0, 0, 1, 0, 0, 3)),
    "Pad-cut": one("Pad", IMAGE, ints(0, 0, -1, 0, 0, 0, -2, -1)),
    "Pad-old": one("Pad", IMAGE, opset=9, pads=[0, 0, 1, 2, 0, 0, 3, 0]),
    "Slice": one("Slice", IMAGE, ints(1, 2), ints(2**63 - 1, -1), ints(2, 3)),
    "Slice-old": one("Slice", IMAGE, opset=9, starts=[1], ends=[5], axes=[2]),
    "Slice-series": one("Slice", SERIES, ints(1), ints(-2), ints(2)),
    "Resize": one("Resize", IMAGE, None, np.float32([1, 1, 2, 3]), coordinate_transformation_mode="asymmetric",
                  nearest_mode="floor"),
    "Resize-default": one("Resize", IMAGE, None, np.float32([1, 1, 3, 3])),
    "Resize-sizes": one("Resize", IMAGE, None, None, ints(1, 4, 12, 21), mode="linear"),
    "Resize-axes": one("Resize", IMAGE, None, np.float32([2, 2]), mode="linear", axes=[2, 3]),
    "Resize-old": one("Resize", IMAGE, np.float32([1, 1, 2, 3]), opset=10, mode="nearest"),
    "Upsample": one("Upsample", IMAGE, np.float32([1, 1, 2, 2]), opset=9, mode="nearest"),
}  # fmt: skip


def pattern(nodes, constants, shape=ROW):
    return model(nodes, shape, {name: np.float32(value) for name, value in constants.items()}, opset=13)


ROOT, SPREAD = np.sqrt(2), np.sqrt(2 / np.pi)
ERF = [op("Div", "input", "r"), op("Erf", None), op("Add", None, "one")]
CENTRED = [
    *(
        op("ReduceMean", "input", axes=[-1]),
        op("Sub", "input", None),
        op("Pow", None, "two"),
        op("ReduceMean", None, axes=[-1]),
    ),
    *(op("Add", None, "e"), op("Sqrt", None), op("Div", "t1", None)),
]
PATTERNS = {
    "silu": (pattern([op("Sigmoid", None), op("Mul", "input", None)], {}), fn.Activation),
    "hard_swish": (pattern([op("HardSigmoid", None, alpha=1 / 6, beta=0.5), op("Mul", None, "input")], {}), fn.Activation),
    "hard_swish-clip": (pattern([op("Add", None, "three"), op("Clip", None, "zero", "six"), op("Mul", "input", None),
                                  op("Div", None, "six")], {"three": 3, "zero": 0, "six": 6}), fn.Activation),
    "gelu": (pattern([*ERF, op("Mul", "input", None), op("Mul", None, "half")], {"r": ROOT, "one": 1, "half": 0.5}), fn.Activation),
    "gelu-half-first": (pattern([*ERF, op("Mul", "half", "input"), op("Mul", None, "t2")],
                                 {"r": ROOT, "one": 1, "half": 0.5}), fn.Activation),
    "gelu-tanh": (pattern([op("Pow", None, "cube"), op("Mul", None, "a"), op("Add", "input", None), op("Mul", None, "s"),
                            op("Tanh", None), op("Add", None, "one"), op("Mul", "input", "half"), op("Mul", None, "t5")],
                           {"cube": 3, "a": 0.044715, "s": SPREAD, "one": 1, "half": 0.5}), fn.Activation),
    "log_softmax": (pattern([op("Softmax", None, axis=-1), op("Log", None)], {}), fn.Activation),
    "layer_norm": (pattern([*CENTRED, op("Mul", None, "g"), op("Add", None, "b")],
                            {"two": 2, "e": 1e-3, "g": w(6), "b": w(6)}, ("n", 5, 6)), fn.LayerNorm),
    "rms_norm": (pattern([op("Mul", "input", "input"), op("ReduceMean", None, axes=[-1]), op("Add", None, "e"), op("Sqrt", None),
                           op("Div", "input", None), op("Mul", "g", None)], {"e": 1e-3, "g": w(6)}), fn.RMSNorm),
}  # fmt: skip
PATTERNS["group_norm"] = (
    model(
        [op("Reshape", None, "before"), op("InstanceNormalization", None, "ones", "zeros"), op("Shape", "input"),
         op("Reshape", "t1", None), op("Mul", None, "g"), op("Add", None, "b")],
        IMAGE,
        {"before": ints(0, 2, -1), "ones": np.ones(2, "f"), "zeros": np.zeros(2, "f"), "g": w(4, 1, 1), "b": w(4, 1, 1)},
    ),
    fn.GroupNorm,
)  # fmt: skip
PATTERNS["softplus"] = (
    pattern([op("Softplus", None), op("Greater", "input", "c"), op("Where", None, "input", "t0")], {"c": 20}),
    fn.Activation,
)


def expected_output(proto, x):
    """What onnxruntime gives, or for what it has no kernel onnx.reference."""
    try:
        session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    except NO_KERNEL:
        return ReferenceEvaluator(proto).run(None, {"input": x})[0]
    return session.run(None, {"input": x})[0]


def compare(proto, batch=3):
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    x = np.random.default_rng(1).normal(0.3, 2, (batch, *(dim.dim_value for dim in dims[1:]))).astype("float32")
    # The batch of Resize's sizes is written down.
    x = x[:1] if any(node.op_type == "Resize" and len(node.input) == 4 for node in proto.graph.node) else x
    expected = expected_output(proto, x)
    (found,) = onnx_backend.run_model(proto, [x])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", CASES)
def test_an_operator_gives_what_the_reference_gives(name):
    compare(CASES[name])


def test_old_sums_say_at_which_axis_a_constant_lies():
    constant, x = w(4), w(3, 4, 6, 7)
    (found,) = onnx_backend.run_model(one("Add", IMAGE, constant, opset=6, broadcast=1, axis=1), [x])
    np.testing.assert_allclose(found, x + constant[:, None, None], rtol=1e-6)


def test_a_scaler_of_scikit_learn_becomes_a_layer():
    proto = one("Scaler", ROW, offset=w(6).tolist(), scale=positive(6).tolist())
    proto.graph.node[0].domain = "ai.onnx.ml"
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    compare(proto)
    assert [type(layer) for layer in fn.io.onnx.load(proto).layers] == [fn.Normalize]


@pytest.mark.parametrize("name", PATTERNS)
def test_several_operators_become_one_layer(name):
    proto, kind = PATTERNS[name]
    compare(proto)
    net = fn.io.onnx.load(proto, seed=0)
    assert [type(layer) for layer in net.layers] == [kind]
    if kind is fn.Activation:
        assert net.layers[0].activation.name == name.replace("-clip", "").replace("-half-first", "").replace("-", "_")


#: What must not become part of the layer before, or of a pattern, since another reads it as it is.
READ_TWICE = {
    "activation": model([op("Gemm", None, "w"), op("Relu", None), op("Add", None, "t0")], ROW, {"w": w(6, 4)}),
    "activation-of-an-alias": model(
        [op("Gemm", None, "w"), op("Identity", None), op("Relu", None), op("Add", None, "t0")], ROW, {"w": w(6, 4)}
    ),
    "bias": model([op("MatMul", None, "w"), op("Add", None, "b"), op("Mul", None, "t0")], ROW, {"w": w(6, 4), "b": w(4)}),
    "pattern": model([op("Sigmoid", None), op("Mul", "input", None), op("Add", None, "t0")], ROW),
    "reshaped-back": model(
        [op("Conv", None, "w"), op("Flatten", None), op("Reshape", None, "s"), op("Relu", None), op("Flatten", None),
         op("Add", None, "t1"), op("Gemm", None, "v")],
        IMAGE, {"w": w(3, 4, 2, 2), "s": ints(0, 3, 5, 6), "v": w(90, 2)},
    ),
    "keep-dims": model(
        [op("GlobalMaxPool", None), op("Flatten", None), op("Mul", "input", "t0"), op("Flatten", None),
         op("Concat", None, "t1", axis=1), op("Gemm", None, "v")],
        IMAGE, {"v": w(172, 2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ_TWICE)
def test_what_another_reads_stays_as_it_is(name):
    compare(READ_TWICE[name])


def test_every_operator_has_a_case():
    tested = {node.op_type for proto in CASES.values() for node in proto.graph.node}
    assert set(OPERATORS) - set(PSEUDO) - tested == {"CastLike", "ai.onnx.ml.Scaler"}
