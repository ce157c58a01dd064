"""Finding out how a CSV file is written, to be proposed in a refusal, or to be used where that was asked for."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from airflow_mailchimp_export.settings.file_options import FileOptions
from airflow_mailchimp_export.sources.location import SourceLocation

log = logging.getLogger(__name__)

SNIFFED_BYTES: Final = 256 * 1024

_DELIMITERS: Final = ",;\t|\x01"

_ROWS: Final = 50

FirstBytes = Callable[[int], bytes]


def resolved(given: FileOptions, name: str, first_bytes: FirstBytes, location: SourceLocation) -> FileOptions:
    """Fill in what a file's name tells, and where ``sniff`` is set, what a look into it tells.

    :param name: the file's, without what says how it is packed.
    """
    by_name = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    options = replace(given, delimiter=given.delimiter or by_name)
    if not given.sniff:
        return options
    found = sniffed(first_bytes(SNIFFED_BYTES), given)
    if differing := _differing(found, given):
        log.warning(
            "%s", location.error(f"is read with {differing}, as sniff found out: write that down instead.")
        )
    return replace(found, delimiter=found.delimiter or by_name)


def proposal(options: FileOptions, first_bytes: FirstBytes) -> str:
    """Say which options would probably read a file; empty where nothing better is known."""
    differing = _differing(sniffed(first_bytes(SNIFFED_BYTES), replace(options, delimiter=None)), options)
    return f" Probably {differing} would read it." if differing else ""


def sniffed(data: bytes, given: FileOptions) -> FileOptions:
    """Find out how a file is written that begins so; what cannot be told stays as it is given."""
    encoding = _encoding(data, given.encoding)
    lines = data.decode(encoding, errors="replace").removeprefix("\ufeff").splitlines(keepends=True)
    if len(data) >= SNIFFED_BYTES:
        lines = lines[:-1]
    found = replace(given, encoding=encoding)
    if not lines:
        return found
    escape = given.escape or _escape(lines)
    best = max(_candidates(lines, given, escape), key=lambda one: one[0])
    _, delimiter, skip = best
    return replace(found, delimiter=delimiter, skip_rows=given.skip_rows or skip, escape=escape)


def _candidates(lines: list[str], given: FileOptions, escape: str) -> list[tuple[tuple[int, int], str, int]]:
    """Rate each delimiter by how many of the rows have as many values as the first, and by how many that are."""
    found = []
    for delimiter in given.delimiter or _DELIMITERS:
        skip = given.skip_rows or _lines_before(lines, delimiter)
        widths = _widths("".join(lines[skip:]), delimiter, given, escape)
        rate = sum(width == widths[0] for width in widths) if widths and widths[0] > 1 else 0
        found.append(((rate, widths[0] if rate else 0), delimiter, skip))
    return found


def _widths(text: str, delimiter: str, given: FileOptions, escape: str) -> list[int]:
    widths: list[int] = []
    try:
        for row in csv.reader(
            text.splitlines(keepends=True),
            **python_dialect(replace(given, delimiter=delimiter, escape=escape)),
        ):
            if row:
                widths.append(len(row))
            if len(widths) >= _ROWS:
                break
    except csv.Error:
        pass
    return widths


def _lines_before(lines: list[str], delimiter: str) -> int:
    """Count the lines before what must be the header: the first line as wide as most."""
    if lines[0].lower().startswith("sep="):
        return 1
    counts = [line.count(delimiter) for line in lines[:_ROWS]]
    usual = max(set(counts), key=counts.count)
    skip = next((number for number, count in enumerate(counts) if count == usual), 0) if usual else 0
    blank = next((number for number, line in enumerate(lines[:_ROWS]) if line.strip()), 0)
    return max(skip, blank) if skip < 20 else blank


def _escape(lines: list[str]) -> str:
    return "\\" if any(re.search(r'[^",;\t|]\\"|"\\"', line) for line in lines) else ""


def _encoding(data: bytes, given: str) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return encoding
    if given != "utf-8":
        return given
    try:
        data[: data.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252"
    return given


_SHOWN: Final = ("delimiter", "encoding", "escape", "skip_rows", "header")


def _differing(found: FileOptions, given: FileOptions) -> str:
    differing = [
        f"{name}: {_shown(getattr(found, name))}"
        for name in _SHOWN
        if getattr(found, name) != getattr(given, name) and (name != "delimiter" or found.delimiter != ",")
    ]
    return ", ".join(differing)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value).lower()


def python_dialect(options: FileOptions) -> dict[str, Any]:
    """Return a file's marks as the standard library's csv takes them."""
    return {
        "delimiter": options.delimiter or ",",
        "quotechar": options.quote or None,
        "quoting": csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
        "escapechar": options.escape or None,
        "strict": True,
    }
