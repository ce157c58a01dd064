"""The plan of a run as a file, and the chunks that travel.

``plan.parquet`` holds a row for each person who is to be sent, with the very JSON that is sent, a row for each
tag that somebody loses, and a row for each profile that is not sent, with the reason. So a run can be finished
by anyone who has the folder, without the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mailchimp_export.model import (
    MAX_CHUNK_MEMBERS,
    Change,
    Chunk,
    Effect,
    Member,
    MemberStatus,
    Reject,
    RemovalChunk,
)
from airflow_mailchimp_export.rules import REMOVAL_KINDS
from airflow_mailchimp_export.state.parquet import batches_in, streaming


@dataclass(frozen=True, slots=True)
class Membership:
    """A combination of segments that people are in, and the tags that it stands for."""

    segments: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """Profiles to be sent.

    :param rows: the columns of :data:`PLANNED`; a payload is null where it has yet to be made of the values.
    :param columns: the values of these rows, column by column in the order of the field map's columns.
    :param null_words: which of these rows had a word for nothing in a column, by its position.
    """

    rows: pa.RecordBatch
    columns: list[list[Any]] = field(default_factory=list)
    null_words: dict[int, list[int]] = field(default_factory=dict)

    @property
    def open_rows(self) -> pa.RecordBatch:
        """The rows of which the payload has yet to be made."""
        return self.rows.filter(self.rows.column("payload").is_null())


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rows that are not sent, column by column, and why."""

    effects: list[str]
    reasons: list[str]
    fields: list[str]
    hashes: list[str]
    emails: list[str]
    segments: list[list[str]]
    fingerprints: list[int | None]
    profile_ids: list[str | None]
    sources: list[str]


@dataclass(frozen=True, slots=True)
class Removal:
    """A person who loses a tag, or is taken out.

    :param kind: the name of the kind of removal.
    """

    kind: str
    tag: str
    subscriber_hash: str
    email: str
    profile_id: str | None


@dataclass(frozen=True, slots=True)
class Rename:
    """A member whose address changed at the source."""

    old_hash: str
    old_email: str
    email: str
    status: str


SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("change", pa.string()),
        ("subscriber_hash", pa.string()),
        ("email", pa.string()),
        ("status", pa.string()),
        ("profile_id", pa.string()),
        ("fingerprint", pa.uint64()),
        ("tags", pa.list_(pa.string())),
        ("segments", pa.list_(pa.string())),
        ("source", pa.string()),
        ("is_new", pa.bool_()),
        ("was", pa.string()),
        ("payload", pa.binary()),
        ("leave", pa.string()),
        ("new_email", pa.string()),
        ("effect", pa.string()),
        ("reason", pa.string()),
        ("field", pa.string()),
    ]
)

_REPEATED = ["change", "status", "tags", "segments", "was", "leave", "effect", "reason", "field"]
"""Columns of few different values."""

PLANNED = (
    "subscriber_hash",
    "email",
    "status",
    "membership",
    "fingerprint",
    "profile_id",
    "is_new",
    "was",
    "source",
    "payload",
)
"""What is known of profiles that are to be sent; ``membership`` is the number of one of the run's memberships."""

READ_ROWS = 20 * MAX_CHUNK_MEMBERS
"""Rows that become Python objects at a time where a plan is read."""

REMOVAL_BLOCK = 5_000
"""Removals that are written at a time."""

_TO_SEND = ["chunk", "subscriber_hash", "email", "status", "payload", "was"]

_TO_REMOVE = ["chunk", "leave", "tags", "email"]

_TO_RENAME = ["subscriber_hash", "email", "new_email", "status"]


class PlanWriter:
    """Numbers the chunks and writes the plan; use it in ``with``.

    Who is sent comes first, then who leaves: chunks are numbered in that order.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(
            path, SCHEMA, compression="zstd", use_dictionary=_REPEATED, write_page_checksum=True
        )
        self.planned = 0
        self.rejected = 0
        self.removal_chunks = 0
        self.removals = 0

    @property
    def upsert_chunks(self) -> int:
        """How many chunks of members to be sent there are so far."""
        return -(-self.planned // MAX_CHUNK_MEMBERS)

    def __enter__(self) -> PlanWriter:
        """Open the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file; after an error it is of no use, and must not hide the error."""
        with suppress(*(OSError, pa.ArrowException) if error else ()):
            self._writer.close()

    def write(
        self, rows: pa.RecordBatch, rejects: Mapping[int, Reject], memberships: Sequence[Membership]
    ) -> None:
        """Write profiles, each with the payload that is sent.

        :param rows: the columns of :data:`PLANNED`.
        :param rejects: why some rows have no payload, by their place; all others have one.
        """
        known = {name: rows.column(name) for name in PLANNED}
        index = known.pop("membership")
        is_sent = known["payload"].is_valid()
        known |= {
            "chunk": self._numbered(is_sent),
            "change": pc.if_else(is_sent, Change.UPSERT.value, None),
            "tags": _lists([membership.tags for membership in memberships]).take(index),
            "segments": _lists([membership.segments for membership in memberships]).take(index),
        }
        if rejects:
            self.rejected += len(rejects)
            found = [rejects.get(row) for row in range(rows.num_rows)]
            known |= {
                "effect": [reject and Effect.REJECTED.value for reject in found],
                "reason": [reject and reject.reason.value for reject in found],
                "field": [reject and reject.field for reject in found],
            }
        self._write(known, rows.num_rows)

    def set_aside(self, rows: SetAside) -> None:
        """Write profiles that are not sent."""
        self.rejected += rows.effects.count(Effect.REJECTED.value)
        known = {
            "subscriber_hash": rows.hashes,
            "email": rows.emails,
            "profile_id": rows.profile_ids,
            "fingerprint": rows.fingerprints,
            "segments": rows.segments,
            "source": rows.sources,
            "effect": rows.effects,
            "reason": rows.reasons,
            "field": rows.fields,
        }
        self._write(known, len(rows.hashes))

    def rename(self, renames: Sequence[Rename]) -> None:
        """Write the members whose address changed."""
        known = {
            "change": [Change.RENAME.value for _ in renames],
            "subscriber_hash": [rename.old_hash for rename in renames],
            "email": [rename.old_email for rename in renames],
            "new_email": [rename.email for rename in renames],
            "status": [rename.status for rename in renames],
        }
        self._write(known, len(renames))

    def remove(self, removals: Iterable[Removal]) -> None:
        """Write who is removed; call it once, with everybody, kind by kind and tag by tag.

        They may be a stream: no more than :data:`REMOVAL_BLOCK` of them are held.
        """
        numbered = self._numbered_removals(removals)
        while self._write_removals(list(islice(numbered, REMOVAL_BLOCK))):
            pass

    def _numbered_removals(self, removals: Iterable[Removal]) -> Iterator[tuple[int, Removal]]:
        for (kind, _), people in groupby(removals, key=attrgetter("kind", "tag")):
            for number, removal in enumerate(people):
                if number % REMOVAL_KINDS[kind].chunk_size == 0:
                    self.removal_chunks += 1
                yield self.upsert_chunks + self.removal_chunks - 1, removal

    def _write_removals(self, numbered: Sequence[tuple[int, Removal]]) -> bool:
        """Write a block; return whether there was anything to write."""
        removals = [removal for _, removal in numbered]
        known = {
            "chunk": [number for number, _ in numbered],
            "change": [Change.REMOVE.value for _ in removals],
            "leave": [removal.kind for removal in removals],
            "subscriber_hash": [removal.subscriber_hash for removal in removals],
            "email": [removal.email for removal in removals],
            "profile_id": [removal.profile_id for removal in removals],
            "tags": [[removal.tag] if removal.tag else [] for removal in removals],
        }
        self._write(known, len(removals))
        self.removals += len(removals)
        return bool(removals)

    def _numbered(self, is_sent: pa.Array) -> pa.Array:
        """Number the chunks of those who are sent; others have none."""
        places = pc.cumulative_sum(is_sent.cast(pa.int64()), start=self.planned - 1)
        self.planned += is_sent.true_count
        return pc.if_else(is_sent, pc.divide(places, MAX_CHUNK_MEMBERS), None).cast(pa.int32())

    def _write(self, known: Mapping[str, Any], size: int) -> None:
        columns = [_column(known.get(field.name), field.type, size) for field in SCHEMA]
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


def _column(values: Any, kind: pa.DataType, size: int) -> pa.Array:
    if values is None:
        return pa.nulls(size, kind)
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _lists(values: Sequence[Sequence[str]]) -> pa.Array:
    return pa.array(values, pa.list_(pa.string()))


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Yield the chunks of members to be sent, in order."""
    begun: tuple[Member, ...] = ()
    last = 0
    for numbers, *columns in _columns(path, Change.UPSERT, _TO_SEND):
        begin = 0
        for number, same in groupby(numbers):
            if begun and number != last:
                yield Chunk(last, begun)
                begun = ()
            end = begin + len(list(same))
            # Only so many members are made at a time as travel together: more would keep Python's collector busy.
            begun += _to_members(*(column[begin:end] for column in columns))
            begin, last = end, number
    if begun:
        yield Chunk(last, begun)


def read_removal_chunks(path: Path) -> Iterator[RemovalChunk]:
    """Yield the chunks of people who leave, in order."""
    for number, rows in groupby(_rows(path, Change.REMOVE, _TO_REMOVE), key=itemgetter(0)):
        people = list(rows)
        _, kind, tags, _ = people[0]
        yield RemovalChunk(number, REMOVAL_KINDS[kind], "".join(tags), tuple(row[3] for row in people))


def read_renames(path: Path) -> list[Rename]:
    """Return the members whose address changed."""
    return [Rename(*row) for row in _rows(path, Change.RENAME, _TO_RENAME)]


def _rows(path: Path, change: Change, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    for found in _columns(path, change, columns):
        yield from zip(*found, strict=True)


def _columns(path: Path, change: Change, columns: list[str]) -> Iterator[list[list[Any]]]:
    """Yield the columns of some rows of one kind at a time, as Python values."""
    with streaming(path) as plan:
        known = [name for name in columns if name in plan.schema_arrow.names]
        for batch in batches_in(plan, batch_size=READ_ROWS, columns=["change", *known], use_threads=False):
            wanted = batch.filter(pc.equal(batch.column("change"), change.value))
            # Release 0.1.0 did not write all columns.
            missing = [None] * wanted.num_rows
            yield [wanted.column(name).to_pylist() if name in known else missing for name in columns]


def _to_members(
    hashes: Sequence[str],
    emails: Sequence[str],
    statuses: Sequence[str],
    payloads: Sequence[bytes],
    found: Sequence[str | None],
) -> tuple[Member, ...]:
    # Few values that repeat, each of which is looked up but once.
    known: dict[str | None, Any] = {name: name and MemberStatus(name) for name in {*statuses, *found}}
    given, was = map(known.__getitem__, statuses), map(known.__getitem__, found)
    return (*map(Member, hashes, emails, given, payloads, was),)
