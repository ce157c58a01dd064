"""The schema of a member as it is sent: what breaks it refuses the whole request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.sandbox.columns import BY_WORD, Status
from airflow_mailchimp_export.sandbox.problems import FieldError
from airflow_mailchimp_export.sandbox.reading import check_kinds, not_accepted

WRITABLE = {word: status for word, status in BY_WORD.items() if status is not Status.ARCHIVED}
EMAIL_TYPES = {"html", "text", ""}
_WITH_PARTS = frozenset({"interests", "location", "email_type"})

KINDS: Mapping[str, type] = {
    "email_address": str,
    "email_type": str,
    "status": str,
    "status_if_new": str,
    "merge_fields": dict,
    "interests": dict,
    "language": str,
    "vip": bool,
    "location": dict,
    "marketing_permissions": list,
    "ip_signup": str,
    "timestamp_signup": str,
    "ip_opt": str,
    "timestamp_opt": str,
    "tags": list,
}


def breaks_schema(row: Any) -> bool:
    """A quick look, because it is taken at every member of every bulk call."""
    if type(row) is not dict:
        return True
    for name, value in row.items():
        kind = KINDS.get(name)
        if kind is not None and type(value) is not kind:
            return True
    if (
        row.get("status", "subscribed") not in WRITABLE
        or row.get("status_if_new", "subscribed") not in WRITABLE
    ):
        return True
    for tag in row.get("tags", ()):
        if type(tag) is not str:
            return True
    return not _WITH_PARTS.isdisjoint(row) and bool(_inner_errors(row, ""))


def schema_errors(
    row: Mapping[str, Any], prefix: str = "", *, statuses: Mapping[str, Status] = WRITABLE
) -> list[FieldError]:
    """Everything that breaks the schema, in Mailchimp's words."""
    errors = check_kinds(row, KINDS, prefix=prefix)
    named = {error.field for error in errors}
    for name in ("status", "status_if_new"):
        if name in row and prefix + name not in named and row[name] not in statuses:
            errors.append(FieldError(prefix + name, not_accepted(list(statuses))))
    return errors + (_inner_errors(row, prefix) if not errors else [])


def _inner_errors(row: Mapping[str, Any], prefix: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if "interests" in row:
        errors += check_kinds(
            row["interests"], dict.fromkeys(row["interests"], bool), prefix=f"{prefix}interests."
        )
    if "location" in row:
        kinds = {"latitude": float, "longitude": float}
        errors += check_kinds(row["location"], kinds, prefix=f"{prefix}location.")
    if "tags" in row:
        tags = {f"item:{place}": tag for place, tag in enumerate(row["tags"])}
        errors += check_kinds(tags, dict.fromkeys(tags, str), prefix=f"{prefix}tags.")
    if row.get("email_type", "") not in EMAIL_TYPES:
        errors.append(FieldError(f"{prefix}email_type", not_accepted(["html", "text"])))
    return errors
