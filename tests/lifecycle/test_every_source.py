"""The same profiles in every kind of source: the same audience, and the same counts."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from airflow_mailchimp_export.state.run import ExportFolder
from tests.conftest import REPOSITORY
from tests.kit.databases import Database, mariadb, postgres, sqlite
from tests.kit.exports import LIST
from tests.kit.life import Life, changing
from tests.kit.sandbox import InProcessSandbox

FIELD_MAP = {
    "EMAIL": "email",
    "FNAME": "first_name",
    "LNAME": "last_name",
    "PHONE": "phone",
    "BIRTHDAY": "birthday",
    "TIER": "loyalty_tier",
    "VALUE": "lifetime_value",
    "BOUGHT": "last_purchase",
    "ZIP": "postal_code",
}
TYPES = {"TIER": "text", "VALUE": "number", "BOUGHT": "date", "ZIP": "text"}
SAMPLES = pq.read_table(REPOSITORY / "samples" / "profiles.parquet").select(list(FIELD_MAP.values()))
PROFILES = pa.table(
    {
        name: pc.if_else(pc.equal(values, ""), None, values) if pa.types.is_string(values.type) else values
        for name, values in zip(SAMPLES.schema.names, SAMPLES.columns, strict=True)
    }
)
"""The samples with nothing in the place of empty text, from which CSV does not tell it."""


def parquet(folder: Path) -> str:
    """As Parquet."""
    pq.write_table(PROFILES, folder / "profiles.parquet")
    return str(folder / "profiles.parquet")


def rfc_csv(folder: Path) -> dict[str, Any]:
    """As CSV of RFC 4180, in which no word stands for nothing: the samples have such words as names."""
    rows = [[_in_csv(value) for value in row.values()] for row in PROFILES.to_pylist()]
    _write_csv(folder / "profiles.csv", rows, encoding="utf-8")
    return {"uri": str(folder / "profiles.csv"), "null_values": []}


def excel_csv(folder: Path) -> dict[str, Any]:
    """As a German Excel saves it."""
    rows = [[_in_excel(value) for value in row.values()] for row in PROFILES.to_pylist()]
    _write_csv(folder / "excel.csv", rows, encoding="utf-8-sig", delimiter=";")
    return {
        "uri": str(folder / "excel.csv"),
        "null_values": [],
        "delimiter": ";",
        "decimal": ",",
        "date_format": {"birthday": "%d.%m.%Y", "last_purchase": "%d.%m.%Y %H:%M"},
    }


def json_lines(folder: Path) -> str:
    """As JSON lines."""
    lines = (json.dumps(row, default=str, ensure_ascii=False) for row in PROFILES.to_pylist())
    (folder / "profiles.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / "profiles.jsonl")


def delta(folder: Path) -> dict[str, Any]:
    """As a table of Delta."""
    write_deltalake(str(folder / "delta"), PROFILES)
    return {"uri": str(folder / "delta"), "format": "delta"}


FILES = (parquet, rfc_csv, excel_csv, json_lines, delta)


def _write_csv(path: Path, rows: list[list[Any]], *, encoding: str, delimiter: str = ",") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(PROFILES.schema.names)
        writer.writerows(rows)


def _in_csv(value: Any) -> str:
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return "" if value is None else str(value)


def _in_excel(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%d.%m.}{value.year:04} {value:%H:%M}"
    if isinstance(value, date):
        return f"{value:%d.%m.}{value.year:04}"
    plain = _in_csv(value)
    return plain.replace(".", ",") if isinstance(value, float) else plain


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """An export of the profiles in Parquet, which has run once."""
    folder = tmp_path_factory.mktemp("sources")
    with InProcessSandbox() as sandbox:
        sandbox.reset()
        for tag, kind in TYPES.items():
            sandbox.call("POST", f"{LIST}/merge-fields", {"tag": tag, "name": tag, "type": kind})
        life = Life(sandbox, ExportFolder(folder / "life"), FIELD_MAP, options={"max_reject_ratio": 1})
        life.run({"Everybody": parquet(folder)})
        yield life


def check_that_nothing_changes(life: Life, source: Any) -> None:
    """Export a source to the audience that Parquet has filled: everybody is known, just so."""
    first = life.report("run1").counts
    before = life.sandbox.members()
    with life.watched() as seen:
        counts = life.run({"Everybody": source}).counts
    assert counts == replace(first, created=0, unchanged=first.created)
    assert counts.unchanged > 15_000
    assert changing(seen) == []
    assert life.sandbox.members() == before


@pytest.mark.parametrize("write", [rfc_csv, excel_csv, json_lines, delta])
def test_files(write: Callable[[Path], Any], life: Life, tmp_path: Path) -> None:
    """Whichever kind of file they are in, the same people are sent the same, and the same ones are rejected."""
    check_that_nothing_changes(life, write(tmp_path))


def test_sqlite(life: Life, tmp_path: Path) -> None:
    """So it is in SQLite."""
    check_that_nothing_changes(life, loaded(life, sqlite(tmp_path / "profiles.db"), "sqlite"))


@pytest.mark.service
@pytest.mark.parametrize(
    ("driver", "by_adbc"), [("psycopg", False), ("psycopg2", False), ("psycopg", True), ("psycopg2", True)]
)
def test_postgresql(driver: str, by_adbc: bool, life: Life) -> None:
    """So it is in PostgreSQL, by either driver, and by ADBC as by a cursor."""
    if by_adbc:
        pytest.importorskip("adbc_driver_postgresql")
    with postgres() as database:
        check_that_nothing_changes(life, {**loaded(life, database, driver), "adbc": by_adbc})


@pytest.mark.service
@pytest.mark.parametrize("driver", ["mysqlclient", "mysql-connector"])
def test_mariadb(driver: str, life: Life) -> None:
    """So it is in MariaDB, by either driver."""
    with mariadb() as database:
        check_that_nothing_changes(life, loaded(life, database, driver))


def loaded(life: Life, database: Database, driver: str) -> dict[str, Any]:
    """Put the profiles into a database, and say how to read them."""
    database.load("profiles", PROFILES)
    life.connection_factory = lambda conn_id: database.connect(driver)
    return {"conn_id": "crm", "sql": "select * from profiles"}
