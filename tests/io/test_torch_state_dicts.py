"""State dicts: names and their order, what is said where they don't fit, and their files."""

import builtins
import errno
import io
import struct
import sys
import warnings
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

import fastnet as fn


@pytest.fixture
def net():
    return fn.Network([fn.Dense(4), fn.BatchNorm(), fn.Dense(4), fn.Dense(2)], input_shape=(4,), seed=0)


def state(*names, shapes=((4, 4), (4, 4), (2, 4))):
    """Three products, with a batch norm behind the first."""
    rng = np.random.default_rng(0)
    arrays = {}
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        arrays[f"{name}.weight"] = rng.normal(size=shape).astype("float32")
        arrays[f"{name}.bias"] = rng.normal(size=shape[0]).astype("float32")
        if i == 0:
            arrays |= {
                f"bn.{key}": np.full(4, 2, "float32") for key in ("weight", "bias", "running_mean", "running_var")
            }
    return arrays


def weights(net):
    return {name: array.tobytes() for name, array in net.state_dict().items()}


def test_modules_are_matched_in_their_order_by_kind(net):
    arrays = state("z", "y", "x")
    assert fn.io.load_torch_state_dict(net, arrays) == {
        "z": "dense_1", "bn": "batch_norm_1", "y": "dense_2", "x": "dense_3",
    }  # fmt: skip
    np.testing.assert_array_equal(net["dense_2"].weight.value, arrays["y.weight"].T)
    norms_last = dict(sorted(arrays.items(), key=lambda item: item[0].startswith("bn")))
    assert set(fn.io.load_torch_state_dict(net, norms_last).items()) == set(
        fn.io.load_torch_state_dict(net, arrays).items()
    )


def test_names_say_another_order_and_leave_out(net):
    arrays = state("y", "z", "x") | {"auxiliary.weight": np.ones((3, 3))}
    names = {"y": "dense_2", "auxiliary": None}
    matched = fn.io.load_torch_state_dict(net, arrays, names=names)
    assert matched == {"y": "dense_2", "bn": "batch_norm_1", "z": "dense_1", "x": "dense_3", "auxiliary": None}
    np.testing.assert_array_equal(net["dense_2"].weight.value, arrays["y.weight"].T)
    np.testing.assert_array_equal(net["dense_1"].weight.value, arrays["z.weight"].T)
    before = weights(net)
    net.reinitialize()
    assert fn.io.load_torch_state_dict(net, arrays, names=matched.get) == matched
    assert weights(net) == before


@pytest.mark.parametrize(
    "names, message",
    [
        ({"ya": "dense_1"}, "'ya' is not a module of the file; did you mean 'y'"),
        ({"y": "dense_9"}, "'dense_9' is not a layer with weights; did you mean 'dense_"),
        ({"y": "dense_1", "z": "dense_1"}, "'dense_1' is there 2 times"),
    ],
)
def test_names_that_do_not_fit(net, names, message):
    with pytest.raises(ValueError, match=message):
        fn.io.load_torch_state_dict(net, state("y", "z", "x"), names=names)
    with pytest.raises(TypeError, match="names must be a dict"):
        fn.io.load_torch_state_dict(net, state("y", "z", "x"), names=["y"])


def test_one_error_lists_everything_and_nothing_changes(net):
    arrays = state("a", "b", "c", shapes=((4, 4), (4, 5), (2, 4)))
    del arrays["a.bias"], arrays["bn.running_var"]
    arrays |= {"b.scale": np.ones(1), "conv.weight": np.ones((2, 2, 3, 3)), "c.weight": np.ones((2, 4), "int8")}
    del arrays["b.scale"]
    before = weights(net)
    with pytest.raises(ValueError) as caught:
        fn.io.load_torch_state_dict(net, arrays)
    lines = str(caught.value).splitlines()
    assert sorted(lines[1:]) == [
        "  missing: bias (4,) of a, for layer 'dense_1' (Dense)",
        "  missing: running_var (4,) of bn, for layer 'batch_norm_1' (BatchNorm)",
        "  shape of b.weight: (4, 5) instead of (4, 4), for layer 'dense_2' (Dense)",
        "  type of c.weight: int8 instead of floating-point numbers",
        "  unexpected: conv with weight (2, 2, 3, 3)",
    ]
    assert "which is unchanged" in lines[0]
    assert weights(net) == before


def test_missing_and_unexpected_modules_are_told_from_those_that_fit(net):
    arrays = state("a", "b", "c")
    with pytest.raises(ValueError) as caught:
        fn.io.load_torch_state_dict(net, {name: a for name, a in arrays.items() if not name.startswith("c.")})
    assert str(caught.value).splitlines()[1:] == [
        "  missing: a module for layer 'dense_3' (Dense) with weight (2, 4), bias (2,)"
    ]
    with pytest.raises(ValueError) as caught:
        fn.io.load_torch_state_dict(net, {"first.weight": np.ones((7, 7)), **arrays})
    assert str(caught.value).splitlines()[1:] == ["  unexpected: first with weight (7, 7)"]


def test_an_order_that_does_not_fit_is_said(net):
    arrays = state("c", "b", "a", shapes=((2, 4), (4, 4), (4, 4)))
    with pytest.raises(ValueError, match="weights of 2 axes fit in another order.*names="):
        fn.io.load_torch_state_dict(net, arrays)
    matched = fn.io.load_torch_state_dict(net, arrays, names={"c": "dense_3"})
    assert matched["b"] == "dense_1"


def test_the_shape_here_is_said_where_it_is_another_one():
    net = fn.Network([fn.Conv2D(8, 3)], input_shape=(8, 8, 3), seed=0)
    with pytest.raises(
        ValueError, match=r"w.weight: \(8, 3, 5, 5\) instead of \(8, 3, 3, 3\).*weight is \(3, 3, 3, 8\)"
    ):
        fn.io.load_torch_state_dict(net, {"w.weight": np.ones((8, 3, 5, 5)), "w.bias": np.ones(8)})


@pytest.mark.parametrize(
    "wrap",
    [
        lambda arrays: {"epoch": 3, "state_dict": arrays, "optimizer": {"lr": 0.1}},
        lambda arrays: {"model": {f"module.{name}": array for name, array in arrays.items()}},
        lambda arrays: {f"_orig_mod.{name}": array for name, array in arrays.items()},
        lambda arrays: {"n_averaged": np.array(5)} | {f"module.{name}": array for name, array in arrays.items()},
    ],
)
def test_what_is_around_a_state_dict_is_looked_through(net, wrap):
    matched = fn.io.load_torch_state_dict(net, wrap(state("a", "b", "c")))
    assert list(matched) == ["a", "bn", "b", "c"]


def test_a_dict_that_is_none(net):
    with pytest.raises(ValueError, match=r"'epoch' \(int\), 'ema' \(dict\).*none of them is a state dict by its name"):
        fn.io.load_torch_state_dict(net, {"epoch": 3, "ema": state("a", "b", "c")})
    with pytest.raises(ValueError, match="several: model, net"):
        fn.io.load_torch_state_dict(net, {"model": {}, "net": {}, "epoch": 1})
    with pytest.raises(TypeError, match="source must be a path"):
        fn.io.load_torch_state_dict(net, 3)
    with pytest.raises(TypeError, match="net must be a Network"):
        fn.io.load_torch_state_dict("net", {})


def test_nan_is_loaded_with_a_warning(net):
    arrays = state("a", "b", "c")
    arrays["b.bias"][1] = np.nan
    arrays["c.weight"] = arrays["c.weight"].astype("float64")
    arrays["c.weight"][0, 0] = 1e300
    with pytest.warns(RuntimeWarning, match=r"dense_2.bias \(b.bias\), dense_3.weight \(c.weight\)") as caught:
        fn.io.load_torch_state_dict(net, arrays)
    assert caught[0].filename == __file__
    assert np.isnan(net["dense_2"].bias.value[1])


# Files


def test_safetensors_of_ours_keep_the_order(net, tmp_path):
    names = {"z": "dense_1", "y": "dense_2", "x": "dense_3", "bn": "batch_norm_1"}
    fn.io.save_torch_state_dict(net, tmp_path / "w.safetensors", names=names)
    before = weights(net)
    net.reinitialize(seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fn.io.load_torch_state_dict(net, tmp_path / "w.safetensors") == names
    assert weights(net) == before


def test_safetensors_of_others_are_matched_by_numbers_and_a_guess_is_said(net, tmp_path):
    save_file(state("layer.2", "layer.10", "layer.11"), tmp_path / "numbers.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matched = fn.io.load_torch_state_dict(net, tmp_path / "numbers.safetensors")
    assert matched == {"bn": "batch_norm_1", "layer.2": "dense_1", "layer.10": "dense_2", "layer.11": "dense_3"}
    # What has a shape of its own is found wherever its name sorts.
    save_file(state("stem", "body", "a_head"), tmp_path / "words.safetensors")
    with pytest.warns(UserWarning, match="body before stem") as caught:
        matched = fn.io.load_torch_state_dict(net, tmp_path / "words.safetensors")
    assert caught[0].filename == __file__
    assert matched == {"a_head": "dense_3", "bn": "batch_norm_1", "body": "dense_1", "stem": "dense_2"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fn.io.load_torch_state_dict(net, tmp_path / "words.safetensors", names=matched)


def test_half_precision(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_tensors

    net = fn.Network([fn.Dense(3)], input_shape=(2,), seed=0)
    values = torch.tensor([[1.0, -2.5], [3.140625, 1e-3], [65280.0, 0.0]])
    for dtype in (torch.float16, torch.bfloat16):
        tensors = {"a.bias": torch.zeros(3, dtype=dtype), "a.weight": values.to(dtype)}
        save_tensors(tensors, tmp_path / "half.safetensors")
        for source in (tensors, tmp_path / "half.safetensors"):
            fn.io.load_torch_state_dict(net, source)
            np.testing.assert_array_equal(net["dense_1"].weight.value.T, values.to(dtype).float())


def test_files_of_torch(net, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "w.pt"
    fn.io.save_torch_state_dict(net, path)
    tensors = torch.load(path, weights_only=True)
    assert list(tensors)[:2] == ["dense_1.weight", "dense_1.bias"]
    assert tensors["batch_norm_1.num_batches_tracked"].dtype == torch.int64
    torch.save({"epoch": 1, "model_state_dict": tensors}, path)
    before = weights(net)
    net.reinitialize(seed=1)
    fn.io.load_torch_state_dict(net, path)
    assert weights(net) == before


def test_a_pickled_module_is_not_run(net, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(4, 4), tmp_path / "module.pt")
    with pytest.raises(ValueError, match="no code from files: save module.state_dict"):
        fn.io.load_torch_state_dict(net, tmp_path / "module.pt")


def test_torch_tensors_without_numbers_are_refused(net):
    torch = pytest.importorskip("torch")
    arrays = {name: torch.tensor(array) for name, array in state("a", "b", "c").items()}
    arrays["a.weight"] = torch.empty(4, 4, device="meta")
    arrays["b.weight"] = torch.eye(4).to_sparse()
    arrays["c.weight"] = torch.ones(2, 4, dtype=torch.complex64)
    with pytest.raises(ValueError) as caught:
        fn.io.load_torch_state_dict(net, arrays)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()[1:]] == [
        "a tensor without data (of the device meta) instead of floating-point numbers",
        "a tensor of the layout torch.sparse_coo instead of floating-point numbers",
        "torch.complex64 instead of floating-point numbers",
    ]


def test_a_tensor_that_claims_a_large_shape_is_not_made(net, tmp_path):
    """Strides of 0 give a shape of any size to one number."""
    torch = pytest.importorskip("torch")
    huge = torch.ones(1).expand(1 << 20, 1 << 20)
    torch.save({"a.weight": huge, "a.bias": torch.ones(4)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"unexpected: a with weight \(1048576, 1048576\)|shape of a.weight"):
        fn.io.load_torch_state_dict(net, tmp_path / "w.pt")


def test_damaged_and_hostile_files(net, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "w.safetensors"
    for data in (b"", b"\x00" * 4, struct.pack("<Q", 1 << 60) + b"{}"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="not a safetensors file"):
            fn.io.load_torch_state_dict(net, path)
    header = b'{"a.weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00" * 4)
    with pytest.raises(ValueError, match="damaged"):
        fn.io.load_torch_state_dict(net, path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x00" * 100_000)
    for data, message in (
        (packed.getvalue(), "compressed"),
        (b"PK\x03\x04junk", "can't be read"),
        (b"", "can't be read"),
    ):
        (tmp_path / "w.pt").write_bytes(data)
        with pytest.raises(ValueError, match=message):
            fn.io.load_torch_state_dict(net, tmp_path / "w.pt")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name, arguments", [("bytearray", (1 << 40,)), ("frozenset", ())])
def test_what_no_state_dict_names_is_not_made(net, tmp_path, old, name, arguments):
    """torch would make a bytearray, of any length, with weights_only."""
    torch = pytest.importorskip("torch")

    class Huge:
        def __reduce__(self):
            return getattr(builtins, name), arguments

    torch.save({"a": Huge()}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(ValueError, match=rf"holds more than tensors, \w+.{name}, and fastnet runs no code"):
        fn.io.load_torch_state_dict(net, tmp_path / "w.pt")


def test_a_dict_that_holds_itself(net, tmp_path):
    torch = pytest.importorskip("torch")
    state: dict = {"epoch": 3}
    state["model"] = state
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"\['model'\] is not a state dict"):
        fn.io.load_torch_state_dict(net, tmp_path / "w.pt")


def test_files_of_old_versions_of_torch(net, tmp_path):
    torch = pytest.importorskip("torch")
    fn.io.save_torch_state_dict(net, tmp_path / "w.pt")
    torch.save(
        torch.load(tmp_path / "w.pt", weights_only=True), tmp_path / "old.pt", _use_new_zipfile_serialization=False
    )
    before = weights(net)
    net.reinitialize(seed=1)
    fn.io.load_torch_state_dict(net, tmp_path / "old.pt")
    assert weights(net) == before


def test_paths(net, tmp_path):
    with pytest.raises(FileNotFoundError, match="w.safetensors"):
        fn.io.load_torch_state_dict(net, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="path must end in one of .safetensors, .pt"):
        fn.io.save_torch_state_dict(net, tmp_path / "w.npz")
    (tmp_path / "w.h5").touch()
    with pytest.raises(ValueError, match="path must end in one of .safetensors, .pt"):
        fn.io.load_torch_state_dict(net, tmp_path / "w.h5")
    with pytest.raises(ValueError, match="names and like can't be given both"):
        fn.io.save_torch_state_dict(net, tmp_path / "w.safetensors", names={}, like={})
    with pytest.raises(ValueError, match="'dense_2' would be the name of two modules"):
        fn.io.save_torch_state_dict(net, tmp_path / "w.safetensors", names={"dense_2": "dense_1"})
    with pytest.raises(ValueError, match="like, the state dict, does not fit the network"):
        fn.io.save_torch_state_dict(net, tmp_path / "w.safetensors", like={})


@pytest.mark.parametrize(
    ("suffix", "module", "function"), [(".safetensors", "safetensors", "safe_open"), (".pt", "torch", "load")]
)
def test_a_file_whose_device_fails(net, tmp_path, monkeypatch, suffix, module, function):
    def fail(*arguments, **settings):
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / f"weights{suffix}"
    reader = pytest.importorskip(module)
    fn.io.save_torch_state_dict(net, path)
    monkeypatch.setattr(reader, function, fail)
    with pytest.raises(OSError, match=f"^cannot read .*weights{suffix}: Input/output error$") as failure:
        fn.io.load_torch_state_dict(net, path)
    assert failure.value.errno == errno.EIO


def test_without_torch(net, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    fn.io.save_torch_state_dict(net, tmp_path / "w.safetensors")
    fn.io.load_torch_state_dict(net, tmp_path / "w.safetensors")
    (tmp_path / "w.pt").write_bytes(b"PK")
    for call in (
        lambda: fn.io.load_torch_state_dict(net, tmp_path / "w.pt"),
        lambda: fn.io.save_torch_state_dict(net, tmp_path / "w.pt"),
        lambda: fn.io.torch_state_dict(net),
    ):
        with pytest.raises(ModuleNotFoundError, match="needs torch, which is not installed"):
            call()
