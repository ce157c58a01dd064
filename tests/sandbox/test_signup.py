"""People who come back by themselves, through the signup form."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import LIST, Sandbox, person

ADA = "ada@people.example"
MEMBERS = f"{LIST}/members"
LONG_AGO = "2020-03-01T12:00:00+00:00"
STATES: list[dict[str, Any]] = [
    {"status": "unsubscribed"},
    {"status": "unsubscribed", "compliance": True},
    {"status": "cleaned"},
    {"status": "archived"},
    {"status": "archived", "compliance": True},
    {"status": "pending"},
    {"status": "transactional"},
]


def sign_up(sandbox: Sandbox, **body: Any) -> requests.Response:
    """The answer to a form that is filled in."""
    return requests.post(f"{sandbox.url}/sandbox/signup", json=body, timeout=PATIENCE)


@pytest.mark.parametrize("state", STATES)
def test_back_from_every_state(sandbox: Sandbox, state: dict[str, Any]) -> None:
    """Who fills in the form is subscribed from now on, with the tags, the values and the id of before."""
    sandbox.put({"email": ADA, "fname": "Ada", "tags": ["VIP"], "last_changed": LONG_AGO, **state})
    before = sandbox.get(f"{MEMBERS}/{ADA}")
    shown = sign_up(sandbox, email=ADA).json()
    after = sandbox.get(f"{MEMBERS}/{ADA}")
    assert (shown["status"], shown["compliance"], shown["tags"]) == ("subscribed", False, ["VIP"])
    assert after["last_changed"] == after["timestamp_opt"] == after["timestamp_signup"] > LONG_AGO
    assert (after["contact_id"], after["full_name"]) == (before["contact_id"], "Ada")
    assert sandbox.get(MEMBERS, status="subscribed", since_last_changed=LONG_AGO)["total_items"] == 1


def test_back_after_a_deletion(sandbox: Sandbox) -> None:
    """Who was deleted for good comes back as somebody new, and can be imported again."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["VIP"]})
    old = sandbox.get(f"{MEMBERS}/{ADA}")
    sandbox.put({"email": ADA, "forgotten": True})
    assert sandbox.subscribe(person(ADA))["error_count"] == 1
    assert sign_up(sandbox, email=" Ada@people.example ").json()["email"] == "Ada@people.example"
    new = sandbox.get(f"{MEMBERS}/{ADA}")
    assert (new["status"], new["tags"], new["id"]) == ("subscribed", [], old["id"])
    assert new["contact_id"] != old["contact_id"]
    assert sandbox.subscribe(person(ADA))["total_updated"] == 1


def test_opting_out_again(sandbox: Sandbox) -> None:
    """Who came back by the form can be unsubscribed and subscribed by the API, as anybody."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "compliance": True})
    sign_up(sandbox, email=ADA)
    sandbox.subscribe(person(ADA, "unsubscribed"))
    assert sandbox.subscribe(person(ADA))["updated_members"][0]["status"] == "subscribed"


def test_new_person(sandbox: Sandbox) -> None:
    """Somebody new is on the list, with the values that the form asked for and without required ones."""
    body = {"name": "Town", "type": "text", "tag": "TOWN", "required": True}
    assert sandbox.call("POST", f"{LIST}/merge-fields", body).status_code == 200
    sign_up(sandbox, email=ADA, merge_fields={"FNAME": "Ada"})
    member = sandbox.get(f"{MEMBERS}/{ADA}")
    assert (member["status"], member["full_name"], member["timestamp_opt"]) == (
        "subscribed",
        "Ada",
        member["timestamp_signup"],
    )


def test_subscribed_already(sandbox: Sandbox) -> None:
    """Who is subscribed already consented before, and changes the values only."""
    sandbox.put({"email": ADA, "status": "subscribed", "last_changed": LONG_AGO})
    sign_up(sandbox, email=ADA, merge_fields={"FNAME": "Ada"})
    member = sandbox.get(f"{MEMBERS}/{ADA}")
    assert (member["timestamp_opt"], member["full_name"]) == (LONG_AGO, "Ada")
    assert member["last_changed"] > LONG_AGO


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "A person who signs up needs an address."),
        ({"email": "nobody"}, 400, "A person who signs up needs an address."),
        ({"email": ADA, "audience": "x"}, 404, "There is no such audience."),
        (
            {"email": ADA, "merge_fields": {"BIRTHDAY": "x"}},
            400,
            "BIRTHDAY: Please enter the month (01-12) and the day (01-31)",
        ),
    ],
)
def test_refused(sandbox: Sandbox, body: dict[str, Any], status: int, error: str) -> None:
    """A form that cannot be sent off says why, and lets nobody back."""
    sandbox.put({"email": ADA, "forgotten": True})
    answer = sign_up(sandbox, **body)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert sandbox.subscribe(person(ADA))["error_count"] == 1
