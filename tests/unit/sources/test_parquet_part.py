"""Segments in Parquet files."""

from __future__ import annotations

import gzip
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import FileSpec, Segment
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import BATCH_ROWS, Source

NO_VIEWS = pytest.mark.skipif(
    int(pa.__version__.split(".")[0]) < 21, reason="pyarrow writes views to a file from 21 on"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be written."""
    return tmp_path / "part-0.parquet"


def opened(file: Path, *columns: str) -> Source:
    """Open the file as the segment VIP."""
    return open_source(Segment("VIP", "VIP", FileSpec(str(file))), columns or ("a",))


def column(file: Path, values: pa.Array) -> pa.ChunkedArray:
    """Write a column and read it again."""
    pq.write_table(pa.table({"a": values}), file)
    source = opened(file)
    return pa.Table.from_batches(source.batches(), schema=source.schema)["a"]


def test_without_a_row_group(file: Path) -> None:
    """What engines write where they have no rows may have no row group either; it is a segment without rows."""
    pq.ParquetWriter(file, pa.schema([("a", pa.string())])).close()
    assert pq.ParquetFile(file).num_row_groups == 0
    assert list(opened(file).batches()) == []


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        (pa.array(["x", None, "x"]).dictionary_encode(), pa.array(["x", None, "x"])),
        (pa.array(["x", None], pa.large_string()), pa.array(["x", None])),
        pytest.param(
            pa.array(["x", None], pa.string_view()),
            pa.array(["x", None]),
            marks=NO_VIEWS,
        ),
        (pa.array(["é".encode(), None], pa.binary()), pa.array(["é", None])),
        (pa.array(["é".encode(), None], pa.large_binary()), pa.array(["é", None])),
        (pa.array([None, None], pa.null()), pa.array([None, None], pa.string())),
    ],
)
def test_text_is_text(file: Path, values: pa.Array, read_as: pa.Array) -> None:
    """However text is encoded in the file, it is read as text."""
    assert column(file, values) == pa.chunked_array([read_as])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, None], pa.int32()),
        pa.array([True, None]),
        pa.array([1.5, None]),
        pa.array([1, None], pa.decimal128(10, 2)),
        pa.array([0, None], pa.date32()),
        pa.array([0, None], pa.timestamp("us", "Europe/Berlin")),
        pa.array([{"city": "Ulm"}, None]),
        pa.array([["x"], None]),
    ],
)
def test_other_types_stay(file: Path, values: pa.Array) -> None:
    """Numbers, dates with their zones, and nested values are read as they are."""
    assert column(file, values) == pa.chunked_array([values])


def test_wanted_columns(file: Path) -> None:
    """Only the wanted columns are read, each once and in the order in which they are wanted."""
    pq.write_table(pa.table({"a": [1], "b": [2], "c.d": [3], "c": [{"d": 4}]}), file)
    source = opened(file, "c.d", "a", "c.d")
    assert source.schema == pa.schema([("c.d", pa.int64()), ("a", pa.int64())])
    assert [batch.to_pydict() for batch in source.batches()] == [{"c.d": [3], "a": [1]}]


def test_a_file_without_rows(file: Path) -> None:
    """A file without rows has a schema and no batches."""
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), file)
    assert list(opened(file).batches()) == []


def test_batches_and_locations(file: Path) -> None:
    """Long files come in batches, and rows are numbered from 1 over all of them."""
    pq.write_table(pa.table({"a": range(BATCH_ROWS + 10)}), file)
    source = opened(file)
    assert [batch.num_rows for batch in source.batches()] == [BATCH_ROWS, 10]
    assert source.locate(BATCH_ROWS) == f"part-0.parquet:{BATCH_ROWS + 1}"


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pytest.param(pa.binary_view(), marks=NO_VIEWS)], ids=str
)
def test_bytes_that_are_no_text(file: Path, kind: pa.DataType) -> None:
    """Bytes that are not UTF-8 spoil that value alone, whose place is kept."""
    values = [b"ann@x.\xff", b"ann@x.y", None]
    assert column(file, pa.array(values, kind)).to_pylist() == ["\ufffd", "ann@x.y", None]


def test_columns_within_columns(file: Path) -> None:
    """A dotted name is a field of a struct, unless a column has that very name."""
    people = [{"email": "ann@x.y", "name": {"first": "Ann"}}, None]
    pq.write_table(pa.table({"contact": people, "contact.name": ["own", "own"]}), file)
    (batch,) = opened(file, "contact.name.first", "contact.name", "contact.email").batches()
    assert batch.to_pylist() == [
        {"contact.name.first": "Ann", "contact.name": "own", "contact.email": "ann@x.y"},
        {"contact.name.first": None, "contact.name": "own", "contact.email": None},
    ]


def test_moments_of_the_oldest_form(file: Path) -> None:
    """A moment that Spark writes by default keeps its year, also past 2262 and before 1677."""
    moments = [datetime(9999, 12, 31), datetime(1600, 1, 1), datetime(2026, 1, 2, 3, 4, 5, 6)]
    pq.write_table(
        pa.table({"a": pa.array(moments, pa.timestamp("us"))}), file, use_deprecated_int96_timestamps=True
    )
    source = opened(file)
    assert [value for batch in source.batches() for value in batch.column(0).to_pylist()] == moments


def test_a_missing_column(file: Path) -> None:
    """A missing column is told before anything is read, with the closest one and all that there are."""
    pq.write_table(pa.table({"e_mail": ["x"], "name": ["y"]}), file)
    with pytest.raises(SourceError) as caught:
        opened(file, "Email")
    assert str(caught.value) == (
        "segment 'VIP', file 'part-0.parquet': there is no column 'Email' (did you mean 'e_mail'?); "
        "there are 'e_mail', 'name'. "
        "Correct its name where the export maps it, or put the column into the source: a retry reads it again"
    )


def test_duplicate_columns(file: Path) -> None:
    """Two columns of the same name are refused where it is wanted."""
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), file)
    with pytest.raises(SourceError, match="several columns are named 'a': rename all but one"):
        opened(file)


def test_an_empty_file(file: Path) -> None:
    """A file of zero bytes is told as such."""
    file.touch()
    with pytest.raises(SourceError, match=r"is empty \(0 bytes\), which no Parquet file is"):
        opened(file)


def broken(file: Path, damage: Any) -> bytes:
    """Write a file of several row groups, damaged."""
    pq.write_table(
        pa.table({"a": [f"{number:>40}" for number in range(50_000)]}),
        file,
        row_group_size=10_000,
        use_dictionary=False,
        compression="none",
        write_page_checksum=True,
    )
    data: bytes = damage(bytearray(file.read_bytes()))
    file.write_bytes(data)
    return data


def test_a_file_that_was_cut_short(file: Path) -> None:
    """A file that was cut short is an error with its cause."""
    broken(file, lambda data: data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"file 'part-0\.parquet': cannot be read to its end") as caught:
        opened(file)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("data", "is_a"),
    [
        (b"a,b\n" * 10, "of another kind, perhaps text; set 'format' to its own"),
        (b"PARE" + b"x" * 50, "an encrypted Parquet file; write it without encryption"),
        (gzip.compress(b"PAR1", mtime=0), "packed by gzip"),
        (b"PK\x03\x04....[Content_Types].xml", "an Excel workbook (.xlsx); save it as CSV"),
        (b'{"a": 1}\n', "JSON lines"),
    ],
)
def test_a_file_of_another_kind(file: Path, data: bytes, is_a: str) -> None:
    """What is no Parquet file is told by what it is."""
    file.write_bytes(data)
    with pytest.raises(SourceError, match=re.escape(f"is no Parquet file: it is {is_a}")):
        opened(file)


def test_a_file_that_breaks_half_way(file: Path) -> None:
    """Damage further into the file is an error after the batches that were sound."""

    def flip(data: bytearray) -> bytearray:
        data[len(data) * 3 // 4] ^= 0xFF
        return data

    broken(file, flip)
    batches = opened(file).batches()
    with pytest.raises(SourceError, match=r"file 'part-0\.parquet': cannot be read to its end \(OSError\)"):
        list(batches)


def test_a_file_that_vanishes(file: Path) -> None:
    """A file that is gone when it is its turn is an error."""
    pq.write_table(pa.table({"a": [1]}), file)
    source = opened(file)
    file.unlink()
    with pytest.raises(SourceError, match=r"file 'part-0\.parquet': does not exist \(any more\)"):
        list(source.batches())
