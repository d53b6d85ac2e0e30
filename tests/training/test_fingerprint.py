"""What tells data from others."""

import numpy as np
import pytest

from fastnet.training import fingerprint


def test_layout_and_memory_do_not_matter_values_do(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3, 4)).astype("float32")
    found = fingerprint.of_array(x)
    wide = np.zeros((50, 3, 9), np.float32)
    wide[:, :, :4] = x
    np.save(tmp_path / "x.npy", x)
    for same in (x.copy(), wide[:, :, :4], np.asfortranarray(x), np.load(tmp_path / "x.npy", mmap_mode="r")):
        assert fingerprint.of_array(same) == found
    for place in [(0, 0, 0), (49, 2, 3), (25, 1, 1)]:
        other = x.copy()
        other[place] = np.nextafter(other[place], 9)
        assert fingerprint.of_array(other)["values"] != found["values"]
    assert fingerprint.of_array(x[:0])["shape"] == [0, 3, 4]


def test_of_a_large_array_pieces_are_looked_at_the_first_and_last_among_them(monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST_BYTES", 4000)
    monkeypatch.setattr(fingerprint, "PIECES", 10)
    x = np.arange(10_000, dtype=np.int64).reshape(5000, 2)
    found, noticed = fingerprint.of_array(x), 0
    for row in range(5000):
        x[row, 1] += 1
        changed = fingerprint.of_array(x) != found
        assert changed or row not in (0, 4999)
        noticed += changed
        x[row, 1] -= 1
    assert noticed == 250, "4000 bytes"


def test_folders_of_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from fastnet.datasets import Images

    def write(folder, shade=0):
        (tmp_path / folder).mkdir()
        for i in range(4):
            image.new("L", (5, 5), 10 * i + shade).save(tmp_path / folder / f"{i}.png")

    def of(folder):
        return fingerprint.of_images(Images(sorted((tmp_path / folder).iterdir()), (5, 5, 1)))

    write("a"), write("moved"), write("other", shade=1), write("renamed")
    (tmp_path / "renamed" / "3.png").rename(tmp_path / "renamed" / "4.png")
    assert of("moved") == of("a")
    assert fingerprint.differences({"x": of("a")}, {"x": of("renamed")}) == ["x has files of other names"]
    assert fingerprint.differences({"x": of("a")}, {"x": of("other")})[0].startswith("x has ")
    assert of("other") != of("a")
