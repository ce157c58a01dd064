"""Segments: static ones are the same as tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.problems import BAD_REQUEST, NOT_FOUND, Refused, invalid
from airflow_mailchimp_export.sandbox.reading import (
    check_tag_name,
    require,
    switched_on,
    to_moment,
    to_object,
    to_page,
)
from airflow_mailchimp_export.sandbox.state import Audience, Member, digest_of
from airflow_mailchimp_export.sandbox.tags import Tag
from airflow_mailchimp_export.sandbox.views import Shape

FIELDS = frozenset(
    {"id", "name", "member_count", "type", "created_at", "updated_at", "options", "list_id", "_links"}
)
SHAPE: Shape = dict.fromkeys(FIELDS)
COLLECTION_SHAPE: Shape = {"segments": FIELDS, "list_id": None, "total_items": None, "_links": None}
STATIC, SAVED = "static", "saved"

_BODY = {"name": str, "static_segment": list, "options": dict}
_INCLUDES = {
    "include_cleaned": Status.CLEANED,
    "include_transactional": Status.TRANSACTIONAL,
    "include_unsubscribed": Status.UNSUBSCRIBED,
}


def known_segment(audience: Audience, call: Call) -> Tag:
    """The segment that the path names, or 404."""
    name = call.args["segment_id"]
    tag = audience.tags.get(int(name)) if name.isascii() and name.isdigit() else None
    if tag is None:
        raise Refused(NOT_FOUND)
    return tag


def known_static_segment(audience: Audience, call: Call) -> Tag:
    """The same, but a segment with conditions is refused."""
    tag = known_segment(audience, call)
    if tag.saved:
        raise Refused(
            BAD_REQUEST.saying(f"A Static Segment with an id of {tag.tag_id} does not exist for this list.")
        )
    return tag


def counted_statuses(query: Mapping[str, str]) -> frozenset[Status]:
    """Only subscribed members count, unless others are asked for."""
    return frozenset({Status.SUBSCRIBED}) | {
        status for name, status in _INCLUDES.items() if switched_on(query, name)
    }


def get_segments(account: Account, call: Call) -> Answer:
    """One page of the segments."""
    audience = account.audience(call)
    found = [tag for tag in audience.tags.values() if _matches(tag, call.query)]
    content = {
        "segments": [_to_json(account, audience, tag, call.query) for tag in to_page(call.query).of(found)],
        "list_id": audience.audience_id,
        "total_items": len(found),
        "_links": links(account.api_url, call.path, "Lists/Segments"),
    }
    return Answer(call.view.apply(content), total_items=len(found))


def get_segment(account: Account, call: Call) -> Answer:
    """One segment."""
    audience = account.audience(call)
    tag = known_segment(audience, call)
    return Answer(call.view.apply(_to_json(account, audience, tag, call.query)))


def post_segments(account: Account, call: Call) -> Answer:
    """A new tag, or a new segment with conditions."""
    audience, body = account.audience(call), to_object(call)
    _check_body(body)
    _check_free(audience, body["name"], None)
    if "static_segment" in body and "options" in body:
        raise Refused(BAD_REQUEST.saying("Pass either static_segment or options, not both."))
    if "static_segment" not in body and "options" not in body:
        raise Refused(BAD_REQUEST.saying("Pass static_segment or options."))
    tag = audience.add_tag(body["name"], account.now(), body.get("options"))
    _fill(account, audience, tag, body.get("static_segment", []))
    return Answer(call.view.apply(_to_json(account, audience, tag, call.query)))


def patch_segment(account: Account, call: Call) -> Answer:
    """Rename a segment; ``static_segment`` replaces its members, and an empty one removes them all."""
    audience, body = account.audience(call), to_object(call)
    tag = known_segment(audience, call)
    _check_body(body)
    _check_free(audience, body["name"], tag)
    if "static_segment" in body:
        known_static_segment(audience, call)
        for seq in tag.members.select(frozenset(Status)):
            take_off(audience, tag, audience.members[seq])
        _fill(account, audience, tag, body["static_segment"])
    if "options" in body:
        tag.conditions = body["options"]
    audience.rename_tag(tag, body["name"], account.now())
    return Answer(call.view.apply(_to_json(account, audience, tag, call.query)))


def delete_segment(account: Account, call: Call) -> Answer:
    """Delete a segment; its members stay in the audience."""
    audience = account.audience(call)
    audience.drop_tag(known_segment(audience, call))
    return Answer()


def put_on(audience: Audience, tag: Tag, member: Member, *, now: int) -> bool:
    """Tag a member; whether that changed anything."""
    if tag.tag_id in member.tags:
        return False
    audience.set_tags(member, {**member.tags, tag.tag_id: now})
    return True


def take_off(audience: Audience, tag: Tag, member: Member) -> bool:
    """Remove a tag from a member; whether that changed anything."""
    if tag.tag_id not in member.tags:
        return False
    kept = {tag_id: added for tag_id, added in member.tags.items() if tag_id != tag.tag_id}
    audience.set_tags(member, kept)
    return True


def _fill(account: Account, audience: Audience, tag: Tag, emails: Sequence[Any]) -> None:
    # Addresses that are not on the list are ignored here:
    # https://mailchimp.com/developer/marketing/api/list-segments/add-segment/
    for email in emails:
        member = audience.by_digest.get(digest_of(email))
        if member and member.status is not Status.ARCHIVED:
            put_on(audience, tag, member, now=account.now())


def _check_body(body: Mapping[str, Any]) -> None:
    require(body, _BODY, "name")
    check_tag_name(body["name"])
    if not all(isinstance(email, str) for email in body.get("static_segment", [])):
        raise invalid("static_segment", "Schema describes string, object found instead")


def _check_free(audience: Audience, name: str, owner: Tag | None) -> None:
    found = {audience.tag_names.find(name, saved=saved) for saved in (False, True)}
    if found - {None, owner}:
        raise Refused(BAD_REQUEST.saying("Sorry, that tag already exists."))


def _matches(tag: Tag, query: Mapping[str, str]) -> bool:
    if query.get("type") not in (None, "", _type_of(tag)):
        return False
    for name, moment in (("created_at", tag.created), ("updated_at", tag.updated)):
        since, before = to_moment(query, f"since_{name}"), to_moment(query, f"before_{name}")
        if (since is not None and moment <= since) or (before is not None and moment >= before):
            return False
    return True


def _type_of(tag: Tag) -> str:
    return SAVED if tag.saved else STATIC


def _to_json(account: Account, audience: Audience, tag: Tag, query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": tag.tag_id,
        "name": tag.name,
        "member_count": tag.members.count(counted_statuses(query)),
        "type": _type_of(tag),
        "created_at": iso(tag.created),
        "updated_at": iso(tag.updated),
        "options": tag.conditions or {"match": "any", "conditions": []},
        "list_id": audience.audience_id,
        "_links": links(
            account.api_url, f"/lists/{audience.audience_id}/segments/{tag.tag_id}", "Lists/Segments"
        ),
    }
