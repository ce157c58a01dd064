"""Values of a source as the merge fields of an audience take them.

What each type takes: https://mailchimp.com/developer/marketing/docs/merge-fields/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import Enum
from functools import partial
from math import isfinite, nan
from struct import Struct

from airflow_mailchimp_export.fields.countries import country_code
from airflow_mailchimp_export.fields.text import (
    MAX_TEXT_BYTES,
    Convert,
    Converted,
    Problem,
    Sendable,
    WarningKind,
    clean,
    is_dressed,
    is_nan,
    spelled,
    to_text,
    undressed,
)
from airflow_mailchimp_export.model import MergeField

__all__ = [
    "ADDRESS_PARTS",
    "MAX_TEXT_BYTES",
    "NO_BIRTHDAYS",
    "REQUIRED_ADDRESS_PARTS",
    "Convert",
    "Converted",
    "Narrow",
    "Problem",
    "Sendable",
    "WarningKind",
    "converter",
    "is_akin",
    "narrowed",
    "to_text",
    "zoned",
]

REQUIRED_ADDRESS_PARTS = ("addr1", "city", "state", "zip")
"""An address without one of them is refused: https://mailchimp.com/developer/marketing/docs/merge-fields/"""

ADDRESS_PARTS = ("addr1", "addr2", "city", "state", "zip", "country")


def converter(field: MergeField) -> Convert:
    """Make the conversion for a merge field; a type that this version does not know is sent as text.

    The conversion is total: whatever a source holds, it answers with what is sent, with ``None`` for a blank,
    or with a :class:`Problem`, and never raises.
    """
    match field.type:
        case "phone" if field.phone_format.casefold() == "us":
            return _normalised(_us_phone, WarningKind.NOT_A_PHONE)
        case "radio" | "dropdown":
            choices = frozenset(filter(str.strip, field.choices))
            fit = partial(_choice, choices, _spelled_alike(choices))
            return _normalised(fit, WarningKind.NOT_A_CHOICE)
        case "address":
            # Mailchimp may name the country by a number of its own, which it can also fill in by itself.
            country = field.default_country if _COUNTRY.fullmatch(field.default_country) else ""
            return _normalised(partial(_address, country), WarningKind.NOT_AN_ADDRESS)
        case known if known in _FITTING:
            return _normalised(*_FITTING[known])
    return to_text


class Narrow(Enum):
    """Floats of fewer than 64 bits: how they are packed, and with how many digits they are written."""

    HALF = Struct("e"), ("%.3g", "%.4g", "%.5g")
    SINGLE = Struct("f"), ("%.6g", "%.7g", "%.8g", "%.9g")


def narrowed(convert: Convert, kind: Narrow) -> Convert:
    """Undo the widening of 16 and 32-bit floats, which makes 19.989999771118164 of 19.99."""
    layout, spellings = kind.value
    pack, unpack = layout.pack, layout.unpack

    def shortest(value: float) -> float:
        for spelling in spellings:
            short = float(spelling % value)
            if unpack(pack(short))[0] == value:
                return short
        return value

    return lambda value: convert(shortest(value) if isinstance(value, float) else value)


def zoned(convert: Convert, zone: tzinfo) -> Convert:
    """Let a conversion see timestamps in the zone of their column: they are kept in UTC on the way.

    At the ends of the calendar, where the zone would lead out of it, they stay in UTC.
    """

    def in_zone(value: datetime) -> datetime:
        try:
            return value.astimezone(zone)
        except OverflowError:
            return value

    return lambda value: convert(in_zone(value) if isinstance(value, datetime) else value)


def is_akin(value: object, kind: WarningKind) -> bool:
    """Tell whether a value that does not fit is of the right kind anyway.

    Such are an address that is not whole, the phone number or postcode of another country, and a day that no
    calendar has or that is too far away.
    """
    from pyarrow import Scalar

    if kind is WarningKind.NOT_AN_ADDRESS or isinstance(value, Scalar):
        return True
    text = value.strip() if isinstance(value, str) else ""
    return kind in _AKIN and bool(_AKIN[kind].fullmatch(text))


_FAR_DAY = r"[+-]?\d+-\d\d?-\d\d?(?:[T ].*)?"

_AKIN = {
    WarningKind.NOT_A_DATE: re.compile(_FAR_DAY, re.ASCII),
    WarningKind.NOT_A_BIRTHDAY: re.compile(_FAR_DAY, re.ASCII),
    WarningKind.NOT_A_PHONE: re.compile(r"\+?(?:[\s().\-/]*\d){6,15}", re.ASCII),
    WarningKind.NOT_A_ZIP: re.compile(r"(?=.*\d)[A-Za-z\d][A-Za-z\d -]{1,9}", re.ASCII),
}


_OF_DIGITS = frozenset({WarningKind.NOT_A_PHONE, WarningKind.NOT_A_ZIP})


def _normalised(fit: Callable[[object], Converted], kind: WarningKind) -> Convert:
    """Let a conversion see only clean text and no blanks; its ``None`` becomes the problem."""
    problem = Problem(kind)

    def convert(value: object) -> Converted:
        tidy = _normal(value)
        if kind in _OF_DIGITS and isinstance(tidy, str) and is_dressed(tidy):
            tidy = undressed(tidy)
        if tidy is None or isinstance(tidy, Problem):
            return tidy
        sent = fit(tidy)
        return problem if sent is None else sent

    return convert


def _normal(value: object) -> object:
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, dict):
        return _address_parts(value)
    return None if is_nan(value) else value


def _address_parts(value: Mapping[str, object]) -> dict[str, object] | None:
    """Spell the parts of an address; a country that is asked for and blank stays, as such."""
    parts = {part: undressed_part(value[part]) for part in ADDRESS_PARTS if part in value}
    if not any(parts.values()):
        return None
    return {part: text for part, text in parts.items() if text or part == "country"}


def undressed_part(value: object) -> object:
    """Spell a part of an address; one whose digits were lost is none."""
    text = spelled(value)
    if not text or not is_dressed(text):
        return text
    plain = undressed(text)
    return plain if isinstance(plain, str) else None


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


NO_BIRTHDAYS = frozenset(
    {date(1, 1, 1), date(1899, 12, 30), date(1899, 12, 31), date(1900, 1, 1), date(9999, 12, 31)}
)
"""What databases and spreadsheets have in the place of a day that nobody knows."""


def _birthday(value: object) -> Converted:
    day = _day(value, _BIRTHDAYS)
    return f"{day.month:02}/{day.day:02}" if day and day not in NO_BIRTHDAYS else None


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
    digits = spelled(value) if isinstance(value, int | float | Decimal) else None
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
    text = spelled(value) or ""
    return text if text in choices else alike.get(text.casefold())


_COUNTRY = re.compile(r"(?:[A-Za-z]{2})?")


def _address(default_country: str, value: object) -> Converted:
    given: dict[str, str] = value if isinstance(value, dict) else {}
    parts = {part: text for part in ADDRESS_PARTS if (text := given.get(part))}
    if not parts.keys() >= set(REQUIRED_ADDRESS_PARTS):
        return None
    if "country" in given:
        # Where a source tells countries, one that is blank or unknown is not that of the audience.
        code = country_code(given["country"] or "")
        return parts | {"country": code} if code else None
    return parts | {"country": default_country.upper()} if default_country else parts


_FITTING: dict[str, tuple[Callable[[object], Converted], WarningKind]] = {
    "number": (_number, WarningKind.NOT_A_NUMBER),
    "date": (_date, WarningKind.NOT_A_DATE),
    "birthday": (_birthday, WarningKind.NOT_A_BIRTHDAY),
    "phone": (_phone, WarningKind.NOT_A_PHONE),
    "zip": (_zip, WarningKind.NOT_A_ZIP),
    "url": (_url, WarningKind.NOT_A_URL),
    "imageurl": (_url, WarningKind.NOT_A_URL),
}
