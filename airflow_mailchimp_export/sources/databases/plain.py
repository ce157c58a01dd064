"""SQLite, and any other database whose driver is as PEP 249 has it: each value is of a type of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any, Final

import orjson
import pyarrow as pa

from airflow_mailchimp_export.settings.queries import SqlSpec
from airflow_mailchimp_export.sources.columns import as_text
from airflow_mailchimp_export.sources.databases.result import (
    BYTES,
    CursorResult,
    Refused,
    ResultColumn,
    Values,
)


class PlainDatabase:
    """A database of which nothing is known but that it has a driver; how much memory it takes is the driver's affair.

    Its columns are text, each value spelled as a file of its type has it: only at the last row would be known what
    types there are.
    """

    def described(self, connection: Any, query: SqlSpec) -> None:
        """Return nothing: it would have to run the query."""

    @contextmanager
    def running(self, connection: Any, query: SqlSpec) -> Iterator[CursorResult]:
        """Run a query."""
        cursor = connection.cursor()
        _execute(cursor, query)
        columns = [ResultColumn(described[0], pa.string(), told) for described in cursor.description or ()]
        yield CursorResult(cursor, columns)


class Sqlite(PlainDatabase):
    """SQLite, which hands over one row after the other."""

    @contextmanager
    def running(self, connection: sqlite3.Connection, query: SqlSpec) -> Iterator[CursorResult]:
        """Run a query in a database that is not written to."""
        connection.execute("PRAGMA query_only = ON")
        connection.row_factory = None
        connection.text_factory = lambda text: text.decode(errors="replace")
        with super().running(connection, query) as result:
            yield result


def _execute(cursor: Any, query: SqlSpec) -> None:
    if query.parameters is None:
        cursor.execute(query.sql)
    else:
        cursor.execute(query.sql, query.parameters)


def told(given: Values) -> pa.Array:
    """Return values as an array of their type, or of text where there are several.

    Numbers stay numbers, so that those which have lost zeros in front are known from text.

    :raises Refused: there are bytes that are no text.
    """
    kinds = {type(value) for value in given if value is not None}
    if len(kinds) == 1 and kinds <= {int, float, bool}:
        with suppress(pa.ArrowException, OverflowError):
            return pa.array(given)
    return pa.array([_text(value) for value in given], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    for kinds, spell in _SPELLED:
        if isinstance(value, kinds):
            return spell(value)
    return str(value)


def _decoded(value: bytes | bytearray | memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise Refused(BYTES) from None


def _float(value: float) -> str:
    spelled: str = as_text(pa.array([value], pa.float64()))[0].as_py()
    return spelled


def _decimal(value: Decimal) -> str:
    return format(value, "f") if value.is_finite() else str(value)


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


_SPELLED: Final[Sequence[tuple[tuple[type, ...], Callable[[Any], str]]]] = (
    ((bytes, bytearray, memoryview), _decoded),
    ((bool,), lambda value: "true" if value else "false"),
    ((float,), _float),
    ((Decimal,), _decimal),
    ((dict, list, tuple), _json),
)
"""How values are spelled that Python spells otherwise than files do."""
