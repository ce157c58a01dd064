"""From a segment's definition to its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import NoReturn

from upath import UPath

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.segments import (
    FileFormat,
    FileSpec,
    InsightsFilesSpec,
    InsightsSpec,
    Segment,
    SqlSpec,
    is_lake_table,
)
from airflow_mailchimp_export.sources.databases.query import QuerySource
from airflow_mailchimp_export.sources.databases.result import ConnectionFactory
from airflow_mailchimp_export.sources.files import FileSource
from airflow_mailchimp_export.sources.finding import PathFactory, find_files
from airflow_mailchimp_export.sources.insights import ClientFactory, InsightsReadings
from airflow_mailchimp_export.sources.insights_files import InsightsFileSource
from airflow_mailchimp_export.sources.lake import LakeSource, lake_table
from airflow_mailchimp_export.sources.paths import StoragePath
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.sources.tables import TableSource


def plain_path(uri: str, conn_id: str | None) -> StoragePath:
    """Make a path outside of Airflow, where there are no connections."""
    return UPath(uri)


def no_connection(conn_id: str) -> NoReturn:
    """Say so where there are no connections: outside of Airflow."""
    raise ConfigError(f"connection {conn_id!r} is not known outside of Airflow", "Run the export in Airflow")


@contextmanager
def opened_sources(
    segments: Iterable[Segment],
    columns: Sequence[str] | None,
    *,
    path_factory: PathFactory = plain_path,
    connection_factory: ConnectionFactory = no_connection,
    insights: ClientFactory = no_connection,
) -> Iterator[list[Source]]:
    """Open the sources of an export's segments, which may share what they read; they are closed at the end.

    :param columns: see :func:`open_source`.
    :param path_factory: see :func:`open_source`.
    :param connection_factory: see :func:`open_source`.
    :param insights: makes a client of the id of a connection to Customer Insights.
    :raises ExportError: see :func:`open_source`.
    """
    with ExitStack() as stack:
        readings = stack.enter_context(InsightsReadings(insights, columns))

        def opened(segment: Segment) -> Source:
            if isinstance(segment.source, InsightsSpec):
                return readings.source(segment.name, segment.source)
            return open_source(
                segment, columns, path_factory=path_factory, connection_factory=connection_factory
            )

        yield [stack.enter_context(closing(opened(segment))) for segment in segments]


def open_source(
    segment: Segment,
    columns: Sequence[str] | None,
    *,
    path_factory: PathFactory = plain_path,
    connection_factory: ConnectionFactory = no_connection,
) -> Source:
    """Open a segment's source and look whether it has what is wanted; rows are read later.

    :param columns: the wanted columns; one that is named again counts once. ``None`` for all, but of data frames.
    :param path_factory: makes a path of a URI and the id of an Airflow connection.
    :param connection_factory: opens the connection to a database of which an Airflow connection has the id.
    :raises SourceError: names the segment, the file and the column, and lists what there is.
    """
    wanted = None if columns is None else tuple(dict.fromkeys(columns))
    source = segment.source
    if isinstance(source, FileSpec):
        if source.format in {FileFormat.DELTA, FileFormat.ICEBERG}:
            table = lake_table(source, segment=segment.name, path_factory=path_factory)
            return LakeSource(segment.name, table, columns=wanted, options=source.options)
        files = find_files(source, segment=segment.name, path_factory=path_factory)
        return FileSource(segment.name, files, columns=wanted, options=source.options)
    if isinstance(source, SqlSpec):
        return QuerySource(segment.name, source, columns=wanted, connect=connection_factory)
    if isinstance(source, InsightsFilesSpec):
        return InsightsFileSource(segment.name, source, columns=wanted, path_factory=path_factory)
    if isinstance(source, InsightsSpec):
        raise TypeError("a segment of Customer Insights shares its reading: see opened_sources")
    if is_lake_table(source.table):
        return LakeSource(segment.name, source.table, columns=wanted)
    return TableSource(segment.name, source.table, columns=wanted or ())
