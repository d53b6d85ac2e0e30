"""CSV files: delimiters, quotes, missing values, and errors that say where."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnet.datasets import Table, read_csv, table


@pytest.fixture
def write(tmp_path):
    def write_file(content):
        path = tmp_path / "a.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def columns(data):
    return {name: column.tolist() for name, column in data.items()}


PLAIN = "a,b\n1,x\n2.5,y\n"


@pytest.mark.parametrize("delimiter", ",;\t|")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_line_ends_and_byte_order_marks(write, delimiter, end, mark):
    text = PLAIN.replace(",", delimiter).replace("\n", end)
    assert columns(read_csv(write(mark + text.encode()))) == {"a": [1, 2.5], "b": ["x", "y"]}


def test_quotes_blanks_and_empty_lines(write):
    text = '\n "a b" , c\n"1","x, ""y"""\n\n  2 ,"two\nlines"\n\n'
    assert columns(read_csv(write(text))) == {"a b": [1, 2], "c": ['x, "y"', "two\nlines"]}


def test_the_delimiter_is_not_a_decimal_comma(write):
    with pytest.raises(ValueError, match=r"line 2, column 'a': '1,5' has a decimal comma"):
        read_csv(write("a;b\n1,5;2,5\n2,5;3,5\n"))


def test_one_column(write):
    assert columns(read_csv(write("a\n1\n2\n"))) == {"a": [1, 2]}


def test_missing_values(write):
    data = read_csv(write("a,b\n1,x\n,\nNA,y\n?,\nnan,NA\nNone,z\n"))
    np.testing.assert_array_equal(data["a"], [1] + [np.nan] * 5)
    assert data["b"].tolist() == ["x", "", "y", "", "NA", "z"]  # a text NA may mean something


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(str.strip),
            st.integers(-(2**53), 2**53),
        ),
        min_size=1,
        max_size=50,
    )
)
def test_what_was_written_is_read(tmp_path_factory, rows):
    rows = [*rows, (0.5, "a text", 3)]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["number", "text", "whole"])
    writer.writerows(rows)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(text.getvalue().encode())
    data = read_csv(path)
    assert data["number"].tolist() == [row[0] for row in rows]
    assert data["text"].tolist() == [row[1] for row in rows]
    assert data["whole"].tolist() == [row[2] for row in rows]


def test_numbers_before_texts_in_a_long_file(write, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_BLOCK", 3)
    rows = [f"{i},0{i},{'x' if i == 7 else i % 3},{i}" for i in range(10)]
    data = read_csv(write("a,b,c,d\n" + "\n".join(rows)))
    assert data["a"].tolist() == data["b"].tolist() == data["d"].tolist() == list(range(10))
    assert data["c"].tolist() == ["x" if i == 7 else str(i % 3) for i in range(10)]
    assert data.lines.tolist() == list(range(2, 12))


def test_underscores_make_no_numbers(write):
    assert read_csv(write("a,b\n1_0,1\n2_0,2\n"))["a"].tolist() == ["1_0", "2_0"]


def test_categories_with_a_number_among_them(write):
    text = "a,b\n" + "\n".join(f"{value},1" for value in ["0", "1", "2", "3+"] * 10)
    assert set(read_csv(write(text))["a"]) == {"0", "1", "2", "3+"}


def test_a_slip_in_a_column_of_numbers(write):
    text = "a,b\n" + "\n".join(f"{i * 1.5},1" for i in range(50)) + "\n12.x,1\n"
    with pytest.raises(ValueError, match=r"a\.csv, line 52, column 'a': '12\.x' is not a number"):
        read_csv(write(text))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells; the header has 2 columns"),
        ("a,b\n1\n", "line 2: 1 cells; the header has 2 columns"),
        ("a,a\n1,2\n", "two columns 'a'"),
        (",a\n0,2\n", "column 1 has no name in the header .pandas"),
        ("1,2\n3,4\n", "has no header"),
        (b"a,b\n\xff\xfe,1\n", "is not UTF-8 text .byte 0xff"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text"),
        (b"a,b\n\0,1\n", "bytes that are no text"),
        (b"\x1f\x8b\x08", "damaged or cut short"),
        ('a,b\n1,"2\n' + "3,4\n" * 50_000, "line .*is a quoted text not closed"),
    ],
)
def test_files_that_cannot_be_used(write, content, expected):
    with pytest.raises(ValueError, match=expected) as caught:
        read_csv(write(content))
    assert "a.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files(write, tmp_path):
    write(PLAIN)
    with pytest.raises(FileNotFoundError, match=r"did you mean 'a\.csv'"):
        read_csv(tmp_path / "b.csv")


def test_free_text_is_refused(write, monkeypatch):
    monkeypatch.setattr(table, "MOST_TEXTS", 10)
    with pytest.raises(ValueError, match=r"column 'a' holds more than 10 different texts .such as 'text 10'"):
        read_csv(write("a,b\n" + "".join(f"text {i},1\n" for i in range(11))))


def test_only_the_columns_asked_for(write):
    path = write("a,b,c\n1,2,x\n3,4,y\n")
    assert columns(read_csv(path, kinds={"b": "text", "a": "number"})) == {"a": [1, 3], "b": ["2", "4"]}
    with pytest.raises(ValueError, match="line 2, column 'c': 'x' is not a number"):
        read_csv(path, kinds={"c": "number"})


# Tables from elsewhere


def test_tables_of_columns():
    data = Table({"a": [1, 2], "b": ["x", None], "c": np.array([True, False]), "d": np.array([1, 2.5], object)})
    assert columns(data) == {"a": [1, 2], "b": ["x", ""], "c": [1, 0], "d": [1, 2.5]}
    assert data.length == 2
    assert columns(data.rows(np.array([1]))) == {"a": [2], "b": [""], "c": [0], "d": [2.5]}


def test_tables_from_pandas():
    pandas = pytest.importorskip("pandas", reason="compares with pandas' DataFrame")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, np.nan]})
    data = Table(frame)
    assert data["a"].tolist() == [1, 2] and data["b"].tolist() == ["x", ""]
    np.testing.assert_array_equal(data["c"], [0.5, np.nan])


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"a": [1, 2], "b": [1]}, "same length"),
        ({"a": [[1, 2]]}, "must have one axis"),
        ({"a": np.array([1, "x"], object)}, "numbers or texts"),
        ({"a": np.array([{}], object)}, "numbers or texts"),
    ],
)
def test_tables_that_make_no_sense(bad, expected):
    with pytest.raises(ValueError, match=expected):
        Table(bad)


def test_lines_of_many_columns_are_longer_than_a_cell_may_be(tmp_path):
    path, count = tmp_path / "a.csv", 30_000
    path.write_text(
        "\n".join([",".join(f"c{i}" for i in range(count)), ",".join(["1"] * count), ",".join(["2"] * count)])
    )
    assert path.stat().st_size > 200_000
    table = read_csv(path)
    assert len(table) == count and table["c29999"].tolist() == [1, 2]
    path.write_text("a,b\n1," + "x" * 200_000)
    with pytest.raises(ValueError, match="a.csv, line 2: field larger than field limit"):
        read_csv(path)
