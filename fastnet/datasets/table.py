"""Tables of named columns, from CSV files."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, containers
from fastnet.datasets.formats import first_bytes
from fastnet.files import check_claim, existing_file

if TYPE_CHECKING:
    from fastnet.types import ArrayLike, Path

__all__ = ["Table", "read_csv"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
DELIMITERS = ",;\t|"
ROWS_PER_BLOCK = 4096
MOST_TEXTS = 10_000


class UnreadableError(ValueError):
    """A line that can't be divided into cells."""


class Table(dict[str, np.ndarray]):
    """Columns of equal length by name: float64, NaN where a value is missing, or texts (an array of str).

    Parameters
    ----------
    columns : mapping of str to sequence
        A dict of arrays or lists, or a DataFrame of pandas or polars: columns of numbers or booleans, missing ones among
        them or not, and of texts or categories.
    path, lines
        The file it was read from and the line of each row, for messages.
    """

    def __init__(
        self, columns: Mapping[str, ArrayLike] | Any, *, path: str | None = None, lines: np.ndarray | None = None
    ) -> None:
        if containers.is_frame(columns):
            columns = containers.columns_of(columns)
        super().__init__({str(name): _column(str(name), columns[name]) for name in columns})
        self.path = path
        self.lines = lines
        lengths = {name: len(column) for name, column in self.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns must have the same length; got {lengths}")
        self.length = next(iter(lengths.values()), 0)

    def rows(self, index: np.ndarray) -> Table:
        """Some of the rows."""
        lines = None if self.lines is None else self.lines[index]
        return Table({name: column[index] for name, column in self.items()}, path=self.path, lines=lines)

    def place(self, row: int, name: str) -> str:
        """Where a value stands, for a message."""
        if self.lines is None:
            return f"row {row}, column {name!r}"
        return f"{self.path}, line {self.lines[row]}, column {name!r}"


def _column(name: str, values: Any) -> np.ndarray:
    array = containers.column(values) if containers.is_series(values) else np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"column {name!r} must have one axis; got shape {array.shape}")
    if array.dtype.kind in "fiub":
        return np.asarray(array, np.float64)
    values = array.astype(object)
    missing = [value is None or value != value for value in values]  # NaN differs from itself
    try:
        if all(isinstance(value, str) or gone for value, gone in zip(values, missing, strict=True)):
            return np.where(missing, "", values)
        return values.astype(np.float64)
    except (TypeError, ValueError):
        other = next(value for value, gone in zip(values, missing, strict=True) if not (gone or _is_float(value)))
        raise ValueError(
            f"column {name!r} must hold numbers or texts, and not both; it has values such as {checks.describe(other)}"
        ) from None


def _is_float(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def read_csv(path: Path, *, kinds: dict[str, str] | None = None) -> Table:
    """A CSV file with a header, gzipped or not.

    Comma, semicolon, tab or bar separate the cells, whichever fits; UTF-8, with or without a byte order mark; a
    column whose cells are all numbers, or missing (empty, NA, N/A, NaN, null, None, ?), is numeric.

    Parameters
    ----------
    path : path
    kinds : dict, optional
        "number" or "text" for each column to read; by default all columns are read, and what they hold decides.

    Raises
    ------
    ValueError
        With the line and the column where that makes sense.
    """
    path = existing_file(path)
    _check_text(path)
    try:
        delimiter = _delimiter(path)
        texts = {name for name, kind in (kinds or {}).items() if kind == "text"}
        while True:
            table, late = _read(path, delimiter, kinds, texts)
            if table is not None:
                return table
            texts |= late  # numbers came first in these columns: read them again as texts
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged or cut short: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte 0x{error.object[error.start]:02x}); save it with the encoding UTF-8"
        ) from None


def _check_text(path: str) -> None:
    start = first_bytes(path, 4096)
    if not start.strip():
        raise ValueError(f"{path} is empty")
    if start[:2] == b"\x1f\x8b" or start[:2] == b"PK":
        raise ValueError(f"{path} is compressed; unpack it first")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{path} is UTF-16 text; save it with the encoding UTF-8")
    if b"\0" in start:
        raise ValueError(f"{path} is not a CSV file: it holds bytes that are no text")


def _records(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the records that are not blank; the line is that of a record's end."""
    with open(path, "rb") as start:
        is_gzipped = start.read(2) == b"\x1f\x8b"
    packed = os.path.getsize(path)
    with (
        gzip.open(path) if is_gzipped else open(path, "rb") as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
    ):
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        try:
            for number, cells in enumerate(reader):
                if is_gzipped and number % ROWS_PER_BLOCK == 0:
                    check_claim(path, raw.tell(), packed)
                if cells and (len(cells) > 1 or cells[0].strip()):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise UnreadableError(f"{path}, line {reader.line_num}: {error} (is a quoted text not closed?)") from None


def _delimiter(path: str) -> str:
    """The one that divides the first records into the most columns, each into as many as the header."""
    best, most = "", (False, 1)
    problem = None
    for delimiter in DELIMITERS:
        try:
            counts = [len(cells) for _, cells in itertools.islice(_records(path, delimiter), 20)]
        except UnreadableError as error:  # a line of many columns is too long for one cell
            problem = problem or error
            continue
        if not counts:
            raise ValueError(f"{path} is empty")
        score = (len(set(counts)) == 1, counts[0])
        if counts[0] > 1 and score > most:
            best, most = delimiter, score
    if problem and not best:
        raise problem
    return best or DELIMITERS[0]


def _header(path: str, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    counts = Counter(names)
    for position, name in enumerate(names, 1):
        if not name:
            raise ValueError(
                f"{path}: column {position} has no name in the header (pandas writes its index so; leave it out)"
            )
        if counts[name] > 1:
            raise ValueError(f"{path}: the header has two columns {name!r}")
    if all(_is_number(name) for name in names):
        raise ValueError(f"{path} has no header: its first line must name the columns; got {', '.join(names[:5])}")
    return names


def _number(cell: str) -> float:
    if cell.lower() in MISSING:
        return np.nan
    if "_" in cell:  # Python's float takes 1_000
        raise ValueError
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        return not np.isnan(_number(cell))
    except ValueError:
        return False


def _read(path: str, delimiter: str, kinds: dict[str, str] | None, texts: set[str]) -> tuple[Table | None, set[str]]:
    """The table, or the columns that turn out to hold texts behind a first block of numbers."""
    records = _records(path, delimiter)
    names = _header(path, next(records)[1])
    for name in kinds or ():
        if name not in names:
            raise ValueError(f"{path} has no column {name!r}{checks.nearest(name, names)}")
    wanted = [(i, name) for i, name in enumerate(names) if kinds is None or name in kinds]
    columns: dict[str, _Texts | _Numbers] = {
        name: _Texts(path, name) if name in texts else _Numbers() for _, name in wanted
    }
    strict: set[str] = set() if kinds is None else columns.keys() - texts
    all_lines: list[int] = []
    late: set[str] = set()
    while block := list(itertools.islice(records, ROWS_PER_BLOCK)):
        for line, cells in block:
            if len(cells) != len(names):
                raise ValueError(f"{path}, line {line}: {len(cells)} cells; the header has {len(names)} columns")
        lines = [line for line, _ in block]
        for i, name in wanted:
            cells = [row[i].strip() for _, row in block]
            culprit = columns[name].add(cells)
            if culprit is None:
                continue
            if name in strict:
                raise ValueError(f"{path}, line {lines[culprit]}, column {name!r}: {cells[culprit]!r} is not a number")
            if all_lines:
                late.add(name)
                columns[name] = _Ignored()
            else:
                columns[name] = _Texts(path, name)
                columns[name].add(cells)
        all_lines += lines
    if not all_lines:
        raise ValueError(f"{path} has a header and no rows")
    if late:
        return None, late
    arrays = {name: column.array() for name, column in columns.items()}
    table = Table(arrays, path=path, lines=np.array(all_lines))
    for name in arrays:
        if kinds is None:
            _refuse_spoilt_numbers(table, name)
    return table, late


class _Numbers:
    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []

    def add(self, cells: list[str]) -> int | None:
        """Take the cells; or the index of the first that is no number and not missing."""
        if "_" not in "".join(cells):
            with contextlib.suppress(ValueError):
                self.blocks.append(np.array(cells, np.float64))
                return None
        values = np.empty(len(cells))
        for i, cell in enumerate(cells):
            try:
                values[i] = _number(cell)
            except ValueError:
                return i
        self.blocks.append(values)
        return None

    def array(self) -> np.ndarray:
        return np.concatenate(self.blocks)


class _Texts:
    """Texts, each different one kept once."""

    def __init__(self, path: str, name: str) -> None:
        self.place = f"{path}, column {name!r}"
        self.known: dict[str, str] = {}
        self.values: list[str] = []

    def add(self, cells: list[str]) -> None:
        known = self.known
        self.values += [known.setdefault(cell, cell) for cell in cells]
        if len(known) > MOST_TEXTS:
            raise ValueError(
                f"{self.place} holds more than {MOST_TEXTS:,} different texts (such as {cells[-1]!r}): "
                "it is neither numbers nor categories; leave it out of the file"
            )

    def array(self) -> np.ndarray:
        return np.array(self.values, object)


class _Ignored(_Numbers):
    def add(self, cells: list[str]) -> None:
        return None


def _refuse_spoilt_numbers(table: Table, name: str) -> None:
    """A column of many different numbers in which a few cells are something else is a mistake, not categories."""
    column = table[name]
    if column.dtype != object:
        return
    different = {text for text in column if text.lower() not in MISSING}
    numbers = set(filter(_is_number, different))
    if len(numbers) > 20 and len(numbers) >= 0.9 * len(different):
        row = next(i for i, text in enumerate(column) if text in different and text not in numbers)
        raise ValueError(f"{table.place(row, name)}: {column[row]!r} is not a number, as the column's other values are")
    if different and all(re.fullmatch(r"[-+]?\d+,\d+", text) for text in different):
        raise ValueError(f"{table.place(0, name)}: {column[0]!r} has a decimal comma; write numbers with a point")
