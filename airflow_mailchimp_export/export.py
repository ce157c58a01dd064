"""One export from its sources to its report: the only file that composes the stages.

:meth:`Export.submit` plans and sends; :func:`settle` collects the answers, accounts for every row and writes the
ledger. Between the two lies the run's folder, so that they can run in different tasks on different machines, and
so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from airflow_mailchimp_export import answers, guards, ledger
from airflow_mailchimp_export.accounts import Accounts
from airflow_mailchimp_export.chunks import read_chunks, read_leave_chunks, read_renames
from airflow_mailchimp_export.collection import Collector
from airflow_mailchimp_export.definition import ExportDefinition, Gateway, RunIdentity
from airflow_mailchimp_export.delivery import (
    Operation,
    deliver_directly,
    submit_batches,
    to_operation,
)
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
    PermanentError,
    RetryableError,
)
from airflow_mailchimp_export.lock import Lock
from airflow_mailchimp_export.manifest import Manifest, SubmittedBatch, batches_from_json, batches_to_json
from airflow_mailchimp_export.model import Chunk, Delivery, Effect, LeaveChunk, Outcome, Reason
from airflow_mailchimp_export.planning import Planner
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.removal import removed, rename_members
from airflow_mailchimp_export.report import Findings, Report, draw_up
from airflow_mailchimp_export.run_folder import BATCHES, PLAN, REPORT, RUN, RunFolder
from airflow_mailchimp_export.sources.finding import PathFactory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """What was handed over.

    :param report: where nothing is left to wait for, the account of the run.
    """

    batch_ids: tuple[str, ...]
    report: Report | None


class Export:
    """One run of one export.

    :param folder: where the run keeps its files; a run found there that is not settled is gone on with.
    :param path_factory: makes a path of a source's URI and connection id.
    """

    def __init__(
        self,
        definition: ExportDefinition,
        identity: RunIdentity,
        *,
        gateway: Gateway,
        folder: RunFolder,
        path_factory: PathFactory,
    ) -> None:
        self._dry_run = definition.dry_run
        self._gateway = gateway
        self._folder = folder
        self._export_folder = folder.export_folder()
        self._lock = Lock(self._export_folder, folder.name)
        self._planner = Planner(
            definition, identity, gateway=gateway, folder=folder, path_factory=path_factory
        )

    def submit(self, *, on_batch: Callable[[str], None] = lambda batch_id: None) -> Submission:
        """Plan the run and send it; with direct delivery, settle it too.

        :param on_batch: told of each batch that Mailchimp took.
        :raises ExportBusy: when another run of the export is at work; nothing was sent.
        :raises ConfigError: when the set-up is wrong; nothing was sent.
        :raises SourceError: when a segment cannot be read; nothing was sent.
        :raises StopLoss: when too many would leave; nothing was sent.
        :raises TooManyRejects: when too many profiles cannot be sent; nothing was sent.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """
        with self._lock.held():
            if not self._dry_run:
                self._settle_the_dead()
            manifest = self._planned()
            batches = self._shipped(manifest, on_batch)
            if not batches:
                return Submission((), settle(self._folder, gateway=self._gateway))
            self._lock.keep_waiting()
        return Submission(tuple(batch.id for batch in batches), report=None)

    def _settle_the_dead(self) -> None:
        """Take in what earlier runs sent that nobody accounted for, so that the ledger knows of it."""
        for folder in self._export_folder.runs():
            if folder.name == self._folder.name or folder.is_settled():
                continue
            if folder.is_planned():
                log.warning("Run %s was never accounted for; doing it now", folder.name)
                settle(folder, gateway=self._gateway, keep_lock=True)
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
            settle(self._folder, gateway=self._gateway, error=str(error))
        except ExportError as further:
            log.warning("No report could be written: %s", further)

    def _report_unplanned(self, error: str) -> None:
        """Leave a report behind even of a run that could not be planned."""
        outline = self._planner.outline()
        findings = Findings({Effect.UNCONFIRMED.value: outline.tallies.rows_read})
        try:
            _publish(self._folder, draw_up(outline, findings, batch_ids=(), error=error))
        except ConfigError as further:
            log.warning("No report could be written: %s", further)
        self._lock.release()


class Shipment:
    """Brings the chunks of a plan to Mailchimp, those that are not there yet."""

    def __init__(self, folder: RunFolder, manifest: Manifest, gateway: Gateway) -> None:
        self._folder = folder
        self._manifest = manifest
        self._gateway = gateway
        self._upserter = gateway.upserter(
            manifest.audience_id, skip_merge_validation=manifest.skip_merge_validation
        )
        self._remover = gateway.remover(manifest.audience_id)
        self._opt_outs = gateway.opt_outs(manifest.audience_id, planned_at=manifest.planned_at)

    def rename(self) -> None:
        """Follow changed addresses, before anything else is sent."""
        if answers.RENAMES in self._folder.answered():
            return
        with self._folder.reading(PLAN) as plan:
            renames = read_renames(plan)
        if renames:
            outcomes = rename_members(
                renames, self._gateway.client, self._manifest.audience_id, permit=self._gateway.permit
            )
            answers.keep(self._folder, answers.RENAMES, [(answers.RENAMES_CHUNK, outcomes)])

    def deliver(self, *, only: frozenset[int] | None = None) -> None:
        """Make the calls for all chunks without an answer: first for who is sent, then for who leaves.

        :param only: the numbers of the chunks, where not all are meant.
        """
        still_open = self._open_numbers()
        wanted = still_open if only is None else still_open & only
        connections = self._gateway.client.max_connections
        with self._folder.reading(PLAN) as plan, self._progress("Sending") as progress:
            chunks = (chunk for chunk in read_chunks(plan) if chunk.number in wanted)
            sent = deliver_directly(chunks, self._upsert, connections=connections, keep=self._keep)
            leaving = (chunk for chunk in read_leave_chunks(plan) if chunk.number in wanted)
            left = deliver_directly(
                leaving, self._remover.remove, connections=connections, keep=self._keep_left
            )
            for people in chain(sent, left):
                progress.advance(people)

    def submit(self, on_batch: Callable[[str], None]) -> tuple[SubmittedBatch, ...]:
        """Hand all chunks over as batches that were not handed over before; return all batches of the run."""
        batches = list(submitted_batches(self._folder))
        wanted = self._open_numbers() - {number for batch in batches for number in batch.chunks}
        with self._folder.reading(PLAN) as plan, self._progress("Handing over") as progress:
            chunks = (chunk for chunk in read_chunks(plan) if chunk.number in wanted)
            leaving = (chunk for chunk in read_leave_chunks(plan) if chunk.number in wanted)
            for operations in (self._upserts(chunks), self._leaves(leaving)):
                for batch, people in submit_batches(
                    operations, self._gateway.client, permit=self._gateway.permit
                ):
                    batches.append(batch)
                    on_batch(batch.id)
                    self._folder.put(BATCHES, batches_to_json(batches))
                    progress.advance(people)
        return tuple(batches)

    def _upsert(self, chunk: Chunk) -> tuple[Outcome, ...]:
        spared, left = self._spared(chunk)
        return (*spared, *(self._upserter.upsert(left) if left.members else ()))

    def _upserts(self, chunks: Iterable[Chunk]) -> Iterator[Operation]:
        for chunk in chunks:
            spared, left = self._spared(chunk)
            if spared:
                answers.keep(self._folder, answers.spared_key(chunk.number), [(None, spared)])
            if left.members:
                yield to_operation(chunk.number, len(left.members), self._upserter.call(left))

    def _spared(self, chunk: Chunk) -> tuple[tuple[Outcome, ...], Chunk]:
        """Part those from a chunk who said no since the run was planned."""
        said_no = self._opt_outs.among(member.email for member in chunk.members)
        spared = tuple(
            Outcome(email, Effect.SUPPRESSED, reason=Reason(status.value))
            for email, status in said_no.items()
        )
        left = tuple(member for member in chunk.members if member.email not in said_no)
        return spared, Chunk(chunk.number, left)

    def _leaves(self, chunks: Iterable[LeaveChunk]) -> Iterator[Operation]:
        for chunk in chunks:
            call = self._remover.call(chunk)
            if call:
                yield to_operation(chunk.number, len(chunk.emails), call)
            else:
                self._keep_left(chunk, removed(chunk))

    def _open_numbers(self) -> frozenset[int]:
        tallies = self._manifest.tallies
        answered = self._folder.answered()
        numbers = range(tallies.upsert_chunks + tallies.leave_chunks)
        return frozenset(number for number in numbers if answers.chunk_key(number) not in answered)

    def _keep(self, chunk: Chunk, outcomes: Sequence[Outcome]) -> None:
        answers.keep(self._folder, answers.chunk_key(chunk.number), [(None, outcomes)])

    def _keep_left(self, chunk: LeaveChunk, outcomes: Sequence[Outcome]) -> None:
        answers.keep(self._folder, answers.chunk_key(chunk.number), [(chunk.number, outcomes)])

    def _progress(self, what: str) -> Progress:
        return Progress(what, "members", total=self._manifest.tallies.planned)


def submitted_batches(folder: RunFolder) -> tuple[SubmittedBatch, ...]:
    """Return the batches of a run that Mailchimp took."""
    return batches_from_json(folder.read(BATCHES)) if folder.exists(BATCHES) else ()


def settle(folder: RunFolder, *, gateway: Gateway, error: str = "", keep_lock: bool = False) -> Report:
    """Collect what Mailchimp answered, account for every row, write the ledger, and return the report.

    A run that is settled already is not settled again.

    :param error: what stopped the run, if something did; then nothing more is sent.
    :param keep_lock: leave the export's lock with whoever holds it.
    :raises MailchimpError: when Mailchimp refuses or is out of reach; settle again then.
    """
    if folder.is_settled():
        return Report.from_json(folder.read(REPORT))
    if not folder.is_planned():
        raise ConfigError(
            f"There is no run to account for at {folder.uri}. "
            "Set exports_root to a place that all workers share"
        )
    manifest = Manifest.from_json(folder.read(RUN))
    batches = submitted_batches(folder)
    stopped = _gather(folder, manifest, batches, gateway, deliver=not error)
    error = error or stopped
    with Accounts(folder, manifest) as accounts:
        accounts.write_outcomes()
        accounts.write_rejects()
        findings = accounts.findings()
        if not manifest.dry_run:
            conflict = _write_ledger(folder, manifest, accounts)
            error = error or conflict
    batch_ids = tuple(batch.id for batch in batches)
    report = draw_up(manifest, findings, batch_ids=batch_ids, error=error)
    _publish(folder, report)
    folder.drop_answers()
    _tidy(folder, manifest.keep_runs)
    if not keep_lock:
        Lock(folder.export_folder(), folder.name).release()
    return report


def _gather(
    folder: RunFolder,
    manifest: Manifest,
    batches: Sequence[SubmittedBatch],
    gateway: Gateway,
    *,
    deliver: bool,
) -> str:
    """Fetch what the batches answered, and deliver directly what they could not deliver.

    Returned is what stopped that for good, if something did: the report says so.
    """
    try:
        refused = _collect(folder, batches, gateway)
        if refused and deliver:
            Shipment(folder, manifest, gateway).deliver(only=refused)
    except (ConfigError, PermanentError) as error:
        return str(error)
    return ""


def _collect(folder: RunFolder, batches: Sequence[SubmittedBatch], gateway: Gateway) -> frozenset[int]:
    """Fetch the answers of the batches; return the chunks that they could not deliver."""
    if not batches:
        return frozenset()
    answered = folder.answered()
    missing = [batch for batch in batches if answers.batch_key(batch.id) not in answered]
    with folder.reading(PLAN) as plan, Progress("Collecting", "answers") as progress:
        leaving = {chunk.number: chunk for chunk in read_leave_chunks(plan)}
        for collected in Collector(gateway.client, folder, leaving, sleep=gateway.sleep).collect(missing):
            progress.advance(collected.members)
    return answers.refused_chunks(folder)


def _write_ledger(folder: RunFolder, manifest: Manifest, accounts: Accounts) -> str:
    """Replace the ledger, unless another run did in the meantime; return why not, if so."""
    try:
        mark = ledger.read_mark(folder.export_folder())
    except ConfigError as error:
        return str(error)
    if mark and mark.run == folder.name:
        return ""
    if (mark.version if mark else 0) != manifest.ledger_version:
        return (
            f"Run {mark.run if mark else 'unknown'} has written the ledger since this run was planned, so this run "
            "may not overwrite it. What this run did is in its outcomes.parquet; run the export again"
        )
    if accounts.change_the_ledger() or (mark and mark.basis != manifest.basis):
        version = manifest.ledger_version + 1
        accounts.write_ledger(
            ledger.LedgerMark(
                manifest.export,
                manifest.audience_id,
                version=version,
                run=folder.name,
                basis=manifest.basis,
            )
        )
    return ""


def _publish(folder: RunFolder, report: Report) -> None:
    folder.put(REPORT, report.to_json())
    log.info("%s\n  files: %s", report.table(), folder.uri)


def _tidy(folder: RunFolder, keep_runs: int) -> None:
    """Remove the oldest runs that are accounted for."""
    export_folder = folder.export_folder()
    settled = [run for run in export_folder.runs() if run.is_settled()]
    finished_at = {run.name: Report.from_json(run.read(REPORT)).finished_at for run in settled}
    oldest_first = sorted(settled, key=lambda run: (finished_at[run.name], run.name))
    for run in oldest_first[: max(0, len(settled) - keep_runs)]:
        export_folder.remove_run(run)
