"""Small exports that `make up` runs a few times, so that their pages have something to show."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG, Param

from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

SEGMENTS = Path(os.environ["HISTORY_SEGMENTS"])
# The tag in Mailchimp of each export, and the file whose customers get it.
EXPORTS = {
    "weekly_letter": ("Weekly letter", "weekly_letter.csv"),
    "loyal_customers": ("Loyal customers", "loyal_customers.csv"),
    "win_back": ("Win back", "win_back.csv"),
}
FORM = {
    "dry_run": Param(False, type="boolean", title="Dry run"),
    "max_removal_ratio": Param(0.3, type="number", minimum=0, maximum=1, title="Removal limit"),
}

for name, (tag, file) in EXPORTS.items():
    with DAG(
        name,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        max_active_runs=1,
        tags={"mailchimp"},
        params=FORM,
    ):
        SegmentToMailchimpOperator(
            task_id="export",
            segments={tag: str(SEGMENTS / file)},
            field_map={"EMAIL": "email", "FNAME": "first_name", "LNAME": "last_name"},
            delivery="direct",
            dry_run="{{ params.dry_run }}",
            options={"max_removal_ratio": "{{ params.max_removal_ratio }}"},
        )
