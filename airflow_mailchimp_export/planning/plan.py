"""What is to be done: the set work of a run, done by DuckDB out of core.

The statements stand in ``plan.sql``; only the block in hand becomes Python objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from airflow_mailchimp_export.database import Database, quoted, quoted_text
from airflow_mailchimp_export.model import Counts, MemberStatus
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning.staging import Layout, empty_block, staging_block
from airflow_mailchimp_export.rules import REMOVAL_KINDS, UNTAG
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state.manifest import SegmentTally
from airflow_mailchimp_export.state.plan_file import Membership, PlannedBlock, Removal, Rename, SetAside


@dataclass(frozen=True, slots=True)
class Fingerprinting:
    """How the fingerprints of a run are made.

    :param order: the positions of the mapped columns, from 1, in the order in which their values count;
        empty where that is the order of the columns.
    :param rules_changed: whether people who were refused before they were sent are tried again.
    """

    salt: str = ""
    order: tuple[int, ...] = ()
    rules_changed: bool = False

    @property
    def values(self) -> str:
        """The values that count, as SQL."""
        if self.order in ((), tuple(range(1, len(self.order) + 1))):
            return "fields"
        named = (f"field_{place} := fields.field_{position}" for place, position in enumerate(self.order, 1))
        return f"struct_pack(field_0 := fields.field_0, {', '.join(named)})"


class Plan:
    """The plan of one run; use it in ``with``.

    :param workshop: a local folder for the database.
    :param new_member_status: the status that people get who are not in the audience yet.
    :param fingerprints: how they are made.
    :param full: send everybody, whatever the ledger says.
    """

    def __init__(
        self,
        scratch_dir: Path,
        *,
        new_member_status: MemberStatus,
        fingerprints: Fingerprinting | None = None,
        full: bool = False,
    ) -> None:
        self._sources: Sequence[Source] = ()
        self._has_ids = False
        self._database = Database(scratch_dir, "planning/plan.sql")
        self._database.run("macros")
        self._fingerprints = fingerprints or Fingerprinting()
        settings = {
            "new_status": new_member_status.value,
            "salt": self._fingerprints.salt,
            "rules_changed": self._fingerprints.rules_changed,
            "full_export": full,
        }
        for setting, value in settings.items():
            self._database.run(setting, value=value)

    def __enter__(self) -> Plan:
        """Use the plan."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the database."""
        self._database.__exit__(*exc_info)

    def load_ledger(self, ledger: Path | None) -> None:
        """Take in what earlier runs did."""
        if ledger is None:
            self._database.run("no_ledger")
        else:
            self._database.script("ledger", path=quoted(ledger))

    def adopt(self, tag: str, members: Iterable[tuple[str, str]]) -> None:
        """Take in who carries a tag, as if this export had put them there."""
        with self._database.incoming(_pairs(members)):
            self._database.run("adopt", tag=tag)

    def adopted(self) -> None:
        """Bring the adopted tags of each person together."""
        self._database.run("merge_adopted")

    def write_adopted(self, path: Path, *, key: str, mark: str) -> None:
        """Write who was adopted as a ledger.

        :param key: of the file's metadata, under which the mark stands.
        """
        self._database.script("write_adopted", path=quoted(path), key=key, mark=quoted_text(mark))

    def stage(self, segments: Sequence[Segment], sources: Sequence[Source], layout: Layout) -> Iterator[int]:
        """Read the sources to their ends; yield the number of rows of each batch read.

        :raises SourceError: when a source breaks, or a column's values do not fit its type.
        """
        self._sources = sources
        self._has_ids = layout.profile_id is not None
        with self._database.incoming(empty_block(layout)):
            self._database.run("tables")
        first_position = 0
        for index, segment in enumerate(segments):
            self._database.run("add_segment", segment=index, name=segment.name, tag=segment.tag)
            rows = 0
            for batch in sources[index].batches():
                with self._database.incoming(
                    staging_block(batch, layout, segment=segment.name, first_row=rows)
                ):
                    self._database.run_with(
                        "stage",
                        {"values": self._fingerprints.values},
                        segment=index,
                        first_position=first_position,
                    )
                rows += batch.num_rows
                yield batch.num_rows
            first_position += rows

    def record_status(self, status: MemberStatus, members: Iterable[tuple[str, str]]) -> None:
        """Record the status of members: pairs of Mailchimp's id and the address."""
        with self._database.incoming(_pairs(members)):
            self._database.run("record_status", status=status.value)

    def merge(self, *, on_leave: str = OnLeave.KEEP) -> None:
        """Merge the rows of each person, compare with the ledger, and find who left."""
        self._database.run("people", last_segment=len(self._sources) - 1)
        for statement in ("audience", "memberships", "moves" if self._has_ids else "no_moves", "decisions"):
            self._database.run(statement)
        tags = sorted({segment.tag for segment in self.segments()})
        if on_leave == OnLeave.KEEP:
            self._database.run("no_removals")
        else:
            kind = REMOVAL_KINDS[on_leave]
            self._database.run("removals", kind=kind.name, otherwise=UNTAG.name, run_tags=tags)

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Yield the values of staged columns, row by row; columns are counted as in the sources."""
        names = ", ".join("email" if index == 0 else f"fields.field_{index}" for index in columns)
        for batch in self._database.filled_in("values", columns=names):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def count(self, statement: str) -> int:
        """Return a count: ``upsert_count``, ``conflicting_duplicates`` or ``new_count``."""
        return int(self._database.rows(statement)[0][0])

    def counts(self) -> Counts:
        """Return what is known of the rows before anything is sent: how many were read, merged and unchanged."""
        rows_read, merged, unchanged = map(int, self._database.rows("counts")[0])
        return Counts(rows_read=rows_read, merged=merged, unchanged=unchanged)

    def segments(self) -> tuple[SegmentTally, ...]:
        """Return what is known of each segment."""
        return tuple(SegmentTally(*row) for row in self._database.rows("segment_counts"))

    def removal_totals(self) -> tuple[int, int]:
        """Return how many people lose a tag or are archived, and how many this export has put there in all."""
        leaving, owned = self._database.rows("removal_counts")[0]
        return int(leaving), int(owned)

    def emptied(self) -> list[tuple[str, int]]:
        """Return the segments that have nobody now, and how many people they would lose."""
        return [(name, people) for name, people in self._database.rows("emptied")]

    def memberships(self) -> list[Membership]:
        """Return the combinations of segments, in the order of their numbers."""
        return [
            Membership(tuple(names), tuple(tags)) for names, tags in self._database.rows("membership_names")
        ]

    def renames(self) -> list[Rename]:
        """Return the members whose address changed."""
        return [Rename(*row) for row in self._database.rows("renames")]

    def removals(self) -> Iterator[Removal]:
        """Yield who loses which tag, tag by tag, and then who is taken out."""
        for batch in self._database.batches("removal_rows"):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
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
                sources=self._located(batch),
                columns=[emails, *(field.to_pylist() for field in column["fields"].flatten()[1:])],
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

    def _located(self, batch: pa.RecordBatch) -> list[str]:
        segments, rows = batch.column("segment").to_pylist(), batch.column("source_row").to_pylist()
        return [self._sources[segment].locate(row) for segment, row in zip(segments, rows, strict=True)]


def _pairs(members: Iterable[tuple[str, str]]) -> pa.Table:
    found = list(members)
    return pa.table(
        {
            "id": pa.array([member_id for member_id, _ in found], pa.string()),
            "email": pa.array([email for _, email in found], pa.string()),
        }
    )
