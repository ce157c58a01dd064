"""Calls that read members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.address import stored_hash
from airflow_mailchimp_export.mailchimp.calls.shared import PAGE_SIZE, list_path, member_path
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from airflow_mailchimp_export.model import MemberStatus


@dataclass(frozen=True, slots=True)
class MemberPage:
    """One page of the members of one status: pairs of Mailchimp's id and the address."""

    members: tuple[tuple[str, str], ...]
    total: int


def members(
    audience_id: str,
    status: MemberStatus,
    *,
    offset: int,
    count: int = PAGE_SIZE,
    since: str | None = None,
    changed_since: str | None = None,
) -> Call[MemberPage]:
    """Ask for one page of the members of one status.

    :param since: ISO 8601; only those who changed, or unsubscribed, after it.
    :param changed_since: ISO 8601; only those who changed after it, also of the unsubscribed.
    """
    left = status is MemberStatus.UNSUBSCRIBED
    query = (
        ("status", status.value),
        ("fields", "members.id,members.email_address,total_items"),
        ("count", str(count)),
        ("offset", str(offset)),
        *_chosen("unsubscribed_since" if left else "since_last_changed", since),
        *_chosen("since_last_changed", changed_since),
    )
    return Call(Request("GET", f"{list_path(audience_id)}/members", query), _to_member_page)


def _chosen(name: str, moment: str | None) -> tuple[tuple[str, str], ...]:
    return ((name, moment),) if moment else ()


def tag_members(audience_id: str, tag_id: int, *, offset: int, count: int = PAGE_SIZE) -> Call[MemberPage]:
    """Ask for one page of those who carry a tag."""
    query = (
        ("fields", "members.id,members.email_address,total_items"),
        ("count", str(count)),
        ("offset", str(offset)),
    )
    return Call(Request("GET", f"{list_path(audience_id)}/segments/{tag_id}/members", query), _to_member_page)


def _to_member_page(answer: Mapping[str, Any]) -> MemberPage:
    found = tuple(
        (str(item["id"]), str(item.get("email_address", ""))) for item in answer.get("members") or ()
    )
    total = int(answer["total_items"])
    if total > _MOST_MEMBERS:
        raise ValueError("more members than an audience can have")
    return MemberPage(found, total)


_MOST_MEMBERS = 100_000_000


def member_tags(audience_id: str, email: str) -> Call[frozenset[str]]:
    """Ask which tags a member carries."""
    request = Request(
        "GET", f"{member_path(audience_id, stored_hash(email))}/tags", (("count", str(PAGE_SIZE)),)
    )
    return Call(request, lambda answer: frozenset(str(tag["name"]) for tag in answer["tags"]))


def member_status(audience_id: str, member_hash: str) -> Call[str]:
    """Ask for the status of a member."""
    request = Request("GET", member_path(audience_id, member_hash), (("fields", "status"),))
    return Call(request, lambda answer: str(answer["status"]))
