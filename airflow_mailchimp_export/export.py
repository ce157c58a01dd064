"""One export from its sources to its report: the only file that composes the stages.

:meth:`Export.submit` plans and sends; :func:`finalize` collects the answers, accounts for every row and writes the
ledger. Between the two lies the run's folder, so that they can run in different tasks on different machines, and
so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from airflow_mailchimp_export.accounting.report import Aggregates, Report, build_report
from airflow_mailchimp_export.definition import RunContext
from airflow_mailchimp_export.delivery.deliveries import delivery_of
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.errors import ConfigError, ExportError, RetryableError
from airflow_mailchimp_export.finalizing import finalize, publish, recover_abandoned_runs
from airflow_mailchimp_export.model import Effect
from airflow_mailchimp_export.planning import guards
from airflow_mailchimp_export.planning.planner import Planner
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.manifest import Manifest

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
        self._run = run.folder
        self._lock = Lock(run.folder.export_folder(), run.folder.name)
        self._planner = Planner(run)

    def submit(self, *, on_batch: Callable[[str], None] = lambda batch_id: None) -> Submission:
        """Plan the run and send it; with direct delivery, finalize it too.

        :param on_batch: called with the id of each batch that Mailchimp took.
        :raises ExportBusy: when another run of the export is at work; nothing was sent.
        :raises ConfigError: when the set-up is wrong; nothing was sent.
        :raises SourceError: when a segment cannot be read; nothing was sent.
        :raises RemovalLimitExceeded: when too many would leave; nothing was sent.
        :raises TooManyRejects: when too many profiles cannot be sent; nothing was sent.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """
        with self._lock.held():
            self._run.export_folder().sweep()
            if not self._dry_run:
                recover_abandoned_runs(self._run, gateway=self._gateway)
            batch_ids = self._shipped(self._planned(), on_batch)
            if not batch_ids:
                return Submission((), finalize(self._run, gateway=self._gateway))
            self._lock.keep_waiting()
        return Submission(batch_ids, report=None)

    def _planned(self) -> Manifest:
        if self._run.is_planned():
            log.info("Going on with the run in %s", self._run.uri)
            return self._run.manifest
        try:
            return self._planner.plan()
        except ExportError as error:
            self._report_unplanned(str(error))
            raise

    def _shipped(self, manifest: Manifest, on_batch: Callable[[str], None]) -> tuple[str, ...]:
        try:
            guards.check_rejects(
                manifest.tallies.rejected, manifest.tallies.people, max_reject_ratio=manifest.max_reject_ratio
            )
            if manifest.dry_run:
                return ()
            Shipment(self._run, self._gateway).rename()
            return delivery_of(self._run, self._gateway).deliver(self._run, on_batch=on_batch)
        except ExportError as error:
            self._stop(error)
            raise

    def _stop(self, error: ExportError) -> None:
        """Account for a run that was stopped half-way, which calls its unfinished batches off.

        Batches that only lack their fellows are gone on with by the next attempt.
        """
        try:
            if not (self._run.batches and isinstance(error, RetryableError)):
                finalize(self._run, gateway=self._gateway, error=str(error))
        except ExportError as further:
            log.warning("No report could be written: %s", further)

    def _report_unplanned(self, error: str) -> None:
        """Leave a report behind even of a run that could not be planned."""
        outline = self._planner.outline()
        aggregates = Aggregates({Effect.UNCONFIRMED.value: outline.tallies.rows_read})
        try:
            publish(self._run, build_report(outline, aggregates, batch_ids=(), error=error))
        except ConfigError as further:
            log.warning("No report could be written: %s", further)
        self._lock.release()
