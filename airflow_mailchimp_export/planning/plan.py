"""What is to be done: the set work of a run, done by DuckDB out of core, step by step.

:class:`Staging` has the ledger and reads the sources; the :class:`StagedPlan` that comes of it learns who is in the
audience; the :class:`~airflow_mailchimp_export.planning.decided.DecidedPlan` that comes of that says what is to be done
with whom. The statements are listed in ``plan.sql``; only the block in hand becomes Python objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from airflow_mailchimp_export.database import Database, quoted, rows_of
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning.days import settle_days
from airflow_mailchimp_export.planning.decided import DecidedPlan, record_status
from airflow_mailchimp_export.planning.fingerprint import Fingerprinting
from airflow_mailchimp_export.planning.staging import (
    Layout,
    Members,
    empty_block,
    gathered,
    staged_column,
    staging_blocks,
    to_pairs,
)
from airflow_mailchimp_export.rules import REMOVAL_KINDS, UNTAG
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state import ledger as ledgers
from airflow_mailchimp_export.tag_names import respellings


class Staging:
    """The first step: what earlier runs did is known, and the sources are to be read; use it in ``with``.

    :param scratch_dir: a local folder for the database.
    :param ledger: of the export; ``None`` where there is none.
    :param new_member_status: the status that people get who are not in the audience yet.
    :param full: send everybody, whatever the ledger says.
    """

    def __init__(
        self,
        scratch_dir: Path,
        *,
        ledger: Path | None,
        new_member_status: MemberStatus,
        fingerprints: Fingerprinting | None = None,
        full: bool = False,
    ) -> None:
        self._fingerprints = fingerprints or Fingerprinting()
        self._database = Database(scratch_dir, "planning/plan.sql")
        self._database.run("macros")
        settings = {
            "new_status": new_member_status.value,
            "salt": self._fingerprints.salt,
            "rules_changed": self._fingerprints.rules_changed,
            "full_export": full,
        }
        for setting, value in settings.items():
            self._database.run(setting, value=value)
        if ledger is None:
            self._database.run("no_ledger")
        else:
            self._database.script("ledger", path=quoted(ledger))

    def __enter__(self) -> Staging:
        """Use the plan, in this step and in those that come of it."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the database."""
        self._database.__exit__(*exc_info)

    def adopt(self, tagged: Iterable[tuple[str, Members]]) -> None:
        """Take in who carries a tag, as if this export had added them; only where there is no ledger.

        :param tagged: some who carry a tag; a tag may come again with others.
        """
        for tag, members in tagged:
            with self._database.incoming(to_pairs(members)):
                self._database.run("adopt", tag=tag)
        self._database.run("merge_adopted")

    def adopted_rows(self) -> pa.RecordBatchReader:
        """Return who was adopted as the rows of a ledger."""
        return self._database.reader("adopted_rows", rows=ledgers.GROUP_ROWS)

    def stage(
        self,
        segments: Sequence[Segment],
        sources: Sequence[Source],
        layout: Layout,
        *,
        retired: Sequence[str] = (),
        on_rows: Callable[[str, int], object] = lambda segment, rows: None,
    ) -> StagedPlan:
        """Read the sources to their ends.

        :param retired: tags that are to be taken from everybody, as the ledger spells them.
        :param on_rows: called with the segment and the number of rows of each batch read.
        :raises SourceError: when a source breaks, or a column's values do not fit its type.
        """
        with self._database.incoming(empty_block(layout)):
            self._database.run("tables")
        self._respell({segment.tag for segment in segments})
        self._database.run("audience")
        self._database.run("remembered")
        position = size = 0
        values = self._fingerprints.values(layout.mapped)
        for index, segment in enumerate(segments):
            self._database.run("add_segment", segment=index, name=segment.name, tag=segment.tag)
            rows = 0
            zone = sources[index].spelling.timezone or ""
            for blocks in gathered(staging_blocks(sources[index], layout, on_rows=on_rows)):
                self._stage(blocks, values, segment=index, first_position=position, zone=zone)
                self._mark(blocks, first_position=position)
                rows += blocks.num_rows
                size += blocks.nbytes
            position += rows
        for index, tag in enumerate(retired, len(segments)):
            self._database.run("add_segment", segment=index, name=f"{tag} (retired)", tag=tag)
        self._database.bound_blocks(size // max(position, 1))
        settle_days(self._database, sources, layout, fingerprint=values)
        return StagedPlan(
            self._database, segments, sources, has_ids=layout.profile_id is not None, retired=retired
        )

    def tags_of_ledger(self) -> list[str]:
        """Return the tags that the ledger has of anybody, in whatever state they are."""
        return sorted(tag for (tag,) in self._database.rows("ledger_tags"))

    def _respell(self, wanted: Iterable[str]) -> None:
        spelled = respellings((tag for (tag,) in self._database.rows("ledger_tags")), wanted)
        if spelled:
            self._database.run(
                "respelled_ledger", tags=list(spelled.keys()), spellings=list(spelled.values())
            )
            self._database.script("take_respelled_ledger")

    def _stage(self, blocks: pa.Table, values: str, **parameters: object) -> None:
        earlier = self._fingerprints.earlier_values
        parts = {"values": values, "earlier": "NULL" if earlier == values else earlier}
        with self._database.incoming(blocks):
            self._database.run_with("stage", parts, **parameters)

    def _mark(self, blocks: pa.Table, *, first_position: int) -> None:
        if any(blocks.column(name).null_count < blocks.num_rows for name in ("null_words", "numbers")):
            with self._database.incoming(blocks):
                self._database.run("mark", first_position=first_position)


class StagedPlan:
    """The second step: all rows are read, and who is in the audience is to be looked up."""

    def __init__(
        self,
        database: Database,
        segments: Sequence[Segment],
        sources: Sequence[Source],
        *,
        has_ids: bool,
        retired: Sequence[str],
    ) -> None:
        self._database = database
        self._retired = list(retired)
        self._tags = sorted({segment.tag for segment in segments})
        self._sources = sources
        self._has_ids = has_ids

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Yield the values of staged columns, row by row; columns are counted as in the sources."""
        for batch in self._database.filled_in("values", columns=", ".join(map(staged_column, columns))):
            yield from rows_of(batch)

    def example(self, columns: Sequence[int]) -> str:
        """Say where the first value of staged columns is; empty where there is none."""
        for segment, row in self._database.filled("example", {"column": staged_column(columns[0])}):
            source = self._sources[segment]
            column = source.schema.names[columns[0]]
            return f" (segment {source.segment!r}, column {column!r}, such as in {source.locate(row)})"
        return ""

    def tags_of_members(self) -> dict[str, int]:
        """Return the tags that people carry as far as the ledger knows, and how many."""
        return {tag: int(people) for tag, people in self._database.rows("tags_of_members")}

    def record_status(self, status: MemberStatus, members: Members) -> None:
        """Take in who has a status in the audience."""
        record_status(self._database, status, members)

    def record_statuses(self, statuses: Path) -> None:
        """Take in who has which status in the audience, from a file as it is kept between runs."""
        self._database.script("record_statuses", path=quoted(statuses))

    def remembered_since(self) -> datetime | None:
        """Return since when somebody is not sent because of what an earlier run found; ``None`` where nobody is."""
        oldest = self._database.rows("remembered_since")[0][0]
        return None if oldest is None else datetime.fromtimestamp(oldest, UTC)

    def record_subscribed_since(self, members: Members) -> None:
        """Take in who is subscribed and changed since the last run: they may have come back by themselves."""
        found = list(members)
        record_status(self._database, MemberStatus.SUBSCRIBED, found)
        with self._database.incoming(to_pairs(found)):
            self._database.run("record_subscribed_since")

    def record_elsewhere(self, ledger: Path) -> None:
        """Take in whom another export of the audience has."""
        self._database.script("record_elsewhere", path=quoted(ledger))

    def decide(
        self, *, on_leave: str = OnLeave.KEEP, gone_tags: Iterable[str] = (), others_known: bool = True
    ) -> DecidedPlan:
        """Merge the rows of each person, compare with the ledger, and find whom to remove.

        :param on_leave: a kind of removal, or :attr:`OnLeave.KEEP`.
        :param gone_tags: tags that the audience does not have any more: whoever should carry them is sent again.
        :param others_known: whether all ledgers of other exports could be read.
        """
        segments = len(self._sources) + len(self._retired)
        self._database.run("people", last_segment=max(0, segments - 1))
        for statement in ("memberships", "comebacks", "moves" if self._has_ids else "no_moves"):
            self._database.run(statement)
        self._database.run("decisions", gone_tags=list(gone_tags), retired=self._retired)
        self._database.run("renames")
        if on_leave == OnLeave.KEEP and not self._retired:
            self._database.run("no_removals")
        else:
            self._find_removals(on_leave, others_known=others_known)
        return DecidedPlan(self._database, self._sources, retired=self._retired)

    def _find_removals(self, on_leave: str, *, others_known: bool) -> None:
        """Find whom to remove; where they are kept who left, only retired tags are taken."""
        kind = REMOVAL_KINDS.get(on_leave, UNTAG)
        taken = {"run_tags": [] if on_leave == OnLeave.KEEP else self._tags, "retired": self._retired}
        self._database.run(
            "removals",
            **taken,
            kind=kind.name,
            otherwise=UNTAG.name,
            only_created=kind.only_created,
            certain=others_known,
        )
        if self._has_ids:
            self._database.run("removals_of_renamed", **taken, otherwise=UNTAG.name)
