"""PostgreSQL, by psycopg or psycopg2: a cursor at the server, whose values arrive as PostgreSQL writes them.

What the drivers make of values is passed by: they fail at the first day that Python has not, and hooks may have
taught them other types.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import pyarrow as pa

from airflow_mailchimp_export.settings.queries import SqlSpec
from airflow_mailchimp_export.sources.databases import adbc, arrays, values
from airflow_mailchimp_export.sources.databases.result import (
    BYTES,
    CursorResult,
    Result,
    ResultColumn,
    Values,
)

_CURSOR: Final = "mailchimp_export"

_BYTEA: Final = 17
_NUMERIC: Final = 1700

_Kind: TypeAlias = tuple[pa.DataType, values.Read]

_KINDS: Final[Mapping[int, _Kind]] = {
    16: (pa.bool_(), values.words({"t": True, "f": False})),
    **{
        oid: (kind, values.cast(kind)) for oid, kind in ((21, pa.int16()), (23, pa.int32()), (20, pa.int64()))
    },
    26: (pa.int64(), values.cast(pa.int64())),
    **dict.fromkeys((114, 3802), (pa.string(), values.without("null"))),
    700: (pa.float32(), values.cast(pa.float32())),
    701: (pa.float64(), values.cast(pa.float64())),
    1082: (pa.date32(), values.days),
    1114: (values.MOMENT, values.moments),
    1184: (values.ZONED, values.zoned_moments),
}
"""Types by their OIDs, which are the same in every database; all others are read as the text that they are told as.

https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
"""

_KNOWN: Final = frozenset(
    {*_KINDS, *arrays.ELEMENTS, arrays.OF_BYTEA, _BYTEA, _NUMERIC, 19, 25, 1042, 1043, 2950}
)
"""Types of which it is known whether they are arrays: the last are name, text, bpchar, varchar and uuid."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """PostgreSQL; what differs between its drivers is handed in.

    :param cursor: makes a cursor at the server, of a connection and a name, that hands over text.
    :param filled_in: returns a query with its parameters in it, as ADBC takes it.
    :param address: returns where a connection leads to, with its password, as libpq spells it.
    """

    cursor: Callable[[Any, str], Any]
    filled_in: Callable[[Any, SqlSpec], str]
    address: Callable[[Any], str]

    def described(self, connection: Any, query: SqlSpec) -> Sequence[ResultColumn]:
        """Return the columns: a cursor that is declared is not run before its first row is fetched."""
        with self._declared(connection, query) as declared:
            return declared.columns

    @contextmanager
    def running(self, connection: Any, query: SqlSpec) -> Iterator[Result]:
        """Run a query by ADBC, where that is installed and tells all of its columns as they are, else by a cursor."""
        with self._declared(connection, query) as declared, ExitStack() as stack:
            opened = None
            if query.adbc and adbc.tells([column[1] for column in declared.cursor.description]):
                opened = stack.enter_context(adbc.opened(self.address(connection)))
            if opened:
                sql = self.filled_in(connection, query)
                yield stack.enter_context(adbc.running(opened, sql, declared.columns))
            else:
                yield declared

    @contextmanager
    def _declared(self, connection: Any, query: SqlSpec) -> Iterator[CursorResult]:
        """Declare a cursor in a transaction that reads only: what it returns is of one moment."""
        connection.autocommit = False
        cursor = self.cursor(connection, _CURSOR)
        try:
            with connection.cursor() as session:
                session.execute("SET TRANSACTION READ ONLY")
                session.execute("SET LOCAL datestyle TO ISO")
            cursor.execute(query.sql, query.parameters)
            if cursor.description is None:
                # psycopg2 learns from the first answer what the columns are.
                cursor.fetchmany(0)
            described = cursor.description or ()
            arrays_too = _other_arrays(connection, {column.type_code for column in described})
            yield CursorResult(cursor, [_column(column, arrays_too) for column in described])
        finally:
            with suppress(Exception):
                cursor.close()


def psycopg3() -> Postgres:
    """Return PostgreSQL by psycopg."""
    return Postgres(_psycopg3_cursor, _psycopg3_text, _psycopg3_address)


def psycopg2() -> Postgres:
    """Return PostgreSQL by psycopg2."""
    return Postgres(_psycopg2_cursor, _psycopg2_text, _psycopg2_address)


def _psycopg3_cursor(connection: Any, name: str) -> Any:
    from psycopg import ServerCursor
    from psycopg.rows import tuple_row
    from psycopg.types.string import TextLoader

    connection.execute("SET LOCAL client_encoding TO 'UTF8'")
    cursor = ServerCursor(connection, name, row_factory=tuple_row)
    for known in cursor.adapters.types:
        for oid in filter(None, (known.oid, known.array_oid)):
            cursor.adapters.register_loader(oid, TextLoader)
    return cursor


def _psycopg3_text(connection: Any, query: SqlSpec) -> str:
    from psycopg import ClientCursor

    filled_in: str = ClientCursor(connection).mogrify(query.sql, query.parameters)
    return filled_in


def _psycopg3_address(connection: Any) -> str:
    from psycopg.conninfo import make_conninfo

    given = connection.info.get_parameters()
    address: str = make_conninfo(
        "", **{**given, "password": connection.info.password, "options": _options(given)}
    )
    return address


def _psycopg2_cursor(connection: Any, name: str) -> Any:
    from psycopg2 import extensions

    connection.set_client_encoding("UTF8")
    cursor = connection.cursor(name, cursor_factory=extensions.cursor)
    known = {*extensions.string_types, *connection.string_types}
    extensions.register_type(extensions.new_type(tuple(known), "TEXT", lambda value, cursor: value), cursor)
    return cursor


def _psycopg2_text(connection: Any, query: SqlSpec) -> str:
    with connection.cursor() as cursor:
        filled_in: bytes = cursor.mogrify(query.sql, query.parameters)
        return filled_in.decode()


def _psycopg2_address(connection: Any) -> str:
    from psycopg2.extensions import make_dsn, parse_dsn

    # Its password is hidden there.
    given = parse_dsn(connection.dsn)
    address: str = make_dsn(**{**given, "password": connection.info.password, "options": _options(given)})
    return address


def _options(given: Mapping[str, str]) -> str:
    return f"{given.get('options', '')} -c default_transaction_read_only=on".strip()


def _other_arrays(connection: Any, oids: Collection[int]) -> Collection[int]:
    """Return which types are arrays, among those that are not the same in every database."""
    if not (others := sorted(set(oids) - _KNOWN)):
        return ()
    with connection.cursor() as session:
        session.execute("SELECT oid::int8 FROM pg_type WHERE typcategory = 'A' AND oid = ANY(%s)", (others,))
        return {next(iter(row.values() if isinstance(row, dict) else row)) for row in session.fetchall()}


def _column(described: Any, other_arrays: Collection[int]) -> ResultColumn:
    oid = described.type_code
    if oid in {_BYTEA, arrays.OF_BYTEA}:
        return ResultColumn(described.name, pa.string(), _texts, refused=BYTES)
    if oid == _NUMERIC:
        kind = values.decimal_type(described.precision, described.scale)
        return ResultColumn(described.name, kind, partial(_array, values.decimals(kind)), is_number=True)
    if oid in arrays.ELEMENTS or oid in other_arrays:
        read_array = arrays.as_json(arrays.ELEMENTS.get(oid, arrays.Element.TEXT))
        return ResultColumn(described.name, pa.string(), partial(_array, read_array))
    kind, read = _KINDS.get(oid, (pa.string(), values.text))
    return ResultColumn(described.name, kind, partial(_array, read))


def _array(read: values.Read, given: Values) -> pa.Array:
    return read(_texts(given))


def _texts(given: Values) -> pa.Array:
    return pa.array(given, pa.string())
