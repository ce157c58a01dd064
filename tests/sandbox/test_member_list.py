"""``GET /lists/{list_id}/members``: pages, filters, sorting and fields."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import pytest

from tests.sandbox.driver import LIST, Sandbox, person

MEMBERS = f"{LIST}/members"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


@pytest.fixture
def many(sandbox: Sandbox) -> Sandbox:
    """A sandbox with 1,200 members, every status in turn."""
    sandbox.put(*({"email": f"p{n:04}@people.example", "status": STATUSES[n % 6]} for n in range(1200)))
    return sandbox


def emails(sandbox: Sandbox, **params: Any) -> list[str]:
    """The addresses of a page."""
    found = sandbox.get(MEMBERS, fields="members.email_address", **{"count": 1000, **params})
    return [member["email_address"] for member in found["members"]]


@pytest.mark.parametrize("status", STATUSES)
def test_pages_of_a_status(many: Sandbox, status: str) -> None:
    """The pages of a status hold each of its members once, in a stable order."""
    pages = [emails(many, status=status, count=70, offset=offset) for offset in range(0, 280, 70)]
    assert [len(page) for page in pages] == [70, 70, 60, 0]
    first = STATUSES.index(status)
    assert list(chain(*pages)) == [f"p{n:04}@people.example" for n in range(first, 1200, 6)]
    assert many.get(MEMBERS, status=status, fields="total_items") == {"total_items": 200}


def test_default_page(many: Sandbox) -> None:
    """A page has ten members, in full, unless another number is asked for."""
    found = many.get(MEMBERS)
    assert (len(found["members"]), found["total_items"], found["list_id"]) == (10, 1000, LIST[7:])
    assert 25_000 < len(many.call("GET", MEMBERS).content) < 40_000


def test_largest_page(many: Sandbox) -> None:
    """A page has 1,000 members at most, whatever is asked for."""
    many.set(unfiltered_archived=True)
    assert len(emails(many, count=5000)) == 1000
    assert len(emails(many, count=5000, offset=1000)) == 200


def test_status_moves(many: Sandbox) -> None:
    """A member whose status changes leaves one list and is in the other."""
    many.subscribe(person("p0000@people.example", "unsubscribed"))
    assert "p0000@people.example" not in emails(many, status="subscribed")
    assert "p0000@people.example" in emails(many, status="unsubscribed")


@pytest.mark.parametrize("name", ["count", "offset"])
@pytest.mark.parametrize("value", ["-1", "x"])
def test_bad_page(sandbox: Sandbox, name: str, value: str) -> None:
    """A page that is no number is refused."""
    assert sandbox.problem("GET", MEMBERS, params={name: value})["errors"][0]["field"] == name


def test_moments(sandbox: Sandbox) -> None:
    """Filters by moment leave out the moment itself, and mark nothing twice."""
    for hour in range(3):
        moment = f"2026-01-01T0{hour}:00:00+00:00"
        sandbox.put({"email": f"p{hour}@people.example", "status": "subscribed", "last_changed": moment})
    one = "2026-01-01T01:00:00+00:00"
    assert emails(sandbox, since_last_changed=one) == ["p2@people.example"]
    assert emails(sandbox, before_last_changed=one, status="subscribed") == ["p0@people.example"]
    assert emails(sandbox, since_timestamp_opt=one, before_timestamp_opt="2026-01-02") == [
        "p2@people.example"
    ]
    assert emails(sandbox, sort_field="last_changed", sort_dir="DESC", count=2) == [
        "p2@people.example",
        "p1@people.example",
    ]
    assert emails(sandbox, sort_field="timestamp_opt", offset=2) == ["p2@people.example"]


def test_filter_sees_changes(sandbox: Sandbox) -> None:
    """A filter that is asked for again shows what has changed in between."""
    params = {"since_last_changed": "2026-01-01", "sort_field": "timestamp_signup"}
    for number in range(10):
        sandbox.subscribe(person(f"p{number}@people.example"))
        assert len(emails(sandbox, **params)) == len(emails(sandbox, **params)) == number + 1
        assert len(emails(sandbox, before_last_changed=f"2026-01-{number + 1:02}")) == 0


def test_unescaped_plus(sandbox: Sandbox) -> None:
    """A moment whose plus sign was not escaped arrives with a blank, and is refused."""
    problem = sandbox.problem("GET", f"{MEMBERS}?since_last_changed=2026-01-01T00:00:00+00:00")
    assert problem["errors"][0]["field"] == "since_last_changed"


def test_unsubscribed_since(sandbox: Sandbox) -> None:
    """Who left since a moment is found, but only among the unsubscribed."""
    sandbox.put({"email": "old@people.example", "status": "unsubscribed", "last_changed": "2026-01-01"})
    sandbox.subscribe(person("new@people.example"))
    sandbox.subscribe(person("new@people.example", "unsubscribed"))
    since = {"unsubscribed_since": "2026-02-01"}
    assert emails(sandbox, status="unsubscribed", **since) == ["new@people.example"]
    assert sandbox.problem("GET", MEMBERS, params={"status": "cleaned", **since})["status"] == 400


def test_marks(sandbox: Sandbox) -> None:
    """Members are found by type of mail, by VIP mark and by their id across all lists."""
    member = sandbox.subscribe(person("a@people.example", vip=True, email_type="text"))["new_members"][0]
    sandbox.subscribe(person("b@people.example"))
    for params in (
        {"vip_only": "true"},
        {"email_type": "text"},
        {"unique_email_id": member["unique_email_id"]},
    ):
        assert emails(sandbox, **params) == ["a@people.example"]
    assert len(emails(sandbox, vip_only="false")) == 2


@pytest.mark.parametrize(("match", "found"), [("any", ["a", "b"]), ("all", ["a"]), ("none", ["c"])])
def test_interests(sandbox: Sandbox, match: str, found: list[str]) -> None:
    """Members are found by any, all or none of the interests that are named."""
    categories = f"{LIST}/interest-categories"
    category = sandbox.call("POST", categories, {"title": "Colours", "type": "hidden"}).json()["id"]
    ids = [
        sandbox.call("POST", f"{categories}/{category}/interests", {"name": name}).json()["id"]
        for name in ("Red", "Green")
    ]
    chosen = {"a": dict.fromkeys(ids, True), "b": {ids[0]: True}, "c": {ids[0]: False}}
    answer = sandbox.subscribe(
        *(person(f"{name}@people.example", interests=them) for name, them in chosen.items())
    )
    assert answer["new_members"][1]["interests"] == {ids[0]: True, ids[1]: False}
    params = {"interest_category_id": category, "interest_ids": ",".join(ids), "interest_match": match}
    assert emails(sandbox, **params) == [f"{name}@people.example" for name in found]


@pytest.mark.parametrize(
    "params",
    [
        {"status": "gone"},
        {"sort_field": "email_address"},
        {"sort_field": "last_changed", "sort_dir": "UP"},
        {"interest_ids": "x"},
        {"interest_category_id": "x", "interest_ids": "x", "interest_match": "any"},
        {"since_last_campaign": "true"},
        {"since_last_changed": "yesterday"},
    ],
)
def test_bad_filter(sandbox: Sandbox, params: dict[str, str]) -> None:
    """A filter with an unknown value, or without its companions, is refused."""
    assert sandbox.problem("GET", MEMBERS, params=params)["status"] == 400


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("total_items", {"total_items": 1}),
        ("members.status,total_items", {"members": [{"status": "subscribed"}], "total_items": 1}),
        ("members.merge_fields.FNAME", {"members": [{"merge_fields": {"FNAME": "Ada"}}]}),
        ("members.stats.avg_open_rate", {"members": [{"stats": {"avg_open_rate": 0}}]}),
        ("members.status.below", {"members": [{"status": "subscribed"}]}),
        ("members.tags.name", {"members": [{"tags": [{"name": "VIP"}]}]}),
    ],
)
def test_fields(sandbox: Sandbox, fields: str, expected: dict[str, Any]) -> None:
    """Only the fields that are named come back, at any depth."""
    sandbox.put({"email": "ada@people.example", "status": "subscribed", "fname": "Ada", "tags": "VIP"})
    assert sandbox.get(MEMBERS, fields=fields) == expected


def test_exclude_fields(sandbox: Sandbox) -> None:
    """All fields come back but those that are named, at any depth."""
    sandbox.subscribe(person("ada@people.example"))
    found = sandbox.get(MEMBERS, exclude_fields="_links,members._links,members.stats.avg_open_rate")
    assert "_links" not in found
    assert found["members"][0]["stats"] == {"avg_click_rate": 0}
    assert "_links" not in found["members"][0]
    assert "members" not in sandbox.get(MEMBERS, exclude_fields="members")


@pytest.mark.parametrize(
    "params",
    [
        {"fields": "members.id", "exclude_fields": "members.email_address"},
        {"fields": "nothing"},
        {"fields": "members.nothing"},
        {"exclude_fields": "total_items.x.y,nothing"},
    ],
)
def test_bad_fields(sandbox: Sandbox, params: dict[str, str]) -> None:
    """Fields that do not exist, or both parameters at once, are refused with 422."""
    problem = sandbox.problem("GET", MEMBERS, params=params)
    assert (problem["status"], problem["title"]) == (422, "RequestedFieldsInvalid")


def test_time_stands_in_whole_seconds(sandbox: Sandbox) -> None:
    """Moments are ISO 8601 in UTC, in whole seconds."""
    member = sandbox.subscribe(person("ada@people.example"))["new_members"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", member["last_changed"])
