"""Segments in CSV files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import FileFormat, FileSpec, Segment
from airflow_mailchimp_export.sources.csv_part import MAX_ROW_BYTES
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source

ADDRESS = "ann@example.com"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be written."""
    return tmp_path / "people.csv"


def opened(file: Path, *columns: str) -> Source:
    """Open the file as the segment VIP."""
    return open_source(Segment("VIP", "VIP", FileSpec(str(file))), columns or ("a", "b"))


def rows(file: Path, *columns: str) -> list[tuple[Any, ...]]:
    """Read the file."""
    source = opened(file, *columns)
    return [
        tuple(row.values())
        for batch in source.batches()
        for row in pa.Table.from_batches([batch], schema=source.schema).to_pylist()
    ]


def refusal(file: Path) -> str:
    """Say why the file cannot be read; neither the message nor its causes show an address."""
    with pytest.raises(SourceError) as caught:
        rows(file)
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "example.com" not in str(shown)
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return str(caught.value).removeprefix("segment 'VIP', file 'people.csv': ")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a,b\n1,2\n", [("1", "2")]),
        ("a,b\r\n1,2\r\n", [("1", "2")]),
        ("\ufeffa,b\n1,2", [("1", "2")]),
        ("x,b,a\n0,1,2\n", [("2", "1")]),
        ("a,b\n01234,1e5\n", [("01234", "1e5")]),
        ("a,b\nNA,null\n", [("NA", "null")]),
        ('a,b\n,""\n', [(None, None)]),
        ('a,b\n" ","x\r\ny"\n', [(" ", "x\r\ny")]),
        ('a,b\n"1,2","say ""hi"""\n', [("1,2", 'say "hi"')]),
        ("a,b\n1,2\n\n3,4\n\n", [("1", "2"), ("3", "4")]),
        ('"a","x\ny","b"\n1,2,3\n', [("1", "3")]),
        ("a,b\n😀,é\n", [("😀", "é")]),
        ("a,b\n", []),
        ("a,b", []),
    ],
)
def test_what_may_be_written(file: Path, text: str, read: list[tuple[str | None, ...]]) -> None:
    """RFC 4180 is read as it stands: all is text, and only what is empty is null."""
    file.write_bytes(text.encode())
    assert rows(file) == read


def test_the_schema_is_text(file: Path) -> None:
    """Every column is text, whatever it looks like."""
    file.write_text("a,b\n1,2026-01-01\n")
    assert opened(file).schema == pa.schema([("a", pa.string()), ("b", pa.string())])


def test_gzip(tmp_path: Path) -> None:
    """Compressed files are read like others."""
    packed = tmp_path / "people.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert rows(packed) == [("1", "2")]


def test_a_truncated_gzip(tmp_path: Path) -> None:
    """A compressed file that was cut short is an error, not a shorter segment."""
    packed = tmp_path / "people.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 10_000 + b",2\n" * 10_000)[:-9])
    with pytest.raises(SourceError, match=r"cannot be read to its end \(EOFError\)"):
        rows(packed)


def test_rows_are_located(file: Path) -> None:
    """Rows are numbered as a spreadsheet numbers them."""
    file.write_text("a,b\n1,2\n3,4\n")
    source = opened(file)
    list(source.batches())
    assert [source.locate(row) for row in (0, 1)] == ["people.csv:2", "people.csv:3"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty: its first line must name the columns."),
        (
            f"a,b\n1,2\n{ADDRESS},4,5\n".encode(),
            "row 3 (the header is row 1) has 3 values where the header names 2 columns.",
        ),
        (
            f"a,b\n{ADDRESS}\n".encode(),
            "row 2 (the header is row 1) has 1 values where the header names 2 columns.",
        ),
        (b"a,b\n1,2\n\xe9,ann@example.com\n", "line 3 is not UTF-8: save the file in that encoding"),
        (b"a,b,\xe9\n1,2,3\n", "line 1 is not UTF-8"),
        (
            "a,b\n1,2\n".encode("utf-16"),
            "is not what the segment says: it is in UTF-16; set 'encoding' to utf-16.",
        ),
        (
            b"a;b\n1;2\n",
            "seems to part its columns by something else than commas. Probably delimiter: ';' would",
        ),
        (
            b"a\tb\n1\t2\n",
            "seems to part its columns by something else than commas. Probably delimiter: '\\t' would",
        ),
        (
            b"\na,b\n1,2\n",
            "begins with a blank line: remove it, or skip it. Probably skip_rows: 1 would read it.",
        ),
        (b"a,a,b\n1,2,3\n", "several columns are named 'a': rename all but one."),
        (b"A ,bb\n1,2\n", "there is no column 'a' (did you mean 'A '?); there are 'A ', 'bb'."),
        (b'"a"x,b\n1,2\n', "has no readable header (',' expected after '\"')."),
        (b'"a,b\n1,2\n', "has no readable header (unexpected end of data)."),
        (f'a,b\n1,"{ADDRESS}\n3,4\n'.encode(), "line 2: a quote is opened there and never closed"),
        (
            b'a,b\n1,"2\n' + b"3,ann@example.com\n" * (3 * MAX_ROW_BYTES // 18),
            "line 2: a quote is opened there and never closed",
        ),
        (b"a,b\n1," + b"x" * (2 * MAX_ROW_BYTES), "has a row of more than 2,097,152 bytes"),
    ],
)
def test_what_is_refused(file: Path, data: bytes, says: str) -> None:
    """What is wrong with a file is told with its place, and without what stands there."""
    file.write_bytes(data)
    assert refusal(file).startswith(says)


def test_an_error_far_into_the_file(file: Path) -> None:
    """The row's number is right also where many batches came before it."""
    file.write_bytes(b"a,b\n" + b"1,2\n" * 2_000_000 + b"1\n")
    assert refusal(file).startswith("row 2000002 (the header is row 1) has 1 values")


def test_a_file_that_vanishes(file: Path) -> None:
    """A file that is emptied after it was opened is an error, not an empty segment."""
    file.write_text("a,b\n1,2\n")
    source = opened(file)
    file.write_text("")
    with pytest.raises(SourceError, match=r"is no CSV file as RFC 4180 describes it\."):
        list(source.batches())


def test_only_wanted_columns(file: Path) -> None:
    """Duplicates among columns that nobody wants do no harm."""
    file.write_text("x,x,a,b\n1,2,3,4\n")
    assert rows(file, "b") == [("4",)]


_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(table=st.lists(st.tuples(_text, _text), min_size=1, max_size=20))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]) -> None:
    """Whatever a writer quotes is read back as it was, but that nothing and an empty text are the same."""
    file = tmp_path_factory.mktemp("csv") / "people.csv"
    quoted = "".join(
        ",".join(f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row) + "\n" for row in table
    )
    file.write_bytes(f"a,b\n{quoted}".encode())
    assert rows(file) == [tuple(value or None for value in row) for row in table]


def test_any_extension_with_a_format(tmp_path: Path) -> None:
    """A file of another extension is read as the format says."""
    (tmp_path / "people.txt").write_text("a\n1\n")
    spec = FileSpec(str(tmp_path / "people.txt"), FileFormat.CSV)
    (batch,) = open_source(Segment("VIP", "VIP", spec), ["a"]).batches()
    assert batch.to_pydict() == {"a": ["1"]}
