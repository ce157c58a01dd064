"""The account of a run as people read it in the log of a task: never an address that is not masked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from airflow_mailchimp_export.accounting.report import Report, SegmentSummary
from airflow_mailchimp_export.model import Effect, Verdict

log = logging.getLogger(__name__)

_WOULD_BE = frozenset(
    {
        *(Effect.CREATED, Effect.UPDATED, Effect.REMOVED, Effect.RENAMED),
        *(Effect.REJECTED, Effect.SUPPRESSED, Effect.UNCHANGED),
    }
)
"""What a dry run only says of people; the other counts are of rows that it really read, or of answers."""


def show(report: Report, uri: str) -> None:
    """Write the account into the log: as a warning, with what is amiss first, where a run went well only in part.

    Of a run by which nothing was sent there is no table to show: what stopped it is said by whom it stopped.

    :param uri: where the files of the run are.
    """
    if report.verdict is Verdict.PARTIAL:
        log.warning("%s: %s. Files: %s", _title(report), amiss(report), uri)
    log.info("%s\n  files: %s", table(report), uri)


def amiss(report: Report) -> str:
    """Name what did not come out as the export wants it, and where to read more."""
    counts = report.counts
    rejected = f"{counts.rejected:,} rejected ({_rejects(report)})" if counts.rejected else ""
    parts = (
        rejected,
        f"{counts.unconfirmed:,} unconfirmed, whom the next run sends again" if counts.unconfirmed else "",
        f"{counts.removal_failed:,} not removed, whom the next run tries again"
        if counts.removal_failed
        else "",
        "rejects.csv has the reason and the remedy of each reject" if counts.rejected else "",
    )
    return "; ".join(part for part in parts if part)


def table(report: Report) -> str:
    """Return the account as a small table."""
    return "\n".join([_title(report), *(_no_effects(report) if report.nothing_sent else _effects(report))])


def _title(report: Report) -> str:
    export, verdict = f"xport {report.export} to audience {report.audience_id}", report.verdict.value.upper()
    if report.withdraw:
        export = f"xport {report.export} withdrawn from audience {report.audience_id}"
    if report.dry_run:
        return f"DRY RUN, nothing was changed: e{export} would be {verdict}"
    return f"E{export}: {verdict}{', nothing was sent' if report.nothing_sent else ''}"


def _no_effects(report: Report) -> Iterator[str]:
    yield from _section("rejected, by reason", report.rejects_by_reason)


def _effects(report: Report) -> Iterator[str]:
    yield from _counts(report)
    if report.untagged_instead:
        yield f"  {'untagged in place of archived':<29}{report.untagged_instead:>8,}"
    yield from _section("rejected, by reason", report.rejects_by_reason)
    if report.counts.rejected:
        yield f"    {_rejects(report)}"
    yield from _section("suppressed, by reason", report.suppressed_by_reason)
    if report.look_up:
        yield f"  who may not be sent: {report.look_up}"
    yield from (_segment(name, segment, report) for name, segment in report.segments.items())
    yield from (
        f"  warning: {item.count:,} x {item.field}: {item.kind}. {item.remedy}" for item in report.warnings
    )
    if report.differing:
        yield f"  merged rows that differ from the first: {report.differing:,}"
    yield from (f"  {_would_be(effect)}, e.g. {', '.join(who)}" for effect, who in report.examples.items())
    if report.error:
        yield f"  error: {report.error}"


def _counts(report: Report) -> Iterator[str]:
    for name, number in asdict(report.counts).items():
        label = _would_be(name) if report.dry_run else name
        if number or not report.dry_run or label != name:
            yield f"  {label:<{22 if report.dry_run else 16}}{number:>12,}"


def _would_be(effect: str) -> str:
    return f"would be {effect}" if effect in _WOULD_BE else effect


def _segment(name: str, segment: SegmentSummary, report: Report) -> str:
    if report.dry_run:
        return (
            f"  segment {name!r}: {segment.rows:,} rows, {segment.members:,} would be members, "
            f"{segment.joined:,} would join, {segment.left:,} would leave"
        )
    return (
        f"  segment {name!r}: {segment.rows:,} rows, {segment.members:,} members, "
        f"{segment.joined:,} joined, {segment.left:,} left"
    )


def _rejects(report: Report) -> str:
    return f"{report.rejects_new:,} new, {report.rejects_known:,} known from an earlier run"


def _section(title: str, numbers: Mapping[str, int]) -> Iterator[str]:
    if numbers:
        yield f"  {title}:"
        yield from (f"    {name:<18}{number:>8,}" for name, number in numbers.items())
