"""Timestamps are sent in the zone of their column, whatever the zone of the worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.sandbox import InProcessSandbox

MOMENT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
COLUMNS = {"utc": "UTC", "new_york": "America/New_York", "tokyo": "Asia/Tokyo", "offset": "+09:00"}
SENT = {"UTC": "2026-01-02", "NEW_YORK": "2026-01-01", "TOKYO": "2026-01-02", "OFFSET": "2026-01-02"}


def segment() -> pa.Table:
    """One person with one moment in columns of several zones, and as a time on the wall."""
    columns = {name: pa.array([MOMENT], pa.timestamp("us", zone)) for name, zone in COLUMNS.items()}
    wall = pa.array([datetime(2026, 1, 2, 23, 30)], pa.timestamp("us"))
    return pa.table({"email": ["ada@mail.eu"], **columns, "wall": wall, "text": columns["offset"]})


def run(life: Life) -> dict[str, Any]:
    """Export the person; returned are the values in the audience, and the fingerprint in the ledger."""
    tags = [*map(str.upper, COLUMNS), "WALL"]
    if life.runs == 0:
        for tag in tags:
            life.sandbox.call("POST", f"{LIST}/merge-fields", {"tag": tag, "name": tag, "type": "date"})
        life.sandbox.call("POST", f"{LIST}/merge-fields", {"tag": "TEXT", "name": "T", "type": "text"})
    life.field_map = {"EMAIL": "email", **{tag: tag.lower() for tag in tags}, "TEXT": "text"}
    report = life.run({"S": segment()})
    fields = life.sandbox.members()["ada@mail.eu"]["merge_fields"]
    fingerprint = life.ledger()["ada@mail.eu"]["fingerprint"]
    return {"fields": fields, "fingerprint": fingerprint, "unchanged": report.counts.unchanged}


def test_zone_of_the_column(life: Life) -> None:
    """A moment is the day that it is in its column's zone; a time without a zone is taken as it is."""
    assert run(life)["fields"] == SENT | {"WALL": "2026-01-02", "TEXT": "2026-01-02 12:04:00+09:00"}


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_zone_of_the_worker(zone: str, tmp_path: Path, life: Life) -> None:
    """A worker in another zone sends the same values, and gives them the same fingerprint."""
    program = "from tests.lifecycle.test_time_zones import main; main()"
    elsewhere = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "elsewhere")],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(elsewhere.stdout.splitlines()[-1]) == {"zone": zone, **run(life)}


def test_zone_of_the_session(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DuckDB would work in another zone, nobody is sent again."""
    run(life)
    opened = duckdb.connect

    def connect(*args: Any, **how: Any) -> duckdb.DuckDBPyConnection:
        connection = opened(*args, **how)
        connection.execute("SET TimeZone = 'America/New_York'")
        return connection

    monkeypatch.setattr(duckdb, "connect", connect)
    assert run(life)["unchanged"] == 1


def main() -> None:
    """Print what a run does in the zone of this process."""
    zone = duckdb.sql("SELECT current_setting('TimeZone')").fetchall()[0][0]
    with InProcessSandbox() as sandbox:
        sandbox.reset()
        print(json.dumps({"zone": zone, **run(Life(sandbox, ExportFolder(Path(sys.argv[1]))))}))
