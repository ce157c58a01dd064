"""What the page shows, in one small document."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.columns import WORDS, Status
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.state import Audience, Member

TAGS_SHOWN = 40
BATCHES_SHOWN = 12


def to_overview(account: Account) -> dict[str, Any]:
    """Audiences, batches, and how busy it is."""
    meter = account.meter
    return {
        "now": iso(account.now()),
        "audiences": [_audience(audience) for audience in account.audiences.values()],
        "batches": [
            {**batch.to_json(), "submitted_at": iso(batch.submitted)}
            for batch in list(account.batches.batches.values())[: -BATCHES_SHOWN - 1 : -1]
        ],
        "rates": meter.rates(),
        "in_flight": meter.in_flight,
        "max_connections": account.settings.max_connections,
        "requests": sum(meter.requests.values()),
        "rows": meter.rows_handled,
        "faults": sum(meter.faults.values()),
    }


def _audience(audience: Audience) -> dict[str, Any]:
    tags = sorted(audience.tags.values(), key=lambda tag: -tag.members.totals[Status.SUBSCRIBED])
    return {
        "id": audience.audience_id,
        "name": audience.name,
        "statuses": {status.word: audience.statuses.totals[status] for status in Status},
        "tags": [
            {"name": tag.name, "members": tag.members.totals[Status.SUBSCRIBED]} for tag in tags[:TAGS_SHOWN]
        ],
        "tags_total": len(tags),
        "recent": [_member(audience, member) for member in reversed(_distinct(audience))],
    }


def _distinct(audience: Audience) -> list[Member]:
    known = [member for member in audience.recent if member.seq in audience.statuses]
    return list(dict.fromkeys(known[::-1]))[::-1]


def _member(audience: Audience, member: Member) -> dict[str, Any]:
    names = audience.plan.to_json(member.values)
    return {
        "email": member.email,
        "name": f"{names.get('FNAME', '')} {names.get('LNAME', '')}".strip(),
        "status": WORDS[member.status],
        "tags": [audience.tags[tag_id].name for tag_id in member.tags][:5],
        "last_changed": iso(member.changed),
    }
