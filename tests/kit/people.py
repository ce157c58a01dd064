"""People: as tables of a source, and as members on their way to Mailchimp."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.model import Chunk, Member, MemberStatus


def people(*emails: str | None, **columns: Iterable[Any]) -> pa.Table:
    """Make a segment: addresses, and further columns in their order."""
    return pa.table(
        {"email": pa.array(emails, pa.string()), **{name: list(of) for name, of in columns.items()}}
    )


def many(count: int, *, start: int = 0, domain: str = "mail.eu") -> pa.Table:
    """Make a segment of so many different addresses."""
    return people(*(f"p{number:06d}@{domain}" for number in range(start, start + count)))


def member(email: str, status: MemberStatus = MemberStatus.SUBSCRIBED, *, bulk: int = 0) -> Member:
    """Make a member; ``bulk`` makes its payload so many bytes longer."""
    payload = json.dumps({"email_address": email, "status": status, **({"x": "x" * bulk} if bulk else {})})
    return Member(hash_of(email), email, status, payload.encode())


def chunk(number: int, *addresses: str) -> Chunk:
    """Make a chunk of members with these addresses."""
    return Chunk(number, tuple(map(member, addresses)))


def hash_of(email: str) -> str:
    """Mailchimp's id of a member."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()
