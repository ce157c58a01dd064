"""One file of JSON lines of a segment: an object a line; https://jsonlines.org"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import orjson
import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import FileOptions
from airflow_mailchimp_export.sources.finding import FoundFile
from airflow_mailchimp_export.sources.location import SourceLocation
from airflow_mailchimp_export.sources.unpacking import opened_text

log = logging.getLogger(__name__)

_BATCH_LINES: Final = 8_192

_FIRST_LINES: Final = 1_000


class JsonlPart:
    """Reads JSON lines; each value is text, spelled as JSON has it, and what is in an object has a dotted name.

    :param found: the file.
    :param location: how it is named in errors.
    :param options: how it is written.
    """

    def __init__(
        self, found: FoundFile, location: SourceLocation, options: FileOptions = FileOptions()
    ) -> None:
        self.found = found
        self.location = location
        self._options = options
        self._lines_of_rows: list[tuple[int, int]] = []

    def schema(self) -> pa.Schema:
        """Look up what names there are; one that no line has at the beginning is looked for to the end.

        :raises SourceError: the file cannot be read.
        """
        names: dict[str, None] = {}
        with self._opened() as lines:
            for _, row in islice(self._rows(lines), _FIRST_LINES):
                names.update(dict.fromkeys(_names(row)))
        return pa.schema([(name, pa.string()) for name in names])

    def full_schema(self) -> pa.Schema:
        """Look up what names there are in any line."""
        names: dict[str, None] = {}
        with self._opened() as lines:
            for _, row in self._rows(lines):
                names.update(dict.fromkeys(_names(row)))
        return pa.schema([(name, pa.string()) for name in names])

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns.

        :raises SourceError: the file cannot be read to its end.
        """
        self._lines_of_rows = []
        read = 0
        with self._opened() as lines:
            rows = self._rows(lines)
            while block := list(islice(rows, _BATCH_LINES)):
                self._note_lines(block, read)
                read += len(block)
                yield _batch([row for _, row in block], columns)

    def locate(self, row: int) -> str:
        """Say in which line a row stands."""
        shift = next((shift for first, shift in reversed(self._lines_of_rows) if first <= row), 1)
        return f"{self.location.file}:{row + shift}"

    def _note_lines(self, block: Sequence[tuple[int, Any]], read: int) -> None:
        """Remember how far lines are from rows, wherever that changes: blank lines are no rows."""
        for number, (line, _) in enumerate(block, read):
            if not self._lines_of_rows or self._lines_of_rows[-1][1] != line - number:
                self._lines_of_rows.append((number, line - number))

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedReader]:
        with opened_text(self.found, self.location, self._options, as_json=True) as stream:
            yield io.BufferedReader(pa.PythonFile(stream, mode="r"))

    def _rows(self, lines: io.BufferedReader) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, self._row(number, line)
        if not number:
            raise self.location.error("is empty (0 bytes).")

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = orjson.loads(line)
        except ValueError:
            # What orjson says may quote the line.
            raise self.location.error(f"line {number} is no JSON: each line must be one object.") from None
        if not isinstance(row, dict):
            raise self.location.error(f"line {number} is no JSON object: each line must be one.")
        return row


def _names(row: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in row.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from _names(value, f"{above}{name}.")


def _batch(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pa.RecordBatch:
    values = [pa.array([_text(_value(row, column)) for row in rows], pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(values, names=list(columns))


def _value(row: Any, name: str) -> Any:
    if not isinstance(row, dict):
        return None
    if name in row:
        return row[name]
    above, _, below = name.partition(".")
    return _value(row.get(above), below) if below else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value + 0.0)), "f").removesuffix(".0")
    return str(value) if isinstance(value, int) else orjson.dumps(value).decode()
