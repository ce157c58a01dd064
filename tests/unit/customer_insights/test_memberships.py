"""Who is in which segment: the JSON of a row alone decides."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.customer_insights.memberships import (
    customer_of,
    membership_pages,
    segments_of,
)
from airflow_mailchimp_export.customer_insights.tables import read_table
from airflow_mailchimp_export.errors import SourceError
from tests.kit.fake_reader import FakeReader


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ('{"Segments":["A","B_c"]}', ["A", "B_c"]),
        ('{ "Segments" : [ "A" ] }', ["A"]),
        ('["A"]', ["A"]),
        ('{"Segments":[]}', []),
        ('{"Segments":null}', []),
        ("{}", []),
        ("[]", []),
        ("null", []),
        ("", []),
        ("  ", []),
        (None, []),
        (["A"], ["A"]),
        ({"Segments": ["A"]}, ["A"]),
    ],
)
def test_segments_of_a_row(value: Any, names: list[str]) -> None:
    """Both shapes are read, as text and as JSON itself, and nothing is no segment."""
    assert list(segments_of({"msdynci_segments": value})) == names


@pytest.mark.parametrize(
    "value",
    [
        '{"Segments":["A"',
        "High_value",
        '{"Segments":"A"}',
        '{"Segments":[1]}',
        '{"segments":["A"]}',
        "7",
        7,
        '"A"',
    ],
)
def test_what_cannot_be_read_stops_the_reading(value: Any) -> None:
    """Who might be a member is not taken for none; and what stands there is not told."""
    with pytest.raises(SourceError, match="another form") as caught:
        segments_of({"msdynci_segments": value})
    assert "High_value" not in caught.value.happened


def test_a_row_without_segments_stops_the_reading() -> None:
    """A column that was asked for and did not come is no empty list."""
    with pytest.raises(SourceError, match="lacks the segments"):
        segments_of({"msdynci_customerid": "1"})


@pytest.mark.parametrize(
    ("row", "customer"),
    [
        ({"msdynci_customerid": "1"}, "1"),
        ({"msdynci_customerid": "1", "msdynci_segmentmembershiptype": "Customer"}, "1"),
        ({"msdynci_customerid": "1", "msdynci_segmentmembershiptype": None}, "1"),
        ({"msdynci_customerid": "1", "msdynci_segmentmembershiptype": "Contact"}, None),
        ({"msdynci_customerid": "1", "msdynci_identifier": "1|CI|Account|x"}, None),
        ({"msdynci_customerid": "1", "msdynci_identifier": "1|CI|Customer|x"}, "1"),
        ({"msdynci_customerid": "1", "msdynci_identifier": "another form"}, "1"),
        ({"msdynci_customerid": "1", "msdynci_segmentmembershiptype": "contact"}, None),
        ({"msdynci_customerid": "1", "msdynci_segmentmembershiptype": "customer"}, "1"),
        ({"msdynci_customerid": "1", "msdynci_segmentmembershiptype": 1}, "1"),
        ({"msdynci_customerid": "1", "msdynci_identifier": "1|Customer|CI|x"}, "1"),
    ],
)
def test_whose_membership_it_is(row: Any, customer: str | None) -> None:
    """Contacts and accounts are left out, whichever column tells them; a type of another form leaves nobody out."""
    assert customer_of(row) == customer


@pytest.mark.parametrize("value", [None, "", " ", 7])
def test_nobody_is_lost_without_an_id(value: Any) -> None:
    """A row of nobody stops the reading."""
    with pytest.raises(SourceError, match="no customer id"):
        customer_of({"msdynci_customerid": value})


def pages_of(reader: FakeReader, *segments: str) -> list[list[Any]]:
    """Read memberships."""
    return list(membership_pages(reader, read_table(reader, "msdynci_segmentmembership"), segments))


def test_several_segments_are_one_reading() -> None:
    """The filter names all of them, without the quotes whose storage is not known."""
    reader = FakeReader(rows={"msdynci_segmentmemberships": [[], [{"a": 1}]]})
    assert pages_of(reader, "A", "B_c") == [[], [{"a": 1}]]
    assert reader.asked[-1] == (
        "msdynci_segmentmemberships?$select=msdynci_customerid,msdynci_segments,msdynci_segmentmembershiptype,"
        "msdynci_identifier&$filter=contains(msdynci_segments,'A')%20or%20contains(msdynci_segments,'B_c')"
    )


def test_tables_that_cannot_be_filtered_are_read_whole() -> None:
    """A virtual table refuses contains, and then all of its rows are read."""
    reader = FakeReader(rows={"msdynci_segmentmemberships": [[{"a": 1}]]}, refused=("contains",))
    assert pages_of(reader, "A") == [[{"a": 1}]]
    assert "$filter" not in reader.asked[-1]


def test_a_filter_that_finds_nobody_proves_nothing() -> None:
    """Then all rows are read, and their JSON tells whether anybody is in the segment."""
    reader = FakeReader(rows={"msdynci_segmentmemberships": [[]]})
    assert pages_of(reader, "A") == [[], []]
    assert ["$filter" in path for path in reader.asked[-2:]] == [True, False]
