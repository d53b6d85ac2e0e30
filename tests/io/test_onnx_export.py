"""Networks written as ONNX predict in onnxruntime what they predict in fastnet."""

import copy

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnx_networks  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import fastnet as fn  # noqa: E402
from fastnet import layers  # noqa: E402
from fastnet.io.onnx.exporting.activations import ACTIVATIONS  # noqa: E402
from fastnet.io.onnx.exporting.layers import RULES  # noqa: E402
from fastnet.kernels import activation as kernels  # noqa: E402
from fastnet.layers.blocks import Block  # noqa: E402

ort = pytest.importorskip("onnxruntime")
NEWEST = min(onnx.defs.onnx_opset_version(), 23)  # onnxruntime is behind onnx


def run(model, x):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x})[0]


def operators(model):
    return [node.op_type for node in model.graph.node]


def close(found, expected, epsilon=2e-5):
    """Equal but for rounding, in the units of the largest value."""
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=epsilon, atol=epsilon * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("opset", [18, None, NEWEST])
@pytest.mark.parametrize("name", onnx_networks.CASES)
def test_predictions_are_equal_for_any_batch(name, opset):
    net = onnx_networks.network(name)
    model = fn.io.onnx.to_model(net, opset=opset)
    for n in (1, 5):
        x = onnx_networks.batch(net, n)
        close(run(model, x), net.predict(x))


@pytest.mark.parametrize("name", onnx_networks.CASES)
def test_channels_may_be_first_at_the_edges(name):
    net = onnx_networks.network(name)
    model = fn.io.onnx.to_model(net, layout="nchw")
    x = onnx_networks.batch(net, 2)
    first = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim > 2 else x
    found = run(model, first)
    close(np.moveaxis(found, 1, -1) if found.ndim > 2 else found, net.predict(x))


@pytest.mark.parametrize(
    "name", ["conv", "batch-norm", "layer-norm", "rms-norm", "gates", "activation-gelu", "upsample"]
)
def test_in_double_precision(name):
    net = onnx_networks.network(name, "float64")
    model = fn.io.onnx.to_model(net)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    x = onnx_networks.batch(net, 2)
    (found,) = ReferenceEvaluator(model).run(None, {"input": x})
    close(found, net.predict(x), 1e-6)  # the reference's erf and resizing are of float32
    single = fn.io.onnx.to_model(net, dtype="float32")
    close(run(single, x.astype("float32")), net.predict(x).astype("float32"))


@pytest.mark.parametrize(
    ("model", "count"), [("lenet", 1), ("vgg_small", 1), ("resnet20", 1), ("mobilenet_tiny", 1), ("mlp", 0)]
)
def test_one_transpose_is_enough(model, count):
    net = getattr(fn.models, model)(input_shape=(16, 16, 3), classes=4, seed=0)
    assert operators(fn.io.onnx.to_model(net)).count("Transpose") == count
    assert "Transpose" not in operators(fn.io.onnx.to_model(net, layout="nchw")) or model == "mlp"


def test_all_layers_and_activations_have_a_rule():
    public = {getattr(layers, name) for name in layers.__all__}
    assert set(RULES) == {cls for cls in public if not issubclass(cls, Block) and cls is not fn.Layer}
    assert set(ACTIVATIONS) == {*kernels.ACTIVATIONS, "softmax", "log_softmax"} - {"linear"}
    used = {type(layer) for name in onnx_networks.CASES for layer in onnx_networks.network(name).layers}
    assert set(RULES) <= used


def test_probabilities():
    net = onnx_networks.network("dense")
    x = onnx_networks.batch(net, 4)
    with pytest.raises(ValueError, match="needs to know the loss"):
        fn.io.onnx.to_model(net, probabilities=True)
    for loss, operator in (("softmax_cross_entropy", "Softmax"), ("sigmoid_cross_entropy", "Sigmoid")):
        net.loss = fn.losses.get(loss)
        model = fn.io.onnx.to_model(net, probabilities=True)
        assert operators(model)[-1] == operator
        close(run(model, x), net.predict_proba(x))
    net.loss = fn.losses.get("mse")
    with pytest.raises(ValueError, match="has no probabilities"):
        fn.io.onnx.to_model(net, probabilities=True)


def test_a_layer_used_twice_is_written_once():
    shared = fn.Dense(6)
    net = fn.Network([shared, fn.Activation("tanh"), shared, fn.Dense(2)], input_shape=(6,), seed=0)
    model = fn.io.onnx.to_model(net)
    assert [t.name for t in model.graph.initializer].count("dense_1.weight") == 1
    assert len(model.graph.initializer) == 4
    x = onnx_networks.batch(net, 3)
    close(run(model, x), net.predict(x))
    assert sum(p.size for p in fn.io.onnx.load(model).parameters()) == sum(p.size for p in net.parameters())


def test_graphs_of_nodes_and_networks_in_networks():
    body = fn.Network(
        [fn.Conv2D(3, 3, activation="relu", name="output"), fn.MaxPool2D(2)], input_shape=(8, 8, 2), seed=0
    )
    nodes = [
        fn.Node("body", body["output"], ["input"]),
        fn.Node("unread", fn.Conv2D(4, 1), ["input"]),
        fn.Node("other", fn.Conv2D(3, 3), ["input"]),
        fn.Node("product", fn.Product(), ["body", "other"]),
        fn.Node("sum", fn.Add(activation="tanh"), ["product", "body", "other"]),
    ]
    net = fn.Network.from_nodes(nodes, input_shape=(8, 8, 2), seed=0)
    model = fn.io.onnx.to_model(net)
    assert operators(model).count("Conv") == 2
    x = onnx_networks.batch(net, 3)
    close(run(model, x), net.predict(x))
    head = fn.Network([body, fn.Flatten(), fn.Dense(2)], input_shape=(8, 8, 2), seed=0)
    close(run(fn.io.onnx.to_model(head), x), head.predict(x))


def test_what_a_file_says_of_itself(tmp_path):
    net = onnx_networks.network("conv")
    fn.io.onnx.export(net, tmp_path / "net.onnx", doc="Sorts screws.")
    model = onnx.load(tmp_path / "net.onnx")
    assert (model.producer_name, model.producer_version, model.doc_string) == (
        "fastnet",
        fn.__version__,
        "Sorts screws.",
    )
    assert model.opset_import[0].version == 21
    assert model.ir_version <= 10
    assert {entry.key: entry.value for entry in model.metadata_props} == {"fastnet.layout": "nhwc"}
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 8, 7, 4]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    net = onnx_networks.network("dense")
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        fn.io.onnx.export(net, tmp_path / "none" / "net.onnx")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="the disk is full"):
        fn.io.onnx.export(net, path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


class Twice(fn.Layer):
    def forward(self, x, training=False):
        return 2 * x

    def backward(self, dy):
        return 2 * dy


class TwiceDense(fn.Dense):
    """A layer that computes something else than its parent."""

    def record_forward(self, ctx, x, training):
        return super().record_forward(ctx, ctx.add(x, x), training)


class Head(fn.Dense):
    """A layer that computes what its parent computes."""


@pytest.mark.parametrize("layer", [Twice(name="mine"), TwiceDense(3, name="mine")])
def test_layers_in_code_of_their_own_are_refused(layer, tmp_path):
    net = fn.Network([fn.Dense(3), layer], input_shape=(3,), seed=0)
    with pytest.raises(ValueError, match=f"layer 'mine': a {type(layer).__name__} can't be written as ONNX") as caught:
        fn.io.onnx.export(net, tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_subclass_that_computes_the_same_is_written():
    net = fn.Network([Head(3)], input_shape=(3,), seed=0)
    x = onnx_networks.batch(net, 2)
    close(run(fn.io.onnx.to_model(net), x), net.predict(x))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"opset": 17}, ValueError, "opset must be at least 18; got 17"),
        ({"opset": 1000}, ValueError, "opset must be at most"),
        ({"layout": "nhcw"}, ValueError, "did you mean"),
        ({"dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64'"),
        ({"probabilities": 1}, TypeError, "probabilities must be True or False"),
        ({"doc": None}, TypeError, "doc must be a text"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        fn.io.onnx.to_model(onnx_networks.network("dense"), **arguments)


def test_something_else_than_a_network_is_refused():
    with pytest.raises(TypeError, match="net must be a Network; got Dense"):
        fn.io.onnx.to_model(fn.Dense(3))


def test_the_network_stays_as_it_is():
    net = onnx_networks.network("batch-norm-flattened")
    before = copy.deepcopy(net.state_dict())
    fn.io.onnx.to_model(net)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
