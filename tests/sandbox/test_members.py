"""Calls for one member, with all their traps."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from airflow_mailchimp_export.sandbox.problems import SEE_ERRORS
from tests.sandbox.driver import LIST, Sandbox, person

ADA, BOB = "ada@people.example", "bob@people.example"
MEMBERS = f"{LIST}/members"


def at(email: str) -> str:
    """The path of a member, by hash."""
    return f"{MEMBERS}/{md5(email.encode()).hexdigest()}"


def done(sandbox: Sandbox, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The JSON of a call that succeeds."""
    answer = sandbox.call(method, path, body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_three_names_for_a_member(sandbox: Sandbox) -> None:
    """A path names a member by hash, by plain address or by contact id, which is not the hash."""
    member = done(sandbox, "POST", MEMBERS, person("Ada@people.example"))
    assert member["contact_id"] != member["id"]
    for name in (member["id"], member["id"].upper(), "ada%40people.example", member["contact_id"]):
        assert sandbox.get(f"{MEMBERS}/{name}") == member
    for name in ("f" * 32, "nobody@people.example", "nobody"):
        assert sandbox.problem("GET", f"{MEMBERS}/{name}")["title"] == "Resource Not Found"


def test_post_existing(sandbox: Sandbox) -> None:
    """POST refuses who is there already, by a document without a type."""
    done(sandbox, "POST", MEMBERS, person(ADA))
    problem = sandbox.problem("POST", MEMBERS, person(ADA))
    assert (problem["title"], problem["detail"], "type" in problem) == (
        "Member Exists",
        f"{ADA} is already a list member. Use PUT to insert or update list members.",
        False,
    )


def test_post_with_tags(sandbox: Sandbox) -> None:
    """POST takes tags, also for who comes back from the archive."""
    done(sandbox, "POST", MEMBERS, person(ADA, tags=["Old"]))
    sandbox.call("DELETE", at(ADA))
    assert done(sandbox, "POST", MEMBERS, person(ADA, tags=["New"]))["tags_count"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "subscribed"}, "email_address"),
        ({"email_address": ADA}, "status"),
        (person(ADA, "archived"), "status"),
    ],
)
def test_post_incomplete(sandbox: Sandbox, body: dict[str, Any], field: str) -> None:
    """POST needs an address and one of the writable statuses."""
    assert sandbox.problem("POST", MEMBERS, body)["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("state", "title"),
    [
        ({"forgotten": True}, "Forgotten Email Not Subscribed"),
        ({"status": "archived", "compliance": True}, "Member In Compliance State"),
    ],
)
def test_post_refused(sandbox: Sandbox, state: dict[str, Any], title: str) -> None:
    """Who was deleted for good, or opted out, is refused with a title of its own."""
    sandbox.put({"email": ADA, **state})
    assert sandbox.problem("POST", MEMBERS, person(ADA))["title"] == title


def test_all_merge_errors(sandbox: Sandbox) -> None:
    """A call for one member names every field that is wrong."""
    body = person(ADA, merge_fields={"BIRTHDAY": "x", "ADDRESS": {"addr1": "x"}})
    problem = sandbox.problem("POST", MEMBERS, body)
    assert problem["detail"] == "Your merge fields were invalid."
    assert {error["field"] for error in problem["errors"]} == {"BIRTHDAY", "ADDRESS"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (person("nobody"), "Please provide a valid email address."),
        (person("a@test.com"), "a@test.com looks fake or invalid, please enter a real email address."),
        (person(ADA, tags=[""]), "The name of a tag is empty or too long."),
        (
            person(ADA, ip_opt="x"),
            SEE_ERRORS,
        ),
    ],
)
def test_post_invalid(sandbox: Sandbox, body: dict[str, Any], text: str) -> None:
    """Bad addresses, tags and evidence are invalid resources, in the words of the bulk call."""
    problem = sandbox.problem("POST", MEMBERS, body)
    assert (problem["title"], problem["detail"]) == ("Invalid Resource", text)


def test_put_new(sandbox: Sandbox) -> None:
    """PUT makes a member by status_if_new or by status, with tags, and not without either."""
    assert (
        done(sandbox, "PUT", at(ADA), {"email_address": ADA, "status_if_new": "pending"})["status"]
        == "pending"
    )
    assert done(sandbox, "PUT", at(BOB), person(BOB, tags=["VIP"]))["tags_count"] == 1
    problem = sandbox.problem("PUT", at("c@people.example"), {"email_address": "c@people.example"})
    assert problem["errors"][0]["field"] == "status_if_new"


def test_put_keeps(sandbox: Sandbox) -> None:
    """PUT keeps what is not sent; status_if_new and tags do nothing to who is there."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "fname": "Ada", "tags": ["VIP"]})
    body = {
        "email_address": ADA,
        "status_if_new": "subscribed",
        "tags": ["New"],
        "merge_fields": {"LNAME": "L"},
    }
    member = done(sandbox, "PUT", at(ADA), body)
    assert (member["status"], member["full_name"], member["tags_count"]) == ("unsubscribed", "Ada L", 1)


def test_put_with_wrong_hash(sandbox: Sandbox) -> None:
    """PUT under a hash that is not the address's own says Member Exists, if the address is on the list."""
    sandbox.put({"email": ADA, "status": "subscribed"}, {"email": BOB, "status": "subscribed"})
    untrimmed = f"{MEMBERS}/{md5(b'Ada@people.example').hexdigest()}"
    for path in (untrimmed, at(BOB)):
        assert sandbox.problem("PUT", path, person(ADA))["title"] == "Member Exists"
    assert (
        done(sandbox, "PUT", untrimmed, person("new@people.example"))["email_address"] == "new@people.example"
    )


def test_put_renames(sandbox: Sandbox) -> None:
    """PUT under an existing hash with a free address renames the member."""
    old = done(sandbox, "POST", MEMBERS, person(ADA))
    new = done(sandbox, "PUT", at(ADA), person(BOB))
    assert (new["email_address"], new["contact_id"]) == (BOB, old["contact_id"])
    assert sandbox.problem("GET", at(ADA))["status"] == 404


def test_put_restores(sandbox: Sandbox) -> None:
    """PUT brings back who was archived, with the old tags, under the right hash and under a wrong one."""
    sandbox.put({"email": ADA, "status": "archived", "tags": ["Old"]})
    assert done(sandbox, "PUT", at(ADA), {"email_address": ADA})["status"] == "archived"
    restored = done(sandbox, "PUT", at(ADA), {"email_address": ADA, "status_if_new": "subscribed"})
    assert (restored["status"], restored["tags_count"]) == ("subscribed", 1)
    sandbox.call("DELETE", at(ADA))
    assert done(sandbox, "PUT", at(BOB), person(ADA))["tags_count"] == 1


def test_put_without_address(sandbox: Sandbox) -> None:
    """PUT needs no address for who is there, but for a new member."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    assert done(sandbox, "PUT", at(ADA), {"vip": True})["vip"] is True
    assert sandbox.problem("PUT", at(BOB), {"status": "subscribed"})["errors"][0]["field"] == "email_address"


def test_put_against_compliance(sandbox: Sandbox) -> None:
    """PUT does not subscribe who opted out."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "compliance": True})
    assert sandbox.problem("PUT", at(ADA), person(ADA))["title"] == "Member In Compliance State"


def test_patch(sandbox: Sandbox) -> None:
    """PATCH changes who is there, renames, and says Member Exists if the new address is taken."""
    sandbox.put({"email": ADA, "status": "subscribed"}, {"email": BOB, "status": "subscribed"})
    changed = done(sandbox, "PATCH", at(ADA), {"status": "unsubscribed"})
    assert (changed["status"], changed["unsubscribe_reason"]) == (
        "unsubscribed",
        "N/A (Unsubscribed by admin)",
    )
    assert sandbox.problem("PATCH", at(ADA), {"email_address": BOB})["title"] == "Member Exists"
    assert done(sandbox, "PATCH", at(ADA), {"email_address": "c@people.example"})["full_name"] == ""
    assert sandbox.problem("PATCH", at(ADA), {})["status"] == 404


def test_patch_to_cleaned(sandbox: Sandbox) -> None:
    """PATCH moves a member to any status that it knows, and keeps the moment of consent that it is told."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    told = {"status": "cleaned", "timestamp_opt": "2026-01-01T00:00:00Z"}
    changed = done(sandbox, "PATCH", at(ADA), told)
    assert (changed["status"], changed["timestamp_opt"]) == ("cleaned", "2026-01-01T00:00:00+00:00")


def test_patch_to_transactional(sandbox: Sandbox) -> None:
    """PATCH does not know the status transactional."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    assert sandbox.problem("PATCH", at(ADA), {"status": "transactional"})["errors"][0]["message"] == (
        "Data presented is not one of the accepted values: subscribed, unsubscribed, cleaned, pending."
    )


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed", "transactional"])
def test_archive(sandbox: Sandbox, status: str) -> None:
    """DELETE archives a member, who is still found, as archived."""
    sandbox.put({"email": ADA, "status": status})
    answer = sandbox.call("DELETE", at(ADA))
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.get(at(ADA))["status"] == "archived"


@pytest.mark.parametrize("status", ["pending", "cleaned", "archived"])
def test_archive_refused(sandbox: Sandbox, status: str) -> None:
    """DELETE refuses members that are pending, cleaned or archived with 405 and what is allowed."""
    sandbox.put({"email": ADA, "status": status})
    answer = sandbox.call("DELETE", at(ADA))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, PUT")
    assert answer.json()["detail"] == (
        "This list member cannot be removed. Can not archive a contact that is bounced, pending or archived"
    )


def test_delete_permanently(sandbox: Sandbox) -> None:
    """Who is deleted for good is gone, as if new, but cannot be imported; only the hash names them."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["VIP"]})
    assert sandbox.problem("POST", f"{MEMBERS}/{ADA}/actions/delete-permanent")["status"] == 404
    assert sandbox.call("POST", f"{at(ADA)}/actions/delete-permanent").status_code == 204
    assert sandbox.problem("GET", at(ADA))["status"] == 404
    assert sandbox.get(f"{LIST}/segments")["segments"][0]["member_count"] == 0
    assert sandbox.subscribe(person(ADA))["error_count"] == 1


def test_put_forgotten(sandbox: Sandbox) -> None:
    """A member on the list can be made forgotten by the control endpoint too."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    sandbox.put({"email": ADA, "forgotten": "true"})
    assert sandbox.problem("GET", at(ADA))["status"] == 404


def test_tags(sandbox: Sandbox) -> None:
    """POST tags adds and removes by name, makes unknown tags, and leaves the others alone."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["Kept", "Dropped"]})
    wanted = {"Dropped": "inactive", "Made": "active", "Kept": "active", "Unknown": "inactive"}
    body = {"tags": [{"name": name, "status": status} for name, status in wanted.items()], "is_syncing": True}
    answer = sandbox.call("POST", f"{at(ADA)}/tags", body)
    assert (answer.status_code, answer.content) == (204, b"")
    found = sandbox.get(f"{MEMBERS}/{ADA}/tags", fields="tags.name,total_items")
    assert found == {"tags": [{"name": "Kept"}, {"name": "Made"}], "total_items": 2}
    assert sandbox.call("POST", f"{at(ADA)}/tags", {"tags": []}).status_code == 204


def test_tags_by_hash_only(sandbox: Sandbox) -> None:
    """POST tags does not take an address in its path, and 404s for who is not there."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    for path in (f"{MEMBERS}/{ADA}", at(BOB)):
        assert sandbox.problem("POST", f"{path}/tags", {"tags": []})["status"] == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tags": {}},
        {"tags": ["VIP"]},
        {"tags": [{"name": "VIP"}]},
        {"tags": [{"name": "VIP", "status": "on"}]},
        {"tags": [{"name": "", "status": "active"}]},
        {"tags": [{"name": "x" * 101, "status": "active"}]},
    ],
)
def test_bad_tags(sandbox: Sandbox, body: dict[str, Any]) -> None:
    """Tags without a name or a status, or with ones that cannot be, are refused."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    assert sandbox.problem("POST", f"{at(ADA)}/tags", body)["title"] == "Invalid Resource"


def test_fifty_tags(sandbox: Sandbox) -> None:
    """A member shows 50 tags at most, and tells how many there are."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": [f"T{n}" for n in range(60)]})
    member = sandbox.get(at(ADA))
    assert (len(member["tags"]), member["tags_count"]) == (50, 60)
    assert len(sandbox.get(f"{at(ADA)}/tags", count=1000)["tags"]) == 60


def test_tag_search(sandbox: Sandbox) -> None:
    """The search finds tags by how they begin; without a name it gives all, on one page."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": [f"T{n}" for n in range(12)]})
    found = sandbox.get(f"{LIST}/tag-search", name="t1")
    assert [tag["name"] for tag in found["tags"]] == ["T1", "T10", "T11"]
    assert sandbox.get(f"{LIST}/tag-search")["total_items"] == 12
