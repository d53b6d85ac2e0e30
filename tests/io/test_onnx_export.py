"""Networks written as ONNX predict in onnxruntime what they predict in fastnet."""

import copy

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import fastnet as fn
import onnx_networks
from fastnet.io.onnx.exporting import layers as rules
from fastnet.io.onnx.exporting.activations import ACTIVATIONS
from fastnet.kernels import activation as kernels

ort = pytest.importorskip("onnxruntime")


def run(model, x):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def operators(model):
    return [node.op_type for node in model.graph.node]


def close(found, expected):
    scale = np.abs(expected).max() if expected.size else 1
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * max(scale, 1e-3))


@pytest.mark.parametrize("name", onnx_networks.CASES)
def test_predictions_are_equal_for_any_batch(name):
    net = onnx_networks.network(name)
    model = fn.io.onnx.to_model(net)
    for n in (1, 5):
        x = onnx_networks.batch(net, n)
        close(run(model, x), net.predict(x))
