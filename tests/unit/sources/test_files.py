"""Segments in several files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import FileSpec, Segment
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import BATCH_ROWS, Source


def opened(folder: Path, *columns: str) -> Source:
    """Open the folder as the segment VIP."""
    return open_source(Segment("VIP", "VIP", FileSpec(str(folder))), columns or ("a",))


def written(folder: Path, *parts: pa.Array) -> Path:
    """Write a column in several Parquet files."""
    for number, values in enumerate(parts):
        pq.write_table(pa.table({"a": values}), folder / f"part-{number}.parquet")
    return folder


def values(source: Source) -> list[Any]:
    """Read the first column."""
    return [value for batch in source.batches() for value in batch.column(0).to_pylist()]


def test_files_follow_each_other(tmp_path: Path) -> None:
    """Files are read in the order of their names, and rows are located in their files."""
    source = opened(written(tmp_path, pa.array(["x", "y"]), pa.array([], pa.string()), pa.array(["z"])))
    assert values(source) == ["x", "y", "z"]
    assert [source.locate(row) for row in range(3)] == [
        "part-0.parquet:1",
        "part-0.parquet:2",
        "part-2.parquet:1",
    ]


def test_a_source_can_be_read_again(tmp_path: Path) -> None:
    """Reading again begins at the first row, also where the first reading was not finished."""
    source = opened(written(tmp_path, pa.array(range(BATCH_ROWS + 1)), pa.array([7])))
    unfinished = source.batches()
    next(unfinished)
    assert len(values(source)) == BATCH_ROWS + 2
    assert next(unfinished, None) is None
    assert source.locate(BATCH_ROWS + 1) == "part-1.parquet:1"


def test_closing_ends_the_reading(tmp_path: Path) -> None:
    """A closed source yields nothing more; closing twice, or before reading, does no harm."""
    source = opened(written(tmp_path, pa.array(range(BATCH_ROWS + 1))))
    source.close()
    batches = source.batches()
    next(batches)
    source.close()
    source.close()
    assert next(batches, None) is None


@pytest.mark.parametrize(
    ("parts", "kind", "read"),
    [
        ([pa.array([1]), pa.array([2], pa.int32())], pa.string(), ["1", "2"]),
        ([pa.array([1]), pa.array(["x"])], pa.string(), ["1", "x"]),
        ([pa.array(["x"], pa.large_string()), pa.array(["y"])], pa.string(), ["x", "y"]),
        ([pa.array([None], pa.null()), pa.array([2])], pa.int64(), [None, 2]),
        ([pa.array([0], pa.date32()), pa.array(["x"])], pa.string(), ["1970-01-01", "x"]),
        ([pa.array([None], pa.null()), pa.array([None], pa.null())], pa.string(), [None, None]),
    ],
)
def test_types_that_differ(tmp_path: Path, parts: list[pa.Array], kind: pa.DataType, read: list[Any]) -> None:
    """A column whose type differs from file to file is read as text; files without values have no say."""
    source = opened(written(tmp_path, *parts))
    assert source.schema.field("a").type == kind
    assert values(source) == read


def test_types_that_cannot_be_reconciled(tmp_path: Path) -> None:
    """A nested column must have the same type in all files; the file that stands out is named."""
    with pytest.raises(SourceError) as caught:
        opened(written(tmp_path, pa.array(["x"]), pa.array([{"city": "Ulm"}])))
    assert str(caught.value) == (
        "segment 'VIP', file 'part-1.parquet': column 'a' is struct<city: string> here "
        "and of another type in other files of the segment: write all files with the same schema."
    )


def test_a_column_missing_in_one_file(tmp_path: Path) -> None:
    """A column that one file lacks is told before anything is read."""
    written(tmp_path, pa.array([1]))
    pq.write_table(pa.table({"b": [1]}), tmp_path / "part-1.parquet")
    with pytest.raises(SourceError, match=r"file 'part-1\.parquet': there is no column 'a'"):
        opened(tmp_path)


@pytest.fixture
def partitioned(tmp_path: Path) -> Path:
    """Files in folders that tell a day."""
    for day in ("1", "2", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(pa.table({"a": [f"on {day}"]}), tmp_path / f"day={day}" / "part-0.parquet")
    return tmp_path


def test_partitions_are_columns(partitioned: Path) -> None:
    """What the folders' names tell can be wanted like any column, as text."""
    source = opened(partitioned, "day", "a")
    assert source.schema == pa.schema([("day", pa.string()), ("a", pa.string())])
    assert [tuple(batch.to_pylist()[0].values()) for batch in source.batches()] == [
        ("1", "on 1"),
        ("2", "on 2"),
        (None, "on __HIVE_DEFAULT_PARTITION__"),
    ]


def test_partitions_alone(partitioned: Path) -> None:
    """Each row counts also where nothing is wanted but what the folders' names tell."""
    assert values(opened(partitioned, "day")) == ["1", "2", None]


def test_partitions_are_listed(partitioned: Path) -> None:
    """They are among the columns that there are."""
    with pytest.raises(SourceError, match=r"no column 'days' \(did you mean 'day'\?\); there are 'a', 'day'"):
        opened(partitioned, "days")


def test_csv_partitions(tmp_path: Path) -> None:
    """CSV files have partitions too, and large blocks of theirs come in batches."""
    (tmp_path / "day=1").mkdir()
    (tmp_path / "day=1" / "x.csv").write_text("a,b\n" + "1,2\n" * (BATCH_ROWS + 1))
    source = opened(tmp_path, "a", "day")
    assert [batch.num_rows for batch in source.batches()] == [BATCH_ROWS, 1]
