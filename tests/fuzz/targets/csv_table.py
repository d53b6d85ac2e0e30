"""CSV files, plain and gzipped, read by `fn.datasets.load`."""

from __future__ import annotations

import gzip
import os
import random

from fuzz import harness
from fuzz.mutation import mutate_bytes, mutate_gzip

from fastnet import datasets
from fastnet.datasets.table import read_csv

CELLS = [
    b"1",
    b"0",
    b"-2.5",
    b"1e999",
    b"nan",
    b"",
    b"NA",
    b"a",
    b"b",
    b'"a,b"',
    b'"',
    b"1_000",
    b"1,5",
    b"\xef\xbb\xbf",
    b"\0",
    b"\xff",
    b"9" * 400,
    b"inf",
    b"\xd9\xa3",
    b"True",
]
DICTIONARY = [*CELLS, b",", b";", b"\t", b"|", b"\r\n", b"\n", b"\x1f\x8b\x08"]
MOST_ROWS = 1 << 13  # of what `mutate` makes
PATH = os.path.join(harness.folder(), "table.csv")


def seeds() -> list[bytes]:
    plain = b"a,b,kind\n1,2.5,x\n2,,y\n3,4,x\n4,1e3,y\n5,0,x\n6,-1,y\n"
    return [
        plain,
        plain.replace(b",", b";"),
        b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"),
        gzip.compress(plain, mtime=0),
        b'x\ty\n"one ""two"""\t1\n"a\nb"\t2\nc\t3\n',
        b"a|b\n1|0\n2|1\n3|0\n4|1\n",
    ]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Other bytes, cells, rows or columns; also within the gzip format."""
    if (packed := mutate_gzip(rng, data, mutate)) is not None:
        return packed
    if rng.random() < 0.3:
        return mutate_bytes(rng, data)
    delimiter = max(b",;\t|", key=data.count).to_bytes(1, "little")
    rows = [row.split(delimiter) for row in data.split(b"\n")]
    for _ in range(rng.choice([1, 1, 2, 5])):
        row = rng.choice(rows)
        kind = rng.randrange(5)
        if kind == 0 and row:
            row[rng.randrange(len(row))] = rng.choice(CELLS)
        elif kind == 1:
            rows.insert(rng.randrange(len(rows) + 1), list(row))
        elif kind == 2 and len(rows) > 1:
            rows.remove(row)
        elif kind == 3:
            at, cell = rng.randrange(len(row) + 1), rng.choice(CELLS)
            rows = [
                [*other[:at], cell if i else rng.choice([b"new", cell]), *other[at:]] for i, other in enumerate(rows)
            ]
        else:
            rows = rows[:1] + rows[1:] * rng.choice([1, 2, 10])
        rows = rows[:MOST_ROWS]
    content = rng.choice([delimiter, delimiter, delimiter, b",", b";"]).join
    text = b"\n".join(content(row) for row in rows)[: 1 << 15]
    return gzip.compress(text, 1, mtime=0) if rng.random() < 0.1 else text


def check(data: bytes) -> bool:
    harness.write(PATH, data)
    table = harness.load(read_csv, len(data), PATH)
    if table is harness.REFUSED:
        return False
    found = harness.load(datasets.load, len(data), table, target=next(reversed(table)), missing="mean")
    return found is not harness.REFUSED
