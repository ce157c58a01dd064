"""A segment whose profiles a query returns."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.file_options import Spelling
from airflow_mailchimp_export.settings.identities import of_one_reading
from airflow_mailchimp_export.settings.queries import SqlSpec
from airflow_mailchimp_export.sources.blocks import divided
from airflow_mailchimp_export.sources.columns import NUMBERS, as_batch, check_columns
from airflow_mailchimp_export.sources.databases.failures import asking
from airflow_mailchimp_export.sources.databases.known import database_of
from airflow_mailchimp_export.sources.databases.result import (
    ConnectionFactory,
    Refused,
    ResultColumn,
)
from airflow_mailchimp_export.sources.databases.statement import check_statement
from airflow_mailchimp_export.sources.location import SourceLocation


class QuerySource:
    """Reads what a query returns, once it is asked for: each reading is a query, and of one moment.

    :param columns: the wanted columns, each once; ``None`` for all that merge fields can take.
    :param connect: opens a connection by its id.
    :raises SourceError: a column is missing, or the database does not take the query.
    """

    def __init__(
        self, segment: str, query: SqlSpec, *, columns: Sequence[str] | None, connect: ConnectionFactory
    ) -> None:
        self.segment = segment
        self.spelling = Spelling()
        self._query = query
        self._connect = connect
        self._location = SourceLocation(segment)
        self._reading: Generator[pa.RecordBatch] | None = None
        check_statement(query.sql, self._location)
        self.schema = self._schema(columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Run the query, and read from its first row to the last.

        :raises SourceError: it cannot be read to its end.
        """
        self.close()
        self._reading = self._read()
        return self._reading

    def identity(self) -> str:
        """Return what no other reading has: no database tells whether its rows have changed."""
        return of_one_reading(self._query.digest)

    def locate(self, row: int) -> str:
        """Say which row it is; the first one is 1."""
        return f"row {row + 1}"

    def close(self) -> None:
        """Let go of the connection."""
        if self._reading is not None:
            self._reading.close()

    def _schema(self, columns: Sequence[str] | None) -> pa.Schema:
        with self._connected() as connection:
            described = database_of(connection).described(connection, self._query)
            if described is None:
                names = self._names(connection) if columns is None else columns
                return pa.schema([(column, pa.string()) for column in names])
        if columns is None:
            columns = [column.name for column in described if not column.refused]
        wanted = self._wanted(described, columns)
        return pa.schema(
            [(column, described[index].type) for column, index in zip(columns, wanted, strict=True)]
        )

    def _names(self, connection: Any) -> Sequence[str]:
        """Return the names of all columns where only the running query has them."""
        with database_of(connection).running(connection, self._query) as result:
            return [column.name for column in result.columns]

    def _wanted(self, described: Sequence[ResultColumn], columns: Sequence[str]) -> list[int]:
        """Return where the wanted columns are in a result."""
        if not described:
            raise self._location.refusal(
                "its sql returns no rows, so it is no query: write one SELECT, or WITH ... SELECT."
            )
        names = [column.name for column in described]
        check_columns(columns, names, location=self._location)
        wanted = [names.index(column) for column in columns]
        for index in wanted:
            if described[index].refused:
                problem = f"column {described[index].name!r} {described[index].refused}."
                raise self._location.error(problem)
        return wanted

    def _read(self) -> Generator[pa.RecordBatch]:
        with (
            self._connected() as connection,
            database_of(connection).running(connection, self._query) as result,
        ):
            wanted = self._wanted(result.columns, self.schema.names)
            numbers = [result.columns[index].name for index in wanted if result.columns[index].is_number]
            try:
                for arrays in result.blocks(wanted):
                    yield from divided(self._batch(arrays, numbers))
            except Refused as refused:
                raise self._location.error(f"{refused}.") from None

    def _batch(self, arrays: Sequence[pa.Array], numbers: Sequence[str]) -> pa.RecordBatch:
        batch = as_batch(arrays, self.schema, location=self._location)
        told = json.loads((batch.schema.metadata or {}).get(NUMBERS, b"[]"))
        return batch.replace_schema_metadata({NUMBERS: json.dumps([*told, *numbers])}) if numbers else batch

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with asking(self._location, self._query.conn_id):
            connection = self._opened()
            try:
                yield connection
            finally:
                # It closes what is open in it; a cursor would read on to its end first.
                with suppress(Exception):
                    connection.close()

    def _opened(self) -> Any:
        try:
            return self._connect(self._query.conn_id)
        except ConfigError as error:
            raise ConfigError(f"segment {self.segment!r}: {error.happened}", error.remedy) from error
