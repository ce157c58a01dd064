"""A segment's rule becomes a file, whatever the profiles are written in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from upath import UPath

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.snapshots.building import Rule, build
from airflow_mailchimp_export.snapshots.manifest import Snapshot, new_id
from airflow_mailchimp_export.snapshots.store import Snapshots
from airflow_mailchimp_export.sources.opening import plain_path

PEOPLE = pa.table(
    {
        "email": ["ada@inkwell.invalid", "bea@inkwell.invalid", "cleo@inkwell.invalid"],
        "spent": [10.5, 2000.0, 3000.0],
        "bought": pa.array([0, 86_400, 3600], pa.timestamp("s", "Europe/Berlin")),
    }
)
TOP = "FROM profiles WHERE TRY_CAST(spent AS DOUBLE) > 0.5 * (SELECT max(TRY_CAST(spent AS DOUBLE)) FROM profiles)"
REFRESH = new_id(datetime(2026, 1, 2, tzinfo=UTC))


def parquet(tmp_path: Path) -> Any:
    """One plain file."""
    pq.write_table(PEOPLE, tmp_path / "people.parquet")
    return str(tmp_path / "people.parquet")


def partitions(tmp_path: Path) -> Any:
    """Files in folders that are a column, of which one has a column more."""
    for country, rows in (("DE", PEOPLE[:2]), ("FR", PEOPLE[2:].append_column("extra", pa.array([1])))):
        (tmp_path / f"country={country}").mkdir()
        pq.write_table(rows, tmp_path / f"country={country}" / "part.parquet")
    return str(tmp_path)


def semicolons(tmp_path: Path) -> Any:
    """CSV as a German Excel writes it."""
    text = "email;spent\nada@inkwell.invalid;10,5\nbea@inkwell.invalid;2000\ncleo@inkwell.invalid;3000\n"
    (tmp_path / "people.csv").write_text(text, encoding="utf-16")
    return {"uri": str(tmp_path / "people.csv"), "delimiter": ";", "encoding": "utf-16", "decimal": ","}


def lines(tmp_path: Path) -> Any:
    """JSON lines, in which a name may come late."""
    rows = [f'{{"email": "{email.as_py()}"' for email in PEOPLE["email"]]
    ends = ["}", ', "spent": 2000}', ', "spent": 3000}']
    (tmp_path / "people.jsonl").write_text("\n".join(map("".join, zip(rows, ends, strict=True))))
    return str(tmp_path / "people.jsonl")


def delta(tmp_path: Path) -> Any:
    """A table of Delta."""
    write_deltalake(str(tmp_path / "table"), PEOPLE.drop_columns("bought"))
    return {"uri": str(tmp_path / "table"), "format": "delta"}


def elsewhere(tmp_path: Path) -> Any:
    """A file that is not on this machine's disks."""
    with UPath("memory://building/people.parquet").open("wb") as file:
        pq.write_table(PEOPLE, file)
    return "memory://building/people.parquet"


def built(given: Any, query: str, place: Path) -> tuple[Snapshot, pa.Table]:
    """Build the segment; returned is also what is in its file."""
    (segment,) = parse_segments({"VIP": given})
    snapshots = Snapshots(place / "snapshots")
    snapshot = build(Rule("vip", "VIP", segment.source, query), REFRESH, snapshots, path_factory=plain_path)
    return snapshot, pq.ParquetFile(place / "snapshots" / snapshot.file).read()


@pytest.mark.parametrize("kind", [parquet, partitions, semicolons, lines, delta, elsewhere])
def test_a_rule_over_profiles_of_any_kind(kind: Any, tmp_path: Path) -> None:
    """It may name the profiles more than once, and those who meet it are in the file, in the order of the source."""
    (tmp_path / "lake").mkdir()
    snapshot, rows = built(kind(tmp_path / "lake"), TOP, tmp_path)
    assert (snapshot.rows, snapshot.refresh, snapshot.name) == (2, REFRESH, "VIP")
    assert rows["email"].to_pylist() == ["bea@inkwell.invalid", "cleo@inkwell.invalid"]
    assert snapshot.size == (tmp_path / "snapshots" / REFRESH / "vip.parquet").stat().st_size


@pytest.mark.parametrize("query", ["", "FROM profiles"])
def test_moments_keep_their_zone(query: str, tmp_path: Path) -> None:
    """DuckDB knows but one zone, and in another one birthdays are on other days."""
    assert built(parquet(tmp_path), query, tmp_path)[1].schema.field("bought").type.tz == "Europe/Berlin"


def test_how_values_are_spelled_goes_along(tmp_path: Path) -> None:
    """A copy of a segment's own files is read as the files would be."""
    snapshot, rows = built(semicolons(tmp_path), "", tmp_path)
    assert rows["spent"].to_pylist() == ["10,5", "2000", "3000"]
    assert snapshot.options["decimal"] == ","
    assert "NULL" in snapshot.options["null_values"]
    assert parse_segments({"VIP": {"uri": "vip.parquet", **snapshot.options}})


def test_columns_of_partitions(tmp_path: Path) -> None:
    """Of files that differ, the columns that all of them have; the names of folders are columns too."""
    (tmp_path / "lake").mkdir()
    _, rows = built(partitions(tmp_path / "lake"), "FROM profiles WHERE country = 'FR'", tmp_path)
    assert rows.column_names == ["email", "spent", "bought", "country"]
    assert rows.num_rows == 1


@pytest.mark.parametrize(
    ("query", "kind", "told"),
    [
        ("FROM profiles WHERE spend > 1", ConfigError, 'Referenced column "spend" not found'),
        ("FROM profiles WHERE spent >", ConfigError, "Parser Error: "),
        ("FROM people", ConfigError, "Table with name people does not exist"),
        ("SELECT 1; SELECT 2", ConfigError, "its rule is not one SELECT"),
        ("DROP TABLE profiles", ConfigError, "its rule is not one SELECT"),
        ("FROM profiles WHERE email::INT > 1", SourceError, "(Conversion Error)"),
        ("SELECT INTERVAL 1 DAY AS x", SourceError, "(ArrowNotImplementedError)"),
    ],
)
@pytest.mark.parametrize("source", [parquet, semicolons])
def test_a_rule_that_is_wrong(
    query: str, kind: type[ExportError], told: str, source: Any, tmp_path: Path
) -> None:
    """It is told with the segment and in DuckDB's words, but without a value, and leaves nothing behind."""
    with pytest.raises(kind) as caught:
        built(source(tmp_path), query, tmp_path)
    assert caught.value.happened.startswith("Segment 'VIP': ")
    assert told in caught.value.happened
    assert caught.value.remedy
    assert "inkwell" not in str(caught.value)
    assert not list((tmp_path / "snapshots").rglob("*.parquet"))


def test_an_address_in_a_rule(tmp_path: Path) -> None:
    """DuckDB quotes the rule, and the rule may quote a person."""
    with pytest.raises(ConfigError) as caught:
        built(parquet(tmp_path), "FROM profiles WHERE email IN ('ada@inkwell.invalid' 'x')", tmp_path)
    assert "inkwell" not in str(caught.value)


def test_profiles_that_are_not_there(tmp_path: Path) -> None:
    """The source says so, as for an export."""
    with pytest.raises(SourceError, match="segment 'VIP': there is no file or folder"):
        built(str(tmp_path / "none.parquet"), TOP, tmp_path)


def test_a_rule_that_a_database_runs(tmp_path: Path) -> None:
    """What its query returns is the segment."""
    database = tmp_path / "crm.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE people AS SELECT 'ada@inkwell.invalid' AS email, 10 AS spent")
        connection.execute("INSERT INTO people VALUES ('bea@inkwell.invalid', 2000)")
        connection.commit()
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": "SELECT * FROM people WHERE spent > 100"}})
    snapshots = Snapshots(tmp_path / "snapshots")
    snapshot = build(
        Rule("vip", "VIP", segment.source),
        REFRESH,
        snapshots,
        path_factory=plain_path,
        connection_factory=lambda conn_id: sqlite3.connect(database),
    )
    rows = pq.ParquetFile(tmp_path / "snapshots" / snapshot.file).read().to_pylist()
    assert rows == [{"email": "bea@inkwell.invalid", "spent": "2000"}]


def test_a_rule_that_nobody_meets(tmp_path: Path) -> None:
    """The file is there, with its columns and without a row."""
    snapshot, rows = built(parquet(tmp_path), "FROM profiles WHERE false", tmp_path)
    assert (snapshot.rows, rows.column_names) == (0, PEOPLE.column_names)
