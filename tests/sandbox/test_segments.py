"""Segments, which are tags: who is in them, who counts, and how they change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.driver import LIST, Sandbox

SEGMENTS = f"{LIST}/segments"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


@pytest.fixture
def people(sandbox: Sandbox) -> Sandbox:
    """A sandbox with a member in each status, named after it."""
    sandbox.put(*({"email": f"{status}@people.example", "status": status} for status in STATUSES))
    return sandbox


def emails_of(*names: str) -> list[str]:
    """Addresses of these names."""
    return [f"{name}@people.example" for name in names]


def make(sandbox: Sandbox, name: str = "VIP", *emails: str) -> str:
    """The path of a new tag."""
    answer = sandbox.call("POST", SEGMENTS, {"name": name, "static_segment": list(emails)})
    assert answer.status_code == 200, answer.text
    return f"{SEGMENTS}/{answer.json()['id']}"


def post(sandbox: Sandbox, path: str, **body: list[str]) -> dict[str, Any]:
    """The answer to a bulk change of a tag."""
    answer = sandbox.call("POST", path, body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_new_tag(people: Sandbox) -> None:
    """A new tag ignores addresses that are not on the list, and counts only who is subscribed."""
    path = make(people, "VIP", *emails_of("subscribed", "unsubscribed", "stranger", "archived"))
    found = people.get(path)
    assert (found["name"], found["type"], found["member_count"]) == ("VIP", "static", 1)
    assert people.get(path, include_unsubscribed="true")["member_count"] == 2
    assert people.member("unsubscribed@people.example")["tags"] == ["VIP"]
    assert people.member("archived@people.example")["tags"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"static_segment": []},
        {"name": "VIP"},
        {"name": "", "static_segment": []},
        {"name": "x" * 101, "static_segment": []},
        {"name": "Taken", "static_segment": []},
        {"name": "X", "static_segment": [1]},
        {"name": "X", "static_segment": [], "options": {"match": "any", "conditions": []}},
    ],
)
def test_refused_segment(sandbox: Sandbox, body: dict[str, Any]) -> None:
    """A segment without a name, with one that is too long or taken, or of two kinds at once is refused."""
    make(sandbox, "Taken")
    assert sandbox.problem("POST", SEGMENTS, body)["status"] == 400


def test_saved_segment(sandbox: Sandbox) -> None:
    """A segment with conditions is kept as such, and takes no members by hand."""
    options = {"match": "all", "conditions": [{"field": "FNAME"}]}
    made = sandbox.call("POST", SEGMENTS, {"name": "Smart", "options": options}).json()
    assert (made["type"], made["options"]) == ("saved", options)
    path = f"{SEGMENTS}/{made['id']}"
    problem = sandbox.problem("POST", path, {"members_to_add": []})
    assert problem["detail"] == f"A Static Segment with an id of {made['id']} does not exist for this list."
    assert sandbox.problem("PATCH", path, {"name": "Smart", "static_segment": []})["status"] == 400
    wider = {"match": "any", "conditions": []}
    assert sandbox.call("PATCH", path, {"name": "Smart", "options": wider}).json()["options"] == wider
    assert sandbox.get(f"{LIST}/tag-search")["total_items"] == 0


def test_listing(sandbox: Sandbox) -> None:
    """Segments are listed in pages, by type and by moment."""
    for number in range(12):
        make(sandbox, f"T{number}")
    sandbox.call("POST", SEGMENTS, {"name": "Smart", "options": {}})
    assert len(sandbox.get(SEGMENTS)["segments"]) == 10
    assert sandbox.get(SEGMENTS, type="static", count=1000, fields="total_items") == {"total_items": 12}
    assert sandbox.get(SEGMENTS, since_created_at="2099-01-01")["total_items"] == 0
    assert sandbox.get(SEGMENTS, before_updated_at="2099-01-01", type="")["total_items"] == 13
    assert sandbox.get(SEGMENTS, before_updated_at="2020-01-01")["total_items"] == 0


def test_reset(people: Sandbox) -> None:
    """An empty static_segment removes all members; a filled one replaces them."""
    path = make(people, "VIP", *emails_of("subscribed", "unsubscribed"))
    body = {"name": "Renamed", "static_segment": emails_of("transactional")}
    assert people.call("PATCH", path, body).json()["member_count"] == 0
    assert people.member("transactional@people.example")["tags"] == ["Renamed"]
    people.call("PATCH", path, {"name": "Renamed", "static_segment": []})
    assert people.member("transactional@people.example")["tags"] == []


def test_rename_to_taken(sandbox: Sandbox) -> None:
    """A tag may keep its name, but not take that of another."""
    path = make(sandbox)
    make(sandbox, "Other")
    assert sandbox.call("PATCH", path, {"name": "VIP"}).status_code == 200
    assert sandbox.problem("PATCH", path, {"name": "Other"})["title"] == "Bad Request"


def test_delete(people: Sandbox) -> None:
    """A deleted tag is gone, but its members stay."""
    path = make(people, "VIP", *emails_of("subscribed"))
    make(people, "Kept", *emails_of("subscribed"))
    assert people.call("DELETE", path).status_code == 204
    assert people.member("subscribed@people.example")["tags"] == ["Kept"]
    for known in (path, f"{SEGMENTS}/x"):
        assert people.problem("GET", known)["status"] == 404


def test_bulk(people: Sandbox) -> None:
    """A bulk change adds and removes at once, and names who was changed."""
    path = make(people, "VIP", *emails_of("subscribed"))
    answer = post(
        people,
        path,
        members_to_add=emails_of("pending", "transactional", "transactional"),
        members_to_remove=emails_of("subscribed", "transactional", "cleaned"),
    )
    assert [member["status"] for member in answer["members_added"]] == ["pending", "transactional"]
    assert [member["status"] for member in answer["members_removed"]] == ["subscribed", "transactional"]
    assert (answer["total_added"], answer["total_removed"], answer["error_count"]) == (2, 2, 0)


def test_strangers(people: Sandbox) -> None:
    """Who cannot be added is named in errors, or ignored if so set."""
    path = make(people)
    emails = emails_of("stranger", "archived", "unsubscribed", "cleaned", "subscribed")
    answer = post(people, path, members_to_add=emails)
    assert [error["email_addresses"] for error in answer["errors"]] == [emails[:2], emails[2:4]]
    assert (answer["total_added"], answer["error_count"]) == (1, 2)
    people.set(segment_strangers="ignore")
    assert post(people, path, members_to_add=emails)["errors"] == []


@pytest.mark.parametrize("name", ["members_to_add", "members_to_remove"])
@pytest.mark.parametrize("emails", [["a@people.example"] * 501, [1], "a@people.example"])
def test_bad_bulk(sandbox: Sandbox, name: str, emails: Any) -> None:
    """More than 500 addresses, or none that are strings, refuse the whole change."""
    assert sandbox.problem("POST", make(sandbox), {name: emails})["errors"][0]["field"] == name


def test_bulk_fields(people: Sandbox) -> None:
    """The answer to a bulk change can be cut down, as that of batch-subscribe."""
    path = make(people)
    answer = post(
        people, f"{path}?fields=total_added,members_added.id", members_to_add=emails_of("subscribed")
    )
    assert answer.keys() == {"total_added", "members_added"}
    people.set(fields_on_post="refuse")
    assert people.problem("POST", f"{path}?fields=total_added", {})["status"] == 400
    assert people.call("POST", f"{path}?fields=total_removed", {}).status_code == 400


def test_members_of_a_segment(people: Sandbox) -> None:
    """A segment shows who is active, and others only if asked for."""
    path = make(people, "VIP", *emails_of("subscribed", "unsubscribed", "cleaned", "transactional"))
    assert people.get(f"{path}/members", fields="members.status,total_items") == {
        "members": [{"status": "subscribed"}],
        "total_items": 1,
    }
    everyone = {"include_cleaned": "true", "include_transactional": "true", "include_unsubscribed": "true"}
    assert people.get(f"{path}/members", count=1, offset=3, **everyone)["total_items"] == 4


def test_one_member(people: Sandbox) -> None:
    """One member is added by address and removed by hash; strangers are not found."""
    path = make(people)
    for email, status in (("subscribed", 200), ("stranger", 404), ("cleaned", 400)):
        answer = people.call("POST", f"{path}/members", {"email_address": f"{email}@people.example"})
        assert answer.status_code == status
    member = f"{path}/members/{people.member('subscribed@people.example')['hash']}"
    assert people.call("DELETE", member).status_code == 204
    assert people.problem("DELETE", member)["status"] == 404
