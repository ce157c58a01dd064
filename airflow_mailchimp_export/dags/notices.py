"""What an alert says: counts and links, never an address."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import conf

from airflow_mailchimp_export.config.alerts import AlertEvent
from airflow_mailchimp_export.masking import masked

if TYPE_CHECKING:
    from airflow_mailchimp_export.accounting.report import Report

MAX_WORDS = 1000
"""Most characters of an error that are told."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened to a run of an export, or of the refresh; templates have it as ``mailchimp_alert``.

    :param event: failed, partial, rejects, late or approval.
    :param export: the name of the export, or of the refresh.
    :param subject: all of it in one line.
    :param lines: what there is to say, line by line.
    :param run_url: the run in Airflow's UI.
    :param log_url: the log of the task; empty where there is none.
    :param counts: of the report, by their names.
    """

    event: str
    export: str
    subject: str
    lines: tuple[str, ...]
    run_url: str
    log_url: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of it as plain text."""
        return "\n".join((self.subject, *self.lines, *(f"{name}: {url}" for name, url in self._links())))

    @property
    def html(self) -> str:
        """All of it as HTML."""
        links = (
            f'<a href="{html.escape(url, quote=True)}">{html.escape(name)}</a>' for name, url in self._links()
        )
        return "<br>\n".join((html.escape(self.subject), *map(html.escape, self.lines), *links))

    def _links(self) -> list[tuple[str, str]]:
        return [(name, url) for name, url in (("Run", self.run_url), ("Log", self.log_url)) if url]


def url_of_run(dag_id: str, run_id: str) -> str:
    """Return where Airflow's UI shows a run."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{quote(run_id)}"


EXPORT, REFRESH = "Mailchimp export", "Refresh of segments"
"""What a run is of."""


def failure(
    name: str, task_id: str, error: object, report: Report | None, *, kind: str = EXPORT, **links: str
) -> Notice:
    """Say that a run failed, and of what."""
    words = masked(str(error or "the task ended without an error of its own"))[:MAX_WORDS]
    return Notice(
        AlertEvent.FAILED,
        name,
        f"{kind} {name} failed in task {task_id}",
        (f"Error: {words}", *_account(report)),
        **links,
        counts=_counts(report),
    )


def partial(export: str, report: Report, **links: str) -> Notice:
    """Say that a run went well only in part."""
    amiss, people = amiss_in(report), report.counts.people
    return Notice(
        AlertEvent.PARTIAL,
        export,
        f"Mailchimp export {export} is partial: {amiss:,} of {people:,} people did not come out right",
        tuple(_account(report)),
        **links,
        counts=_counts(report),
    )


def new_rejects(export: str, report: Report, **links: str) -> Notice:
    """Say that more profiles are rejected than before."""
    reasons = ", ".join(f"{reason} {people:,}" for reason, people in report.rejects_by_reason.items())
    return Notice(
        AlertEvent.REJECTS,
        export,
        f"Mailchimp export {export} has {report.rejects_new:,} new rejects",
        (f"All rejects by reason: {reasons}", *_account(report)),
        **links,
        counts=_counts(report),
    )


def late(name: str, hours: float, run_id: str, *, kind: str = EXPORT, **links: str) -> Notice:
    """Say that a run is not over in time."""
    return Notice(
        AlertEvent.LATE,
        name,
        f"{kind} {name} is late: a run is not over {hours:g} hours after it was queued",
        (f"Run: {run_id}", "Remedy: see in the run which task it is at, and read the log of that task"),
        **links,
    )


def question(export: str, preview: Mapping[str, Any], **links: str) -> Notice:
    """Say that somebody has to say yes or no."""
    counts = {name: int(number) for name, number in preview["counts"].items()}
    over = (f"{preview['over_limit']}",) if preview["over_limit"] else ()
    return Notice(
        AlertEvent.APPROVAL,
        export,
        f"Mailchimp export {export} waits for a yes",
        (*over, f"It would be: {_listed(counts)}", "Answer under Required Actions of the run"),
        **links,
        counts=counts,
    )


def amiss_in(report: Report) -> int:
    """Return of how many people a run did not do what it was to do."""
    return report.counts.rejected + report.counts.unconfirmed + report.counts.removal_failed


def _account(report: Report | None) -> list[str]:
    if report is None:
        return []
    remedy = (f"Remedy: {masked(report.remedy)}",) if report.remedy else ()
    return [
        f"Audience {report.audience_id}, verdict {report.verdict.value}",
        f"Counts: {_listed(asdict(report.counts))}",
        *remedy,
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items() if number) or "none"


def _counts(report: Report | None) -> dict[str, int]:
    return asdict(report.counts) if report else {}
