"""Which database it is, by the driver of a connection; no driver is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from airflow_mailchimp_export.sources.databases.mariadb import mysql_connector, mysqlclient
from airflow_mailchimp_export.sources.databases.plain import PlainDatabase, Sqlite
from airflow_mailchimp_export.sources.databases.postgres import psycopg2, psycopg3
from airflow_mailchimp_export.sources.databases.result import Database

_DATABASES: Final[Mapping[str, Callable[[], Database]]] = {
    "psycopg": psycopg3,
    "psycopg2": psycopg2,
    "MySQLdb": mysqlclient,
    "mysql": mysql_connector,
    "sqlite3": Sqlite,
}
"""What is known, by the package of the driver."""


def database_of(connection: Any) -> Database:
    """Return what is known of a connection's database."""
    packages = [kind.__module__.partition(".")[0] for kind in type(connection).__mro__]
    known = [_DATABASES[package] for package in packages if package in _DATABASES]
    return known[0]() if known else PlainDatabase()
