"""The members of a segment, one by one and 500 at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.choices import StrangerInSegment
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.member_list import member_page
from airflow_mailchimp_export.sandbox.members import known_member
from airflow_mailchimp_export.sandbox.problems import BAD_REQUEST, NOT_FOUND, Refused, invalid
from airflow_mailchimp_export.sandbox.reading import require, to_object, to_page
from airflow_mailchimp_export.sandbox.render import MEMBER_FIELDS, MemberView
from airflow_mailchimp_export.sandbox.segments import (
    counted_statuses,
    known_segment,
    known_static_segment,
    put_on,
    take_off,
)
from airflow_mailchimp_export.sandbox.state import Audience, Member, digest_of
from airflow_mailchimp_export.sandbox.subscribe import bulk_view
from airflow_mailchimp_export.sandbox.tags import Tag
from airflow_mailchimp_export.sandbox.views import Projection, Shape

MAX_EMAILS = 500
"""To add, and again to remove: https://mailchimp.com/developer/marketing/api/list-segments/"""

SHAPE: Shape = {
    "members_added": MEMBER_FIELDS,
    "members_removed": MEMBER_FIELDS,
    "errors": frozenset({"email_addresses", "error"}),
    "total_added": None,
    "total_removed": None,
    "error_count": None,
    "_links": None,
}

NOT_ON_LIST = "Email addresses do not exist on this list."
NOT_ACTIVE = "Email addresses are not subscribed to this list."
TAGGABLE = frozenset({Status.SUBSCRIBED, Status.TRANSACTIONAL, Status.PENDING})


def get_segment_members(account: Account, call: Call) -> Answer:
    """One page of a segment's members: only active ones, unless others are asked for."""
    audience = account.audience(call)
    tag, page, statuses = known_segment(audience, call), to_page(call.query), counted_statuses(call.query)
    places = tag.members.select(statuses, page.offset, page.count)
    return member_page(account, audience, call, places=places, total=tag.members.count(statuses))


def post_segment_member(account: Account, call: Call) -> Answer:
    """Tag one member."""
    audience, body = account.audience(call), to_object(call)
    tag = known_static_segment(audience, call)
    require(body, {"email_address": str}, "email_address")
    member = audience.by_digest.get(digest_of(body["email_address"]))
    if member is None:
        raise Refused(NOT_FOUND)
    if member.status not in TAGGABLE:
        raise Refused(BAD_REQUEST.saying(NOT_ACTIVE))
    put_on(audience, tag, member, now=account.now())
    return Answer(MemberView(account, audience, call.view).render(member))


def delete_segment_member(account: Account, call: Call) -> Answer:
    """Remove the tag from one member."""
    audience = account.audience(call)
    tag, member = known_static_segment(audience, call), known_member(audience, call, hash_only=True)
    if not take_off(audience, tag, member):
        raise Refused(NOT_FOUND)
    return Answer()


def post_segment(account: Account, call: Call) -> Answer:
    """Add and remove up to 500 members each."""
    audience, body = account.audience(call), to_object(call)
    tag = known_static_segment(audience, call)
    view = bulk_view(account, call)
    _check_body(body)
    update = SegmentUpdate(account, audience, tag)
    update.add(body.get("members_to_add", []))
    update.remove(body.get("members_to_remove", []))
    tag.updated = account.now()
    return Answer(update.to_json(view))


class SegmentUpdate:
    """One bulk change of one tag."""

    def __init__(self, account: Account, audience: Audience, tag: Tag) -> None:
        self._account, self._audience, self._tag = account, audience, tag
        self._added: list[Member] = []
        self._removed: list[Member] = []
        self._errors: dict[str, list[str]] = {}

    def add(self, emails: Sequence[str]) -> None:
        """Tag whoever can be tagged."""
        now = self._account.now()
        for member in self._known(emails, lambda member: member.status in TAGGABLE):
            if put_on(self._audience, self._tag, member, now=now):
                self._added.append(member)

    def remove(self, emails: Sequence[str]) -> None:
        """Untag whoever is there, in whatever status."""
        for member in self._known(emails, lambda member: True):
            if take_off(self._audience, self._tag, member):
                self._removed.append(member)

    def to_json(self, view: Projection) -> dict[str, Any]:
        """The answer, built only as far as it is wanted."""
        content: dict[str, Any] = {}
        for name, found in (("members_added", self._added), ("members_removed", self._removed)):
            below = view.sub(name)
            if below:
                shown = MemberView(self._account, self._audience, below)
                content[name] = [shown.render(member) for member in found]
        path = f"/lists/{self._audience.audience_id}/segments/{self._tag.tag_id}"
        rest = {
            "errors": [{"email_addresses": emails, "error": text} for text, emails in self._errors.items()],
            "total_added": len(self._added),
            "total_removed": len(self._removed),
            "error_count": len(self._errors),
            "_links": links(self._account.api_url, path, "Lists/Segments"),
        }
        content |= view.apply(rest)
        return content

    def _known(self, emails: Sequence[str], takes: Callable[[Member], bool]) -> list[Member]:
        found = []
        for email in emails:
            member = self._audience.by_digest.get(digest_of(email))
            if member is None or member.status is Status.ARCHIVED:
                self._note(email, NOT_ON_LIST)
            elif not takes(member):
                self._note(email, NOT_ACTIVE)
            else:
                found.append(member)
        return found

    def _note(self, email: str, text: str) -> None:
        if self._account.settings.segment_strangers is StrangerInSegment.ERROR:
            self._errors.setdefault(text, []).append(email)


def _check_body(body: dict[str, Any]) -> None:
    require(body, {"members_to_add": list, "members_to_remove": list})
    for name in ("members_to_add", "members_to_remove"):
        emails = body.get(name, [])
        if len(emails) > MAX_EMAILS:
            raise invalid(name, f"This collection should contain {MAX_EMAILS} elements or less.")
        if not all(isinstance(email, str) for email in emails):
            raise invalid(name, "Schema describes string, object found instead")
