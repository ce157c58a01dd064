"""Merge fields: what their types accept, and how the fields themselves are managed."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from airflow_mailchimp_export.sandbox.merge_fields import ANY_OF
from tests.sandbox.driver import LIST, Sandbox, person

ADA = "ada@people.example"
FIELDS = f"{LIST}/merge-fields"
BY_HASH = f"{LIST}/members/{md5(ADA.encode()).hexdigest()}"
HOME = {"addr1": "1 High St", "city": "London", "state": "-", "zip": "N1"}
STORED_HOME = {
    "addr1": "1 High St",
    "addr2": "",
    "city": "London",
    "state": "-",
    "zip": "N1",
    "country": "US",
}


def add(sandbox: Sandbox, kind: str, **more: Any) -> dict[str, Any]:
    """A new merge field with the tag X."""
    answer = sandbox.call("POST", FIELDS, {"name": "X", "tag": "X", "type": kind, **more})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("text", "ü" * 200, "ü" * 127),
        ("text", 7, "7"),
        ("text", "", ""),
        ("number", 7, 7),
        ("number", 7.5, 7.5),
        ("number", "-8.5", -8.5),
        ("number", "9", 9),
        ("address", HOME, STORED_HOME),
        ("address", {**HOME, "country": "GB"}, {**STORED_HOME, "country": "GB"}),
        ("address", "", ""),
        ("phone", "000", "000"),
        ("date", "2026-02-01", "2026-02-01"),
        ("date", "2026/02/01", "2026-02-01"),
        ("date", "01-02-2026", "2026-02-01"),
        ("date", "02/01/2026", "2026-02-01"),
        ("birthday", "2/29", "02/29"),
        ("url", "https://people.example/a", "https://people.example/a"),
        ("imageurl", "http://people.example/a.png", "http://people.example/a.png"),
        ("zip", "30308", "30308"),
        ("zip", 30308, "30308"),
    ],
)
def test_accepted(sandbox: Sandbox, kind: str, value: Any, stored: Any) -> None:
    """Each type takes its values, some of them in several forms, and text is cut at 255 bytes."""
    add(sandbox, kind)
    answer = sandbox.subscribe(person(ADA, merge_fields={"X": value}))
    assert answer["new_members"][0]["merge_fields"]["X"] == stored


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("text", None, ANY_OF),
        ("text", ["a"], ANY_OF),
        ("text", True, ANY_OF),
        ("text", HOME, ANY_OF),
        ("number", "AAAAA", "Please enter a number"),
        ("address", {"addr1": "1 High St"}, "Please enter a complete address"),
        ("address", {**HOME, "zip": 5}, ANY_OF),
        ("address", "1 High St", ANY_OF),
        ("date", "1.2.2026", "Please enter a valid date"),
        ("birthday", "30/02", "Please enter the month (01-12) and the day (01-31)"),
        ("birthday", "1 May", "Please enter the month (01-12) and the day (01-31)"),
        ("url", "people", "Please enter a valid URL"),
        ("zip", "303", "Please enter a zip code (5 digits)"),
    ],
)
def test_refused(sandbox: Sandbox, kind: str, value: Any, message: str) -> None:
    """A value that does not fit refuses its member, and names the field."""
    add(sandbox, kind)
    error = sandbox.subscribe(person(ADA, merge_fields={"X": value}), person("bob@people.example"))["errors"][
        0
    ]
    assert (error["error"], error["field"], error["field_message"]) == (
        "Your merge fields were invalid.",
        "X",
        message,
    )


@pytest.mark.parametrize("kind", ["radio", "dropdown"])
def test_choices(sandbox: Sandbox, kind: str) -> None:
    """A field with choices takes one of them, and its message ends as Mailchimp's does."""
    add(sandbox, kind, options={"choices": ["m", "w"]})
    answer = sandbox.subscribe(person(ADA, merge_fields={"X": "z"}))
    assert answer["errors"][0]["field_message"] == "Value must be one of: m, w,  (not z)"
    assert sandbox.subscribe(person(ADA, merge_fields={"X": "m"}))["total_created"] == 1


def test_us_phone(sandbox: Sandbox) -> None:
    """A phone field in US format takes nothing but NNN-NNN-NNNN."""
    add(sandbox, "phone", options={"phone_format": "US"})
    answer = sandbox.subscribe(
        person(ADA, merge_fields={"X": "+49 30 1"}),
        person("b@people.example", merge_fields={"X": "404-555-0100"}),
    )
    assert (answer["error_count"], answer["total_created"]) == (1, 1)


def test_required(sandbox: Sandbox) -> None:
    """A required field has to be sent, unless it is there already or the check is skipped."""
    add(sandbox, "text", required=True)
    error = sandbox.subscribe(person(ADA))["errors"][0]
    assert (error["field"], error["field_message"]) == ("X", "Please enter a value")
    assert sandbox.subscribe(person(ADA), query="skip_merge_validation=true")["total_created"] == 1
    assert sandbox.subscribe(person(ADA, merge_fields={"X": "x"}))["total_updated"] == 1
    assert sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}))["total_updated"] == 1


@pytest.mark.parametrize("query", ["", "?skip_merge_validation=false", "?skip_merge_validation=true"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", BY_HASH, {"email_address": ADA}),
        ("PUT", BY_HASH, {"email_address": "new@people.example"}),
        ("PATCH", BY_HASH, {"email_address": "new@people.example"}),
        ("PUT", f"{LIST}/members/{'0' * 32}", person("new@people.example")),
        ("POST", f"{LIST}/members", person("new@people.example")),
    ],
)
def test_required_later(sandbox: Sandbox, method: str, path: str, body: Any, query: str) -> None:
    """A field that becomes required is missing in every call for one member, unless that check is skipped."""
    sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}))
    add(sandbox, "text", required=True)
    answer = sandbox.call(method, f"{path}{query}", body)
    if query.endswith("true"):
        assert (answer.status_code, answer.json()["merge_fields"]["X"]) == (200, "")
    else:
        assert (answer.status_code, answer.json()["title"]) == (400, "Invalid Resource")
        assert answer.json()["errors"] == [{"field": "X", "message": "Please enter a value"}]
        assert [one["email"] for one in sandbox.control("/members")["members"]] == [ADA]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_required_and_there(sandbox: Sandbox, method: str) -> None:
    """A required field that the member has need not be sent again, and cannot be emptied."""
    sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}))
    assert sandbox.call("PATCH", f"{FIELDS}/1", {"required": True}).json()["required"] is True
    assert sandbox.call(method, BY_HASH, {"merge_fields": {"LNAME": "Lovelace"}}).status_code == 200
    assert sandbox.problem(method, BY_HASH, {"merge_fields": {"FNAME": ""}})["errors"][0]["field"] == "FNAME"


def test_required_later_in_bulk(sandbox: Sandbox) -> None:
    """In a bulk call those are refused who lack the field, new ones and old ones."""
    sandbox.subscribe(person(ADA), person("bob@people.example", merge_fields={"FNAME": "Bob"}))
    sandbox.call("PATCH", f"{FIELDS}/1", {"required": True})
    people = [person(email, None) for email in (ADA, "bob@people.example")]
    answer = sandbox.subscribe(*people, person("new@people.example"))
    assert [error["email_address"] for error in answer["errors"]] == [ADA, "new@people.example"]
    assert {error["field_message"] for error in answer["errors"]} == {"Please enter a value"}
    skipped = sandbox.subscribe(*people, person("new@people.example"), query="skip_merge_validation=true")
    assert (skipped["total_updated"], skipped["total_created"]) == (2, 1)


def test_unknown_tags_are_dropped(sandbox: Sandbox) -> None:
    """Values for tags that do not exist, or in the wrong case, vanish without a word."""
    answer = sandbox.subscribe(person(ADA, merge_fields={"NOSUCH": "x", "fname": "Ada"}))
    assert set(answer["new_members"][0]["merge_fields"].values()) == {""}


def test_new_field(sandbox: Sandbox) -> None:
    """A new field gets an id, a tag in upper case, and is blank for who was there before."""
    sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}))
    made = add(sandbox, "text", tag="town_1", help_text="Where?", public=True)
    assert (made["merge_id"], made["tag"], made["help_text"], made["merge_field_limit"]) == (
        6,
        "TOWN_1",
        "Where?",
        30,
    )
    member = sandbox.get(f"{LIST}/members/{ADA}")
    assert (member["merge_fields"]["FNAME"], member["merge_fields"]["TOWN_1"]) == ("Ada", "")


def test_made_up_tag(sandbox: Sandbox) -> None:
    """A field without a tag gets one from its number."""
    made = sandbox.call("POST", FIELDS, {"name": "Town", "type": "text"}).json()
    assert made["tag"] == f"MMERGE{made['merge_id']}"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "text"},
        {"name": "X", "type": "poem"},
        {"name": "X", "type": "dropdown"},
        {"name": "X", "type": "text", "tag": "ELEVENCHARS"},
        {"name": "X", "type": "text", "tag": "A-B"},
        {"name": "X", "type": "text", "tag": "FNAME"},
        {"name": "X", "type": "text", "tag": "email"},
        {"name": "X", "type": "text", "required": "yes"},
    ],
)
def test_refused_field(sandbox: Sandbox, body: dict[str, Any]) -> None:
    """A field without a name, of no type, or with a tag that is too long, malformed or taken is refused."""
    assert sandbox.problem("POST", FIELDS, body)["title"] == "Invalid Resource"
    assert sandbox.get(FIELDS)["total_items"] == 5


def test_field_limit(sandbox: Sandbox) -> None:
    """An audience takes no more fields than its limit."""
    sandbox.set(merge_field_limit=5)
    assert sandbox.problem("POST", FIELDS, {"name": "X", "type": "text"})["status"] == 400


def test_listing_fields(sandbox: Sandbox) -> None:
    """Fields are listed in pages, by type, and by whether they are required; EMAIL is not among them."""
    add(sandbox, "number", required=True)
    assert [one["tag"] for one in sandbox.get(FIELDS, count=1, offset=1)["merge_fields"]] == ["LNAME"]
    assert [one["tag"] for one in sandbox.get(FIELDS, type="number")["merge_fields"]] == ["X"]
    assert sandbox.get(FIELDS, required="false", fields="total_items") == {"total_items": 5}


def test_changing_a_field(sandbox: Sandbox) -> None:
    """A field's tag can be changed and its values come along; its type stays."""
    sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}))
    changed = sandbox.call("PATCH", f"{FIELDS}/1", {"tag": "GIVEN", "type": "number"}).json()
    assert (changed["tag"], changed["type"]) == ("GIVEN", "text")
    assert sandbox.member(ADA)["merge_fields"] == {"GIVEN": "Ada"}


def test_deleting_a_field(sandbox: Sandbox) -> None:
    """A deleted field is gone with its values, and the others keep theirs."""
    sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada", "LNAME": "Lovelace"}))
    assert sandbox.call("DELETE", f"{FIELDS}/1").status_code == 204
    assert sandbox.member(ADA)["merge_fields"] == {"LNAME": "Lovelace"}
    assert sandbox.problem("GET", f"{FIELDS}/1")["status"] == 404
