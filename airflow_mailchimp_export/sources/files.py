"""A segment whose profiles are in files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import FileFormat, FileOptions
from airflow_mailchimp_export.sources.blocks import divided
from airflow_mailchimp_export.sources.columns import as_batch, check_columns, common_type, in_zone
from airflow_mailchimp_export.sources.csv_part import CsvPart
from airflow_mailchimp_export.sources.finding import FoundFile, identity_of, local_path
from airflow_mailchimp_export.sources.jsonl_part import JsonlPart
from airflow_mailchimp_export.sources.location import SourceLocation
from airflow_mailchimp_export.sources.nested import all_names, column_of, type_of
from airflow_mailchimp_export.sources.parquet_part import ParquetPart

_LOOKING_AT_ONCE: Final = 8


class Part(Protocol):
    """One file, whatever its format."""

    @property
    def found(self) -> FoundFile:
        """The file."""
        ...

    @property
    def location(self) -> SourceLocation:
        """How it is named in errors."""
        ...

    def schema(self) -> pa.Schema:
        """Look up what columns there are."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read some of them."""
        ...

    def locate(self, row: int) -> str:
        """Say where a row stands."""
        ...


_PARTS: Final[Mapping[FileFormat, Callable[[FoundFile, SourceLocation, FileOptions], Part]]] = {
    FileFormat.PARQUET: ParquetPart,
    FileFormat.CSV: CsvPart,
    FileFormat.JSONL: JsonlPart,
}


class FileSource:
    """Reads files one after the other; of each, only the wanted columns.

    :param files: in the order in which they are read.
    :param columns: the wanted columns, each once; ``None`` for those that all files have.
    :param options: how they are written.
    :raises SourceError: a column is missing, its types cannot be reconciled, or a file cannot be read.
    """

    def __init__(
        self,
        segment: str,
        files: Sequence[FoundFile],
        *,
        columns: Sequence[str] | None,
        options: FileOptions = FileOptions(),
    ) -> None:
        self.segment = segment
        self.spelling = options.spelling(is_csv=any(file.format is FileFormat.CSV for file in files))
        parts = [_PARTS[file.format](file, SourceLocation(segment, file.label), options) for file in files]
        look = _schema_of if columns is not None else _full_schema_of
        with ThreadPoolExecutor(_LOOKING_AT_ONCE) as pool:
            schemas = list(pool.map(look, parts))
        if columns is None:
            columns = _common_columns(parts, schemas)
        self._parts = [_wanted(part, schema, columns) for part, schema in zip(parts, schemas, strict=True)]
        self.schema = pa.schema([(column, self._type(column)) for column in columns])
        self._starts: list[int] = []
        self._reading: Generator[pa.RecordBatch] | None = None

    @property
    def plain_parquet(self) -> tuple[Path, ...]:
        """The local Parquet files, where they hold the columns as they are read; none where anything is converted."""
        parts = [wanted.part for wanted in self._parts]
        is_plain = all(
            isinstance(wanted.part, ParquetPart)
            and wanted.own == set(self.schema.names)
            and all(_is_as_read(wanted.types[field.name], field.type) for field in self.schema)
            for wanted in self._parts
        )
        local = [local_path(part.found.path) for part in parts] if is_plain else []
        return tuple(path for path in local if path) if all(local) else ()

    def identity(self) -> str:
        """Return path, size and version of each file.

        :raises SourceError: a file is gone.
        """
        return "\n".join(identity_of(part.part.found.path, part.part.location) for part in self._parts)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read from the first row of the first file to the last row of the last.

        :raises SourceError: a file cannot be read to its end.
        """
        self.close()
        self._reading = self._read()
        return self._reading

    def locate(self, row: int) -> str:
        """Say in which file a row stands, and where in it."""
        number = bisect_right(self._starts, row) - 1
        return self._parts[number].part.locate(row - self._starts[number])

    def close(self) -> None:
        """Close the file that is being read."""
        if self._reading is not None:
            self._reading.close()

    def _type(self, column: str) -> pa.DataType:
        types = {wanted.part.location.file: wanted.types[column] for wanted in self._parts}
        return in_zone(common_type(column, types, segment=self.segment), self.spelling.timezone)

    def _read(self) -> Generator[pa.RecordBatch]:
        self._starts = []
        rows = 0
        for wanted in self._parts:
            self._starts.append(rows)
            for batch in wanted.batches(self.schema):
                rows += batch.num_rows
                yield from divided(batch)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of one file.

    :param read: the columns to read from the file.
    :param own: those that are wanted of it; the others stand in the names of its folders.
    """

    part: Part
    read: Sequence[str]
    own: Collection[str]
    types: Mapping[str, pa.DataType]

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for batch in self.part.batches(self.read):
            columns = [self._column(name, batch) for name in schema.names]
            yield as_batch(columns, schema, location=self.part.location)

    def _column(self, name: str, batch: pa.RecordBatch) -> pa.Array:
        if name in self.own:
            return column_of(batch, name)
        return pa.repeat(pa.scalar(self.part.found.partitions[name], pa.string()), batch.num_rows)


def _is_as_read(given: pa.DataType, read: pa.DataType) -> bool:
    return bool(given == read or (pa.types.is_large_string(given) and pa.types.is_string(read)))


def _schema_of(part: Part) -> pa.Schema:
    return part.schema()


def _full_schema_of(part: Part) -> pa.Schema:
    """Look up all columns: those of JSON lines may begin anywhere."""
    return part.full_schema() if isinstance(part, JsonlPart) else part.schema()


def _common_columns(parts: Sequence[Part], schemas: Sequence[pa.Schema]) -> Sequence[str]:
    """Return the columns that all files have, in the order of the first; those in the names of folders come last."""
    there = [
        dict.fromkeys([*schema.names, *part.found.partitions])
        for part, schema in zip(parts, schemas, strict=True)
    ]
    return [column for column in there[0] if all(column in names for names in there)]


def _wanted(part: Part, schema: pa.Schema, columns: Sequence[str]) -> _Wanted:
    partitions = part.found.partitions
    names = all_names(schema)
    if isinstance(part, JsonlPart) and not set(columns) <= {*names, *partitions}:
        schema = part.full_schema()
        names = all_names(schema)
    own = [column for column in columns if column in names or column not in partitions]
    check_columns(own, [*names, *partitions], location=part.location)
    types = {column: type_of(schema, column) if column in own else pa.string() for column in columns}
    return _Wanted(part, own or schema.names[:1], frozenset(own), types)
