"""MariaDB and MySQL, by mysqlclient or MySQL Connector/Python: rows that wait at the server, as bytes.

What the drivers make of values is passed by: they make nothing of days such as 2024-02-00, and say no word of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Any, Final

import pyarrow as pa

from airflow_mailchimp_export.settings.queries import SqlSpec
from airflow_mailchimp_export.sources.databases import values
from airflow_mailchimp_export.sources.databases.result import (
    BYTES,
    CursorResult,
    Refused,
    ResultColumn,
    Values,
)

_DECIMALS: Final = frozenset({0, 246})
_BIT: Final = 16
_UNSIGNED: Final = 32
"""Flag of a column: https://mariadb.com/kb/en/result-set-packets/#field-details-flag"""

_WHOLE: Final = frozenset({1, 2, 3, 8, 9, 13})

_KINDS: Final[Mapping[int, tuple[pa.DataType, values.Read]]] = {
    245: (pa.string(), values.without("null")),
    4: (pa.float32(), values.cast(pa.float32())),
    5: (pa.float64(), values.cast(pa.float64())),
    10: (pa.date32(), values.days),
    14: (pa.date32(), values.days),
    7: (values.MOMENT, values.moments),
    12: (values.MOMENT, values.moments),
}
"""Types by their numbers: https://mariadb.com/kb/en/result-set-packets/#field-types"""


class MariaDB:
    """MariaDB and MySQL; what differs between the drivers is handed in.

    :param cursor: makes a cursor of a connection whose rows wait at the server, as bytes.
    :param flags: returns the flags of each column of a cursor.
    """

    def __init__(self, cursor: Callable[[Any], Any], flags: Callable[[Any], Sequence[int]]) -> None:
        self._cursor = cursor
        self._flags = flags

    def described(self, connection: Any, query: SqlSpec) -> Sequence[ResultColumn]:
        """Return the columns of a query that returns no row, unless it has a LIMIT of its own."""
        with self._running(connection, query, "SET SESSION sql_select_limit = 0") as result:
            return result.columns

    def running(self, connection: Any, query: SqlSpec) -> AbstractContextManager[CursorResult]:
        """Run a query in a transaction that reads only; whoever does not read to the end closes the connection."""
        return self._running(connection, query)

    @contextmanager
    def _running(self, connection: Any, query: SqlSpec, *settings: str) -> Iterator[CursorResult]:
        cursor = self._cursor(connection)
        for statement in (*settings, "START TRANSACTION READ ONLY"):
            with closing(connection.cursor()) as session:
                session.execute(statement)
        cursor.execute(query.sql, query.parameters)
        columns = zip(cursor.description or (), self._flags(cursor), strict=True)
        yield CursorResult(cursor, [_column(described, flags) for described, flags in columns])


def mysqlclient() -> MariaDB:
    """Return MariaDB by mysqlclient."""
    return MariaDB(_mysqlclient_cursor, lambda cursor: cursor.description_flags or ())


def mysql_connector() -> MariaDB:
    """Return MariaDB by MySQL Connector/Python."""
    return MariaDB(
        _connector_cursor,
        lambda cursor: [described[7] for described in cursor.description or ()],
    )


def _mysqlclient_cursor(connection: Any) -> Any:
    from MySQLdb.cursors import SSCursor

    connection.set_character_set("utf8mb4")
    connection.converter = {}
    return connection.cursor(SSCursor)


def _connector_cursor(connection: Any) -> Any:
    connection.set_charset_collation("utf8mb4")
    # It asks for the mode once, with a query, where parameters are put in.
    connection.sql_mode  # noqa: B018
    return connection.cursor(raw=True, buffered=False)


def _column(described: Sequence[Any], flags: int) -> ResultColumn:
    name, kind = described[0], described[1]
    if kind in _DECIMALS:
        decimal = values.decimal_type(*_digits(described, flags))
        return ResultColumn(name, decimal, partial(_array, values.decimals(decimal)), is_number=True)
    if kind in _WHOLE:
        whole = pa.uint64() if flags & _UNSIGNED else pa.int64()
        return ResultColumn(name, whole, partial(_array, values.cast(whole)))
    if kind == _BIT:
        return ResultColumn(name, pa.uint64(), _bits)
    typed, read = _KINDS.get(kind, (pa.string(), values.text))
    return ResultColumn(name, typed, partial(_array, read))


def _digits(described: Sequence[Any], flags: int) -> tuple[int | None, int | None]:
    """Return precision and scale of a decimal, whose width counts its sign and its point; some drivers keep both."""
    width, scale = described[3], described[5]
    if not width or scale is None:
        return None, None
    return width - (scale > 0) - (not flags & _UNSIGNED), scale


def _array(read: values.Read, given: Values) -> pa.Array:
    return read(_texts(given))


def _texts(given: Values) -> pa.Array:
    """Decode text, which columns of bytes may hold too: collations that compare bytes look like those."""
    try:
        return pa.array(given, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        raise Refused(BYTES) from None


def _bits(given: Values) -> pa.Array:
    return pa.array([None if bits is None else int.from_bytes(bits, "big") for bits in given], pa.uint64())
