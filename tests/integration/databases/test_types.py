"""What PostgreSQL and MariaDB hold, as Arrow has it: nothing is lost without a word."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source
from tests.kit.databases import Database, mariadb, postgres

FAR = "32000-01-01"

POSTGRES = {
    "small": ("1::int2", "int16", "1"),
    "long": ("'-9223372036854775808'::int8", "int64", "-9223372036854775808"),
    "flag": ("true", "bool", "true"),
    "single": ("0.1::float4", "float", "0.1"),
    "double": ("0.1::float8", "double", "0.1"),
    "price": ("1.5::numeric(12,2)", "decimal128(12, 2)", "1.50"),
    "wide": ("1::numeric(60,1)", "decimal256(60, 1)", "1.0"),
    "any_number": ("1.2345678901234567890123456789::numeric", "string", "1.2345678901234567890123456789"),
    "no_number": ("'NaN'::numeric", "string", None),
    "no_price": ("'NaN'::numeric(5,2)", "decimal128(5, 2)", None),
    "day": ("'2024-02-29'::date", "date32[day]", "2024-02-29"),
    "forever": ("'infinity'::date", "date32[day]", FAR),
    "long_ago": ("'0044-03-15 BC'::date", "date32[day]", FAR),
    "moment": ("'2024-01-02 03:04:05.678901'::timestamp", "timestamp[us]", "2024-01-02 03:04:05.678901"),
    "zoned": (
        "'2024-01-02 03:04:05+05:30'::timestamptz",
        "timestamp[us, tz=UTC]",
        "2024-01-01 21:34:05.000000Z",
    ),
    "always": ("'-infinity'::timestamptz", "timestamp[us, tz=UTC]", f"{FAR} 00:00:00.000000Z"),
    "id": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "json": ("""'{"a": [1,"x"]}'::json""", "string", '{"a": [1,"x"]}'),
    "jsonb": ("""'{"a":[1,"x"]}'::jsonb""", "string", '{"a": [1, "x"]}'),
    "json_null": ("'null'::jsonb", "string", None),
    "text": ("'é'", "string", "é"),
    "char": ("'x'::char(3)", "string", "x  "),
    "array": ("array[['a\"b','c,d'],[null,'NULL']]", "string", '[["a\\"b","c,d"],[null,"NULL"]]'),
    "numbers": ("array[1.50,null]", "string", "[1.50,null]"),
    "kinds": ("array['gold'::tier, null]", "string", '["gold",null]'),
    "ranges": ("array[int4range(1,5)]", "string", '["[1,5)"]'),
    "time": ("'03:04'::time", "string", "03:04:00"),
    "interval": ("'1 day 2 hours'::interval", "string", "1 day 02:00:00"),
    "address": ("'10.0.0.1'::inet", "string", "10.0.0.1"),
    "range": ("int4range(1,5)", "string", "[1,5)"),
    "row": ("row(1,'a')", "string", "(1,a)"),
    "kind": ("'gold'::tier", "string", "gold"),
    "nothing": ("null", "string", None),
}

MARIADB = {
    "small": ("tinyint(1)", "1", "int64", "1"),
    "long": ("bigint unsigned", "18446744073709551615", "uint64", "18446744073709551615"),
    "flag": ("bit(1)", "b'1'", "uint64", "1"),
    "bits": ("bit(9)", "b'100000001'", "uint64", "257"),
    "single": ("float", "0.1", "float", "0.1"),
    "twice": ("double", "0.1", "double", "0.1"),
    "price": ("decimal(12,2)", "-1.5", "decimal128(12, 2)", "-1.50"),
    "wide": ("decimal(60,1) unsigned", "1", "decimal256(60, 1)", "1.0"),
    "day": ("date", "'2024-02-29'", "date32[day]", "2024-02-29"),
    "no_day": ("date", "'0000-00-00'", "date32[day]", None),
    "part_of_a_day": ("date", "'2024-02-00'", "date32[day]", FAR),
    "moment": ("datetime(6)", "'2024-01-02 03:04:05.678901'", "timestamp[us]", "2024-01-02 03:04:05.678901"),
    "stamp": ("timestamp", "'2024-01-02 03:04:05'", "timestamp[us]", "2024-01-02 03:04:05.000000"),
    "year_": ("year", "2024", "uint64", "2024"),
    "time_": ("time", "'-838:59:59'", "string", "-838:59:59"),
    "json_": ("json", """'{"a": [1]}'""", "string", '{"a": [1]}'),
    "text_": ("text", "'é'", "string", "é"),
    "latin": ("varchar(5) charset latin1", "'é'", "string", "é"),
    "by_bytes": ("varchar(5) collate utf8mb4_bin", "'é'", "string", "é"),
    "bytes_of_text": ("blob", "'é'", "string", "é"),
    "kind": ("enum('silver','gold')", "'gold'", "string", "gold"),
    "kinds": ("set('a','b')", "'a,b'", "string", "a,b"),
    "nothing": ("int", "null", "int64", None),
}

postgres_drivers = pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
mariadb_drivers = pytest.mark.parametrize("driver", ["mysqlclient", "mysql-connector"])


def opened(database: Database, driver: str, sql: str, *columns: str, **more: Any) -> Source:
    """A query as the segment VIP."""
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql, **more}})
    return open_source(segment, columns, connection_factory=lambda conn_id: database.connect(driver))


def read(source: Source) -> pa.Table:
    """All rows of a source."""
    return pa.Table.from_batches(list(source.batches()), source.schema)


def told(table: pa.Table) -> dict[str, tuple[str, str | None]]:
    """The type of each column, and its first value as text."""
    return {
        field.name: (str(field.type), table.column(field.name).cast(pa.string()).to_pylist()[0])
        for field in table.schema
    }


@postgres_drivers
def test_postgresql(postgresql: Database, driver: str) -> None:
    """PostgreSQL's types have their like in Arrow, or are the text that it writes, arrays as JSON."""
    postgresql.run("drop type if exists tier", "create type tier as enum ('silver', 'gold')")
    sql = "select " + ", ".join(f"{written} as {name}" for name, (written, *_) in POSTGRES.items())
    source = opened(postgresql, driver, sql, *POSTGRES)
    assert told(read(source)) == {name: tuple(expected) for name, (_, *expected) in POSTGRES.items()}


@postgres_drivers
def test_sessions_that_write_days_otherwise(driver: str) -> None:
    """How the session of a user writes days and letters makes no difference, and its zone stays its own."""
    moment = "'2024-02-03 12:00+00'::timestamptz"
    sql = f"select '2024-02-03'::date d, {moment} z, to_char({moment}, 'HH24') h, 'é' t"
    with postgres(datestyle="german", timezone="Asia/Kolkata", client_encoding="latin1") as database:
        found = told(read(opened(database, driver, sql, *"dzht", adbc=False)))
    assert [value for _, value in found.values()] == ["2024-02-03", "2024-02-03 12:00:00.000000Z", "17", "é"]


ADBC = """
select * from (values
    (true, 1::int2, 2::int4, 3::int8, 0.1::float4, 0.1::float8, 1.50, 'x'::text, 'y'::char(3), 'é'::varchar(3),
     '2024-02-29'::date, '2024-01-02 03:04:05.678901'::timestamp, '2024-01-02 03:04:05+05:30'::timestamptz,
     '{"a": [1,"x"]}'::json, '{"a": [1,"x"]}'::jsonb, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid),
    (null, null, null, null, 'NaN', 'NaN', 'NaN', null, null, null, 'infinity', 'infinity', 'infinity',
     null, null, null),
    (false, -1, -1, -1, '-infinity', 1e308, 'Infinity', '', '', '', '-infinity', '-infinity', '-infinity',
     'null', 'null', null),
    (false, -1, -1, -1, 1e10, 1e-300, 1e40, '', '', '', '0044-03-15 BC', '4714-11-24 BC', '4714-11-24 BC',
     '1', '1', null),
    (false, -1, -1, -1, 1e10, 1e-300, 0.000001, '', '', '', '0001-01-01', '0001-01-01', '0001-01-01 00:00+00',
     '1', '1', null),
    (false, -1, -1, -1, 1e10, 1e-300, 120.00, '', '', '', '9999-12-31', '9999-12-31 23:59:59.999999',
     '9999-12-31 23:59:59.999999+00', '1', '1', null),
    (false, -1, -1, -1, 1e10, 1e-300, 0, '', '', '', '294276-12-31', '294276-12-31', '294276-12-31', '1', '1', null)
) as t"""


@postgres_drivers
def test_adbc(postgresql: Database, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ADBC reads is what a cursor reads, to the last bit and with the same types."""
    pytest.importorskip("adbc_driver_postgresql")
    columns = list("abcdefghijklmnop")
    both = [
        read(opened(postgresql, driver, f"{ADBC}({', '.join(columns)})", *columns, adbc=on))
        for on in (True, False)
    ]
    assert both[0].schema.equals(both[1].schema, check_metadata=True)
    # Text, because NaN is not equal to itself.
    for column in columns:
        by_adbc, by_cursor = (table.column(column).cast(pa.string()).to_pylist() for table in both)
        assert by_adbc == by_cursor, column


def test_numbers_by_adbc(postgresql: Database) -> None:
    """However many digits a number has, ADBC and a cursor spell it alike."""
    pytest.importorskip("adbc_driver_postgresql")
    dice = random.Random(7)
    numbers = ["0", "-0.00", "100000", "1e-20", "1e30", "1000000.0000"]
    numbers += [
        f"{dice.randint(-(10 ** dice.randint(1, 30)), 10**30)}.{dice.randint(0, 10**12)}"
        for _ in range(2_000)
    ]
    sql = f"select a::numeric a, a::numeric(50,10) b from unnest(array[{','.join(numbers)}]::numeric[]) a"
    by_adbc, by_cursor = (read(opened(postgresql, "psycopg", sql, "a", "b", adbc=on)) for on in (True, False))
    assert by_adbc.equals(by_cursor)
    assert by_adbc.num_rows == len(numbers)


@mariadb_drivers
def test_mariadb(maria: Database, driver: str) -> None:
    """MariaDB's types have their like in Arrow, or are the text that it writes."""
    maria.run(
        "set sql_mode = ''",
        "create or replace table kinds ("
        + ", ".join(f"`{name}` {kind}" for name, (kind, *_) in MARIADB.items())
        + ")",
        f"insert into kinds values ({', '.join(value for _, value, *_ in MARIADB.values())})",
    )
    found = told(read(opened(maria, driver, "select * from kinds", *MARIADB)))
    expected = {name: tuple(expected) for name, (_, _, *expected) in MARIADB.items()}
    if driver == "mysql-connector":
        # It does not tell how many digits a decimal has.
        expected |= {"price": ("string", "-1.50"), "wide": ("string", "1.0")}
    assert found == expected


@mariadb_drivers
def test_letters_of_mariadb(driver: str) -> None:
    """Letters of a query, of its parameters and of its rows arrive, whatever the connection was made for."""
    sql = "select 'é' a, %(b)s b, '佳子' c, 'é' = %(b)s d"
    with mariadb("latin1") as database:
        found = told(read(opened(database, driver, sql, *"abcd", parameters={"b": "é"})))
    assert [value for _, value in found.values()] == ["é", "é", "佳子", "1"]


@postgres_drivers
def test_bytes_of_postgresql(postgresql: Database, driver: str) -> None:
    """Bytes are refused where they are mapped, with what to do, and let be where they are not."""
    sql = "select 'x' as email, '\\x00ff'::bytea as photo, array['\\x00'::bytea] as photos"
    assert read(opened(postgresql, driver, sql, "email")).num_rows == 1
    for column in ("photo", "photos"):
        with pytest.raises(
            SourceError, match=f"segment 'VIP': column '{column}' holds bytes, .* cast it to text"
        ):
            opened(postgresql, driver, sql, column)


@mariadb_drivers
def test_bytes_of_mariadb(maria: Database, driver: str) -> None:
    """So they are in MariaDB, unless they are text."""
    sql = "select 'x' as email, cast(x'00ff' as binary(2)) as photo"
    assert read(opened(maria, driver, sql, "email")).num_rows == 1
    with pytest.raises(SourceError, match=r"segment 'VIP': column 'photo' holds bytes, .* cast it to text"):
        read(opened(maria, driver, sql, "photo"))
