"""What is to be sent: the set work of a run, done by DuckDB out of core.

The statements stand in ``plan.sql``; only the block in hand becomes Python objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from airflow_mailchimp_export.config import Segment
from airflow_mailchimp_export.database import Database
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.staging import common_schema, empty_block, staging_block


@dataclass(frozen=True, slots=True)
class Membership:
    """A combination of segments that people are in, and the tags that it stands for."""

    segments: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """Profiles to be sent, column by column; ``columns`` is in the order of the sources' columns."""

    hashes: list[str]
    emails: list[str]
    statuses: list[str]
    memberships: list[int]
    sources: list[str]
    columns: list[list[object]]


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rows that are not sent, column by column, and why."""

    effects: list[str]
    reasons: list[str]
    fields: list[str]
    hashes: list[str]
    emails: list[str]
    segments: list[list[str]]
    sources: list[str]


class Plan:
    """The plan of one run; use it in ``with``.

    :param workshop: a local folder for the database.
    :param new_member_status: the status that people get who are not in the audience yet.
    """

    def __init__(self, workshop: Path, *, new_member_status: MemberStatus) -> None:
        self._sources: Sequence[Source] = ()
        self._database = Database(workshop, "plan.sql")
        self._database.run("macros")
        self._database.run("status", new_status=new_member_status.value)

    def __enter__(self) -> Plan:
        """Use the plan."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the database."""
        self._database.__exit__(*exc_info)

    def stage(self, segments: Sequence[Segment], sources: Sequence[Source]) -> Iterator[int]:
        """Read the sources to their ends; yield the number of rows of each batch read.

        :raises SourceError: when a source breaks, or a column's values do not fit its type.
        """
        self._sources = sources
        schema = common_schema(sources)
        with self._database.incoming(empty_block(schema)):
            self._database.run("tables")
        first_place = 0
        for index, segment in enumerate(segments):
            self._database.run("name", segment=index, name=segment.name, tag=segment.tag)
            rows = 0
            for batch in sources[index].batches():
                with self._database.incoming(
                    staging_block(batch, schema, segment=segment.name, first_row=rows)
                ):
                    self._database.run("stage", segment=index, first_place=first_place)
                rows += batch.num_rows
                yield batch.num_rows
            first_place += rows

    def stand(self, status: MemberStatus, members: Iterable[tuple[str, str]]) -> None:
        """Note where members stand in the audience: pairs of Mailchimp's id and the address."""
        found = list(members)
        columns = {
            name: pa.array([row[index] for row in found], pa.string()) for index, name in enumerate(_STANDING)
        }
        with self._database.incoming(pa.table(columns)):
            self._database.run("stand", status=status.value)

    def merge(self) -> None:
        """Merge the rows of each person, and set aside who must not be touched."""
        self._database.run("people", last_segment=len(self._sources) - 1)
        for statement in ("standings", "memberships", "planned"):
            self._database.run(statement)

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Yield the values of staged columns, row by row; columns are counted as in the sources."""
        names = ", ".join("email" if index == 0 else f"fields.field_{index}" for index in columns)
        for batch in self._database.filled_in("values", columns=names):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def count(self, statement: str) -> int:
        """Return a count: ``upsert_count`` or ``new_count``."""
        return int(self._database.rows(statement)[0][0])

    def tallies(self) -> tuple[int, int, int]:
        """Return how many rows were read, how many merged, and how many of these differed."""
        read, merged, differing = self._database.rows("tallies")[0]
        return int(read), int(merged), int(differing)

    def segment_rows(self) -> list[tuple[str, str, int]]:
        """Return name, tag and number of rows of each segment."""
        return [(name, tag, rows) for name, tag, rows in self._database.rows("segment_tallies")]

    def memberships(self) -> list[Membership]:
        """Return the combinations of segments, in the order of their numbers."""
        return [
            Membership(tuple(names), tuple(tags)) for names, tags in self._database.rows("membership_names")
        ]

    def upserts(self) -> Iterator[PlannedBlock]:
        """Yield the profiles to be sent, in source order."""
        for batch in self._database.batches("upserts"):
            hashes, emails, statuses, memberships = (batch.column(index).to_pylist() for index in range(4))
            fields = batch.column("fields").flatten()
            yield PlannedBlock(
                hashes=hashes,
                emails=emails,
                statuses=statuses,
                memberships=memberships,
                sources=self._located(batch),
                columns=[emails, *(field.to_pylist() for field in fields[1:])],
            )

    def set_aside(self) -> Iterator[SetAside]:
        """Yield the rows that are not sent, in source order."""
        for batch in self._database.batches("set_aside"):
            effects, reasons, fields, hashes, emails, segments = (
                batch.column(index).to_pylist() for index in range(6)
            )
            yield SetAside(effects, reasons, fields, hashes, emails, segments, self._located(batch))

    def _located(self, batch: pa.RecordBatch) -> list[str]:
        segments, rows = batch.column("segment").to_pylist(), batch.column("source_row").to_pylist()
        return [self._sources[segment].locate(row) for segment, row in zip(segments, rows, strict=True)]


_STANDING = ("id", "email")
