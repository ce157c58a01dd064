"""The plan of a run as a file, and the chunks that travel.

``plan.parquet`` holds a row for each person who is to be sent, with the very JSON that is sent,
and a row for each profile that is not, with the reason. So a run can be finished by anyone who
has the folder, without the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType

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
)
from airflow_mailchimp_export.plan import Membership, PlannedBlock, SetAside

SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("change", pa.string()),
        ("subscriber_hash", pa.string()),
        ("email", pa.string()),
        ("status", pa.string()),
        ("segments", pa.list_(pa.string())),
        ("source", pa.string()),
        ("payload", pa.binary()),
        ("effect", pa.string()),
        ("reason", pa.string()),
        ("field", pa.string()),
    ]
)

MAX_BATCH_MEMBERS = 20_000
"""Members of one batch: its results, some megabytes, stay small enough to be read in one go."""

MAX_BATCH_BYTES = 5_000_000
"""Bytes of one batch; Mailchimp documents no limit, so this stays far from any."""

_READ = ["chunk", "subscriber_hash", "email", "status", "payload"]


class PlanWriter:
    """Numbers the chunks and writes the plan; use it in ``with``."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self.planned = 0
        self.rejected = 0

    @property
    def chunks(self) -> int:
        """How many chunks there are so far."""
        return -(-self.planned // MAX_CHUNK_MEMBERS)

    def __enter__(self) -> PlanWriter:
        """Open the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file."""
        self._writer.close()

    def write(
        self, block: PlannedBlock, members: Sequence[Member | Reject], memberships: Sequence[Membership]
    ) -> None:
        """Write a block of profiles and what became of each: a member to send, or a reject."""
        size = len(members)
        names = pa.array([membership.segments for membership in memberships], pa.list_(pa.string()))
        rejects = [member if isinstance(member, Reject) else None for member in members]
        self._write(
            {
                "chunk": self._numbered(members),
                "change": [None if reject else Change.UPSERT.value for reject in rejects],
                "subscriber_hash": block.hashes,
                "email": block.emails,
                "status": block.statuses,
                "segments": names.take(pa.array(block.memberships, pa.int32())),
                "source": block.sources,
                "payload": [None if isinstance(member, Reject) else member.payload for member in members],
                "effect": [reject and Effect.REJECTED.value for reject in rejects],
                "reason": [reject and reject.reason.value for reject in rejects],
                "field": [reject and reject.field for reject in rejects],
            },
            size,
        )

    def set_aside(self, rows: SetAside) -> None:
        """Write profiles that are not sent."""
        self.rejected += rows.effects.count(Effect.REJECTED.value)
        known = {
            "subscriber_hash": rows.hashes,
            "email": rows.emails,
            "segments": rows.segments,
            "source": rows.sources,
            "effect": rows.effects,
            "reason": rows.reasons,
            "field": rows.fields,
        }
        self._write(known, len(rows.hashes))

    def _numbered(self, members: Sequence[Member | Reject]) -> list[int | None]:
        numbers: list[int | None] = []
        for member in members:
            if isinstance(member, Reject):
                numbers.append(None)
                self.rejected += 1
            else:
                numbers.append(self.planned // MAX_CHUNK_MEMBERS)
                self.planned += 1
        return numbers

    def _write(self, known: dict[str, object], size: int) -> None:
        columns = [pa.array(known.get(field.name, pa.nulls(size)), field.type) for field in SCHEMA]
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Yield the chunks of a plan, in order."""
    for number, members in groupby(_rows(path), key=itemgetter(0)):
        yield Chunk(number, tuple(_to_member(row) for row in members))


def _rows(path: Path) -> Iterator[tuple[int, str, str, str, bytes]]:
    with pq.ParquetFile(path) as plan:
        for batch in plan.iter_batches(columns=_READ):
            sent = batch.filter(pc.field("chunk").is_valid())
            yield from zip(*(column.to_pylist() for column in sent.columns), strict=True)


def _to_member(row: tuple[int, str, str, str, bytes]) -> Member:
    _, subscriber_hash, email, status, payload = row
    return Member(subscriber_hash, email, MemberStatus(status), payload)


def packed(chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, ...]]:
    """Group chunks so that each group makes a batch of bearable size."""
    group: list[Chunk] = []
    members = size = 0
    for chunk in chunks:
        bulk = sum(len(member.payload) for member in chunk.members)
        if group and (members + len(chunk.members) > MAX_BATCH_MEMBERS or size + bulk > MAX_BATCH_BYTES):
            yield tuple(group)
            group, members, size = [], 0, 0
        group.append(chunk)
        members, size = members + len(chunk.members), size + bulk
    if group:
        yield tuple(group)
