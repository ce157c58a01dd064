"""What a query returns: its columns, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa

from airflow_mailchimp_export.settings.queries import SqlSpec
from airflow_mailchimp_export.sources.blocks import BATCH_BYTES

Values: TypeAlias = Sequence[Any]

Row: TypeAlias = Sequence[Any]

ConnectionFactory: TypeAlias = Callable[[str], Any]
"""Opens a connection as PEP 249 has it, by the id of an Airflow connection."""


class Refused(ValueError):
    """A column cannot be read; the text is the rest of a sentence that begins with the column."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result.

    :param type: what it is read as.
    :param read: makes an array of what the driver hands over; it may raise :class:`Refused`.
    :param is_number: whether its values are numbers, also where they are read as text.
    :param refused: why it cannot be read, if so.
    """

    name: str
    type: pa.DataType
    read: Callable[[Values], pa.Array]
    is_number: bool = False
    refused: str = ""

    def array(self, values: Values) -> pa.Array:
        """Make an array of values.

        :raises Refused: a value does not fit the type; the text begins with the column.
        """
        try:
            return self.read(values)
        except Refused as refused:
            raise Refused(f"column {self.name!r} {refused}") from None
        except (pa.ArrowException, ValueError, OverflowError):
            # What pyarrow says quotes a value.
            raise Refused(
                f"column {self.name!r} holds values that cannot be read as {self.type}: cast it to text in the query"
            ) from None


class Result(Protocol):
    """The rows of a query that is running."""

    @property
    def columns(self) -> Sequence[ResultColumn]:
        """The columns, in their order."""
        ...

    def blocks(self, wanted: Sequence[int]) -> Iterator[Sequence[pa.Array]]:
        """Read some columns, by their positions, from the first row to the last and a few rows at a time.

        :raises Refused: a value does not fit its column.
        """
        ...


class Database(Protocol):
    """What has to be known of a database and its driver."""

    def described(self, connection: Any, query: SqlSpec) -> Sequence[ResultColumn] | None:
        """Return the columns of a query without running it; ``None`` where only its values tell."""
        ...

    def running(self, connection: Any, query: SqlSpec) -> AbstractContextManager[Result]:
        """Run a query so that it cannot write, and so that its rows stay at the server until they are fetched."""
        ...


FETCH_ROWS: Final = 16_384
"""Most rows that are fetched at a time."""

_FIRST_ROWS: Final = 256
"""Rows that are fetched first, to learn how long they are."""


@dataclass(frozen=True, slots=True)
class CursorResult:
    """The rows of a cursor as PEP 249 has it."""

    cursor: Any
    columns: Sequence[ResultColumn]

    def blocks(self, wanted: Sequence[int]) -> Iterator[Sequence[pa.Array]]:
        """Fetch so many rows at a time as their length allows."""
        count = _FIRST_ROWS
        while rows := self.cursor.fetchmany(count):
            yield [self.columns[index].array([row[index] for row in rows]) for index in wanted]
            longest = max(map(_length, (rows[0], rows[len(rows) // 2], rows[-1])))
            count = max(1, min(FETCH_ROWS, 4 * count, BATCH_BYTES // longest))


def _length(row: Row) -> int:
    """Return about how many bytes a row takes."""
    return sum(len(value) if isinstance(value, str | bytes | bytearray) else 16 for value in row) + 1


BYTES: Final = "holds bytes, which no merge field takes: cast it to text in the query"
"""What is said of a column of bytes."""
