"""Plan and answers of a run, brought together: what became of each profile, and the ledger that follows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.accounting.report import Aggregates, SampleReject
from airflow_mailchimp_export.database import Database, quoted
from airflow_mailchimp_export.masking import masked, masked_place
from airflow_mailchimp_export.model import Effect, Reason
from airflow_mailchimp_export.rules import REASON_RULES
from airflow_mailchimp_export.state import ledger
from airflow_mailchimp_export.state.ledger import Ledger, LedgerMark
from airflow_mailchimp_export.state.run import RunFolder
from airflow_mailchimp_export.state.scratch import scratch_dir
from airflow_mailchimp_export.tag_names import respellings

REJECT_COLUMNS = ("segments", "source", "email", "field", "reason", "mailchimp_says", "remedy")

MAX_SAMPLES = 50
"""Most rejects that a report shows."""

ALL_CHUNKS = 2**31 - 1
"""Above the number of any chunk."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Reconciliation:
    """The accounts of one run; use it in ``with``.

    :param run: with its plan and the answers kept so far.
    :param known: the ledger before this run; ``None`` where there is none.
    :param nothing_sent: whether the run was stopped before anything was sent.
    """

    def __init__(self, run: RunFolder, known: Ledger | None, *, nothing_sent: bool = False) -> None:
        self._run = run
        self._nothing_sent = nothing_sent
        self._manifest = run.manifest
        self._known = known
        self._open = ExitStack()

    def __enter__(self) -> Reconciliation:
        """Bring plan, answers and ledger together."""
        working = self._open.enter_context(scratch_dir())
        self._database = self._open.enter_context(Database(working, "accounting/accounts.sql"))
        plan = self._open.enter_context(self._run.reading_plan())
        self._database.run("macros")
        self._load_ledger(self._known.path if self._known else None)
        with self._database.incoming(self._run.answer_log.reading()):
            self._database.run("answers", effects=[effect.value for effect in Effect])
        for statement in ("named_twice", "worse_answers", "drop_better_answers", "take_worse_answers"):
            self._database.run(statement)
        begun = self._run.begun.chunks
        self._database.run(
            "outcomes",
            plan=str(plan),
            dry_run=self._manifest.dry_run and not self._nothing_sent,
            nothing_sent=self._nothing_sent,
            begun=ALL_CHUNKS if begun is None else begun,
        )
        self._database.run("drop_not_sent")
        self._database.run("drop_renamed")
        self._database.run("lost_tags")
        lost = [tag for (tag,) in self._database.rows("all_lost_tags")]
        self._database.run("lost", tags=lost, last=max(0, len(lost) - 1))
        self._database.run("remember_renamed")
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the database."""
        self._open.close()

    def aggregates(self) -> Aggregates:
        """Return the numbers for the report."""
        names = [segment.name for segment in self._manifest.segments]
        tags = [segment.tag for segment in self._manifest.segments]
        return Aggregates(
            effects=self._numbers("effects"),
            rejects_by_reason=self._numbers("reasons", effect=Effect.REJECTED.value),
            suppressed_by_reason=self._numbers("reasons", effect=Effect.SUPPRESSED.value),
            members=self._numbers("members"),
            joined=self._numbers("joined", names=names, tags=tags),
            removed=self._numbers("removed"),
            unconfirmed_renames=int(self._database.rows("unconfirmed_renames")[0][0]),
            untagged_instead=self._untagged_instead(),
            rejects_known=self._rejects_known(),
            examples=dict(self._database.rows("examples")) if self._manifest.dry_run else {},
            sample_rejects=self._sample_rejects(),
        )

    def _sample_rejects(self) -> tuple[SampleReject, ...]:
        found = self._database.rows("sample_rejects", most=MAX_SAMPLES)
        return tuple(
            SampleReject(tuple(map(masked, segments)), masked_place(source), field, reason, masked(words))
            for segments, source, field, reason, words in found
        )

    def _rejects_known(self) -> int:
        """Return how many rejects are no news; of rows without an address only the ledger's numbers are known."""
        before = self._known.mark.unusable_rows if self._known else {}
        unusable = sum(min(rows, before.get(why, 0)) for why, rows in self._unusable_rows().items())
        return int(self._database.rows("rejects_known")[0][0]) + unusable

    def _unusable_rows(self) -> dict[str, int]:
        return self._numbers("unusable_rows")

    def _untagged_instead(self) -> int:
        if not self._manifest.tallies.untagged_instead:
            return 0
        retired = list(self._manifest.retired)
        return int(self._database.rows("untagged_instead", retired=retired)[0][0])

    def write_outcomes(self) -> None:
        """Write what became of each profile."""
        with self._run.writing_outcomes() as draft:
            self._database.copy("write_outcomes", draft)

    def write_rejects(self) -> None:
        """Write the rejects, each with its reason and remedy, for a spreadsheet."""
        with (
            self._run.writing_rejects() as draft,
            draft.open("w", newline="", encoding="utf-8-sig") as handle,
        ):
            writer = csv.writer(handle)
            writer.writerow(REJECT_COLUMNS)
            writer.writerows(self._rejects())

    def change_the_ledger(self) -> bool:
        """Return whether this run has anything to add to the ledger."""
        before = self._known.mark.unusable_rows if self._known else {}
        return bool(self._database.rows("ledger_changes")[0][0]) or before != self._unusable_rows()

    def write_ledger(self, mark: LedgerMark) -> None:
        """Put the ledger that follows from this run in place of the one before."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._database.run("this_run", now=now, run=self._run.name)
        self._database.run("renamed")
        self._database.run("next_ledger")
        described = self._described(mark)
        rows = self._database.reader("ledger_rows", rows=ledger.GROUP_ROWS)
        ledger.write(self._run.export_folder(), described, rows)

    def _described(self, mark: LedgerMark) -> LedgerMark:
        """Add to the mark what the rows say."""
        tags = tuple(tag for (tag,) in self._database.rows("carried_tags"))
        return replace(
            mark,
            tags=tags,
            looked_up_at=self._manifest.planned_at,
            unusable_rows=self._unusable_rows(),
        )

    def _load_ledger(self, known: Path | None) -> None:
        if known is None:
            self._database.run("no_ledger")
            return
        self._database.script("ledger", path=quoted(known))
        spelled = respellings(
            (tag for (tag,) in self._database.rows("ledger_tags")),
            (segment.tag for segment in self._manifest.segments),
        )
        if spelled:
            self._database.run(
                "respelled_ledger", tags=list(spelled.keys()), spellings=list(spelled.values())
            )
            self._database.script("take_respelled_ledger")

    def _rejects(self) -> Iterator[list[str]]:
        for batch in self._database.batches("rejects"):
            for segments, source, email, field, reason, words in zip(*_columns(batch), strict=True):
                remedy = REASON_RULES[Reason(reason)].remedy
                cells = ("; ".join(segments), source, email, field, reason, words, remedy)
                yield [escape_formula(cell) for cell in cells]

    def _numbers(self, statement: str, /, **parameters: object) -> dict[str, int]:
        return {name: int(number) for name, number in self._database.rows(statement, **parameters)}


def _columns(batch: pa.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in batch.columns]


def escape_formula(cell: str) -> str:
    """A spreadsheet runs what starts like a formula: https://owasp.org/www-community/attacks/CSV_Injection"""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
