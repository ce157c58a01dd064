"""Segments of Customer Insights in the files that it exports to a storage: the newest snapshot, whole, or an error."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import FileFormat, FileOptions
from airflow_mailchimp_export.settings.insights_segments import InsightsFilesSpec
from airflow_mailchimp_export.sources.files import FileSource
from airflow_mailchimp_export.sources.finding import FoundFile, PathFactory
from airflow_mailchimp_export.sources.location import SourceLocation, reading
from airflow_mailchimp_export.sources.model_json import MAX_BYTES, MODEL, Partition, Snapshot, read_snapshot
from airflow_mailchimp_export.sources.paths import StoragePath
from airflow_mailchimp_export.sources.unpacking import first_bytes

_FIRST_BYTES: Final = 256 * 1024


class InsightsFileSource:
    """Reads the newest snapshot of a segment's table.

    :param columns: the wanted columns, each once, by the names of Customer Insights' attributes; ``None`` for all.
    :raises SourceError: there is no whole snapshot, it is too old, or a column is missing.
    """

    def __init__(
        self,
        segment: str,
        spec: InsightsFilesSpec,
        *,
        columns: Sequence[str] | None,
        path_factory: PathFactory,
    ) -> None:
        self.segment = segment
        self._model = ModelFile(spec, segment=segment, path_factory=path_factory)
        self._location = SourceLocation(segment)
        self._snapshot = self._model.snapshot()
        _check_age(self._snapshot, spec, self._location)
        files = [self._model.found(partition) for partition in self._snapshot.partitions]
        self._check_completeness(files)
        self._files = FileSource(segment, files, columns=columns, options=self._options(spec, files))
        self.schema = self._files.schema
        self.spelling = self._files.spelling

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read from the first row of the first file to the last row of the last.

        :raises SourceError: a file cannot be read to its end, or there is another snapshot by then.
        """
        yield from self._files.batches()
        if self._model.snapshot() != self._snapshot:
            raise self._location.error(
                "Customer Insights exported the table anew while it was read: a retry reads the new snapshot."
            )

    def identity(self) -> str:
        """Return path, size and version of each file."""
        return self._files.identity()

    def locate(self, row: int) -> str:
        """Say in which file a row stands, and where in it."""
        return self._files.locate(row)

    def close(self) -> None:
        """Close the file that is being read."""
        self._files.close()

    def _check_completeness(self, files: Sequence[FoundFile]) -> None:
        """Make sure that the folder has the files that the model names, and no others."""
        with reading(self._location):
            for file in files:
                if not file.path.is_file():
                    raise self._location.error(
                        f"{MODEL} names the file {file.label!r}, which is not there: the export may be under way, "
                        "so a retry may find it."
                    )
            if not self._snapshot.partitions[0].has_time:
                return
            folder = files[0].path.parent
            there = {path.name for path in folder.iterdir() if path.name.lower().endswith((".csv", ".gz"))}
        if more := sorted(there - {file.path.name for file in files}):
            raise self._location.error(
                f"beside the files that {MODEL} names lies {more[0]!r}, so that it is not known which of them are the "
                "whole table: the export may be under way, so a retry may find it finished."
            )

    def _options(self, spec: InsightsFilesSpec, files: Sequence[FoundFile]) -> FileOptions:
        """Say how the files are written: as the segment says, else as the model does, else as they look."""
        ways = {_written(partition) for partition in self._snapshot.partitions}
        if len(ways) > 1:
            raise self._location.error(
                f"{MODEL} says of the table's files that they are written in several ways."
            )
        said, delimiter, quote, encoding = ways.pop()
        named = FileOptions(delimiter=delimiter, quote=quote, encoding=encoding, timezone=spec.timezone)
        if spec.header:
            return named
        bare = replace(named, header=False, columns=self._snapshot.columns)
        headers = {_begins_with_names(file, bare, self._location) for file in files} - {None}
        said = said if spec.header is None else spec.header
        if len(headers) > 1 or (headers and said is not None and headers != {said}):
            raise self._location.error(_CONTRADICTION[True in headers])
        return named if (headers.pop() if headers else said) else bare


_CONTRADICTION: Final = {
    True: f"a file begins with the names of its columns, though {MODEL} says that it does not: if all of them do, set "
    "'header' of the segment to true.",
    False: f"a file does not begin with the names of the columns that {MODEL} lists, though that says so: if none of "
    "them does, set 'header' of the segment to false.",
}


class ModelFile:
    """The ``model.json`` of an export, and the files beside it."""

    def __init__(self, spec: InsightsFilesSpec, *, segment: str, path_factory: PathFactory) -> None:
        uri = spec.uri.rstrip("/").removesuffix(f"/{MODEL}")
        self._table = spec.segment
        self._location = SourceLocation(segment, f"{uri}/{MODEL}")
        self._export = uri.rpartition("/")[2]
        with reading(self._location):
            self._folder: StoragePath = path_factory(uri, spec.conn_id)

    def snapshot(self) -> Snapshot:
        """Read which files the newest snapshot has.

        :raises SourceError: it cannot be told.
        """
        with reading(self._location):
            with (self._folder / MODEL).open("rb") as stored:
                text = stored.read(MAX_BYTES + 1)
            if len(text) > MAX_BYTES:
                raise self._location.error(f"is larger than {MAX_BYTES:,} bytes.")
            return read_snapshot(text, self._table, export=self._export, location=self._location)

    def found(self, partition: Partition) -> FoundFile:
        """Return one of its files."""
        path = self._folder
        with reading(self._location):
            for part in partition.path.split("/"):
                path = path / part
        return FoundFile(path, partition.path, FileFormat.CSV, {})


def _written(partition: Partition) -> tuple[bool | None, str, str, str]:
    return partition.has_header, partition.delimiter, partition.quote, partition.encoding


def _check_age(snapshot: Snapshot, spec: InsightsFilesSpec, location: SourceLocation) -> None:
    if spec.max_age is None:
        return
    if snapshot.refreshed is None:
        raise location.error(
            f"{MODEL} does not tell when its files were written, so max_age cannot be checked."
        )
    age = datetime.now(UTC) - snapshot.refreshed
    if age > timedelta(hours=spec.max_age):
        raise location.error(
            f"the newest snapshot is {age.total_seconds() / 3600:,.1f} hours old, more than max_age allows "
            f"({spec.max_age:g}): see in Customer Insights why it was not exported since."
        )


def _begins_with_names(file: FoundFile, options: FileOptions, location: SourceLocation) -> bool | None:
    """Whether the first row is the columns' names; ``None`` for a file without a row."""
    text = first_bytes(file, location, options, _FIRST_BYTES).decode(options.encoding, errors="replace")
    quoting = {"quotechar": options.quote} if options.quote else {"quoting": csv.QUOTE_NONE}
    rows = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=options.delimiter or ",", **quoting
    )
    try:
        first = next(rows, None)
    except csv.Error:
        return False
    if not first:
        return None
    return [name.strip().lower() for name in first] == [name.lower() for name in options.columns]
