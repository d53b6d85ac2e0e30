"""Weights of Keras' models give networks of the same structure the same results, and Keras loads ours."""

import warnings

import numpy as np
import pytest

import fastnet as fn

pytest.importorskip("h5py")

EPSILON = {"epsilon": 1e-3}


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("torch")
    return pytest.importorskip("keras")


def randomized(model, seed=0):
    """The model with values that no array has by default."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        values = (
            rng.normal(size=variable.shape)
            * (2 / np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else 0.1) ** 0.5
        )
        if variable.path.endswith(("variance", "gamma", "scale")):
            values = 0.5 + np.abs(values)
        variable.assign(values.astype("float32"))
    return model


def agree(net, model, x):
    expected = model.predict(x, verbose=0)
    assert np.ptp(expected, axis=0).max() > 1e-2
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-4, atol=1e-5)


def same_weights(model, other):
    return all(
        np.array_equal(a.numpy(), b.numpy())
        for a, b in zip(model.weights, other.weights, strict=True)
        if a.shape != (2,)
    )


def all_layers(keras):
    k = keras.layers
    return keras.Sequential(
        [
            k.Input((9, 9, 3)),
            k.Conv2D(4, 3, name="first"),
            k.BatchNormalization(),
            k.ReLU(),
            k.DepthwiseConv2D(3, depth_multiplier=2),
            k.SeparableConv2D(6, 3, padding="same", depth_multiplier=2),
            k.GroupNormalization(3),
            k.Conv2DTranspose(4, 2, strides=2),
            k.PReLU(shared_axes=[1, 2]),
            k.Conv2D(4, 3, groups=2, strides=2, padding="same", use_bias=False),
            k.BatchNormalization(scale=False),
            k.Reshape((25, 4)),
            k.Conv1D(3, 5, strides=2, activation="tanh"),
            k.Flatten(),
            k.Dropout(0.5, seed=1),
            k.Dense(5, activation="gelu"),
            k.LayerNormalization(),
            k.Dense(4),
            k.RMSNormalization(),
            k.PReLU(),
            k.Dense(2, use_bias=False, name="head"),
        ]
    )


def all_layers_here():
    return fn.Network(
        [
            fn.Conv2D(4, 3),
            fn.BatchNorm(**EPSILON),
            fn.Activation("relu"),
            fn.DepthwiseConv2D(3, multiplier=2),
            fn.SeparableConv2D(6, 3, padding="same", multiplier=2),
            fn.GroupNorm(3, **EPSILON),
            fn.Conv2DTranspose(4, 2, stride=2),
            fn.PReLU(),
            fn.Conv2D(4, 3, groups=2, stride=2, padding="same", use_bias=False),
            fn.BatchNorm(scale=False, **EPSILON),
            fn.Reshape((25, 4)),
            fn.Conv1D(3, 5, stride=2, activation="tanh"),
            fn.Flatten(),
            fn.Dropout(0.5),
            fn.Dense(5, activation="gelu"),
            fn.LayerNorm(**EPSILON),
            fn.Dense(4),
            fn.RMSNorm(epsilon=1e-6),
            fn.PReLU(),
            fn.Dense(2, use_bias=False),
        ],
        input_shape=(9, 9, 3),
        seed=0,
    )


def test_all_layers_from_all_kinds_of_files_and_back(keras, tmp_path):
    model = randomized(all_layers(keras))
    model.compile(loss="mse", optimizer="adam")  # whose state some files have, too
    x = np.random.default_rng(0).normal(size=(4, 9, 9, 3)).astype("float32")
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    for name in ("model.weights.h5", "model.keras", "model.h5"):
        net = all_layers_here()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            matched = fn.io.load_keras_weights(net, tmp_path / name)
        assert set(matched.values()) == {n.name for n in net.graph.nodes if n.layer.parameters()}
        agree(net, model, x)
    fn.io.save_keras_weights(net, tmp_path / "ours.weights.h5")
    other = randomized(all_layers(keras), seed=1)
    other.load_weights(tmp_path / "ours.weights.h5")
    assert same_weights(model, other)


def branched(keras):
    """A shortcut, and a model in the model, whose layers have the shapes of others."""
    k = keras.layers
    inputs = k.Input((6, 6, 4))
    x = k.BatchNormalization()(k.Conv2D(4, 3, padding="same")(inputs))
    x = k.BatchNormalization()(k.Conv2D(4, 3, padding="same")(x))
    x = k.Flatten()(k.Add()([x, k.Conv2D(4, 3, padding="same")(inputs)]))
    x = keras.Sequential([k.Dense(3), k.Dense(3, activation="tanh")])(k.Dense(3)(x))
    return keras.Model(inputs, k.Dense(3)(x))


def branched_here():
    def conv():
        return fn.Conv2D(4, 3, padding="same")

    inner = [conv(), fn.BatchNorm(**EPSILON), conv(), fn.BatchNorm(**EPSILON)]
    head = [fn.Flatten(), fn.Dense(3), fn.Dense(3), fn.Dense(3, activation="tanh"), fn.Dense(3)]
    return fn.Network([fn.Residual(inner, shortcut=[conv()]), *head], input_shape=(6, 6, 4), seed=0)


def test_the_order_of_layers_is_that_of_the_model_where_the_file_says_it(keras, tmp_path):
    model = randomized(branched(keras))
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 4)).astype("float32")
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    model.save_weights(tmp_path / "model.weights.h5")
    for name in ("model.keras", "model.h5"):
        net = branched_here()
        matched = fn.io.load_keras_weights(net, tmp_path / name)
        agree(net, model, x)
        if name == "model.keras":
            paths = matched
    with pytest.warns(UserWarning, match="layers/dense_1 before layers/sequential/layers/dense"):
        fn.io.load_keras_weights(net, tmp_path / "model.weights.h5")
    fn.io.load_keras_weights(net, tmp_path / "model.weights.h5", names=paths)
    agree(net, model, x)
    fn.io.save_keras_weights(net, tmp_path / "ours.weights.h5", names=paths)
    other = randomized(branched(keras), seed=1)
    other.load_weights(tmp_path / "ours.weights.h5")
    assert same_weights(model, other)


def test_a_class_of_ones_own_has_names_of_attributes(keras, tmp_path):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = keras.layers.Dense(2, name="mine")
            self.first = keras.layers.Dense(3)
            self.blocks = [keras.layers.Dense(4)]

        def call(self, x):
            return self.last(self.blocks[0](self.first(x)))

    model = Model()
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    model(x)
    randomized(model).save_weights(tmp_path / "model.weights.h5")
    net = fn.Network([fn.Dense(3), fn.Dense(4), fn.Dense(2)], input_shape=(5,), seed=0)
    matched = fn.io.load_keras_weights(net, tmp_path / "model.weights.h5")
    assert matched == {"blocks/dense": "dense_2", "first": "dense_1", "last": "dense_3"}
    agree(net, model, x)


def test_figures_of_a_normalization_and_bfloat16(keras, tmp_path):
    k = keras.layers
    x = np.random.default_rng(0).normal(3, 5, size=(50, 4)).astype("float32")
    model = keras.Sequential([k.Input((4,)), k.Normalization(), k.Dense(3, dtype="bfloat16")])
    model.layers[0].adapt(x)
    model.save_weights(tmp_path / "model.weights.h5")
    net = fn.Network([fn.Normalize(0, 1), fn.Dense(3)], input_shape=(4,), seed=0)
    assert fn.io.load_keras_weights(net, tmp_path / "model.weights.h5")["layers/normalization"] == "normalize_1"
    np.testing.assert_allclose(net.activations(x, ["normalize_1"])["normalize_1"].mean(axis=0), 0, atol=1e-5)
    weight = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[-1].kernel, "float32"))
    np.testing.assert_array_equal(net["dense_1"].weight.value, weight)
    # Whose figures are the user's keeps them, if the model has none.
    plain = keras.Sequential([k.Input((4,)), k.Dense(3)])
    plain.save_weights(tmp_path / "plain.weights.h5")
    before = net["normalize_1"].shift.value.copy()
    fn.io.load_keras_weights(net, tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(net["normalize_1"].shift.value, before)
