"""The second half of a run: collect the answers, account for every row, write the ledger and the report.

It needs the run's folder only, so that it can run in another task, on another machine, and after a crash.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import duckdb
import pyarrow as pa

from airflow_mailchimp_export.accounting.accounts import Reconciliation
from airflow_mailchimp_export.accounting.report import Aggregates, Report, build_report
from airflow_mailchimp_export.accounting.shown import show
from airflow_mailchimp_export.delivery.deliveries import delivery_of
from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT, BatchWatch, keep_looking
from airflow_mailchimp_export.errors import (
    AccessDenied,
    ConfigError,
    ExportBusy,
    ExportError,
    PermanentError,
    UnreadableFile,
)
from airflow_mailchimp_export.mailchimp.batches import cancel_batches
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.state import ledger
from airflow_mailchimp_export.state.claims import Claim, put_claim
from airflow_mailchimp_export.state.ledger import Ledger, LedgerMark
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.manifest import Manifest
from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)

_DAMAGE = (
    UnreadableFile,
    pa.ArrowException,
    duckdb.Error,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What accounting for a run may raise whose files, or whose answers, are not what they should be."""


LOCK_PAUSE = 5.0
"""Seconds between two attempts to get the export's lock for the accounts of a run."""

LOCK_ATTEMPTS = 120
"""Times that it is tried: whoever has it begins by accounting for this very run."""


def finalize(
    run: RunFolder, *, gateway: Gateway, error: ExportError | None = None, holds_lock: bool = False
) -> Report:
    """Collect what Mailchimp answered, account for every row, write the ledger, and return the report.

    A run that is over is not accounted for again.

    :param error: what stopped the run, if something did; then nothing more is sent.
    :param holds_lock: whether the caller holds the export's lock, and lets go of it.
    :raises ExportBusy: when another run of the export keeps the lock; finalize it again then.
    :raises UnreadableFile: when a file of the run is damaged, or was written by a newer release.
    :raises MailchimpError: when Mailchimp refuses or is out of reach; finalize it again then.
    """
    if run.is_finished():
        return _known_report(run)
    if not run.is_planned():
        raise _no_run(run)
    if holds_lock or run.manifest.dry_run:
        return _finalize(run, gateway, error)
    return _finalize_alone(run, gateway, error)


def _finalize_alone(run: RunFolder, gateway: Gateway, error: ExportError | None) -> Report:
    """Finalize a run once nobody else holds the export's lock; who does may be about to finalize this very run."""
    for _ in range(LOCK_ATTEMPTS - 1):
        with suppress(ExportBusy):
            return _finalize_locked(run, gateway, error)
        gateway.sleep(LOCK_PAUSE)
    return _finalize_locked(run, gateway, error)


def _finalize_locked(run: RunFolder, gateway: Gateway, error: ExportError | None) -> Report:
    if run.is_finished():
        return _known_report(run)
    lock = Lock(run.export_folder(), run.name)
    with lock.held():
        # Whoever had the lock before may have done it in the meantime.
        report = _known_report(run) if run.is_finished() else _finalize(run, gateway, error)
    lock.release()
    return report


def _known_report(run: RunFolder) -> Report:
    """Return the report of a run that is over, and show it, because the log that it was shown in is another's."""
    report = run.report(Report)
    show(report, run.uri)
    return report


def _finalize(run: RunFolder, gateway: Gateway, error: ExportError | None) -> Report:
    with run.plan_at_hand():
        stopped = _collect(run, gateway, further=error is None)
        report = _account(run, error=error or stopped)
    publish(run, report)
    run.answer_log.drop()
    run.export_folder().tidy(run.manifest.keep_runs)
    return report


def _no_run(run: RunFolder) -> ConfigError:
    """Say why there is nothing to account for; where the export has other runs, this is the right place."""
    if run.export_folder().runs():
        return ConfigError(
            f"Run {run.name} is not at {run.uri} any more, where other runs of its export are: it was accounted for, "
            "and then removed, because only so many are kept",
            "None for this run: the ledger knows whom it has sent. To keep the files of more runs, raise keep_runs "
            "in options",
        )
    return ConfigError(
        f"There is no run to account for at {run.uri}", "Set exports_root to a place that all workers share"
    )


def recover_abandoned_runs(current: RunFolder, *, gateway: Gateway) -> None:
    """Take in what earlier runs sent that nobody accounted for, so that the ledger knows of it.

    A run whose files cannot be read is set aside: it is no obstacle to those that come after it.

    :param current: the run that goes on afterwards.
    :raises MailchimpError: when Mailchimp is out of reach.
    """
    folder = current.export_folder()
    for run in folder.unfinished_runs():
        if run.name == current.name:
            continue
        if run.is_planned():
            log.warning("Run %s was never accounted for; doing it now", run.name)
            _recover(run, gateway)
        else:
            folder.remove_run(run)


def recover_attempt(
    run: RunFolder, *, gateway: Gateway, definition: str, stall_timeout: float = DEFAULT_STALL_TIMEOUT
) -> None:
    """Take in what an earlier attempt at a run got answered; a further attempt plans again from what that changed.

    :param definition: what is asked for now; where it was something else, the batches of the attempt are called off,
        and otherwise waited for.
    :param stall_timeout: seconds without any progress after which they are not.
    """
    with suppress(UnreadableFile):
        batch_ids = [batch.id for batch in run.batches]
        if run.manifest.definition == definition:
            _wait(batch_ids, gateway, stall_timeout)
        else:
            cancel_batches(gateway, batch_ids)
    log.warning("An earlier attempt, %s, is accounted for; this one plans again", run.name)
    _recover(
        run,
        gateway,
        reason=ExportError("A further attempt at the run took its place", "None: read that attempt's report"),
    )


def _wait(batch_ids: Sequence[str], gateway: Gateway, stall_timeout: float) -> None:
    watch = BatchWatch(batch_ids, stall_timeout=stall_timeout, now=time.monotonic())
    while batch_ids and keep_looking(gateway, watch, clock=time.monotonic):
        if watch.stalled(now=time.monotonic()):
            return
        gateway.sleep(watch.pause())


def publish(run: RunFolder, report: Report) -> None:
    """Write the report, and show it in the log."""
    run.finish(report)
    show(report, run.uri)


def _recover(run: RunFolder, gateway: Gateway, *, reason: ExportError | None = None) -> None:
    try:
        with run.plan_at_hand():
            run.check()
            finalize(run, gateway=gateway, error=reason, holds_lock=True)
    except MemoryError:
        raise
    except _DAMAGE as error:
        _give_up(run, gateway, error)


def _give_up(run: RunFolder, gateway: Gateway, error: Exception) -> None:
    """Set a run aside; what it handed over is called off, for nobody would learn what came of it."""
    file, problem = run.uri, f"cannot be accounted for ({type(error).__name__})"
    if isinstance(error, UnreadableFile):
        file, problem = error.file, error.problem
    log.warning(
        "%s %s: run %s is set aside, and whom only it has sent is sent again if still in a segment",
        file,
        problem,
        run.name,
    )
    with suppress(UnreadableFile):
        cancel_batches(gateway, [batch.id for batch in run.batches])
    run.set_aside(file, problem)


def _collect(run: RunFolder, gateway: Gateway, *, further: bool) -> ExportError | None:
    """Take in what Mailchimp answered; return what stopped that for good, if something did."""
    try:
        delivery_of(run, gateway).collect(run, further=further)
    except UnreadableFile:
        raise
    except (AccessDenied, ConfigError, PermanentError) as error:
        return error
    return None


def _account(run: RunFolder, *, error: ExportError | None) -> Report:
    """Account for every row, and write the ledger."""
    manifest = run.manifest
    with (
        _opened_ledger(run) as (known, problem),
        Reconciliation(run, known, nothing_sent=error is not None and error.nothing_sent) as accounts,
    ):
        accounts.write_outcomes()
        accounts.write_rejects()
        aggregates = _aggregates(run, known, accounts)
        if not manifest.dry_run:
            conflict = problem or _conflict(run, known)
            error = error or conflict
            if not conflict:
                _write_ledger(run, known, accounts)
                _give_tags_up(run)
    batch_ids = tuple(batch.id for batch in run.batches)
    return build_report(manifest, aggregates, batch_ids=batch_ids, error=error)


def _give_tags_up(run: RunFolder) -> None:
    """Let other exports give the tags that this one took back and that its people do not carry any more."""
    manifest = run.manifest
    if not manifest.retired:
        return
    kept = sorted({segment.tag for segment in manifest.segments} - {*manifest.retired})
    with ledger.opened(run.export_folder()) as known, suppress(ConfigError):
        put_claim(run.export_folder(), Claim(manifest.export, manifest.audience_id, tuple(kept)), known)


def _aggregates(run: RunFolder, known: Ledger | None, accounts: Reconciliation) -> Aggregates:
    """Return the numbers of a run; once the ledger has it, those from before, for by then nobody is new to it."""
    if known and known.mark.run == run.name:
        return run.aggregates(Aggregates) or accounts.aggregates()
    aggregates = accounts.aggregates()
    if not run.manifest.dry_run:
        run.keep_aggregates(aggregates)
    return aggregates


@contextmanager
def _opened_ledger(run: RunFolder) -> Iterator[tuple[Ledger | None, ExportError | None]]:
    """Lend the ledger; where it cannot be read there is none, but the reason, unless the run replaces it."""
    manifest = run.manifest
    with ExitStack() as stack:
        try:
            known, problem = stack.enter_context(ledger.opened(run.export_folder())), None
        except UnreadableFile as error:
            known, problem = None, error
        if manifest.replaces_ledger and (problem or (known and not _is_own(known, manifest))):
            known, problem = None, None
        yield known, problem


def _is_own(known: Ledger, manifest: Manifest) -> bool:
    return (known.mark.export, known.mark.audience_id) == (manifest.export, manifest.audience_id)


def _conflict(run: RunFolder, known: Ledger | None) -> ExportError | None:
    """Return why the ledger may not be written: another run did in the meantime."""
    if (known.mark.version if known else 0) == run.manifest.ledger_version:
        return None
    if known and known.mark.run == run.name:
        return None
    return ConfigError(
        f"Run {known.mark.run if known else 'unknown'} has written the ledger since this run was planned, so this run "
        "may not overwrite it. What this run did is in its outcomes.parquet",
        "Run the export again",
    )


def _write_ledger(run: RunFolder, known: Ledger | None, accounts: Reconciliation) -> None:
    """Replace the ledger, unless nothing in it changes, or this run did so before it was killed."""
    manifest = run.manifest
    if known and known.mark.run == run.name:
        return
    moment = manifest.data_moment or (known.mark.data_moment if known else "")
    outdated = known and (
        known.is_outdated
        or (known.mark.basis, known.mark.data_moment, known.mark.retired)
        != (manifest.basis, moment, manifest.retired)
    )
    if outdated or manifest.replaces_ledger or accounts.change_the_ledger():
        if manifest.replaces_ledger:
            ledger.set_aside(run.export_folder())
        accounts.write_ledger(
            LedgerMark(
                manifest.export,
                manifest.audience_id,
                version=manifest.ledger_version + 1,
                run=run.name,
                basis=manifest.basis,
                data_moment=moment,
                retired=manifest.retired,
            )
        )
