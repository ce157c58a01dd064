"""One Parquet file of a segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.sources.blocks import regrouped
from airflow_mailchimp_export.sources.finding import FoundFile
from airflow_mailchimp_export.sources.location import SourceLocation, reading

_READ_ROWS: Final = 1_024

_READ_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a column that are read at a time: a column of long texts may be as large as the file."""


class ParquetPart:
    """Reads a Parquet file.

    :param found: the file.
    :param place: how it is named in errors.
    """

    def __init__(self, found: FoundFile, location: SourceLocation) -> None:
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
            # What is repeated takes little in a file and much in memory, so few rows are read at a time.
            yield from regrouped(file.iter_batches(batch_size=_READ_ROWS, columns=list(columns)))

    def locate(self, row: int) -> str:
        """Say where a row stands; the first one is 1."""
        return f"{self.location.file}:{row + 1}"

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with reading(self.location), self.found.path.open("rb") as stream:
            if not stream.read(1):
                raise self.location.error("is empty (0 bytes), which no Parquet file is.")
            # Buffering ahead keeps what was read until the file ends: as much memory as the file is large.
            with pq.ParquetFile(
                stream, pre_buffer=False, buffer_size=_READ_BYTES, page_checksum_verification=True
            ) as file:
                yield file
