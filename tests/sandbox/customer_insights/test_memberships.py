"""Rows of memberships as they may be, beside one clean row for each member."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

X = "f" * 32


def named(insights: Insights, kind: str = "Customer") -> dict[str, set[str]]:
    """The segments of each customer, over all rows of a type."""
    found = defaultdict(set)
    for row in insights.rows(f"{MEMBERSHIPS}?$filter=msdynci_segmentmembershiptype eq '{kind}'"):
        if row["msdynci_segments"]:
            found[row["msdynci_customerid"]] |= set(json.loads(row["msdynci_segments"])["Segments"])
    return dict(found)


def test_segments_follow_their_rules(insights: Insights) -> None:
    """A member of a segment meets its rule, and so does nobody else."""
    rows = insights.rows(PROFILES)
    vip = {
        row["msdynci_customerid"]
        for row in rows
        if row["msdynci_loyaltytier"] == "platinum" or row["msdynci_lifetimevalue"] >= 1000
    }
    assert set(insights.members("VIP")) == vip
    assert {one for one, names in named(insights).items() if "VIP" in names} == vip


def test_several_rows_of_one_customer(insights: Insights) -> None:
    """A second provider has a row of its own, without which segments of a customer would be missed."""
    clean = named(insights)
    insights.load(several_rows=0.5)
    rows = insights.rows(MEMBERSHIPS)
    providers = Counter(row["msdynci_segmentprovider"] for row in rows)
    assert len(rows) > len(clean)
    assert providers.keys() == {"CustomerInsights", "Marketing"}
    assert named(insights) == clean
    first = {row["msdynci_customerid"]: row["msdynci_segments"] for row in rows}
    assert {one: set(json.loads(text)["Segments"]) for one, text in first.items()} != clean


def test_contact_rows(insights: Insights) -> None:
    """Rows of type Contact name segments in which their customers are not."""
    clean = named(insights)
    insights.load(contact_rows=0.5)
    contacts = named(insights, "Contact")
    assert contacts
    assert named(insights) == clean
    assert any(names != clean.get(one, set()) for one, names in contacts.items())


def test_rows_without_segments(insights: Insights) -> None:
    """Rows may have null in the place of segments, beside another row of the same customer."""
    clean = named(insights)
    insights.load(null_segments=0.3)
    empty = [row for row in insights.rows(MEMBERSHIPS) if row["msdynci_segments"] is None]
    assert {row["msdynci_segmentprovider"] for row in empty} == {"Legacy"}
    assert {row["msdynci_customerid"] for row in empty} & clean.keys()


def test_malformed_segments(insights: Insights) -> None:
    """Segments may be no JSON."""
    insights.load(malformed_segments=0.2)
    texts = [row["msdynci_segments"] for row in insights.rows(MEMBERSHIPS)]
    broken = [text for text in texts if not text.endswith("]}")]
    assert 0 < len(broken) < len(texts)
    for text in broken:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@pytest.mark.parametrize(
    "text", [None, "", "{}", '{"Segments":null}', '{"Segments":"VIP"}', "[", "null", "7"]
)
def test_any_text_can_be_put_in_the_place_of_segments(insights: Insights, text: str | None) -> None:
    """A test can make a row hold anything, in the place that it had."""
    ids = insights.ids(MEMBERSHIPS)
    insights.control("memberships", {"rows": [{"customer_id": ids[3], "text": text}]})
    rows = insights.rows(MEMBERSHIPS)
    assert [row["msdynci_customerid"] for row in rows] == ids
    assert rows[3]["msdynci_segments"] == text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("object", '{"Segments":["A","B"]}'),
        ("spaced", '{"Segments": ["A", "B"]}'),
        ("list", '["A","B"]'),
    ],
)
def test_rows_that_are_put_in_are_written_like_the_others(insights: Insights, form: str, text: str) -> None:
    """Segments that a test names are written in the form that is set."""
    insights.set(segments_form=form)
    insights.control("memberships", {"rows": [{"customer_id": X, "segments": ["A", "B"]}]})
    (row,) = insights.rows(f"{MEMBERSHIPS}?$filter=msdynci_customerid eq '{X}'")
    assert row["msdynci_segments"] == text


def test_member_without_profile(insights: Insights) -> None:
    """A share of the customers may have no profile row yet, while they are members; later they have one."""
    members, everyone = set(insights.ids(MEMBERSHIPS)), set(insights.ids(PROFILES))
    insights.set(unhydrated=0.2)
    hydrated = set(insights.ids(PROFILES))
    assert members - hydrated
    assert set(insights.ids(MEMBERSHIPS)) == members
    insights.set(unhydrated=0)
    assert set(insights.ids(PROFILES)) == everyone


def test_profile_that_is_removed(insights: Insights) -> None:
    """A profile can be removed while its membership stays."""
    gone = insights.members("VIP")[0]
    assert insights.control("profiles/remove", {"customer_ids": [gone]}) == {"rows": 1}
    assert gone not in insights.ids(PROFILES)
    assert gone in insights.ids(MEMBERSHIPS)


def test_member_who_was_never_loaded(insights: Insights) -> None:
    """A membership, and a profile, can be added for a customer who was not there."""
    insights.control(
        "memberships", {"rows": [{"customer_id": X, "segments": ["VIP"], "provider": "Marketing"}]}
    )
    assert X in insights.members("VIP")
    assert insights.rows(f"{PROFILES}?$filter=msdynci_customerid eq '{X}'") == []
    insights.control("profiles", {"rows": [{"customer_id": X, "msdynci_email": "new@people.example"}]})
    (row,) = insights.rows(f"{PROFILES}?$filter=msdynci_customerid eq '{X}'")
    assert (row["msdynci_email"], row["msdynci_firstname"]) == ("new@people.example", None)


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("memberships", {"segments": ["VIP"]}),
        ("memberships", {"customer_id": X}),
        ("memberships", {"customer_id": X, "segments": [], "text": ""}),
        ("memberships", {"customer_id": X, "text": 7}),
        ("memberships", {"customer_id": X, "segments": [], "kind": "Contact"}),
        ("profiles", {"msdynci_email": "new@people.example"}),
        ("profiles", {"customer_id": X, "msdynci_nothing": 1}),
    ],
)
def test_rows_that_cannot_be_are_refused(insights: Insights, path: str, row: dict[str, object]) -> None:
    """A control call says what a row needs."""
    answer = insights.session.post(f"{insights.url}/sandbox/{path}", json={"rows": [row]}, timeout=60)
    assert answer.status_code == 400
    assert "needs" in answer.json()["error"] or "text" in answer.json()["error"]
