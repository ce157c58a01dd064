"""Moments as HTTP writes them: https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime


def moment_of(value: str) -> datetime | None:
    """Return what a date in a header says; ``None`` where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
