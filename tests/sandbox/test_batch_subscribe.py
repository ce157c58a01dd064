"""``POST /lists/{list_id}``: what becomes of each member of a bulk call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import LIST, Sandbox, person

ADA, BOB = "ada@people.example", "bob@people.example"
SEE_ERRORS = (
    "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
)


def the_error(answer: dict[str, Any]) -> dict[str, Any]:
    """The only error of a bulk answer that took nobody."""
    assert (answer["new_members"], answer["updated_members"], answer["error_count"]) == ([], [], 1)
    error: dict[str, Any] = answer["errors"][0]
    return error


def test_new_member(sandbox: Sandbox) -> None:
    """A new member is shown with its values, tags, consent and ids."""
    answer = sandbox.subscribe(person(" Ada@People.example ", merge_fields={"FNAME": "Ada"}, tags=["VIP"]))
    member = answer["new_members"][0]
    assert (answer["total_created"], answer["total_updated"], answer["error_count"]) == (1, 0, 0)
    assert member["email_address"] == "Ada@People.example"
    assert member["merge_fields"] == {"FNAME": "Ada", "LNAME": "", "ADDRESS": "", "PHONE": "", "BIRTHDAY": ""}
    assert (member["tags_count"], [tag["name"] for tag in member["tags"]]) == (1, ["VIP"])
    assert (member["ip_opt"], member["timestamp_signup"], member["source"]) == (
        "127.0.0.1",
        "",
        "API - Generic",
    )
    assert {"contact_id", "unique_email_id", "web_id", "location", "stats", "_links"} < member.keys()


def test_id_is_md5_of_lower_case(sandbox: Sandbox) -> None:
    """A member's id is the md5 of the address in lower case."""
    member = sandbox.subscribe(person("Urist.McVankab@freddiesjokes.com"))["new_members"][0]
    assert member["id"] == "62eeb292278cc15f5817cb78f7790b08"


def test_existing_member_without_update(sandbox: Sandbox) -> None:
    """Without update_existing, who is there already is refused with a code of its own."""
    sandbox.subscribe(person(ADA))
    error = the_error(sandbox.subscribe(person(ADA, merge_fields={"FNAME": "X"}), update_existing=False))
    assert error["error_code"] == "ERROR_CONTACT_EXISTS"
    assert error["error"] == (
        f"{ADA} is already a list member, do you want to update? "
        "please provide update_existing:true in the request body"
    )
    assert sandbox.member(ADA)["merge_fields"] == {}


def test_update_keeps_what_is_not_sent(sandbox: Sandbox) -> None:
    """An update keeps the fields, the status and the tags that it does not name."""
    sandbox.subscribe(person(ADA, "unsubscribed", merge_fields={"FNAME": "Ada", "LNAME": "L"}, tags=["VIP"]))
    answer = sandbox.subscribe(person(ADA, None, merge_fields={"LNAME": "Lovelace"}, tags=["Maths"]))
    assert answer["total_updated"] == 1
    member = sandbox.member(ADA)
    assert member["merge_fields"] == {"FNAME": "Ada", "LNAME": "Lovelace"}
    assert (member["status"], member["tags"]) == ("unsubscribed", ["VIP", "Maths"])


def test_tags_are_shared(sandbox: Sandbox) -> None:
    """Members that are sent with the same tags each have them, and lose them alone."""
    sandbox.subscribe(person(ADA, tags=["VIP", "New"]), person(BOB, tags=["VIP", "New"]))
    sandbox.subscribe(person(ADA), sync_tags=True)
    assert (sandbox.member(ADA)["tags"], sandbox.member(BOB)["tags"]) == ([], ["VIP", "New"])


def test_sync_tags_replaces_tags_of_existing(sandbox: Sandbox) -> None:
    """With sync_tags, tags that others have set are gone, also where no tags are sent."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["Theirs"]})
    sandbox.put({"email": BOB, "status": "subscribed", "tags": "Theirs;Mine"})
    sandbox.subscribe(person(ADA, tags=["Mine"]), person(BOB), sync_tags=True)
    assert (sandbox.member(ADA)["tags"], sandbox.member(BOB)["tags"]) == (["Mine"], [])


def test_sync_tags_keeps_moments(sandbox: Sandbox) -> None:
    """With sync_tags, a tag that stays was given when it was given first."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["Mine", "Theirs"]})
    before = sandbox.get(f"{LIST}/members/{ADA}/tags", fields="tags")["tags"]
    sandbox.set(clock_shift=60)
    sandbox.subscribe(person(ADA, tags=["Mine", "New"]), sync_tags=True)
    after = sandbox.get(f"{LIST}/members/{ADA}/tags", fields="tags")["tags"]
    assert after[0] == before[0]
    assert after[1]["date_added"] > before[1]["date_added"]


def test_sync_tags_needs_update_existing(sandbox: Sandbox) -> None:
    """Without update_existing, sync_tags does nothing to who is there."""
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["Theirs"]})
    sandbox.subscribe(person(ADA, tags=["Mine"]), update_existing=False, sync_tags=True)
    assert sandbox.member(ADA)["tags"] == ["Theirs"]


def test_tags_ignored(sandbox: Sandbox) -> None:
    """Tags of bulk members can be switched off, as some say that they do not work."""
    sandbox.set(tags_on_post=False)
    sandbox.subscribe(person(ADA, tags=["VIP"]))
    assert sandbox.member(ADA)["tags"] == []


@pytest.mark.parametrize(
    ("email", "text"),
    [
        ("nobody", "Please provide a valid email address."),
        ("", "Please provide a valid email address."),
        ("a..b@people.example", "Please provide a valid email address."),
        ("a b@people.example", "Please provide a valid email address."),
        ("a@b", "Please provide a valid email address."),
        ("a@example.com", "a@example.com looks fake or invalid, please enter a real email address."),
        ("a@GMIL.com", "a@GMIL.com looks fake or invalid, please enter a real email address."),
    ],
)
def test_bad_address(sandbox: Sandbox, email: str, text: str) -> None:
    """Addresses that are none, or that look fake, are refused one by one."""
    error = the_error(sandbox.subscribe(person(email)))
    assert (error["email_address"], error["error"], error["error_code"]) == (email, text, "ERROR_GENERIC")


def test_missing_address(sandbox: Sandbox) -> None:
    """A member without an address is refused on its own."""
    assert the_error(sandbox.subscribe({"status": "subscribed"}))["email_address"] == ""


def test_compliance(sandbox: Sandbox) -> None:
    """Who opted out does not come back, nor does who bounced."""
    sandbox.put(
        {"email": ADA, "status": "unsubscribed", "compliance": True}, {"email": BOB, "status": "cleaned"}
    )
    answer = sandbox.subscribe(person(ADA), person(BOB))
    words = "due to unsubscribe, bounce, or compliance review and cannot be subscribed."
    assert [error["error"] for error in answer["errors"]] == [
        f"{email} is in a compliance state {words}" for email in (ADA, BOB)
    ]


def test_other_words(sandbox: Sandbox) -> None:
    """Two refusals are known in other words too, which can be chosen."""
    sandbox.set(compliance_words="already-member", merge_words="see-errors")
    sandbox.put({"email": ADA, "status": "cleaned"})
    answer = sandbox.subscribe(person(ADA), person(BOB, merge_fields={"BIRTHDAY": "x"}))
    assert [error["error"] for error in answer["errors"]] == [
        f"{ADA} is already a list member in compliance state due to unsubscribe, bounce, "
        "or compliance review.",
        SEE_ERRORS,
    ]


@pytest.mark.parametrize(
    ("rule", "status", "errors"),
    [("accept", "subscribed", 0), ("ignore", "unsubscribed", 0), ("error", "unsubscribed", 1)],
)
def test_unsubscribed_by_admin(sandbox: Sandbox, rule: str, status: str, errors: int) -> None:
    """Who was unsubscribed by an admin is taken back, left alone in silence, or refused, as set."""
    sandbox.set(unsubscribed=rule)
    sandbox.put({"email": ADA, "status": "unsubscribed"})
    answer = sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}))
    assert (sandbox.member(ADA)["status"], answer["error_count"]) == (status, errors)
    assert [member["status"] for member in answer["updated_members"]] == [status] * (1 - errors)


def test_compliance_ignored(sandbox: Sandbox) -> None:
    """Set so, an opt-out makes no error either: the member only stays as it was."""
    sandbox.set(compliance="ignore")
    sandbox.put({"email": ADA, "status": "unsubscribed", "compliance": True})
    assert sandbox.subscribe(person(ADA))["updated_members"][0]["status"] == "unsubscribed"


def test_pending_after_opt_out(sandbox: Sandbox) -> None:
    """Who opted out can be asked again by a confirmation mail; who bounced cannot."""
    sandbox.put(
        {"email": ADA, "status": "unsubscribed", "compliance": True}, {"email": BOB, "status": "cleaned"}
    )
    answer = sandbox.subscribe(person(ADA, "pending"), person(BOB, "pending"))
    assert (answer["updated_members"][0]["status"], answer["error_count"]) == ("pending", 1)


def test_forgotten(sandbox: Sandbox) -> None:
    """Who was permanently deleted cannot be imported again."""
    sandbox.put({"email": ADA, "forgotten": True})
    assert the_error(sandbox.subscribe(person(ADA)))["error"] == (
        f"{ADA} was permanently deleted and cannot be re-imported. "
        "The contact must re-subscribe to get back on the list."
    )


def test_over_subscribed(sandbox: Sandbox) -> None:
    """Who signed up to a lot of lists is refused for a while, and then taken; or is never taken."""
    sandbox.put({"email": ADA, "over_subscribed": 1}, {"email": BOB, "over_subscribed": -1})
    assert [sandbox.subscribe(person(BOB))["error_count"] for _ in range(3)] == [1, 1, 1]
    text = the_error(sandbox.subscribe(person(ADA)))["error"]
    assert (
        text
        == f"{ADA} has signed up to a lot of lists very recently; we're not allowing more signups for now"
    )
    assert sandbox.subscribe(person(ADA))["total_created"] == 1


def test_role_address(sandbox: Sandbox) -> None:
    """Role addresses are taken, unless they are set to be refused."""
    assert sandbox.subscribe(person("admin@people.example"))["total_created"] == 1
    sandbox.set(refuse_role_addresses=True)
    assert (
        sandbox.subscribe(person("Info@people.example"), person("Abuse@people.example"))["error_count"] == 1
    )


def test_archived_comes_back_as_new(sandbox: Sandbox) -> None:
    """Who was archived is created again, with the old tags and even without update_existing."""
    sandbox.put({"email": ADA, "status": "archived", "tags": ["Old"]})
    answer = sandbox.subscribe(person(ADA, tags=["New"]), update_existing=False)
    assert [tag["name"] for tag in answer["new_members"][0]["tags"]] == ["Old", "New"]
    assert sandbox.get(f"{LIST}/segments")["segments"][0]["member_count"] == 1


def test_duplicates(sandbox: Sandbox) -> None:
    """The second appearance of an address is an error, or is ignored if asked for."""
    twice = [person(ADA, "unsubscribed"), person(ADA.upper())]
    assert sandbox.subscribe(*twice)["error_count"] == 1
    answer = sandbox.subscribe(*twice, query="skip_duplicate_check=true")
    assert (answer["total_updated"], answer["error_count"]) == (1, 0)
    assert sandbox.member(ADA)["status"] == "unsubscribed"


@pytest.mark.parametrize(("rule", "created"), [(False, 0), (True, 1)])
def test_no_status(sandbox: Sandbox, rule: bool, created: int) -> None:
    """A new member needs a status; whether status_if_new will do can be set."""
    sandbox.set(status_if_new_on_post=rule)
    answer = sandbox.subscribe(person(ADA, None, status_if_new="pending"))
    assert answer["total_created"] == created
    assert [error["field"] for error in answer["errors"]] == ["status"] * (1 - created)


def test_no_status_refused(sandbox: Sandbox) -> None:
    """Set so, a missing status refuses the whole call."""
    sandbox.set(missing_status="refuse")
    problem = sandbox.problem("POST", LIST, {"members": [person(ADA), person(BOB, None)]})
    assert problem["errors"] == [
        {"field": "members.item:1.status", "message": "This value should not be blank."}
    ]


def test_double_opt_in_is_skipped(sandbox: Sandbox) -> None:
    """On an audience with double opt-in, subscribed is taken as it is and skips the confirmation."""
    sandbox.set(double_optin=True)
    assert sandbox.get(LIST)["double_optin"] is True
    assert sandbox.subscribe(person(ADA))["new_members"][0]["status"] == "subscribed"


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed", "cleaned", "pending", "transactional"])
def test_statuses(sandbox: Sandbox, status: str) -> None:
    """The five writable statuses are taken as they are."""
    assert sandbox.subscribe(person(ADA, status))["new_members"][0]["status"] == status


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ({"merge_fields": []}, ".merge_fields", "Schema describes object, array found instead"),
        ({"email_address": None}, ".email_address", "Schema describes string, NULL found instead"),
        ({"email_address": 7}, ".email_address", "Schema describes string, integer found instead"),
        ({"vip": "yes"}, ".vip", "Schema describes boolean, string found instead"),
        ({"tags": [{"name": "VIP"}]}, ".tags.item:0", "Schema describes string, object found instead"),
        ({"interests": {"x": 1}}, ".interests.x", "Schema describes boolean, integer found instead"),
        (
            {"location": {"latitude": "N"}},
            ".location.latitude",
            "Schema describes number, string found instead",
        ),
        (
            {"email_type": "pdf"},
            ".email_type",
            "Data presented is not one of the accepted values: html, text.",
        ),
        (
            {"status": "archived"},
            ".status",
            "Data presented is not one of the accepted values: "
            "subscribed, unsubscribed, cleaned, pending, transactional.",
        ),
    ],
)
def test_schema_violation(sandbox: Sandbox, row: dict[str, Any], field: str, message: str) -> None:
    """One member that breaks the schema refuses the whole call, and nobody is added."""
    problem = sandbox.problem("POST", LIST, {"members": [person(BOB), {**person(ADA), **row}]})
    assert (problem["status"], problem["title"], problem["detail"]) == (400, "Invalid Resource", SEE_ERRORS)
    assert problem["errors"] == [{"field": f"members.item:1{field}", "message": message}]
    assert sandbox.control("/members")["members"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "members"),
        ({"members": {}}, "members"),
        ({"members": ["x"]}, "members.item:0"),
        ({"members": [], "update_existing": "true"}, "update_existing"),
        ({"members": [{}] * 501}, "members"),
        ([], ""),
        (None, ""),
    ],
)
def test_bad_body(sandbox: Sandbox, body: Any, field: str) -> None:
    """A body of the wrong form, or with more than 500 members, is refused as a whole."""
    problem = sandbox.problem("POST", LIST, body)
    assert (problem["title"], problem["errors"][0]["field"]) == ("Invalid Resource", field)


def test_no_json(sandbox: Sandbox) -> None:
    """A body that is no JSON is refused as such."""
    answer = sandbox.session.post(f"{sandbox.url}/3.0{LIST}", data=b"{", timeout=PATIENCE)
    assert (answer.status_code, answer.json()["title"]) == (400, "JSON Parse Exception")


def test_500_members(sandbox: Sandbox) -> None:
    """Exactly 500 members are taken, and the answer has about 3 KB for each."""
    answer = sandbox.call("POST", LIST, {"members": [person(f"p{n}@people.example") for n in range(500)]})
    assert answer.json()["total_created"] == 500
    assert 1_300_000 < len(answer.content) < 1_700_000
    assert int(answer.headers["Content-Length"]) < 200_000
    assert answer.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "query", ["fields=errors,new_members.email_address", "exclude_fields=new_members._links"]
)
def test_fields_honoured(sandbox: Sandbox, query: str) -> None:
    """By default, fields and exclude_fields cut the bulk answer down."""
    answer = sandbox.subscribe(person(ADA), query=query)
    assert "_links" not in answer["new_members"][0]
    assert ("total_created" in answer) is ("exclude" in query)


def test_fields_ignored(sandbox: Sandbox) -> None:
    """Set so, fields changes nothing of the bulk answer."""
    sandbox.set(fields_on_post="ignore")
    assert sandbox.subscribe(person(ADA), query="fields=errors")["total_created"] == 1


def test_fields_refused(sandbox: Sandbox) -> None:
    """Set so, fields refuses the bulk call, and nobody is added."""
    sandbox.set(fields_on_post="refuse")
    assert sandbox.problem("POST", f"{LIST}?fields=errors", {"members": [person(ADA)]})["status"] == 400
    assert sandbox.control("/members")["members"] == []
    assert sandbox.subscribe(person(ADA))["total_created"] == 1


def test_further_data(sandbox: Sandbox) -> None:
    """Language, VIP, location, addresses and moments are kept as they are sent."""
    sent: dict[str, Any] = {
        "language": "de",
        "vip": True,
        "email_type": "text",
        "location": {"latitude": 52.5, "longitude": 13.4},
        "ip_signup": "192.0.2.1",
        "ip_opt": "192.0.2.2",
        "timestamp_signup": "2026-01-02 03:04:05",
        "timestamp_opt": "2026-01-02T03:04:06Z",
    }
    member = sandbox.subscribe(person(ADA, **sent))["new_members"][0]
    assert member["location"] == {
        "latitude": 52.5,
        "longitude": 13.4,
        "gmtoff": 0,
        "dstoff": 0,
        "country_code": "",
        "timezone": "",
        "region": "",
    }
    assert (member["timestamp_signup"], member["timestamp_opt"]) == (
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:06+00:00",
    )
    assert all(
        member[name] == sent[name] for name in ("language", "vip", "email_type", "ip_signup", "ip_opt")
    )


@pytest.mark.parametrize(("name", "value"), [("ip_opt", "300.1.1.1"), ("timestamp_opt", "yesterday")])
def test_bad_evidence(sandbox: Sandbox, name: str, value: str) -> None:
    """An address or a moment of consent that is none refuses the member."""
    error = the_error(sandbox.subscribe(person(ADA, **{name: value})))
    assert (error["field"], error["error"]) == (name, SEE_ERRORS)


def test_unknown_interest(sandbox: Sandbox) -> None:
    """An interest that the audience does not have refuses the member."""
    error = the_error(sandbox.subscribe(person(ADA, interests={"57d5ad703b": True})))
    assert error["error"] == "Invalid interest ID: '57d5ad703b'."


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_bad_tag_name(sandbox: Sandbox, name: str) -> None:
    """A tag without a name, or with one over 100 characters, refuses the member."""
    assert the_error(sandbox.subscribe(person(ADA, tags=[name])))["field"] == "tags"


def test_unchanged_member_keeps_its_moment(sandbox: Sandbox) -> None:
    """An update that changes nothing leaves last_changed as it was; one that changes anything moves it."""
    before = sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}, tags=["VIP"]))["new_members"][0]
    sandbox.set(clock_shift=60)
    same = sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}, tags=["VIP"]))["updated_members"][0]
    assert same["last_changed"] == before["last_changed"]
    moved = sandbox.subscribe(person(ADA, tags=["VIP", "New"]))["updated_members"][0]
    assert moved["last_changed"] > before["last_changed"]
