"""Values of a source as the merge fields of an audience take them.

What each type takes: https://mailchimp.com/developer/marketing/docs/merge-fields/
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from functools import partial
from math import isfinite, nan
from uuid import UUID

import numpy as np

from airflow_mailchimp_export.model import MergeField

MAX_TEXT_BYTES = 255
"""Mailchimp cuts a text there, be it within a character:
https://mailchimp.com/developer/marketing/docs/merge-fields/"""

REQUIRED_ADDRESS_PARTS = ("addr1", "city", "state", "zip")
"""An address without one of them is refused: https://mailchimp.com/developer/marketing/docs/merge-fields/"""

ADDRESS_PARTS = ("addr1", "addr2", "city", "state", "zip", "country")


class WarningKind(StrEnum):
    """What is wrong with a value, each with its remedy."""

    remedy: str

    def __new__(cls, value: str, remedy: str) -> WarningKind:
        """Keep the remedy beside the value."""
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.remedy = remedy
        return kind

    TEXT_CUT = "text_cut", f"Shorten it to {MAX_TEXT_BYTES} bytes of UTF-8."
    NOT_TEXT = "not_text", "Give text, a finite number, true or false, a date or a time."
    NOT_A_NUMBER = "not_a_number", 'Give a finite number; as text like "1234.5".'
    NOT_A_DATE = "not_a_date", "Give a date that exists; as text like YYYY-MM-DD."
    NOT_A_BIRTHDAY = "not_a_birthday", "Give a date that exists; as text like MM/DD."
    NOT_A_PHONE = "not_a_phone", "Give text or digits; a US phone field takes ten digits, after +1 or not."
    NOT_A_ZIP = "not_a_zip", "Give a US ZIP code of five digits; other postcodes need a text field."
    NOT_A_URL = "not_a_url", "Give a whole address: https:// or http://, a host, no spaces."
    NOT_A_CHOICE = "not_a_choice", "Give one of the choices that the audience's field has."
    NOT_AN_ADDRESS = "not_an_address", "Give addr1, city, state and zip, and a country as two letters (ISO)."


Sendable = str | int | float | dict[str, str]


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that the merge field does not take.

    :param instead: what is sent all the same; ``None`` leaves the field out.
    """

    kind: WarningKind
    instead: Sendable | None = None


Converted = Sendable | Problem | None
Convert = Callable[[object], Converted]


def converter(field: MergeField) -> Convert:
    """Make the conversion for a merge field; a type that this version does not know is sent as text.

    The conversion is total: whatever a source holds, it answers with what is sent, with ``None`` for a blank,
    or with a :class:`Problem`, and never raises.
    """
    match field.type:
        case "phone" if field.phone_format.casefold() == "us":
            return _tidied(_us_phone, WarningKind.NOT_A_PHONE)
        case "radio" | "dropdown":
            choices = frozenset(filter(str.strip, field.choices))
            fit = partial(_choice, choices, _spelled_alike(choices))
            return _tidied(fit, WarningKind.NOT_A_CHOICE)
        case "address":
            # Mailchimp may name the country by a number of its own, which it can also fill in by itself.
            country = field.default_country if _COUNTRY.fullmatch(field.default_country) else ""
            return _tidied(partial(_address, country), WarningKind.NOT_AN_ADDRESS)
        case known if known in _FITTING:
            return _tidied(*_FITTING[known])
    return to_text


def narrowed(convert: Convert, dtype: type[np.floating]) -> Convert:
    """Undo the widening of 16 and 32-bit floats, which makes 19.989999771118164 of 19.99."""
    return lambda value: convert(float(str(dtype(value))) if isinstance(value, float) else value)


_SURELY_FITS = MAX_TEXT_BYTES // len("😀".encode())


def to_text(value: object) -> Converted:
    """Convert for a text field: trimmed, without control characters, cut between whole characters.

    Numbers are written plainly and 1.0 as "1" (integers with gaps often arrive as floats), booleans as "true"
    and "false", dates and times as in ISO 8601.
    """
    if type(value) is str and len(value) <= _SURELY_FITS and value.isprintable():
        return value.strip() or None
    text = _spelled(value)
    if text is None:
        return Problem(WarningKind.NOT_TEXT)
    if len(text) > _SURELY_FITS and len(text.encode()) > MAX_TEXT_BYTES:
        return Problem(WarningKind.TEXT_CUT, _cut(text))
    return text or None


def _cut(text: str) -> str:
    cut = text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    end = len(cut)
    while end and _is_one_sign(text, end):
        end -= 1
    return (text[:end] or cut).rstrip(_INVISIBLE)


_ZERO_WIDTH_JOINER = "\u200d"
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_ATTACHED = frozenset({"Mn", "Mc", "Me", "Cf", "Sk"})


def _is_one_sign(text: str, at: int) -> bool:
    """Whether the characters before and after are read as one: a letter and its accent, emoji, a flag."""
    if text[at] in _FLAG_LETTERS:
        return (at - len(text[:at].rstrip(_FLAG_LETTERS))) % 2 == 1
    return text[at - 1] == _ZERO_WIDTH_JOINER or unicodedata.category(text[at]) in _ATTACHED


def _spelled(value: object) -> str | None:
    """Give the value as clean text, "" for a blank, ``None`` for what has no spelling."""
    if value is None or isinstance(value, str):
        return _clean(value or "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _plain(value)
    return str(value) if isinstance(value, date | time | UUID) else None


def _plain(value: float | Decimal) -> str | None:
    number = Decimal(float.__repr__(value + 0.0)) if isinstance(value, float) else Decimal(value)  # no -0
    if not number.is_finite():
        return None
    return format(number, "f").removesuffix(".0" if isinstance(value, float) else "")


_BREAKS_AND_TABS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
# JSON cannot carry half of a surrogate pair.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_INVISIBLE = " \xa0\u1680\u202f\u205f\u2060\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200C)))


def _clean(text: str) -> str:
    if not text.isprintable():
        text = _UNSENDABLE.sub("", _BREAKS_AND_TABS.sub(" ", text))
    return text.strip(_INVISIBLE)


def _tidied(fit: Callable[[object], Converted], kind: WarningKind) -> Convert:
    """Let a conversion see only clean text and no blanks; its ``None`` becomes the problem."""
    problem = Problem(kind)

    def convert(value: object) -> Converted:
        tidy = _tidy(value)
        if tidy is None:
            return None
        sent = fit(tidy)
        return problem if sent is None else sent

    return convert


def _tidy(value: object) -> object:
    if isinstance(value, str):
        return _clean(value) or None
    if isinstance(value, dict):
        return {part: text for part in ADDRESS_PARTS if (text := _spelled(value.get(part))) != ""} or None
    return value


_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_EXACT_DIGITS = 18
"""Whole numbers of so many digits fit the integers of JSON readers; longer ones are sent as floats."""


def _number(value: object) -> Converted:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = Decimal(value) if len(value) <= _EXACT_DIGITS else float(value)
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _EXACT_DIGITS:
        value = int(value) if value == int(value) else value
    if isinstance(value, int) and abs(value) < 10**_EXACT_DIGITS:
        return int(value)
    try:
        number = float(value) if isinstance(value, int | float | Decimal) else nan
    except (OverflowError, ValueError):  # an integer past 1e308, a signalling NaN
        return None
    return number if isfinite(number) else None


_LAYOUTS = (
    r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)",
    r"(?P<day>\d\d?)-(?P<month>\d\d?)-(?P<year>\d{4})",
    r"(?P<month>\d\d?)/(?P<day>\d\d?)/(?P<year>\d{4})",
)
_DAYS = tuple(re.compile(layout + r"(?:[T ]\d\d?:\d\d.*)?", re.ASCII) for layout in _LAYOUTS)
_BIRTHDAYS = (*_DAYS, re.compile(r"(?P<month>\d\d?)[-/](?P<day>\d\d?)", re.ASCII))
_A_LEAP_YEAR = "2000"


def _date(value: object) -> Converted:
    day = _day(value, _DAYS)
    return day.isoformat() if day else None


def _birthday(value: object) -> Converted:
    day = _day(value, _BIRTHDAYS)
    return f"{day.month:02}/{day.day:02}" if day else None


def _day(value: object, layouts: Iterable[re.Pattern[str]]) -> date | None:
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    text = value if isinstance(value, str) else ""
    found = next(filter(None, (layout.fullmatch(text) for layout in layouts)), None)
    return _existing(**found.groupdict()) if found else None


def _existing(month: str, day: str, year: str = _A_LEAP_YEAR, mark: str = "") -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _digits(value: object) -> str:
    """Give text as it is and a whole number as its digits; "" for anything else."""
    if isinstance(value, str):
        return value
    digits = _spelled(value) if isinstance(value, int | float | Decimal) else None
    return digits if digits and digits.isdigit() else ""


def _phone(value: object) -> Converted:
    return to_text(_digits(value))


_US_PHONE = re.compile(r"(?:\+?1)?(\d{3})(\d{3})(\d{4})", re.ASCII)
_PHONE_MARKS = re.compile(r"[\s().\-/]")


def _us_phone(value: object) -> Converted:
    found = _US_PHONE.fullmatch(_PHONE_MARKS.sub("", _digits(value)))
    return "-".join(found.groups()) if found else None


_ZIP = re.compile(r"(\d{5})(?:[- ]?\d{4})?", re.ASCII)


def _zip(value: object) -> Converted:
    digits = _digits(value)
    # A number has lost the zeros in front; text has not, so that a short one is no US code.
    found = _ZIP.fullmatch(digits if isinstance(value, str) else digits and digits.zfill(5))
    return found and found[1]


_URL = re.compile(
    r"https?://(?:[^\s/?#@]*@)?(?:[^\s/?#@:\[\]]+|\[[0-9a-f:.]+\])(?::\d+)?(?:[/?#]\S*)?", re.IGNORECASE
)


def _url(value: object) -> Converted:
    return value if isinstance(value, str) and _URL.fullmatch(value) else None


def _spelled_alike(choices: Iterable[str]) -> dict[str, str]:
    """Map a choice without case and edges to the audience's spelling, where only one has it."""
    times = Counter(choice.strip().casefold() for choice in choices)
    return {key: choice for choice in choices if times[key := choice.strip().casefold()] == 1}


def _choice(choices: Container[str], alike: Mapping[str, str], value: object) -> Converted:
    text = _spelled(value) or ""
    return text if text in choices else alike.get(text.casefold())


_COUNTRY = re.compile(r"(?:[A-Za-z]{2})?")


def _address(default_country: str, value: object) -> Converted:
    given: dict[str, str] = value if isinstance(value, dict) else {}
    country = (given.get("country") or default_country).upper()
    parts = {part: text for part in ADDRESS_PARTS if (text := given.get(part))}
    if not _COUNTRY.fullmatch(country) or not parts.keys() >= set(REQUIRED_ADDRESS_PARTS):
        return None
    return parts | {"country": country} if country else parts


_FITTING: dict[str, tuple[Callable[[object], Converted], WarningKind]] = {
    "number": (_number, WarningKind.NOT_A_NUMBER),
    "date": (_date, WarningKind.NOT_A_DATE),
    "birthday": (_birthday, WarningKind.NOT_A_BIRTHDAY),
    "phone": (_phone, WarningKind.NOT_A_PHONE),
    "zip": (_zip, WarningKind.NOT_A_ZIP),
    "url": (_url, WarningKind.NOT_A_URL),
    "imageurl": (_url, WarningKind.NOT_A_URL),
}
