"""Keras' files without Keras: layouts of its versions, what is said where they don't fit, and what is not read of them."""

import io
import json
import sys
import warnings
import zipfile

import numpy as np
import pytest

import fastnet as fn

h5py = pytest.importorskip("h5py")


@pytest.fixture
def net():
    return fn.Network([fn.Dense(4), fn.BatchNorm(), fn.Dense(2)], input_shape=(3,), seed=0)


def weights(net):
    return {name: array.tobytes() for name, array in net.state_dict().items()}


def arrays():
    rng = np.random.default_rng(0)
    return {
        "dense": {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)},
        "batch_normalization": {
            "gamma": rng.random(4), "beta": rng.random(4), "moving_mean": rng.random(4), "moving_variance": rng.random(4),
        },
        "dense_1": {"kernel": rng.normal(size=(4, 2)), "bias": rng.normal(size=2)},
    }  # fmt: skip


def write(path, layers, prefix="layers/"):
    with h5py.File(path, "w") as file:
        for layer, values in layers.items():
            for i, array in enumerate(values.values()):
                file[f"{prefix}{layer}/vars/{i}"] = array
    return path


def write_keras_2(path, layers, inner="", config=None):
    """As Keras 2 does."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if config else file
        if config:
            file.attrs["model_config"] = json.dumps(config)
        root.attrs["layer_names"] = np.array([name.encode() for name in layers])
        for layer, values in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([f"{layer}{inner}/{name}:0".encode() for name in values])
            for name, array in values.items():
                group[f"{layer}{inner}/{name}:0"] = array
    return path


def check_loaded(net):
    values = arrays()
    for name, there in (("dense_1", "dense"), ("dense_2", "dense_1")):
        np.testing.assert_array_equal(net[name].weight.value, values[there]["kernel"].astype("float32"))
    norm = net["batch_norm_1"]
    ours = norm.weight, norm.bias, norm.running_mean, norm.running_variance
    for parameter, array in zip(ours, values["batch_normalization"].values(), strict=True):
        np.testing.assert_array_equal(parameter.value, array.astype("float32"))


def test_keras_3(net, tmp_path):
    path = write(tmp_path / "model.weights.h5", arrays())
    with h5py.File(path, "a") as file:
        file["optimizer/vars/0"] = np.ones((3, 4))
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, "uint32")
    fn.io.load_keras_weights(net, path)
    check_loaded(net)


def test_keras_2(net, tmp_path):
    values = arrays()
    renamed = {"hidden": values["dense"], "norm": values["batch_normalization"], "a_head": values["dense_1"]}
    matched = fn.io.load_keras_weights(net, write_keras_2(tmp_path / "model.h5", renamed))
    assert matched == {"hidden": "dense_1", "norm": "batch_norm_1", "a_head": "dense_2"}
    check_loaded(net)
    depthwise = fn.Network([fn.DepthwiseConv2D(3, multiplier=2, use_bias=False)], input_shape=(8, 8, 3), seed=0)
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype("float32")
    fn.io.load_keras_weights(depthwise, write_keras_2(tmp_path / "d.h5", {"d": {"depthwise_kernel": kernel}}))
    np.testing.assert_array_equal(depthwise[0].weight.value, kernel.reshape(3, 3, 1, 6))


def test_the_order_of_keras_2_may_stand_in_several_attributes(net, tmp_path):
    path = write_keras_2(tmp_path / "model.h5", arrays())
    with h5py.File(path, "a") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    fn.io.load_keras_weights(net, path)
    check_loaded(net)


def config(epsilon=1e-5, scale=True):
    norm = {"name": "n", "epsilon": epsilon, "scale": scale, "center": True}
    layers = [
        ("InputLayer", {"name": "i"}),
        ("Dense", {"name": "d"}),
        ("BatchNormalization", norm),
        ("Dense", {"name": "e"}),
    ]
    return {"class_name": "Functional", "config": {"layers": [{"class_name": c, "config": v} for c, v in layers]}}


def pack(path, layers, description):
    weights = io.BytesIO()
    write(weights, layers)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(description))
        archive.writestr("model.weights.h5", weights.getvalue())
    return path


def test_an_archive_has_the_order_and_the_epsilons(net, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matched = fn.io.load_keras_weights(net, pack(tmp_path / "m.keras", arrays(), config()))
    assert list(matched) == ["layers/dense", "layers/batch_normalization", "layers/dense_1"]
    check_loaded(net)
    with pytest.warns(UserWarning, match="another epsilon: batch_norm_1 has 1e-05 instead of 0.001") as caught:
        fn.io.load_keras_weights(net, pack(tmp_path / "m.keras", arrays(), config(1e-3)))
    assert caught[0].filename == __file__
    values = {"d": arrays()["dense"], "n": arrays()["batch_normalization"], "e": arrays()["dense_1"]}
    path = write_keras_2(tmp_path / "m.h5", values, inner="/n", config=config(1e-3))
    with pytest.warns(UserWarning, match="another epsilon: batch_norm_1"):
        fn.io.load_keras_weights(net, path)


def test_what_a_norm_leaves_out_is_found_by_its_name(tmp_path):
    """A gamma alone has the shape of a beta alone."""
    net = fn.Network([fn.Dense(4), fn.BatchNorm(center=False), fn.Dense(2)], input_shape=(3,), seed=0)
    values = arrays()
    del values["batch_normalization"]["gamma"]
    with pytest.raises(ValueError) as caught:
        fn.io.load_keras_weights(net, pack(tmp_path / "m.keras", values, config(scale=False)))
    assert [line.split(" (")[0] for line in str(caught.value).splitlines()[1:]] == [
        "  missing: gamma",
        "  unexpected: layers/batch_normalization/vars/0",
    ]


def test_an_archive_of_unknown_models_is_read_as_its_weights_alone(net, tmp_path):
    for description in ({"config": {}}, [], config() | {"config": {"layers": []}}):
        fn.io.load_keras_weights(net, pack(tmp_path / "m.keras", arrays(), description))
        check_loaded(net)


def test_one_error_lists_everything_and_nothing_changes(net, tmp_path):
    values = arrays() | {"conv2d": {"kernel": np.ones((3, 3, 1, 2))}}
    values["dense"]["kernel"] = np.ones((5, 4))
    values["dense_1"]["bias"] = np.ones(2, "int32")
    del values["batch_normalization"]["moving_variance"]
    before = weights(net)
    with pytest.raises(ValueError) as caught:
        fn.io.load_keras_weights(net, write(tmp_path / "m.weights.h5", values))
    assert sorted(str(caught.value).splitlines()[1:]) == [
        "  missing: moving_variance (4,) of layers/batch_normalization, for layer 'batch_norm_1' (BatchNorm)",
        "  shape of layers/dense/vars/0: (5, 4) instead of (3, 4), for layer 'dense_1' (Dense)",
        "  type of layers/dense_1/vars/1: int32 instead of floating-point numbers",
        "  unexpected: layers/conv2d with 0 (3, 3, 1, 2)",
    ]
    assert weights(net) == before


def test_names(net, tmp_path):
    path = write(tmp_path / "m.weights.h5", arrays() | {"conv2d": {"kernel": np.ones((3, 3, 1, 2))}})
    names = {"layers/conv2d": None, "layers/dense": "dense_1"}
    assert fn.io.load_keras_weights(net, path, names=names)["layers/conv2d"] is None
    check_loaded(net)
    with pytest.raises(ValueError, match="'layers/dense_9' is not a module of the file; did you mean 'layers/dense"):
        fn.io.load_keras_weights(net, path, names={"layers/dense_9": "dense_1"})
    with pytest.raises(ValueError, match="'layers/dense_1' would be the place of two layers"):
        fn.io.save_keras_weights(net, path, names={"layers/dense_1": "dense_1"})
    with pytest.raises(TypeError, match="names must be a dict"):
        fn.io.save_keras_weights(net, path, names=str)


def test_slopes_for_each_pixel_are_refused_by_their_shape(tmp_path):
    net = fn.Network([fn.PReLU()], input_shape=(4, 4, 3), seed=0)
    path = write(tmp_path / "m.weights.h5", {"p_re_lu": {"alpha": np.ones((4, 4, 3))}})
    with pytest.raises(ValueError, match=r"\(4, 4, 3\) instead of \(1, 1, 3\)"):
        fn.io.load_keras_weights(net, path)


def test_nan_is_loaded_with_a_warning(net, tmp_path):
    values = arrays()
    values["dense"]["bias"][2] = np.inf
    with pytest.warns(RuntimeWarning, match=r"dense_1.bias \(layers/dense/vars/1\)") as caught:
        fn.io.load_keras_weights(net, write(tmp_path / "m.weights.h5", values))
    assert caught[0].filename == __file__


def test_arrays_that_lie_elsewhere_or_claim_to_be_large_are_not_read(net, tmp_path):
    secret = write(tmp_path / "secret.weights.h5", arrays())
    path = tmp_path / "m.weights.h5"

    def broken(change):
        write(path, arrays())
        with h5py.File(path, "a") as file:
            del file["layers/dense/vars/0"]
            change(file)
        with pytest.raises(ValueError) as caught:
            fn.io.load_keras_weights(net, path)
        return str(caught.value)

    def virtual(file):
        layout = h5py.VirtualLayout((3, 4), "f8")
        layout[:] = h5py.VirtualSource(secret, "layers/dense/vars/0", (3, 4))
        file.create_virtual_dataset("layers/dense/vars/0", layout)

    name = "layers/dense/vars/0"
    assert "missing" in broken(lambda file: file.__setitem__(name, h5py.ExternalLink(secret, name)))
    assert "missing" in broken(lambda file: file.__setitem__(name, h5py.SoftLink("/layers/dense/vars/1")))
    assert "lies elsewhere" in broken(virtual)
    assert "lies elsewhere" in broken(
        lambda file: file.create_dataset(name, (3, 4), "f8", external=[(str(secret), 0, 96)])
    )
    assert "(1000000000, 1000000000)" in broken(
        lambda file: file.create_dataset(name, (10**9, 10**9), "f4", chunks=(1024, 1024), compression="gzip")
    )
    assert "chunks of (65536, 8192)" in broken(
        lambda file: file.create_dataset(name, (3, 4), "f4", chunks=(1 << 16, 1 << 13), maxshape=(None, None))
    )
    assert "object" in broken(lambda file: file.create_dataset(name, (3, 4), h5py.string_dtype()))


def test_links_of_keras_2_are_not_followed(net, tmp_path):
    secret = write_keras_2(tmp_path / "secret.h5", arrays())
    for link in ("dense", "dense/dense"):
        path = write_keras_2(tmp_path / "m.h5", arrays())
        with h5py.File(path, "a") as file:
            del file[link]
            file[link] = h5py.ExternalLink(secret, link)
        with pytest.raises(ValueError, match="m.h5 can't be read.*there is no dense"):
            fn.io.load_keras_weights(net, path)


def test_groups_that_contain_themselves_end(net, tmp_path):
    path = write(tmp_path / "m.weights.h5", arrays())
    with h5py.File(path, "a") as file:
        file["layers/dense/layers"] = file["layers"]
    fn.io.load_keras_weights(net, path)
    check_loaded(net)


def test_damaged_files(net, tmp_path):
    whole = write(tmp_path / "m.weights.h5", arrays()).read_bytes()
    before = weights(net)
    for data in (b"", b"x" * 100, whole[:1000], whole[:-500]):
        (tmp_path / "d.weights.h5").write_bytes(data)
        with pytest.raises(ValueError, match="not an HDF5 file, or damaged"):
            fn.io.load_keras_weights(net, tmp_path / "d.weights.h5")
    (tmp_path / "m.keras").write_bytes(whole)
    with pytest.raises(ValueError, match="not a file of Keras 3"):
        fn.io.load_keras_weights(net, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="no item named 'model.weights.h5'"):
        fn.io.load_keras_weights(net, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(4 << 20))
    with pytest.raises(ValueError, match="4,194,304 bytes in"):
        fn.io.load_keras_weights(net, tmp_path / "m.keras")
    assert weights(net) == before


def test_bytes_changed_at_random_give_weights_or_one_error(net, tmp_path):
    whole = bytearray(write_keras_2(tmp_path / "m.h5", arrays()).read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "d.h5"
    for _ in range(150):
        data = whole.copy()
        for place in rng.integers(0, len(data), 8):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fn.io.load_keras_weights(net, path)
            except ValueError as error:
                assert str(path) in str(error) or "can't be read" in str(error)


def test_paths(net, tmp_path):
    with pytest.raises(FileNotFoundError, match="m.weights.h5"):
        fn.io.load_keras_weights(net, tmp_path / "m.weights.h5")
    (tmp_path / "m.pt").touch()
    with pytest.raises(ValueError, match="path must end in one of .weights.h5, .keras"):
        fn.io.load_keras_weights(net, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="path must end in .weights.h5; got"):
        fn.io.save_keras_weights(net, tmp_path / "m.h5")
    with pytest.raises(TypeError, match="net must be a Network"):
        fn.io.save_keras_weights(None, tmp_path / "m.weights.h5")


def test_without_h5py(net, tmp_path, monkeypatch):
    path = write(tmp_path / "m.weights.h5", arrays())
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (fn.io.load_keras_weights, fn.io.save_keras_weights):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastnet-cpu\[keras\]'"):
            call(net, path)
