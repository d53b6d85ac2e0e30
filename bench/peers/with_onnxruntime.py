"""onnxruntime's side: a network of `bench.nets` as an ONNX model, and its predictions."""

from __future__ import annotations

import numpy as np

from bench.nets import EPSILON, Net
from bench.peers.channels import channels_first


def onnx_model(net: Net, batch: int) -> bytes:
    """In prediction, with fresh running statistics; of images (batch, channels, height, width)."""
    from onnx import TensorProto, helper, numpy_helper

    weights = iter(net.weights())
    nodes, constants = [], []

    def constant(value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"c{len(constants)}"))
        return constants[-1].name

    def node(operator, *inputs, **attributes):
        nodes.append(helper.make_node(operator, list(inputs), [f"n{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def run(layers, x, channels):
        flattened = None
        for kind, *given in layers:
            if kind == "residual":
                shortcut, _ = run(given[1], x, channels)
                x, channels = run(given[0], x, channels)
                x = node("Relu", node("Add", x, shortcut))
            elif kind == "pool":
                x = node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            elif kind == "global":
                x = node("Flatten", node("GlobalAveragePool", x))
            elif kind == "flatten":
                x, flattened = node("Flatten", x), channels
            elif kind == "norm":
                gamma, beta = next(weights), next(weights)
                values = (gamma, beta, np.zeros_like(gamma), np.ones_like(gamma))
                x = node("BatchNormalization", x, *map(constant, values), epsilon=EPSILON)
            elif kind == "dense":
                w = channels_first(next(weights), flattened)
                x, flattened = node("Gemm", x, constant(w), constant(next(weights)), transB=1), None
            else:
                channels, kernel, stride, padding, bias, _ = given
                operands = [constant(channels_first(next(weights), None))]
                operands += [constant(next(weights))] if bias else []
                geometry = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
                x = node("Conv", x, *operands, **geometry)
            if kind in ("norm", "conv", "dense") and given[-1]:
                x = node("Relu", x)
        return x, channels

    channels = net.input_shape[-1]
    last, _ = run(net.layers, "x", channels)
    of = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", of, [batch, channels, *net.input_shape[:-1]])],
        [helper.make_tensor_value_info(last, of, [batch, net.classes])], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


def predictor(net: Net, x: np.ndarray, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(onnx_model(net, len(x)), options, providers=["CPUExecutionProvider"])
    samples = {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)}
    return lambda: session.run(None, samples)[0]
