"""Plain values written by SQL, held against the conversions in Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.database import connect
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.fields.mapper import FieldMapper, ProfileBlock
from airflow_mailchimp_export.mailchimp.wire import MemberEncoder
from airflow_mailchimp_export.model import Audience, Member, MergeField

ADA = "ada@mail.eu"
TAGS = ("VIP", "O\"Brien's")

TYPES = {
    "text": MergeField("F", "F", "text"),
    "unheard_of": MergeField("F", "F", "unheard_of"),
    "required": MergeField("F", "F", "text", required=True),
    "number": MergeField("F", "F", "number"),
    "date": MergeField("F", "F", "date"),
    "birthday": MergeField("F", "F", "birthday"),
    "phone": MergeField("F", "F", "phone"),
    "us_phone": MergeField("F", "F", "phone", phone_format="US"),
    "zip": MergeField("F", "F", "zip"),
    "url": MergeField("F", "F", "url"),
    "imageurl": MergeField("F", "F", "imageurl"),
    "radio": MergeField(
        "F", "F", "radio", choices=("Gold", " Tin", "it's", 'a "b"', "7", "true", "gold", "")
    ),
    "dropdown": MergeField("F", "F", "dropdown", required=True, choices=("Zoë", "\u2003wide", "")),
}
"""Of each type of merge field one, and one of a type that nobody knows."""

BLANKS: Sequence[Any] = (
    "column",
    {"column": "column", "blank": "clear"},
    {"column": "column", "default": "7"},
    {"column": "column", "default": "it's {value}"},
)

AWKWARD = (
    *(
        "",
        " ",
        "\t",
        "\xa0",
        "a\tb",
        "a\nb",
        "\x7f",
        "a\x85b",
        "\u2028",
        "a\u2028b",
        "a\u200b",
        "\ufeffa",
        "\x00",
    ),
    *(
        "=",
        "'",
        "p",
        "p:",
        "p:+49151",
        "'0151",
        '="0151"',
        "4.9E+12",
        "4+",
        "+49 151",
        "\ufffd",
        "a\ufffd",
        "²+",
    ),
    *('a"b', "a\\b", "Zoë", "山田", "e\u0301", "👩\u200d👩\u200d👧", "\U0001f1e9\U0001f1ea", "ﬃ", "İ", "ΑΣ"),
    *(
        "x" * 63,
        "x" * 64,
        "x" * 255,
        "x" * 256,
        "ë" * 127,
        "ë" * 128,
        "😀" * 64,
        "=" + "x" * 64,
        "p:" + "1" * 64,
    ),
    *("0", "-0", "00", "1", "-1", "+1", "1.0", "1.50", "0.1", ".5", "5.", "1e5", "1E400", "9" * 15, "9" * 19),
    *("123456789.1234", "1234567890.12345", "0.0001", "0.00001", "nan", "inf", "1,5", " 7 ", "٣"),
    *("2024-02-29", "2023-02-29", "0000-01-01", "0999-12-31", "1000-01-01", "9999-12-31", "10000-01-01"),
    *(
        "1900-01-01",
        "1899-12-30",
        "0001-01-01",
        "2024-2-9",
        "2024/02/09",
        "29.02.2024",
        "2024-02-29T10:00:00",
    ),
    *("02/29", "02/30", "2/9", "12-31", "13/01", "31/12", "11/31", "04/30", "00/10", "10/00", "02/29/2024"),
    *(
        "212-555-0100",
        "(212) 555-0100",
        "+12125550100",
        "212-555-01000",
        "12345",
        "12345-6789",
        "1234",
        "١٢٣٤٥",
    ),
    *("https://a.eu", "http://a.eu:80/x?y=1#z", "https://", "https://a eu", "ftp://a.eu", "https://a.eu/ü"),
    *(
        "https://u@a.eu/",
        "HTTPS://A.EU",
        "https://a.eu/[x]",
        "https://a.eu/" + "x" * 300,
        "http://.",
        "https://-",
    ),
    *("Gold", "gold", "GOLD", " Gold", " Tin", "Tin", "it's", 'a "b"', "zoë", "wide", "true", "TRUE", "7"),
)

PLAIN = {
    ("text", "string"): ["Ada", "Zoë", "O'Brien", "de la Cruz", "佳子", "peter", "+49 151", None, ""],
    ("number", "string"): ["0", "-12", "1.5", "123456.25"],
    ("date", "string"): ["2024-02-29"],
    ("birthday", "string"): ["2024-02-29", "02/29"],
    ("phone", "string"): ["+49 151 23", "0151-23"],
    ("us_phone", "string"): ["212-555-0100"],
    ("zip", "string"): ["01234"],
    ("url", "string"): ["https://mail.eu/a?b=c&d=%20"],
    ("radio", "string"): ["Gold", "it's"],
    ("dropdown", "string"): ["Zoë"],
    ("text", "int64"): [0, -5, 2**40],
    ("number", "int64"): [0, -5, 2**40],
    ("zip", "int64"): [1234, 0],
    ("text", "double"): [0.0, -0.0, 5.0, 19.99, None],
    ("number", "double"): [0.0, -0.0, 5.0, 19.99, -2.5],
    ("text", "decimal128(10, 2)"): [Decimal("0.50"), Decimal("-3.00")],
    ("number", "decimal128(10, 2)"): [Decimal("0.50"), Decimal("-3.00"), Decimal("100.00")],
    ("number", "decimal128(20, 0)"): [Decimal(0), Decimal(100), Decimal(-70)],
    ("text", "bool"): [True, False],
    ("number", "bool"): [True, False],
    ("radio", "bool"): [True],
    ("date", "date32[day]"): [date(2024, 2, 29), date(1, 1, 1)],
    ("birthday", "date32[day]"): [date(2024, 2, 29), None],
    ("text", "date32[day]"): [date(987, 6, 5)],
    ("date", "timestamp[us]"): [datetime(1969, 12, 31, 23, 59, 59, 999_999)],
    ("birthday", "timestamp[ms]"): [datetime(2024, 12, 31, 23, 59)],
}
"""What SQL has to write by itself, or else nothing is won."""

INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100_001)
FLOATS = (
    st.floats()
    | st.integers(-(10**16), 10**16).map(float)
    | st.decimals(-(10**9), 10**9, places=4, allow_nan=False).map(float)
    | st.sampled_from([1e15, 1e16, -0.0, 5e-324, 2.0**53, 123456789.12345])
)
DAYS = st.dates() | st.sampled_from([date(1, 1, 1), date(9999, 12, 31), date(1900, 1, 1), date(1899, 12, 31)])
MOMENTS = st.datetimes() | DAYS.map(lambda day: datetime(day.year, day.month, day.day))


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    """Decimals of so many digits, of which some stand behind the point."""
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda number: Decimal(number).scaleb(-places))


KINDS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text()
    | st.sampled_from(AWKWARD)
    | st.tuples(*[st.sampled_from(AWKWARD)] * 2).map("".join),
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int64(): INTEGERS,
    pa.float64(): FLOATS,
    pa.float32(): st.floats(width=32),
    pa.decimal128(10, 2): decimals(10, 2),
    pa.decimal128(20, 0): decimals(20, 0),
    pa.decimal128(14, 4): decimals(14, 4),
    pa.decimal128(5, 5): decimals(5, 5),
    pa.bool_(): st.booleans(),
    pa.date32(): DAYS,
    pa.timestamp("us"): MOMENTS,
    pa.timestamp("s"): MOMENTS.map(lambda moment: moment.replace(microsecond=0)),
    pa.timestamp("us", "UTC"): MOMENTS,
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database such as runs have."""
    path: Path = tmp_path_factory.mktemp("plain") / "plain.duckdb"
    with connect(path) as opened:
        yield opened


def mapper_for(field: MergeField, kind: pa.DataType, blank: Any = "column") -> FieldMapper | None:
    """Map a column of a type to a merge field; nothing where that cannot be."""
    schema = pa.schema([("email", pa.string()), ("column", kind)])
    audience = Audience("a1b2c3d4e5", "People", merge_fields={"F": field})
    field_map = parse_field_map({"EMAIL": "email", "F": blank})
    target = field_map.targets[0]
    return None if [*target.problems(audience, schema)] else field_map.resolve(audience, schema)


def by_sql(connection: duckdb.DuckDBPyConnection, mapper: FieldMapper, values: pa.Array) -> list[str | None]:
    """Write members by SQL, each of one value; nothing for whoever is left to Python."""
    written = mapper.member_sql(
        lambda position: f"field_{position}", email=f"'{ADA}'", status="'subscribed'", tail="$tail"
    )
    if written is None:
        return [None] * len(values)
    connection.register("incoming", pa.table({"row": pa.array(range(len(values))), "field_1": values}))
    query = f"SELECT {written} FROM incoming ORDER BY row"
    return [text for (text,) in connection.execute(query, {"tail": MemberEncoder.tail(TAGS)}).fetchall()]


def by_python(mapper: FieldMapper, values: pa.Array) -> list[str | None]:
    """Write the same members by the conversions; nothing for rejects."""
    known = len(values)
    block = ProfileBlock(
        ["a"] * known, [ADA] * known, ["subscribed"] * known, [TAGS] * known, [[], values.to_pylist()]
    )
    members = mapper.to_members(block)
    return [member.payload.decode() if isinstance(member, Member) else None for member in members]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", TYPES)
class TestBothWays:
    """Whatever SQL writes, Python would have written."""

    @settings(max_examples=20, deadline=None)
    @given(data=st.data())
    def test_what_sql_writes_is_what_python_writes(
        self, connection: duckdb.DuckDBPyConnection, name: str, kind: pa.DataType, data: st.DataObject
    ) -> None:
        """To the byte, for each type of merge field and column, with each kind of blank, warnings included."""
        mapper = mapper_for(TYPES[name], kind, data.draw(st.sampled_from(BLANKS)))
        if mapper is None:
            return
        values = pa.array(data.draw(st.lists(st.none() | KINDS[kind], min_size=1, max_size=30)), kind)
        compare(mapper, values, by_sql(connection, mapper, values))


def compare(mapper: FieldMapper, values: pa.Array, written: Sequence[str | None]) -> None:
    """Compare what is plain with what Python makes of it, which warns of none of it."""
    plain = [row for row, text in enumerate(written) if text is not None]
    chosen = values.take(pa.array(plain, pa.int64()))
    assert by_python(mapper, chosen) == [written[row] for row in plain], chosen
    assert mapper.warnings == (), chosen


@pytest.mark.parametrize("blank", BLANKS, ids=["keep", "clear", "default", "template"])
@pytest.mark.parametrize("name", TYPES)
def test_awkward_text(connection: duckdb.DuckDBPyConnection, name: str, blank: Any) -> None:
    """Every awkward text there is, alone and before and behind others."""
    mapper = mapper_for(TYPES[name], pa.string(), blank)
    if mapper is None:
        return
    dressed = [f"{one}{text}{two}" for text in AWKWARD for one in ("", "a", " ") for two in ("", "1", " ")]
    values = pa.array([None, *dressed, *map(chr, (*range(0xD800), *range(0xE000, 0x10000)))], pa.string())
    written = by_sql(connection, mapper, values)
    compare(mapper, values, written)
    assert any(text is not None for text in written)


@pytest.mark.parametrize(("name", "kind"), PLAIN, ids=lambda part: part)
def test_plain_values_need_no_python(connection: duckdb.DuckDBPyConnection, name: str, kind: str) -> None:
    """SQL does what most rows have."""
    arrow = next(one for one in (*KINDS, pa.timestamp("ms")) if str(one) == kind)
    mapper = mapper_for(TYPES[name], arrow)
    assert mapper is not None
    values = pa.array(PLAIN[name, kind], arrow)
    written = by_sql(connection, mapper, values)
    assert None not in written, values
    compare(mapper, values, written)
