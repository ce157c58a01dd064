"""A dry run whose counts somebody has to agree to before anything is sent."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG

from airflow_mailchimp_export.dags.approval import ExportApprovalOperator
from airflow_mailchimp_export.operators import SegmentToMailchimpOperator
from airflow_mailchimp_export.operators.preview import ExportPreviewOperator

FOLDER = os.environ.get("SEGMENTS_FOLDER", "/data/segments")

with DAG(
    "example_mailchimp_approval",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"example", "mailchimp"},
) as dag:
    asked: dict[str, Any] = {
        "segments": {"Newsletter": f"{FOLDER}/newsletter.parquet"},
        "field_map": {"EMAIL": "email", "FNAME": "first_name"},
        # Both have to be the same export, whose folder is called after the task otherwise.
        "export_name": f"{dag.dag_id}.export",
    }
    # "above_removal_ratio" and "first_run" ask less often.
    preview = ExportPreviewOperator(task_id="preview", when="always", **asked)
    # Under Required Actions; a no skips the export.
    approve = ExportApprovalOperator(task_id="approve", preview=preview.output)
    # What was not shown is not done: other segments, or more removals, stop it.
    SegmentToMailchimpOperator(task_id="export", approved=approve.output["approved"], **asked)
