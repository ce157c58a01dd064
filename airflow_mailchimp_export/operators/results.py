"""What a task leaves behind in Airflow: an XCom, or the error that fails it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.errors import ExportFailed
from airflow_mailchimp_export.model import Verdict

if TYPE_CHECKING:
    from airflow_mailchimp_export.accounting.report import Report
    from airflow_mailchimp_export.state.run import RunFolder


def told(report: Report, folder: RunFolder) -> dict[str, Any]:
    """Return what goes into the XCom, or fail the task: never rows, never addresses."""
    if report.verdict is Verdict.FAILED:
        raise _failure(report, folder)
    return _xcom(report.export, folder, report.batch_ids, dry_run=report.dry_run) | {
        "verdict": report.verdict.value,
        "counts": asdict(report.counts),
    }


def handed_over(export: str, folder: RunFolder, batch_ids: tuple[str, ...]) -> dict[str, Any]:
    """Return what goes into the XCom where Mailchimp is yet to work the batches off."""
    return _xcom(export, folder, batch_ids, dry_run=False) | {"verdict": None, "counts": None}


def _xcom(export: str, folder: RunFolder, batch_ids: tuple[str, ...], *, dry_run: bool) -> dict[str, Any]:
    return {"export": export, "run_uri": folder.uri, "batch_ids": list(batch_ids), "dry_run": dry_run}


def _failure(report: Report, folder: RunFolder) -> ExportFailed:
    parts = (f"Export {report.export} failed", "" if report.nothing_sent else _came_to(report))
    happened = ": ".join(part for part in (*parts, report.error) if part)
    remedy = f"{report.remedy or _remedy(report)}. Files of the run: {folder.uri}"
    return ExportFailed(happened, remedy, nothing_sent=report.nothing_sent)


def _came_to(report: Report) -> str:
    counts = report.counts
    return f"{counts.rejected:,} rejected and {counts.unconfirmed:,} unconfirmed of {counts.people:,} people"


def _remedy(report: Report) -> str:
    """Return what to do where nothing stopped the run, and yet too little came of it."""
    parts = (
        "Read in rejects.csv why, and what to do about each" if report.counts.rejected else "",
        "Run the export again: it sends whom Mailchimp did not confirm" if report.counts.unconfirmed else "",
    )
    return ". ".join(part for part in parts if part) or "Report the counts as a defect of this package"
