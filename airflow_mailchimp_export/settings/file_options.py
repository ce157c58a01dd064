"""How the files of a segment are written: what a user says of them, checked before any is opened."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    boolean,
    choice,
    from_json,
    is_blank,
    parse_setting,
    single_line,
    string_list,
    whole_number,
)


class FileFormat(StrEnum):
    """How profiles are written in files."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    DELTA = "delta"
    ICEBERG = "iceberg"


class Compression(StrEnum):
    """How files of text are packed."""

    NONE = "none"
    GZIP = "gz"
    ZSTD = "zst"
    BZIP2 = "bz2"
    ZIP = "zip"


NULL_WORDS: Final = (
    *("\\N", "\\\\N", "NULL", "null", "(null)", "<NULL>", "None", "nan", "NaN", "<NA>"),
    *("#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"),
)
"""What writers of CSV put in the place of nothing, spelled exactly so: Null may be somebody's name."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How values are spelled in a source; the defaults are those of data frames and tables.

    :param null_words: words that stand for nothing.
    :param decimal: what parts the fraction of a number.
    :param date_format: how dates are written, by column; the column "" stands for all others.
    :param timezone: the zone whose days count.
    """

    null_words: tuple[str, ...] = ()
    decimal: str = "."
    date_format: tuple[tuple[str, str], ...] = ()
    timezone: str | None = None

    def format_of(self, column: str) -> str | None:
        """Return how the dates of a column are written, where that was said."""
        formats = dict(self.date_format)
        return formats.get(column, formats.get(""))

    def as_options(self) -> dict[str, Any]:
        """Return the options of files that spell values so, whatever their format; those that are not usual."""
        given = {
            "null_values": list(self.null_words),
            "decimal": self.decimal,
            "date_format": dict(self.date_format),
            "timezone": self.timezone,
        }
        usual: dict[str, Any] = {"null_values": [], "decimal": ".", "date_format": {}, "timezone": None}
        return {name: value for name, value in given.items() if value != usual[name]}


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What is special about the files of a segment; the defaults are RFC 4180 with a header, in UTF-8.

    :param delimiter: what parts the values; ``None`` for a comma, in ``.tsv`` a tab.
    :param quote: what values are put in; empty for nothing.
    :param escape: what takes the meaning of the character behind it; empty for nothing.
    :param header: whether the first row names the columns.
    :param columns: the columns' names, in place of a header.
    :param null_values: words that stand for nothing; ``None`` means :data:`NULL_WORDS` in CSV, else none.
    :param skip_rows: how many lines stand before the header.
    :param skip_footer: how many rows stand behind the profiles.
    :param decimal: what parts the fraction of a number.
    :param date_format: how dates are written, by column; the column "" stands for all others.
    :param timezone: the zone whose days count.
    :param compression: how the files are packed; ``None`` means that their extensions tell.
    :param sniff: whether delimiter, encoding and the like are found out, and told.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    quote: str = '"'
    escape: str = ""
    header: bool = True
    columns: tuple[str, ...] = ()
    null_values: tuple[str, ...] | None = None
    skip_rows: int = 0
    skip_footer: int = 0
    decimal: str = "."
    date_format: tuple[tuple[str, str], ...] = ()
    timezone: str | None = None
    compression: Compression | None = None
    sniff: bool = False

    def spelling(self, *, is_csv: bool = False) -> Spelling:
        """Return how values are spelled.

        :param is_csv: whether they come from CSV.
        """
        usual = NULL_WORDS if is_csv else ()
        words = usual if self.null_values is None else self.null_values
        return Spelling(words, self.decimal, self.date_format, self.timezone)


def parse_file_options(where: str, given: Mapping[str, object]) -> FileOptions:
    """Check the options among the keys of a segment.

    :raises ConfigError: names the segment, the option and what it must be.
    """
    set_to = {
        name: parse_setting(f"{where}: {name}", given[name], parse)
        for name, parse in FILE_OPTIONS.items()
        if given.get(name) is not None and (name in MAY_BE_BLANK or not is_blank(given[name]))
    }
    options = FileOptions(**set_to)
    _check_together(where, options)
    return options


def _check_together(where: str, options: FileOptions) -> None:
    if not options.header and not options.columns and not options.sniff:
        raise ConfigError(f"{where}: header is false, so 'columns' has to name the columns, in their order.")
    if options.header and options.columns:
        raise ConfigError(f"{where}: columns take the place of a header: set 'header' to false as well.")
    if len(set(options.columns)) < len(options.columns):
        raise ConfigError(f"{where}: columns names one column twice.")
    marks = [mark for mark in (options.delimiter or ",", options.quote, options.escape) if mark]
    if len(set(marks)) < len(marks) and options.escape != options.quote:
        raise ConfigError(f"{where}: delimiter, quote and escape must differ from each other.")


def _mark(value: object) -> str:
    named = {"tab": "\t", "\\t": "\t", "space": " ", "\\x01": "\x01", "\\u0001": "\x01"}
    mark = named.get(value, value) if isinstance(value, str) else value
    if not isinstance(mark, str) or len(mark) != 1 or not mark.isascii() or mark in "\r\n\0":
        raise InvalidValue("one ASCII character; a tab is written '\\t'")
    return mark


def _optional_mark(value: object) -> str:
    if value is False or value == "":
        return ""
    return _mark(value)


def _encoding(value: object) -> str:
    name = single_line(value)
    try:
        if codecs.lookup(name)._is_text_encoding:
            return codecs.lookup(name).name
    except LookupError:
        pass
    raise InvalidValue("an encoding such as 'utf-8', 'utf-16', 'windows-1252' or 'latin-1'")


def _names(value: object) -> tuple[str, ...]:
    names = string_list(value)
    if not names:
        raise InvalidValue("a list of names")
    return names


def _words(value: object) -> tuple[str, ...]:
    value = from_json(value)
    if isinstance(value, str):
        value = [value] if value else []
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise InvalidValue("a list of words")
    return tuple(value)


def _date_format(value: object) -> tuple[tuple[str, str], ...]:
    value = from_json(value)
    formats = value if isinstance(value, Mapping) else {"": value}
    for column, written in formats.items():
        if not isinstance(column, str) or not isinstance(written, str) or not _names_a_day(written):
            raise InvalidValue(
                "a format with %d and %m (or %b, %B, %j), such as '%d/%m/%Y', or a mapping of columns to such formats"
            )
    return tuple(formats.items())


def _names_a_day(written: str) -> bool:
    return ("%d" in written and any(month in written for month in ("%m", "%b", "%B"))) or "%j" in written


def _zone(value: object) -> str:
    name = single_line(value)
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise InvalidValue("a time zone such as 'Europe/Berlin'") from error
    return name


def _decimal(value: object) -> str:
    if value not in {".", ","}:
        raise InvalidValue("'.' or ','")
    return str(value)


FILE_OPTIONS: Final[Mapping[str, Callable[[object], Any]]] = {
    "delimiter": _mark,
    "encoding": _encoding,
    "quote": _optional_mark,
    "escape": _optional_mark,
    "header": boolean,
    "columns": _names,
    "null_values": _words,
    "skip_rows": whole_number(0),
    "skip_footer": whole_number(0),
    "decimal": _decimal,
    "date_format": _date_format,
    "timezone": _zone,
    "compression": choice(*Compression),
    "sniff": boolean,
}
"""What makes each option's value of what was set."""

MAY_BE_BLANK: Final = frozenset({"delimiter", "quote", "escape", "null_values"})
"""The options of which blank text, or an empty list, says something."""
