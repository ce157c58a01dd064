"""Moments as Mailchimp writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def iso(moment: int) -> str:
    """ISO 8601 with ``+00:00``, as in recorded answers; nothing for 0."""
    return datetime.fromtimestamp(moment, UTC).isoformat() if moment else ""


def seconds_of(text: str) -> float:
    """Seconds since 1970; a time without a zone is taken as UTC.

    An unescaped ``+`` in a query arrives as a blank and is no ISO 8601: that is refused, not repaired.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def from_iso(text: str) -> int:
    """The same in whole seconds, as moments are kept."""
    return int(seconds_of(text))
