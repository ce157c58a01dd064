"""Segments that are queries, in a DAG: connections, files of SQL, and templates."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source
from tests.airflow.runs import context_of, one_task, rendered, result
from tests.kit.databases import mariadb, postgres

if TYPE_CHECKING:
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

FIELDS = {"EMAIL": "email", "FNAME": "first_name"}


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A database of three people, of whom two are customers, as the connection crm."""
    path = tmp_path / "crm.db"
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table people (email text, first_name text, tier text)")
        rows = [
            ("ada@mail.eu", "Ada", "gold"),
            ("bob@mail.eu", "Bob", "gold"),
            ("cleo@mail.eu", "Cleo", "none"),
        ]
        connection.executemany("insert into people values (?, ?, ?)", rows)
        connection.commit()
        yield connection


def refused(segments: Any, **settings: Any) -> str:
    """What the task says when it is executed with these segments."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    task = one_task(segments=segments, field_map=FIELDS, **settings).task_dict["export"]
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context_of(task))
    return str(caught.value)


def test_a_file_of_sql(crm: sqlite3.Connection, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A query in a file is found on the DAG's search path, and is a template, as its parameters are."""
    query = "select email, first_name from people\nwhere tier = :tier and '{{ params.country }}' = 'DE';\n"
    (tmp_path / "customers.sql").write_text(query, encoding="utf-8")
    segment = {"conn_id": "crm", "sql": "customers.sql", "parameters": {"tier": "{{ params.tier }}"}}
    run = run_dag(
        one_task(
            segments={"Customers": segment},
            field_map=FIELDS,
            dag={
                "template_searchpath": [str(tmp_path)],
                "params": {"country": "DE", "tier": "gold"},
            },
        )
    )
    assert result(run, "export")["counts"]["created"] == 2
    assert {member["email"] for member in mailchimp.members()} == {"ada@mail.eu", "bob@mail.eu"}
    assert "where tier = :tier and 'DE' = 'DE';" in rendered(run)


def test_a_missing_file(crm: sqlite3.Connection, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A file that is not there is named, with the folders in which it was looked for, and nothing is sent."""
    dag = one_task(
        segments={"VIP": {"conn_id": "crm", "sql": "sql/vip.sql"}},
        field_map=FIELDS,
        dag={"template_searchpath": [str(tmp_path)]},
    )
    task = dag.task_dict["export"]
    task.render_template_fields(context_of(task), dag.get_template_env())
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException) as caught:
        task.execute(context_of(task))
    said = str(caught.value)
    assert said.startswith("there is no file 'sql/vip.sql'; it was looked for in ")
    assert str(tmp_path) in said
    assert "Nothing was sent" in said
    assert mailchimp.members() == []


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        (None, "segment 'VIP': there is no connection 'other'. "),
        ("http://service", "connection 'other' is of the type 'http', which has no SQL"),
        ("klingon://service", "nothing is installed for connection 'other', which is of the type 'klingon'"),
    ],
)
def test_connections_without_sql(
    connection: str | None, says: str, mailchimp: Sandbox, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is not there, or that leads to no database, is told with the segment and its type."""
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", connection)
    said = refused({"VIP": {"conn_id": "other", "sql": "select 1 as email"}})
    assert "segment 'VIP'" in said
    assert says in said


def test_a_query_that_fails_can_be_tried_again(
    crm: sqlite3.Connection, mailchimp: Sandbox, airflow_db: None
) -> None:
    """A table that is missing fails the task in a way that Airflow retries, and nobody is removed."""
    from airflow_mailchimp_export.errors import SourceError

    dag = one_task(segments={"VIP": {"conn_id": "crm", "sql": "select * from nobody"}}, field_map=FIELDS)
    task = dag.task_dict["export"]
    with pytest.raises(
        SourceError, match="segment 'VIP', connection 'crm': the query names a table that does not"
    ):
        task.execute(context_of(task))


@pytest.mark.service
@pytest.mark.parametrize("extra", [{}, {"cursor": "dictcursor"}, {"cursor": "namedtuplecursor"}])
def test_connections_of_postgresql(
    extra: dict[str, str], airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hook of PostgreSQL connects to is read, whatever kind of rows its cursors make."""
    pytest.importorskip("airflow.providers.postgres")
    with postgres():
        given = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "login": "postgres",
            "schema": "postgres",
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(given))
        assert numbers("select n as email, array['x'] as t from generate_series(1, 20000) n") == 20_000
        assert numbers("select n as email from generate_series(1, 20000) n") == 20_000


@pytest.mark.service
@pytest.mark.parametrize(
    "extra", [{}, {"cursor": "dictcursor"}, {"cursor": "sscursor"}, {"client": "mysql-connector-python"}]
)
def test_connections_of_mariadb(
    extra: dict[str, str], airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hook of MySQL connects to is read, by either client and whatever kind of rows its cursors make."""
    pytest.importorskip("airflow.providers.mysql")
    with mariadb():
        given = {"conn_type": "mysql", "host": "127.0.0.1", "login": "root", "schema": "test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(given))
        assert numbers("select seq as email from seq_1_to_20000") == 20_000


def numbers(sql: str) -> int:
    """How many rows a query of the connection crm returns, which number them from 1."""
    from airflow_mailchimp_export.operators.databases import open_connection

    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql}})
    source = open_source(segment, ("email",), connection_factory=open_connection)
    rows = [row["email"] for batch in source.batches() for row in batch.to_pylist()]
    assert rows == list(range(1, len(rows) + 1))
    return len(rows)
