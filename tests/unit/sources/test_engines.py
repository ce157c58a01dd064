"""What engines write is read as what they meant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source

FIXTURES = Path(__file__).parents[2] / "fixtures" / "files"
EMAILS = ["mia@inkwell.invalid", "noa@inkwell.invalid"]
NAMES = ['Mia, "M"', None]
BORN = [date(1990, 4, 23), None]


def rows(given: Any, *columns: str) -> list[tuple[Any, ...]]:
    """Read a segment."""
    (segment,) = parse_segments({"S": given})
    source = open_source(segment, columns or ("email", "first"))
    return [tuple(row.values()) for batch in source.batches() for row in batch.to_pylist()]


def frame() -> pl.DataFrame:
    """The people as a data frame of polars."""
    return pl.DataFrame({"email": EMAILS, "first": pl.Series(NAMES, dtype=pl.Categorical), "born": BORN})


def by_polars(file: Path) -> None:
    """Write by polars."""
    frame().write_parquet(file)


def by_pandas(file: Path) -> None:
    """Write by pandas."""
    frame().to_pandas().to_parquet(file)


def by_fastparquet(file: Path) -> None:
    """Write by fastparquet."""
    fastparquet.write(str(file), pd.DataFrame({"email": EMAILS, "first": NAMES}, dtype=object))


def by_duckdb(file: Path) -> None:
    """Write by DuckDB."""
    people = frame().to_arrow()
    assert people.num_rows == 2
    duckdb.sql(f"COPY (FROM people) TO '{file}' (FORMAT parquet)")


def as_spark(file: Path) -> None:
    """Write as Spark does: old timestamps, and text in pages of dictionaries."""
    moments = pa.array([datetime(9999, 12, 31), datetime(1600, 1, 1)], pa.timestamp("us"))
    table = pa.table({"email": EMAILS, "first": NAMES, "since": moments})
    pq.write_table(table, file, use_deprecated_int96_timestamps=True, compression="snappy", flavor="spark")


@pytest.mark.parametrize("write", [by_polars, by_pandas, by_fastparquet, by_duckdb, as_spark])
def test_parquet(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """Text is text, whatever it is encoded as."""
    write(tmp_path / "people.parquet")
    assert rows(str(tmp_path / "people.parquet")) == list(zip(EMAILS, NAMES, strict=True))


@pytest.mark.parametrize("write", [by_polars, by_pandas, by_duckdb])
def test_days(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """Days are days."""
    write(tmp_path / "people.parquet")
    born = [str(day)[:10] for (day,) in rows(str(tmp_path / "people.parquet"), "born")]
    assert born == ["1990-04-23", "None"]


def test_old_timestamps(tmp_path: Path) -> None:
    """The years of Spark's timestamps are what they are."""
    as_spark(tmp_path / "people.parquet")
    moments = rows(str(tmp_path / "people.parquet"), "since")
    assert [moment.year for (moment,) in moments] == [9999, 1600]


def test_written_by_spark() -> None:
    """A file of Spark 4.3, with the old kind of timestamps, is read as it was meant."""
    people = rows(str(FIXTURES / "spark.snappy.parquet"), "email", "first", "since")
    assert [(email, first) for email, first, _ in people] == list(zip(EMAILS, NAMES, strict=True))
    assert [since.year for *_, since in people] == [9999, 1600]


def test_frames_of_polars() -> None:
    """A data frame of polars is taken as it is, with categories and enums."""
    enums = frame().with_columns(pl.col("first").cast(pl.String).cast(pl.Enum([NAMES[0]])))
    assert rows(frame()) == rows(enums) == list(zip(EMAILS, NAMES, strict=True))


def text_of_polars(file: Path) -> None:
    """Write CSV by polars."""
    frame().write_csv(file)


def text_of_pandas(file: Path) -> None:
    """Write CSV by pandas."""
    frame().to_pandas().to_csv(file, index=False)


def text_of_duckdb(file: Path) -> None:
    """Write CSV by DuckDB."""
    people = frame().to_arrow()
    assert people.num_rows == 2
    duckdb.sql(f"COPY (FROM people) TO '{file}'")


@pytest.mark.parametrize("write", [text_of_polars, text_of_pandas, text_of_duckdb])
@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.csv.zst"])
def test_csv(tmp_path: Path, write: Callable[[Path], None], name: str) -> None:
    """Quotes are read as they were written."""
    if write is text_of_polars and name != "people.csv":
        frame().write_csv(tmp_path / name, compression="gzip" if name.endswith("gz") else "zstd")
    else:
        write(tmp_path / name)
    assert rows(str(tmp_path / name), "email", "first", "born") == [
        (EMAILS[0], NAMES[0], "1990-04-23"),
        (EMAILS[1], None, None),
    ]


def test_types_that_text_cannot_tell(tmp_path: Path) -> None:
    """A column of lists beside text is told by file and column."""
    pq.write_table(pa.table({"email": EMAILS, "first": [["Mia"], []]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"email": EMAILS, "first": NAMES}), tmp_path / "2.parquet")
    with pytest.raises(SourceError, match=r"file '1\.parquet': column 'first' is list"):
        rows(str(tmp_path))
