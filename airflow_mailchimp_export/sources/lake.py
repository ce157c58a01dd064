"""Segments in tables of Delta and Iceberg: what lives in the version that is current when the run begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import FileFormat, FileOptions
from airflow_mailchimp_export.settings.segments import FileSpec
from airflow_mailchimp_export.sources.blocks import divided
from airflow_mailchimp_export.sources.columns import as_batch, check_columns, in_zone, plain_type
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.location import SourceLocation, listed, reading
from airflow_mailchimp_export.sources.nested import all_names, column_of, root_of, type_of
from airflow_mailchimp_export.sources.source import BATCH_ROWS


class Pinned(Protocol):
    """One version of a table."""

    schema: pa.Schema
    identity: str

    def read(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Read some columns."""
        ...


class LakeSource:
    """Reads one version of a table.

    :param table: a ``deltalake.DeltaTable``, or a table or scan of pyiceberg.
    :param columns: the wanted columns, each once; ``None`` for all.
    :raises SourceError: a column is missing, or the table cannot be read.
    """

    def __init__(
        self,
        segment: str,
        table: Any,
        *,
        columns: Sequence[str] | None,
        options: FileOptions = FileOptions(),
    ) -> None:
        self.segment = segment
        self.spelling = options.spelling()
        self._location = SourceLocation(segment)
        with reading(self._location):
            self._pinned = _pinned(table)
        schema = self._pinned.schema
        columns = schema.names if columns is None else columns
        check_columns(columns, all_names(schema), location=self._location)
        self._roots = tuple(dict.fromkeys(root_of(schema, column) for column in columns))
        self.schema = pa.schema(
            [(column, in_zone(plain_type(type_of(schema, column)), options.timezone)) for column in columns]
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read from the first row to the last.

        :raises SourceError: the table cannot be read to its end.
        """
        with reading(self._location):
            for batch in self._pinned.read(self._roots):
                columns = [column_of(batch, name) for name in self.schema.names]
                yield from divided(as_batch(columns, self.schema, location=self._location))

    def identity(self) -> str:
        """Return the table's place and version."""
        return self._pinned.identity

    def locate(self, row: int) -> str:
        """Say which row it is; the first one is 1."""
        return f"row {row + 1}"

    def close(self) -> None:
        """Do nothing: what is open belongs to the table."""


def lake_table(spec: FileSpec, *, segment: str, path_factory: PathFactory) -> Any:
    """Open the table that a segment names.

    :raises ConfigError: the package that reads it is missing, or there is no such table.
    """
    location = SourceLocation(segment, spec.uri)
    if spec.conn_id:
        raise location.refusal(
            f"conn_id is not for {spec.format}, whose packages find their credentials on the machine: "
            "leave it out, or hand over the table itself in place of its uri."
        )
    with reading(location):
        return (
            _iceberg(spec.uri, location, path_factory)
            if spec.format is FileFormat.ICEBERG
            else _delta(spec.uri, location)
        )


def _delta(uri: str, location: SourceLocation) -> Any:
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError
    except ImportError as error:
        raise _missing(location, "deltalake", "delta") from error
    try:
        return DeltaTable(uri)
    except TableNotFoundError as error:
        raise location.error("is no Delta table: there is no _delta_log in it.") from error


def _iceberg(uri: str, location: SourceLocation, path_factory: PathFactory) -> Any:
    try:
        from pyiceberg.table import StaticTable
    except ImportError as error:
        raise _missing(location, "pyiceberg", "iceberg") from error
    metadata = uri if uri.endswith(".metadata.json") else _current_metadata(uri, location, path_factory)
    return StaticTable.from_metadata(metadata)


def _missing(location: SourceLocation, package: str, extra: str) -> Exception:
    return location.refusal(
        f"needs the package {package}: install airflow-mailchimp-export[{extra}] on all workers."
    )


_METADATA: Final = re.compile(r"v?(\d+)(?:-[0-9a-f-]+)?(?:\.gz)?\.metadata\.json")


def _current_metadata(uri: str, location: SourceLocation, path_factory: PathFactory) -> str:
    """Return the newest metadata of a table; which of several is current only a catalog knows."""
    folder = path_factory(uri, None) / "metadata"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    versions: dict[int, list[str]] = {}
    for name in names:
        if found := _METADATA.fullmatch(name):
            versions.setdefault(int(found[1]), []).append(name)
    if not versions:
        raise location.error("is no Iceberg table: there is no metadata/*.metadata.json in it.")
    newest = versions[max(versions)]
    if len(newest) > 1:
        raise location.refusal(
            f"has several metadata files of its newest version ({listed(newest)}), and only its catalog knows which "
            "counts: name that file as the uri, or hand over the table that the catalog loads."
        )
    return f"{uri.rstrip('/')}/metadata/{newest[0]}"


def _pinned(table: Any) -> Pinned:
    if type(table).__module__.startswith("deltalake"):
        return _PinnedDelta(table)
    return _PinnedIceberg(table.scan() if hasattr(table, "scan") else table)


class _PinnedDelta:
    """A version of a Delta table."""

    def __init__(self, table: Any) -> None:
        from deltalake.exceptions import DeltaProtocolError

        self._table = table
        self._dataset: Any = None
        self.identity = f"{table.table_uri}|{table.version()}"
        try:
            self._dataset = table.to_pyarrow_dataset()
            self.schema = self._dataset.schema
        except DeltaProtocolError:  # deleted rows are marked in files of their own, or columns are renamed
            self.schema = pa.schema(table.schema().to_arrow())

    def read(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Read some columns; in the order of the files, where the table's features let that be."""
        if self._dataset is None:
            reader = pa.RecordBatchReader.from_stream(self._table.scan(columns=list(columns)))
            batches: Iterable[pa.RecordBatch] = reader
            return batches
        batches = self._dataset.to_batches(columns=list(columns), batch_size=BATCH_ROWS, use_threads=False)
        return batches


class _PinnedIceberg:
    """A snapshot of an Iceberg table."""

    def __init__(self, scan: Any) -> None:
        snapshot = scan.snapshot()
        # A scan reads what is current when it is begun, unless it names its snapshot.
        self._scan = scan.update(snapshot_id=snapshot.snapshot_id) if snapshot else scan
        self.identity = f"{scan.table_metadata.location}|{snapshot.snapshot_id if snapshot else 'empty'}"
        self.schema = scan.projection().as_arrow()

    def read(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Read some columns."""
        reader: Iterable[pa.RecordBatch] = self._scan.select(*columns).to_arrow_batch_reader()
        return reader
