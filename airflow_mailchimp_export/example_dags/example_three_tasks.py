"""An export in three tasks, which holds no worker while Mailchimp is at work, and a campaign behind its gate."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, TriggerRule, task

from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
from airflow_mailchimp_export.sensors import MailchimpBatchSensor

FOLDER = os.environ.get("SEGMENTS_FOLDER", "/data/segments")

with DAG(
    "example_mailchimp_three_tasks",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"example", "mailchimp"},
):
    export = SegmentToMailchimpOperator(
        task_id="export",
        segments={"Newsletter": f"{FOLDER}/newsletter.parquet"},
        field_map={"EMAIL": "email", "FNAME": "first_name"},
        wait_for_completion=False,
        multiple_outputs=True,
    )
    wait_for_batches = MailchimpBatchSensor(
        task_id="wait_for_batches", batch_ids=export.output["batch_ids"], deferrable=True
    )
    report = MailchimpExportReportOperator(
        task_id="report",
        run_uri=export.output["run_uri"],
        # Also when the sensor gave up, but not without an export to report on.
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )

    @task.short_circuit
    def everybody_is_there(told: dict[str, Any]) -> bool:
        """Let the campaign go out only where Mailchimp has answered for everybody."""
        return not told["dry_run"] and told["counts"]["unconfirmed"] == 0

    @task
    def send_campaign() -> str:
        """Send what is to be sent: here, only say so."""
        return "A campaign could go out now"

    export >> wait_for_batches >> report
    # After the report, never after the sensor: Mailchimp may have finished without having taken anybody.
    everybody_is_there(report.output) >> send_campaign()
