"""Members as JSON: the whole object, or only the fields that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.columns import WORDS, Status
from airflow_mailchimp_export.sandbox.links import member_links
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.state import Audience, Member
from airflow_mailchimp_export.sandbox.views import Projection

MAX_TAGS = 50
"""A member shows that many tags at most; ``tags_count`` tells how many there are."""

WEB_ID_BASE = 400_000_000

_NOWHERE = {
    "latitude": 0,
    "longitude": 0,
    "gmtoff": 0,
    "dstoff": 0,
    "country_code": "",
    "timezone": "",
    "region": "",
}
_NO_OPENS = orjson.Fragment(b'{"avg_open_rate":0,"avg_click_rate":0}')


def contact_prefix(audience: Audience) -> str:
    """What the contact ids of an audience begin with: they stay when the address changes, and are no hash."""
    return audience.audience_id.encode().hex().ljust(24, "c")[:24]


class MemberView:
    """Renders the members of one audience for one answer."""

    def __init__(self, account: Account, audience: Audience, view: Projection) -> None:
        self._audience, self._view = audience, view
        self._plan = audience.plan
        self._links = member_links(account.api_url, audience.audience_id)
        self._interests = audience.interest_ids
        self._contact_prefix = contact_prefix(audience)
        self._tag_lists: dict[int, tuple[Mapping[int, int], orjson.Fragment]] = {}
        names = [name for name in _FIELDS if view.sub(name)]
        self._wanted = [(name, _FIELDS[name]) for name in names]
        self._nested = {name: below for name in names if (below := view.sub(name)) and below.tree is not None}

    def render(self, member: Member) -> dict[str, Any]:
        """The member, as far as it is wanted."""
        content = {name: part for name, get in self._wanted if (part := get(self, member)) is not None}
        for name, below in self._nested.items():
            content[name] = below.apply(content[name])
        return content

    def _full_name(self, member: Member) -> str:
        found = self._plan.to_json(member.values)
        return f"{found.get('FNAME', '')} {found.get('LNAME', '')}".strip()

    def _reason(self, member: Member) -> str | None:
        if member.status is not Status.UNSUBSCRIBED:
            return None
        return "No reason given" if member.compliance else "N/A (Unsubscribed by admin)"

    def _interests_of(self, member: Member) -> dict[str, bool] | None:
        chosen = member.extras.get("interests", {})
        return {one: chosen.get(one, False) for one in self._interests} if self._interests else None

    def _location(self, member: Member) -> dict[str, Any]:
        found = member.extras.get("location")
        return _NOWHERE | found if found else _NOWHERE

    def _tags(self, member: Member) -> orjson.Fragment:
        tags = member.tags
        kept = self._tag_lists.get(id(tags))
        if kept is None:
            shown = [{"id": one, "name": self._audience.tags[one].name} for one in list(tags)[:MAX_TAGS]]
            kept = self._tag_lists[id(tags)] = (tags, orjson.Fragment(orjson.dumps(shown)))
        return kept[1]

    def _member_links(self, member: Member) -> orjson.Fragment:
        return orjson.Fragment(member.digest.hex().encode().join(self._links))


_FIELDS: Final[Mapping[str, Callable[[MemberView, Member], Any]]] = {
    "id": lambda view, member: member.digest.hex(),
    "email_address": lambda view, member: member.email,
    "unique_email_id": lambda view, member: member.digest[8:13].hex(),
    "contact_id": lambda view, member: f"{view._contact_prefix}{member.seq:08x}",
    "full_name": MemberView._full_name,
    "web_id": lambda view, member: WEB_ID_BASE + member.seq,
    "email_type": lambda view, member: member.extras.get("email_type", "html"),
    "status": lambda view, member: WORDS[member.status],
    "unsubscribe_reason": MemberView._reason,
    "consents_to_one_to_one_messaging": lambda view, member: True,
    "merge_fields": lambda view, member: view._plan.to_json(member.values),
    "interests": MemberView._interests_of,
    "stats": lambda view, member: _NO_OPENS,
    "ip_signup": lambda view, member: member.extras.get("ip_signup", ""),
    "timestamp_signup": lambda view, member: iso(member.extras.get("timestamp_signup", 0)),
    "ip_opt": lambda view, member: member.extras.get("ip_opt", ""),
    "timestamp_opt": lambda view, member: iso(member.opted),
    "member_rating": lambda view, member: 2,
    "last_changed": lambda view, member: iso(member.changed),
    "language": lambda view, member: member.extras.get("language", ""),
    "vip": lambda view, member: member.extras.get("vip", False),
    "email_client": lambda view, member: "",
    "location": MemberView._location,
    "source": lambda view, member: "API - Generic",
    "tags_count": lambda view, member: len(member.tags),
    "tags": MemberView._tags,
    "list_id": lambda view, member: view._audience.audience_id,
    "_links": MemberView._member_links,
}

MEMBER_FIELDS = frozenset(_FIELDS) | {"last_note", "marketing_permissions", "sms_phone_number"}
MEMBER_SHAPE = dict.fromkeys(MEMBER_FIELDS)
MEMBER_LIST_SHAPE = {"members": MEMBER_FIELDS, "list_id": None, "total_items": None, "_links": None}
