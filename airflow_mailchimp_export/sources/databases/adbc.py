"""PostgreSQL by ADBC, whose driver makes Arrow of what the server sends: https://arrow.apache.org/adbc

It reads types that it tells as PostgreSQL does; of others it makes something else (of money cents, of nested arrays
flat ones, of infinite days some day), so that a query with a column of those is read by a cursor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.sources.databases import values
from airflow_mailchimp_export.sources.databases.result import ResultColumn

log = logging.getLogger(__name__)

_TOLD: Final = frozenset(
    {
        *(16, 20, 21, 23),  # bool, int8, int2, int4
        *(700, 701, 1700),  # float4, float8, numeric
        *(19, 25, 1042, 1043),  # name, text, bpchar, varchar
        *(1082, 1114, 1184),  # date, timestamp, timestamptz
        *(114, 2950, 3802),  # json, uuid, jsonb
    }
)
"""OIDs of the types that ADBC tells as they are."""


def tells(oids: Sequence[int]) -> bool:
    """Whether ADBC is installed, and every column of a query is of a type that it tells as it is."""
    return bool(oids) and _TOLD.issuperset(oids) and find_spec("adbc_driver_postgresql") is not None


@contextmanager
def opened(address: str) -> Iterator[Any | None]:
    """Open a database; ``None`` where ADBC's own client library cannot, which another driver could."""
    from adbc_driver_postgresql import dbapi

    try:
        connection = dbapi.connect(address)
    except dbapi.Error as error:
        log.info("ADBC cannot connect (%s), so that a cursor reads instead", type(error).__name__)
        yield None
        return
    with closing(connection):
        yield connection


@contextmanager
def running(connection: Any, sql: str, columns: Sequence[ResultColumn]) -> Iterator[ArrowResult]:
    """Run a query."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        with closing(cursor.fetch_record_batch()) as reader:
            yield ArrowResult(reader, columns)


@dataclass(frozen=True, slots=True)
class ArrowResult:
    """The rows of a query that arrive as Arrow.

    :param reader: a stream of batches.
    :param columns: as a cursor describes them, whose types its columns are brought to.
    """

    reader: Any
    columns: Sequence[ResultColumn]

    def blocks(self, wanted: Sequence[int]) -> Iterator[Sequence[pa.Array]]:
        """Read some columns."""
        for batch in self.reader:
            yield [_array(self.columns[index], batch.column(index)) for index in wanted]


def _array(column: ResultColumn, given: pa.Array) -> pa.Array:
    stored = given.storage if isinstance(given, pa.BaseExtensionType | pa.ExtensionArray) else given
    if pa.types.is_date32(column.type):
        return _within(stored, 1)
    if pa.types.is_timestamp(column.type):
        return _within(stored, _TICKS)
    if column.is_number or pa.types.is_string(stored.type):
        return column.array(_numbers(stored) if column.is_number else stored)
    if pa.types.is_fixed_size_binary(stored.type):
        ids = (None if value is None else str(UUID(bytes=value)) for value in stored.to_pylist())
        return pa.array(ids, pa.string())
    return stored.cast(column.type)


_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""Days from 1970 of the calendar that Python has: the years 1 to 9999."""

_TICKS: Final = 86_400_000_000
"""Microseconds of a day."""


def _within(given: pa.Array, ticks: int) -> pa.Array:
    """Bring days and moments that Python has not so far away that none is sent, as a cursor's are."""
    counted = given.cast(pa.int32() if ticks == 1 else pa.int64())
    first, last = _FIRST_DAY * ticks, (_LAST_DAY + 1) * ticks - 1
    known = pc.and_(pc.greater_equal(counted, first), pc.less_equal(counted, last))
    far = pa.scalar(values.FAR * ticks, counted.type)
    return pc.if_else(pc.or_kleene(known, pc.is_null(known)), counted, far).cast(given.type)


_WORDS: Final[Mapping[str, str]] = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _numbers(given: pa.Array) -> pa.Array:
    """Spell what is no number as PostgreSQL does."""
    if pc.any(pc.is_in(given, value_set=pa.array(_WORDS, pa.string()))).as_py():
        return pa.array([_WORDS.get(value, value) for value in given.to_pylist()], pa.string())
    return given
