"""The second half of a run: collect the answers, account for every row, write the ledger and the report.

It needs the run's folder only, so that it can run in another task, on another machine, and after a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow_mailchimp_export.accounting.accounts import Reconciliation
from airflow_mailchimp_export.accounting.report import Report, build_report
from airflow_mailchimp_export.delivery.results import Collector
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.errors import (
    AccessDenied,
    ConfigError,
    PermanentError,
)
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.state import answers, ledger
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.manifest import (
    Manifest,
    SubmittedBatch,
)
from airflow_mailchimp_export.state.plan_file import read_removal_chunks
from airflow_mailchimp_export.state.run import PLAN, REPORT, RUN, RunFolder, submitted_batches

log = logging.getLogger(__name__)


def finalize(folder: RunFolder, *, gateway: Gateway, error: str = "", keep_lock: bool = False) -> Report:
    """Collect what Mailchimp answered, account for every row, write the ledger, and return the report.

    A run that is settled already is not settled again.

    :param error: what stopped the run, if something did; then nothing more is sent.
    :param keep_lock: leave the export's lock with whoever holds it.
    :raises MailchimpError: when Mailchimp refuses or is out of reach; settle again then.
    """
    if folder.is_finished():
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
    with Reconciliation(folder, manifest) as accounts:
        accounts.write_outcomes()
        accounts.write_rejects()
        aggregates = accounts.aggregates()
        if not manifest.dry_run:
            conflict = _write_ledger(folder, manifest, accounts)
            error = error or conflict
    batch_ids = tuple(batch.id for batch in batches)
    report = build_report(manifest, aggregates, batch_ids=batch_ids, error=error)
    publish(folder, report)
    folder.drop_answers()
    _normal(folder, manifest.keep_runs)
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
    except (AccessDenied, ConfigError, PermanentError) as error:
        return str(error)
    return ""


def _collect(folder: RunFolder, batches: Sequence[SubmittedBatch], gateway: Gateway) -> frozenset[int]:
    """Fetch the answers of the batches; return the chunks that they could not deliver."""
    if not batches:
        return frozenset()
    answered = folder.answered()
    missing = [batch for batch in batches if answers.batch_key(batch.id) not in answered]
    with folder.reading(PLAN) as plan, Progress("Collecting", "answers") as progress:
        leaving = {chunk.number: chunk for chunk in read_removal_chunks(plan)}
        for collected in Collector(gateway, folder, leaving).collect(missing):
            progress.advance(collected.members)
    return answers.refused_chunks(folder)


def _write_ledger(folder: RunFolder, manifest: Manifest, accounts: Reconciliation) -> str:
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


def publish(folder: RunFolder, report: Report) -> None:
    """Write the report, and tell it in the log."""
    folder.put(REPORT, report.to_json())
    log.info("%s\n  files: %s", report.table(), folder.uri)


def _normal(folder: RunFolder, keep_runs: int) -> None:
    """Remove the oldest runs that are accounted for."""
    export_folder = folder.export_folder()
    settled = [run for run in export_folder.runs() if run.is_finished()]
    finished_at = {run.name: Report.from_json(run.read(REPORT)).finished_at for run in settled}
    oldest_first = sorted(settled, key=lambda run: (finished_at[run.name], run.name))
    for run in oldest_first[: max(0, len(settled) - keep_runs)]:
        export_folder.remove_run(run)
