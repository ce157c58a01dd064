"""What changes the rows past every rule: for set-ups, and for what happens while somebody reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from airflow_mailchimp_export.sandbox.customer_insights.choices import SegmentsForm
from airflow_mailchimp_export.sandbox.customer_insights.segments import CUSTOMER, PROVIDER
from airflow_mailchimp_export.sandbox.customer_insights.store import Store

_INSERTED = """
INSERT INTO membership
    (position, version, customer_id, unit, provider, kind, names, segments, identifier, row_id)
VALUES
    (?, ?, ?, coalesce((SELECT unit FROM profile WHERE customer_id = ? LIMIT 1), 0), ?, ?, ?, ?, ?, md5(?)::uuid)
"""
_MEMBERSHIP = {"customer_id", "segments", "text", "provider", "type"}


def put_memberships(store: Store, rows: Iterable[Mapping[str, Any]], form: SegmentsForm, version: int) -> int:
    """Put rows of memberships as they are to be; one with the same identifier is replaced in its place.

    Each has ``customer_id``, ``segments`` (a list of names) or ``text`` (what the column holds, which may be null),
    and may have ``provider`` and ``type``.

    :raises ValueError: something is missing or unknown.
    """
    found = [_membership(row, form) for row in rows]
    for customer_id, provider, kind, names, text in found:
        identifier = "|".join((customer_id, provider, kind, "Segments"))
        position = _remove(store, "membership", "identifier = ?", identifier)
        values = [position, version, customer_id, customer_id, provider, kind, names, text, identifier]
        store.connection.execute(_INSERTED, [*values, identifier])
    store.changed()
    return len(found)


def put_profiles(store: Store, rows: Iterable[Mapping[str, Any]], version: int) -> int:
    """Change values of profiles, or add profiles; a value is named as in the file that was loaded, or in Dataverse.

    :raises ValueError: something is missing or unknown.
    """
    columns = {one.source: one.wire for one in store.attributes} | {
        one.wire: one.wire for one in store.attributes
    }
    found = [_profile(row, columns) for row in rows]
    for customer_id, values in found:
        known = store.connection.execute(
            "SELECT 1 FROM profile WHERE customer_id = ?", [customer_id]
        ).fetchone()
        if not known:
            store.connection.execute(
                "INSERT INTO profile (position, version, customer_id, unit, late, row_id)"
                " VALUES (?, ?, ?, 9999, 9999, md5('p' || ?)::uuid)",
                [_last(store, "profile") + 1, version, customer_id, customer_id],
            )
        changes = ", ".join(f'"{name}" = ?' for name in values)
        store.connection.execute(
            f"UPDATE profile SET version = ?{', ' + changes if changes else ''} WHERE customer_id = ?",
            [version, *values.values(), customer_id],
        )
    store.changed()
    return len(found)


def remove_rows(store: Store, table: str, customer_ids: Iterable[str]) -> int:
    """Remove every row of some customers from ``profile`` or ``membership``."""
    ids = list(customer_ids)
    before = store.connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    store.connection.execute(f"DELETE FROM {table} WHERE customer_id IN (SELECT unnest(?::varchar[]))", [ids])
    after = store.connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    store.changed()
    return int(before[0] - after[0])


def _membership(row: Mapping[str, Any], form: SegmentsForm) -> tuple[str, str, str, list[str], str | None]:
    unknown = row.keys() - _MEMBERSHIP
    if unknown or "customer_id" not in row or ("segments" in row) is ("text" in row):
        raise ValueError("A row needs customer_id, and segments or text; it may have provider and type.")
    names = [str(name) for name in row.get("segments", [])]
    text = row["text"] if "text" in row else _text(names, form)
    if text is not None and not isinstance(text, str):
        raise ValueError("The text of a row is text, or null.")
    return (
        str(row["customer_id"]),
        str(row.get("provider", PROVIDER)),
        str(row.get("type", CUSTOMER)),
        names,
        text,
    )


def _text(names: list[str], form: SegmentsForm) -> str:
    written = orjson.dumps(names).decode()
    if form is SegmentsForm.LIST:
        return written
    if form is SegmentsForm.SPACED:
        return f'{{"Segments": {written.replace(",", ", ")}}}'
    return f'{{"Segments":{written}}}'


def _profile(row: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    unknown = row.keys() - columns.keys() - {"customer_id"}
    if unknown or "customer_id" not in row:
        raise ValueError(f"A profile needs customer_id, and has {', '.join(sorted(set(columns.values())))}.")
    return str(row["customer_id"]), {
        columns[name]: value for name, value in row.items() if name != "customer_id"
    }


def _remove(store: Store, table: str, condition: str, value: str) -> int:
    """Remove a row, and return its position: that of a new one if there was none."""
    found = store.connection.execute(
        f"DELETE FROM {table} WHERE {condition} RETURNING position", [value]
    ).fetchall()
    return int(found[0][0]) if found else _last(store, table) + 1


def _last(store: Store, table: str) -> int:
    found = store.connection.execute(f"SELECT coalesce(max(position), 0) FROM {table}").fetchone()
    return int(found[0]) if found else 0
