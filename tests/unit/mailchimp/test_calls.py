"""The calls of an export: what they send, and how each answer is read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from airflow_mailchimp_export.address import subscriber_hash
from airflow_mailchimp_export.errors import ConfigError, PermanentError, RetryableError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Call, Request, Response, finish
from airflow_mailchimp_export.model import (
    Audience,
    Batch,
    Chunk,
    Effect,
    Member,
    MemberStatus,
    MergeField,
    Outcome,
    Reason,
)
from tests.kit.http import PING, to_response

ID = "a1b2c3d4e5"
ADA, BOB = "ada@people.example", "bob@people.example"


def to_member(email: str, **fields: Any) -> Member:
    """A person as they are sent."""
    payload = orjson.dumps({"email_address": email, "status": "subscribed", **fields})
    return Member(subscriber_hash(email), email, MemberStatus.SUBSCRIBED, payload)


CHUNK = Chunk(7, (to_member(ADA, tags=["VIP"]), to_member(BOB)))

CALLS: Mapping[str, Call[Any]] = {
    "account": calls.account(),
    "oauth_home": calls.oauth_home(),
    "audience": calls.audience(ID),
    "merge_fields": calls.merge_fields(ID),
    "create_merge_field": calls.create_merge_field(ID, MergeField("POINTS", "Points", "number")),
    "members": calls.members(ID, MemberStatus.CLEANED, offset=2000),
    "upsert": calls.upsert(ID, CHUNK),
    "submit_batch": calls.submit_batch([calls.operation(7, calls.upsert(ID, CHUNK).request)]),
    "batch": calls.batch("5f0c2b1a3d"),
    "cancel_batch": calls.cancel_batch("5f0c2b1a3d"),
    "audiences": calls.audiences(5),
    "tags": calls.tags(ID),
    "tag_members": calls.tag_members(ID, 42, offset=2000),
    "untag": calls.untag(ID, 42, [ADA, BOB]),
    "member_tags": calls.member_tags(ID, ADA),
    "member_status": calls.member_status(ID, subscriber_hash(ADA)),
    "archive": calls.archive(ID, ADA),
    "rename": calls.rename(ID, subscriber_hash(BOB), ADA, status_if_new="subscribed"),
}


def read(call: Call[Any], payload: Any) -> Any:
    """What a call makes of an answer."""
    return finish(call, to_response(payload))


def named(call: Call[Any]) -> str:
    """A call as messages name it: without the key of a member."""
    return f"{call.request.method} {re.sub('/members/[0-9a-f]+', '/members/<member>', call.request.path)}"


def sent(call: Call[Any]) -> dict[str, Any]:
    """The body of a call."""
    assert call.request.body is not None
    body: dict[str, Any] = orjson.loads(call.request.body)
    return body


def test_every_call_is_here() -> None:
    """The tests below that go over all calls leave none out."""
    public = {
        name
        for name, function in vars(calls).items()
        if inspect.isfunction(function)
        and str(function.__annotations__.get("return", "")).startswith("Call[")
    }
    assert public == set(CALLS)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_never_sent(call: Call[Any]) -> None:
    """No call wipes the tags that others set, deletes for good, or carries an address in its path."""
    request = call.request
    everything = f"{request.path} {request.query} {request.body!r}"
    assert "sync_tags" not in everything
    assert "delete-permanent" not in everything
    assert "@" not in f"{request.path} {request.query}"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_bodies_only_where_something_is_changed(call: Call[Any]) -> None:
    """Bodies go with POST and PUT and with nothing else."""
    assert (call.request.body is not None) == (call.request.method in {"POST", "PUT"})


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_carries_people(call: Call[Any]) -> None:
    """A call that changes something and stands for somebody, in its path or body, says that it carries people."""
    request = call.request
    everything = f"{request.path} {(request.body or b'').decode()}"
    people = [*(ADA, BOB), *map(subscriber_hash, (ADA, BOB))]
    concerns_somebody = any(person in everything for person in people)
    assert call.carries_people == (request.method != "GET" and concerns_somebody)


UNDOCUMENTED: list[Any] = [None, [], "text", 7]


@pytest.mark.parametrize("payload", [*UNDOCUMENTED, {}], ids=str)
@pytest.mark.parametrize(
    "name",
    [
        *("account", "audience", "merge_fields", "members", "batch", "tags"),
        *("tag_members", "member_tags"),
    ],
)
def test_undocumented_answers(name: str, payload: Any) -> None:
    """An answer that is not what the call asks for is permanent, and names the request."""
    call = CALLS[name]
    with pytest.raises(PermanentError, match=f"^{named(call)} was answered in a shape"):
        read(call, payload)


@pytest.mark.parametrize("payload", UNDOCUMENTED, ids=str)
@pytest.mark.parametrize("name", ["upsert", "untag", "submit_batch", "create_merge_field", "rename"])
def test_undocumented_answers_to_changes(name: str, payload: Any) -> None:
    """So is one to a call that changes something."""
    with pytest.raises(PermanentError, match=f"^{named(CALLS[name])} was answered in a shape"):
        read(CALLS[name], payload)


def test_account() -> None:
    """The account's name, role, plan and contacts are read; all but the name may be lacking."""
    request = calls.account().request
    assert request == Request(
        "GET", "/", (("fields", "account_name,role,pricing_plan_type,total_subscribers"),)
    )
    answer = {"account_name": "A", "role": "owner", "pricing_plan_type": "monthly", "total_subscribers": 5}
    assert read(calls.account(), answer) == calls.Account("A", "owner", "monthly", 5)
    assert read(calls.account(), {"account_name": "A", "total_subscribers": None}) == calls.Account(
        "A", "", "", 0
    )


@pytest.mark.parametrize("answer", [{"error": "invalid_token"}, {}, None, {"api_endpoint": None}])
def test_a_bad_token(answer: Any) -> None:
    """A bad token, which is answered with 200 too, has no endpoint."""
    assert read(calls.oauth_home(), answer) == calls.Home()


def test_a_good_token() -> None:
    """A good token's endpoint is read; the call's path is empty, for its base URL is the whole."""
    assert calls.oauth_home().request == Request("GET", "")
    answer = {"dc": "us3", "api_endpoint": "https://us3.api.mailchimp.com"}
    assert read(calls.oauth_home(), answer) == calls.Home("https://us3.api.mailchimp.com", "us3")


def test_audience() -> None:
    """An audience is asked for by its id, and its statistics may be lacking."""
    assert calls.audience(ID).request.path == f"/lists/{ID}"
    answer = {"id": ID, "name": "People", "double_optin": True, "stats": {"member_count": 3}}
    assert read(calls.audience(ID), answer) == Audience(ID, "People", double_optin=True, member_count=3)
    assert read(calls.audience(ID), {"id": ID}) == Audience(ID, "")
    assert read(calls.audience(ID), {"id": ID, "stats": {"member_count": None}}) == Audience(ID, "")


@pytest.mark.parametrize("odd", ["a/b", "a?b", "a#b", "a b", "a%b"])
def test_odd_ids(odd: str) -> None:
    """An id can neither leave its place in the path nor begin a query."""
    call = calls.audience(odd)
    assert call.request.path.count("/") == 2
    assert not set(call.request.path) & set("?# ")


NO_BATCH_IDS = [
    "a/b",
    "a?b",
    "a#b",
    "a b",
    "a%b",
    "",
    ".",
    "..",
    "../../x",
    "x\n",
    "²",
    "a" * 65,
    "ada@mail.eu",
]


@pytest.mark.parametrize("odd", NO_BATCH_IDS)
def test_what_is_no_id_of_a_batch(odd: str) -> None:
    """No request is made of what is no id, and the message does not quote it."""
    for make in (calls.batch, calls.cancel_batch):
        with pytest.raises(ConfigError, match=r"^What is given as the id of a batch is none: it is up to 64"):
            make(odd)


@pytest.mark.parametrize("odd", NO_BATCH_IDS)
def test_no_id_of_a_batch_is_taken_from_an_answer(odd: str) -> None:
    """Whatever an answer calls the id of a batch has the form of one."""
    with pytest.raises(ValueError, match="no id of a batch"):
        calls.to_batch({"id": odd, "status": "pending"})


def test_the_status_of_another_batch() -> None:
    """An answer about another batch is a passing failure."""
    with pytest.raises(RetryableError, match=r"^GET /batches/one was answered with another batch$"):
        calls.batch("one").read({"id": "two", "status": "finished"})


def test_more_members_than_there_can_be() -> None:
    """A total that would be read for years is no answer."""
    call = calls.members(ID, MemberStatus.SUBSCRIBED, offset=0)
    with pytest.raises(ValueError, match="more members than an audience can have"):
        call.read({"members": [], "total_items": 10**12})


def test_merge_fields() -> None:
    """All merge fields are asked for at once and kept by tag, with what their type needs."""
    call = calls.merge_fields(ID)
    assert call.request == Request("GET", f"/lists/{ID}/merge-fields", (("count", "1000"),))
    options = {"choices": ["m", "w"], "phone_format": "US", "default_country": 164}
    answer = [
        {"tag": "SEX", "name": "Sex", "type": "radio", "required": True, "options": options},
        {"tag": "TOWN", "type": "text", "options": None},
        {"tag": "X", "type": "text", "options": {"choices": None}},
    ]
    assert read(call, {"merge_fields": answer}) == {
        "SEX": MergeField("SEX", "Sex", "radio", True, ("m", "w"), "US", "164"),
        "TOWN": MergeField("TOWN", "", "text"),
        "X": MergeField("X", "", "text"),
    }


def test_create_merge_field() -> None:
    """A merge field is made with tag, name and type, and read as Mailchimp made it."""
    call = CALLS["create_merge_field"]
    assert (call.request.method, call.request.path) == ("POST", f"/lists/{ID}/merge-fields")
    assert sent(call) == {"tag": "POINTS", "name": "Points", "type": "number"}
    answer = {"tag": "POINTS", "name": "Points", "type": "number", "merge_field_limit": 30}
    assert read(call, answer) == MergeField("POINTS", "Points", "number")


def test_members() -> None:
    """Members are asked for by status, with no more than id and address, a thousand at a time."""
    assert calls.members(ID, MemberStatus.CLEANED, offset=2000).request == Request(
        "GET",
        f"/lists/{ID}/members",
        (
            ("status", "cleaned"),
            ("fields", "members.id,members.email_address,total_items"),
            ("count", "1000"),
            ("offset", "2000"),
        ),
    )
    assert dict(calls.members(ID, MemberStatus.PENDING, offset=0, count=1).request.query)["count"] == "1"


def test_member_pages() -> None:
    """A page is read as pairs of id and address, with the total; an empty page may lack its members."""
    answer = {"members": [{"id": "1", "email_address": ADA}, {"id": "2"}], "total_items": 9}
    assert read(CALLS["members"], answer) == calls.MemberPage((("1", ADA), ("2", "")), 9)
    assert read(CALLS["members"], {"total_items": 0}) == calls.MemberPage((), 0)


@pytest.mark.parametrize(
    ("status", "how", "asked"),
    [
        (MemberStatus.CLEANED, "since", "since_last_changed"),
        (MemberStatus.UNSUBSCRIBED, "since", "unsubscribed_since"),
        (MemberStatus.CLEANED, "changed_since", "since_last_changed"),
        (MemberStatus.UNSUBSCRIBED, "changed_since", "since_last_changed"),
    ],
)
def test_members_since(status: MemberStatus, how: str, asked: str) -> None:
    """Who came to a status since can be asked for, and who changed in any way."""
    moment = "2026-01-02T03:04:05+00:00"
    query = calls.members(ID, status, offset=0, **{how: moment}).request.query
    assert query[4:] == ((asked, moment),)


def test_upsert() -> None:
    """A chunk is one POST of its members' own payloads, which lets existing members follow."""
    call = calls.upsert(ID, CHUNK)
    assert (call.request.method, call.request.path) == ("POST", f"/lists/{ID}")
    assert sent(call) == {
        "members": [orjson.loads(member.payload) for member in CHUNK.members],
        "update_existing": True,
    }
    assert sent(calls.upsert(ID, Chunk(0, ()))) == {"members": [], "update_existing": True}


def test_upsert_query() -> None:
    """The query trims the answer unless told otherwise, and skips validation only where that is asked for."""
    trimming = dict(calls.upsert(ID, CHUNK).request.query)
    assert trimming["fields"].split(",") == [
        "new_members.email_address",
        "new_members.status",
        "updated_members.email_address",
        "updated_members.status",
        "errors",
        "error_count",
        "total_created",
        "total_updated",
    ]
    assert set(trimming) == {"fields"}
    assert calls.upsert(ID, CHUNK, trimmed=False).request.query == ()
    skipping = calls.upsert(ID, CHUNK, trimmed=False, skip_merge_validation=True)
    assert skipping.request.query == (("skip_merge_validation", "true"),)


def test_outcomes() -> None:
    """Every member of an answer has an outcome, with the status and the words that Mailchimp gave."""
    answer = {
        "new_members": [{"email_address": ADA, "status": "subscribed"}],
        "updated_members": [
            {"email_address": BOB, "status": "unsubscribed"},
            {"email_address": "c@x.example"},
        ],
        "errors": [
            {
                "email_address": "d@x.example",
                "error": "Your merge fields were invalid.",
                "error_code": "ERROR_GENERIC",
                "field": "FNAME",
                "field_message": "Please enter a value",
            },
            {"email_address": "e@x.example", "error": "e@x.example was permanently deleted and cannot come."},
            {"email_address": "f@x.example", "error": "The moon is in the wrong house.", "field": None},
            {},
        ],
        "error_count": 4,
    }
    assert read(calls.upsert(ID, CHUNK), answer) == (
        Outcome(ADA, Effect.CREATED, status="subscribed"),
        Outcome(BOB, Effect.UPDATED, status="unsubscribed"),
        Outcome("c@x.example", Effect.UPDATED),
        Outcome(
            "d@x.example",
            Effect.REJECTED,
            reason=Reason.REQUIRED_FIELD,
            field="FNAME",
            words="Your merge fields were invalid. Please enter a value",
        ),
        Outcome(
            "e@x.example",
            Effect.SUPPRESSED,
            reason=Reason.FORGOTTEN,
            words="e@x.example was permanently deleted and cannot come.",
        ),
        Outcome(
            "f@x.example", Effect.REJECTED, reason=Reason.REFUSED, words="The moon is in the wrong house."
        ),
        Outcome("", Effect.REJECTED, reason=Reason.REFUSED),
    )


def test_lacking_groups() -> None:
    """Groups that an answer lacks are empty."""
    assert read(calls.upsert(ID, CHUNK), {}) == ()
    assert read(calls.upsert(ID, CHUNK), {"new_members": None, "errors": None}) == ()


def test_an_accepted_member_without_an_address() -> None:
    """A member that cannot be told apart is an undocumented answer."""
    with pytest.raises(PermanentError, match=f"^POST /lists/{ID} was answered in a shape"):
        read(calls.upsert(ID, CHUNK), {"new_members": [{"status": "subscribed"}]})


def test_operations() -> None:
    """An operation has the query in its path, its body as a JSON string, and the chunk's number as its id."""
    request = calls.upsert(ID, CHUNK, skip_merge_validation=True).request
    operation = orjson.loads(calls.operation(CHUNK.number, request))
    assert set(operation) == {"method", "path", "operation_id", "body"}
    assert (operation["method"], operation["operation_id"]) == ("POST", "7")
    assert isinstance(operation["body"], str)
    assert operation["body"].encode() == request.body
    address = urlsplit(operation["path"])
    assert address.path == f"/lists/{ID}"
    assert parse_qs(address.query) == {name: [value] for name, value in request.query}


def test_plain_operations() -> None:
    """An operation without query and body has neither, and chunk 0 has its id too."""
    assert orjson.loads(calls.operation(0, PING.request)) == {
        "method": "GET",
        "path": "/ping",
        "operation_id": "0",
    }


def test_submit_batch() -> None:
    """A batch is one POST of its operations, in their order."""
    call = calls.submit_batch(calls.operation(number, PING.request) for number in (3, 1, 2))
    assert (call.request.method, call.request.path, call.request.query) == ("POST", "/batches", ())
    assert [operation["operation_id"] for operation in sent(call)["operations"]] == ["3", "1", "2"]


def test_batches() -> None:
    """A batch is read with its counts and its link."""
    answer = {
        "id": "5f0c2b1a3d",
        "status": "finished",
        "total_operations": 3,
        "finished_operations": 3,
        "errored_operations": 1,
        "response_body_url": "https://results.invalid/x?Signature=y%2B",
    }
    assert calls.batch("5f0c2b1a3d").request == Request("GET", "/batches/5f0c2b1a3d")
    found = read(calls.batch("5f0c2b1a3d"), answer)
    assert found == Batch("5f0c2b1a3d", "finished", 3, 3, 1, "https://results.invalid/x?Signature=y%2B")
    assert found.finished


@pytest.mark.parametrize(
    "lacking", [{}, {"total_operations": None, "response_body_url": None}, {"finished_operations": 0}]
)
@pytest.mark.parametrize("status", ["pending", "preprocessing", "started", "finalizing"])
def test_young_batches(status: str, lacking: dict[str, Any]) -> None:
    """A batch that lacks its counts and its link has none, and only a finished one is finished."""
    found = read(CALLS["submit_batch"], {"id": "1", "status": status, **lacking})
    assert found == Batch("1", status)
    assert not found.finished


def test_cancel_batch() -> None:
    """A batch is stopped by DELETE, whose answer is empty."""
    call = calls.cancel_batch("5f0c2b1a3d")
    assert call.request == Request("DELETE", "/batches/5f0c2b1a3d")
    assert call.read(None) is None


def test_tags() -> None:
    """All tags are asked for at once and kept by name."""
    assert calls.tags(ID).request == Request("GET", f"/lists/{ID}/tag-search")
    assert read(calls.tags(ID), {"tags": [{"id": 1, "name": "VIP"}, {"id": "2", "name": "New"}]}) == {
        "VIP": 1,
        "New": 2,
    }


def test_untag() -> None:
    """A tag is taken from members by their addresses; each has an outcome, and those refused Mailchimp's words."""
    call = calls.untag(ID, 42, [ADA, BOB])
    assert (call.request.method, call.request.path) == ("POST", f"/lists/{ID}/segments/42")
    assert sent(call) == {"members_to_remove": [ADA, BOB]}
    errors = [
        {"email_addresses": [f" {ADA.upper()}\u200b"], "error": "?"},
        {"email_addresses": [BOB]},
        {"error": "?"},
    ]
    failed = Outcome(ADA, Effect.REMOVAL_FAILED, reason=Reason.REFUSED, words="?")
    assert read(call, {"errors": errors}) == (failed, replace(failed, email=BOB, words=""))
    assert read(call, {"errors": errors[:1]}) == (failed, Outcome(BOB, Effect.REMOVED))
    assert read(call, {"total_removed": 2}) == (Outcome(ADA, Effect.REMOVED), Outcome(BOB, Effect.REMOVED))


def test_tag_members() -> None:
    """Those who carry a tag are read page by page, with ids and addresses only."""
    call = calls.tag_members(ID, 42, offset=2000)
    assert (call.request.method, call.request.path) == ("GET", f"/lists/{ID}/segments/42/members")
    assert dict(call.request.query) == {
        "fields": "members.id,members.email_address,total_items",
        "count": "1000",
        "offset": "2000",
    }
    answer = {"members": [{"id": "1", "email_address": ADA}], "total_items": 2001}
    assert read(call, answer) == calls.MemberPage((("1", ADA),), 2001)


def test_member_tags() -> None:
    """The names of a member's tags are read; the path holds the member's key, not the address."""
    call = calls.member_tags(ID, ADA)
    assert call.request.path == f"/lists/{ID}/members/{subscriber_hash(ADA)}/tags"
    assert read(call, {"tags": [{"id": 1, "name": "VIP"}, {"id": 2, "name": "New"}]}) == {"VIP", "New"}


def test_archive() -> None:
    """A member is archived by key; the answer has no content."""
    call = calls.archive(ID, ADA)
    path = f"/lists/{ID}/members/{subscriber_hash(ADA)}"
    assert call.request == Request("DELETE", path)
    assert finish(call, Response(204, {}, b"")) == (Outcome(ADA, Effect.REMOVED),)


def test_a_stored_address_is_taken_as_it_was_sent() -> None:
    """Whom release 0.1.0 sent with an invisible character is not taken for the member without it."""
    with_soft_hyphen = "a\u00adda@people.example"
    path = f"/lists/{ID}/members/790205ee264aedaaf2cafee519f25eae"
    assert calls.archive(ID, with_soft_hyphen).request.path == path
    assert calls.member_tags(ID, with_soft_hyphen).request.path == f"{path}/tags"


def test_rename() -> None:
    """A new address goes to the old key, and no status that an existing member would take."""
    call = calls.rename(ID, subscriber_hash(BOB), ADA, status_if_new="pending")
    path = f"/lists/{ID}/members/{subscriber_hash(BOB)}"
    assert (call.request.method, call.request.path) == ("PUT", path)
    assert sent(call) == {"email_address": ADA, "status_if_new": "pending"}
    assert read(call, {"email_address": ADA}) == ADA
    assert call.request.query == ()


def test_rename_without_required_fields() -> None:
    """A rename is told when members may lack the audience's required fields."""
    call = calls.rename(ID, subscriber_hash(BOB), ADA, status_if_new="subscribed", skip_merge_validation=True)
    assert call.request.query == (("skip_merge_validation", "true"),)
