"""Days such as 01/02/2026: whole columns of a segment tell in which order they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from airflow_mailchimp_export.database import Database
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.planning.staging import Layout
from airflow_mailchimp_export.sources.source import Source

_WITH_YEAR: Final = r"^\s*(\d\d?)[-/](\d\d?)[-/]\d\d\d\d(?:[T ]\d\d?:\d\d.*)?\s*$"

_YEAR_OR_NOT: Final = r"^\s*(\d\d?)[-/](\d\d?)(?:[-/]\d\d\d\d(?:[T ]\d\d?:\d\d.*)?)?\s*$"

_OTHERWISE_READ: Final = {
    True: ((r"^\s*(\d\d?)/(\d\d?)/(\d\d\d\d)", r"\3-\2-\1"), (r"^\s*(\d\d?)[-/](\d\d?)\s*$", r"\2/\1")),
    False: ((r"^\s*(\d\d?)-(\d\d?)-(\d\d\d\d)", r"\3-\1-\2"),),
}
"""What the conversion would read in another order than the column's, by whether that begins with the day."""


def settle_days(database: Database, sources: Sequence[Source], layout: Layout, *, fingerprint: str) -> None:
    """Let each column of a segment be read in the one order in which all its days exist.

    :param fingerprint: the values that a fingerprint is made of, as SQL.
    :raises ConfigError: a column has days that exist in both orders, and none that tells; naming one, and the remedy.
    """
    for index, may_lack_year in layout.days.items():
        if not pa.types.is_string(layout.schema.types[index]):
            continue
        column = f"fields.field_{index}"
        parts = {"column": column, "values": fingerprint, "packed": _packed(index, layout.mapped)}
        pattern = _YEAR_OR_NOT if may_lack_year else _WITH_YEAR
        for segment, *counts in database.filled("day_orders", {"column": column}, pattern=pattern):
            source = sources[segment]
            if source.spelling.format_of(source.schema.names[index]):
                continue
            zone = source.spelling.timezone or ""
            for changed, plain in _changes(source, source.schema.names[index], *counts):
                database.run_with(
                    "respell_days", parts, segment=segment, pattern=changed, plain=plain, zone=zone
                )


def _changes(
    source: Source, column: str, day_first: int, month_first: int, both: int, row: int
) -> Sequence[tuple[str, str]]:
    """Return what would be read in another order than that of a column, and how it is to be read."""
    if (day_first and month_first) or (both and not day_first and not month_first):
        raise _ambiguous(source, column, row, is_mixed=bool(day_first))
    return _OTHERWISE_READ[bool(day_first)] if day_first or month_first else ()


def _packed(index: int, mapped: int) -> str:
    """Return the fields as SQL, with a pattern replaced in one of them."""
    fields = {f"field_{number}": f"fields.field_{number}" for number in range(mapped)}
    fields[f"field_{index}"] = f"regexp_replace(fields.field_{index}, $pattern, $plain)"
    return ", ".join(f"{name} := {value}" for name, value in fields.items())


def _ambiguous(source: Source, column: str, row: int, *, is_mixed: bool) -> ConfigError:
    problem = (
        "some days that begin with the day and some that begin with the month"
        if is_mixed
        else ("days that exist in both orders, day and month, and none that tells which is meant")
    )
    return ConfigError(
        f"Segment {source.segment!r}: column {column!r} has {problem}, such as in {source.locate(row)}",
        "Set date_format of the segment, to '%d/%m/%Y' or '%m/%d/%Y' as it is written, or give dates",
    )
