"""One export from its sources to its report: the only file that composes the stages.

:meth:`Export.submit` plans and sends; :func:`finalize` collects the answers, accounts for every row and writes the
ledger. Between the two lies the run's folder, so that they can run in different tasks on different machines, and
so that what a run that was killed got answered is not sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from airflow_mailchimp_export.accounting.report import Aggregates, Report, build_report
from airflow_mailchimp_export.definition import RunContext
from airflow_mailchimp_export.delivery.deliveries import delivery_of
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.delivery.waiting import WaitingRuns
from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
    RetryableError,
    SourceError,
    UnreadableFile,
)
from airflow_mailchimp_export.finalizing import (
    finalize,
    publish,
    recover_abandoned_runs,
    recover_attempt,
)
from airflow_mailchimp_export.machine_limits import lean_arrow
from airflow_mailchimp_export.model import Effect
from airflow_mailchimp_export.planning import guards
from airflow_mailchimp_export.planning.planner import Planner
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.manifest import Manifest
from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """What was handed over.

    :param report: where nothing is left to wait for, the account of the run.
    :param run: where the attempt that did it keeps its files.
    """

    batch_ids: tuple[str, ...]
    report: Report | None
    run: RunFolder


class Export:
    """One run of one export.

    :param stall_timeout: seconds without any progress after which batches that were handed over, by an earlier attempt
        or by another run, are not waited for any more.
    """

    def __init__(self, run: RunContext, *, stall_timeout: float = DEFAULT_STALL_TIMEOUT) -> None:
        self._dry_run = run.definition.dry_run
        self._gateway = run.gateway
        self._stall_timeout = stall_timeout
        self._waiting_runs = WaitingRuns(run.gateway, stall_timeout)
        self._goes_on = False
        self._begin(run)

    @property
    def _has_sent_nothing(self) -> bool:
        """Whether nobody can be in Mailchimp by this attempt: it has neither sent, nor taken over what one sent."""
        return not (self._goes_on or self._gateway.has_carried_people)

    def _begin(self, run: RunContext) -> None:
        self._context = run
        self._run = run.folder
        self._lock = Lock(
            run.folder.export_folder(), run.folder.name, progress_of=self._waiting_runs.progress_of
        )
        self._planner = Planner(run)

    @property
    def run(self) -> RunFolder:
        """Where the attempt that is at work keeps its files."""
        return self._run

    def submit(self, *, on_batch: Callable[[str], None] = lambda batch_id: None) -> Submission:
        """Plan the run and send it; with direct delivery, finalize it too.

        :param on_batch: called with the id of each batch that Mailchimp took.
        :raises ExportBusy: when another run of the export is at work, or waits for batches that move; nothing was sent.
        :raises ConfigError: when the set-up is wrong; nothing was sent.
        :raises SourceError: when a segment cannot be read; nothing was sent.
        :raises RemovalLimitExceeded: when too many would leave; nothing was sent.
        :raises TooManyRejects: when too many profiles cannot be sent; nothing was sent.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """
        try:
            with _enough_memory(), lean_arrow():
                return self._submit(on_batch)
        except ExportError as error:
            error.nothing_sent = self._has_sent_nothing
            raise

    def _submit(self, on_batch: Callable[[str], None]) -> Submission:
        self._check_task()
        if self._run.is_planned() and not self._continues():
            self._replace_attempt()
        with self._run.plan_at_hand():
            return self._planned_and_sent(on_batch)

    def _planned_and_sent(self, on_batch: Callable[[str], None]) -> Submission:
        if self._dry_run:
            self._shipped(self._planned(), on_batch)
            return Submission((), finalize(self._run, gateway=self._gateway), self._run)
        with self._lock.held():
            self._run.export_folder().sweep()
            recover_abandoned_runs(self._run, gateway=self._gateway)
            batch_ids = self._shipped(self._planned(), on_batch)
            if batch_ids:
                self._lock.keep_waiting()
                return Submission(batch_ids, None, self._run)
            report = finalize(self._run, gateway=self._gateway, holds_lock=True)
        self._lock.release()
        return Submission((), report, self._run)

    def _check_task(self) -> None:
        """Let no other task take a run for its own: it would answer for what it has not sent."""
        task = self._context.identity.task
        for attempt in self._run.earlier_attempts():
            with suppress(UnreadableFile):
                owner = attempt.manifest.task if attempt.is_planned() else ""
                if task and owner not in ("", task):
                    raise ConfigError(
                        f"Run {self._run.name} of export {self._context.definition.name!r} belongs to {owner}, not to "
                        f"{task}",
                        "Give each of them an export_name of its own",
                        nothing_sent=True,
                    )

    def _continues(self) -> bool:
        """Whether an earlier attempt need only be waited for: all is handed over, nothing that shaped it changed."""
        try:
            manifest = self._run.manifest
            return (
                not self._dry_run
                and manifest.definition == self._context.definition.digest
                and Shipment(self._run, self._gateway).is_handed_over()
                and manifest.sources == self._planner.identify_sources()
            )
        except (SourceError, UnreadableFile):
            return False

    def _replace_attempt(self) -> None:
        """Take in what an earlier attempt got answered, and go on in the folder of a further one."""
        if not self._dry_run:
            with self._lock.held():
                recover_attempt(
                    self._run,
                    gateway=self._gateway,
                    definition=self._context.definition.digest,
                    stall_timeout=self._stall_timeout,
                )
        folder = self._run.export_folder().run(self._run.first_attempt, fresh=True)
        self._begin(replace(self._context, folder=folder))

    def _planned(self) -> Manifest:
        if self._run.is_planned():
            self._goes_on = True
            log.info("Going on with the run in %s: all of it is handed over", self._run.uri)
            return self._run.manifest
        try:
            return self._planner.plan()
        except ExportError as error:
            self._report_unplanned(error)
            raise

    def _shipped(self, manifest: Manifest, on_batch: Callable[[str], None]) -> tuple[str, ...]:
        try:
            guards.check_rejects(
                manifest.tallies.rejected, manifest.tallies.people, max_reject_ratio=manifest.max_reject_ratio
            )
            if manifest.dry_run:
                return ()
            return delivery_of(self._run, self._gateway).deliver(self._run, on_batch=on_batch)
        except ExportError as error:
            self._stop(error)
            raise

    def _stop(self, error: ExportError) -> None:
        """Account for a run that was stopped half-way, which calls its unfinished batches off.

        Batches that only lack their fellows are gone on with by the next attempt.
        """
        error.nothing_sent = self._has_sent_nothing
        try:
            if not (self._run.batches and isinstance(error, RetryableError)):
                finalize(self._run, gateway=self._gateway, error=error, holds_lock=True)
        except Exception as further:
            _no_report(further)

    def _report_unplanned(self, error: ExportError) -> None:
        """Leave a report behind even of a run that could not be planned."""
        error.nothing_sent = True
        outline = self._planner.outline()
        aggregates = Aggregates({Effect.NOT_SENT.value: outline.tallies.rows_read})
        try:
            publish(self._run, build_report(outline, aggregates, batch_ids=(), error=error))
            self._run.export_folder().tidy(outline.keep_runs)
        except Exception as further:
            _no_report(further)
        self._lock.release()


def _no_report(further: Exception) -> None:
    """Say that a second error kept a run from its report; the first one is what matters, and is raised."""
    told = str(further) if isinstance(further, ExportError) else type(further).__name__
    log.warning("No report could be written: %s", told)


@contextmanager
def _enough_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise ConfigError(
            "The worker has no memory left", "Give it more, or let fewer tasks run on it at the same time"
        ) from error
