"""Puts members into an audience as they are to be, past every rule: for set-ups, not for clients."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_mailchimp_export.sandbox.columns import BY_WORD, Status
from airflow_mailchimp_export.sandbox.moments import from_iso
from airflow_mailchimp_export.sandbox.state import NO_EXTRAS, NO_TAGS, Audience, Member, digest_of

_TRUE = {"true", "1", "yes", "t"}


def put_raw(audience: Audience, row: Mapping[str, Any], now: int) -> None:
    """Insert or change one member: ``email`` and any of the columns that the documentation lists.

    :raises ValueError: the address is missing, or the status is unknown.
    """
    email = str(row.get("email") or "").strip()
    if not email:
        raise ValueError("Each member needs an email.")
    digest = digest_of(email)
    if row.get("over_subscribed"):
        audience.crowded[digest] = int(row["over_subscribed"])
    member = audience.by_digest.get(digest)
    if _is_true(row.get("forgotten")):
        if member:
            audience.forget(member)
        audience.forgotten.add(digest)
        return
    if member is None and not row.get("status"):
        return
    status = _to_status(row.get("status")) if row.get("status") else None
    changed = from_iso(row["last_changed"]) if row.get("last_changed") else now
    member = member or _new(audience, email, status or Status.SUBSCRIBED, changed)
    member.compliance = (
        _is_true(row["compliance"]) if row.get("compliance") is not None else member.compliance
    )
    member.values = _values(audience, member, row)
    if row.get("tags") is not None:
        _tag(audience, member, row["tags"], now)
    member.changed = changed
    audience.set_status(member, status or member.status)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or Parquet file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
        return
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def load(audience: Audience, rows: Iterable[Mapping[str, Any]], now: int) -> int:
    """Insert or change many members."""
    count = 0
    for row in rows:
        put_raw(audience, {str(name).lower(): value for name, value in row.items()}, now)
        count += 1
    return count


def _new(audience: Audience, email: str, status: Status, changed: int) -> Member:
    member = Member(
        seq=len(audience.members),
        email=email,
        digest=digest_of(email),
        status=status,
        values=audience.plan.blank,
        tags=NO_TAGS,
        changed=changed,
        opted=0 if status is Status.PENDING else changed,
        extras=NO_EXTRAS,
    )
    audience.add(member)
    return member


def _values(audience: Audience, member: Member, row: Mapping[str, Any]) -> tuple[Any, ...]:
    given = dict(row.get("merge_fields") or {})
    for name in ("fname", "lname"):
        if row.get(name) is not None:
            given[name.upper()] = row[name]
    return audience.plan.merge(member.values, given, check_required=False)[0] if given else member.values


def _tag(audience: Audience, member: Member, tags: Any, now: int) -> None:
    names = tags.split(";") if isinstance(tags, str) else tags
    wanted = [audience.tag_named(name.strip(), now).tag_id for name in names if name.strip()]
    audience.set_tags(member, dict.fromkeys(wanted, now))


def _to_status(word: Any) -> Status:
    if word not in BY_WORD:
        raise ValueError(f"{word!r} is no status.")
    return BY_WORD[word]


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in _TRUE
