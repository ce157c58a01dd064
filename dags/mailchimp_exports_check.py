"""Shows mistakes in `exports.yaml` as an import error of this file, so that the DAGs of the other file go on."""

from __future__ import annotations

from pathlib import Path

from airflow_mailchimp_export.dags import check

check(Path(__file__).with_name("exports.yaml"))
