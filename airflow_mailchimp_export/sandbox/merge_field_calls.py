"""``/lists/{list_id}/merge-fields``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.merge_fields import MergeField, MergeType
from airflow_mailchimp_export.sandbox.problems import INVALID_RESOURCE, NOT_FOUND, Refused, invalid
from airflow_mailchimp_export.sandbox.reading import (
    BLANK,
    require,
    require_choice,
    switched_on,
    to_object,
    to_page,
)
from airflow_mailchimp_export.sandbox.state import Audience
from airflow_mailchimp_export.sandbox.views import Shape

FIELDS = frozenset(
    [
        "merge_id",
        "tag",
        "name",
        "type",
        "required",
        "default_value",
        "public",
        "display_order",
        "options",
        "help_text",
        "list_id",
        "_links",
    ]
)
SHAPE: Shape = dict.fromkeys(FIELDS)
COLLECTION_SHAPE: Shape = {"merge_fields": FIELDS, "list_id": None, "total_items": None, "_links": None}

TAG_LENGTH = 10
"""Characters of a merge tag."""

_CHANGEABLE = {
    "tag": str,
    "name": str,
    "required": bool,
    "default_value": str,
    "public": bool,
    "display_order": int,
    "options": dict,
    "help_text": str,
}


def get_merge_fields(account: Account, call: Call) -> Answer:
    """One page of the merge fields; the address is none of them."""
    audience, found = account.audience(call), list(account.audience(call).fields)
    if "type" in call.query:
        found = [one for one in found if one.type.value == call.query["type"]]
    if "required" in call.query:
        found = [one for one in found if one.required is switched_on(call.query, "required")]
    content = {
        "merge_fields": [_to_json(account, audience, one) for one in to_page(call.query).of(found)],
        "list_id": audience.audience_id,
        "total_items": len(found),
        "_links": links(account.api_url, call.path, "Lists/MergeFields"),
    }
    return Answer(call.view.apply(content), total_items=len(found))


def get_merge_field(account: Account, call: Call) -> Answer:
    """One merge field."""
    audience = account.audience(call)
    return Answer(call.view.apply(_to_json(account, audience, _known(audience, call))))


def post_merge_fields(account: Account, call: Call) -> Answer:
    """A new merge field; its type is fixed from now on."""
    audience, body = account.audience(call), to_object(call)
    require(body, {**_CHANGEABLE, "type": str}, "name", "type")
    require_choice(body, "type", list(MergeType))
    if len(audience.fields) >= account.settings.merge_field_limit:
        limit = f"This list already has the maximum of {account.settings.merge_field_limit} merge fields."
        raise Refused(INVALID_RESOURCE.saying(limit))
    one = MergeField(audience.next_merge_id, "", body["name"], MergeType(body["type"]))
    _apply(audience, one, {"tag": f"MMERGE{one.merge_id}", "display_order": one.merge_id + 1, **body})
    audience.next_merge_id += 1
    audience.fields.append(one)
    audience.replan()
    limit_told = {"merge_field_limit": account.settings.merge_field_limit}
    return Answer(call.view.apply(_to_json(account, audience, one)) | limit_told)


def patch_merge_field(account: Account, call: Call) -> Answer:
    """Change a merge field, but not its type."""
    audience, body = account.audience(call), to_object(call)
    one = _known(audience, call)
    require(body, _CHANGEABLE)
    _apply(audience, one, body)
    audience.replan()
    return Answer(call.view.apply(_to_json(account, audience, one)))


def delete_merge_field(account: Account, call: Call) -> Answer:
    """Delete a merge field with every member's value."""
    audience = account.audience(call)
    place = audience.fields.index(_known(audience, call))
    del audience.fields[place]
    for member in audience.members:
        member.values = member.values[:place] + member.values[place + 1 :]
    audience.replan()
    return Answer()


def _known(audience: Audience, call: Call) -> MergeField:
    found = [one for one in audience.fields if str(one.merge_id) == call.args["merge_id"]]
    if not found:
        raise Refused(NOT_FOUND)
    return found[0]


def _apply(audience: Audience, one: MergeField, body: Mapping[str, Any]) -> None:
    options = body.get("options", one.options)
    if one.type in (MergeType.RADIO, MergeType.DROPDOWN) and not options.get("choices"):
        raise invalid("options.choices", BLANK)
    if "tag" in body:
        body = {**body, "tag": _free_tag(audience, one, body["tag"])}
    for name in _CHANGEABLE.keys() & body.keys():
        setattr(one, name, body[name])


def _free_tag(audience: Audience, one: MergeField, tag: str) -> str:
    tag = tag.upper()
    if len(tag) > TAG_LENGTH:
        raise invalid("tag", f"This value is too long. It should have {TAG_LENGTH} characters or less.")
    if not re.fullmatch(r"[A-Z0-9_]+", tag, re.ASCII):
        raise invalid("tag", "Merge tags may only contain letters, digits and underscores.")
    if tag == "EMAIL" or any(other.tag == tag for other in audience.fields if other is not one):
        text = f'A Merge Field with the tag "{tag}" already exists for this list.'
        raise Refused(INVALID_RESOURCE.saying(text))
    return tag


def _to_json(account: Account, audience: Audience, one: MergeField) -> dict[str, Any]:
    path = f"/lists/{audience.audience_id}/merge-fields/{one.merge_id}"
    return {
        "merge_id": one.merge_id,
        "tag": one.tag,
        "name": one.name,
        "type": one.type.value,
        "required": one.required,
        "default_value": one.default_value,
        "public": one.public,
        "display_order": one.display_order,
        "options": one.options,
        "help_text": one.help_text,
        "list_id": audience.audience_id,
        "_links": links(account.api_url, path, "Lists/MergeFields"),
    }
