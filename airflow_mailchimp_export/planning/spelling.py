"""Values of a source that are spelled in its own way, as the values that they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.settings.file_options import Spelling
from airflow_mailchimp_export.sources.columns import DAMAGED


def null_words(values: pa.Array, words: Sequence[str]) -> pa.Array | None:
    """Say of each value whether it is a word for nothing; ``None`` where none is."""
    if not words or not pa.types.is_string(values.type):
        return None
    found = pc.is_in(values, value_set=pa.array(words, pa.string()))
    return found if pc.any(found).as_py() else None


def plain_numbers(values: pa.Array, spelling: Spelling) -> pa.Array:
    """Spell numbers such as 1.234,5 with a point."""
    if spelling.decimal == "." or not pa.types.is_string(values.type):
        return values
    pattern = r"^\s*([+-]?\d{1,3}(?:[. ]\d{3})+|[+-]?\d*)(?:,(\d+))?\s*$"
    is_number = pc.match_substring_regex(values, pattern)
    plain = pc.replace_substring_regex(values, r"[.\s]", "")
    plain = pc.replace_substring(plain, ",", ".")
    return pc.if_else(is_number, plain, values)


def plain_days(values: pa.Array, column: str, spelling: Spelling) -> pa.Array:
    """Spell days and moments as ISO 8601 does; what is not as the column's format has it is damaged."""
    written = spelling.format_of(column)
    if not pa.types.is_string(values.type) or (written is None and spelling.timezone is None):
        return values
    zone = ZoneInfo(spelling.timezone) if spelling.timezone else None

    def plain(text: str) -> str:
        return _zoned(_formatted(text, written), zone)

    return _each(values, plain)


def _each(values: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Change each value, those that are alike but once."""
    coded = values.dictionary_encode()
    changed = [text and change(text) for text in coded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(changed, pa.string())).dictionary_decode()


_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?")

_OF_NO_YEAR: Final = "2000"
"""A leap year."""


def _formatted(text: str, written: str | None) -> str:
    text = text.strip()
    if written is None or not text or _ISO.fullmatch(text):
        return text
    has_year = "%y" in written.lower()
    try:
        moment = datetime.strptime(
            text if has_year else f"{_OF_NO_YEAR} {text}", written if has_year else f"%Y {written}"
        )
    except ValueError:
        return DAMAGED
    if not has_year:
        return f"{moment.month:02}/{moment.day:02}"
    return moment.isoformat(" ") if "%H" in written or "%I" in written else moment.date().isoformat()


def _zoned(text: str, zone: ZoneInfo | None) -> str:
    """Bring a moment that says its own distance from UTC to a zone; others are of it already."""
    if zone is None or not _ISO.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC") + ("Z" if text.endswith(" UTC") else ""))
        return text if moment.tzinfo is None else moment.astimezone(zone).isoformat(" ")
    except (ValueError, OverflowError):
        return text
