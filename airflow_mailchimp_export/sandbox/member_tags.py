"""A member's tags, and the search for tags by name."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.members import known_member
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.problems import INVALID_RESOURCE, FieldError, Refused, invalid
from airflow_mailchimp_export.sandbox.reading import (
    BLANK,
    check_kinds,
    check_tag_name,
    kind_of,
    not_accepted,
    require,
    to_object,
    to_page,
)
from airflow_mailchimp_export.sandbox.views import Shape

STATES = ("active", "inactive")
SHAPE: Shape = {"tags": frozenset({"id", "name", "date_added"}), "total_items": None, "_links": None}


def get_member_tags(account: Account, call: Call) -> Answer:
    """One page of a member's tags."""
    audience = account.audience(call)
    member = known_member(audience, call)
    tags = [
        {"id": tag_id, "name": audience.tags[tag_id].name, "date_added": iso(added)}
        for tag_id, added in member.tags.items()
    ]
    content = {
        "tags": to_page(call.query).of(tags),
        "total_items": len(tags),
        "_links": links(account.api_url, call.path, "Lists/Members/Tags"),
    }
    return Answer(call.view.apply(content), total_items=len(tags))


def post_member_tags(account: Account, call: Call) -> Answer:
    """Add and remove tags; those that are not named stay. Only the hash names the member here."""
    audience = account.audience(call)
    member = known_member(audience, call, hash_only=True)
    wanted = _to_states(to_object(call))
    now, tags = account.now(), dict(member.tags)
    for name, active in wanted.items():
        if active:
            tags.setdefault(audience.tag_named(name, now).tag_id, now)
        elif tag := audience.tag_names.find(name):
            tags.pop(tag.tag_id, None)
    if tags.keys() != member.tags.keys():
        member.changed = now
        audience.set_tags(member, tags)
    return Answer()


def tag_search(account: Account, call: Call) -> Answer:
    """Tags whose name begins so; all of them, if no name is given. There are no pages."""
    audience = account.audience(call)
    key = audience.tag_names.key
    prefix = key(call.query.get("name", ""))
    found = [
        {"id": tag.tag_id, "name": tag.name}
        for tag in audience.tags.values()
        if not tag.saved and key(tag.name).startswith(prefix)
    ]
    return Answer({"tags": found, "total_items": len(found)})


def _to_states(body: dict[str, Any]) -> dict[str, bool]:
    require(body, {"tags": list, "is_syncing": bool})
    if "tags" not in body:
        raise invalid("tags", BLANK)
    states = {}
    for place, item in enumerate(body["tags"]):
        _check_item(item, f"tags.item:{place}")
        states[item["name"]] = item["status"] == "active"
    return states


def _check_item(item: Any, where: str) -> None:
    if not isinstance(item, dict):
        raise invalid(where, f"Schema describes object, {kind_of(item)} found instead")
    errors = check_kinds(item, {"name": str, "status": str}, prefix=f"{where}.")
    errors += [FieldError(f"{where}.{name}", BLANK) for name in ("name", "status") if name not in item]
    if not errors and item["status"] not in STATES:
        errors = [FieldError(f"{where}.status", not_accepted(STATES))]
    if errors:
        raise Refused(INVALID_RESOURCE.about(*errors))
    check_tag_name(item["name"])
