"""What several calls have: the paths of an audience and its members, and how much is taken from an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_mailchimp_export.mailchimp.protocol import MAX_TOLD

PAGE_SIZE = 1000
"""Most items of one page: https://mailchimp.com/developer/marketing/docs/methods-parameters/#pagination"""

LONGEST_STATUS = 64
"""Most characters that are kept of a status."""


def list_path(audience_id: str) -> str:
    """Return the path of an audience, which Mailchimp's paths call a list."""
    return f"/lists/{quote(audience_id, safe='')}"


def member_path(audience_id: str, member_hash: str) -> str:
    """Return the path of a member, by the hash of the address."""
    return f"{list_path(audience_id)}/members/{member_hash}"


def told(item: Mapping[str, Any], name: str) -> str:
    """Return what an answer says under a name, as much of it as is kept."""
    return str(item.get(name) or "")[:MAX_TOLD]
