"""What a machine has for a run, memory above all, and how it is told what it lacks.

DuckDB works within :data:`MEMORY_LIMIT` and spills the rest to the working folder. Where it cannot spill enough, a
statement that can be run again is, with twice as much, and again, up to :data:`MOST_MEMORY`, and the log says so.
"""

from __future__ import annotations

import errno
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from airflow_mailchimp_export.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")

MEMORY_LIMIT = 160
"""MB that a database begins with."""

MOST_MEMORY = 8 * MEMORY_LIMIT
"""MB that it may come to take where it needs them."""


class WorkingMemory:
    """The memory of one database.

    :param connection: to it; its limit is :data:`MEMORY_LIMIT`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._limit = MEMORY_LIMIT
        self.reads_what_comes_once = False
        """Whether a statement may read data that are gone when it has failed, so that it must not be run again."""

    def rows(self, query: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Run a query to its end; return its rows."""
        return self.enough_for(query, lambda: self._connection.execute(query, parameters).fetchall())

    def enough_for(self, query: str, execute: Callable[[], T]) -> T:
        """Execute a query, which is not undone by half where it fails, with more memory if that is what it lacks."""
        while True:
            try:
                return execute()
            except (duckdb.OutOfMemoryException, pa.ArrowException, OSError) as error:
                if not _is_memory(str(error)) or not self._may_repeat(query):
                    raise
            self._limit *= 2
            log.info("DuckDB cannot do this with %d MB: it goes on with %d MB", self._limit // 2, self._limit)
            self._connection.execute(f"SET memory_limit = '{self._limit}MB'")

    def _may_repeat(self, query: str) -> bool:
        if self.reads_what_comes_once or self._limit >= MOST_MEMORY:
            return False
        return len(self._connection.extract_statements(query)) == 1

    def reader(
        self, query: str, parameters: Mapping[str, object], rows: int
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Begin to read the answer to a query, in batches of so many rows; return its schema, and these.

        What takes much memory mostly comes before the first row, where it can still be begun again.
        """

        def begin() -> tuple[pa.RecordBatchReader, pa.RecordBatch | None]:
            reader = self._connection.sql(query, params=dict(parameters)).to_arrow_reader(rows)
            return reader, next(iter(reader), None)

        with working(), _fetching():
            reader, first = self.enough_for(query, begin)
        return reader.schema, chain(() if first is None else (first,), streamed(reader))


@contextmanager
def lean_arrow() -> Iterator[None]:
    """Let Arrow give back at once what it does not use any more: its own allocators keep several times as much."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def streamed(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield batches; what DuckDB lacks on the way there is told by Arrow, in DuckDB's words."""
    with _fetching():
        yield from reader


@contextmanager
def _fetching() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if any(sign in str(error) for sign in _MACHINE_SIGNS):
            raise _lacking(error) from error
        raise


@contextmanager
def working() -> Iterator[None]:
    """What DuckDB lacks is a matter of the machine, not of the data."""
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise _lacking(error) from error
    except (duckdb.TransactionException, duckdb.FatalException) as error:
        # What a commit finds no room for is told so, and whatever is asked of the database afterwards.
        if not any(sign in str(error).lower() for sign in ERRNOS):
            raise
        raise _lacking(error) from error


def _lacking(error: Exception) -> ConfigError:
    """Say what the machine lacks; what DuckDB says names paths, and is only looked at."""
    kind, words = type(error).__name__, str(error).lower()
    where = f"DuckDB cannot work in the temporary folder {tempfile.gettempdir()} ({kind})"
    if _is_memory(words):
        limit = re.search(r"/([\d.]+) ([kmgt])ib used", words)
        bound = f"the {limit[1]} {limit[2].upper()}iB that it may take" if limit else "it may take"
        return ConfigError(
            f"DuckDB needs more memory than {bound} ({kind})",
            "Map fewer columns, or columns with shorter values",
        )
    if "read-only" in words or "permission denied" in words:
        return ConfigError(where, "Make it writable, or set TMPDIR to another folder")
    return ConfigError(where, "Free space there, or set TMPDIR to a folder on a larger disk")


def _is_memory(words: str) -> bool:
    """Tell memory from disk, whose lack has the same kind of error."""
    return "out of memory" in words.lower() and not any(sign in words.lower() for sign in _DISK_SIGNS)


_DISK_SIGNS = ("no space", "too large", "quota", "temp_directory", "temporary")

ERRNOS = {
    "no space": errno.ENOSPC,
    "file too large": errno.EFBIG,
    "quota": errno.EDQUOT,
    "read-only": errno.EROFS,
    "permission denied": errno.EACCES,
}
"""How the system's errors are called in DuckDB's words."""

_MACHINE_SIGNS = ("Out of Memory Error", "IO Error")
