"""One CSV file of a segment: RFC 4180 with a header, in UTF-8; https://www.rfc-editor.org/rfc/rfc4180"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

import pyarrow as pa
from pyarrow.csv import ConvertOptions, InvalidRow, ParseOptions, ReadOptions, open_csv

from airflow_mailchimp_export.sources.finding import FoundFile
from airflow_mailchimp_export.sources.location import SourceLocation, reading

MAX_ROW_BYTES: Final = 2 * 1024 * 1024
"""Longest row; as much of a file is parsed at a time, and several times as much is held."""


class CsvPart:
    """Reads a CSV file; each column is text, so that 01234 stays the zip code that it is.

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
        with self._opened() as stream:
            return pa.schema([(name, pa.string()) for name in self._header(stream)])

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns.

        :raises SourceError: the file cannot be read to its end.
        """
        with self._opened() as stream:
            counting = CountingStream(stream)
            yield from self._parsed(counting, columns)
            if counting.quotes % 2:
                raise self.location.error(
                    "has an odd number of quotes: one is never closed, and may have swallowed rows, "
                    "or it stands in a value: quote that value and write its quotes twice."
                )

    def locate(self, row: int) -> str:
        """Say where a row stands, as a spreadsheet counts: the header is row 1."""
        return f"{self.location.file}:{row + 2}"

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with reading(self.location), self.found.path.open("rb") as stored:
            if not self.found.path.name.lower().endswith(".gz"):
                yield stored
                return
            with gzip.open(stored) as unpacked:
                yield cast("BinaryIO", unpacked)

    def _header(self, stream: BinaryIO) -> list[str]:
        # What is no UTF-8 is let through here, so that it is told by its line.
        with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            try:
                header = next(csv.reader(text, strict=True), None)
            except csv.Error as error:
                raise self.location.error(f"has no readable header ({error}).") from error
        if not header:
            raise self.location.error("is empty: its first line must name the columns.")
        if not _is_utf8("".join(header).encode(errors="surrogateescape")):
            raise self.location.error(_not_utf8(1))
        if len(header) == 1 and {";", "\t"}.intersection(header[0]):
            raise self.location.error("seems to part its columns by semicolons or tabs: they must be commas.")
        return header

    def _parsed(self, stream: CountingStream, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        ragged: list[InvalidRow] = []
        try:
            # Only a single thread knows the numbers of the rows.
            with open_csv(
                stream,
                read_options=ReadOptions(use_threads=False, block_size=MAX_ROW_BYTES),
                parse_options=ParseOptions(newlines_in_values=True, invalid_row_handler=_keeper(ragged)),
                convert_options=_as_text(columns),
            ) as reader:
                yield from reader
        except pa.ArrowInvalid as error:
            if stream.bytes and "Empty CSV file" in str(error):
                return  # a header without rows, and without the line end that pyarrow expects
            problem = self._explained(ragged, str(error))
            # What pyarrow says may quote a row.
            raise self.location.error(problem) from None

    def _explained(self, ragged: Sequence[InvalidRow], words: str) -> str:
        if ragged:
            row = ragged[0]
            return (
                f"row {row.number} (the header is row 1) has {row.actual_columns} values "
                f"where the header names {row.expected_columns} columns."
            )
        if "straddling" in words:
            return f"has a row of more than {MAX_ROW_BYTES:,} bytes; probably a quote is never closed."
        line = self._undecodable_line()
        return _not_utf8(line) if line else "is no CSV file as RFC 4180 describes it."

    def _undecodable_line(self) -> int | None:
        with self._opened() as stream:
            return next((number for number, line in enumerate(stream, start=1) if not _is_utf8(line)), None)


class CountingStream:
    """A stream that knows how many quotes passed: pyarrow takes the end of a file for a closing one."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self.bytes = 0
        self.quotes = 0
        self._stream = stream

    def readable(self) -> bool:
        """Say so to pyarrow, which asks."""
        return True

    def read(self, size: int) -> bytes:
        """Read on, counting."""
        data = self._stream.read(size)
        self.bytes += len(data)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        """Be closed; whoever opened the stream beneath closes that."""
        self.closed = True


def _keeper(ragged: list[InvalidRow]) -> Callable[[InvalidRow], str]:
    def keep(row: InvalidRow) -> str:
        ragged.append(row)
        return "error"

    return keep


def _as_text(columns: Sequence[str]) -> ConvertOptions:
    return ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _not_utf8(line: int) -> str:
    return f"line {line} is not UTF-8: save the file in that encoding (of spreadsheets: 'CSV UTF-8')."
