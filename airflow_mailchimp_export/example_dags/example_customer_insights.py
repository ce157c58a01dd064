"""Segments of Dynamics 365 Customer Insights, exported once it has refreshed them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_mailchimp_export.insights_sensors import CustomerInsightsRefreshSensor
from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

# The name of a segment's output table, which Customer Insights shows beside the segment.
SEGMENTS = {"Newsletter": {"conn_id": "customer_insights_default", "segment": "Newsletter"}}

with DAG(
    "example_mailchimp_customer_insights",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"example", "mailchimp"},
):
    refreshed = CustomerInsightsRefreshSensor(
        task_id="wait_for_refresh",
        segments=SEGMENTS,
        # Not older than the night before the run.
        after="{{ (dag_run.run_after - macros.timedelta(hours=12)).isoformat() }}",
        deferrable=True,
        timeout=timedelta(hours=6).total_seconds(),
    )
    export = SegmentToMailchimpOperator(
        task_id="export",
        segments=SEGMENTS,
        field_map={
            "EMAIL": "msdynci_email",
            "FNAME": "msdynci_firstname",
            "LNAME": "msdynci_lastname",
        },
        options={"profile_id": "msdynci_customerid"},
    )
    refreshed >> export
