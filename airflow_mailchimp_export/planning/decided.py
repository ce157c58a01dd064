"""The last step of planning: what is to be done with each person, read block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.counts import Counts
from airflow_mailchimp_export.database import Database, rows_of, values_of
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.planning.guards import RemovalCount, UsableRows
from airflow_mailchimp_export.planning.staging import Members, to_pairs
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state.manifest import SegmentTally
from airflow_mailchimp_export.state.plan_file import Membership, PlannedBlock, Removal, Rename, SetAside


class DecidedPlan:
    """The plan of a run once it is decided; made by ``StagedPlan.decide``."""

    def __init__(self, database: Database, sources: Sequence[Source]) -> None:
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

    def removal_counts(self, attempts: Sequence[str] = ()) -> list[RemovalCount]:
        """Return how many people lose each tag, of those who have it by this export; first over all tags.

        :param attempts: the earlier attempts at this run; whom they sent without an answer does not count.
        """
        return [RemovalCount(*row) for row in self._database.rows("removal_counts", attempts=list(attempts))]

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

    def upserts(self) -> Iterator[PlannedBlock]:
        """Yield the profiles to be sent, in source order."""
        for batch in self._database.batches("upserts"):
            column = {name: batch.column(name) for name in batch.schema.names}
            emails = column["email"].to_pylist()
            yield PlannedBlock(
                hashes=column["subscriber_hash"].to_pylist(),
                emails=emails,
                statuses=column["status"].to_pylist(),
                memberships=column["membership"].to_pylist(),
                fingerprints=column["fingerprint"].to_pylist(),
                profile_ids=column["profile_id"].to_pylist(),
                new=column["is_new"].to_pylist(),
                found=column["was"].to_pylist(),
                sources=self._located(batch),
                columns=_with_numbers(
                    [emails, *map(values_of, column["fields"].flatten()[1:])], _by_column(column["numbers"])
                ),
                null_words=_by_column(column["null_words"]),
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
