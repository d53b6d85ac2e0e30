"""Image files, read by Pillow for `fn.datasets.image_folder` and `fastnet predict`."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib

import numpy as np
from fuzz import harness
from fuzz.mutation import NUMBERS, mutate_bytes
from PIL import Image

from fastnet.datasets import image_files

DICTIONARY = [
    b"IHDR",
    b"IDAT",
    b"PLTE",
    b"tRNS",
    b"eXIf",
    b"acTL",
    b"\xff\xd8",
    b"\xff\xc0",
    b"\xff\xda",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
    b"WEBPVP8L",
    b"P6\n",
    b"%!PS-Adobe-3.0 EPSF-3.0",
]
PATH = os.path.join(harness.folder(), "image.png")


def seeds() -> list[bytes]:
    pixels = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[image_files.ORIENTATION] = 6
    found = []
    for form, image, settings in (
        ("PNG", picture, {}),
        ("PNG", picture.convert("P"), {}),
        ("PNG", picture.convert("LA"), {}),
        ("PNG", picture.convert("1"), {}),
        ("PNG", Image.fromarray(pixels[:, :, 0].astype(np.uint16)), {}),
        ("JPEG", picture, {"exif": exif}),
        ("JPEG", picture.convert("CMYK"), {}),
        ("JPEG", picture.convert("L"), {"progressive": True}),
        ("GIF", picture, {}),
        ("BMP", picture, {}),
        ("TIFF", picture, {}),
        ("TIFF", picture, {"compression": "tiff_lzw"}),
        ("TIFF", Image.fromarray(pixels[:, :, 0].astype(np.uint16)), {}),
        ("PPM", picture, {}),
        ("WEBP", picture, {"lossless": True}),
        ("WEBP", picture, {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, form, **settings)
        found.append(buffer.getvalue())
    return found


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Other bytes; of a PNG also other chunks, with the checksums that go with them."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or rng.random() < 0.3:
        return mutate_bytes(rng, data)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return mutate_bytes(rng, data)
    i = rng.randrange(len(chunks))
    name, content = chunks[i]
    kind = rng.randrange(5)
    if name == b"IHDR" and kind < 3:
        sizes = [rng.choice([1, 5, 6, 1000, 20_000, *NUMBERS]) % 2**32 for _ in range(2)]
        content = struct.pack(">2I", *sizes) + content[8:] if kind else content[:8] + mutate_bytes(rng, content[8:])
    elif name == b"IDAT" and kind < 3:
        try:
            content = zlib.compress(mutate_bytes(rng, zlib.decompress(content)), 1)
        except Exception:
            content = mutate_bytes(rng, content)
    elif kind == 3:
        chunks.insert(rng.randrange(len(chunks) + 1), rng.choice(chunks))
    else:
        content = mutate_bytes(rng, content)
    chunks[i] = (rng.choice([name, name, name, b"tRNS", b"PLTE", b"eXIf", b"fcTL", b"zTXt", b"iCCP"]), content)
    return data[:8] + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def check(data: bytes) -> bool:
    harness.write(PATH, data)
    header = harness.load(image_files.read_header, len(data), PATH)
    if header is harness.REFUSED:
        return False
    pixels = np.empty((4, 4, header[2]), np.uint8)
    return harness.load(image_files.decode, len(data), PATH, pixels) is not harness.REFUSED
