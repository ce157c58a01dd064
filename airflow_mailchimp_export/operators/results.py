"""What a task leaves behind in Airflow: an XCom, or the error that fails it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.model import Verdict
from airflow_mailchimp_export.state.run import RunFolder


def told(report: Report, folder: RunFolder) -> dict[str, Any]:
    """Return what goes into the XCom, or fail the task: never rows, never addresses."""
    if report.verdict is Verdict.FAILED:
        raise AirflowFailException(
            f"Export {report.export} failed: {report.counts.rejected:,} rejected and "
            f"{report.counts.unconfirmed:,} unconfirmed of {report.counts.people:,} people. "
            f"{report.error or 'See rejects.csv for reasons and remedies'}. Files of the run: {folder.uri}"
        )
    return _xcom(report.export, folder, report.batch_ids) | {
        "verdict": report.verdict.value,
        "counts": asdict(report.counts),
    }


def handed_over(export: str, folder: RunFolder, batch_ids: tuple[str, ...]) -> dict[str, Any]:
    """Return what goes into the XCom where Mailchimp is yet to work the batches off."""
    return _xcom(export, folder, batch_ids) | {"verdict": None, "counts": None}


def _xcom(export: str, folder: RunFolder, batch_ids: tuple[str, ...]) -> dict[str, Any]:
    return {"export": export, "run_uri": folder.uri, "batch_ids": list(batch_ids)}
