"""Networks as users build, copy, save and take them apart."""

import copy
import pickle
import time

import numpy as np
import pytest
from numpy_layers import ScaleChannels

import fastnet as fn
from fastnet.graph import Graph
from fastnet.parameters import Parameter


def make_net(**options):
    settings = {"input_shape": (6,), "seed": 0} | options
    return fn.Network(
        [fn.Dense(8, activation="relu"), fn.Residual([fn.Dense(8, activation="tanh")]), fn.Dropout(0.2), fn.Dense(3, name="head")],
        **settings,
    )  # fmt: skip


X = np.random.default_rng(0).normal(size=(10, 6)).astype("float32")
Y = np.arange(10) % 3


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_names_order_and_access():
    net = make_net()
    names = [
        "dense_1.weight",
        "dense_1.bias",
        "residual_1.dense_1.weight",
        "residual_1.dense_1.bias",
        "head.weight",
        "head.bias",
    ]
    assert [p.name for p in net.parameters()] == names == list(net.state_dict())
    assert net["head"].units == 3 and net[0] is net["dense_1"] and net["residual_1.dense_1"].units == 8
    with pytest.raises(KeyError, match="did you mean 'head'"):
        net["heat"]
    assert net.output_shape == (3,) and len(net) == 5
    text = net.summary()
    assert "head" in text and "parameters 155" in text


def test_layers_know_what_their_network_calls_them(tmp_path):
    inner, last = fn.Dense(4), fn.Dense(3, name="head")
    net = fn.Network([fn.Flatten(), fn.Residual([inner]), last], input_shape=(2, 2), seed=0)
    assert inner.name == "residual_1.dense_1" and last.name == "head" and net.layers[0].name == "flatten_1"
    for layer in net.layers:
        assert net[layer.name] is layer
    # It is no name of their own: neither saved, nor taken elsewhere, where they may stand in another place.
    assert "name" not in inner.config() and "name='" not in repr(inner) and last.config()["name"] == "head"
    net.save(tmp_path / "net.safetensors")
    for twin in (net.copy(), fn.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net))):
        assert [layer.name for layer in twin.layers] == [layer.name for layer in net.layers]
        assert [layer.given_name for layer in twin.layers] == [None, None, None, "head"]


def test_a_layer_that_networks_call_differently_has_no_name():
    shared, user = fn.Dense(4), fn.Dense(4)
    first = fn.Network([user, shared], input_shape=(4,), seed=0)
    assert shared.name == "dense_2"
    fn.Network([user, shared], input_shape=(4,), seed=0)
    assert shared.name == "dense_2"
    other = fn.Network([shared, fn.Dense(4)], input_shape=(4,), seed=0)
    assert [node.name for node in other.graph.nodes] == ["dense_1", "dense_2"]
    assert shared.name is None and user.name == "dense_1"
    fn.Network([fn.Dense(4), shared], input_shape=(4,), seed=0)
    assert shared.name is None and first["dense_2"] is shared
    twice = fn.Dense(4)
    net = fn.Network([twice, twice], input_shape=(4,), seed=0)
    assert twice.name == "dense_1" and net["dense_2"] is twice
    alone = fn.Dense(4)
    alone.forward(np.ones((2, 4), "float32"))
    assert alone.name is None
    alone.name = "mine"
    assert fn.Network([alone], input_shape=(4,), seed=0)["mine"] is alone


def test_views_are_live_and_read_only():
    net = make_net()
    p = net.parameters()[0]
    value = p.value
    with pytest.raises(ValueError, match="read-only"):
        value[0, 0] = 1
    p.assign(np.full(p.shape, 0.5))
    assert (value == 0.5).all()
    before = net.predict(X)
    with p.edit() as w:
        w[:] = 0
    assert (value == 0).all() and not np.array_equal(net.predict(X), before)
    with pytest.raises(ValueError, match=r"'dense_1.weight' has shape \(6, 8\); got an array of shape \(3,\)"):
        p.assign(np.zeros(3))
    del net
    assert (value == 0).all(), "a view keeps its memory alive"


def test_first_values_follow_from_the_seed_and_the_path():
    assert same(make_net(), make_net())
    assert not np.array_equal(make_net(seed=1).state_dict()["head.weight"], make_net().state_dict()["head.weight"])
    longer = fn.Network(
        [fn.Dense(8, activation="relu"), fn.Dense(8), fn.Dense(3), fn.Dense(9)], input_shape=(6,), seed=0
    )
    named = fn.Network([fn.Dense(8, activation="relu", name="first"), fn.Dense(8)], input_shape=(6,), seed=0)
    short = fn.Network([fn.Dense(8, activation="relu"), fn.Dense(8)], input_shape=(6,), seed=0)
    for a, b in zip(short.parameters(), named.parameters(), strict=True):
        assert np.array_equal(a.value, b.value), "naming a layer leaves the draws alone"
    for a, b in zip(short.parameters(), longer.parameters(), strict=False):
        assert np.array_equal(a.value, b.value), "appending layers leaves the draws alone"
    drawn = fn.Network([fn.Dense(3)], input_shape=(6,))
    again = fn.Network([fn.Dense(3)], input_shape=(6,), seed=drawn.seed)
    assert same(drawn, again)


@pytest.mark.parametrize("layers, expected", [
    ([fn.Dense(400, activation="relu")], 2 / 300),
    ([fn.Dense(400), fn.BatchNorm(), fn.Activation("relu")], 2 / 300),
    ([fn.Dense(400, activation="selu")], 1 / 300),
    ([fn.Dense(400), fn.Activation("tanh")], 2 / 700),
    ([fn.Dense(400)], 2 / 700),
    ([fn.Residual([fn.Dense(300)], activation="relu")], 2 / 300),
])  # fmt: skip
def test_default_initialization_follows_the_activation_behind(layers, expected):
    net = fn.Network(layers, input_shape=(300,), seed=0)
    assert np.isclose(net.parameters()[0].value.var(), expected, rtol=0.05)
    assert (net.parameters()[1].value == 0).all()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_networks_of_their_own(duplicate):
    net = make_net()
    net.fit(X, Y, loss="softmax_cross_entropy", epochs=2, verbose=0)
    other = duplicate(net)
    assert same(net, other) and other.seed == net.seed and other.loss is not None
    net.fit(X, Y, epochs=1, verbose=0)
    assert not same(net, other)
    other.fit(X, Y, epochs=1, verbose=0)
    assert same(net, other), "the copy goes on as the original does: same order, same masks"


def test_state_dicts():
    net, other = make_net(), make_net(seed=5)
    other.load_state_dict(net.state_dict())
    assert same(net, other)
    state = net.state_dict()
    state["hed.weight"] = state.pop("head.weight")
    state["head.bias"] = np.zeros(7)
    with pytest.raises(
        ValueError,
        match=r"(?s)missing: head.weight.*unexpected: hed.weight.*shape of head.bias: \(7,\) instead of \(3,\)",
    ):
        other.load_state_dict(state)
    assert same(net, other)


def test_graphs_from_nodes():
    net = fn.Network.from_nodes(
        [
            fn.Node("sum", fn.Add(activation="relu"), ["a", "b"]),
            fn.Node("a", fn.Dense(4), ["input"]),
            fn.Node("b", fn.Dense(4), ["a"]),
            fn.Node("side", fn.Dense(2), ["a"]),
            fn.Node("all", fn.Concatenate(), ["sum", "side", "input"]),
        ],
        input_shape=(3,), output="all", seed=0,
    )  # fmt: skip
    assert net.output_shape == (9,)
    rng = np.random.default_rng(0)
    assert fn.check_gradients(net, rng.normal(size=(4, 3)), rng.normal(size=(4, 9)), loss="mse").ok
    activations = net.activations(X[:, :3], ["a", "sum"])
    a = X[:, :3] @ net["a"].weight.value
    assert np.allclose(activations["a"], a, atol=1e-6)
    with pytest.raises(ValueError, match="form a cycle"):
        fn.Network.from_nodes([fn.Node("a", fn.Dense(1), ["b"]), fn.Node("b", fn.Dense(1), ["a"])], input_shape=(1,))
    with pytest.raises(ValueError, match="input 'c' is not a node"):
        fn.Network.from_nodes([fn.Node("a", fn.Dense(1), ["c"])], input_shape=(1,))


def test_a_network_as_a_layer_of_another():
    body = fn.Network([fn.Dense(5, activation="relu"), fn.Dense(4)], input_shape=(6,), seed=1)
    before = body.predict(X)
    net = fn.Network([body, fn.Dense(3)], input_shape=(6,), seed=2)
    assert next(p.name for p in net.parameters()) == "network_1.dense_1.weight"
    assert np.array_equal(body.predict(X), before)
    net.fit(X, Y, loss="softmax_cross_entropy", epochs=1, verbose=0)
    assert not np.array_equal(body.predict(X), before), "both share the parameters"
    body.trainable = False
    before = body.predict(X)
    net.fit(X, Y, epochs=1, verbose=0)
    assert np.array_equal(body.predict(X), before)


def test_layers_in_numpy_train_save_and_may_be_used_twice(tmp_path):
    shared = ScaleChannels()
    net = fn.Network([fn.Dense(5, activation="tanh"), shared, shared, fn.Dense(3)], input_shape=(6,), seed=0)
    assert fn.check_gradients(net, X[:4], Y[:4], loss="softmax_cross_entropy").ok
    history = net.fit(X, Y, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1), epochs=20, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    net.save(tmp_path / "net.safetensors")
    assert np.array_equal(fn.load(tmp_path / "net.safetensors").predict(X), net.predict(X))


def test_layers_in_numpy_are_told_what_is_wrong():
    class Wrong(fn.Layer):
        def forward(self, x, training=False):
            return x[:, :2]

        def backward(self, dy):
            return None

    net = fn.Network([Wrong()], input_shape=(6,), seed=0)
    with pytest.raises(ValueError, match=r"'wrong_1': Wrong.forward must return an array of shape \(10, 6\)"):
        net.predict(X)

    class Neither(fn.Layer):
        pass

    with pytest.raises(TypeError, match="Neither defines neither"):
        fn.Network([Neither()], input_shape=(6,), seed=0).predict(X)

    class Failing(fn.Layer):
        def forward(self, x, training=False):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fn.Network([Failing()], input_shape=(6,), seed=0).predict(X)


def test_losses_and_metrics_in_numpy():
    class Squared(fn.Loss):
        def per_sample(self, y_predicted, y):
            e = y_predicted - y
            return (e**2).mean(axis=1), 2 * e / e.shape[1]

    class Within(fn.Metric):
        name = "within"

        def __call__(self, y_predicted, y):
            return (abs(y_predicted - y) < 1).all(axis=1)

    y = X @ np.ones((6, 2), np.float32)
    ours, builtin = (fn.Network([fn.Dense(2)], input_shape=(6,), seed=0) for _ in range(2))
    a = ours.fit(X, y, loss=Squared(), optimizer=fn.SGD(0.1), metrics=[Within()], epochs=5, batch_size=4, verbose=0,
                 sample_weight=np.arange(10))  # fmt: skip
    b = builtin.fit(
        X, y, loss="mse", optimizer=fn.SGD(0.1), epochs=5, batch_size=4, verbose=0, sample_weight=np.arange(10)
    )
    assert np.allclose(a["loss"], b["loss"], rtol=1e-5)
    assert all(
        np.allclose(p.value, q.value, atol=1e-6) for p, q in zip(ours.parameters(), builtin.parameters(), strict=True)
    )
    predicted = ours.predict(X)
    assert np.isclose(ours.evaluate(X, y)["within"], (abs(predicted - y) < 1).all(axis=1).mean())


def test_backward_needs_a_forward():
    net = make_net()
    with pytest.raises(RuntimeError, match=r"forward\(x, training=True\)"):
        net.backward(np.ones((10, 3)))
    net.forward(X, training=True)
    net.predict(X)
    net.forward(X)
    with pytest.raises(ValueError, match=r"dy must have the shape.*\(10, 3\)"):
        net.backward(np.ones((2, 3)))
    net.backward(np.ones((10, 3)))
    with pytest.raises(RuntimeError):
        net.backward(np.ones((10, 3)))


def test_predictions():
    net = make_net()
    assert net.predict(X[:0]).shape == (0, 3)
    out = np.empty((10, 3), np.float32)
    assert net.predict(X, out=out, batch_size=3) is out
    assert np.allclose(out, net.predict(X), atol=1e-6)
    with_nan = X.copy()
    with_nan[2, 0] = np.nan
    y = net.predict(with_nan)
    assert np.isnan(y[2]).all() and np.isfinite(np.delete(y, 2, axis=0)).all(), "NaN propagates through relu"
    with pytest.raises(ValueError, match="loss"):
        net.predict_proba(X)
    with pytest.raises(ValueError, match="out must be an array"):
        net.predict(X, out=np.empty((10, 3)))


@pytest.mark.parametrize("make, text", [
    (lambda: fn.Network([fn.Dense(3)]), "input_shape is missing"),
    (lambda: fn.Network([fn.Dense], input_shape=(3,)), r"layers\[0\] is the class Dense"),
    (lambda: fn.Network(["dense"], input_shape=(3,)), r"layers\[0\] must be a layer; got str"),
    (lambda: fn.Network([fn.Dense(0)], input_shape=(3,)), "units must be at least 1; got 0"),
    (lambda: fn.Network([fn.Dense(3)], input_shape=(0,)), r"input_shape\[0\] must be at least 1"),
    (lambda: fn.Network([fn.Dense(3)], input_shape=(2,), dtype="float16"), "dtype must be 'float32' or 'float64'"),
    (lambda: fn.Network([fn.Dense(3)], input_shape=(2,), seed=-1), "seed must be at least 0"),
    (lambda: fn.Network([fn.Dense(3, name="a"), fn.Dense(3, name="a")], input_shape=(2,)), "name 'a' is used twice"),
    (lambda: fn.Dense(3, activation="rellu"), "activation 'rellu' .*did you mean 'relu'"),
    (lambda: fn.Dense(3, init="he_norm"), "did you mean 'he_normal'"),
    (lambda: fn.Dropout(1.0), "rate must be .*below 1; got 1"),
    (lambda: fn.Network([fn.Reshape((5,))], input_shape=(6,)), "layer 'reshape_1': Reshape"),
    (lambda: fn.Network([fn.Residual([fn.Dense(4)])], input_shape=(6,)), "must have one shape"),
    (lambda: fn.Dense(3, name="a.b"), "name must be a text without dots"),
    (lambda: fn.Desne, "did you mean 'Dense'"),
])  # fmt: skip
def test_mistakes_are_explained(make, text):
    with pytest.raises((ValueError, TypeError, AttributeError), match=text):
        make()


def test_a_built_layer_keeps_its_parameters_in_another_network():
    layer = fn.Dense(3)
    first = fn.Network([layer], input_shape=(6,), seed=0)
    second = fn.Network([layer, fn.Dense(2)], input_shape=(6,), seed=1)
    assert second.parameters()[0] is first.parameters()[0] and isinstance(first.parameters()[0], Parameter)
    with pytest.raises(ValueError, match="was built for inputs of shape"):
        fn.Network([layer], input_shape=(5,), seed=0)


# Graphs of many nodes, which a small file may describe, take time in proportion to their number


def test_the_activation_behind_many_norms_is_found_at_once():
    count, norm = 20_000, fn.BatchNorm()
    nodes = [fn.Node("first", fn.Dense(3), ["input"])]
    nodes += [fn.Node(f"n{i}", norm, [f"n{i - 1}" if i else "first"]) for i in range(count)]
    nodes += [fn.Node("last", fn.Activation("tanh"), [f"n{count - 1}"])]
    began = time.perf_counter()
    graph = Graph(nodes, None, (3,))
    assert time.perf_counter() - began < 30
    assert graph.nodes[0].layer.activation_behind == "tanh"


def test_many_nodes_are_put_in_order_at_once():
    count = 20_000
    nodes = [fn.Node(f"n{i}", fn.Activation("relu"), [f"n{i - 1}" if i else "input"]) for i in range(count)]
    began = time.perf_counter()
    graph = Graph(nodes[::-1], None, (3,))
    assert time.perf_counter() - began < 30
    assert [node.name for node in graph.nodes] == [f"n{i}" for i in range(count)]
    with pytest.raises(ValueError, match="'a', 'b' form a cycle"):
        Graph([fn.Node("a", fn.Add(), ["b", "input"]), fn.Node("b", fn.Add(), ["a", "a"])], None, (3,))
