"""Exports segments of Customer Insights to Mailchimp: what `make demo SOURCE=customer-insights` runs."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, TriggerRule

from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
from airflow_mailchimp_export.sensors import MailchimpBatchSensor

CONNECTION = "customer_insights_default"
# The tag in Mailchimp, and the name of the segment's output table.
SEGMENTS = {"VIP": "VIP", "Newsletter": "Newsletter", "Recent buyers": "Recent_buyers"}

with DAG(
    dag_id="customer_insights_export",
    description="Exports segments of Customer Insights to a Mailchimp audience, where each becomes a tag.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"mailchimp", "customer insights"},
):
    export = SegmentToMailchimpOperator(
        task_id="export",
        segments={tag: {"conn_id": CONNECTION, "segment": table} for tag, table in SEGMENTS.items()},
        field_map={
            "EMAIL": "msdynci_email",
            "FNAME": "msdynci_firstname",
            "LNAME": "msdynci_lastname",
            "PHONE": "msdynci_phone",
            "BIRTHDAY": "msdynci_birthday",
        },
        wait_for_completion=False,
        multiple_outputs=True,
    )
    wait = MailchimpBatchSensor(
        task_id="wait_for_batches", batch_ids=export.output["batch_ids"], deferrable=True
    )
    report = MailchimpExportReportOperator(
        task_id="report",
        run_uri=export.output["run_uri"],
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )
    export >> wait >> report
