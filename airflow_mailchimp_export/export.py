"""One export from its sources to its report: the only file that composes the stages.

:meth:`Export.submit` plans and sends; :func:`settle` collects the answers, accounts for every row and writes the
ledger. Between the two lies the run's folder, so that they can run in different tasks on different machines, and
so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from airflow_mailchimp_export.accounting.report import Aggregates, Report, build_report
from airflow_mailchimp_export.definition import RunContext
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
    RetryableError,
)
from airflow_mailchimp_export.finalizing import finalize, publish
from airflow_mailchimp_export.model import Delivery, Effect
from airflow_mailchimp_export.planning import guards
from airflow_mailchimp_export.planning.planner import Planner
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.manifest import (
    Manifest,
    SubmittedBatch,
)
from airflow_mailchimp_export.state.run import RUN, submitted_batches

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """What was handed over.

    :param report: where nothing is left to wait for, the account of the run.
    """

    batch_ids: tuple[str, ...]
    report: Report | None


class Export:
    """One run of one export."""

    def __init__(self, run: RunContext) -> None:
        self._dry_run = run.definition.dry_run
        self._gateway = run.gateway
        self._folder = run.folder
        self._export_folder = run.folder.export_folder()
        self._lock = Lock(self._export_folder, run.folder.name)
        self._planner = Planner(run)

    def submit(self, *, on_batch: Callable[[str], None] = lambda batch_id: None) -> Submission:
        """Plan the run and send it; with direct delivery, settle it too.

        :param on_batch: told of each batch that Mailchimp took.
        :raises ExportBusy: when another run of the export is at work; nothing was sent.
        :raises ConfigError: when the set-up is wrong; nothing was sent.
        :raises SourceError: when a segment cannot be read; nothing was sent.
        :raises RemovalLimitExceeded: when too many would leave; nothing was sent.
        :raises TooManyRejects: when too many profiles cannot be sent; nothing was sent.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """
        with self._lock.held():
            if not self._dry_run:
                self._recover_abandoned_runs()
            manifest = self._planned()
            batches = self._shipped(manifest, on_batch)
            if not batches:
                return Submission((), finalize(self._folder, gateway=self._gateway))
            self._lock.keep_waiting()
        return Submission(tuple(batch.id for batch in batches), report=None)

    def _recover_abandoned_runs(self) -> None:
        """Take in what earlier runs sent that nobody accounted for, so that the ledger knows of it."""
        for folder in self._export_folder.runs():
            if folder.name == self._folder.name or folder.is_finished():
                continue
            if folder.is_planned():
                log.warning("Run %s was never accounted for; doing it now", folder.name)
                finalize(folder, gateway=self._gateway, keep_lock=True)
            else:
                self._export_folder.remove_run(folder)

    def _planned(self) -> Manifest:
        if self._folder.is_planned():
            log.info("Going on with the run in %s", self._folder.uri)
            return Manifest.from_json(self._folder.read(RUN))
        try:
            return self._planner.plan()
        except ExportError as error:
            self._report_unplanned(str(error))
            raise

    def _shipped(self, manifest: Manifest, on_batch: Callable[[str], None]) -> tuple[SubmittedBatch, ...]:
        shipment = Shipment(self._folder, manifest, self._gateway)
        try:
            guards.check_rejects(
                manifest.tallies.rejected, manifest.tallies.people, max_reject_ratio=manifest.max_reject_ratio
            )
            if manifest.dry_run:
                return ()
            shipment.rename()
            if manifest.delivery is Delivery.BATCH:
                return shipment.submit(on_batch)
            shipment.deliver()
        except ExportError as error:
            self._stop(error)
            raise
        return ()

    def _stop(self, error: ExportError) -> None:
        """Account for a run that was stopped half-way, which calls its unfinished batches off.

        Batches that only lack their fellows are gone on with by the next attempt.
        """
        batches = submitted_batches(self._folder)
        if batches and isinstance(error, RetryableError):
            return
        try:
            finalize(self._folder, gateway=self._gateway, error=str(error))
        except ExportError as further:
            log.warning("No report could be written: %s", further)

    def _report_unplanned(self, error: str) -> None:
        """Leave a report behind even of a run that could not be planned."""
        outline = self._planner.outline()
        aggregates = Aggregates({Effect.UNCONFIRMED.value: outline.tallies.rows_read})
        try:
            publish(self._folder, build_report(outline, aggregates, batch_ids=(), error=error))
        except ConfigError as further:
            log.warning("No report could be written: %s", further)
        self._lock.release()
