"""The signup form: the one way back for people who opted out, bounced or were deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.sandbox.addresses import is_address
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.state import Audience, Member, digest_of


def sign_up(audience: Audience, email: str, given: Mapping[str, Any], now: int) -> Member:
    """Subscribe a person who fills in the form, and confirms if asked, whatever was before.

    :param given: merge fields that the form asks for.
    :raises ValueError: the address or a merge field cannot be; nothing is changed then.
    """
    email = email.strip()
    if not is_address(email):
        raise ValueError("A person who signs up needs an address.")
    digest = digest_of(email)
    member = audience.by_digest.get(digest)
    old = member.values if member else audience.plan.blank
    values, errors = audience.plan.merge(old, given, check_required=False)
    if errors:
        raise ValueError(f"{errors[0].field}: {errors[0].message}")
    audience.forgotten.discard(digest)
    if member is None:
        member = audience.newcomer(email, now)
        audience.add(member)
    if member.status is not Status.SUBSCRIBED:
        member.opted = now
    member.values, member.compliance = values, False
    member.extras = {**member.extras, "timestamp_signup": now}
    audience.set_status(member, Status.SUBSCRIBED, now)
    return member
