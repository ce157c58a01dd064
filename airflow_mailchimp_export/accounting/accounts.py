"""Plan and answers of a run, brought together: what became of each profile, and the ledger that follows."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.accounting.report import Aggregates
from airflow_mailchimp_export.database import Database, quoted, quoted_text
from airflow_mailchimp_export.model import Effect, Reason
from airflow_mailchimp_export.rules import REASON_RULES
from airflow_mailchimp_export.state.ledger import LEDGER, METADATA_KEY, LedgerMark, open_local
from airflow_mailchimp_export.state.manifest import Manifest
from airflow_mailchimp_export.state.run import OUTCOMES, PLAN, REJECTS, RunFolder

REJECT_COLUMNS = ("segments", "source", "email", "field", "reason", "mailchimp_says", "remedy")

_NO_ANSWERS = (
    "(SELECT ''::VARCHAR AS email, '' AS effect, '' AS status, '' AS reason, '' AS field, '' AS words, "
    "NULL::INTEGER AS chunk)"
)

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Reconciliation:
    """The accounts of one run; use it in ``with``.

    :param folder: the run's folder, with its plan and the answers kept so far.
    """

    def __init__(self, folder: RunFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._open = ExitStack()

    def __enter__(self) -> Reconciliation:
        """Bring plan, answers and ledger together."""
        scratch_dir = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        self._database = self._open.enter_context(Database(scratch_dir, "accounting/accounts.sql"))
        plan = self._open.enter_context(self._folder.reading(PLAN))
        self._database.run("macros")
        self._load_ledger(self._open.enter_context(open_local(self._folder.export_folder())))
        self._database.script("answers", answers=self._answers())
        self._database.run("outcomes", plan=str(plan), dry_run=self._manifest.dry_run)
        self._database.run("drop_renamed")
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
            examples=dict(self._database.rows("examples")) if self._manifest.dry_run else {},
        )

    def write_outcomes(self) -> None:
        """Write what became of each profile."""
        with self._folder.writing(OUTCOMES) as draft:
            self._database.script("write_outcomes", path=quoted(draft))

    def write_rejects(self) -> None:
        """Write the rejects, each with its reason and remedy, for a spreadsheet."""
        with (
            self._folder.writing(REJECTS) as draft,
            draft.open("w", newline="", encoding="utf-8-sig") as handle,
        ):
            writer = csv.writer(handle)
            writer.writerow(REJECT_COLUMNS)
            writer.writerows(self._rejects())

    def change_the_ledger(self) -> bool:
        """Return whether this run has anything to add to the ledger."""
        return bool(self._database.rows("ledger_changes")[0][0])

    def write_ledger(self, mark: LedgerMark) -> None:
        """Put the ledger that follows from this run in place of the one before."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._database.run("next_ledger", now=now, run=self._folder.name)
        with self._folder.export_folder().writing(LEDGER) as draft:
            self._database.script(
                "write_ledger", path=quoted(draft), key=METADATA_KEY, mark=quoted_text(mark.to_json())
            )

    def _load_ledger(self, ledger: Path | None) -> None:
        if ledger is None:
            self._database.run("no_ledger")
        else:
            self._database.script("ledger", path=quoted(ledger))

    def _rejects(self) -> Iterator[list[str]]:
        for batch in self._database.batches("rejects"):
            for segments, source, email, field, reason, words in zip(*_columns(batch), strict=True):
                remedy = REASON_RULES[Reason(reason)].remedy
                cells = ("; ".join(segments), source, email, field, reason, words, remedy)
                yield [escape_formula(cell) for cell in cells]

    def _answers(self) -> str:
        names = self._folder.answers()
        if not names:
            return _NO_ANSWERS
        copies = [self._open.enter_context(self._folder.reading(name)) for name in names]
        return f"read_parquet([{', '.join(map(quoted, copies))}])"

    def _numbers(self, statement: str, /, **parameters: object) -> dict[str, int]:
        return {name: int(number) for name, number in self._database.rows(statement, **parameters)}


def _columns(batch: pa.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in batch.columns]


def escape_formula(cell: str) -> str:
    """A spreadsheet runs what starts like a formula: https://owasp.org/www-community/attacks/CSV_Injection"""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
