"""What the Test button says, whom the connection is taken for, and what Customer Insights keeps of segments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_mailchimp_export.customer_insights.catalog import KnownSegment, read_catalog
from airflow_mailchimp_export.customer_insights.check import check_connection
from airflow_mailchimp_export.customer_insights.identity import ApplicationUser, who_am_i
from airflow_mailchimp_export.customer_insights.refresh import Refreshed, last_refresh
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.insights import InsightsSettings
from tests.kit.fake_reader import MEMBERSHIP, PROFILE, FakeReader

SETTINGS = InsightsSettings.from_parts(
    login="00001111-aaaa-2222-bbbb-3333cccc4444",
    password="its~secret",
    host="https://contoso.crm4.dynamics.com",
    port=443,
    extra={"tenant_id": "contoso.com", "tenant": "x"},
)
WHO = {"WhoAmI": {"UserId": "u1", "BusinessUnitId": "b1", "OrganizationId": "o1"}}
NAMED = {"systemusers(u1)?$select=fullname": {"fullname": "Exports"}}
UNIT = "businessunits(b1)?$select=name,_parentbusinessunitid_value"
ROWS: dict[str, Any] = {
    "msdynci_segmentmemberships": [[{"msdynci_customerid": "1", "msdynci_segments": '{"Segments":[]}'}]],
    "msdynci_customerprofiles": [[], [{"msdynci_customerid": "1"}]],
}


def test_the_user_and_its_unit() -> None:
    """Names are told where the user may look itself up, and ids where not."""
    root = {UNIT: {"name": "contoso", "_parentbusinessunitid_value": None}}
    assert who_am_i(FakeReader(answers=WHO | NAMED | root)) == ApplicationUser(
        "u1", "Exports", "contoso", True
    )
    assert who_am_i(FakeReader(answers=WHO)) == ApplicationUser("u1", "u1", "", None)


def test_nothing_stands_in_the_way() -> None:
    """Facts are told, and mistyped extras."""
    root = {UNIT: {"name": "contoso", "_parentbusinessunitid_value": None}}
    passed, message = check_connection(FakeReader(answers=WHO | NAMED | root, rows=ROWS), SETTINGS)
    assert passed
    assert message.splitlines() == [
        "Application user Exports of contoso.crm4.dynamics.com.",
        "Business unit contoso.",
        "Table msdynci_segmentmembership (Elastic): 6 columns, a row was read.",
        "Table msdynci_customerprofile (Elastic): 5 columns, a row was read.",
        "Unknown extra fields, perhaps mistyped: 'tenant' (did you mean 'tenant_id'?).",
    ]


def test_a_business_unit_below_the_root() -> None:
    """It may see fewer people without an error, so it is an obstacle."""
    below = {UNIT: {"name": "Benelux", "_parentbusinessunitid_value": "b0"}}
    passed, message = check_connection(FakeReader(answers=WHO | NAMED | below, rows=ROWS), SETTINGS)
    assert not passed
    assert message.startswith("• The application user is in business unit Benelux")
    assert "Move it to the root business unit" in message


def test_tables_without_rows() -> None:
    """A table that shows nothing may be hidden."""
    rows = {"msdynci_segmentmemberships": [[]], "msdynci_customerprofiles": [[]]}
    passed, message = check_connection(FakeReader(answers=WHO, rows=rows), SETTINGS)
    assert not passed
    assert message.count("shows no row") == 2


CATALOG = {
    "mscipriv_segmentmetadataid": "Uniqueidentifier",
    "mscipriv_internalname": "String",
    "mscipriv_friendlyname": "String",
    "mscipriv_membercount": "Integer",
    "mscipriv_lastrefreshedon": "DateTime",
    "createdbyname": "String",
}
TABLES = {
    "msdynci_segmentmembership": MEMBERSHIP,
    "msdynci_customerprofile": PROFILE,
    "mscipriv_segmentmetadata": CATALOG,
}


def known(**row: Any) -> FakeReader:
    """An organisation with a catalog of one segment, and with rows that were written on the second of May."""
    written = [[{"modifiedon": "2026-05-02T00:00:00Z"}]]
    rows = {
        "mscipriv_segmentmetadatas": [[{f"mscipriv_{name}": value for name, value in row.items()}]],
        "msdynci_segmentmemberships": written,
        "msdynci_customerprofiles": written,
    }
    return FakeReader(tables=TABLES, rows=rows)


def test_what_customer_insights_keeps_of_segments() -> None:
    """Columns that nobody documents are known by their names, and what is not there is not known."""
    row = {
        "internalname": "VIP",
        "friendlyname": "Best",
        "membercount": 7,
        "lastrefreshedon": "2026-05-01T06:00:00Z",
    }
    refreshed = datetime(2026, 5, 1, 6, tzinfo=UTC)
    assert read_catalog(known(**row)) == {"VIP": KnownSegment("VIP", "Best", 7, refreshed)}
    assert read_catalog(known(internalname="VIP", membercount=True)) == {"VIP": KnownSegment("VIP")}
    assert read_catalog(known(internalname=None)) == {}
    assert read_catalog(FakeReader()) == {}


def test_the_last_refresh() -> None:
    """What Customer Insights tells of the segments counts; else when anything was written last."""
    written = datetime(2026, 5, 2, tzinfo=UTC)
    told = known(internalname="VIP", lastrefreshedon="2026-05-01T06:00:00Z")
    assert last_refresh(told, ["VIP"]) == Refreshed(written, datetime(2026, 5, 1, 6, tzinfo=UTC))
    assert last_refresh(told, ["VIP", "Other"]) == Refreshed(written, None)


@pytest.mark.parametrize(
    ("since", "now", "quiet", "over"),
    [
        ("2026-05-01", "2026-05-02T00:15", 900, True),
        ("2026-05-01", "2026-05-02T00:14", 900, False),
        ("2026-05-02", "2026-05-03", 900, False),
    ],
)
def test_when_a_refresh_is_over(since: str, now: str, quiet: float, over: bool) -> None:
    """It came after the moment, and nothing was written for a while."""
    refreshed = Refreshed(datetime(2026, 5, 2, tzinfo=UTC))
    moments = [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (since, now)]
    assert refreshed.is_after(moments[0], now=moments[1], quiet=quiet) is over


def test_tables_that_cannot_be_sorted() -> None:
    """All rows are looked at then; and where no row has a time, it is said what to do instead."""
    reader = known(internalname="VIP")
    reader.refused = ("$orderby",)
    assert last_refresh(reader, []) == Refreshed(datetime(2026, 5, 2, tzinfo=UTC))
    silent = FakeReader(rows={"msdynci_segmentmemberships": [[{"modifiedon": None}]]})
    with pytest.raises(ConfigError, match="does not tell when its rows were written"):
        last_refresh(silent, [])
