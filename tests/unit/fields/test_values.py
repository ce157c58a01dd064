"""Conversions by merge field type: what is sent, what is blank, what is a problem."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import nan
from struct import pack, unpack
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mailchimp_export.fields.values import (
    MAX_TEXT_BYTES,
    Narrow,
    Problem,
    WarningKind,
    converter,
    narrowed,
    to_text,
)
from airflow_mailchimp_export.model import MergeField

TYPES = [
    "text",
    "number",
    "address",
    "phone",
    "date",
    "url",
    "imageurl",
    "radio",
    "dropdown",
    "birthday",
    "zip",
    "a_type_of_tomorrow",
]
PLUS_TEN = timezone(timedelta(hours=10))
FAMILY = "👨\u200d👩\u200d👧"
HOME = {"addr1": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701"}

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**400),
    st.floats(),
    st.decimals(),
    st.text(),
    st.text(alphabet=st.characters()),
    st.text(min_size=50, max_size=400),
    st.from_regex(r"[0-9+./:T e-]{1,30}", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}[-/][0-9]{1,4}[-/][0-9]{1,4}(T[0-9:]{0,5})?", fullmatch=True),
    st.from_regex(r"https?://[^ ]{0,20}"),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.times(),
    st.uuids(),
    st.binary(),
    st.lists(st.text()),
    st.dictionaries(
        st.sampled_from(["addr1", "addr2", "city", "state", "zip", "country"]),
        st.none() | st.text() | st.integers() | st.binary() | st.just("US"),
    ),
)


def sent(merge_type: str, value: object, **settings: Any) -> object:
    """Convert a value for a merge field."""
    return converter(MergeField("TAG", "A field", merge_type, **settings))(value)


def is_problem(merge_type: str, kind: WarningKind, value: object, **settings: Any) -> bool:
    """Tell whether a value is a problem of that kind and nothing is sent instead."""
    return sent(merge_type, value, **settings) == Problem(kind)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Zoë", "Zoë"),
        ("  O'Brien\t", "O'Brien"),
        ("\ufeff\u3000李 小龙\u200b", "李 小龙"),
        ("one\r\ntwo\tthree", "one two three"),
        ("nul\x00l, bell\x07, half a pair\ud83d", "null, bell, half a pair"),
        (FAMILY, FAMILY),
        (7, "7"),
        (1.0, "1"),
        (-0.0, "0"),
        (19.99, "19.99"),
        (1e22, "10000000000000000000000"),
        (1e-7, "0.0000001"),
        (np.float64(2.5), "2.5"),
        (Decimal("10.00"), "10.00"),
        (Decimal("1E+3"), "1000"),
        (True, "true"),
        (False, "false"),
        (date(987, 1, 2), "0987-01-02"),
        (datetime(2024, 1, 31, 23, 30, tzinfo=PLUS_TEN), "2024-01-31 23:30:00+10:00"),
        (time(9, 5), "09:05:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_text(value: object, text: str) -> None:
    """Text is trimmed and free of control characters, and other scalars are spelled without artefacts."""
    assert sent("text", value) == text


@pytest.mark.parametrize("value", [None, "", "   ", "\t\n", "\u200b\ufeff", "\x00"])
@pytest.mark.parametrize("merge_type", TYPES)
def test_blank(merge_type: str, value: object) -> None:
    """What nobody can see is blank for every type."""
    assert sent(merge_type, value) is None


@pytest.mark.parametrize(
    "value", [b"x", [1], {}, {"city": "Rome"}, float("-inf"), Decimal("Infinity"), timedelta(1), "\ufffd"]
)
def test_not_text(value: object) -> None:
    """What has no spelling is a problem for a text field."""
    assert is_problem("text", WarningKind.NOT_TEXT, value)


def test_text_limit() -> None:
    """A text of 255 bytes is whole, and one of 256 bytes loses its last character."""
    assert sent("text", "ü" * 127 + "x") == "ü" * 127 + "x"
    assert sent("text", "ü" * 128) == Problem(WarningKind.TEXT_CUT, "ü" * 127)


@pytest.mark.parametrize("sign", ["e\u0301", FAMILY, "👍🏽", "🇩🇪", "☎\ufe0f", "नि"])
@pytest.mark.parametrize("before", [253, 254])
def test_cut_keeps_signs_whole(sign: str, before: int) -> None:
    """A cut never leaves half of what readers see as one sign."""
    assert sent("text", "x" * before + sign) == Problem(WarningKind.TEXT_CUT, "x" * before)


def test_cut_between_flags() -> None:
    """Of a row of flags only whole ones are left."""
    assert sent("text", "🇩🇪" * 40) == Problem(WarningKind.TEXT_CUT, "🇩🇪" * 31)


def test_cut_of_one_endless_sign() -> None:
    """A single sign that is longer than the limit is cut anyway."""
    assert sent("text", "e" + "\u0301" * 200) == Problem(WarningKind.TEXT_CUT, "e" + "\u0301" * 127)


@given(st.text(min_size=60, max_size=300))
@example(FAMILY * 20)
def test_cut_is_a_prefix(text: str) -> None:
    """Whatever is cut is a prefix of the text, valid UTF-8, not empty and at most 255 bytes long."""
    converted = to_text(text)
    cut = converted.instead if isinstance(converted, Problem) else converted
    assert cut is None or (0 < len(str(cut).encode()) <= MAX_TEXT_BYTES)
    if text.isprintable():
        assert text.strip().startswith(str(cut or ""))


@given(st.sampled_from(TYPES), ANYTHING, st.sampled_from(["", "US"]), st.sampled_from(["", "US", "164"]))
def test_conversions_are_total(merge_type: str, value: object, phone_format: str, country: str) -> None:
    """Whatever a source holds, a conversion answers with something that JSON can carry."""
    choices = ("Red", "1", "true")
    converted = sent(merge_type, value, choices=choices, phone_format=phone_format, default_country=country)
    carried = converted.instead if isinstance(converted, Problem) else converted
    assert carried is None or orjson.loads(orjson.dumps(carried)) == carried
    assert carried != ""


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (True, 1),
        (2.5, 2.5),
        (Decimal("10.00"), 10),
        (Decimal("0.25"), 0.25),
        (Decimal(10**17 + 1), 10**17 + 1),
        (2**70, float(2**70)),
        (" 12 ", 12),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("+1e3", 1000),
        ("00000000000000000000012", 12.0),
    ],
)
def test_number(value: object, number: float) -> None:
    """Numbers and plain numeric text are sent as numbers, whole ones exactly."""
    converted = sent("number", value)
    assert converted == number
    assert type(converted) is type(number)


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        Decimal("Infinity"),
        "\ufffd",
        Decimal("1E+400"),
        10**400,
        "1e400",
        "twelve",
        "1,000",
        "1_000",
        "0x10",
        "٣",
        date(2024, 1, 1),
        b"1",
    ],
)
def test_not_a_number(value: object) -> None:
    """What is no finite plain number is a problem for a number field."""
    assert is_problem("number", WarningKind.NOT_A_NUMBER, value)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (date(812, 3, 4), "0812-03-04"),
        (datetime(2024, 1, 31, 23, 30, tzinfo=PLUS_TEN), "2024-01-31"),
        ("2024-02-29", "2024-02-29"),
        (" 2024-02-29T12:30:00Z ", "2024-02-29"),
        ("2024-02-29 12:30:00+02:00", "2024-02-29"),
        ("2024/2/9", "2024-02-09"),
        ("09-02-2024", "2024-02-09"),
        ("02/09/2024", "2024-02-09"),
    ],
)
def test_date(value: object, day: str) -> None:
    """Dates, timestamps in their own zone, and the layouts that Mailchimp documents are sent as ISO 8601."""
    assert sent("date", value) == day


@pytest.mark.parametrize(
    "value",
    ["2023-02-29", "0000-01-01", "31/12/2024", "2024-01/02", "2024-01-02x", "01/02", "1", 20240101, time(1)],
)
def test_not_a_date(value: object) -> None:
    """A date that does not exist, another layout, a number or a time is a problem for a date field."""
    assert is_problem("date", WarningKind.NOT_A_DATE, value)


@pytest.mark.parametrize(
    ("value", "birthday"),
    [
        (date(1980, 2, 29), "02/29"),
        (datetime(1980, 12, 1, 8, 0), "12/01"),
        ("1980-02-03", "02/03"),
        ("2/29", "02/29"),
        ("12-24", "12/24"),
    ],
)
def test_birthday(value: object, birthday: str) -> None:
    """Dates and text become month and day, the leap day included."""
    assert sent("birthday", value) == birthday


@pytest.mark.parametrize("value", ["02/30", "24/12", "1981-02-29", "May 5", 505])
def test_not_a_birthday(value: object) -> None:
    """A day that no year has is a problem for a birthday field."""
    assert is_problem("birthday", WarningKind.NOT_A_BIRTHDAY, value)


@pytest.mark.parametrize(
    ("value", "phone"),
    [(" +49 30 1234 ", "+49 30 1234"), (49301234, "49301234"), (49301234.0, "49301234"), (Decimal(49), "49")],
)
def test_phone(value: object, phone: str) -> None:
    """A phone field of the free format takes text as it is and numbers as digits."""
    assert sent("phone", value, phone_format="none") == phone


@pytest.mark.parametrize("value", [-1, 1.5, True, date(2024, 1, 1), ["1"]])
def test_not_a_phone(value: object) -> None:
    """What is neither text nor a whole number is a problem for a phone field."""
    assert is_problem("phone", WarningKind.NOT_A_PHONE, value)


def test_long_phone() -> None:
    """A phone text of the free format is cut like any text."""
    assert sent("phone", "5" * 300) == Problem(WarningKind.TEXT_CUT, "5" * 255)


@pytest.mark.parametrize(
    "value", ["(212) 555-1212", "212.555.1212", "+1 212 555 1212", 12125551212, 2125551212.0]
)
def test_us_phone(value: object) -> None:
    """A phone field of the US format gets NNN-NNN-NNNN."""
    assert sent("phone", value, phone_format="US") == "212-555-1212"


@pytest.mark.parametrize("value", ["555-1212", "+2125551212", "212-555-1212 ext 5", "+49 30 123456", True])
def test_not_a_us_phone(value: object) -> None:
    """Anything but ten digits, or eleven that begin with 1, is a problem for a US phone field."""
    assert is_problem("phone", WarningKind.NOT_A_PHONE, value, phone_format="US")


@pytest.mark.parametrize(
    ("value", "code"),
    [("02134", "02134"), (2134, "02134"), (1234.0, "01234"), ("02134-1000", "02134"), ("021341000", "02134")],
)
def test_zip(value: object, code: str) -> None:
    """A zip is five digits: numbers get their zeros back, and the four more are dropped."""
    assert sent("zip", value) == code


@pytest.mark.parametrize("value", ["1234", "SW1A 1AA", "123456", 123456, -1, True, date(2024, 1, 1)])
def test_not_a_zip(value: object) -> None:
    """What is no US ZIP code is a problem for a zip field."""
    assert is_problem("zip", WarningKind.NOT_A_ZIP, value)


@pytest.mark.parametrize(
    "value",
    ["https://example.org", "HTTP://user@example.org:8080/a?b=c#d", "https://münchen.de/ü", "http://[::1]/x"],
)
@pytest.mark.parametrize("merge_type", ["url", "imageurl"])
def test_url(merge_type: str, value: str) -> None:
    """A whole web address is sent as it is."""
    assert sent(merge_type, value) == value


@pytest.mark.parametrize(
    "value", ["example.org", "ftp://example.org", "https://", "https:///x", "https://a b.org", 1]
)
def test_not_a_url(value: object) -> None:
    """Without a web scheme, a host or with a space it is a problem for a url field."""
    assert is_problem("url", WarningKind.NOT_A_URL, value)


@pytest.mark.parametrize(
    ("value", "choice"),
    [("Red", "Red"), (" red ", "Red"), ("s", "s"), ("S", "S"), (2.0, "2"), (True, "True")],
)
@pytest.mark.parametrize("merge_type", ["radio", "dropdown"])
def test_choice(merge_type: str, value: object, choice: str) -> None:
    """A choice is found whatever its case, and sent in the audience's spelling."""
    assert sent(merge_type, value, choices=("Red", "s", "S", "2", "True")) == choice


@pytest.mark.parametrize(
    ("value", "choices"), [("blue", ("Red",)), ("RED", ("Red", "red")), ("x", ()), ([1], ("",))]
)
def test_not_a_choice(value: object, choices: tuple[str, ...]) -> None:
    """What is no choice, or could be two of them, is a problem for a dropdown field."""
    assert is_problem("dropdown", WarningKind.NOT_A_CHOICE, value, choices=choices)


def test_address() -> None:
    """A whole address is sent with its parts as clean text, blank ones left out, the country in capitals."""
    given_parts = HOME | {
        "addr1": " 1 Main\nSt ",
        "zip": 62701,
        "addr2": " ",
        "country": "us",
        "planet": "Earth",
    }
    assert sent("address", given_parts) == HOME | {"country": "US"}


@pytest.mark.parametrize(("default", "country"), [("de", {"country": "DE"}), ("164", {}), ("", {})])
def test_address_country(default: str, country: dict[str, str]) -> None:
    """The audience's default country is filled in where it is an ISO code."""
    assert sent("address", HOME, default_country=default) == HOME | country


def test_blank_address() -> None:
    """An address is blank when all its parts are."""
    assert sent("address", {"addr1": " ", "city": None, "other": "x"}, default_country="US") is None


@pytest.mark.parametrize(
    "change", [{"city": ""}, {"zip": None}, {"state": b"IL"}, {"country": "Narnia"}, {"country": ""}]
)
def test_not_an_address(change: dict[str, object]) -> None:
    """An address that lacks a part, or whose country is blank or unknown, is a problem."""
    assert is_problem("address", WarningKind.NOT_AN_ADDRESS, HOME | change)


@pytest.mark.parametrize(
    ("country", "code"),
    [
        *(
            ("Germany", "DE"),
            ("DEU", "DE"),
            ("deu", "DE"),
            ("de", "DE"),
            ("Deutschland", "DE"),
            (" Sverige ", "SE"),
        ),
        *(("United States", "US"), ("USA", "US"), ("UK", "GB"), ("Türkiye", "TR"), ("Österreich", "AT")),
    ],
)
def test_countries(country: str, code: str) -> None:
    """A country is taken by its name or a code, and sent as its two letters."""
    assert sent("address", HOME | {"country": country}, default_country="us") == HOME | {"country": code}


@pytest.mark.parametrize("country", [None, "", "  ", "Narnia", "XX"])
def test_a_country_that_nobody_knows(country: str | None) -> None:
    """Where the source tells countries, one that is blank or unknown makes nobody an American."""
    converted = sent("address", HOME | {"country": country}, default_country="us")
    assert converted == Problem(WarningKind.NOT_AN_ADDRESS)


@pytest.mark.parametrize("value", [float("nan"), Decimal("NaN"), Decimal("sNaN")])
@pytest.mark.parametrize("merge_type", TYPES)
def test_nan_is_a_blank(merge_type: str, value: object) -> None:
    """A gap among numbers is a blank for every type."""
    assert sent(merge_type, value) is None


@pytest.mark.parametrize("merge_type", ["text", "phone"])
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ('="0151"', "0151"),
        ("'01234", "01234"),
        ("'+17755550154", "+17755550154"),
        ("p:+46700005566", "+46700005566"),
        ("4.915112345678E+12", "4915112345678"),
        ("4,915112345678E+12", "4915112345678"),
        ('=""', None),
        ("'n Stuk", "'n Stuk"),
        ("p: 12 Main St", "p: 12 Main St"),
        ("12 + 1", "12 + 1"),
    ],
)
def test_dressed_digits(merge_type: str, value: str, plain: str | None) -> None:
    """What spreadsheets and forms put around digits is taken off, and nothing else."""
    assert sent(merge_type, value, phone_format="none") == plain


@pytest.mark.parametrize("merge_type", ["text", "phone", "zip"])
@pytest.mark.parametrize("value", ["4.91511E+12", "4,91511E+12", "5E+11"])
def test_lost_digits(merge_type: str, value: str) -> None:
    """A number of which a spreadsheet cut digits is a problem, not another number."""
    assert sent(merge_type, value) == Problem(WarningKind.LOST_DIGITS)


@pytest.mark.parametrize("value", ["'01234", '="01234"', "01234-5678"])
def test_dressed_zips(value: str) -> None:
    """Postcodes keep their zeros in front."""
    assert sent("zip", value) == "01234"


@pytest.mark.parametrize(
    "value", [date(1899, 12, 30), date(1900, 1, 1), date(9999, 12, 31), "1900-01-01 00:00:00", "0/0/00"]
)
def test_days_that_nobody_was_born_on(value: object) -> None:
    """What stands in databases and spreadsheets for no day is no birthday."""
    assert is_problem("birthday", WarningKind.NOT_A_BIRTHDAY, value)


def test_text_is_not_an_address() -> None:
    """An address field does not take one text."""
    assert is_problem("address", WarningKind.NOT_AN_ADDRESS, "1 Main St, Springfield")


def test_narrow_floats() -> None:
    """A number of a 32-bit column is sent as it was written there, and other values are left alone."""
    to_number = narrowed(converter(MergeField("PRICE", "Price", "number")), Narrow.SINGLE)
    assert to_number(float(np.float32(19.99))) == 19.99
    assert to_number(16777216.0) == 16777216
    assert to_number(nan) is None
    assert to_number(7) == 7
    assert to_number(None) is None


@pytest.mark.parametrize(
    ("kind", "digits", "layout"), [(Narrow.SINGLE, 6, "f"), (Narrow.HALF, 3, "e")], ids=["single", "half"]
)
@given(data=st.data())
def test_narrow_floats_as_written(kind: Narrow, digits: int, layout: str, data: st.DataObject) -> None:
    """As many digits as every narrow float holds come back as they were written."""
    written = data.draw(st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda whole: whole / 100))
    widened = unpack(layout, pack(layout, written))[0]
    assert narrowed(lambda value: value, kind)(widened) == written


@pytest.mark.parametrize(("kind", "width"), [(Narrow.SINGLE, 32), (Narrow.HALF, 16)], ids=["single", "half"])
@given(data=st.data())
def test_narrow_floats_stay_what_they_are(kind: Narrow, width: Any, data: st.DataObject) -> None:
    """What is sent of a narrow float is the same narrow float again."""
    layout = "f" if kind is Narrow.SINGLE else "e"
    value = data.draw(st.floats(width=width, allow_nan=False, allow_infinity=False))
    sent = narrowed(lambda value: value, kind)(value)
    assert unpack(layout, pack(layout, sent)) == (value,)
