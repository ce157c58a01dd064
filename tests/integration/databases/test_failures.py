"""What goes wrong in a database, as the reader of a task's log is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source
from tests.integration.databases.test_types import mariadb_drivers, postgres_drivers
from tests.kit.databases import MARIADB, POSTGRES, Database, postgres

psycopg: Any = pytest.importorskip("psycopg", reason="needs the extra services: make services-setup")

by_adbc_too = pytest.mark.parametrize("adbc", [False, True], ids=["cursor", "adbc"])


def refusal(connect: Callable[[], Any], sql: str, **more: Any) -> ExportError:
    """What comes of reading a query to its end."""
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql, **more}})
    with pytest.raises(ExportError) as caught:
        list(open_source(segment, ("email",), connection_factory=lambda conn_id: connect()).batches())
    assert "segment 'VIP'" in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


POSTGRES_SAYS = {
    "select * from nobody": "the query names a table that does not exist (UndefinedTable, SQLSTATE 42P01)",
    "select nobody": "the query names a column that does not exist (UndefinedColumn, SQLSTATE 42703)",
    "selec 'ada@mail.eu'": "the database does not understand the query (SyntaxError, SQLSTATE 42601)",
    "select 'ada@mail.eu'::int as email": "the query computes something that is not possible for a value",
    "select %(name)s as email": "the query and its parameters do not fit each other",
    "select email from people for update": "its sql writes, or locks rows, which no segment may",
    "select nextval('numbers') as email": "its sql writes, or locks rows, which no segment may",
    "select pg_sleep(9)::text as email": "the query was ended before its last row, by a time limit or by hand",
    "values (1)": "there is no column 'email'; there are 'column1'.",
}


@pytest.fixture(scope="module")
def hasty() -> Iterator[Database]:
    """A schema of PostgreSQL whose user has little time."""
    with postgres(statement_timeout="300") as database:
        database.run("create table people (email text)", "create sequence numbers")
        yield database


@postgres_drivers
@by_adbc_too
@pytest.mark.parametrize("sql", POSTGRES_SAYS)
def test_postgresql(hasty: Database, driver: str, adbc: bool, sql: str) -> None:
    """What PostgreSQL says becomes what the reader has to do, without a word of the query."""
    parameters = {"other": 1} if "%(" in sql else None
    error = refusal(lambda: hasty.connect(driver), sql, parameters=parameters, adbc=adbc)
    assert POSTGRES_SAYS[sql] in str(error)
    assert "ada" not in str(error)
    assert isinstance(error, ConfigError if "its sql writes" in str(error) else SourceError)


@postgres_drivers
@by_adbc_too
def test_a_query_of_postgresql_that_fails_half_way(postgresql: Database, driver: str, adbc: bool) -> None:
    """Rows that were read before do not hide that the last ones are missing."""
    sql = "select (1 / (40000 - n))::text as email from generate_series(1, 50000) as n"
    error = refusal(lambda: postgresql.connect(driver), sql, adbc=adbc)
    assert "connection 'crm': the query computes something that is not possible for a value" in str(error)


@postgres_drivers
@by_adbc_too
def test_a_connection_to_postgresql_that_is_cut(postgresql: Database, driver: str, adbc: bool) -> None:
    """A connection that ends before the rows do is told as that."""
    sql = f"select repeat('x', 1000) as email /* {uuid4().hex} */ from generate_series(1, 500000)"
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql, "adbc": adbc}})
    source = open_source(segment, ("email",), connection_factory=lambda conn_id: postgresql.connect(driver))
    batches = source.batches()
    next(batches)
    end = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like %s"
    with psycopg.connect(POSTGRES) as other:
        # What fetches from a cursor is FETCH by then.
        mark = f"COPY (%{sql.split()[5]}%" if adbc else "FETCH%mailchimp_export%"
        assert other.execute(end, [mark]).fetchall()
    with pytest.raises(SourceError, match="connection 'crm': the connection was cut before the last row"):
        list(batches)


def test_logins_of_postgresql() -> None:
    """A user or a database that is not there is told as such."""

    def as_user(user: str, database: str) -> Callable[[], Any]:
        return lambda: psycopg.connect(f"{POSTGRES} user={user} dbname={database}")

    assert "the database refuses the login" in str(refusal(as_user("nobody", "postgres"), "select 1"))
    assert "there is no such database" in str(refusal(as_user("postgres", "nowhere"), "select 1"))
    away = lambda: psycopg.connect("host=127.0.0.1 port=1 user=a dbname=b")  # noqa: E731
    assert "the database is out of reach" in str(refusal(away, "select 1"))


def test_rights_in_postgresql(postgresql: Database) -> None:
    """A user without the right to read a table is told that."""
    user = f"mailchimp_{uuid4().hex[:12]}"
    postgresql.run("create table if not exists people (email text)", f"create role {user} login")
    with closing(postgresql.connect("psycopg")) as connection:
        (schema,) = connection.execute("select current_schema()").fetchone()
    postgresql.run(f"grant usage on schema {schema} to {user}")
    try:
        error = refusal(
            lambda: psycopg.connect(f"{POSTGRES} user={user}"), f"select email from {schema}.people"
        )
    finally:
        postgresql.run(f"drop owned by {user}", f"drop role {user}")
    assert "the connection's user may not read what the query names (InsufficientPrivilege" in str(error)


MARIADB_SAYS = {
    "select * from nobody": "the query names a table that does not exist",
    "select nobody": "the query names a column that does not exist",
    "selec 'ada@mail.eu'": "the database does not understand the query",
    "select %(name)s as email": "the query and its parameters do not fit each other",
    "with a as (select 1) delete from people": "the database does not understand the query",
    "select email from people into outfile '/nowhere'": "",
    "select nextval(numbers) as email": "its sql writes, or locks rows, which no segment may",
    "select sleep(9) as email from people": "the query was ended before its last row, by a time limit or by hand",
    "show tables": "there is no column 'email'",
}


@mariadb_drivers
@pytest.mark.parametrize("sql", MARIADB_SAYS)
def test_mariadb(maria: Database, driver: str, sql: str) -> None:
    """What MariaDB says becomes what the reader has to do, without a word of the query."""
    maria.run(
        "create table if not exists people (email text)",
        "insert into people values ('ada@mail.eu')",
        "create sequence if not exists numbers",
    )

    def connect() -> Any:
        connection = maria.connect(driver)
        with closing(connection.cursor()) as cursor:
            cursor.execute("set max_statement_time = 0.1")
        return connection

    error = refusal(connect, sql, parameters={"other": 1} if "%(" in sql else None)
    assert MARIADB_SAYS[sql] in str(error)
    assert "ada" not in str(error)


@mariadb_drivers
def test_a_query_of_mariadb_that_fails_half_way(maria: Database, driver: str) -> None:
    """Rows that were read before do not hide that the last ones are missing."""
    sql = "select cast(-9223372036854775807 - if(seq = 40000, 2, 0) as char) as email from seq_1_to_50000"
    error = refusal(lambda: maria.connect(driver), sql)
    assert isinstance(error, SourceError)


@mariadb_drivers
def test_a_connection_to_mariadb_that_is_cut(maria: Database, driver: str) -> None:
    """A connection that ends before the rows do is told as that."""
    sql = "select repeat('x', 1000) as email from seq_1_to_500000"
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql}})
    opened: list[Any] = []

    def connect(conn_id: str) -> Any:
        opened.append(maria.connect(driver))
        with closing(opened[-1].cursor()) as cursor:
            cursor.execute("select connection_id()")
            opened.append(cursor.fetchone()[0])
        return opened[-2]

    batches = open_source(segment, ("email",), connection_factory=connect).batches()
    next(batches)
    maria.run(f"kill {opened[-1]}")
    with pytest.raises(SourceError, match="connection 'crm': the connection was cut before the last row"):
        list(batches)


def test_logins_of_mariadb(maria: Database) -> None:
    """A wrong password is told without it, and a database that is not there as such."""
    import MySQLdb

    wrong = {**MARIADB, "password": "secret"}
    said = str(refusal(lambda: MySQLdb.connect(**wrong), "select 1"))
    assert "connection 'crm': the database refuses the login (OperationalError, error 1045)" in said
    assert "secret" not in said
    nowhere = {**MARIADB, "database": "nowhere"}
    assert "there is no such database" in str(refusal(lambda: MySQLdb.connect(**nowhere), "select 1"))
    away = {**MARIADB, "port": 1}
    assert "the database is out of reach" in str(refusal(lambda: MySQLdb.connect(**away), "select 1"))


@mariadb_drivers
def test_who_stops_reading_mariadb(maria: Database, driver: str) -> None:
    """A reading that is given up ends at once: the rows that are left are not fetched first."""
    sql = "select repeat('x', 1000) as email from seq_1_to_1000000000"
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql}})
    source = open_source(segment, ("email",), connection_factory=lambda conn_id: maria.connect(driver))
    next(iter(source.batches()))
    source.close()
