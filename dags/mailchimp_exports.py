"""The DAGs that `exports.yaml` asks for: one that refreshes the segments, and one for each export."""

from __future__ import annotations

from pathlib import Path

from airflow_mailchimp_export.dags import exports

exports(Path(__file__).with_name("exports.yaml"))
