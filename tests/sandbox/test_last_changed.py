"""When a member changed last, and who is found by that: members are read in portions by these moments."""

from __future__ import annotations

from hashlib import md5
from itertools import product
from typing import Any

import pytest

from tests.sandbox.driver import LIST, Sandbox, person

ADA, BOB = "ada@people.example", "bob@people.example"
MEMBERS = f"{LIST}/members"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
NOON = "2020-03-01T12:00:00+00:00"


def at(email: str) -> str:
    """The path of a member, by hash."""
    return f"{MEMBERS}/{md5(email.encode()).hexdigest()}"


def found(sandbox: Sandbox, **params: Any) -> list[str]:
    """The names of those who are found, which have to be as many as the answer says."""
    answer = sandbox.get(MEMBERS, fields="members.email_address,total_items", **{"count": 1000, **params})
    assert answer["total_items"] == len(answer["members"])
    return [member["email_address"].partition("@")[0] for member in answer["members"]]


CHANGES: dict[str, tuple[str, str, str, dict[str, Any] | None]] = {
    "a field": ("subscribed", "PATCH", at(ADA), {"merge_fields": {"FNAME": "Ada"}}),
    "a mark": ("subscribed", "PATCH", at(ADA), {"vip": True}),
    "a moment of consent": ("subscribed", "PATCH", at(ADA), {"timestamp_opt": "2019-01-01"}),
    "another address": ("subscribed", "PATCH", at(ADA), {"email_address": "new@people.example"}),
    "another address by PUT": ("archived", "PUT", at(ADA), {"email_address": "new@people.example"}),
    "leaves": ("subscribed", "PATCH", at(ADA), {"status": "unsubscribed"}),
    "comes back": ("unsubscribed", "PUT", at(ADA), person(ADA)),
    "bounces": ("subscribed", "PATCH", at(ADA), {"status": "cleaned"}),
    "confirms": ("pending", "PATCH", at(ADA), {"status": "subscribed"}),
    "is asked again": ("unsubscribed", "PATCH", at(ADA), {"status": "pending"}),
    "becomes transactional": ("subscribed", "PUT", at(ADA), person(ADA, "transactional")),
    "was transactional": ("transactional", "PUT", at(ADA), person(ADA)),
    "is archived": ("subscribed", "DELETE", at(ADA), None),
    "leaves the archive": ("archived", "POST", MEMBERS, person(ADA)),
    "leaves in bulk": ("subscribed", "POST", LIST, {"members": [person(ADA, "unsubscribed")]}),
    "a field in bulk": ("unsubscribed", "POST", LIST, {"members": [person(ADA, None, vip=True)]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_moves_it(sandbox: Sandbox, change: str) -> None:
    """Whatever changes a member moves its moment to now."""
    status, method, path, body = CHANGES[change]
    sandbox.put({"email": ADA, "status": status, "last_changed": NOON})
    if isinstance(body, dict) and "members" in body:
        body = {**body, "update_existing": True}
    answer = sandbox.call(method, path, body)
    assert answer.status_code in (200, 204), answer.text
    now = sandbox.control("/overview")["now"]
    member = sandbox.control("/members")["members"][0]
    assert NOON < member["last_changed"] <= now


@pytest.mark.parametrize("status", STATUSES)
def test_no_change_keeps_it(sandbox: Sandbox, status: str) -> None:
    """What leaves a member as it was leaves its moment alone, in any status."""
    sandbox.put({"email": ADA, "status": status, "fname": "Ada", "tags": ["VIP"], "last_changed": NOON})
    assert sandbox.call("PUT", at(ADA), {"merge_fields": {"FNAME": "Ada"}}).status_code == 200
    assert sandbox.member(ADA)["last_changed"] == NOON


@pytest.mark.parametrize("status", STATUSES)
def test_filters_in_every_status(sandbox: Sandbox, status: str) -> None:
    """In every status, who changed after a moment and who changed before it are found, to the second."""
    for number, (one, second) in enumerate(product(STATUSES, (59, 0, 1))):
        moment = f"2020-03-01T{11 if second == 59 else 12}:{59 if second == 59 else 0:02}:{second:02}Z"
        sandbox.put(
            {"email": f"{one}{second}.{number}@people.example", "status": one, "last_changed": moment}
        )
    first = STATUSES.index(status) * 3
    early, noon, late = (f"{status}{second}.{first + place}" for place, second in enumerate((59, 0, 1)))
    assert found(sandbox, status=status) == [early, noon, late]
    assert found(sandbox, status=status, since_last_changed=NOON) == [late]
    assert found(sandbox, status=status, before_last_changed=NOON) == [early]
    assert found(sandbox, status=status, since_last_changed="2020-03-01T11:59:59.5Z") == [noon, late]
    assert found(sandbox, status=status, before_last_changed="2020-03-01T12:00:00.5Z") == [early, noon]
    between = {"since_last_changed": "2020-03-01T11:59:59Z", "before_last_changed": "2020-03-01T12:00:01Z"}
    assert found(sandbox, status=status, **between) == [noon]


def test_pages_of_a_filter(sandbox: Sandbox) -> None:
    """Each page of a filter says how many there are in all."""
    sandbox.put(*({"email": f"p{n}@people.example", "status": "archived"} for n in range(25)))
    params = {
        "status": "archived",
        "since_last_changed": NOON,
        "count": 10,
        "fields": "total_items,members.id",
    }
    pages = [sandbox.get(MEMBERS, offset=offset, **params) for offset in (0, 10, 20, 30)]
    assert [(page["total_items"], len(page["members"])) for page in pages] == [
        (25, 10),
        (25, 10),
        (25, 5),
        (25, 0),
    ]


def test_archived_only_if_asked_for(sandbox: Sandbox) -> None:
    """A filter by moment without a status does not find who is archived."""
    sandbox.put({"email": ADA, "status": "archived"}, {"email": BOB, "status": "cleaned"})
    assert found(sandbox, since_last_changed=NOON) == ["bob"]
    sandbox.set(unfiltered_archived=True)
    assert found(sandbox, since_last_changed=NOON) == ["ada", "bob"]


@pytest.mark.parametrize("since", ["2020-03-01T11:59:59Z", "2020-03-01T12:00:00Z"])
def test_unsubscribed_since_is_not_last_changed(sandbox: Sandbox, since: str) -> None:
    """Who left at noon and changed later is found by when they left."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "last_changed": NOON})
    sandbox.call("PATCH", at(ADA), {"merge_fields": {"FNAME": "Ada"}})
    expected = ["ada"] if since < NOON[:19] else []
    assert found(sandbox, status="unsubscribed", unsubscribed_since=since) == expected
    assert found(sandbox, status="unsubscribed", since_last_changed=since) == ["ada"]


def test_unsubscribed_again(sandbox: Sandbox) -> None:
    """Who came back and left again left the last time."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "last_changed": NOON})
    for status in ("subscribed", "unsubscribed"):
        assert sandbox.call("PATCH", at(ADA), {"status": status}).status_code == 200
    assert found(sandbox, status="unsubscribed", unsubscribed_since=NOON) == ["ada"]


def test_new_as_unsubscribed(sandbox: Sandbox) -> None:
    """Who was added as unsubscribed left at that moment."""
    sandbox.subscribe(person(ADA, "unsubscribed"))
    assert found(sandbox, status="unsubscribed", unsubscribed_since=NOON) == ["ada"]
    assert found(sandbox, status="unsubscribed", unsubscribed_since="2099-01-01") == []


def test_consent_of_who_comes_back(sandbox: Sandbox) -> None:
    """Who comes back consents now, or when the call says so, and not when they consented before."""
    sandbox.subscribe(person(ADA, timestamp_opt=NOON), person(BOB, timestamp_opt=NOON))
    sandbox.subscribe(person(ADA, "unsubscribed"), person(BOB, "unsubscribed"))
    one = "2020-03-02T12:00:00+00:00"
    members = sandbox.subscribe(person(ADA), person(BOB, timestamp_opt=one))["updated_members"]
    assert members[0]["timestamp_opt"] == members[0]["last_changed"]
    assert members[1]["timestamp_opt"] == one


def test_consent_of_who_confirms(sandbox: Sandbox) -> None:
    """Who is asked has not consented, and who confirms does so at that moment."""
    asked = sandbox.subscribe(person(ADA, "pending"))["new_members"][0]
    confirmed = sandbox.subscribe(person(ADA))["updated_members"][0]
    assert (asked["timestamp_opt"], confirmed["timestamp_opt"]) == ("", confirmed["last_changed"])
