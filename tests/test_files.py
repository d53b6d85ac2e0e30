"""Files are whole or refused; classes come from files only where they were made known."""

import errno
import json
import os
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from fastnet import files
from fastnet.files import atomic, registry, tensors

posix = pytest.mark.skipif(os.name == "nt", reason="permissions and links are POSIX's here")


# Atomic writing


def names(directory):
    return sorted(os.listdir(directory))


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "a.bin"
    files.write_bytes(path, b"one")
    files.write_bytes(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a.bin"]


def test_relative_path_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_bytes("a.bin", b"one")
    assert (tmp_path / "a.bin").read_bytes() == b"one"


@posix
def test_permissions_of_new_and_old_files(tmp_path):
    path = tmp_path / "a.bin"
    before = os.umask(0o027)
    try:
        files.write_bytes(path, b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    files.write_bytes(path, b"two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.bin", tmp_path / "link.bin"
    target.write_bytes(b"one")
    link.symlink_to(target)
    files.write_bytes(link, b"two")
    assert link.is_symlink() and target.read_bytes() == b"two"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EIO, os.strerror(errno.EIO))],
)
def test_a_failing_system_call_leaves_the_old_file(tmp_path, monkeypatch, failing, number, text):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, failing, fail)
    with pytest.raises(OSError, match=text) as caught:
        files.write_bytes(path, b"new")
    assert caught.value.errno == number
    assert str(caught.value).startswith(f"cannot write {path}: ")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


def test_an_interrupt_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


@posix
def test_a_file_size_limit_leaves_the_old_file(tmp_path):
    import resource

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="cannot write"):
            files.write_bytes(path, bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("killed_in", ["fsync", "replace"])
def test_a_killed_writer_leaves_the_old_file(tmp_path, killed_in):
    path = tmp_path / "model.safetensors"
    files.write_safetensors(path, {"w": np.arange(5.0)}, {"run": 1})
    program = f"""
import os, sys
import numpy as np
from fastnet import files
os.{killed_in} = lambda *_: os._exit(9)
files.write_safetensors(sys.argv[1], {{"w": np.zeros(500_000)}}, {{"run": 2}})
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program, str(path)], env=environment).returncode == 9
    arrays, metadata = files.read_safetensors(path)
    assert metadata == {"run": 1} and arrays["w"].tolist() == [0, 1, 2, 3, 4]
    left = [name for name in names(tmp_path) if name != path.name]
    assert len(left) == 1 and left[0].endswith(".tmp")
    files.write_safetensors(path, {"w": np.zeros(3)}, {"run": 3})
    assert files.read_safetensors(path)[1] == {"run": 3}


def test_clear_errors_for_bad_places(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*nowhere"):
        files.write_bytes(tmp_path / "nowhere" / "a.bin", b"")
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        files.write_bytes(tmp_path, b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="there is no directory"):
        files.write_bytes(tmp_path / "file" / "a.bin", b"")
    assert names(tmp_path) == ["file"]


@posix
def test_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        files.write_bytes(tmp_path / "pipe", b"x")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    with pytest.raises(OSError, match="not a regular file"):
        files.existing_file(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="no permission"):
        files.write_bytes(path, b"new")
    path.chmod(0o000)
    with pytest.raises(PermissionError, match="no permission"):
        files.existing_file(path)


def test_append(tmp_path):
    path = tmp_path / "log"
    files.append_bytes(path, b"one\n")
    files.append_bytes(str(path), b"two")
    assert path.read_bytes() == b"one\ntwo"
    files.end_last_line(path)
    files.end_last_line(path)
    assert path.read_bytes() == b"one\ntwo\n"
    with pytest.raises(FileNotFoundError, match="cannot write .*: there is no directory .*nowhere"):
        files.append_bytes(tmp_path / "nowhere" / "log", b"x")
    with pytest.raises(IsADirectoryError, match="cannot write .*: it is a directory"):
        files.append_bytes(tmp_path, b"x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_append_to_a_full_disk():
    with pytest.raises(OSError, match="^cannot write /dev/full: the disk is full$"):
        files.append_bytes("/dev/full", b"x")


def test_holds_something(tmp_path):
    assert not files.holds_something(tmp_path / "nothing")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "full").write_bytes(b"x")
    assert not files.holds_something(tmp_path / "empty") and files.holds_something(tmp_path / "full")


def test_make_directory(tmp_path):
    for _ in range(2):
        files.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError, match="file is a file, not a directory"):
        files.make_directory(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="cannot make the directory .*below"):
        files.make_directory(tmp_path / "file" / "below")


def test_existing_file(tmp_path):
    (tmp_path / "digits.csv").write_text("a\n1\n")
    assert files.existing_file(tmp_path / "digits.csv") == str(tmp_path / "digits.csv")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'digits\.csv'"):
        files.existing_file(tmp_path / "digit.csv")
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        files.existing_file(tmp_path / "nowhere" / "digits.csv")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        files.existing_file(tmp_path)


def test_json(tmp_path):
    found = files.plain({"a": np.array([1.0, np.inf]), 2: (np.int64(3), np.float32(0.5)), "b": [None, "x", True]})
    assert found == {"a": [1.0, None], "2": [3, 0.5], "b": [None, "x", True]}
    files.write_json(tmp_path / "a.json", {"é": np.nan})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{"é": null}\n'


def test_csv(tmp_path):
    files.write_csv(tmp_path / "a.csv", ["name", "value"], [["a,b", 0.1], ["ü", 2]])
    assert (tmp_path / "a.csv").read_bytes().decode() == 'name,value\n"a,b",0.1\nü,2\n'


# safetensors

ARRAYS = {
    "weight": np.arange(6, dtype="float32").reshape(2, 3),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(3, dtype="int64"),
    "mask": np.array([True, False]),
    "half": np.array([0.5], dtype="float16"),
}
METADATA = {"nodes": [{"class": "Dense", "config": {"units": 3}}], "extra": {"classes": ["ä", "b"], "mean": 0.1}}


def write(path, arrays=ARRAYS, metadata=METADATA):
    files.write_safetensors(path, arrays, metadata)
    return path


def test_round_trip(tmp_path):
    arrays, metadata = files.read_safetensors(write(tmp_path / "a.safetensors"))
    assert metadata == METADATA
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].flags.writeable or array.size == 0


def test_equal_content_gives_equal_bytes(tmp_path):
    reordered = dict(reversed(ARRAYS.items()))
    a, b = write(tmp_path / "a"), write(tmp_path / "b", reordered)
    assert a.read_bytes() == b.read_bytes()


def test_other_programs_can_read_it(tmp_path):
    arrays = load_file(write(tmp_path / "a.safetensors"))
    np.testing.assert_array_equal(arrays["weight"], ARRAYS["weight"])


def test_strided_and_big_endian_arrays(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    arrays = {"strided": array[:, ::2], "turned": array.T, "big": array.astype(">f8")}
    read, _ = files.read_safetensors(write(tmp_path / "a", arrays))
    for name, expected in arrays.items():
        np.testing.assert_array_equal(read[name], expected)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = write(tmp_path / "a.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in [*range(0, len(whole), 64), 7, 8, 9, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors is"):
            files.read_safetensors(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        files.read_safetensors(path)


def test_every_flipped_bit_is_found(tmp_path):
    whole = write(tmp_path / "a.safetensors").read_bytes()
    path = tmp_path / "flipped.safetensors"
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"flipped\.safetensors"):
            files.read_safetensors(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"any\.safetensors"):
        files.read_safetensors(path)


def header_only(path, header: dict, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 62, 4], [1000, 1000]])
def test_a_header_cannot_claim_more_than_the_file_has(tmp_path, shape):
    header = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * 1000 * 1000]}}
    with pytest.raises(ValueError, match="damaged"):
        files.read_safetensors(header_only(tmp_path / "a", header))
    (tmp_path / "long").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(ValueError, match="damaged"):
        files.read_safetensors(tmp_path / "long")


def test_files_of_other_programs(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(save({"w": np.zeros(3)}, {"format": "pt"}))
    with pytest.raises(ValueError, match="of another program"):
        files.read_safetensors(path)
    path.write_bytes(save({"w": np.zeros(3)}))
    with pytest.raises(ValueError, match="of another program"):
        files.read_safetensors(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        '{"format": "fastnet"}',
        '{"version": 1}',
        '{"format": "fastnet", "version": 0}',
        '{"format": "fastnet", "version": "1"}',
    ],
    ids=range(9),
)
def test_damaged_metadata(tmp_path, text):
    (tmp_path / "a").write_bytes(save({"w": np.zeros(3)}, {"fastnet": text}))
    with pytest.raises(ValueError, match="damaged"):
        files.read_safetensors(tmp_path / "a")


def test_a_newer_version_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "VERSION", 2)
    write(tmp_path / "a")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="format version 2, written by a newer fastnet; this one reads version 1"):
        files.read_safetensors(tmp_path / "a")


@pytest.mark.parametrize("registered", [False, True])
def test_tensors_of_unknown_dtypes(registered, tmp_path):
    if registered:  # NumPy knows the type then
        pytest.importorskip("ml_dtypes", reason="comes with JAX")
    document = json.dumps({"format": "fastnet", "version": 1})
    header = {"__metadata__": {"fastnet": document}, "w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    with pytest.raises(ValueError, match="does not read"):
        files.read_safetensors(header_only(tmp_path / "a", header, bytes(4)))


def test_what_cannot_be_written_changes_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / "a")
    before = path.read_bytes()
    for arrays, metadata, expected in [
        ({"w": np.array(["text"])}, {}, TypeError),
        ({"w": np.array([object()])}, {}, TypeError),
        ({"w": np.zeros(2, complex)}, {}, TypeError),
        ({"__metadata__": np.zeros(2)}, {}, ValueError),
        ({"": np.zeros(2)}, {}, ValueError),
        ({}, {"value": float("nan")}, ValueError),
        ({}, {"value": object()}, ValueError),
        ({}, {"version": 3}, ValueError),
        ({}, ["a list"], TypeError),
    ]:
        with pytest.raises(expected):
            files.write_safetensors(path, arrays, metadata)
    monkeypatch.setattr(tensors, "LARGEST_DOCUMENT", 100)
    with pytest.raises(ValueError, match="bytes of JSON"):
        files.write_safetensors(path, {}, {"text": "x" * 100})
    assert path.read_bytes() == before and names(tmp_path) == ["a"]


# Classes


class Scale:
    def __init__(self, factor, inner=None):
        self.factor = factor
        self.inner = inner

    def config(self):
        return {"factor": self.factor, "inner": self.inner}


class Named:
    def config(self):
        return "relu"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    monkeypatch.setattr(registry, "_names", dict(registry._names))


def through_json(obj, **options):
    return files.from_config(json.loads(json.dumps(files.to_config(obj), allow_nan=False)), **options)


def test_registered_objects_come_back():
    assert files.register(Scale) is Scale
    back = through_json([Scale(2.0, inner=Scale(3)), {"a": Scale((1, 2))}])
    assert back[0].factor == 2.0 and back[0].inner.factor == 3
    assert back[1]["a"].factor == [1, 2]


def test_a_registered_name():
    @files.register(name="mine.Scale")
    class Other(Scale):
        pass

    assert files.to_config(Other(1))["class"] == "mine.Scale"
    assert type(through_json(Other(1))) is Other


def test_custom_objects_go_first():
    files.register(Scale)

    class Other(Scale):
        pass

    assert type(through_json(Scale(1), custom_objects={"Scale": Other})) is Other
    assert through_json(Other(5), custom_objects={"Other": Other}).factor == 5
    for wrong in ([Other], {"Other": Other(1)}):
        with pytest.raises(TypeError, match="custom_objects must be a dict"):
            through_json(Scale(1), custom_objects=wrong)


def test_an_unknown_class_says_what_to_do():
    with pytest.raises(ValueError, match=r"custom_objects=\{'Scale': Scale\}") as caught:
        through_json(Scale(1))
    assert "@fn.register" in str(caught.value)


def test_names_in_files_are_never_imported():
    for name in ("os.system", "subprocess.Popen", "builtins.eval", "antigravity", "register", "config.os"):
        with pytest.raises(ValueError, match="not known here"):
            files.from_config({"class": name, "config": {}})
    assert "antigravity" not in sys.modules


def test_two_classes_of_one_name():
    files.register(Scale)

    def redefined():
        class Scale:
            def config(self):
                return {}

        return Scale

    other = redefined()
    with pytest.raises(ValueError, match="name 'Scale' belongs to the class"):
        files.register(other)
    with pytest.raises(ValueError, match="would be loaded as"):
        files.to_config(other())
    first, second = (files.register(redefined(), name="Again") for _ in range(2))  # a notebook's cell run twice
    assert type(files.from_config({"class": "Again", "config": {}})) is second
    assert files.to_config(first())["class"] == "Again"


@pytest.mark.parametrize(
    "name", ["layers", "optimizers", "losses", "metrics", "initializers", "schedules", "training", "network"]
)
def test_every_module_can_be_imported_first(name):
    """Registering a class of fastnet's own imports nothing."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", f"import fastnet.{name}"], env=environment, check=True)


def test_public_classes_are_found_before_they_are_imported():
    program = """
from fastnet import files
assert files.from_config({"class": "schedules.Constant", "config": {"learning_rate": 0.5}})(0) == 0.5
assert files.from_config({"class": "Adam", "config": {"learning_rate": 0.5}}).learning_rate == 0.5
class Dense:
    def config(self):
        return {}
for function in (files.register, lambda cls: files.to_config(cls())):
    try:
        function(Dense)
    except ValueError as error:
        assert "fastnet.layers.dense.Dense" in str(error), error
    else:
        raise AssertionError
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_register_refuses_what_is_no_class():
    with pytest.raises(TypeError, match="takes a class"):
        files.register(lambda: 0)
    with pytest.raises(TypeError, match=r"needs a method config\(\)"):
        files.register(type("Bare", (), {}))
    with pytest.raises(TypeError, match="name must be a text"):
        files.register(Scale, name=3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_arrays_come_back_exactly(dtype):
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype).T
    back = through_json({"values": array})["values"]
    assert back.dtype == array.dtype and back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_nan_in_arrays_is_kept():
    assert np.isnan(through_json(np.array([np.nan, 1]))[0])


def test_plain_values():
    value = {"a": [1, 2.5, None, True, "text"], "b": {}}
    assert through_json(value) == value
    assert through_json((np.float32(0.5), np.int8(3))) == [0.5, 3]
    assert files.to_config(Named()) == "relu"


@pytest.mark.parametrize(
    "value", [lambda: 0, object(), Scale, {1: 2}, np.zeros(2, complex), np.array([None]), b"bytes", {1, 2}]
)
def test_what_a_file_cannot_hold(value):
    with pytest.raises(TypeError, match="file can't hold"):
        files.to_config([value])


def test_numbers_and_dicts_that_would_not_come_back():
    with pytest.raises(ValueError, match="number nan"):
        files.to_config({"rate": float("nan")})
    with pytest.raises(ValueError, match="mark an object"):
        files.to_config({"class": "Dense", "config": {}})

    class Wrong:
        def config(self):
            return [1]

    with pytest.raises(TypeError, match="must return a dict"):
        files.to_config(Wrong())


def test_damaged_configurations():
    files.register(Scale)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for data, text in [
        ({"class": "Scale", "config": {"wrong": 1}}, "does not take the arguments"),
        ({"class": "Scale", "config": {}}, "does not take the arguments"),
        ({"class": ["Scale"], "config": {}}, "damaged"),
        ({"class": "Scale", "config": 3}, "damaged"),
        ({"array": "AAAA", "dtype": "object", "shape": [1]}, "damaged"),
        ({"array": "AAAA", "dtype": "float64", "shape": [1]}, "damaged"),
        ({"array": "AAAAAAAAAAA=", "dtype": "float64", "shape": [1 << 60]}, "damaged"),
        ({"array": "?", "dtype": "float64", "shape": []}, "damaged"),
        ({"array": 3, "dtype": None, "shape": "x"}, "damaged"),
        (deep, "too deeply"),
    ]:
        with pytest.raises(ValueError, match=text):
            files.from_config(data)


def equal(a, b):
    """The same types, and the same bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return repr(a) == repr(b)


VALUES = [
    None, True, -3, 2**80, 0.1, -0.0, float("nan"), float("-inf"), "text", [], (), {}, [1, (2, [3.5])], {"a": {"b": (None,)}},
    {1: "one", "two": 2, (3,): 3}, {"float": "nan"}, {"array": {"tuple": []}}, {"class": "X", "config": {}}, np.float32(0.1),
    np.int64(7), np.bool_(True), np.array([np.nan, -0.0]), np.zeros((0, 3), np.uint8), np.array(5.0),
    {"a/b": np.ones(1), "a": {"b": np.zeros(1)}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[str(i) for i in range(len(VALUES))])
def test_packed_values_come_back_to_the_bit(value, tmp_path):
    tensors = {}
    packed = files.pack(value, tensors, "place")
    files.write_safetensors(tmp_path / "a", tensors, {"value": packed})
    read, document = files.read_safetensors(tmp_path / "a")
    assert equal(files.unpack(document["value"], read), value)
    assert files.read_metadata(tmp_path / "a") == document


def test_sets_and_what_cannot_be_packed():
    assert files.unpack(files.pack({"b", "a"}, {}, ""), {}) == {"a", "b"}
    with pytest.raises(TypeError, match=r"^state/a/1 is object .*; a file holds numbers, texts, arrays"):
        files.pack({"a": [1, object()]}, {}, "state")
    with pytest.raises(TypeError, match="state is an array of shape .* dtype complex128"):
        files.pack(np.ones(2, complex), {}, "state")


def test_metadata_of_a_damaged_file(tmp_path):
    (tmp_path / "a").write_bytes(b"damaged file")
    with pytest.raises(ValueError, match="is not a safetensors file, or damaged"):
        files.read_metadata(tmp_path / "a")
