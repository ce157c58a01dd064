"""Members as the control endpoints show them: short, and archived ones too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

from airflow_mailchimp_export.sandbox.columns import WORDS, Status
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.state import Audience, Member

LINES_AT_ONCE = 5000


def to_compact(audience: Audience, member: Member) -> dict[str, Any]:
    """One member."""
    return {
        "email": member.email,
        "hash": member.digest.hex(),
        "status": WORDS[member.status],
        "compliance": member.compliance,
        "tags": [audience.tags[tag_id].name for tag_id in member.tags],
        "merge_fields": {
            tag: value for tag, value in audience.plan.to_json(member.values).items() if value != ""
        },
        "last_changed": iso(member.changed),
    }


def everyone(audience: Audience) -> Iterator[dict[str, Any]]:
    """All members."""
    for place in audience.statuses.select(frozenset(Status)):
        yield to_compact(audience, audience.members[place])


async def lines(audience: Audience) -> AsyncIterator[bytes]:
    """All members, one line each; calls get their turn in between."""
    places = audience.statuses.select(frozenset(Status))
    for start in range(0, len(places), LINES_AT_ONCE):
        members = (audience.members[place] for place in places[start : start + LINES_AT_ONCE])
        yield b"".join(
            orjson.dumps(to_compact(audience, member), option=orjson.OPT_APPEND_NEWLINE) for member in members
        )
        await asyncio.sleep(0)
