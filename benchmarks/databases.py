"""Profiles in databases, which run on this machine, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.people import blocks

POSTGRES = os.environ.get(
    "MAILCHIMP_TEST_POSTGRES", "host=127.0.0.1 user=postgres dbname=postgres connect_timeout=3"
)
TABLE = "mailchimp_benchmark_profiles"
QUERY = f"select email, first_name, last_name, birthday from {TABLE}"
COLUMNS = "email varchar(100), first_name varchar(100), last_name varchar(100), birthday date"
ROWS_AT_ONCE = 10_000


def postgres() -> Any:
    """Open PostgreSQL."""
    import psycopg

    return psycopg.connect(POSTGRES)


def mariadb() -> Any:
    """Open MariaDB, whose database test is there from the start."""
    import MySQLdb

    return MySQLdb.connect(
        host="127.0.0.1", user="root", database="test", charset="utf8mb4", connect_timeout=3
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """A way to read.

    :ivar connect: opens the database.
    :ivar segment: what the segment says besides its query.
    """

    connect: Callable[[], Any]
    segment: Mapping[str, Any]


READINGS: Mapping[str, Reading] = {
    "PostgreSQL, cursor": Reading(postgres, {"adbc": False}),
    "PostgreSQL, ADBC": Reading(postgres, {}),
    "MariaDB": Reading(mariadb, {}),
}


@contextmanager
def profiles_in_databases(profiles: int) -> Iterator[Mapping[str, str]]:
    """Put profiles into the databases that answer; returned is why another one does not, by the way to read it."""
    missing: dict[str, str] = {}
    filled = []
    for connect in (postgres, mariadb):
        try:
            _fill(connect, profiles)
            filled.append(connect)
        except Exception as error:
            missing |= {
                name: type(error).__name__ for name, one in READINGS.items() if one.connect is connect
            }
    try:
        yield missing
    finally:
        for connect in filled:
            with closing(connect()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(f"drop table {TABLE}")
                connection.commit()


def _fill(connect: Callable[[], Any], profiles: int) -> None:
    with closing(connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"drop table if exists {TABLE}")
        cursor.execute(f"create table {TABLE} ({COLUMNS})")
        for block in blocks(profiles):
            rows = list(zip(*(column.to_pylist() for column in block.columns), strict=True))
            for start in range(0, len(rows), ROWS_AT_ONCE):
                cursor.executemany(
                    f"insert into {TABLE} values (%s, %s, %s, %s)", rows[start : start + ROWS_AT_ONCE]
                )
        connection.commit()
