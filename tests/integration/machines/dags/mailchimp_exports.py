"""The shipped DAG file, but for the minutes that a retry waits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow_mailchimp_export.dags import exports

for dag in exports(Path(__file__).with_name("exports.yaml")).values():
    for task in dag.tasks:
        task.retry_delay = timedelta(seconds=1)
