"""Columns of profiles with their types, and the choice between reading by id and reading all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.customer_insights.columns import find_columns, to_batch
from airflow_mailchimp_export.customer_insights.profiles import is_scan_cheaper, profiles_of
from airflow_mailchimp_export.customer_insights.protocol import LABEL
from airflow_mailchimp_export.customer_insights.tables import Column, Table, read_table
from airflow_mailchimp_export.errors import ConfigError, SourceError
from tests.kit.fake_reader import FakeReader


def table(**kinds: str) -> Table:
    """A table of profiles with some columns."""
    columns = {name: Column(name, kind) for name, kind in kinds.items()}
    return Table("msdynci_customerprofile", "msdynci_customerprofiles", "rowid", "Elastic", columns)


def test_a_mistyped_column_is_told_with_what_may_be_meant() -> None:
    """Also where only the prefix is missing."""
    known = table(msdynci_firstname="String", msdynci_email="String")
    with pytest.raises(ConfigError, match="did you mean 'msdynci_firstname'"):
        find_columns(known, ["FirstName"])
    with pytest.raises(ConfigError, match="did you mean 'msdynci_email'") as caught:
        find_columns(known, ["msdynci_emial"])
    assert "msdynci_email, msdynci_firstname" in caught.value.remedy


def test_lookups_are_found_by_both_names() -> None:
    """The name on the wire is that of the value."""
    known = table(msdynci_account="Lookup")
    for name in ("msdynci_account", "_msdynci_account_value"):
        assert [column.wire for column in find_columns(known, [name])] == ["_msdynci_account_value"]


@pytest.mark.parametrize(
    ("kind", "given", "values", "arrow"),
    [
        ("String", ["a", None], ["a", None], pa.string()),
        ("Memo", ["a", 7, True, 1.5], ["a", "7", "true", "1.5"], pa.string()),
        ("Integer", [1, None], [1, None], pa.int64()),
        ("BigInt", [638751518483842799], [638751518483842799], pa.int64()),
        ("Double", [1.5, 2], [1.5, 2.0], pa.float64()),
        ("Decimal", [1.5], [1.5], pa.float64()),
        ("Boolean", [True, None], [True, None], pa.bool_()),
        (
            "DateTime",
            ["2026-01-31T23:30:00Z", "2026-01-31", None],
            [datetime(2026, 1, 31, 23, 30, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC), None],
            pa.timestamp("us", "UTC"),
        ),
        ("SomethingNew", ["a"], ["a"], pa.string()),
    ],
)
def test_types(kind: str, given: list[Any], values: list[Any], arrow: pa.DataType) -> None:
    """Values come as the types that the definition tells."""
    known = table(x=kind)
    rows = [{"msdynci_customerid": str(number), "x": value} for number, value in enumerate(given)]
    batch = to_batch(rows, known, find_columns(known, ["x"]))
    assert batch.column("column_0").to_pylist() == values
    assert batch.column("column_0").type == arrow


def test_days_choices_and_lookups() -> None:
    """A day is a date, a choice its label, a lookup the id that it holds; what is left out is nothing."""
    columns = [Column("day", "DateTime", is_date=True), Column("tier", "Picklist"), Column("owner", "Owner")]
    rows = [
        {
            "msdynci_customerid": "1",
            "day": "2026-01-31",
            "tier": 3,
            f"tier@{LABEL}": "Gold",
            "_owner_value": "g",
        },
        {"msdynci_customerid": "2", "day": None, "tier": 4},
    ]
    batch = to_batch(rows, table(), columns)
    assert [batch.column(f"column_{index}").to_pylist() for index in range(3)] == [
        [date(2026, 1, 31), None],
        ["Gold", "4"],
        ["g", None],
    ]


@pytest.mark.parametrize(
    ("kind", "value"), [("Integer", "many"), ("DateTime", "soon"), ("Boolean", "perhaps"), ("String", {})]
)
def test_a_value_of_another_type_stops_the_reading(kind: str, value: Any) -> None:
    """It is told by its column, and not quoted."""
    with pytest.raises(SourceError, match="Column 'x'") as caught:
        to_batch([{"msdynci_customerid": "1", "x": value}], table(), [Column("x", kind)])
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", 7])
def test_a_profile_without_an_id_stops_the_reading(value: Any) -> None:
    """Nobody can be told by it."""
    with pytest.raises(SourceError, match="no msdynci_customerid"):
        to_batch([{"msdynci_customerid": value}], table(), [])


@pytest.mark.parametrize(
    ("members", "profiles", "scan"),
    [
        (40, 1_000_000, False),
        (8_000, 1_000_000, False),
        (8_001, 1_000_000, True),
        (1, 1, False),
        (41, 100, True),
        (1_000_000, 10, True),
        (2_000, None, False),
        (2_001, None, True),
    ],
)
def test_which_way_takes_fewer_requests(members: int, profiles: int | None, scan: bool) -> None:
    """By id up to one request for forty people; all of them at one for five thousand profiles."""
    assert is_scan_cheaper(members, profiles) is scan


def test_profiles_are_asked_for_in_groups() -> None:
    """Forty ids are one request, and quotes in an id are doubled."""
    ids = [f"{number:032x}" for number in range(84)] + ["O'Neil"]
    reader = FakeReader(rows={"msdynci_customerprofiles": [[]]})
    known = read_table(reader, "msdynci_customerprofile")
    assert len(list(profiles_of(reader, known, find_columns(known, ["msdynci_email"]), ids))) == 3
    first, *_, last = reader.asked[2:]
    assert first.startswith(
        "msdynci_customerprofiles?$select=msdynci_customerid,msdynci_email&$filter=msdynci_customerid%20eq%20'"
    )
    assert len(first) < 4_000
    assert last.endswith("'O''Neil'")


def test_profiles_of_others_are_not_taken() -> None:
    """A filter that was not heeded is no answer to it."""
    reader = Heedless(rows={"msdynci_customerprofiles": [[{"msdynci_customerid": "2"}]]})
    known = read_table(reader, "msdynci_customerprofile")
    with pytest.raises(SourceError, match="not asked for"):
        list(profiles_of(reader, known, [], ["1"]))


class Heedless(FakeReader):
    """Takes no account of filters."""

    def pages(self, path: str, *, what: str, labels: bool = False) -> Iterator[list[Any]]:
        """Yield all rows."""
        yield from self.rows[path.partition("?")[0]]
