"""When a server asks to come back: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mailchimp_export.web.dates import moment_of


def seconds_of(value: str) -> float | None:
    """Return how many seconds to wait; ``None`` where neither seconds nor a date is given."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    moment = moment_of(value)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None
