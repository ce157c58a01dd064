"""What rows look like."""

from __future__ import annotations

import json
import re

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

UNASKED = {
    "@odata.etag", "versionnumber", "partitionid", "_ownerid_value", "_owningbusinessunit_value",
}  # fmt: skip
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_elastic_rows_hold_more_than_was_selected(insights: Insights) -> None:
    """Key, partition, version, etag and owner come although they were not selected."""
    (row,) = insights.get(f"{MEMBERSHIPS}?$select=msdynci_customerid,msdynci_segments&$top=1")["value"]
    assert row.keys() == UNASKED | {
        "msdynci_customerid", "msdynci_segments", "msdynci_segmentmembershipid",
    }  # fmt: skip
    assert re.fullmatch('W/"[0-9a-f]{8}-0000-0200-0000-[0-9a-f]{12}"', row["@odata.etag"])
    assert row["partitionid"] == row["msdynci_segmentmembershipid"]


def test_standard_rows_hold_what_was_selected_and_the_key(insights: Insights) -> None:
    """Switched off, only the key and the etag come beside what was selected."""
    insights.set(extra_columns=False)
    (row,) = insights.get(f"{PROFILES}?$select=msdynci_email&$top=1")["value"]
    assert row.keys() == {"@odata.etag", "msdynci_email", "msdynci_customerprofileid"}


def test_virtual_rows_have_nothing_of_elastic_tables(insights: Insights) -> None:
    """Rows of virtual tables have no partition, no version and no owner, selected or not."""
    insights.set(table_type="virtual")
    (row,) = insights.get(f"{PROFILES}?$select=msdynci_email&$top=1")["value"]
    assert row.keys() == {"msdynci_email", "msdynci_customerprofileid"}
    assert "'partitionid'" in insights.error(f"{PROFILES}?$select=partitionid")[1]


def test_customer_ids_are_32_hex_digits(insights: Insights) -> None:
    """The id of a customer has no dashes, while keys are GUIDs; both are the same in both tables each time."""
    profiles = insights.rows(f"{PROFILES}?$select=msdynci_customerid")
    assert all(re.fullmatch("[0-9a-f]{32}", row["msdynci_customerid"]) for row in profiles)
    assert all(GUID.fullmatch(row["msdynci_customerprofileid"]) for row in profiles)
    ids = {row["msdynci_customerid"] for row in profiles}
    assert set(insights.ids(MEMBERSHIPS)) <= ids
    insights.load()
    assert {row["msdynci_customerprofileid"] for row in insights.rows(PROFILES)} == {
        row["msdynci_customerprofileid"] for row in profiles
    }


def test_identifier_names_customer_provider_and_type(insights: Insights) -> None:
    """The identifier of a membership holds customer, provider and type."""
    (row,) = insights.get(f"{MEMBERSHIPS}?$top=1")["value"]
    customer_id, provider, kind, _ = row["msdynci_identifier"].split("|")
    assert customer_id == row["msdynci_customerid"]
    assert (provider, kind) == (row["msdynci_segmentprovider"], row["msdynci_segmentmembershiptype"])
    assert (provider, kind) == ("CustomerInsights", "Customer")


@pytest.mark.parametrize(
    ("form", "head", "tail"),
    [("object", '{"Segments":["', '"]}'), ("spaced", '{"Segments": ["', '"]}'), ("list", '["', '"]')],
)
def test_segments_are_json_in_a_text(insights: Insights, form: str, head: str, tail: str) -> None:
    """The segments of a member are a text that holds JSON, in each of the forms that it may have."""
    insights.load(segments_form=form)
    for row in insights.rows(f"{MEMBERSHIPS}?$select=msdynci_segments"):
        text = row["msdynci_segments"]
        assert (text[: len(head)], text[-len(tail) :]) == (head, tail)
        names = json.loads(text)
        assert set(names if form == "list" else names["Segments"]) <= {"VIP", "Newsletter", "Recent_buyers"}


def test_values_have_their_types(insights: Insights) -> None:
    """Text, numbers, truths and moments come as JSON has them, and nothing as null."""
    rows = insights.rows(PROFILES)
    row = next(row for row in rows if row["msdynci_lastname"] is None)
    assert isinstance(row["msdynci_lifetimevalue"], float)
    assert row["msdynci_newsletteroptin"] in {True, False}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["msdynci_lastpurchase"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["msdynci_birthday"])
    insights.set(null_columns=False)
    assert any("msdynci_lastname" not in row for row in insights.rows(PROFILES))
    assert all(None not in row.values() for row in insights.rows(PROFILES))


def test_single_row(insights: Insights) -> None:
    """One row is had by its key, and a key that is nobody's is a 404."""
    (row,) = insights.get(f"{PROFILES}?$top=1")["value"]
    key = row["msdynci_customerprofileid"]
    found = insights.get(f"{PROFILES}({key})?$select=msdynci_email")
    assert found["msdynci_email"] == row["msdynci_email"]
    assert found["@odata.context"].endswith("/$entity")
    code, message = insights.error(f"{PROFILES}(00000000-0000-0000-0000-000000000000)", 404)
    assert (code, "Does Not Exist" in message) == ("0x80040217", True)


def test_text_that_html_or_json_could_trip_over(insights: Insights) -> None:
    """Quotes, line breaks and letters of every script arrive as they are."""
    hard = 'Ann "A" \\ <b>\n\t\u2028 Śśø 名'
    customer_id = insights.members("VIP")[0]
    insights.control("profiles", {"rows": [{"customer_id": customer_id, "first_name": hard}]})
    (row,) = insights.rows(f"{PROFILES}?$filter=msdynci_customerid eq '{customer_id}'")
    assert row["msdynci_firstname"] == hard


def test_the_sandbox_is_only_read(insights: Insights) -> None:
    """Whatever would write is refused."""
    answer = insights.session.post(f"{insights.root}/{PROFILES}", json={}, timeout=60)
    assert answer.status_code == 405
