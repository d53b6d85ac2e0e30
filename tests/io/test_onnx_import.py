"""Networks read from ONNX: those that fastnet wrote, what can't be read, files from anywhere, and training."""

import os
import time

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnx_networks  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import fastnet as fn  # noqa: E402
from fastnet.io.onnx.importing.graph import SHARE  # noqa: E402

WEIGHT = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def graph(nodes, shape, constants=(), opset=21, outputs=None, kind=TensorProto.FLOAT, inputs=()):
    nodes = [helper.make_node(operator, i, o, name=f"node_{n}", **a) for n, (operator, i, o, a) in enumerate(nodes)]
    outputs = [nodes[-1].output[0]] if outputs is None else outputs
    made = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", kind, shape), *inputs],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def chain(*operators, shape=("n", 4), constants=(), **arguments):
    """Operators one after the other."""
    names = ["x", *(f"t{i}" for i in range(len(operators)))]
    nodes = [(operator, [names[i], *more], [names[i + 1]], a) for i, (operator, more, a) in enumerate(operators)]
    return graph(nodes, shape, constants, **arguments)


# What fastnet wrote


@pytest.mark.parametrize("opset", [18, 21, min(23, onnx.defs.onnx_opset_version())])
@pytest.mark.parametrize("name", onnx_networks.CASES)
def test_a_network_comes_back_with_its_weights(name, opset):
    net = onnx_networks.network(name)
    other = fn.io.onnx.load(fn.io.onnx.to_model(net, opset=opset))
    x = onnx_networks.batch(net, 4)
    expected = net.predict(x)
    np.testing.assert_allclose(other.predict(x), expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))
    found = list(other.state_dict().values())
    for key, array in net.state_dict().items():
        if key.startswith("normalize"):  # the file has deviations, the layer variances
            assert any(a.shape == array.shape and np.allclose(a, array, rtol=1e-6) for a in found), key
        else:
            assert any(np.array_equal(a, array) for a in found), key


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("model", ["lenet", "resnet20", "mobilenet_tiny", "vgg_small", "mlp"])
def test_models_come_back_with_the_same_layers_and_bits(model, layout, tmp_path):
    net = onnx_networks.filled(getattr(fn.models, model)(input_shape=(16, 16, 3), classes=4, seed=0))
    fn.io.onnx.export(net, tmp_path / "net.onnx", layout=layout)
    other = fn.io.onnx.load(tmp_path / "net.onnx", seed=0)
    x = onnx_networks.batch(net, 3)
    if model == "mobilenet_tiny":  # a separable convolution is written as two
        np.testing.assert_allclose(other.predict(x), net.predict(x), rtol=1e-5, atol=1e-6)
        return
    np.testing.assert_array_equal(other.predict(x), net.predict(x))
    kept = [type(layer) for layer in net.layers if not isinstance(layer, (fn.Dropout, fn.Activation))]
    assert [type(layer) for layer in other.layers if not isinstance(layer, fn.Activation)] == kept
    assert {name: array.tobytes() for name, array in other.state_dict().items()} == {
        name: array.tobytes() for name, array in net.state_dict().items()
    }


def test_momentum_is_the_weight_of_the_new_in_one_and_of_the_old_in_the_other():
    net = fn.Network([fn.BatchNorm(momentum=0.3, epsilon=0.01)], input_shape=(3,), seed=0)
    model = fn.io.onnx.to_model(net)
    attributes = {attribute.name: attribute.f for attribute in model.graph.node[0].attribute}
    assert attributes == pytest.approx({"epsilon": 0.01, "momentum": 0.7})
    layer = fn.io.onnx.load(model).layers[0]
    assert (layer.momentum, layer.epsilon) == (0.3, 0.01)


def test_double_precision_comes_back():
    net = onnx_networks.network("conv", "float64")
    other = fn.io.onnx.load(fn.io.onnx.to_model(net))
    assert other.dtype == "float64"
    x = onnx_networks.batch(net, 2)
    np.testing.assert_array_equal(other.predict(x), net.predict(x))
    assert fn.io.onnx.load(fn.io.onnx.to_model(net), dtype="float32").dtype == "float32"


# Training


def test_an_imported_network_trains_and_is_saved(tmp_path):
    (x, y), (x_test, y_test) = fn.datasets.digits()
    layers = [fn.Conv2D(8, 3), fn.BatchNorm(), fn.Activation("relu"), fn.MaxPool2D(2), fn.Flatten(), fn.Dense(10)]
    net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
    net.loss = fn.losses.get("softmax_cross_entropy")
    model = fn.io.onnx.to_model(net, probabilities=True)
    with_head = fn.io.onnx.load(model)
    with pytest.raises(ValueError, match="applies softmax itself"):
        with_head.fit(x, y, loss="softmax_cross_entropy", verbose=0)
    other = fn.io.onnx.load(model, logits=True, seed=0)
    history = other.fit(x, y, epochs=12, loss="softmax_cross_entropy", metrics=["accuracy"], verbose=0)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert other.evaluate(x_test, y_test)["accuracy"] > 0.9
    other.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(fn.load(tmp_path / "net.safetensors").predict(x_test), other.predict(x_test))


def test_training_goes_as_it_would_have_gone():
    (x, y), _ = fn.datasets.digits()
    net = fn.Network([fn.Conv2D(4, 3, activation="relu"), fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    other = fn.io.onnx.load(fn.io.onnx.to_model(net), seed=0)
    losses = [n.fit(x, y, epochs=1, loss="softmax_cross_entropy", verbose=0)["loss"] for n in (net, other)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(net.predict(x), other.predict(x))


# What the reader makes of graphs


def test_a_perceptron_as_others_write_it():
    """Products with biases apart, ends in a softmax and the class; chosen by name is what is before."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(4, 5)),
        "b1": rng.normal(size=(1, 5)),
        "w2": rng.normal(size=(5, 3)),
        "b2": rng.normal(size=3),
    }
    nodes = [
        ("Cast", ["x"], ["cast"], {"to": TensorProto.FLOAT}),
        ("MatMul", ["cast", "w1"], ["m1"], {}), ("Add", ["m1", "b1"], ["a1"], {}), ("Relu", ["a1"], ["r1"], {}),
        ("MatMul", ["r1", "w2"], ["m2"], {}), ("Add", ["m2", "b2"], ["a2"], {}), ("Softmax", ["a2"], ["s"], {}),
        ("Identity", ["s"], ["probabilities"], {}),
        ("ArgMax", ["probabilities"], ["label"], {"axis": 1}),
    ]  # fmt: skip
    model = graph(
        nodes, ("n", 4), {k: v.astype("float32") for k, v in weights.items()}, outputs=["label", "probabilities"]
    )
    with pytest.raises(ValueError, match="one output; say which with output=: the graph has label, probabilities"):
        fn.io.onnx.load(model)
    with pytest.raises(ValueError, match="did you mean 'probabilities'"):
        fn.io.onnx.load(model, output="probability")
    net = fn.io.onnx.load(model, output="probabilities", logits=True)
    assert [repr(layer) for layer in net.layers] == [repr(fn.Dense(5, activation="relu")), repr(fn.Dense(3))]
    x = rng.normal(size=(6, 4)).astype("float32")
    expected = np.maximum(x @ weights["w1"] + weights["b1"], 0) @ weights["w2"] + weights["b2"]
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5, atol=1e-5)


def test_shapes_that_a_graph_computes_are_computed():
    nodes = [
        ("Shape", ["x"], ["shape"], {}), ("Gather", ["shape", "zero"], ["n"], {}), ("Unsqueeze", ["n", "axes"], ["n1"], {}),
        ("Concat", ["n1", "minus"], ["target"], {"axis": 0}), ("Reshape", ["x", "target"], ["flat"], {}),
        ("ConstantOfShape", ["four"], ["ones"], {"value": numpy_helper.from_array(np.ones(1, "f"))}),
        ("Mul", ["w", "ones"], ["w1"], {}), ("Transpose", ["w1"], ["w2"], {"perm": [1, 0]}), ("MatMul", ["flat", "w2"], ["y"], {}),
    ]  # fmt: skip
    constants = {
        "zero": np.int64(0),
        "axes": np.int64([0]),
        "minus": np.int64([-1]),
        "four": np.int64([4]),
        "w": WEIGHT.T,
    }
    net = fn.io.onnx.load(graph(nodes, ("n", 2, 2), constants))
    x = np.random.default_rng(0).normal(size=(5, 2, 2)).astype("float32")
    np.testing.assert_allclose(net.predict(x), x.reshape(5, 4) @ WEIGHT, rtol=1e-5)


def test_sizes_that_a_file_leaves_open():
    rng = np.random.default_rng(0)
    model = chain(("Conv", ["w"], {}), ("GlobalAveragePool", [], {}), shape=("n", 3, "h", "w"),
                  constants={"w": rng.normal(size=(2, 3, 3, 3)).astype("float32")})  # fmt: skip
    with pytest.raises(ValueError, match="not fixed.*give input_shape="):
        fn.io.onnx.load(model)
    assert fn.io.onnx.load(model, input_shape=(9, 7, 3)).output_shape == (1, 1, 2)
    with pytest.raises(ValueError, match=r"input_shape \(9, 7, 4\) does not fit"):
        fn.io.onnx.load(model, input_shape=(9, 7, 4))


def test_the_layout_can_be_said():
    model = chain(("Relu", [], {}), shape=("n", 3, 8, 7))
    assert fn.io.onnx.load(model).input_shape == (8, 7, 3)
    assert fn.io.onnx.load(model, layout="nhwc").input_shape == (3, 8, 7)
    with pytest.raises(ValueError, match="did you mean"):
        fn.io.onnx.load(model, layout="ncwh")


def test_layers_are_called_as_their_weights():
    model = chain(("Gemm", ["encoder.fc.weight", "encoder.fc.bias"], {}), ("Gemm", ["w"], {}),
                  constants={"encoder.fc.weight": WEIGHT, "encoder.fc.bias": WEIGHT[0], "w": WEIGHT[:3]})  # fmt: skip
    net = fn.io.onnx.load(model, name="net")
    assert list(net.graph.by_name) == ["encoder.fc", "dense_1"]
    assert net.name == "net"
    assert net["encoder.fc"].weight.shape == (4, 3)


# What can't be read

OTHER = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 4))


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (chain(("Sin", [], {})), r"node 'node_0' \(Sin\): the operator Sin is not supported.*supported are Add, AveragePool"),
        (chain(("Relu", [], {}), ("Softmax", [], {"axis": 0})), r"node 'node_1' \(Softmax\): over axis 0 it is not supported"),
        (chain(("Clip", ["low", "high"], {}), constants={"low": np.float32(-1), "high": np.float32(1)}), "bounds -1 and 1"),
        (chain(("Add", ["c"], {}), shape=("n", 3, 2, 2), constants={"c": np.ones((3, 2, 2), "f")}), "one for each channel"),
        (chain(("MatMul", ["w"], {}), constants={"w": np.ones((5, 3), "f")}), "weights have 5 rows for 4 features"),
        (chain(("Flatten", [], {}), shape=("n", 3, 2, 2)), "flattened with the channels first"),
        (chain(("Reshape", ["s"], {}), constants={"s": np.int64([8, -1])}), "does not keep samples of shape"),
        (chain(("Squeeze", [], {}), shape=(1, 4, 1)), "without axes it takes a batch of 1 away"),
        (chain(("Transpose", [], {"perm": [1, 0]})), "does not have the batch as its first axis"),
        (chain(("MaxPool", [], {"kernel_shape": [2, 2], "dilations": [2, 2]}), shape=("n", 1, 8, 8)), "dilations of pools"),
        (chain(("Relu", [], {}), opset=5), "the model has opset 5; from 6 on"),
        (chain(("Relu", [], {}), shape=("n",)), "a batch of samples is needed"),
        (chain(("Relu", [], {}), kind=TensorProto.INT64), "has the type int64; a network takes floats"),
        (chain(("Relu", ["y"], {}), inputs=[OTHER]), "one input; the graph has 2"),
        (graph([("Relu", ["z"], ["y"], {})], ("n", 4)), "reads 'z', which nothing before it computes"),
        (graph([("Relu", ["x"], ["x"], {})], ("n", 4)), "has no output of its own"),
        (graph([("Relu", ["x"], ["y"], {})], ("n", 4), outputs=["z"]), "nothing computes the output 'z'"),
        (graph([("Identity", ["c"], ["y"], {})], ("n", 4), {"c": WEIGHT}), "does not depend on the input"),
        (graph([("MaxPool", ["x"], ["y", "i"], {"kernel_shape": [1]}), ("Cast", ["i"], ["j"], {"to": 1}),
                ("Add", ["y", "j"], ["z"], {})], ("n", 2, 3)), "only its first output is supported, and 'i' is used"),
        (chain(("Conv", ["w"], {"group": 2}), shape=("n", 3, 8, 8), constants={"w": np.ones((4, 1, 3, 3), "f")}),
         "groups=2 must divide"),
        (chain(("Gemm", ["w"], {"alpha": "a"}), constants={"w": WEIGHT}), "attribute 'alpha' is 'a'"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_said_in_a_line(model, match):
    with pytest.raises(ValueError, match=match) as caught:
        fn.io.onnx.load(model)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the model can't be loaded as a network: ")


def test_operators_of_other_domains_are_refused():
    model = chain(("Relu", [], {}))
    model.graph.node[0].domain = "com.example"
    with pytest.raises(ValueError, match="the operator com.example.Relu is not supported"):
        fn.io.onnx.load(model)


# Files from anywhere


@pytest.mark.parametrize("content", [b"", b"\x00", b"no model", b"\xff" * 1000, b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not an ONNX file"):
        fn.io.onnx.load(path)


def test_a_missing_file_has_a_near_one(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'net\.onnx'"):
        fn.io.onnx.load(tmp_path / "nett.onnx")


def external(tmp_path, **entries):
    """A model whose weights lie in another file."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    model = chain(("Gemm", ["w"], {}), constants={"w": WEIGHT})
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_may_lie_beside_the_model(tmp_path):
    path = external(tmp_path, location="weights.bin", offset=4, length=48)
    (tmp_path / "model" / "weights.bin").write_bytes(b"abcd" + WEIGHT.tobytes())
    net = fn.io.onnx.load(path)
    np.testing.assert_array_equal(net.parameters()[0].value, WEIGHT)


def test_weights_that_onnx_itself_put_beside_the_model(tmp_path):
    model = fn.io.onnx.to_model(onnx_networks.network("conv"))
    inside = fn.io.onnx.load(model)
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    x = onnx_networks.batch(onnx_networks.network("conv"), 2)
    np.testing.assert_array_equal(fn.io.onnx.load(tmp_path / "net.onnx").predict(x), inside.predict(x))


@pytest.mark.parametrize("location", ["../secret.bin", "sub/../../secret.bin", "", "link.bin"])
def test_no_file_outside_of_the_directory_is_read(location, tmp_path):
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    path = external(tmp_path, location=location)
    os.symlink(tmp_path / "secret.bin", tmp_path / "model" / "link.bin")
    with pytest.raises(ValueError, match="which is not in the (model's )?directory"):
        fn.io.onnx.load(path)
    path = external(tmp_path, location=str(tmp_path / "secret.bin"))
    with pytest.raises(ValueError, match="which is not in the (model's )?directory"):
        fn.io.onnx.load(path)


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"location": "weights.bin", "offset": 8}, "does not fit bytes 8 to 56"),
        ({"location": "weights.bin", "length": 40}, "does not fit bytes 0 to 40"),
        ({"location": "weights.bin", "offset": -1}, "'-1' is no number of bytes"),
        ({"location": "none.bin"}, "there is no file"),
    ],
)
def test_bytes_outside_of_the_file_are_refused(entries, match, tmp_path):
    path = external(tmp_path, **entries)
    (tmp_path / "model" / "weights.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(ValueError, match=match):
        fn.io.onnx.load(path)


def test_tensors_may_not_share_bytes_to_be_more_than_the_file(tmp_path):
    path = external(tmp_path, location="weights.bin")
    (tmp_path / "model" / "weights.bin").write_bytes(WEIGHT.tobytes())
    model = onnx.load(path, load_external_data=False)
    for i in range(3):
        model.graph.initializer.add().CopyFrom(model.graph.initializer[0])
        model.graph.initializer[-1].name = f"w{i}"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="its file's bytes are those of other tensors already"):
        fn.io.onnx.load(path)


@pytest.mark.parametrize(
    "nodes",
    [
        [("ConstantOfShape", ["huge"], ["c"], {})],
        [("Expand", ["one", "huge"], ["c"], {})],
        [("Tile", ["one", "huge"], ["c"], {})],
        [("Range", ["zero", "million", "step"], ["c"], {})],
        [("Reshape", ["line", "column"], ["b"], {}), ("Mul", ["b", "line"], ["c"], {})],
        [("Reshape", ["line", "column"], ["b"], {}), ("MatMul", ["b", "row"], ["c"], {})],
    ],
)
def test_constants_that_would_be_large_are_not_computed(nodes):
    constants = {
        "huge": np.int64([2**40]), "one": np.ones(1, "f"), "zero": np.float32(0), "million": np.float32(1e9), "step": np.float32(1),
        "line": np.ones(1000, "f"), "row": np.ones((1, 1000), "f"), "column": np.int64([1000, 1]),
    }  # fmt: skip
    model = graph([*nodes, ("Add", ["x", "c"], ["y"], {})], ("n", 4), constants)
    with pytest.raises(ValueError, match="too large for a file of this size"):
        fn.io.onnx.load(model)


def test_many_constants_together_are_not_computed_either():
    count = 40
    nodes = [("Expand", ["one", "shape"], [f"c{i}"], {}) for i in range(count)]
    nodes += [("Mul", ["x" if i == 0 else f"y{i - 1}", f"c{i}"], [f"y{i}"], {}) for i in range(count)]
    model = graph(nodes, ("n", 4), {"one": np.ones(1, "f"), "shape": np.int64([60_000])})
    with pytest.raises(ValueError, match="too large for a file of this size"):
        fn.io.onnx.load(model)
    assert count > SHARE


@pytest.mark.parametrize(
    "nodes",
    [
        [("Concat", ["t0"] * 2000, ["c"], {"axis": 0})],
        [("Max", ["column", "line"], ["m"], {}), ("Max", ["m"] * 60, ["c"], {})],
        [("Gemm", ["column", "unit", "line"], ["c"], {})],
        [("Range", ["least", "most", "stride"], ["c"], {})],
        [("MatMul", ["deep", "line"], ["c"], {})],
    ],
)
def test_results_are_bounded_before_they_are_computed(nodes):
    constants = {
        "t0": np.ones(100, "f"), "column": np.ones((300, 1), "f"), "line": np.ones((1, 300), "f"), "unit": np.ones((1, 1), "f"),
        "least": np.int64(-(2**63)), "most": np.int64(2**63 - 1), "stride": np.int64(2**30), "deep": np.ones((300, 1, 1), "f"),
    }  # fmt: skip
    model = graph([*nodes, ("Add", ["x", "c"], ["y"], {})], ("n", 4), constants)
    for name in ("t0", "column", "line", "unit", "least", "most", "stride", "deep"):
        if not any(name in inputs for _, inputs, _, _ in nodes):
            model.graph.initializer.remove(next(t for t in model.graph.initializer if t.name == name))
    began = time.perf_counter()
    with pytest.raises(ValueError, match="too large for a file of this size"):
        fn.io.onnx.load(model)
    assert time.perf_counter() - began < 30


def test_texts_are_not_computed():
    """Each sum of a text with itself would double it."""
    nodes = [("Add", ["text" if i == 0 else f"t{i - 1}"] * 2, [f"t{i}"], {}) for i in range(60)]
    model = graph([*nodes, ("Add", ["x", "t59"], ["y"], {})], ("n", 4), {"text": np.array([b"a" * 1000], object)})
    with pytest.raises(ValueError, match="works on an array of object"):
        fn.io.onnx.load(model)


def test_work_on_constants_is_bounded():
    nodes = [("ReduceSum", ["big"], [f"s{i}"], {"keepdims": 0}) for i in range(1000)]
    nodes += [("Mul", ["x" if i == 0 else f"y{i - 1}", f"s{i}"], [f"y{i}"], {}) for i in range(1000)]
    model = graph(nodes, ("n", 4), {"big": np.ones(100_000, "f")})
    with pytest.raises(ValueError, match="too large for a file of this size"):
        fn.io.onnx.load(model)


def test_parts_of_rows_that_double_with_each_operator():
    nodes = [
        ("Flatten", ["x"], ["r0"], {}),
        *[("Concat", [f"r{i}", f"r{i}"], [f"r{i + 1}"], {"axis": 1}) for i in range(60)],
    ]
    began = time.perf_counter()
    with pytest.raises(ValueError, match="too large for a file of this size"):
        fn.io.onnx.load(graph(nodes, ("n", 2, 3, 3)), layout="nchw")
    assert time.perf_counter() - began < 30


def test_what_lies_behind_many_tensors_is_looked_up_once():
    """Each of many Reshapes would walk the long chain of operators behind their sum."""
    count = 1500
    nodes = [("Reshape", ["x", "shape"], [f"r{i}"], {}) for i in range(count)]
    nodes += [("Sum", [f"r{i}" for i in range(count)], ["t0"], {})]
    nodes += [("Relu", [f"t{i}"], [f"t{i + 1}"], {}) for i in range(count)]
    began = time.perf_counter()
    net = fn.io.onnx.load(graph(nodes, ("n", 4), {"shape": np.int64([-1, 2, 2])}))
    assert net.output_shape == (2, 2)
    assert time.perf_counter() - began < 30


def test_an_input_that_claims_to_be_huge_takes_no_memory():
    scale = chain(("Mul", ["c"], {}), shape=("n", 2**40), constants={"c": np.float32(-2)})
    norm = chain(("LayerNormalization", ["c"], {"axis": 1}), shape=("n", 2**40), constants={"c": np.ones(1, "f")})
    for model in (scale, norm):
        with pytest.raises(ValueError, match="too many for a file of this size"):
            fn.io.onnx.load(model)


def test_damaged_files_give_an_error_or_a_network():
    """Whatever bytes are changed: no other error."""
    rng = np.random.default_rng(0)
    content = fn.io.onnx.to_model(onnx_networks.network("batch-norm-flattened")).SerializeToString()
    failed = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            model = onnx.ModelProto.FromString(bytes(damaged))
        except Exception:
            continue
        try:
            fn.io.onnx.load(model)
        except ValueError:
            failed += 1
    assert failed > 20
