"""Folders of images: what is found, decoded, resized, refused; decoding beside the training."""

import os
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest

import fastnet as fn
from fastnet.datasets import Encoder, Images, image_files, image_folder, load, read_inputs, train_test_split

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

pytestmark = pytest.mark.filterwarnings("error")


def picture(seed=0, height=6, width=8, channels=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def write(path, pixels, **options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


@pytest.fixture
def folder(tmp_path):
    """Two classes of colour images of 6 x 8, with a test part: red ones and blue ones."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("test", 4)):
        for name, channel in (("red", 0), ("blue", 2)):
            for i in range(n):
                pixels = rng.integers(0, 100, (6, 8, 3), dtype=np.uint8)
                pixels[..., channel] += 120
                write(tmp_path / "data" / part / name / f"{i:02}.png", pixels)
    return tmp_path / "data"


def test_parts_classes_and_values(folder):
    data = image_folder(folder)
    assert data.classes == ["blue", "red"] and data.task == "classification"
    assert data.x.shape == (24, 6, 8, 3) and data.x_test.shape == (8, 6, 8, 3) and len(data.x) == 24
    assert data.y.tolist() == [0] * 12 + [1] * 12 and data.y_test.tolist() == [0] * 4 + [1] * 4
    assert data.x.files[0] == os.path.join(folder, "train", "blue", "00.png")
    expected = np.asarray(Image.open(data.x.files[13])) * np.float32(1 / 255)
    assert data.x[13].dtype == np.float32
    np.testing.assert_array_equal(data.x[13], expected)
    np.testing.assert_array_equal(data.x[[2, 13]][1], expected)
    np.testing.assert_array_equal(data.x[13, 2, 3], expected[2, 3])
    np.testing.assert_array_equal(data.x[data.y == 1][1], expected)
    whole = np.asarray(data.x)
    assert whole.dtype == np.float32 and whole.shape == data.x.shape
    np.testing.assert_array_equal(whole[13], expected)
    assert np.asarray(data.x, np.float64).dtype == np.float64
    assert "24 images of 6 x 8 x 3, 24 decoded" in repr(data.x)


@pytest.mark.parametrize("format", ["png", "bmp", "webp", "gif", "tiff", "ppm"])
def test_formats(tmp_path, format):
    pixels = np.kron(np.arange(4, dtype=np.uint8).reshape(2, 2), np.ones((4, 4), np.uint8)) * 80
    pixels = np.stack([pixels, 255 - pixels, pixels // 2], axis=-1)
    options = {"lossless": True} if format == "webp" else {}
    write(tmp_path / "a" / f"1.{format}", pixels, **options)
    write(tmp_path / "b" / f"1.{format.upper()}", pixels, **options)
    data = image_folder(tmp_path, test=0)
    assert data.x_test is None and len(data.x) == 2
    np.testing.assert_array_equal(data.x.shape, (2, 8, 8, 3))
    np.testing.assert_array_equal(np.asarray(data.x)[1], pixels * np.float32(1 / 255))


def test_jpeg(tmp_path):
    pixels = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    for name in ("a", "b"):
        write(tmp_path / name / "1.jpeg", pixels, quality=95)
    np.testing.assert_allclose(np.asarray(image_folder(tmp_path, test=0).x)[0] * 255, pixels, atol=4)


def test_one_folder_of_classes_is_divided(tmp_path):
    for name in ("a", "b"):
        for i in range(10):
            write(tmp_path / name / f"{i}.png", picture(i))
    data = image_folder(tmp_path, test=0.3)
    assert (len(data.x), len(data.x_test)) == (14, 6) and np.bincount(data.y_test).tolist() == [3, 3]
    assert sorted([*data.x.files, *data.x_test.files]) == sorted(image_folder(tmp_path, test=0).x.files)
    assert image_folder(tmp_path, test=0.3, seed=1).x_test.files != data.x_test.files
    assert load(tmp_path, test=0.3).x.files == data.x.files


def test_what_is_left_out(folder):
    write(folder / "train" / "red" / ".hidden.png", picture())
    write(folder / "train" / ".cache" / "1.png", picture())
    write(folder / "train" / "red" / ".thumbnails" / "1.png", picture())
    (folder / "train" / "red" / "notes.txt").write_text("no image")
    (folder / "README.md").write_text("no class")
    pixels = write(folder / "train" / "red" / "deep" / "below.png", picture())
    data = image_folder(folder)
    assert len(data.x) == 25 and data.classes == ["blue", "red"]
    np.testing.assert_array_equal(data.x[24], pixels * np.float32(1 / 255))


def test_sizes(tmp_path):
    for i, (height, width) in enumerate([(20, 30), (10, 10), (40, 20)]):
        for name in ("a", "b"):
            write(tmp_path / name / f"{i}.png", picture(i, height, width))
    with pytest.raises(
        ValueError, match=r"3 sizes: .*0.png is 20 x 30 and .*2.png is 40 x 20 \(height x width\); give the size"
    ):
        image_folder(tmp_path)
    data = image_folder(tmp_path, size=(12, 8), test=0)
    assert data.x.shape == (6, 12, 8, 3)
    expected = Image.open(data.x.files[2]).resize((8, 12), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.x[2], np.asarray(expected) * np.float32(1 / 255))
    assert image_folder(tmp_path, size=9, test=0).x.shape == (6, 9, 9, 3)


def test_a_great_jpeg_is_decoded_at_a_fraction_and_looks_the_same(tmp_path):
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (512, 1)), np.tile(ramp[:, None], (1, 512)), np.full((512, 512), 99, np.uint8)], -1
    )
    path = tmp_path / "great.jpg"
    write(path, pixels, quality=95)
    out = np.empty((20, 30, 3), np.uint8)
    image_files.decode(str(path), out)
    expected = np.asarray(Image.open(path).resize((30, 20), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(out.astype(int), expected, atol=6)


def test_channels(tmp_path):
    write(tmp_path / "a" / "grey.png", picture(0, channels=1))
    write(tmp_path / "b" / "grey.png", picture(1, channels=1))
    assert image_folder(tmp_path, test=0).x.shape == (2, 6, 8, 1)
    np.testing.assert_array_equal(
        image_folder(tmp_path, test=0).x[1][..., 0], picture(1, channels=1) * np.float32(1 / 255)
    )
    write(tmp_path / "b" / "colour.png", picture(2))
    mixed = image_folder(tmp_path, test=0)
    assert mixed.x.shape == (3, 6, 8, 3)
    np.testing.assert_array_equal(mixed.x[0], np.repeat(image_folder(tmp_path, channels=1, test=0).x[0], 3, axis=2))
    write(tmp_path / "b" / "clear.png", picture(3, channels=4))
    assert image_folder(tmp_path, test=0).x.shape == (4, 6, 8, 3)
    assert image_folder(tmp_path, channels=4, test=0).x[0, 0, 0, 3] == 1  # opaque


def test_transparency_of_all(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name / "1.png", picture(3, channels=4))
    np.testing.assert_array_equal(image_folder(tmp_path, test=0).x[0], picture(3, channels=4) * np.float32(1 / 255))


def test_palettes_and_sixteen_bits(tmp_path):
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:3] = (255, 0, 0)
    os.makedirs(tmp_path / "a")
    Image.fromarray(pixels).convert("P").save(tmp_path / "a" / "palette.png")
    write(tmp_path / "b" / "deep.png", np.full((6, 8), 0x8001, np.uint16))
    data = image_folder(tmp_path, test=0)
    assert data.x.shape == (2, 6, 8, 3)
    np.testing.assert_array_equal(data.x[0], pixels * np.float32(1 / 255))
    np.testing.assert_array_equal(data.x[1], np.full((6, 8, 3), 0x80) * np.float32(1 / 255))


@pytest.mark.parametrize("format", ["jpg", "png"])
def test_orientation(tmp_path, format):
    """What a camera that was held upright writes: the pixels turned, and a tag that says so."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    for name in ("a", "b"):
        write(tmp_path / name / f"1.{format}", pixels, exif=exif)
    data = image_folder(tmp_path, test=0)
    assert data.x.shape == (2, 32, 16, 3)
    np.testing.assert_allclose(data.x[0], np.rot90(pixels, -1) / 255, atol=0.1)


# --- files that cannot be read ------------------------------------------------------------------------------------------


def break_header(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))


def break_pixels(path):
    """A header that can be read, and pixels that cannot."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def test_broken_headers(folder):
    break_header(folder / "train" / "red" / "03.png")
    with pytest.raises(ValueError, match=r"red.03\.png cannot be read as an image"):
        image_folder(folder)
    with pytest.warns(UserWarning, match=r"left out, as they cannot be read: .*red.03\.png"):
        data = image_folder(folder, on_error="skip")
    assert len(data.x) == 23 and data.y.tolist() == [0] * 12 + [1] * 11


def test_broken_pixels(folder):
    for name in ("00", "05", "07", "11"):
        break_pixels(folder / "train" / "red" / f"{name}.png")
    data = image_folder(folder)  # nothing is decoded yet
    with pytest.raises(ValueError, match=r"red.05\.png cannot be read as an image"):
        data.x[17]
    net = fn.Network([fn.Flatten(), fn.Dense(2)], input_shape=(6, 8, 3), seed=0)
    with pytest.raises(ValueError, match=r"red.\d\d\.png cannot be read as an image"):
        net.fit(data.x, data.y, loss="softmax_cross_entropy", verbose=0)
    with pytest.warns(UserWarning, match=r"left out.*00\.png.*05\.png.*07\.png and 1 more"):
        data = image_folder(folder, on_error="skip", size=(6, 8), channels=3)
    assert len(data.x) == 20 and np.asarray(data.x).shape == (20, 6, 8, 3)
    assert [os.path.basename(file) for file in data.x.files[12:15]] == ["01.png", "02.png", "03.png"]


def test_a_bomb_is_refused(tmp_path):
    """A header that claims more pixels than any photograph has."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    for name in ("a", "b"):
        os.makedirs(tmp_path / name)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
        (tmp_path / name / "1.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(ValueError, match=r"1\.png cannot be read as an image.*bomb"):
        image_folder(tmp_path, test=0)


# --- decoding beside the training ----------------------------------------------------------------------------------------


def make_net():
    layers = [fn.Flatten(), fn.Dense(8, activation="relu"), fn.Dense(2)]
    return fn.Network(layers, input_shape=(6, 8, 3), seed=0)


SETTINGS = {"epochs": 3, "batch_size": 5, "loss": "softmax_cross_entropy", "optimizer": fn.Adam(0.01),
            "metrics": ["accuracy"], "verbose": 0}  # fmt: skip


@pytest.mark.parametrize("augment", [[], [fn.augment.RandomFlip(), fn.augment.RandomCrop(1), fn.augment.Contrast()]])
def test_training_has_the_bits_of_training_on_arrays(folder, augment, tmp_path):
    data = image_folder(folder)
    by_files, by_arrays, cached = make_net(), make_net(), make_net()
    a = by_files.fit(data.x, data.y, validation=(data.x_test, data.y_test), augment=augment, **SETTINGS)
    x, x_test = np.asarray(data.x), np.asarray(data.x_test)
    b = by_arrays.fit(x, data.y, validation=(x_test, data.y_test), augment=augment, **SETTINGS)
    assert dict(a) == dict(b)
    data = image_folder(folder, cache=tmp_path)
    c = cached.fit(data.x, data.y, validation=(data.x_test, data.y_test), augment=augment, **SETTINGS)
    assert dict(a) == dict(c) and isinstance(data.x.array, np.memmap)
    assert by_files.evaluate(data.x_test, data.y_test) == by_arrays.evaluate(x_test, data.y_test)
    np.testing.assert_array_equal(by_files.predict(data.x_test), by_arrays.predict(x_test))
    trainer = fn.Trainer(by_files, loss="mse", optimizer="sgd")
    assert trainer.train_on_batch(data.x.take([0, 1]), np.eye(2))["loss"] > 0


def test_a_share_for_validation(folder):
    data = image_folder(folder)
    by_files, by_arrays = make_net(), make_net()
    a = by_files.fit(data.x, data.y, validation=0.25, **SETTINGS)
    b = by_arrays.fit(np.asarray(data.x), data.y, validation=0.25, **SETTINGS)
    assert dict(a) == dict(b)


def test_training_begins_before_all_is_decoded(folder, monkeypatch):
    """The last images are decoded only after the first step."""
    decode, stepped, found, begun = image_files.decode, threading.Event(), [], []

    def slowly(path, out):
        if path in data.x.files[16:]:
            stepped.wait(20)
        decode(path, out)
        found.append(path)

    class Watch(fn.Callback):
        def on_batch_end(self, trainer, logs):
            begun.append(len(found))
            stepped.set()

    monkeypatch.setattr(image_files, "decode", slowly)
    data = image_folder(folder)
    make_net().fit(data.x, data.y, callbacks=[Watch()], shuffle=False, **SETTINGS | {"batch_size": 8, "epochs": 1})
    assert 8 <= begun[0] <= 16 and len(begun) == 3 and sorted(found) == data.x.files


def test_division_and_parts(folder):
    data = image_folder(folder)
    (x, _), (x_test, y_test) = train_test_split(data.x, data.y, test=0.25)
    assert isinstance(x, Images) and len(x) == 18 and len(x_test) == 6 and np.bincount(y_test).tolist() == [3, 3]
    data.x.wait([3, 20])
    part = data.x.take([20, 5])
    assert part.files == [data.x.files[20], data.x.files[5]]
    np.testing.assert_array_equal(np.asarray(part), np.asarray(data.x)[[20, 5]])


def test_an_array_that_nobody_keeps_ends_its_threads(folder):
    images = image_folder(folder).x
    images.prefer(np.arange(24))
    threads = images._decoder.threads
    del images
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_decodes_by_itself(folder):
    images = image_folder(folder).x
    images.prefer(np.arange(24))
    expected = images[3].sum()
    with warnings.catch_warnings():  # which CPython 3.15 wants here: with pytest's mark it is an error there
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os._exit(0 if np.asarray(images)[3].sum() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_encoder_keeps_classes_and_size(folder, tmp_path):
    data = image_folder(folder)
    encoder = Encoder.from_config(data.encoder.config())
    assert encoder.classes == ["blue", "red"]
    new = write(tmp_path / "new" / "1.png", picture(9, 12, 16))
    x = encoder.transform(read_inputs(tmp_path / "new", encoder))
    expected = np.asarray(Image.fromarray(new).resize((8, 6), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.asarray(x)[0], expected * np.float32(1 / 255))
    one = encoder.transform(read_inputs(tmp_path / "new" / "1.png", encoder))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(x))
    np.testing.assert_array_equal(encoder.transform(expected[None]), np.asarray(x))
    with pytest.raises(ValueError, match=r"images of shape \(6, 8, 3\); got \(4, 4, 3\)"):
        encoder.transform(Images(x.files, (4, 4, 3)))
    os.makedirs(tmp_path / "empty")
    with pytest.raises(ValueError, match="has no images"):
        read_inputs(tmp_path / "empty", encoder)


# --- errors --------------------------------------------------------------------------------------------------------------


def test_errors(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        image_folder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="on_error 'ignore' is not one of raise, skip"):
        image_folder(folder, on_error="ignore")
    with pytest.raises(ValueError, match=r"channels must be 1 \(grey\)"):
        image_folder(folder, channels=2)
    with pytest.raises(ValueError, match="size must be one number or"):
        image_folder(folder, size=(1, 2, 3))
    with pytest.raises(ValueError, match="target: .* does not take it; the names of its folders are the classes"):
        load(folder, target="x")
    with pytest.raises(ValueError, match="task: .* its images belong to classes"):
        load(folder, task="regression")
    with pytest.raises(ValueError, match="size: digits|size: .*digits.npz does not take it; only a folder of images"):
        load("digits", size=(8, 8))
    write(folder / "test" / "green" / "1.png", picture())
    with pytest.raises(ValueError, match=r"has the class 'green', which the training part does not have"):
        image_folder(folder)
    os.makedirs(folder / "train" / "white")
    with pytest.raises(ValueError, match="white is the folder of a class, but has no images"):
        image_folder(folder)
    os.makedirs(tmp_path / "bare")
    with pytest.raises(ValueError, match="must have a folder of images for each class"):
        image_folder(tmp_path / "bare")
    write(tmp_path / "single" / "a" / "1.png", picture())
    with pytest.raises(ValueError, match="one class only, 'a'"):
        image_folder(tmp_path / "single")
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels"):
        Images([], (4, 4, 2))


def test_more_than_the_memory(monkeypatch, folder, tmp_path):
    monkeypatch.setattr("fastnet.datasets.images._memory_of_the_machine", lambda: 1000)
    with pytest.raises(
        ValueError, match=r"24 images of 6 x 8 x 3 take .* GiB, more than the memory .* give a smaller size, or cache="
    ):
        image_folder(folder)
    assert len(image_folder(folder, cache=tmp_path).x) == 24


def test_without_pillow(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r'reading images needs Pillow: pip install "fastnet-cpu\[image\]"'):
        image_folder(folder)


def test_progress(folder, capfd):
    image_folder(folder, on_error="skip", progress=True)
    shown = capfd.readouterr().err
    assert "reading sizes" in shown and "decoding" in shown and "24/24" in shown
    image_folder(folder)
    assert capfd.readouterr().err == ""
