"""Calls that change members, all of which carry people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from airflow_mailchimp_export.address import normal_address, stored_hash
from airflow_mailchimp_export.mailchimp.calls.shared import LONGEST_STATUS, list_path, member_path, told
from airflow_mailchimp_export.mailchimp.protocol import MAX_TOLD, Call, Request
from airflow_mailchimp_export.mailchimp.refusals import effect_of, why
from airflow_mailchimp_export.model import Chunk, Effect, Outcome, Reason

MAX_TAG_MEMBERS = 500
"""Most members whose tag one call changes:
https://mailchimp.com/developer/marketing/api/list-segments/batch-add-or-remove-members/"""

_ANSWER_FIELDS = (
    "new_members.email_address,new_members.status,updated_members.email_address,updated_members.status,"
    "errors,error_count,total_created,total_updated"
)


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
    members = b",".join([member.payload for member in chunk.members])
    body = b'{"members":[' + members + b'],"update_existing":true}'
    query = _upsert_query(skip_merge_validation=skip_merge_validation, trimmed=trimmed)
    request = Request("POST", list_path(audience_id), query, body)
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
    return Outcome(str(item["email_address"]), effect, status=str(item.get("status") or "")[:LONGEST_STATUS])


def _refused(item: Mapping[str, Any]) -> Outcome:
    field, words, field_message = (told(item, name) for name in ("field", "error", "field_message"))
    reason = why(words, field=field, field_message=field_message)
    return Outcome(
        email=str(item.get("email_address") or ""),
        effect=effect_of(reason),
        reason=reason,
        field=field,
        words=" ".join(part for part in (words, field_message) if part)[:MAX_TOLD],
    )


def untag(audience_id: str, tag_id: int, emails: Sequence[str]) -> Call[tuple[Outcome, ...]]:
    """Take a tag from at most :data:`MAX_TAG_MEMBERS` members.

    The answer names who was refused; whoever it does not name does not carry the tag any more.
    """
    body = orjson.dumps({"members_to_remove": list(emails)})
    request = Request("POST", f"{list_path(audience_id)}/segments/{tag_id}", body=body)
    return Call(request, lambda answer: to_untagged(emails, answer), carries_people=True)


def to_untagged(emails: Sequence[str], answer: Mapping[str, Any]) -> tuple[Outcome, ...]:
    """Read who lost a tag."""
    refused = {
        normal_address(str(email)): told(error, "error")
        for error in answer.get("errors") or ()
        for email in error.get("email_addresses") or ()
    }
    return tuple(
        Outcome(email, Effect.REMOVAL_FAILED, reason=Reason.REFUSED, words=refused[address])
        if (address := normal_address(email)) in refused
        else Outcome(email, Effect.REMOVED)
        for email in emails
    )


def archive(audience_id: str, email: str) -> Call[tuple[Outcome, ...]]:
    """Archive a member; nothing is deleted, and they can be restored."""
    request = Request("DELETE", member_path(audience_id, stored_hash(email)))
    return Call(request, lambda _: (Outcome(email, Effect.REMOVED),), carries_people=True)


def rename(
    audience_id: str, old_hash: str, email: str, *, status_if_new: str, skip_merge_validation: bool = False
) -> Call[str]:
    """Give a member another address: an unused one in the body renames the member in the path."""
    body = orjson.dumps({"email_address": email, "status_if_new": status_if_new})
    query = _upsert_query(skip_merge_validation=skip_merge_validation, trimmed=False)
    request = Request("PUT", member_path(audience_id, old_hash), query, body)
    return Call(request, lambda answer: str(answer["email_address"]), carries_people=True)
