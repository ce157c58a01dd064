"""Refreshes, also while somebody reads."""

from __future__ import annotations

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

MEMBERS_OF_VIP = f"{MEMBERSHIPS}?$select=msdynci_customerid&$filter=contains(msdynci_segments,'VIP')"


def test_members_leave_and_join(insights: Insights) -> None:
    """A refresh takes a share of the members away, adds a share of the others, and is the same each time."""
    before = set(insights.members("VIP"))
    insights.control("refresh", {"leave": 0.5, "join": 0.1})
    after = set(insights.members("VIP"))
    assert before - after
    assert after - before
    insights.load()
    assert set(insights.members("VIP")) == before
    insights.control("refresh", {"leave": 0.5, "join": 0.1})
    assert set(insights.members("VIP")) == after
    insights.control("refresh", {})
    assert set(insights.members("VIP")) == before


def test_versions_move(insights: Insights) -> None:
    """Every row has a higher version after a refresh, and another etag."""
    before = {row["msdynci_customerid"]: row for row in insights.rows(PROFILES)}
    insights.set(clock_shift=60)
    insights.control("refresh", {})
    for row in insights.rows(PROFILES):
        known = before[row["msdynci_customerid"]]
        assert row["versionnumber"] > known["versionnumber"]
        assert row["@odata.etag"] != known["@odata.etag"]
        assert row["modifiedon"] > known["modifiedon"]


@pytest.mark.parametrize(
    ("emptied", "text"), [("gone", None), ("empty-list", '{"Segments":[]}'), ("null", None)]
)
def test_the_row_of_who_is_in_no_segment_any_more(insights: Insights, emptied: str, text: str | None) -> None:
    """The row is gone, has an empty list, or has null: nobody has written down which."""
    insights.load(emptied=emptied)
    before = set(insights.ids(MEMBERSHIPS))
    insights.control("refresh", {"leave": 1})
    rows = insights.rows(MEMBERSHIPS)
    assert {row["msdynci_customerid"] for row in rows} == (set() if emptied == "gone" else before)
    assert {row["msdynci_segments"] for row in rows} <= {text}


def test_refresh_between_two_pages(insights: Insights) -> None:
    """A refresh can be due after some pages: who left before being read is not seen, who was read already is."""
    before = insights.ids(MEMBERS_OF_VIP)
    insights.control("refresh", {"leave": 1, "after_pages": 2})
    pages = [[row["msdynci_customerid"] for row in page] for page in insights.pages(MEMBERS_OF_VIP, 10)]
    assert pages == [before[:10], before[10:20], []]
    assert insights.members("VIP") == []


def test_rows_in_another_order_between_two_pages(insights: Insights) -> None:
    """Where a refresh also changes the order, a reader gets some rows twice and others never."""
    insights.control("refresh", {"shuffle": True, "after_pages": 1})
    ids = insights.ids(PROFILES, 50)
    assert len(ids) == 200
    assert len(set(ids)) < 200


def test_profile_that_changes_between_two_pages(insights: Insights) -> None:
    """What is read of a profile is what it holds at that moment."""
    pages = insights.pages(f"{PROFILES}?$select=msdynci_customerid,msdynci_email", 100)
    next(pages)
    last = insights.rows(PROFILES)[-1]["msdynci_customerid"]
    insights.control("profiles", {"rows": [{"customer_id": last, "email": "moved@people.example"}]})
    assert next(pages)[-1]["msdynci_email"] == "moved@people.example"


def test_rows_that_are_removed_between_two_pages(insights: Insights) -> None:
    """Rows that go while somebody reads leave the others in their places."""
    ids = insights.ids(PROFILES)
    pages = insights.pages(PROFILES, 100)
    seen = [row["msdynci_customerid"] for row in next(pages)]
    insights.control("profiles/remove", {"customer_ids": [ids[5], ids[150]]})
    seen += [row["msdynci_customerid"] for row in next(pages)]
    assert seen == [*ids[:150], *ids[151:]]


def test_a_refresh_that_cannot_be_is_refused(insights: Insights) -> None:
    """A control call says what a refresh has."""
    for body in ({"churn": 1}, {"leave": 2}):
        answer = insights.session.post(f"{insights.url}/sandbox/refresh", json=body, timeout=60)
        assert answer.status_code == 400
        assert "leave" in answer.json()["error"]


def test_reset(insights: Insights) -> None:
    """A reset brings the first data back, and forgets tokens and faults."""
    before = insights.rows(MEMBERSHIPS)
    insights.control("refresh", {"leave": 1})
    insights.fault("503", count=-1)
    insights.control("reset", {})
    assert insights.call("WhoAmI").status_code == 401
    insights.log_in()
    after = insights.rows(MEMBERSHIPS)
    assert [row["msdynci_identifier"] for row in after] == [row["msdynci_identifier"] for row in before]
