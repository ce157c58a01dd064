"""Databases that tests read from: a schema of their own on a server that runs here, or a file of SQLite."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

POSTGRES = os.environ.get(
    "MAILCHIMP_TEST_POSTGRES", "host=127.0.0.1 user=postgres dbname=postgres connect_timeout=3"
)
MARIADB = {"host": "127.0.0.1", "user": "root", "password": "", "connect_timeout": 3}
"""The servers that are asked for; where they do not answer, the tests that need them are skipped."""

Connect = Callable[[], Any]


@dataclass(frozen=True)
class Database:
    """A place for tables.

    :ivar drivers: what connects to it, by the name of the driver.
    :ivar types: what a column of a type of Arrow is there.
    :ivar mark: what stands for a value in a statement.
    """

    drivers: Mapping[str, Connect]
    types: Mapping[pa.DataType, str]
    mark: str = "%s"

    def connect(self, driver: str) -> Any:
        """Open a connection; it is what a hook of Airflow hands over."""
        return self.drivers[driver]()

    def run(self, *statements: str) -> None:
        """Change the database."""
        with closing(self._first()) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def load(self, name: str, rows: pa.Table) -> None:
        """Make a table of rows."""
        columns = ", ".join(f"{field.name} {self.types[field.type]}" for field in rows.schema)
        marks = ", ".join([self.mark] * rows.num_columns)
        values = [tuple(row.values()) for row in rows.to_pylist()]
        with closing(self._first()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(f"create table {name} ({columns})")
            cursor.executemany(f"insert into {name} values ({marks})", values)
            connection.commit()

    def _first(self) -> Any:
        return next(iter(self.drivers.values()))()


@contextmanager
def postgres(**settings: str) -> Iterator[Database]:
    """A schema of PostgreSQL, which is dropped.

    :param settings: of the sessions.
    """
    psycopg, psycopg2 = _driver("psycopg"), _driver("psycopg2")
    schema = f"mailchimp_{uuid4().hex[:12]}"
    options = " ".join(f"-c {name}={value}" for name, value in {**settings, "search_path": schema}.items())
    dsn = f"{POSTGRES} options='{options}'"
    types = {
        pa.string(): "text",
        pa.date32(): "date",
        pa.timestamp("us"): "timestamp",
        pa.float64(): "double precision",
        pa.bool_(): "boolean",
    }
    database = Database(
        {"psycopg": lambda: psycopg.connect(dsn), "psycopg2": lambda: psycopg2.connect(dsn)}, types
    )
    _reach(database)
    database.run(f"create schema {schema}")
    try:
        yield database
    finally:
        database.run(f"drop schema {schema} cascade")


@contextmanager
def mariadb(charset: str = "utf8mb4") -> Iterator[Database]:
    """A database of MariaDB, which is dropped.

    :param charset: of the connections.
    """
    mysqldb, connector = _driver("MySQLdb"), _driver("mysql.connector")
    schema = f"mailchimp_{uuid4().hex[:12]}"
    options = {**MARIADB, "charset": charset}
    server = Database({"mysqlclient": lambda: mysqldb.connect(**options)}, {})
    _reach(server)
    server.run(f"create database {schema} character set utf8mb4")
    within: dict[str, Any] = {**options, "database": schema}
    types = {
        pa.string(): "text",
        pa.date32(): "date",
        pa.timestamp("us"): "datetime(6)",
        pa.float64(): "double",
        pa.bool_(): "boolean",
    }
    try:
        yield Database(
            {
                "mysqlclient": lambda: mysqldb.connect(**within),
                "mysql-connector": lambda: connector.connect(**{**within, "connection_timeout": 3}),
            },
            types,
        )
    finally:
        server.run(f"drop database {schema}")


def sqlite(path: Path) -> Database:
    """A file of SQLite."""
    types = {
        pa.string(): "text",
        pa.date32(): "date",
        pa.timestamp("us"): "timestamp",
        pa.float64(): "real",
        pa.bool_(): "boolean",
    }
    return Database({"sqlite": lambda: sqlite3.connect(path)}, types, mark="?")


def _driver(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        pytest.skip(f"not installed: {name}; `make services-setup` brings it")


def _reach(database: Database) -> None:
    try:
        with closing(database._first()):
            return
    except Exception as error:
        pytest.skip(f"no server answers ({type(error).__name__})")
