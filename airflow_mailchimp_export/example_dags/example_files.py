"""Segments that are files, written by whatever makes them: each becomes a tag of the audience."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

FOLDER = os.environ.get("SEGMENTS_FOLDER", "/data/segments")

with DAG(
    "example_mailchimp_files",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"example", "mailchimp"},
):
    SegmentToMailchimpOperator(
        task_id="export",
        segments={
            # A file, a folder or a glob, on any storage that Airflow knows.
            "Newsletter": f"{FOLDER}/newsletter.parquet",
            # What a file does not say itself is said here; and the tag need not be the segment's name.
            "VIP": {"uri": f"{FOLDER}/vip.csv", "tag": "Very important", "delimiter": ";"},
        },
        field_map={
            "EMAIL": "email",
            "FNAME": "first_name",
            # A blank erases what stands in Mailchimp only where it says so.
            "LNAME": {"column": "last_name", "blank": "clear"},
        },
        # Who left a segment loses its tag; more than a twentieth of them at once stops the run before it sends.
        on_leave="untag",
        options={"max_removal_ratio": 0.05},
    )
