"""Files that claim, name or hold what a loader must not take: each is one clear error, at once and without memory.

What fuzzing finds lies in tests/fuzz/corpus; here is what was found by thinking.
"""

import gzip
import json
import os
import struct
import time
import zipfile

import numpy as np
import pytest

import fastnet as fn
from fastnet import checks, files
from fastnet.datasets import load, read_idx_folder, read_npy
from fastnet.datasets.npy_header import read_npy_header
from fastnet.files import limits


def rewritten(path, change):
    """Write a file of ours again, with another document."""
    arrays, document = files.read_safetensors(path)
    change(document)
    files.write_safetensors(path, arrays, document)
    return path


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "a.safetensors"
    fn.Network([fn.Dense(3), fn.Dense(2)], input_shape=(4,), seed=0).save(path)
    return path


# Bounds


def test_what_a_file_may_ask_for():
    assert limits.allowed(1000) == limits.FLOOR
    assert limits.allowed(1 << 30) == limits.RATIO << 30
    files.check_claim("a", limits.FLOOR, 10)
    with pytest.raises(
        ValueError, match=r"^a claims to hold 1,099,511,627,776 bytes packed into 10, which no real data does"
    ):
        files.check_claim("a", 1 << 40, 10)


def test_paths_stay_inside_of_a_directory(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path / "secret")
    inside = str(tmp_path / "in")
    assert files.check_inside(inside, "b/../a", "it names") == os.path.join(os.path.realpath(inside), "a")
    for path in ("../secret", "/etc/passwd", "out", str(tmp_path / "inn")):
        with pytest.raises(ValueError, match="^it names .* which is not in the directory"):
            files.check_inside(inside, path, "it names")


# JSON


@pytest.mark.parametrize(
    "text, message",
    [
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
        ("[" * 200_000, "nested more than 100 deep"),
        ('{"a": 1, "b": 2, "a": 3}', "it has the key 'a' twice"),
        ("[NaN]", "it has NaN, which JSON has not"),
        ('{"a": -Infinity}', "it has -Infinity, which JSON has not"),
        ("1" * 5000, "limit"),
        ("{", "line 1 column 2"),
    ],
)
def test_json_that_is_not_taken(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        files.parse_json(text)
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"run.json is damaged: .*{message}"):
        files.read_json(path, dict)


def test_json_that_is_taken():
    assert files.parse_json('{"a": [1, 2.5, null, "x"], "b": {}}') == {"a": [1, 2.5, None, "x"], "b": {}}
    assert files.parse_json("[" * 100 + "]" * 100)


def test_what_can_be_written_can_be_read(tmp_path):
    value = 1
    for _ in range(101):
        value = [value]
    with pytest.raises(ValueError, match="metadata can't be written as JSON: it is nested more than 100 deep"):
        files.write_safetensors(tmp_path / "a", {}, {"a": value})


def test_tables_of_runs_that_are_no_tables(tmp_path):
    for content in (b"a,b\n\xff,2\n", b'a,b\n"' + b"x" * 200_000):
        (tmp_path / "history.csv").write_bytes(content)
        with pytest.raises(ValueError, match="history.csv is damaged: "):
            files.read_rows(tmp_path / "history.csv")


# Models and checkpoints


def test_layers_that_claim_to_be_huge_take_no_memory(model):
    def grow(document):
        document["layers"][0]["config"]["units"] = 10**12

    with pytest.raises(
        ValueError, match=r"(?s)a.safetensors: .*shape of dense_1.weight: \(4, 3\) instead of \(4, 1000000000000\)"
    ):
        fn.load(rewritten(model, grow))


def test_memory_of_other_networks_that_claims_to_be_huge(model):
    def lay_out(document):
        names = [[f"dense_{i}.{name}", shape, True] for i, shapes in ((1, ([4, 3], [3])), (2, ([3, 2], [2])))
                 for name, shape in zip(("weight", "bias"), shapes, strict=True)]  # fmt: skip
        document["layout"] = [[*names, [None, [10**6, 10**6], True]]]

    with pytest.raises(ValueError, match=r"a.safetensors: .*its layout claims to hold 8,000,000,000,\d+ bytes"):
        fn.load(rewritten(model, lay_out))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(forward_count=10**40),
        lambda d: d.update(seed=-1),
        lambda d: d["layers"][0]["config"].update(name=3),
        lambda d: d.update(dtype="(1000000,)f4,(01,)f4"),
        lambda d: d.update(nodes=3),
        lambda d: d.update(frozen=["a"]),
    ],
)
def test_documents_that_make_no_sense_are_one_error(model, change):
    with pytest.raises(ValueError, match="a.safetensors: cannot be read as a fastnet network: "):
        fn.load(rewritten(model, change))


def test_similar_names_are_looked_for_among_few_and_short_ones():
    assert checks.nearest("dense_1", ["dense_2"]) == "; did you mean 'dense_2'?"
    began = time.perf_counter()
    assert checks.nearest("a" * 10**6, ["a" * (10**6 - 1)]) == ""
    checks.nearest("dense_1", (f"dense_{i}" for i in range(10**9)))
    assert time.perf_counter() - began < 30


def test_names_of_dtypes_are_not_evaluated():
    assert checks.plain_dtype("<f4") == np.float32 and checks.plain_dtype(np.float64) == np.float64
    for text in ("f4,f4", "(2,)f4", "1f4", "f4\n"):
        with pytest.raises(TypeError, match="is not the name of a dtype"):
            checks.plain_dtype(text)


class Pause(fn.Callback):
    def __init__(self, path):
        self.path = path

    def batches_until_pause(self, trainer):
        return 1

    def on_pause(self, trainer):
        if trainer.batches == 3:
            trainer.save_checkpoint(self.path)


@pytest.fixture
def unfinished(tmp_path):
    """Make a checkpoint of a fit that has a callback."""

    def make(callback):
        net = fn.Network([fn.Dense(2)], input_shape=(3,), seed=0)
        (tmp_path / "kept").mkdir(exist_ok=True)
        pause = Pause(tmp_path / "kept" / "c.safetensors")
        net.fit(
            np.ones((8, 3)),
            np.zeros((8, 2)),
            loss="mse",
            epochs=2,
            batch_size=2,
            verbose=0,
            callbacks=[callback, pause],
        )
        return pause

    return make


def test_a_checkpoint_does_not_choose_where_a_training_writes(tmp_path, unfinished):
    pause = unfinished(fn.CSVLogger(tmp_path / "log.csv"))
    with pytest.raises(
        ValueError,
        match=r"CSVLogger\(path='.*log.csv'\), which writes to another place than the checkpoint's directory",
    ):
        fn.Trainer.resume(pause.path, callbacks=[pause])
    logger = fn.CSVLogger(tmp_path / "log.csv")
    assert logger in fn.Trainer.resume(pause.path, callbacks=[pause, logger]).unfinished.callbacks


def test_callbacks_that_write_beside_the_checkpoint_are_made_anew(tmp_path, unfinished):
    (tmp_path / "kept").mkdir()
    pause = unfinished(
        fn.ModelCheckpoint(tmp_path / "kept" / "{epoch:03}-{loss:.3f}.safetensors", "loss", best_only=False)
    )
    trainer = fn.Trainer.resume(pause.path, callbacks=[pause])
    trainer.fit(np.ones((8, 3)), np.zeros((8, 2)))
    assert any(name.startswith("002-") for name in os.listdir(tmp_path / "kept"))


@pytest.mark.parametrize("field", ["{epoch!s:.<2.0}", "{loss.__class__}", "{epoch:1000000000}"])
def test_paths_with_figures_have_no_other_fields(tmp_path, unfinished, field):
    pause = unfinished(fn.ModelCheckpoint(tmp_path / "kept" / "{epoch}.safetensors", "loss", best_only=False))
    evil = str(tmp_path / "kept" / field / "a.safetensors")

    def change(document):
        document["fit"]["callbacks"][0]["config"]["path"] = evil

    with pytest.raises(ValueError, match="more than names and widths of figures in its path"):
        fn.Trainer.resume(rewritten(pause.path, change), callbacks=[pause])


# Data


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        '{"shape": (2L, 3L), "fortran_order": False, "descr": "<f4"}\n',
        "{ 'fortran_order':False,'descr':'<f4','shape':(2,3,) }",
    ],
)
def test_headers_of_numpys_format(tmp_path, header):
    content = (
        b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + np.arange(6, dtype="<f4").tobytes()
    )
    (tmp_path / "a.npy").write_bytes(content)
    assert np.array_equal(read_npy(tmp_path / "a.npy"), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}", "{'descr': 'q9', 'fortran_order': False, 'shape': ()}",
        "", "{",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, ,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': ()} 1",
    ],
)  # fmt: skip
def test_headers_that_are_none(tmp_path, header):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode())
    with open(tmp_path / "a.npy", "rb") as file, pytest.raises(ValueError, match="^its (header|shape|dtype)"):
        read_npy_header(file)


def test_links_out_of_folders_are_not_followed(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            image.new("L", (2, 2)).save(tmp_path / "images" / name / f"{i}.png")
    (tmp_path / "images" / "a" / "3.png").symlink_to(tmp_path / "images" / "b" / "0.png")
    assert len(load(tmp_path / "images", test=0).x) == 7
    (tmp_path / "secret").mkdir()
    image.new("L", (2, 2)).save(tmp_path / "secret" / "0.png")
    (tmp_path / "images" / "a" / "4.png").symlink_to(tmp_path / "secret" / "0.png")
    with pytest.raises(ValueError, match="has a link to .*, which is not in the directory"):
        load(tmp_path / "images")
    os.unlink(tmp_path / "images" / "a" / "4.png")
    (tmp_path / "images" / "c").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="has a link to 'c', which is not in the directory"):
        load(tmp_path / "images")


def test_a_link_to_an_idx_file_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    content = b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abc"
    (tmp_path / "labels").write_bytes(content)
    (tmp_path / "data" / "images-idx1-ubyte").write_bytes(content)
    (tmp_path / "data" / "labels-idx1-ubyte").symlink_to(tmp_path / "labels")
    with pytest.raises(ValueError, match="has a link to 'labels-idx1-ubyte', which is not in the directory"):
        read_idx_folder(tmp_path / "data")


@pytest.mark.parametrize(
    "content",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\nshowpage\n", b"\xd7\xcd\xc6\x9a" + bytes(80)],
)
def test_formats_that_other_programs_would_draw_are_no_images(tmp_path, content, monkeypatch):
    pytest.importorskip("PIL")
    from fastnet.datasets import image_files

    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / "a.png").write_bytes(content)
    for read in (
        lambda: image_files.read_header(tmp_path / "a.png"),
        lambda: image_files.decode(tmp_path / "a.png", np.empty((2, 2, 3), np.uint8)),
    ):
        with pytest.raises(ValueError, match="a.png cannot be read as an image: cannot identify"):
            read()


def test_many_pixels_in_few_bytes_are_not_decoded(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from fastnet.datasets import image_files

    image.new("L", (11_000, 11_000)).save(tmp_path / "a.png")
    image_files.decode(tmp_path / "a.png", np.empty((2, 2, 1), np.uint8))
    with pytest.raises(ValueError, match="claims to hold 605,792,000 bytes packed into"):  # in colours
        image_files.decode(tmp_path / "a.png", np.empty((2, 2, 3), np.uint8))


def test_many_rows_of_one_pixel_are_not_decoded(tmp_path):
    """Pillow takes 24 bytes for each, of which 4 are the pixel."""
    image = pytest.importorskip("PIL.Image")
    from fastnet.datasets import image_files

    image.new("RGB", (1, 6)).save(tmp_path / "a.tif")
    length = lambda rows: struct.pack("<HHLL", 257, 4, 1, rows)  # noqa: E731
    content = (tmp_path / "a.tif").read_bytes()
    assert length(6) in content
    (tmp_path / "a.tif").write_bytes(content.replace(length(6), length(1 << 25)))
    with pytest.raises(ValueError, match="a.tif claims to hold .* bytes packed into"):
        image_files.decode(tmp_path / "a.tif", np.empty((4, 4, 3), np.uint8))


def test_a_header_of_many_columns_is_read_at_once(tmp_path):
    count = 20_000
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"c{i}" for i in range(count)) + "\n" + ",".join("1" for _ in range(count)) + "\n")
    began = time.perf_counter()
    with pytest.raises(ValueError, match="target 'c0'"):
        load(path, target="c0", test=0)
    assert time.perf_counter() - began < 60


def test_categories_that_would_take_far_more_memory_than_the_file(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i % 300},{i % 2}\n".replace(",", "x,", 1) for i in range(1200)))
    load(path, target="y")
    monkeypatch.setattr(limits, "FLOOR", 1 << 10)
    monkeypatch.setattr(limits, "RATIO", 100)
    with pytest.raises(
        ValueError, match=r"a.csv claims to hold 1,440,000 bytes .* leave out columns with many categories"
    ):
        load(path, target="y")


# Other programs' weights


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archives_are_stored_or_deflated(tmp_path, packing):
    pytest.importorskip("h5py")
    with zipfile.ZipFile(tmp_path / "a.keras", "w", packing) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"x")
    with pytest.raises(ValueError, match=r"a.keras is not a file of Keras 3.*packed in a way that is not used there"):
        fn.io.load_keras_weights(fn.Network([fn.Dense(2)], input_shape=(3,)), tmp_path / "a.keras")


def test_attributes_that_claim_too_much_are_not_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs.create("layer_names", np.zeros((1 << 20) + 1, "S1"))
    with pytest.raises(ValueError, match=r"a.h5 can't be read .*'layer_names' claims 1,048,577 bytes"):
        fn.io.load_keras_weights(fn.Network([fn.Dense(2)], input_shape=(3,)), tmp_path / "a.h5")


def test_attributes_that_name_one_long_text_often_are_not_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["padding"] = np.zeros(1 << 20, "f4")
        file.attrs.create("layer_names", [f"layer_{i}" for i in range(300)], dtype=h5py.string_dtype())
    with pytest.raises(
        ValueError, match=r"a.h5 can't be read .*its attribute claims to hold .* with a fixed length, as Keras does"
    ):
        fn.io.load_keras_weights(fn.Network([fn.Dense(2)], input_shape=(3,)), tmp_path / "a.h5")


def test_gzip_of_text_goes_on_below_the_bound(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n3,4\n" * 10_000))
    assert len(load(tmp_path / "a.csv.gz", target="b", task="classification").x) == 16_000


def test_a_long_cell_does_not_widen_all_lines_of_a_comparison(tmp_path):
    from fastnet.cli.compare import compared

    description = {"options": {"a": "x" * 100_000}, "results": {}, "epochs": 1}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(description))
        description["options"]["a"] = "y"
    text = compared([str(tmp_path / "one"), str(tmp_path / "two")])
    assert "xxx..." in text and len(text) < 10_000
    (tmp_path / "two" / "run.json").write_text('{"options": 3, "results": {}}')
    with pytest.raises(ValueError, match="a file of the run is damaged"):
        compared([str(tmp_path / "one"), str(tmp_path / "two")])
