"""A DuckDB database of one run, with the rules of an export, and the SQL file with its statements.

Its memory is bounded, see :mod:`machine_limits`; what does not fit is spilled to the working folder.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType
from duckdb.sqltypes import VARCHAR

from airflow_mailchimp_export import rules
from airflow_mailchimp_export.address import normal_addresses
from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.machine_limits import ERRNOS, MEMORY_LIMIT, WorkingMemory, working
from airflow_mailchimp_export.masking import masked_texts

THREADS = 2
"""At most, however many cores there are: each takes its share of the memory, and sixteen had not enough of it for an
export of 1,000,000 profiles."""

OWNER_ONLY_FILE = 0o600

BLOCK_ROWS = 20_000
"""Rows that become Python objects at a time, at most."""

BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes of such rows, about."""

SEGMENT = b"segment"
"""Key of the metadata by which incoming data say from which segment they are."""

COLUMNS = b"columns"
"""Key of the metadata that list the columns there, with their types."""

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)", re.DOTALL | re.MULTILINE)


class Database:
    """Runs the named statements of one SQL file, which may use the macros of ``address.sql``; use it in ``with``.

    :param scratch_dir: a local folder for the database and what it spills.
    :param statements: one of the package's SQL files, such as ``planning/plan.sql``.
    """

    def __init__(self, scratch_dir: Path, statements: str) -> None:
        self._statements: dict[str, str] = dict(_NAMED.findall(_read(statements)))
        self._connection = connect(scratch_dir / f"{Path(statements).stem}.duckdb")
        self._memory = WorkingMemory(self._connection)
        self._block_rows = BLOCK_ROWS
        for table, rows in rules.as_tables().items():
            self._create(table, rows)

    def __enter__(self) -> Database:
        """Use the database."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the database; that it cannot be brought to the disk any more is of no interest."""
        with suppress(duckdb.Error):
            self._connection.close()

    @contextmanager
    def incoming(self, block: pa.RecordBatch | pa.Table | pa.RecordBatchReader) -> Iterator[None]:
        """Let statements read Arrow data under the name ``incoming``.

        :raises SourceError: DuckDB cannot read it, and its metadata name a segment under :data:`SEGMENT`.
        """
        try:
            self._connection.register("incoming", block)
            self._memory.reads_what_comes_once = isinstance(block, pa.RecordBatchReader)
            try:
                yield
            finally:
                self._memory.reads_what_comes_once = False
                self._connection.unregister("incoming")
        except (*_UNREADABLE, pa.ArrowException) as error:
            segment = (block.schema.metadata or {}).get(SEGMENT)
            if segment is None:
                raise
            raise _unreadable(segment.decode(), block.schema, error) from None

    def run(self, statement: str, /, **parameters: object) -> None:
        """Run a statement."""
        self._executed(self._statements[statement], parameters)

    def run_with(self, statement: str, parts: Mapping[str, str], /, **parameters: object) -> None:
        """Run a statement with SQL text in the places that parameters cannot take."""
        self._executed(self._statements[statement].format(**parts), parameters)

    def rows(self, statement: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement that answers with few rows."""
        return self._executed(self._statements[statement], parameters)

    def filled(
        self, statement: str, parts: Mapping[str, str], /, **parameters: object
    ) -> list[tuple[Any, ...]]:
        """Run a statement that answers with few rows, with SQL text in the places that parameters cannot take."""
        return self._executed(self._statements[statement].format(**parts), parameters)

    def reader(self, statement: str, /, *, rows: int) -> pa.RecordBatchReader:
        """Run a statement that answers with a table; its batches have so many rows."""
        schema, batches = self._memory.reader(self._statements[statement], {}, rows)
        return pa.RecordBatchReader.from_batches(schema, batches)

    def batches(self, statement: str, /, **parameters: object) -> Iterator[pa.RecordBatch]:
        """Run a statement that answers with many rows."""
        return self._blocks(self._statements[statement], parameters)

    def script(self, statement: str, /, **parts: str) -> None:
        """Run a statement that answers nothing, with SQL text in the places that parameters cannot take."""
        self._executed(self._statements[statement].format(**parts), {})

    def copy(self, statement: str, /, path: Path) -> None:
        """Run a statement that writes a file.

        :raises OSError: when the file, in place of the working files, cannot be written.
        """
        query = self._statements[statement].format(path=quoted(path))
        with working():
            try:
                self._memory.rows(query, {})
            except duckdb.IOException as error:
                if str(path) not in str(error):
                    raise
                number = next(
                    (number for sign, number in ERRNOS.items() if sign in str(error).lower()), errno.EIO
                )
                raise OSError(number, os.strerror(number)) from error

    def filled_in(self, statement: str, /, **parts: str) -> Iterator[pa.RecordBatch]:
        """Run a statement with SQL text in the places that parameters cannot take."""
        return self._blocks(self._statements[statement].format(**parts), {})

    def filled_batches(
        self, statement: str, parts: Mapping[str, str], /, **parameters: object
    ) -> Iterator[pa.RecordBatch]:
        """Run a statement that answers with many rows, with SQL text in the places that parameters cannot take."""
        return self._blocks(self._statements[statement].format(**parts), parameters)

    def bound_blocks(self, row_bytes: int) -> None:
        """Let fewer rows become Python objects at a time where rows are long.

        :param row_bytes: of a row, on average.
        """
        self._block_rows = min(BLOCK_ROWS, max(1, BLOCK_BYTES // max(row_bytes, 1)))

    @property
    def block_rows(self) -> int:
        """Rows that become Python objects at a time, at most; fewer than :data:`BLOCK_ROWS` where rows are long."""
        return self._block_rows

    def _create(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = {name: _column([row[name] for row in rows]) for name in rows[0]}
        with self.incoming(pa.table(columns)), working():
            self._connection.execute(f"CREATE TABLE {table} AS FROM incoming")

    def _executed(self, query: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with working():
            return self._memory.rows(query, parameters)

    def _blocks(self, query: str, parameters: Mapping[str, object]) -> Iterator[pa.RecordBatch]:
        return self._memory.reader(query, parameters, self._block_rows)[1]


_UNREADABLE = (
    duckdb.ConversionException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.InvalidInputException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
)


def segment_named(segment: str) -> str:
    """Begin a message about a segment; "" stands for what all of them have."""
    return f"Segment {segment!r}" if segment else "Each segment"


def _unreadable(segment: str, schema: pa.Schema, error: Exception) -> SourceError:
    """Say whose values DuckDB cannot read; what DuckDB says may quote one of them."""
    columns = (schema.metadata or {}).get(COLUMNS, b"").decode()
    return SourceError(
        f"{segment_named(segment)}: DuckDB cannot read a value of its columns {columns} ({type(error).__name__})",
        "Correct it at the source, or cast the columns to text there",
    )


_FUNCTIONS: Mapping[str, Callable[[pa.ChunkedArray], pa.Array]] = {
    "python_normal_address": normal_addresses,
    "masked_words": masked_texts,
}
"""The rules that SQL shares with Python, each of one text."""


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a database that knows what one address is."""
    with working():
        return _connected(path)


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "memory_limit": f"{MEMORY_LIMIT}MB",
            "threads": min(THREADS, os.cpu_count() or 1),
            "temp_directory": str(path.with_name("spill")),
            "preserve_insertion_order": False,
            # What is read of a file is read once, or so much later that it would be kept for long.
            "enable_external_file_cache": False,
        },
    )
    # Tables in memory would have to fit into the limit; and nobody opens the file again, so it needs no log.
    connection.execute(f"ATTACH {quoted(path)} AS work (RECOVERY_MODE no_wal_writes)")
    connection.execute("USE work")
    path.chmod(OWNER_ONLY_FILE)
    # DuckDB takes the worker's zone otherwise, and with it other days and other fingerprints.
    connection.execute("SET TimeZone = 'UTC'")
    # For the same reason what is left in memory need not be written to it in the end.
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    for name, function in _FUNCTIONS.items():
        connection.create_function(name, function, [VARCHAR], VARCHAR, type=PythonUDFType.ARROW)
    connection.execute(_read("address.sql"))
    return connection


def _column(values: Sequence[object]) -> pa.Array:
    """Return words, numbers and truths as a column; of nothing but ``None``, one of words."""
    column = pa.array(values)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _read(statements: str) -> str:
    return files(__package__).joinpath(statements).read_text(encoding="utf-8")


def rows_of(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Return the rows of a batch as Python values, see :func:`values_of`."""
    return zip(*map(values_of, batch.columns), strict=True)


def values_of(column: pa.Array) -> list[Any]:
    """Return a column as Python values; a day before year 1 or after 9999, which Python has none for, stays Arrow's."""
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        return [*map(_value, column)]
    return values


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        if isinstance(scalar, pa.StructScalar):
            return {name: _value(part) for name, part in scalar.items()}
        return scalar


def quoted(path: Path) -> str:
    """Return a path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"
