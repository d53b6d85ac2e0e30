"""IDX and .npz files: what they hold comes back, and nothing is believed that the bytes don't bear out."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from fastnet.datasets import read_idx, read_idx_folder, read_npz

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array) -> bytes:
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_round_trip(tmp_path, dtype, packed):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / "a-idx3"
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    read = read_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative and read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_cut_anywhere_is_refused(tmp_path, packed):
    whole = idx_bytes(np.arange(30, dtype="uint8").reshape(5, 6))
    whole = gzip.compress(whole) if packed else whole
    path = tmp_path / "a.idx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.idx is"):
            read_idx(path)
    path.write_bytes(whole + b"\1\1")
    with pytest.raises(ValueError, match="damaged"):
        read_idx(path)


def test_idx_with_content_behind_the_array(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(idx_bytes(np.zeros(5, "uint8")) + b"x"))
    with pytest.raises(ValueError, match="damaged"):
        read_idx(tmp_path / "a")


def test_idx_flipped_bits_in_gzip_are_found(tmp_path):
    whole = gzip.compress(idx_bytes(np.arange(200, dtype="uint8")))
    path = tmp_path / "a"
    for position in range(10, len(whole)):  # behind gzip's header, some of whose bits mean nothing
        flipped = bytearray(whole)
        flipped[position] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="is "):
            read_idx(path)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"P1\n1 1\n", b"\0\0\x07\x01\0\0\0\1x", b"\0\0\x08\0x"])
def test_what_is_no_idx_file(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"not an IDX file|is empty"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize("packed", [False, True])
def test_idx_headers_that_claim_too_much(tmp_path, packed):
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(100)
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=r"claims to hold|damaged"):
        read_idx(tmp_path / "a")


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fastnet.files.limits.FLOOR", 100_000)
    zeros = np.zeros(1_000_000, "uint8")
    (tmp_path / "a").write_bytes(gzip.compress(idx_bytes(zeros)))
    with pytest.raises(ValueError, match="store it without compression"):
        read_idx(tmp_path / "a")
    np.savez_compressed(tmp_path / "a.npz", **{f"x{i}": zeros[:90_000] for i in range(5)})  # each of them is small
    with pytest.raises(ValueError, match="store it without compression"):
        read_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=zeros)
    assert read_npz(tmp_path / "a.npz")["x"].shape == zeros.shape


def write_folder(folder, prefixes=("train", "t10k"), packed=True):
    for prefix in prefixes:
        for kind, array in (
            ("images-idx3", np.arange(18, dtype="uint8").reshape(2, 3, 3)),
            ("labels-idx1", np.arange(2, dtype="uint8")),
        ):
            content = idx_bytes(array)
            name = f"{prefix}-{kind}-ubyte" + (".gz" if packed else "")
            (folder / name).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("prefixes", [("train", "t10k"), ("emnist-letters-train", "emnist-letters-test"), ("train",)])
def test_folders(tmp_path, packed, prefixes):
    write_folder(tmp_path, prefixes, packed)
    (tmp_path / "README.txt").write_text("images and labels")
    parts = read_idx_folder(tmp_path)
    assert list(parts) in (["x", "y", "x_test", "y_test"], ["x_test", "y_test", "x", "y"], ["x", "y"])
    assert len(parts) == 2 * len(prefixes)
    assert parts["x"].shape == (2, 3, 3) and parts["y"].shape == (2,)


def test_a_folder_with_files_packed_and_unpacked(tmp_path):
    write_folder(tmp_path, ("train",), packed=True)
    write_folder(tmp_path, ("train",), packed=False)
    for path in tmp_path.glob("*.gz"):
        path.write_bytes(b"not read")
    assert read_idx_folder(tmp_path)["x"].shape == (2, 3, 3)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_idx_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="without a file such as train-images-idx3-ubyte"):
        read_idx_folder(tmp_path)
    write_folder(tmp_path, ("train", "t10k"))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match="half of a test part: t10k-images"):
        read_idx_folder(tmp_path)
    write_folder(tmp_path, ("other",))
    with pytest.raises(ValueError, match="several data sets"):
        read_idx_folder(tmp_path)


# npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_round_trip(tmp_path, save):
    expected = {
        "x": np.arange(6.0).reshape(2, 3),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(3, dtype=">i4"),
        "texts": np.array(["a", "bc"]),
        "empty": np.zeros((0, 3), "float32"),
        "scalar": np.array(3),
        "mask": np.array([True]),
    }
    save(tmp_path / "a.npz", **expected)
    read = read_npz(tmp_path / "a.npz")
    assert read.keys() == expected.keys()
    for name, array in expected.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}, None], object))
    with pytest.raises(ValueError, match="arrays of Python objects"):
        read_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=np.zeros(3, [("a", "f4")]))
    with pytest.raises(ValueError, match="reads numbers, booleans and text"):
        read_npz(tmp_path / "a.npz")


def test_npz_cut_anywhere_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(50), y=np.arange(3))
    whole = (tmp_path / "a.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.npz"):
            read_npz(path)


def test_npz_flipped_bits(tmp_path):
    array = np.arange(50)
    np.savez_compressed(tmp_path / "a.npz", x=array)
    whole = (tmp_path / "a.npz").read_bytes()
    path = tmp_path / "flipped.npz"
    refused = 0
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 16
        path.write_bytes(flipped)
        try:
            read = read_npz(path)
        except ValueError as error:
            assert "flipped.npz" in str(error)
            refused += 1
        else:  # a date, a flag, or a name that other members could have
            for content in read.values():
                np.testing.assert_array_equal(content, array)
    assert refused > len(whole) / 2


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ((((((((1,)))))))), }",
        "{'descr': 3}",
        "__import__('os').getcwd()",
        "",
    ],
    ids=range(9),
)
def test_npz_headers_that_lie(tmp_path, header):
    member = io.BytesIO()
    member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0\0\0")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue())
    with pytest.raises(ValueError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_npz_of_other_kinds(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"not an \.npz file"):
        read_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert read_npz(tmp_path / "b.npz") == {}
    with pytest.raises(FileNotFoundError, match=r"did you mean 'a\.npz'"):
        read_npz(tmp_path / "aa.npz")


@pytest.mark.parametrize("code", CODES)
def test_arrays_of_every_type_can_be_written_to(tmp_path, code):
    array = np.arange(6).reshape(2, 3).astype(code)
    (tmp_path / "a").write_bytes(gzip.compress(idx_bytes(array)))
    np.savez_compressed(tmp_path / "a.npz", x=array, empty=array[:0])
    for found in (read_idx(tmp_path / "a"), read_npz(tmp_path / "a.npz")["x"]):
        assert np.array_equal(found, array) and found.dtype == array.dtype and found.dtype.isnative
        found += 1
    assert read_npz(tmp_path / "a.npz")["empty"].shape == (0, 3)
