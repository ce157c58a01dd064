"""Puts members into an audience as they are to be, past every rule: for set-ups, not for clients."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_mailchimp_export.sandbox.columns import BY_WORD, Status
from airflow_mailchimp_export.sandbox.moments import from_iso
from airflow_mailchimp_export.sandbox.state import Audience, Member, digest_of

_TRUE = {"true", "1", "yes", "t"}


def load(audience: Audience, rows: Iterable[Mapping[str, Any]], now: int) -> int:
    """Insert or change members; each row has ``email`` and any of the columns that are documented.

    :raises ValueError: an address is missing, or a status is unknown; the rows before it are in.
    """
    loader = RawLoader(audience, now)
    count = 0
    for row in rows:
        loader.put({name.lower(): value for name, value in row.items()})
        count += 1
    return count


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or Parquet file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        stored = pyarrow.parquet.ParquetFile(path)
        # Without a row group there is nothing to read, and pyarrow 18 says so by an error.
        for batch in stored.iter_batches() if stored.num_row_groups else ():
            yield from batch.to_pylist()
        return
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


class RawLoader:
    """Puts one row after the other."""

    def __init__(self, audience: Audience, now: int) -> None:
        self._audience, self._now = audience, now
        self._tag_maps: dict[tuple[str, ...], Mapping[int, int]] = {}

    def put(self, row: Mapping[str, Any]) -> None:
        """Insert, change or forget one person."""
        email = str(row.get("email") or "").strip()
        if not email:
            raise ValueError("Each member needs an email.")
        digest = digest_of(email)
        member = self._audience.by_digest.get(digest)
        if row.get("over_subscribed"):
            self._audience.crowded[digest] = int(row["over_subscribed"])
        if _is_true(row.get("forgotten")):
            self._forget(digest, member)
        elif member or row.get("status"):
            self._put(row, member or self._audience.newcomer(email, self._now), new=member is None)

    def _put(self, row: Mapping[str, Any], member: Member, *, new: bool) -> None:
        status = _to_status(row["status"]) if row.get("status") else member.status
        changed = from_iso(str(row["last_changed"])) if row.get("last_changed") else self._now
        if new:
            member.status, member.changed = status, changed
            member.opted = 0 if status is Status.PENDING else changed
        if row.get("compliance") is not None:
            member.compliance = _is_true(row["compliance"])
        member.values = self._values(row, member)
        if new:
            self._audience.add(member)
        else:
            self._audience.set_status(member, status, changed)
        if row.get("tags") is not None:
            self._audience.set_tags(member, self._to_tags(row["tags"]))

    def _forget(self, digest: bytes, member: Member | None) -> None:
        if member:
            self._audience.forget(member)
        self._audience.forgotten.add(digest)

    def _values(self, row: Mapping[str, Any], member: Member) -> tuple[Any, ...]:
        given = dict(row.get("merge_fields") or {})
        for name in ("fname", "lname"):
            if row.get(name) is not None:
                given[name.upper()] = row[name]
        if not given:
            return member.values
        return self._audience.plan.merge(member.values, given, check_required=False)[0]

    def _to_tags(self, tags: Any) -> Mapping[int, int]:
        names = tuple(tags.split(";") if isinstance(tags, str) else tags)
        if names not in self._tag_maps:
            found = [self._audience.tag_named(name.strip(), self._now) for name in names if name.strip()]
            self._tag_maps[names] = {tag.tag_id: self._now for tag in found}
        return self._tag_maps[names]


def _to_status(word: Any) -> Status:
    if word not in BY_WORD:
        raise ValueError(f"{word!r} is no status.")
    return BY_WORD[word]


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in _TRUE
