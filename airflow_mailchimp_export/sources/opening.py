"""From a segment's definition to its source."""

from __future__ import annotations

from collections.abc import Sequence

from upath import UPath

from airflow_mailchimp_export.settings.segments import FileFormat, FileSpec, Segment, is_lake_table
from airflow_mailchimp_export.sources.files import FileSource
from airflow_mailchimp_export.sources.finding import PathFactory, find_files
from airflow_mailchimp_export.sources.lake import LakeSource, lake_table
from airflow_mailchimp_export.sources.paths import StoragePath
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.sources.tables import TableSource


def plain_path(uri: str, conn_id: str | None) -> StoragePath:
    """Make a path outside of Airflow, where there are no connections."""
    return UPath(uri)


def open_source(
    segment: Segment, columns: Sequence[str], *, path_factory: PathFactory = plain_path
) -> Source:
    """Open a segment's source and look whether it has what is wanted; rows are read later.

    :param columns: the wanted columns; one that is named again counts once.
    :param path_factory: makes a path of a URI and the id of an Airflow connection.
    :raises SourceError: names the segment, the file and the column, and lists what there is.
    """
    wanted = tuple(dict.fromkeys(columns))
    source = segment.source
    if isinstance(source, FileSpec):
        if source.format in {FileFormat.DELTA, FileFormat.ICEBERG}:
            table = lake_table(source, segment=segment.name, path_factory=path_factory)
            return LakeSource(segment.name, table, columns=wanted, options=source.options)
        files = find_files(source, segment=segment.name, path_factory=path_factory)
        return FileSource(segment.name, files, columns=wanted, options=source.options)
    if is_lake_table(source.table):
        return LakeSource(segment.name, source.table, columns=wanted)
    return TableSource(segment.name, source.table, columns=wanted)
