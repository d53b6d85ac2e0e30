"""The backend for onnx.backend.test: what is compatible passes, and the page on coverage says what is."""

import re
import unittest
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnx_networks  # noqa: E402
from onnx import helper  # noqa: E402
from script_loading import load_script  # noqa: E402

import fastnet as fn  # noqa: E402
from fastnet.io import onnx_backend  # noqa: E402
from fastnet.io.onnx.exporting.layers import RULES  # noqa: E402
from fastnet.io.onnx.importing.reader import OLDEST_OPSET  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def coverage():
    return load_script("make_onnx_coverage")


@pytest.fixture(scope="module")
def found(coverage):
    """The outcome of all tests; one that is compatible and fails raises."""
    return coverage.outcomes()


def test_what_is_compatible_passes(found):
    by_kind = {kind: [result for _, _, result in rows if result] for kind, rows in found.items()}
    assert len(by_kind["node"]) > 120
    assert len(by_kind["pytorch-converted"]) > 50
    assert len(by_kind["pytorch-operator"]) > 10


def opset_of(model):
    return max((entry.version for entry in model.opset_import if entry.domain == ""), default=1)


def test_the_page_says_what_is_covered(coverage, found):
    text = coverage.PAGE.read_text(encoding="utf-8")
    if f"with onnx {onnx.__version__};" in text:
        assert text == coverage.page(found)
        return
    # Another onnx has other tests: those that the page names must pass, if they have operators of today.
    for kind, title in coverage.KINDS.items():
        section = text.partition(f"### {title}\n")[2].partition("\n###")[0]
        promised = set(re.findall(r"`(\w+)`", section))
        failed = {name.removeprefix("test_") for name, _, result in found[kind] if not result}
        old = {
            case.name.removeprefix("test_")
            for case in coverage.cases(kind)
            if opset_of(coverage.model_of(case)) < OLDEST_OPSET
        }
        assert not (promised & failed) - old


def test_every_layer_is_on_the_page(coverage):
    assert set(coverage.EXAMPLES) == set(RULES)


def test_the_runner_of_onnx_passes_or_skips_every_test(coverage, found, monkeypatch):
    from onnx.backend.test import BackendTest

    # Without those that would be fetched from the net.
    monkeypatch.setattr(
        "onnx.backend.test.runner.load_model_tests", lambda kind: coverage.cases(kind) if kind in found else []
    )
    monkeypatch.setattr("sys.argv", ["pytest"])
    cases = BackendTest(onnx_backend.FastnetBackend, __name__).exclude("_cuda").test_cases
    names = {
        "node": "Node",
        "simple": "Simple",
        "pytorch-converted": "PyTorchConverted",
        "pytorch-operator": "PyTorchOperator",
    }
    for kind, name in names.items():
        result = unittest.TestResult()
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(cases[f"OnnxBackend{name}ModelTest"])
        count = suite.countTestCases()  # CPython 3.12.1's testsRun leaves out what is skipped
        suite.run(result)
        assert not result.failures and not result.errors
        if kind == "node":  # of others it says that what is not compatible has passed
            passed = count - len(result.skipped)
            assert passed == sum(outcome == "model" for _, _, outcome in found[kind])


# The interface


def test_a_model_can_be_run_again_and_with_other_batches():
    net = onnx_networks.network("conv")
    model = fn.io.onnx.to_model(net)
    assert onnx_backend.is_compatible(model)
    prepared = onnx_backend.prepare(model)
    for n in (1, 5, 5):
        x = onnx_networks.batch(net, n)
        (y,) = prepared.run([x])
        np.testing.assert_array_equal(y, net.predict(x))
        np.testing.assert_array_equal(prepared.run({"input": x})[0], y)
        np.testing.assert_array_equal(prepared.run(x)[0], y)
    with pytest.raises(ValueError, match="inputs are missing: input"):
        prepared.run([])


def test_images_keep_the_layout_of_the_graph():
    w = np.random.default_rng(0).normal(size=(5, 3, 2, 2)).astype("float32")
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 7)).astype("float32")
    (y,) = onnx_backend.run_node(helper.make_node("Conv", ["x", "w"], ["y"]), [x, w])
    assert y.shape == (2, 5, 5, 6)
    (flat,) = onnx_backend.run_node(helper.make_node("Flatten", ["x"], ["y"]), [x])
    np.testing.assert_array_equal(flat, x.reshape(2, -1))
    (moved,) = onnx_backend.run_node(helper.make_node("Transpose", ["x"], ["y"], perm=[1, 2, 0, 3]), [x])
    np.testing.assert_array_equal(moved, x.transpose(1, 2, 0, 3))


def test_what_is_not_compatible_is_skipped_with_a_reason():
    sine = helper.make_node("Sin", ["x"], ["y"])
    with pytest.raises(onnx_backend.NotCompatibleError, match="the operator Sin is not supported"):
        onnx_backend.run_node(sine, [np.ones((2, 3), "float32")])
    assert issubclass(onnx_backend.NotCompatibleError, unittest.SkipTest)
    model = fn.io.onnx.to_model(onnx_networks.network("dense"))
    model.graph.node[0].op_type = "Sin"
    assert not onnx_backend.is_compatible(model)
    with pytest.raises(TypeError, match=r"model must be an onnx\.ModelProto"):
        onnx_backend.prepare("net.onnx")


def test_bounds_that_are_inputs_are_known_when_it_runs():
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 21]> clip (float[2, 3] x, float low, float high) => (float[2, 3] y) '
        "{ y = Clip(x, low, high) }"
    )
    x = np.float32([[-1, 2, 9], [3, 6, 7]])
    assert not onnx_backend.is_compatible(model)
    assert onnx_backend.is_compatible(model, inputs=[x, np.float32(0), np.float32(6)])
    assert not onnx_backend.is_compatible(model, inputs=[x, np.float32(0), np.float32(5)])
    (y,) = onnx_backend.run_model(model, [x, np.float32(0), np.float32(6)])
    np.testing.assert_array_equal(y, np.clip(x, 0, 6))


def test_devices():
    assert onnx_backend.supports_device("CPU") and onnx_backend.supports_device("CPU:0")
    assert not onnx_backend.supports_device("CUDA")
    with pytest.raises(onnx_backend.NotCompatibleError, match="device 'CUDA' is not supported"):
        onnx_backend.prepare(fn.io.onnx.to_model(onnx_networks.network("dense")), "CUDA")
