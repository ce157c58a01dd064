"""The last step of planning: what is to be done with each person, read block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.counts import Counts
from airflow_mailchimp_export.database import BLOCK_ROWS, Database, rows_of, values_of
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.planning.guards import UsableRows
from airflow_mailchimp_export.planning.staging import Members, to_pairs
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state.manifest import RemovalTally, SegmentTally
from airflow_mailchimp_export.state.plan_file import (
    PLANNED,
    Membership,
    PlannedBlock,
    Removal,
    Rename,
    SetAside,
)

RANGE_ROWS = 50_000
"""Profiles to be sent that are put in order at a time, at most; fewer where they are long."""

TAIL = "list_extract($tails, membership + 1)"
"""SQL of what the payload of a profile ends with."""


class DecidedPlan:
    """The plan of a run once it is decided; made by ``StagedPlan.decide``."""

    def __init__(self, database: Database, sources: Sequence[Source], *, retired: Sequence[str] = ()) -> None:
        self._retired = list(retired)
        self._database = database
        self._sources = sources

    def counts(self) -> Counts:
        """Return what is known of the rows before anything is sent: how many were read, merged and unchanged."""
        rows_read, merged, unchanged = map(int, self._database.rows("counts")[0])
        return Counts(rows_read=rows_read, merged=merged, unchanged=unchanged)

    def conflicting_duplicates(self) -> int:
        """Return how many merged rows have other mapped values than the row that counts."""
        return self._count("conflicting_duplicates")

    def segments(self) -> tuple[SegmentTally, ...]:
        """Return what is known of each segment."""
        return tuple(SegmentTally(*row) for row in self._database.rows("segment_counts"))

    def upsert_count(self) -> int:
        """Return how many people are sent, as far as their values let them."""
        return self._count("upsert_count")

    def new_people(self) -> int:
        """Return how many may be new to the audience; some of them may be subscribed, where that was not looked up."""
        return self._count("new_count")

    def new_people_besides(self, subscribed: Iterable[Members]) -> int:
        """Return how many are new to the audience, given all who are subscribed."""
        for members in subscribed:
            record_status(self._database, MemberStatus.SUBSCRIBED, members)
        return self._count("surely_new_count")

    def removal_counts(self, attempts: Sequence[str] = ()) -> list[RemovalTally]:
        """Return how many people lose each tag, of those who have it by this export; first over all tags.

        Retired tags are not among them.

        :param attempts: the earlier attempts at this run; whom they sent without an answer does not count.
        """
        found = self._database.rows("removal_counts", attempts=list(attempts), retired=self._retired)
        return [RemovalTally(*row) for row in found]

    def kept_tags(self) -> dict[str, int]:
        """Return how many people keep each retired tag, because they may not be touched."""
        return {tag: int(people) for tag, people in self._database.rows("kept_tags", retired=self._retired)}

    def untagged_instead(self) -> int:
        """Return how many lose their tags in place of being taken out."""
        return self._count("instead_count")

    def usable_rows(self) -> list[UsableRows]:
        """Return how many rows of each segment have an address that can be sent."""
        return [UsableRows(*row) for row in self._database.rows("usable_rows")]

    def memberships(self) -> list[Membership]:
        """Return the combinations of segments, in the order of their numbers."""
        return [
            Membership(tuple(names), tuple(tags)) for names, tags in self._database.rows("membership_names")
        ]

    def renames(self) -> list[Rename]:
        """Return the members whose address changed."""
        return [Rename(*row) for row in self._database.rows("rename_rows")]

    def removals(self) -> Iterator[Removal]:
        """Yield who loses which tag, tag by tag, and then who is taken out."""
        for batch in self._database.batches("removal_rows"):
            for row in rows_of(batch):
                yield Removal(*row)

    def upserts(self, payload: str | None = None, tails: Sequence[str] = ()) -> Iterator[PlannedBlock]:
        """Yield the profiles to be sent, in source order.

        :param payload: SQL of what is sent of a profile, and null where that has yet to be made of its values; it
            may use the columns and :data:`TAIL`.
        :param tails: what payloads end with, by the numbers of the memberships.
        """
        parts = {"payload": payload or "NULL::VARCHAR"}
        used = {"tails": list(tails)} if payload else {}
        for first, beyond in self._upsert_ranges():
            between: dict[str, object] = {"first": first, "beyond": beyond}
            for batch in self._database.filled_batches("upserts", parts, **between, **used):
                yield self._to_block(batch)

    def _upsert_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of positions, without the end, that have at most :data:`RANGE_ROWS` people to be sent each."""
        most = max(1, RANGE_ROWS * self._database.block_rows // BLOCK_ROWS)
        first = beyond = people = 0
        for number, found in self._database.rows("upsert_ranges", rows=most):
            if people and people + found > most:
                yield first, beyond
                first, people = beyond, 0
            beyond, people = (number + 1) * most, people + found
        if people:
            yield first, beyond

    def _to_block(self, batch: pa.RecordBatch) -> PlannedBlock:
        known = {name: batch.column(name) for name in PLANNED if name != "source"}
        rows = pa.record_batch({**known, "source": pa.array(self._located(batch), pa.string())})
        left = batch.filter(batch.column("payload").is_null())
        if not left.num_rows:
            return PlannedBlock(rows)
        columns = [left.column("email").to_pylist(), *map(values_of, left.column("fields").flatten()[1:])]
        return PlannedBlock(
            rows,
            columns=_with_numbers(columns, _by_column(left.column("numbers"))),
            null_words=_by_column(left.column("null_words")),
        )

    def set_aside(self) -> Iterator[SetAside]:
        """Yield the rows that are not sent, in source order."""
        for batch in self._database.batches("set_aside"):
            column = {name: batch.column(name).to_pylist() for name in batch.schema.names}
            yield SetAside(
                effects=column["effect"],
                reasons=column["reason"],
                fields=column["field"],
                hashes=column["subscriber_hash"],
                emails=column["email"],
                segments=column["segments"],
                fingerprints=column["fingerprint"],
                profile_ids=column["profile_id"],
                sources=self._located(batch),
            )

    def _count(self, statement: str) -> int:
        return int(self._database.rows(statement)[0][0])

    def _located(self, batch: pa.RecordBatch) -> list[str]:
        segments, rows = batch.column("segment").to_pylist(), batch.column("source_row").to_pylist()
        return [
            "" if segment is None else self._sources[segment].locate(row)
            for segment, row in zip(segments, rows, strict=True)
        ]


def _by_column(positions: pa.Array) -> dict[int, list[int]]:
    """Turn lists of columns, one for each row, into the rows of each column."""
    rows: dict[int, list[int]] = {}
    if positions.null_count < len(positions):
        for row, columns in enumerate(positions.to_pylist()):
            for column in columns or ():
                rows.setdefault(column, []).append(row)
    return rows


def _with_numbers(columns: list[list[Any]], numbers: Mapping[int, Sequence[int]]) -> list[list[Any]]:
    """Make numbers of what was told as text only because another file or segment has text there."""
    for column, rows in numbers.items():
        values = columns[column]
        for row in rows:
            values[row] = None if values[row] is None else Decimal(values[row])
    return columns


def record_status(database: Database, status: MemberStatus, members: Members) -> None:
    """Take in who has a status in the audience."""
    with database.incoming(to_pairs(members)):
        database.run("record_status", status=status.value)
