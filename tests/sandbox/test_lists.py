"""The account, its audiences and their stats, and interest categories."""

from __future__ import annotations

import pytest

from tests.sandbox.driver import LIST, Sandbox, person

CATEGORIES = f"{LIST}/interest-categories"
NEW_LIST = {
    "name": "Second",
    "permission_reminder": "You asked for it.",
    "email_type_option": False,
    "double_optin": True,
    "contact": {"company": "X"},
    "campaign_defaults": {"from_name": "X"},
}


def test_root(sandbox: Sandbox) -> None:
    """The root tells the role, the plan and how many subscribers there are."""
    sandbox.set(role="viewer", plan="forever_free")
    sandbox.put({"email": "ada@people.example", "status": "subscribed"})
    wanted = "role,pricing_plan_type,total_subscribers"
    assert (
        sandbox.get("/", fields=wanted)
        == sandbox.get("", fields=wanted)
        == {
            "role": "viewer",
            "pricing_plan_type": "forever_free",
            "total_subscribers": 1,
        }
    )


def test_stats_are_cached(sandbox: Sandbox) -> None:
    """An audience's stats are up to five minutes old, unless the cache is off."""
    assert sandbox.get(LIST)["stats"]["member_count"] == 0
    sandbox.subscribe(person("ada@people.example"), person("bob@people.example", "unsubscribed"))
    assert sandbox.get(LIST)["stats"]["member_count"] == 0
    sandbox.set(clock_shift=301)
    stats = sandbox.get(LIST)["stats"]
    assert (stats["member_count"], stats["unsubscribe_count"], stats["merge_field_count"]) == (1, 1, 5)
    sandbox.set(stats_cache=0)
    sandbox.subscribe(person("eve@people.example"))
    assert sandbox.get(LIST)["stats"]["member_count"] == 2


def test_total_contacts(sandbox: Sandbox) -> None:
    """All contacts in any state are counted, but only if asked for."""
    sandbox.put({"email": "ada@people.example", "status": "archived"})
    assert "total_contacts" not in sandbox.get(LIST)["stats"]
    assert sandbox.get(LIST, include_total_contacts="true")["stats"]["total_contacts"] == 1


def test_audiences(sandbox: Sandbox) -> None:
    """Audiences can be added, listed, and found by a member's address."""
    made = sandbox.call("POST", "/lists", NEW_LIST).json()
    assert (made["name"], made["double_optin"]) == ("Second", True)
    sandbox.call("POST", f"/lists/{made['id']}/members", person("ada@people.example"))
    assert sandbox.get("/lists", email="Ada@people.example", fields="lists.id") == {
        "lists": [{"id": made["id"]}]
    }
    assert sandbox.get("/lists", count=1, fields="total_items,lists.name")["total_items"] == 2
    assert sandbox.get("/lists")["constraints"]["current_total_instances"] == 2


def test_audiences_of_a_plan(sandbox: Sandbox) -> None:
    """A free plan has one audience and may not make another."""
    sandbox.set(plan="forever_free")
    assert sandbox.get("/lists")["constraints"]["may_create"] is False
    assert sandbox.problem("POST", "/lists", NEW_LIST)["title"] == "User action not permitted"
    assert sandbox.problem("POST", "/lists", {"name": "X"})["status"] == 400


def test_interests(sandbox: Sandbox) -> None:
    """A category's interests are listed in their order, and belong to it."""
    body = {"title": "Colours", "type": "radio", "display_order": 3}
    category = sandbox.call("POST", CATEGORIES, body).json()
    for name in ("Red", "Green"):
        sandbox.call("POST", f"{CATEGORIES}/{category['id']}/interests", {"name": name})
    found = sandbox.get(f"{CATEGORIES}/{category['id']}/interests")
    assert [(one["name"], one["display_order"]) for one in found["interests"]] == [("Red", 1), ("Green", 2)]
    assert sandbox.get(CATEGORIES, fields="categories.title") == {"categories": [{"title": "Colours"}]}


def test_interest_limit(sandbox: Sandbox) -> None:
    """An audience takes 60 interests, and not one more."""
    category = sandbox.call("POST", CATEGORIES, {"title": "Many", "type": "hidden"}).json()["id"]
    path = f"{CATEGORIES}/{category}/interests"
    statuses = [sandbox.call("POST", path, {"name": f"I{n}"}).status_code for n in range(61)]
    assert statuses == [200] * 60 + [400]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CATEGORIES, {"title": "X"}, 400),
        (CATEGORIES, {"title": "X", "type": "list"}, 400),
        (f"{CATEGORIES}/nothing/interests", {"name": "X"}, 404),
    ],
)
def test_bad_interests(sandbox: Sandbox, path: str, body: dict[str, str], status: int) -> None:
    """Categories need a title and a type, and interests a category."""
    assert sandbox.problem("POST", path, body)["status"] == status
