"""One CSV file of a segment: RFC 4180 unless its options say otherwise; https://www.rfc-editor.org/rfc/rfc4180"""

from __future__ import annotations

import csv
import io
import logging
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import ConvertOptions, CSVStreamingReader, InvalidRow, ParseOptions, ReadOptions, open_csv

from airflow_mailchimp_export.settings.file_options import FileOptions
from airflow_mailchimp_export.sources.finding import FoundFile
from airflow_mailchimp_export.sources.location import SourceLocation
from airflow_mailchimp_export.sources.packing import without_packing
from airflow_mailchimp_export.sources.quoting import MAX_ROW_BYTES, Misquoted, StrictQuotes, Unescaped
from airflow_mailchimp_export.sources.sniffing import proposal, python_dialect, resolved
from airflow_mailchimp_export.sources.unpacking import Readable, first_bytes, opened_text

log = logging.getLogger(__name__)


class CsvPart:
    """Reads a CSV file; each column is text, so that 01234 stays the zip code that it is.

    :param found: the file.
    :param location: how it is named in errors.
    :param options: how it is written.
    """

    def __init__(
        self, found: FoundFile, location: SourceLocation, options: FileOptions = FileOptions()
    ) -> None:
        self.found = found
        self.location = location
        self._given = options
        # The numbers of the rows that are no profiles, of all that were read so far.
        self._blank_rows = array("q")

    @cached_property
    def options(self) -> FileOptions:
        """How the file is written; what is not said follows its name, or is found out where that was asked for."""
        return resolved(self._given, without_packing(self.found.path.name), self._first_bytes, self.location)

    def schema(self) -> pa.Schema:
        """Look up what columns there are.

        :raises SourceError: the file cannot be read.
        """
        return pa.schema([(name, pa.string()) for name in self._names])

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns.

        :raises SourceError: the file cannot be read to its end.
        """
        self._blank_rows = array("q")
        whole = enumerate(self._parsed(None))
        rows = 0
        for number, batch in enumerate(self._parsed(columns)):
            blank = _blank_rows(batch)
            # Whether a row is blank altogether is seen only where all columns are read, which takes longer.
            if blank is not None:
                blank = _blank_rows(next(full for index, full in whole if index == number))
            if blank is not None:
                self._blank_rows.extend(pc.add(pc.indices_nonzero(blank), rows).to_pylist())
            rows += batch.num_rows
            yield batch if blank is None else batch.filter(pc.invert(blank))

    def locate(self, row: int) -> str:
        """Say where a row stands, as a spreadsheet counts: rows without any value are counted too."""
        if not self._blank_rows:
            return f"{self.location.file}:{row + self._first_row}"
        blanks = 0
        while (further := bisect_right(self._blank_rows, row + blanks)) > blanks:
            blanks = further
        return f"{self.location.file}:{row + blanks + self._first_row}"

    @cached_property
    def _first_row(self) -> int:
        return self.options.skip_rows + (2 if self.options.header else 1)

    @cached_property
    def _names(self) -> list[str]:
        if not self.options.header:
            self._note_emptiness()
            return list(self.options.columns)
        # What is no UTF-8 is let through here, so that it is told by its line.
        with self._text() as stream, pa.PythonFile(stream, mode="r") as file:
            return self._header(
                io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
            )

    def _note_emptiness(self) -> None:
        with self._text() as stream:
            if not stream.read(1):
                log.warning("%s", self.location.error("is empty (0 bytes): no profile was read from it."))

    def _header(self, text: io.TextIOWrapper) -> list[str]:
        for _ in range(self.options.skip_rows):
            text.readline()
        try:
            header = next(csv.reader(text, **python_dialect(self.options)), None)
        except csv.Error as error:
            raise self.location.error(f"has no readable header ({error}).{self._hint}") from error
        if header is None:
            raise self.location.error("is empty: its first line must name the columns.")
        if not any(header):
            raise self.location.error(f"begins with a blank line: remove it, or skip it.{self._hint}")
        if not _is_utf8("".join(header).encode(errors="surrogateescape")):
            raise self.location.error(_not_utf8(self.options.skip_rows + 1, self._hint))
        if len(header) == 1 and self.options.delimiter == "," and {";", "\t", "|"}.intersection(header[0]):
            raise self.location.error(f"seems to part its columns by something else than commas.{self._hint}")
        return header

    @property
    def _hint(self) -> str:
        return proposal(self.options, self._first_bytes)

    def _first_bytes(self, count: int) -> bytes:
        return first_bytes(self.found, self.location, self._given, count)

    @contextmanager
    def _text(self) -> Iterator[Readable]:
        with opened_text(self.found, self.location, self.options) as stream:
            yield stream

    def _parsed(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        with self._text() as stream:
            delimiter = self.options.delimiter or ","
            strict = StrictQuotes(self._unescaped(stream), delimiter=delimiter, quote=self.options.quote)
            yield from self._rows(strict, columns)

    def _unescaped(self, stream: Readable) -> Readable:
        options = self.options
        if options.escape in {"", options.quote}:
            return stream
        return Unescaped(
            stream, delimiter=options.delimiter or ",", quote=options.quote, escape=options.escape
        )

    def _rows(self, stream: StrictQuotes, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        ragged: list[InvalidRow] = []
        rows = 0
        try:
            with self._reader(stream, columns, _keeper(ragged, most=self.options.skip_footer)) as reader:
                for batch in reader:
                    rows += batch.num_rows
                    yield batch
        except Misquoted as error:
            raise self.location.error(self._misquoted(error)) from None
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error) and (stream.bytes or not self.options.header):
                return  # a header without rows, and without the line end that pyarrow expects
            problem = self._explained(ragged, str(error))
            # What pyarrow says may quote a row.
            raise self.location.error(problem) from None
        self._check_footer(ragged, rows)

    def _check_footer(self, ragged: Sequence[InvalidRow], rows: int) -> None:
        """Make sure that what was taken for a footer has no profile behind it."""
        if not ragged:
            return
        header = 1 if self.options.header else 0
        behind = rows + header + 1 - ragged[0].number
        if behind > len(self._blank_rows) or any(
            row < rows - behind for row in self._blank_rows[len(self._blank_rows) - behind :]
        ):
            raise self.location.error(self._explained(ragged, ""))

    def _reader(
        self, stream: StrictQuotes, columns: Sequence[str] | None, keeper: Callable[[InvalidRow], str]
    ) -> CSVStreamingReader:
        options = self.options
        names = None if options.header else list(options.columns)
        # Only a single thread knows the numbers of the rows.
        return open_csv(
            stream,
            read_options=ReadOptions(
                use_threads=False, block_size=MAX_ROW_BYTES, skip_rows=options.skip_rows, column_names=names
            ),
            parse_options=ParseOptions(
                delimiter=options.delimiter or ",",
                quote_char=options.quote or False,
                escape_char=False if options.quote else options.escape or False,
                newlines_in_values=True,
                invalid_row_handler=keeper,
                # They would not be counted otherwise.
                ignore_empty_lines=False,
            ),
            convert_options=_as_bytes(self._names) if columns is None else _as_text(columns),
        )

    def _misquoted(self, error: Misquoted) -> str:
        begins = self._line_at(error.begins)
        remedy = (
            "Quote such values and write their quotes twice, as RFC 4180 has it; set 'escape' to \"\\\\\" if quotes "
            "are written behind a backslash, or 'quote' to \"\" if they mean nothing."
        )
        if error.offset is None:
            return f"line {begins}: a quote is opened there and never closed, which may have swallowed rows. {remedy}"
        if error.offset == error.begins:
            return f"line {begins}: a quote stands within a value that is not quoted. {remedy}"
        return (
            f"line {self._line_at(error.offset)}: behind the closing quote of the value that begins on line {begins} "
            f"stands neither a delimiter nor a line end; rows may have been swallowed. {remedy}"
        )

    def _line_at(self, offset: int) -> int:
        """Return the number of the line in which a byte stands, of the text as UTF-8."""
        with self._text() as stream:
            text, line = self._unescaped(stream), 1
            while offset > 0 and (data := bytes(text.read(min(offset, MAX_ROW_BYTES)))):
                line += data.count(b"\n")
                offset -= len(data)
            return line

    def _explained(self, ragged: Sequence[InvalidRow], words: str) -> str:
        if ragged:
            row = ragged[0]
            number = row.number + self.options.skip_rows
            header = "the header names" if self.options.header else "'columns' names"
            first = f" (the header is row {self.options.skip_rows + 1})" if self.options.header else ""
            return (
                f"row {number}{first} has {row.actual_columns} values where {header} {row.expected_columns} "
                f"columns.{self._hint}"
            )
        if "straddling" in words:
            return f"has a row of more than {MAX_ROW_BYTES:,} bytes; probably a quote is never closed."
        line = self._undecodable_line()
        return _not_utf8(line, self._hint) if line else "is no CSV file as RFC 4180 describes it."

    def _undecodable_line(self) -> int | None:
        with self._text() as stream, pa.PythonFile(stream, mode="r") as file:
            lines = io.BufferedReader(file)
            return next((number for number, line in enumerate(lines, start=1) if not _is_utf8(line)), None)


def _keeper(ragged: list[InvalidRow], *, most: int) -> Callable[[InvalidRow], str]:
    def keep(row: InvalidRow) -> str:
        ragged.append(row)
        return "error" if len(ragged) > most else "skip"

    return keep


def _blank_rows(batch: pa.RecordBatch) -> pa.Array | None:
    """Say of each row whether it has no value at all; ``None`` where each has one."""
    blank = None
    for values in batch.columns:
        if values.null_count == 0:
            return None
        blank = values.is_null() if blank is None else pc.and_(blank, values.is_null())
    return blank if blank is not None and pc.any(blank).as_py() else None


def _as_text(columns: Sequence[str]) -> ConvertOptions:
    return ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )


def _as_bytes(columns: Sequence[str]) -> ConvertOptions:
    """All columns, whatever their encoding and however often a name stands there."""
    return ConvertOptions(
        column_types=dict.fromkeys(columns, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
        # Quotes around nothing are written by programs, for a row that is one.
        quoted_strings_can_be_null=False,
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _not_utf8(line: int, hint: str) -> str:
    return (
        f"line {line} is not UTF-8: save the file in that encoding (of spreadsheets: 'CSV UTF-8'), "
        f"or set 'encoding' to its own.{hint}"
    )
