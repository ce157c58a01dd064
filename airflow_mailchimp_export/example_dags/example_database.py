"""Segments that are queries of a database, whose values are given as parameters and never put into the SQL."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

with DAG(
    "example_mailchimp_database",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"tier": "platinum"},
    tags={"example", "mailchimp"},
):
    SegmentToMailchimpOperator(
        task_id="export",
        segments={
            "Best customers": {
                # Airflow's connection to the database: PostgreSQL, MariaDB, or whatever has a hook for SQL.
                "conn_id": "customers",
                "sql": "SELECT customer_id, email, first_name FROM customers WHERE tier = :tier",
                "parameters": {"tier": "{{ params.tier }}"},
            },
        },
        field_map={"EMAIL": "email", "FNAME": "first_name"},
        # Who changes their address stays the same member, with all their history.
        options={"profile_id": "customer_id"},
    )
