"""From the account of a run, or from the error that kept it from having one, to what is published."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_mailchimp_export.accounting.problems import ProblemKind, kind_of
from airflow_mailchimp_export.accounting.report import Report, SampleReject
from airflow_mailchimp_export.errors import Allowance, ExportError
from airflow_mailchimp_export.masking import masked, masked_place
from airflow_mailchimp_export.model import Reason, Verdict
from airflow_mailchimp_export.published.models import (
    PublishedAllowance,
    PublishedAudience,
    PublishedCounts,
    PublishedProblem,
    PublishedReject,
    PublishedRemoval,
    PublishedReport,
    PublishedSegment,
    PublishedWarning,
)
from airflow_mailchimp_export.rules import REASON_RULES
from airflow_mailchimp_export.state.manifest import AudienceNote, Manifest

MAX_NAMED = 5
"""Most segments that are named of one person."""

MAX_TAGS = 20
"""Most tags of which is told how many people would lose them."""

MAX_WORDS = 200
"""Most characters of what Mailchimp said of one person."""

_MASKED_ADDRESS = re.compile(r"[^@\s]?\*{3}@[^@\s]?\*{3}")

_PAGE = re.compile(r"https?://[\w.:\[\]-]+/(?:lists/members/\?id=\d+)?", re.ASCII)
"""A page that shows an audience: its path looks like that of a member."""

_PLACE = re.compile(r"(?P<store>[a-z0-9+]+://[\w-]+@[\w-]+)(?P<path>/.*)?", re.ASCII)
"""A place under exports_root with the connection that opens it, which is no address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a run also where it did not get as far as an account."""

    export: str
    run_id: str
    dag_id: str
    connection_id: str = ""
    audience_id: str = ""
    dry_run: bool = False
    preview: bool = False
    full: bool = False
    withdraw: bool = False
    run_uri: str = ""


def of_report(
    report: Report,
    *,
    run_uri: str,
    preview: bool = False,
    failure: BaseException | None = None,
    kind: ProblemKind | None = None,
) -> PublishedReport:
    """Return what is published of a run that was accounted for.

    :param preview: whether it is the dry run before a run.
    :param failure: what its task fails with.
    :param kind: what kind of problem that is, where the error alone does not say.
    """
    return PublishedReport(
        export=masked(report.export),
        run_id=masked(report.run_id),
        dag_id=masked(report.dag_id),
        connection_id=masked(report.connection_id),
        audience=_audience(report.audience_id, report.audience),
        export_user=masked(report.export_user),
        read_as=tuple(map(masked, report.read_as)),
        started_at=report.started_at,
        finished_at=report.finished_at,
        delivery=report.delivery,
        dry_run=report.dry_run,
        preview=preview,
        full=report.full,
        withdraw=report.withdraw,
        look_up=masked(report.look_up),
        verdict=report.verdict,
        refused=report.nothing_sent,
        problem=_problem_of(report, failure, kind),
        counts=PublishedCounts(**asdict(report.counts)),
        rejects_by_reason=report.rejects_by_reason,
        suppressed_by_reason=report.suppressed_by_reason,
        rejects_new=report.rejects_new,
        rejects_known=report.rejects_known,
        sample_rejects=tuple(map(_sample, report.sample_rejects)),
        segments=tuple(
            PublishedSegment(name=masked(name), **asdict(segment))
            for name, segment in report.segments.items()
        ),
        batch_ids=tuple(map(masked, report.batch_ids)),
        address_changes=report.address_changes,
        untagged_instead=report.untagged_instead,
        examples={effect: tuple(map(_example, who)) for effect, who in report.examples.items()},
        differing=report.differing,
        warnings=tuple(
            PublishedWarning(
                field=masked(warning.field),
                kind=warning.kind,
                count=warning.count,
                examples=tuple(map(masked_place, warning.examples)),
                remedy=masked(warning.remedy),
            )
            for warning in report.warnings
        ),
        versions=report.versions,
        run_uri=_place(run_uri),
    )


def of_error(
    error: BaseException,
    known: Known,
    *,
    kind: ProblemKind | None = None,
    manifest: Manifest | None = None,
) -> PublishedReport:
    """Return what is published of a run that an error stopped before it was accounted for.

    :param kind: what kind of problem it is, where the error alone does not say.
    :param manifest: of the run, where it was planned.
    """
    planned = {} if manifest is None else _planned(manifest)
    return PublishedReport(
        export=masked(known.export),
        run_id=masked(known.run_id),
        dag_id=masked(known.dag_id),
        connection_id=masked(known.connection_id),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        dry_run=known.dry_run,
        preview=known.preview,
        full=known.full,
        withdraw=known.withdraw,
        verdict=Verdict.FAILED,
        refused=isinstance(error, ExportError) and error.nothing_sent,
        problem=problem_of(error, kind=kind),
        run_uri=_place(known.run_uri),
        **{"audience": PublishedAudience(id=masked(known.audience_id)), **planned},
    )


def _planned(manifest: Manifest) -> dict[str, Any]:
    return {
        "audience": _audience(manifest.audience_id, manifest.audience),
        "export_user": masked(manifest.export_user),
        "started_at": manifest.started_at,
        "delivery": manifest.delivery.value,
    }


def problem_of(error: BaseException, *, kind: ProblemKind | None = None) -> PublishedProblem:
    """Return what an error says, as far as it may be told: of an error of somebody else's only its name."""
    kind = kind or kind_of(error)
    if isinstance(error, ExportError):
        remedy, allow = error.remedy or error.usual_remedy, getattr(error, "allow", None)
        return _problem(kind, error.happened, remedy, allow)
    return _problem(kind, _HAPPENED.get(kind, type(error).__name__), _REMEDIES.get(kind, _READ_THE_LOG))


_READ_THE_LOG = "Read the log of the task"

_HAPPENED: Mapping[ProblemKind, str] = {
    ProblemKind.CANCELLED: "The task was ended from outside",
    ProblemKind.TIMED_OUT: "The task took longer than its execution_timeout",
}

_REMEDIES: Mapping[ProblemKind, str] = {
    ProblemKind.CANCELLED: "Run the export again: it takes in what was answered, and sends whom nobody confirmed",
    ProblemKind.TIMED_OUT: "Give the task more time, or run the export again: it sends whom nobody confirmed",
}


def _problem_of(
    report: Report, failure: BaseException | None, kind: ProblemKind | None
) -> PublishedProblem | None:
    if report.error:
        # A report of another release may not say what kind of problem it is, or by a word of its own.
        known = next((kind for kind in ProblemKind if kind == report.problem), ProblemKind.UNEXPECTED)
        return _problem(known, report.error, report.remedy, report.allow)
    return problem_of(failure, kind=kind) if failure else None


def _problem(
    kind: ProblemKind, message: str, remedy: str, allow: Allowance | None = None
) -> PublishedProblem:
    return PublishedProblem(
        kind=kind,
        message=masked(message),
        remedy=masked(remedy),
        allow=_allowance(allow) if allow else None,
    )


def _allowance(allow: Allowance) -> PublishedAllowance:
    in_all, tags = allow.removals[:1], sorted(allow.removals[1:], key=lambda one: one.removed, reverse=True)
    removals = (
        PublishedRemoval(tag=masked(one.tag), removed=one.removed, owned=one.owned)
        for one in (*in_all, *tags[:MAX_TAGS])
    )
    return PublishedAllowance(param=allow.param, value=allow.value, removals=tuple(removals))


def _audience(audience_id: str, note: AudienceNote) -> PublishedAudience:
    return PublishedAudience(
        id=masked(audience_id),
        name=masked(note.name),
        web_id=note.web_id,
        data_center=masked(note.data_center),
        page=note.page if _PAGE.fullmatch(note.page) else masked(note.page),
    )


def _sample(reject: SampleReject) -> PublishedReject:
    return PublishedReject(
        segments=tuple(map(masked, reject.segments[:MAX_NAMED])),
        source=masked_place(reject.source),
        field=masked(reject.field),
        reason=reject.reason,
        mailchimp_says=masked(reject.words)[:MAX_WORDS],
        remedy=_remedy_of(reject.reason),
    )


def _remedy_of(reason: str) -> str:
    """Return what to do about a reject; "" for a reason of another release, whose report this is."""
    known = reason in list(Reason)
    return REASON_RULES[Reason(reason)].remedy if known else ""


def _example(address: str) -> str:
    return address if _MASKED_ADDRESS.fullmatch(address) else masked(address)


def _place(uri: str) -> str:
    """Mask the path of a place; the connection before it is told."""
    store = _PLACE.fullmatch(uri)
    return f"{store['store']}{masked(store['path'] or '')}" if store else masked(uri)
