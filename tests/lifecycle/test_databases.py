"""Exports of queries: what a life of them comes to."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import RemovalLimitExceeded, SourceError
from tests.kit.life import Life, changing

PEOPLE = 600


@pytest.fixture
def crm(life: Life, tmp_path: Path) -> Path:
    """A database of people, all of whom an export has sent."""
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table people (n integer, email text)")
        rows = [(number, f"p{number}@mail.eu") for number in range(PEOPLE)]
        connection.executemany("insert into people values (?, ?)", rows)
        connection.commit()
    life.connection_factory = lambda conn_id: sqlite3.connect(path)
    assert life.run({"S": query("select email from people")}).counts == Counts(
        rows_read=PEOPLE, created=PEOPLE
    )
    return path


def query(sql: str, **more: Any) -> dict[str, Any]:
    """A segment that is a query."""
    return {"conn_id": "crm", "sql": sql, **more}


def test_a_query_that_fails_half_way(life: Life, crm: Path) -> None:
    """Nobody is removed because the rows behind a failure were not read."""
    before = life.audience()
    failing = query("select email, case when n = 500 then abs(-9223372036854775807 - 1) end from people")
    with life.watched() as seen, pytest.raises(SourceError) as caught:
        life.run({"S": failing})
    assert str(caught.value).startswith("segment 'S', connection 'crm': the query computes something")
    assert caught.value.nothing_sent
    assert changing(seen) == []
    assert life.audience() == before
    assert life.run({"S": query("select email from people")}).counts.unchanged == PEOPLE


def test_a_query_that_returns_nobody(life: Life, crm: Path) -> None:
    """A query without rows is a segment of nobody, which the limit of removals stops."""
    with pytest.raises(RemovalLimitExceeded):
        life.run({"S": query("select email from people where n < 0")})
    assert len(life.audience()) == PEOPLE


def test_who_leaves(life: Life, crm: Path) -> None:
    """Who is in the result no more leaves the segment; parameters say who that is."""
    fewer = query("select email from people where n < :n", parameters={"n": PEOPLE - 10})
    assert life.run({"S": fewer}).counts == Counts(rows_read=PEOPLE - 10, unchanged=PEOPLE - 10, removed=10)


def test_several_queries(life: Life, crm: Path) -> None:
    """Of several segments one after the other is read, each by a connection of its own that is closed."""
    opened: list[sqlite3.Connection] = []

    def connect(conn_id: str) -> sqlite3.Connection:
        opened.append(sqlite3.connect(crm))
        return opened[-1]

    life.connection_factory = connect
    halves = {
        "S": query("select email from people"),
        "Even": query("select email from people where n % 2 = 0"),
    }
    assert life.run(halves).counts.updated == PEOPLE // 2
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("select 1")


def test_nothing_of_a_query_is_logged(life: Life, crm: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a parameter nor the query's text gets into a log or a file of the run."""
    caplog.set_level(logging.DEBUG)
    given = query(
        "select email from people where email <> :who and 'Hopper' <> ''", parameters={"who": "grace@mail.eu"}
    )
    life.run({"S": given}, name="secret")
    manifest = life.folder.read("secret/run.json").decode()
    for word in ("grace", "Hopper"):
        assert word not in caplog.text
        assert word not in manifest
