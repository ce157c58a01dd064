"""An export that makes Mailchimp's calls itself: quicker than jobs handed over to Mailchimp, but it holds a worker."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

FOLDER = os.environ.get("SEGMENTS_FOLDER", "/data/segments")

with DAG(
    "example_mailchimp_direct_delivery",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"example", "mailchimp"},
):
    SegmentToMailchimpOperator(
        task_id="export",
        segments={"Newsletter": f"{FOLDER}/newsletter.parquet"},
        field_map={"EMAIL": "email", "FNAME": "first_name"},
        delivery="direct",
        # Mailchimp allows ten connections per user, over all integrations: a pool with ten slots keeps all exports
        # together within them, where each takes as many slots as its connection's max_connections.
        #   airflow pools set mailchimp 10 "Connections to Mailchimp"
        pool=os.environ.get("MAILCHIMP_POOL", "default_pool"),
        pool_slots=8,
    )
