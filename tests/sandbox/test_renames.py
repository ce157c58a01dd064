"""Members who get another address: what stays with them, and which addresses they cannot have."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest
import requests

from tests.sandbox.driver import LIST, Sandbox, person

ADA, BOB, NEW = "ada@people.example", "bob@people.example", "New@people.example"
MEMBERS = f"{LIST}/members"
LONG_AGO = "2020-03-01T12:00:00+00:00"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


def at(email: str) -> str:
    """The path of a member, by hash."""
    return f"{MEMBERS}/{md5(email.lower().encode()).hexdigest()}"


def rename(sandbox: Sandbox, method: str, email: str, **body: Any) -> requests.Response:
    """The answer to a call that names Ada in its path and another address in its body."""
    return sandbox.call(method, at(ADA), {"email_address": email, **body})


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("status", STATUSES)
def test_what_stays(sandbox: Sandbox, method: str, status: str) -> None:
    """A member of any status keeps it with another address, and tags, fields, consent and identity too."""
    sandbox.put(
        {"email": ADA, "status": status, "fname": "Ada", "tags": ["VIP", "Maths"], "last_changed": LONG_AGO}
    )
    before, given = sandbox.get(at(ADA)), sandbox.get(f"{at(ADA)}/tags")["tags"]
    answer = rename(sandbox, method, NEW)
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["email_address"], after["id"]) == (NEW, md5(NEW.lower().encode()).hexdigest())
    assert after["last_changed"] > before["last_changed"] == LONG_AGO
    kept = ("status", "contact_id", "web_id", "merge_fields", "full_name", "timestamp_opt", "ip_opt", "tags")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert sandbox.get(f"{at(NEW)}/tags")["tags"] == given
    assert sandbox.get(MEMBERS, status=status, fields="total_items") == {"total_items": 1}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_old_address(sandbox: Sandbox, method: str) -> None:
    """The old address is nobody's: it is not found, and whoever is added with it is somebody new."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["VIP"]})
    renamed = rename(sandbox, method, NEW).json()
    assert sandbox.problem("GET", at(ADA))["status"] == 404
    added = sandbox.subscribe(person(ADA))["new_members"][0]
    assert (added["tags"], added["contact_id"] == renamed["contact_id"]) == ([], False)


def test_members_of_a_tag(sandbox: Sandbox) -> None:
    """A tag has the member under the new address, by which it can be taken away."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["VIP"]})
    rename(sandbox, "PUT", NEW)
    segment = f"{LIST}/segments/{sandbox.get(f'{LIST}/segments')['segments'][0]['id']}"
    found = sandbox.get(f"{segment}/members", fields="members.email_address")["members"]
    assert found == [{"email_address": NEW}]
    answer = sandbox.call("POST", segment, {"members_to_remove": [ADA, NEW]}).json()
    assert (answer["total_removed"], answer["errors"][0]["email_addresses"]) == (1, [ADA])


def test_together_with_data(sandbox: Sandbox) -> None:
    """The call that renames changes what else it names, and keeps what it does not."""
    sandbox.put({"email": ADA, "status": "subscribed", "fname": "Ada"})
    body = {"status": "unsubscribed", "status_if_new": "subscribed", "merge_fields": {"LNAME": "Lovelace"}}
    member = rename(sandbox, "PUT", NEW, **body).json()
    assert (member["status"], member["full_name"]) == ("unsubscribed", "Ada Lovelace")


@pytest.mark.parametrize("name", ["contact_id", "email_address"])
def test_by_other_names(sandbox: Sandbox, name: str) -> None:
    """A member that the path names by contact id or by address is renamed as well."""
    member = sandbox.call("POST", MEMBERS, person(ADA)).json()
    renamed = sandbox.call("PUT", f"{MEMBERS}/{member[name]}", {"email_address": NEW}).json()
    assert (renamed["contact_id"], renamed["email_address"]) == (member["contact_id"], NEW)


@pytest.mark.parametrize(
    ("body", "status"), [({}, "archived"), ({"status_if_new": "subscribed"}, "subscribed")]
)
def test_archived_in_the_path(sandbox: Sandbox, body: dict[str, str], status: str) -> None:
    """Who is archived is renamed too, and leaves the archive only if a status is sent."""
    sandbox.put({"email": ADA, "status": "archived", "tags": ["VIP"]})
    member = rename(sandbox, "PUT", NEW, **body).json()
    assert (member["email_address"], member["status"], member["tags_count"]) == (NEW, status, 1)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("status", STATUSES)
def test_taken_address(sandbox: Sandbox, method: str, status: str) -> None:
    """An address that is on the list in any status, also archived, is refused, and nothing is changed."""
    sandbox.put({"email": ADA, "status": "subscribed"}, {"email": BOB, "status": status})
    before = sandbox.control("/members")
    problem = sandbox.problem(method, at(ADA), {"email_address": BOB, "merge_fields": {"FNAME": "X"}})
    assert (problem["status"], problem["title"], problem["detail"]) == (
        400,
        "Member Exists",
        f"{BOB} is already a list member. Use PUT to insert or update list members.",
    )
    assert sandbox.control("/members") == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("email", "title"),
    [
        ("gone@people.example", "Forgotten Email Not Subscribed"),
        ("nobody", "Invalid Resource"),
        ("ada@test.com", "Invalid Resource"),
    ],
)
def test_impossible_address(sandbox: Sandbox, method: str, email: str, title: str) -> None:
    """An address that was deleted for good, or that cannot be, is refused, and nothing is changed."""
    sandbox.put({"email": ADA, "status": "subscribed"}, {"email": "gone@people.example", "forgotten": True})
    before = sandbox.control("/members")
    assert sandbox.problem(method, at(ADA), {"email_address": email})["title"] == title
    assert sandbox.control("/members") == before


@pytest.mark.parametrize(
    ("state", "body", "title"),
    [
        (
            {"status": "unsubscribed", "compliance": True},
            {"status": "subscribed"},
            "Member In Compliance State",
        ),
        ({"status": "subscribed"}, {"merge_fields": {"BIRTHDAY": "x"}}, "Invalid Resource"),
    ],
)
def test_refused_as_a_whole(
    sandbox: Sandbox, state: dict[str, Any], body: dict[str, Any], title: str
) -> None:
    """What else is wrong with the call refuses the new address too."""
    sandbox.put({"email": ADA, **state})
    assert sandbox.problem("PUT", at(ADA), {"email_address": NEW, **body})["title"] == title
    assert [member["email"] for member in sandbox.control("/members")["members"]] == [ADA]


def test_opt_out_stays(sandbox: Sandbox) -> None:
    """Who opted out has opted out with the new address as well."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "compliance": True})
    assert rename(sandbox, "PUT", NEW).json()["status"] == "unsubscribed"
    assert sandbox.subscribe(person(NEW))["error_count"] == 1
