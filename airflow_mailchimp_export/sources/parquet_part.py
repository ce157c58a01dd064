"""One Parquet file of a segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.settings.file_options import FileOptions
from airflow_mailchimp_export.sources.blocks import regrouped
from airflow_mailchimp_export.sources.finding import FoundFile
from airflow_mailchimp_export.sources.location import SourceLocation, reading
from airflow_mailchimp_export.sources.magic import HEAD_BYTES, strange_kind
from airflow_mailchimp_export.state.parquet import batches_in

_READ_ROWS: Final = 1_024

_READ_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a column that are read at a time: a column of long texts may be as large as the file."""


class ParquetPart:
    """Reads a Parquet file.

    :param found: the file.
    :param location: how it is named in errors.
    :param options: how it is written, of which only its zone means something here.
    """

    def __init__(
        self, found: FoundFile, location: SourceLocation, options: FileOptions = FileOptions()
    ) -> None:
        self.found = found
        self.location = location

    def schema(self) -> pa.Schema:
        """Look up what columns there are.

        :raises SourceError: the file cannot be read.
        """
        with self._opened() as file:
            return file.schema_arrow

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns.

        :raises SourceError: the file cannot be read to its end.
        """
        with self._opened() as file:
            # What is repeated takes little in a file and much in memory, so few rows are read at a time; with a thread
            # for each column of so few, reading would take twice the processors' time, and memory for each thread.
            batches = batches_in(file, batch_size=_READ_ROWS, columns=list(columns), use_threads=False)
            yield from regrouped(batches)

    def locate(self, row: int) -> str:
        """Say where a row stands; the first one is 1."""
        return f"{self.location.file}:{row + 1}"

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with reading(self.location), self.found.path.open("rb") as stream:
            self._check_kind(stream.read(HEAD_BYTES))
            # Buffering ahead keeps what was read until the file ends: as much memory as the file is large.
            # Moments of the oldest form do not fit nanoseconds before 1677 and after 2262.
            with pq.ParquetFile(
                stream,
                pre_buffer=False,
                buffer_size=_READ_BYTES,
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="us",
            ) as file:
                yield file

    def _check_kind(self, head: bytes) -> None:
        if not head:
            raise self.location.error("is empty (0 bytes), which no Parquet file is.")
        if head.startswith(b"PAR1"):
            return
        kind, remedy = strange_kind(head) or ("of another kind, perhaps text", "set 'format' to its own")
        raise self.location.error(f"is no Parquet file: it is {kind}; {remedy}.")
