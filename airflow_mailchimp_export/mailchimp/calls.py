"""The calls that an export makes, each with the reader of its answer.

``/lists/`` is spelled here and nowhere else: what Mailchimp's paths call a list is an audience.
Reference: https://mailchimp.com/developer/marketing/api/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from airflow_mailchimp_export.address import normal_address, stored_hash
from airflow_mailchimp_export.errors import ConfigError, RetryableError
from airflow_mailchimp_export.mailchimp.protocol import MAX_TOLD, Call, Request
from airflow_mailchimp_export.mailchimp.refusals import effect_of, why
from airflow_mailchimp_export.model import (
    Audience,
    Batch,
    Chunk,
    Effect,
    MemberStatus,
    MergeField,
    Outcome,
    Reason,
)

PAGE_SIZE = 1000
"""Most items of one page: https://mailchimp.com/developer/marketing/docs/methods-parameters/#pagination"""

MAX_TAG_MEMBERS = 500
"""Most members whose tag one call changes:
https://mailchimp.com/developer/marketing/api/list-segments/batch-add-or-remove-members/"""

_ANSWER_FIELDS = (
    "new_members.email_address,new_members.status,updated_members.email_address,updated_members.status,"
    "errors,error_count,total_created,total_updated"
)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose key it is."""

    name: str
    role: str
    plan: str
    contacts: int


@dataclass(frozen=True, slots=True)
class MemberPage:
    """One page of the members of one status: pairs of Mailchimp's id and the address."""

    members: tuple[tuple[str, str], ...]
    total: int


def account() -> Call[Account]:
    """Ask whose key it is."""
    query = (("fields", "account_name,role,pricing_plan_type,total_subscribers"),)
    return Call(Request("GET", "/", query), _to_account)


def _to_account(answer: Mapping[str, Any]) -> Account:
    return Account(
        name=str(answer["account_name"]),
        role=str(answer.get("role", "")),
        plan=str(answer.get("pricing_plan_type", "")),
        contacts=int(answer.get("total_subscribers") or 0),
    )


def oauth_endpoint() -> Call[str]:
    """Ask where an OAuth token's account lives; empty for a bad token, which is answered with 200 too."""
    return Call(Request("GET", ""), lambda answer: str((answer or {}).get("api_endpoint") or ""))


def audience(audience_id: str) -> Call[Audience]:
    """Ask for an audience, without its merge fields."""
    query = (("fields", "id,name,double_optin,stats.member_count"),)
    return Call(Request("GET", _list(audience_id), query), _to_audience)


def audiences(count: int) -> Call[tuple[list[Audience], int]]:
    """Ask for the first few audiences of the account, and how many there are."""
    query = (("fields", "lists.id,lists.name,total_items"), ("count", str(count)))
    return Call(
        Request("GET", "/lists", query),
        lambda answer: ([*map(_to_audience, answer["lists"])], int(answer["total_items"])),
    )


def _to_audience(answer: Mapping[str, Any]) -> Audience:
    stats = answer.get("stats") or {}
    return Audience(
        id=str(answer["id"]),
        name=str(answer.get("name", "")),
        double_optin=bool(answer.get("double_optin")),
        member_count=int(stats.get("member_count") or 0),
    )


def merge_fields(audience_id: str) -> Call[dict[str, MergeField]]:
    """Ask for the merge fields of an audience, by tag."""
    query = (("count", str(PAGE_SIZE)),)
    return Call(Request("GET", f"{_list(audience_id)}/merge-fields", query), _to_merge_fields)


def _to_merge_fields(answer: Mapping[str, Any]) -> dict[str, MergeField]:
    fields = (_to_merge_field(item) for item in answer["merge_fields"])
    return {field.tag: field for field in fields}


def _to_merge_field(item: Mapping[str, Any]) -> MergeField:
    options = item.get("options") or {}
    return MergeField(
        tag=str(item["tag"]),
        name=str(item.get("name", "")),
        type=str(item["type"]),
        required=bool(item.get("required")),
        choices=tuple(map(str, options.get("choices") or ())),
        phone_format=str(options.get("phone_format") or ""),
        default_country=str(options.get("default_country") or ""),
    )


def create_merge_field(audience_id: str, field: MergeField) -> Call[MergeField]:
    """Add a merge field to an audience."""
    body = orjson.dumps({"tag": field.tag, "name": field.name, "type": field.type})
    return Call(Request("POST", f"{_list(audience_id)}/merge-fields", body=body), _to_merge_field)


def members(
    audience_id: str,
    status: MemberStatus,
    *,
    offset: int,
    count: int = PAGE_SIZE,
    since: str | None = None,
) -> Call[MemberPage]:
    """Ask for one page of the members of one status.

    :param since: ISO 8601; only those who changed, or unsubscribed, after it.
    """
    query = [
        ("status", status.value),
        ("fields", "members.id,members.email_address,total_items"),
        ("count", str(count)),
        ("offset", str(offset)),
    ]
    if since:
        left = status is MemberStatus.UNSUBSCRIBED
        query.append(("unsubscribed_since" if left else "since_last_changed", since))
    return Call(Request("GET", f"{_list(audience_id)}/members", tuple(query)), _to_member_page)


def _to_member_page(answer: Mapping[str, Any]) -> MemberPage:
    found = tuple(
        (str(item["id"]), str(item.get("email_address", ""))) for item in answer.get("members") or ()
    )
    total = int(answer["total_items"])
    if total > _MOST_MEMBERS:
        raise ValueError("more members than an audience can have")
    return MemberPage(found, total)


_MOST_MEMBERS = 100_000_000


def upsert(
    audience_id: str,
    chunk: Chunk,
    *,
    skip_merge_validation: bool = False,
    trimmed: bool = True,
    divisible: bool = False,
) -> Call[tuple[Outcome, ...]]:
    """Create or update the members of a chunk, and add their tags.

    ``update_existing`` lets fields and tags of existing members follow; ``sync_tags`` is never sent,
    for it wipes the tags that others set.

    :param trimmed: ask for only what is needed of the answer; not documented for this call.
    :param divisible: do not repeat it once it timed out.
    """
    body = (
        b'{"members":[' + b",".join(member.payload for member in chunk.members) + b'],"update_existing":true}'
    )
    query = _upsert_query(skip_merge_validation=skip_merge_validation, trimmed=trimmed)
    request = Request("POST", _list(audience_id), query, body)
    return Call(request, to_outcomes, carries_people=True, divisible=divisible)


def _upsert_query(*, skip_merge_validation: bool, trimmed: bool) -> tuple[tuple[str, str], ...]:
    query = []
    if skip_merge_validation:
        query.append(("skip_merge_validation", "true"))
    if trimmed:
        query.append(("fields", _ANSWER_FIELDS))
    return tuple(query)


def to_outcomes(answer: Mapping[str, Any]) -> tuple[Outcome, ...]:
    """Read what became of each member; the answer is 200 even where all of them were refused."""
    return (
        *(_accepted(item, Effect.CREATED) for item in answer.get("new_members") or ()),
        *(_accepted(item, Effect.UPDATED) for item in answer.get("updated_members") or ()),
        *(_refused(item) for item in answer.get("errors") or ()),
    )


def _accepted(item: Mapping[str, Any], effect: Effect) -> Outcome:
    return Outcome(str(item["email_address"]), effect, status=str(item.get("status") or "")[:_LONGEST_STATUS])


def _refused(item: Mapping[str, Any]) -> Outcome:
    field, words, field_message = (_told(item, name) for name in ("field", "error", "field_message"))
    reason = why(words, field=field, field_message=field_message)
    return Outcome(
        email=str(item.get("email_address") or ""),
        effect=effect_of(reason),
        reason=reason,
        field=field,
        words=" ".join(part for part in (words, field_message) if part)[:MAX_TOLD],
    )


def _told(item: Mapping[str, Any], name: str) -> str:
    return str(item.get(name) or "")[:MAX_TOLD]


def operation(number: int, request: Request) -> bytes:
    """Return a request as an operation of a batch; its body travels as a JSON string."""
    path = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
    body = {} if request.body is None else {"body": request.body.decode()}
    return orjson.dumps({"method": request.method, "path": path, "operation_id": str(number), **body})


_BATCH_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""How the id of a batch may look: Mailchimp's are ten letters and digits."""


def submit_batch(operations: Iterable[bytes]) -> Call[Batch]:
    """Hand a job over to Mailchimp: https://mailchimp.com/developer/marketing/docs/batch-operations/"""
    body = b'{"operations":[' + b",".join(operations) + b"]}"
    return Call(Request("POST", "/batches", body=body), to_batch, carries_people=True)


def batch(batch_id: str) -> Call[Batch]:
    """Ask how far a job is; each answer carries a fresh link to the results."""
    return Call(Request("GET", _batch(batch_id)), lambda answer: _same_batch(batch_id, to_batch(answer)))


def cancel_batch(batch_id: str) -> Call[None]:
    """Stop a job; what it did stays done, its results are lost."""
    return Call(Request("DELETE", _batch(batch_id)), lambda _: None)


def to_batch(answer: Mapping[str, Any]) -> Batch:
    """Read a job; a young one may lack its counts.

    :raises ValueError: when its id is none.
    """
    batch_id = str(answer["id"])
    if not _BATCH_ID.fullmatch(batch_id):
        raise ValueError("no id of a batch")
    return Batch(
        id=batch_id,
        status=str(answer["status"])[:_LONGEST_STATUS],
        total_operations=int(answer.get("total_operations") or 0),
        finished_operations=int(answer.get("finished_operations") or 0),
        errored_operations=int(answer.get("errored_operations") or 0),
        response_body_url=str(answer.get("response_body_url") or ""),
    )


_LONGEST_STATUS = 64


def _same_batch(batch_id: str, answered: Batch) -> Batch:
    if answered.id != batch_id:
        raise RetryableError(f"GET /batches/{batch_id} was answered with another batch")
    return answered


def tags(audience_id: str) -> Call[dict[str, int]]:
    """Ask for the ids of all tags of an audience, by name."""
    return Call(
        Request("GET", f"{_list(audience_id)}/tag-search"),
        lambda answer: {str(tag["name"]): int(tag["id"]) for tag in answer["tags"]},
    )


def tag_members(audience_id: str, tag_id: int, *, offset: int, count: int = PAGE_SIZE) -> Call[MemberPage]:
    """Ask for one page of those who carry a tag."""
    query = (
        ("fields", "members.id,members.email_address,total_items"),
        ("count", str(count)),
        ("offset", str(offset)),
    )
    return Call(Request("GET", f"{_list(audience_id)}/segments/{tag_id}/members", query), _to_member_page)


def untag(audience_id: str, tag_id: int, emails: Sequence[str]) -> Call[tuple[Outcome, ...]]:
    """Take a tag from at most :data:`MAX_TAG_MEMBERS` members.

    The answer names who was refused; whoever it does not name does not carry the tag any more.
    """
    body = orjson.dumps({"members_to_remove": list(emails)})
    request = Request("POST", f"{_list(audience_id)}/segments/{tag_id}", body=body)
    return Call(request, lambda answer: to_untagged(emails, answer), carries_people=True)


def to_untagged(emails: Sequence[str], answer: Mapping[str, Any]) -> tuple[Outcome, ...]:
    """Read who lost a tag."""
    refused = {
        normal_address(str(email)): _told(error, "error")
        for error in answer.get("errors") or ()
        for email in error.get("email_addresses") or ()
    }
    return tuple(
        Outcome(email, Effect.REMOVAL_FAILED, reason=Reason.REFUSED, words=refused[address])
        if (address := normal_address(email)) in refused
        else Outcome(email, Effect.REMOVED)
        for email in emails
    )


def member_tags(audience_id: str, email: str) -> Call[frozenset[str]]:
    """Ask which tags a member carries."""
    request = Request("GET", f"{_member(audience_id, stored_hash(email))}/tags", (("count", str(PAGE_SIZE)),))
    return Call(request, lambda answer: frozenset(str(tag["name"]) for tag in answer["tags"]))


def member_status(audience_id: str, member_hash: str) -> Call[str]:
    """Ask for the status of a member."""
    request = Request("GET", _member(audience_id, member_hash), (("fields", "status"),))
    return Call(request, lambda answer: str(answer["status"]))


def archive(audience_id: str, email: str) -> Call[tuple[Outcome, ...]]:
    """Archive a member; nothing is deleted, and they can be restored."""
    request = Request("DELETE", _member(audience_id, stored_hash(email)))
    return Call(request, lambda _: (Outcome(email, Effect.REMOVED),), carries_people=True)


def rename(
    audience_id: str, old_hash: str, email: str, *, status_if_new: str, skip_merge_validation: bool = False
) -> Call[str]:
    """Give a member another address: an unused one in the body renames the member in the path."""
    body = orjson.dumps({"email_address": email, "status_if_new": status_if_new})
    query = _upsert_query(skip_merge_validation=skip_merge_validation, trimmed=False)
    request = Request("PUT", _member(audience_id, old_hash), query, body)
    return Call(request, lambda answer: str(answer["email_address"]), carries_people=True)


def _batch(batch_id: str) -> str:
    if not _BATCH_ID.fullmatch(batch_id):
        raise ConfigError(
            "What is given as the id of a batch is none: it is up to 64 letters and digits. "
            "Give the ids that the export returned"
        )
    return f"/batches/{batch_id}"


def _list(audience_id: str) -> str:
    return f"/lists/{quote(audience_id, safe='')}"


def _member(audience_id: str, member_hash: str) -> str:
    return f"{_list(audience_id)}/members/{member_hash}"
