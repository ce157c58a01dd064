"""A campaign that goes out once an export has put its people in place, however many DAGs are between the two.

The export publishes the audience as an asset; the campaign's DAG names the same audience and waits for it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

FOLDER = os.environ.get("SEGMENTS_FOLDER", "/data/segments")

AUDIENCE = Asset(os.environ.get("MAILCHIMP_AUDIENCE", "mailchimp://us21/a1b2c3d4e5"))
"""The data center at the end of the API key, and the audience's id."""

with DAG(
    "example_mailchimp_export",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"example", "mailchimp"},
):
    SegmentToMailchimpOperator(
        task_id="export",
        audience_id="a1b2c3d4e5",
        segments={"Newsletter": f"{FOLDER}/newsletter.parquet"},
        field_map={"EMAIL": "email", "FNAME": "first_name"},
    )

with DAG(
    "example_mailchimp_campaign",
    schedule=[AUDIENCE],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags={"example", "mailchimp"},
):

    @task(multiple_outputs=False)
    def recipients(*, triggering_asset_events: Any = None) -> dict[str, int]:
        """Say of each segment how many of its people the export has put in place."""
        newest = triggering_asset_events[AUDIENCE][-1].extra
        return {segment["name"]: segment["members"] for segment in newest["segments"]}

    @task
    def send_campaign(members: dict[str, int]) -> str:
        """Send what is to be sent: here, only say so."""
        return f"A campaign for {members['Newsletter']} people could go out now"

    send_campaign(recipients())
