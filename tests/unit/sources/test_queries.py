"""Segments in databases: SQLite, drivers of which nothing is known, and what databases write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.databases import values
from airflow_mailchimp_export.sources.databases.arrays import Element, as_json
from airflow_mailchimp_export.sources.databases.result import FETCH_ROWS
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source


def opened(connect: Callable[[str], Any], sql: str, *columns: str, **more: Any) -> Source:
    """A query as the segment VIP."""
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": sql, **more}})
    return open_source(segment, columns or ("email",), connection_factory=connect)


def read(source: Source) -> list[dict[str, Any]]:
    """All rows of a source."""
    return [row for batch in source.batches() for row in batch.to_pylist()]


class Fake:
    """A driver as PEP 249 has it, which hands over given rows and then breaks.

    :ivar fetched: how many rows were asked for, each time.
    """

    def __init__(
        self, *rows: Sequence[Any], names: Sequence[str] = ("email",), breaks: Exception | None = None
    ) -> None:
        self.rows, self.breaks = list(rows), breaks
        self.names = names
        self.description: Any = None
        self.fetched: list[int] = []
        self.closed = False

    def __call__(self, conn_id: str) -> Fake:
        """Be the connection of an id."""
        return self

    def cursor(self) -> Fake:
        """Be the only cursor."""
        return self

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Describe the columns."""
        self.description = [(name, None, None, None, None, None, None) for name in self.names]

    def fetchmany(self, size: int) -> list[Sequence[Any]]:
        """Hand over the next rows, or break."""
        self.fetched.append(size)
        if not self.rows and self.breaks:
            raise self.breaks
        rows, self.rows = self.rows[:size], self.rows[size:]
        return rows

    def close(self) -> None:
        """Note it."""
        self.closed = True


class TestRows:
    """What is read of a query."""

    def test_sqlite(self, tmp_path: Path) -> None:
        """Only the wanted columns are read, in the wanted order, and as often as is asked."""
        path = tmp_path / "crm.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table people (id integer, email text, score real)")
            connection.execute("insert into people values (7, 'ada@mail.eu', 2.0), (8, null, 0.1)")
            connection.commit()
        sql = "select * from people where id > ?;"
        source = opened(lambda conn_id: sqlite3.connect(path), sql, "email", "score", parameters=[1])
        expected = [{"email": "ada@mail.eu", "score": "2"}, {"email": None, "score": "0.1"}]
        assert read(source) == expected
        assert read(source) == expected
        assert source.locate(1) == "row 2"

    def test_nobody(self) -> None:
        """A query without rows is a segment of nobody."""
        assert read(opened(Fake(), "select email from people")) == []

    def test_values(self) -> None:
        """Each value is spelled as files spell it."""
        given = {
            "n": None,
            "t": "x",
            "b": True,
            "i": 10**30,
            "f": 3.0,
            "d": Decimal("1E+3"),
            "day": date(2026, 1, 2),
            "moment": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "time": time(3, 4),
            "uuid": UUID(int=1),
            "json": {"a": [1, None]},
            "list": ["é"],
            "bytes": b"ab",
        }
        # Another row keeps a column from being of one type.
        rows = [list(given.values()), ["x"] * len(given)]
        source = opened(Fake(*rows, names=list(given)), "select 1", *given)
        assert read(source)[0] == {
            "n": None,
            "t": "x",
            "b": "true",
            "i": "1000000000000000000000000000000",
            "f": "3",
            "d": "1000",
            "day": "2026-01-02",
            "moment": "2026-01-02 03:04:00+00:00",
            "time": "03:04:00",
            "uuid": "00000000-0000-0000-0000-000000000001",
            "json": '{"a":[1,null]}',
            "list": '["é"]',
            "bytes": "ab",
        }

    def test_numbers_are_known_from_text(self) -> None:
        """A column of numbers is noted as such, since they may have lost zeros in front."""
        (batch,) = opened(Fake([1, "01"], [2, "2"], names=["a", "b"]), "select 1", "a", "b").batches()
        assert batch.schema.metadata == {b"numbers": b'["a"]'}

    def test_how_much_is_fetched(self) -> None:
        """Few rows are fetched at first, then more, and few again where they are long."""
        short = Fake(*([["a"]] * 60_000))
        read(opened(short, "select 1"))
        assert short.fetched[0] < 1_000
        assert max(short.fetched) == FETCH_ROWS
        long = Fake(*([["x" * 1_000_000]] * 300))
        read(opened(long, "select 1"))
        assert long.fetched[1] < 10

    def test_closing(self) -> None:
        """Whoever stops reading lets go of the connection."""
        driver = Fake(*([["a"]] * 1_000))
        source = opened(driver, "select 1")
        driver.closed = False
        next(iter(source.batches()))
        assert not driver.closed
        source.close()
        assert driver.closed

    def test_no_two_readings_are_alike(self) -> None:
        """No database tells whether its rows have changed, so that a further attempt reads again."""
        source = opened(Fake(), "select 1")
        assert source.identity() != source.identity()


class TestRefusals:
    """What is wrong with a query is told by the segment's name, and never with a value."""

    @pytest.mark.parametrize(
        ("sql", "says"),
        [
            ("select 1; select 2", "segment 'VIP': its sql holds 2 statements: write one SELECT"),
            ("-- nothing", "segment 'VIP': its sql holds no statements: write one SELECT"),
            ("update people set a = 1", "segment 'VIP': its sql is no query, but UPDATE: write one SELECT"),
            ("/* a */ create table b (c int)", "segment 'VIP': its sql is no query, but CREATE"),
            ("truncate people", "segment 'VIP': its sql is no query, but TRUNCATE"),
        ],
    )
    def test_statements(self, sql: str, says: str) -> None:
        """One statement that reads is what a segment may be; another set-up is needed for any other."""
        with pytest.raises(ConfigError) as caught:
            opened(Fake(), sql)
        assert says in str(caught.value)

    @pytest.mark.parametrize("sql", ["select ';' as email;", "with a as (select 1) select * from a -- ; ;"])
    def test_queries(self, sql: str) -> None:
        """What looks like the end of a statement, in a text or a comment, is none."""
        assert read(opened(Fake(["x"]), sql)) == [{"email": "x"}]

    @pytest.mark.parametrize(
        ("sql", "says"),
        [
            (
                "select 1 as mail",
                "segment 'VIP': there is no column 'email' (did you mean 'mail'?); there are 'mail'.",
            ),
            ("select 1 as email, 2 as email", "segment 'VIP': several columns are named 'email'"),
            (
                "select x'ff' as email",
                "segment 'VIP': column 'email' holds bytes, which no merge field takes: cast it",
            ),
            ("select * from nobody", "the query names a table that does not exist (OperationalError"),
            ("select nobody as email", "the query names a column that does not exist (OperationalError"),
            ("selec 1", "the database does not understand the query (OperationalError"),
            ("select :a as email", "the query and its parameters do not fit each other (ProgrammingError"),
            (
                "with a as (select 1) delete from people",
                "its sql writes, or locks rows, which no segment may",
            ),
        ],
    )
    def test_sqlite(self, sql: str, says: str, tmp_path: Path) -> None:
        """What SQLite says becomes what the reader has to do."""
        path = tmp_path / "crm.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table people (email text)")
        with pytest.raises(ExportError) as caught:
            read(opened(lambda conn_id: sqlite3.connect(path), sql))
        assert says in str(caught.value)
        assert "segment 'VIP'" in str(caught.value)

    def test_a_query_that_fails_half_way(self) -> None:
        """What a driver says is not shown: it may quote somebody."""
        driver = Fake(*([["ada@mail.eu"]] * 1_000), breaks=RuntimeError("server closed: ada@mail.eu"))
        with pytest.raises(SourceError) as caught:
            read(opened(driver, "select 1"))
        said = "segment 'VIP', connection 'crm': the connection was cut before the last row (RuntimeError)"
        assert str(caught.value).startswith(said)
        assert "ada" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_query_without_rows_to_return(self) -> None:
        """A statement that returns no columns is no query."""
        with pytest.raises(ConfigError, match="its sql returns no rows, so it is no query"):
            read(opened(Fake(names=()), "call refresh()"))

    def test_a_driver_that_is_not_installed(self) -> None:
        """A package that is missing is named."""

        def connect(conn_id: str) -> Any:
            raise ImportError(name="oracledb")

        with pytest.raises(ConfigError, match="connection 'crm': the package 'oracledb' is not installed"):
            opened(connect, "select 1")

    def test_no_connections(self) -> None:
        """Outside of Airflow there are no connections."""
        (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": "select 1"}})
        with pytest.raises(
            ConfigError, match="segment 'VIP': connection 'crm' is not known outside of Airflow"
        ):
            open_source(segment, ("email",))


def text(*written: str | None) -> pa.Array:
    """Values as a server writes them."""
    return pa.array(written, pa.string())


class TestValues:
    """What servers write, as Arrow has it."""

    def test_days(self) -> None:
        """Days that Python has not are brought so far away that no field takes them; days of zeros are none."""
        written = ("2026-01-02", None, "infinity", "0044-03-15 BC", "2024-02-00", "0000-00-00", "0001-01-01")
        far = "32000-01-01"
        assert values.days(text(*written)).cast(pa.string()).to_pylist() == [
            *("2026-01-02", None, far, far, far, None, "0001-01-01")
        ]

    def test_moments(self) -> None:
        """So are moments, whose distance from UTC may have seconds."""
        written = ("2026-01-02 03:04:05.678901+05:30", "1880-01-01 00:53:28+00:53:28", "-infinity")
        read = values.zoned_moments(text(*written)).cast(pa.string()).to_pylist()
        assert read == [
            "2026-01-01 21:34:05.678901Z",
            "1880-01-01 00:00:00.000000Z",
            "32000-01-01 00:00:00.000000Z",
        ]
        assert values.moments(text("2026-01-02 03:04:05")).to_pylist() == [datetime(2026, 1, 2, 3, 4, 5)]

    @pytest.mark.parametrize(
        ("precision", "scale", "kind"),
        [
            (12, 2, pa.decimal128(12, 2)),
            (60, 5, pa.decimal256(60, 5)),
            (77, 0, pa.string()),
            (5, -2, pa.string()),
            (None, None, pa.string()),
        ],
    )
    def test_types_of_decimals(self, precision: int | None, scale: int | None, kind: pa.DataType) -> None:
        """A decimal has all digits of its column, and text has those of any."""
        assert values.decimal_type(precision, scale) == kind

    def test_decimals(self) -> None:
        """What is not a number is nothing."""
        read = values.decimals(pa.decimal128(4, 2))(text("1.50", "NaN", None))
        assert read.to_pylist() == [Decimal("1.50"), None, None]

    @pytest.mark.parametrize(
        ("element", "written", "told"),
        [
            (Element.NUMBER, "{1,NULL,-2.50,1e+20,NaN}", '[1,null,-2.50,1e+20,"NaN"]'),
            (
                Element.TEXT,
                '{a,"b,c","d\\"e\\\\f",NULL,"NULL",""}',
                '["a","b,c","d\\"e\\\\f",null,"NULL",""]',
            ),
            (Element.NUMBER, "[0:1][1:2]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (Element.BOOLEAN, "{t,f,NULL}", "[true,false,null]"),
            (Element.JSON, '{"{\\"a\\": 1}",null}', '[{"a": 1},null]'),
            (Element.TEXT, "{}", "[]"),
        ],
    )
    def test_arrays(self, element: Element, written: str, told: str) -> None:
        """Arrays are told as JSON, however deep they are."""
        assert as_json(element)(text(written, None)).to_pylist() == [told, None]
