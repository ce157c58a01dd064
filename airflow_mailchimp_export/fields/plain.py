"""Values that need no second look, as SQL: what a merge field takes as it is, and how that is written as JSON.

``values.py`` has the rules, and this says nothing of its own about a value: what is not surely plain, such as text with
a tab in it, is left to the conversions there. So a doubt costs time, and nothing else. A property test holds the two
ways against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from airflow_mailchimp_export.fields.text import MAX_TEXT_BYTES, clean
from airflow_mailchimp_export.fields.values import NO_BIRTHDAYS
from airflow_mailchimp_export.model import MergeField

if TYPE_CHECKING:
    import pyarrow as pa

_VALUE: Final = "{\0value}"
"""Stands in SQL for a value; no choice that is listed there has the character."""


@dataclass(frozen=True, slots=True)
class Plain:
    """How SQL writes values of one kind for one type of merge field; none of them is a blank.

    :param test: says whether a value is plain.
    :param json: its JSON, where it is.
    """

    test: str
    json: str


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """How SQL writes the values of a column for a merge field, blanks included.

    :param blank: says whether a value is one.
    :param blank_json: what a blank becomes; ``None`` leaves it out.
    :param takes_blanks: whether a profile may do without a value.
    """

    plain: Plain
    blank: str
    blank_json: str | None = None
    takes_blanks: bool = True

    def test(self, value: str) -> str:
        """Return SQL that says whether a value is plain; where it does not say so, the value is not.

        :param value: as SQL.
        """
        blank = self.blank.replace(_VALUE, value)
        blanks = f"{blank} OR" if self.takes_blanks else f"NOT ({blank}) AND"
        return f"({blanks} ({self.plain.test.replace(_VALUE, value)}))"

    def json(self, value: str) -> str:
        """Return SQL of the JSON of a plain value; null where it is left out.

        :param value: as SQL.
        """
        blank, plain = (sql.replace(_VALUE, value) for sql in (self.blank, self.plain.json))
        # What somebody has written into the field map stays as it is.
        of_blank = "NULL" if self.blank_json is None else quoted_text(self.blank_json)
        return f"CASE WHEN {blank} THEN {of_blank} ELSE {plain} END"


def plain_column(field: MergeField, arrow: pa.DataType, blank_value: object) -> PlainColumn | None:
    """Say how SQL writes a column's values for a merge field; ``None`` where it does not.

    :param blank_value: what a blank becomes; ``None`` for nothing, and what is no value where it rejects the profile.
    """
    kind = _kind_of(arrow)
    plain = _choices(field.choices, kind) if field.type in _CHOSEN else _PLAIN.get((_type_of(field), kind))
    if plain is None:
        return None
    is_value = isinstance(blank_value, str | int | float)
    return PlainColumn(
        plain,
        f"({_VALUE} IS NULL OR {_VALUE} = '')" if kind == "text" else f"{_VALUE} IS NULL",
        orjson.dumps(blank_value).decode() if is_value else None,
        takes_blanks=is_value or blank_value is None,
    )


def quoted_text(text: str) -> str:
    """Return text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _type_of(field: MergeField) -> str:
    if field.type == "phone" and field.phone_format.casefold() == "us":
        return "us phone"
    # What this version does not know is sent as text.
    return field.type if field.type in _OWN_TYPES else "text"


_CHOSEN: Final = frozenset({"radio", "dropdown"})

_OWN_TYPES: Final = frozenset({"number", "date", "birthday", "phone", "zip", "url", "imageurl", "address"})


def _kind_of(arrow: pa.DataType) -> str:
    """Say what DuckDB holds of a column; empty for what only the conversions know."""
    import pyarrow as pa

    tests = {
        "text": pa.types.is_string,
        "integer": pa.types.is_integer,
        "boolean": pa.types.is_boolean,
        "float": pa.types.is_float64,
        "decimal": pa.types.is_decimal128,
        "date": pa.types.is_date32,
    }
    if pa.types.is_timestamp(arrow):
        # Those of a zone have its days, and Python has no nanoseconds.
        return "" if arrow.tz or arrow.unit == "ns" else "moment"
    return next((kind for kind, test in tests.items() if test(arrow)), "")


def _matches(pattern: str) -> str:
    return f"regexp_full_match({_VALUE}, {quoted_text(pattern)})"


_SEEN_AGAIN: Final = r"\x00-\x1f\x7f-\x9f\x{2028}\x{2029}\"\\"
"""Characters that are changed on the way, or are written in another way in JSON."""

_EDGES: Final = r" \x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}"
"""Characters that are taken off the ends of text."""

# What spreadsheets and forms dress digits in stands in front; a plus behind a digit may be that of a power of ten.
_TEXT: Final = _matches(
    rf"[^{_SEEN_AGAIN}{_EDGES}='\x{{fffd}}](?:[^{_SEEN_AGAIN}+]*[^{_SEEN_AGAIN}{_EDGES}+])?"
)

_FITS: Final = f"strlen({_VALUE}) <= {MAX_TEXT_BYTES}"

_SPELLED: Final = f"{_VALUE}::VARCHAR"

_AS_TEXT: Final = f"""'"' || {_SPELLED} || '"'"""

_PLAIN_TEXT: Final = Plain(f"{_FITS} AND NOT starts_with({_VALUE}, 'p:') AND {_TEXT}", _AS_TEXT)

_IS_WHOLE: Final = f"(abs({_VALUE}) < 1e15 AND trunc({_VALUE}) = {_VALUE})"

# Of so few digits there is but one shortest way to write a float, and none needs a power of ten.
_HAS_FEW_DIGITS: Final = f"regexp_full_match({_SPELLED}, '-?[0-9]{{1,9}}[.][0-9]{{1,4}}')"

_IS_NUMBER: Final = _matches("0|-?[1-9][0-9]{0,14}|-?(?:0|[1-9][0-9]{0,8})[.][0-9]{0,3}[1-9]")

_IS_SHORT_DECIMAL: Final = f"regexp_full_match({_SPELLED}, '-?[0-9]{{1,9}}([.][0-9]{{1,4}})?')"

_WITHOUT_ZEROS: Final = (
    f"CASE WHEN contains({_SPELLED}, '.') THEN rtrim(rtrim({_SPELLED}, '0'), '.') ELSE {_SPELLED} END"
)

_DAY: Final = f"{_VALUE}::DATE"

_WITHIN_CALENDAR: Final = f"{_DAY} >= DATE '0001-01-01' AND {_DAY} < DATE '9999-12-31'"

_IS_DAY: Final = (
    f"{_matches('[1-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]')} AND TRY_CAST({_VALUE} AS DATE) IS NOT NULL"
)

_IS_MONTH_AND_DAY: Final = _matches(
    "(?:0[1-9]|1[0-2])/(?:0[1-9]|[12][0-9])|(?:0[13-9]|1[0-2])/30|(?:0[13578]|1[02])/31"
)

_NOBODYS: Final = ", ".join(sorted(quoted_text(day.isoformat()) for day in NO_BIRTHDAYS))

_OF_ISO_DAY: Final = f"""'"' || {_VALUE}[6:7] || '/' || {_VALUE}[9:10] || '"'"""

_PLAIN_URL: Final = Plain(
    f"{_FITS} AND {_matches('https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:[/?#][!#-Z_a-z~]*)?')}", _AS_TEXT
)

_PLAIN_BIRTHDAY: Final = Plain(
    f"{_WITHIN_CALENDAR} AND {_DAY} NOT IN ({_NOBODYS})", f"""strftime({_DAY}, '"%m/%d"')"""
)

_PLAIN: Final[Mapping[tuple[str, str], Plain]] = {
    ("text", "text"): _PLAIN_TEXT,
    ("text", "integer"): Plain("true", _AS_TEXT),
    ("text", "boolean"): Plain("true", _AS_TEXT),
    ("text", "float"): Plain(
        f"{_IS_WHOLE} OR {_HAS_FEW_DIGITS}",
        f"""CASE WHEN {_IS_WHOLE} THEN '"' || {_VALUE}::BIGINT::VARCHAR || '"' ELSE {_AS_TEXT} END""",
    ),
    ("text", "decimal"): Plain(_IS_SHORT_DECIMAL, _AS_TEXT),
    ("text", "date"): Plain(_WITHIN_CALENDAR, _AS_TEXT),
    ("number", "text"): Plain(_IS_NUMBER, _VALUE),
    ("number", "integer"): Plain(f"{_VALUE} BETWEEN -999999999999999 AND 999999999999999", _SPELLED),
    ("number", "boolean"): Plain("true", f"{_VALUE}::INTEGER::VARCHAR"),
    ("number", "float"): Plain(f"{_IS_WHOLE} OR {_HAS_FEW_DIGITS}", _SPELLED),
    ("number", "decimal"): Plain(_IS_SHORT_DECIMAL, _WITHOUT_ZEROS),
    ("date", "text"): Plain(_IS_DAY, _AS_TEXT),
    ("date", "date"): Plain(_WITHIN_CALENDAR, _AS_TEXT),
    ("date", "moment"): Plain(_WITHIN_CALENDAR, f"""'"' || {_DAY}::VARCHAR || '"'"""),
    ("birthday", "text"): Plain(
        f"({_IS_DAY} AND {_VALUE} NOT IN ({_NOBODYS})) OR {_IS_MONTH_AND_DAY}",
        f"CASE WHEN strlen({_VALUE}) = 10 THEN {_OF_ISO_DAY} ELSE {_AS_TEXT} END",
    ),
    ("birthday", "date"): _PLAIN_BIRTHDAY,
    ("birthday", "moment"): _PLAIN_BIRTHDAY,
    ("phone", "text"): _PLAIN_TEXT,
    ("phone", "integer"): Plain(f"{_VALUE} >= 0", _AS_TEXT),
    ("us phone", "text"): Plain(_matches("[0-9]{3}-[0-9]{3}-[0-9]{4}"), _AS_TEXT),
    ("zip", "text"): Plain(_matches("[0-9]{5}"), _AS_TEXT),
    ("zip", "integer"): Plain(f"{_VALUE} BETWEEN 0 AND 99999", f"""'"' || lpad({_SPELLED}, 5, '0') || '"'"""),
    ("url", "text"): _PLAIN_URL,
    ("imageurl", "text"): _PLAIN_URL,
}
"""By the type of a merge field and the kind of a column."""


def _choices(choices: Iterable[str], kind: str) -> Plain | None:
    """Take what is spelled as one of the choices is, where that is plain itself."""
    if kind not in {"text", "integer", "boolean"}:
        return None
    plain = [choice for choice in choices if choice and clean(choice) == choice and _is_json(choice)]
    listed = ", ".join(map(quoted_text, plain))
    return Plain(f"{_SPELLED} IN ({listed})" if listed else "false", _AS_TEXT)


def _is_json(text: str) -> bool:
    return orjson.dumps(text).decode() == f'"{text}"'
