"""Values of a source as text: what a text field takes, and how everything else is spelled."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from math import isnan
from uuid import UUID

MAX_TEXT_BYTES = 255
"""Mailchimp cuts a text there, be it within a character:
https://mailchimp.com/developer/marketing/docs/merge-fields/"""


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
    NULL_WORD = (
        "null_word",
        "Leave the value empty in place of a word for nothing, or set null_values if it is one.",
    )
    LOST_DIGITS = (
        "lost_digits",
        "Give all digits as text: a spreadsheet or a float has cut them to a power of ten.",
    )
    NOT_A_NUMBER = "not_a_number", 'Give a finite number; as text like "1234.5".'
    NOT_A_DATE = "not_a_date", "Give a date that exists; as text like YYYY-MM-DD."
    NOT_A_BIRTHDAY = "not_a_birthday", "Give a date that exists; as text like MM/DD."
    NOT_A_PHONE = "not_a_phone", "Give text or digits; a US phone field takes ten digits, after +1 or not."
    NOT_A_ZIP = "not_a_zip", "Give a US ZIP code of five digits; other postcodes need a text field."
    NOT_A_URL = "not_a_url", "Give a whole address: https:// or http://, a host, no spaces."
    NOT_A_CHOICE = "not_a_choice", "Give one of the choices that the audience's field has."
    NOT_AN_ADDRESS = (
        "not_an_address",
        "Give addr1, city, state and zip, and a country by its code (ISO) or name.",
    )


Sendable = str | int | float | dict[str, str]


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that the merge field does not take.

    :param instead: what is sent anyway; ``None`` leaves the field out.
    """

    kind: WarningKind
    instead: Sendable | None = None


Converted = Sendable | Problem | None

Convert = Callable[[object], Converted]

_SURELY_FITS = MAX_TEXT_BYTES // len("😀".encode())


def to_text(value: object) -> Converted:
    """Convert for a text field: trimmed, without control characters, cut between whole characters.

    Numbers are written plainly and 1.0 as "1" (integers with gaps often arrive as floats), booleans as "true"
    and "false", dates and times as in ISO 8601.
    """
    if type(value) is str and len(value) <= _SURELY_FITS and value.isprintable():
        plain = value.strip()
        if not plain or not is_dressed(plain):
            return plain or None
    text = spelled(value)
    if text is None:
        return Problem(WarningKind.NOT_TEXT)
    if text and isinstance(value, str) and len(text) <= _SURELY_FITS and is_dressed(text):
        return undressed(text)
    if len(text) > _SURELY_FITS and len(text.encode()) > MAX_TEXT_BYTES:
        return Problem(WarningKind.TEXT_CUT, _cut(text))
    return text or None


_DAMAGED = "\N{REPLACEMENT CHARACTER}"
"""What sources put in the place of a value that they could not read."""

_DRESS = frozenset(("=", "'", "p", _DAMAGED))


def is_dressed(text: str) -> bool:
    """Whether text may be something else than what was meant, see :func:`undressed`."""
    return text[:1] in _DRESS or ("+" in text and text[0].isdigit())


_FORMULA = re.compile(r'="([^"]*)"')

_APOSTROPHE = re.compile(r"'(?=\+?\d[\d\s().\-/]*$)")

_PHONE_PREFIX = re.compile(r"p:(?=\+?\d[\d\s().\-/]*$)")

_POWER_OF_TEN = re.compile(r"(\d)(?:[.,](\d+))?[Ee]\+?(\d+)", re.ASCII)

_FROM_POWER, _MOST_DIGITS = 6, 20
"""Powers of ten with which numbers are written that were digits, such as phone numbers."""


def undressed(text: str) -> Converted:
    """Take off what spreadsheets and forms put around digits: ="0151", '0151, p:+49151, and 4.9151E+12."""
    if text == _DAMAGED:
        return Problem(WarningKind.NOT_TEXT)
    if found := _FORMULA.fullmatch(text):
        return found[1].strip() or None
    text = _APOSTROPHE.sub("", _PHONE_PREFIX.sub("", text, count=1), count=1)
    if (found := _POWER_OF_TEN.fullmatch(text)) and _FROM_POWER <= int(found[3]) <= _MOST_DIGITS:
        digits = found[1] + (found[2] or "")
        return digits if len(digits) == int(found[3]) + 1 else Problem(WarningKind.LOST_DIGITS)
    return text


def is_nan(value: object) -> bool:
    """Whether a value is the number that is none, which stands for a gap."""
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and isnan(value)


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


def spelled(value: object) -> str | None:
    """Give the value as clean text, "" for a blank, ``None`` for what has no spelling."""
    if value is None or isinstance(value, str):
        return clean(value or "")
    if is_nan(value):
        return ""
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


def clean(text: str) -> str:
    """Return text on one line, without what cannot be sent and without blanks at its ends."""
    if not text.isprintable():
        text = _UNSENDABLE.sub("", _BREAKS_AND_TABS.sub(" ", text))
    return text.strip(_INVISIBLE)
